"""`out=` is written and returned: by ops with one result, with several, and by composites."""

from __future__ import annotations

import numpy as np
import pytest
from ops.convert import flat, public, tensors

import retrograd as rg
from retrograd.ops.declare import TABLE

TAKE_OUT = [
    name
    for name, op in TABLE.items()
    if op.places and (op.outputs or op.family == "composite") and op.out
    and not op.definition.__code__.co_flags & 0x0C  # takes any number of arguments
]  # fmt: skip


@pytest.mark.parametrize("name", TAKE_OUT)
def test_results_are_written_into_what_is_given(name):
    op = TABLE[name]
    for sample in op.samples():
        args, kwargs, _ = tensors(op, sample, False)
        wanted = public(op)(*args, **kwargs)
        several = isinstance(wanted, tuple)
        if any(x is None for x in flat(wanted)):
            continue
        given = [rg.empty((0,), dtype=x.dtype) for x in flat(wanted)]
        versions = [x._version for x in given]
        found = public(op)(*args, **kwargs, out=tuple(given) if several else given[0])
        assert all(a is b for a, b in zip(flat(found), given, strict=True))
        assert [x._version for x in given] == [v + 1 for v in versions]
        for want, got in zip(flat(wanted), given, strict=True):
            np.testing.assert_array_equal(got.numpy(), want.numpy())


def test_what_is_written_keeps_its_memory_where_the_shape_fits():
    x, values, indices = rg.tensor([3.0, 1.0]), rg.zeros(4)[::2], rg.zeros(2, dtype=rg.int64)
    whole = values._base
    found = rg.sort(x, out=(values, indices))
    assert type(found).__name__ == "sort_out" and found.values is values
    assert whole.tolist() == [1, 0, 3, 0] and indices.tolist() == [1, 0]


AUTO = "don't support automatic differentiation"
MISTAKES = [
    (lambda x, f, i: rg.sort(x, out=(f, f)), RuntimeError, "to have dtype long int, but got float"),
    (lambda x, f, i: rg.topk(x, 1, out=(i, i)), RuntimeError, "to have dtype float, but got long"),
    (lambda x, f, i: rg.sort(x, out=(f,)), TypeError, "expected tuple of 2 elements but got 1"),
    (lambda x, f, i: rg.sort(x, out=f), TypeError, "argument 'out' must be tuple of Tensors, not Tensor"),
    (lambda x, f, i: rg.outer(x, x, out=i), RuntimeError, "result type Float can't be cast"),
    (lambda x, f, i: rg.sort(x.requires_grad_(), out=(f, i)), RuntimeError, AUTO),
    (lambda x, f, i: rg.outer(x.requires_grad_(), x, out=f), RuntimeError, AUTO),
    (lambda x, f, i: rg.linalg.multi_dot([x.requires_grad_(), x], out=f), RuntimeError, AUTO),
]


@pytest.mark.parametrize(("call", "error", "message"), MISTAKES)
def test_mistakes_leave_what_was_given_alone(call, error, message):
    x, f, i = rg.tensor([2.0, 1.0]), rg.full((1,), 7.0), rg.full((1,), 7, dtype=rg.int64)
    with pytest.raises(error, match=message):
        call(x, f, i)
    assert f.tolist() == [7.0] and i.tolist() == [7] and f._version == i._version == 0
