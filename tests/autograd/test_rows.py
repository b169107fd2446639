"""Rows of Jacobians by batches of arrays equal gradients asked for one by one, for every op."""

from __future__ import annotations

import numpy as np
import pytest
from func.op_checks import as_function
from ops.convert import arrays_of, is_wanted

import retrograd as torch
import retrograd.ops.table
from retrograd.arrays.batch import Batch, CannotBatchError
from retrograd.autograd import rows
from retrograd.ops.declare import TABLE
from retrograd.tensor import Tensor, history, wrap

DIFFERENTIABLE = sorted(name for name, op in TABLE.items() if op.rules)


def _called(name, sample):
    """Return an op's results that have a history, and the inputs that may have gradients."""
    op = TABLE[name]
    function, arrays = as_function(op, sample)
    wanted = [is_wanted(op, p, x) for p, x in arrays_of(op, sample)]
    given = [wrap(np.array(x)) for x in arrays]
    inputs = [t.requires_grad_() for t, w in zip(given, wanted, strict=True) if w]
    result = function(*given)
    results = result if isinstance(result, (tuple, list)) else [result]
    return [r for r in results if isinstance(r, Tensor) and history(r) is not None and r.numel()], inputs


def _one_by_one(y, inputs):
    cts = torch.eye(y.numel(), dtype=y.dtype).reshape(-1, *y.shape)
    found = [torch.autograd.grad(y, inputs, ct, retain_graph=True, allow_unused=True) for ct in cts]
    return [
        None if column[0] is None else np.stack([g._array for g in column])
        for column in zip(*found, strict=True)
    ]


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_a_batch_of_cotangents_equals_one_after_the_other(name):
    for sample in TABLE[name].samples():
        results, inputs = _called(name, sample)
        for y in results:
            root = (history(y), y._array.shape, y._array.dtype)
            try:
                expected = _one_by_one(y, inputs)
            except (RuntimeError, ValueError, NotImplementedError) as error:
                with pytest.raises(type(error)):
                    rows.jacobian_rows([root], [history(x) for x in inputs])
                continue
            found = rows.jacobian_rows([root], [history(x) for x in inputs])
            assert found is not None, "its rules cannot take a batch of cotangents"
            for got, want in zip(found, expected, strict=True):
                if got is None or want is None:
                    assert np.all((got if want is None else want) == 0)
                else:
                    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-10)


def test_rows_come_in_parts_as_memory_allows(monkeypatch):
    x = torch.arange(6.0, dtype=torch.float64).requires_grad_()
    y = (x * x).reshape(2, 3)
    root = (history(y), y._array.shape, y._array.dtype)
    whole = rows.jacobian_rows([root], [history(x)])
    sizes = []
    run = rows.run_batch
    monkeypatch.setattr(
        rows,
        "run_batch",
        lambda roots, *rest, **how: (sizes.append(len(roots[0][1].value)), run(roots, *rest, **how))[1],
    )
    monkeypatch.setattr(rows, "MEMORY", 4 * 48)
    assert np.array_equal(rows.jacobian_rows([root], [history(x)])[0], whole[0])
    assert sizes == [4, 2]
    sizes.clear()
    rows.jacobian_rows([root], [history(x)], limit=1)
    assert sizes == [1] * 6


def test_hooks_and_custom_functions_get_tensors_one_by_one():
    got = []

    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            got.append(type(g).__name__)
            return g * 2

    x = torch.ones(3)
    made = torch.autograd.functional.jacobian(lambda x: Double.apply(x).sin(), x)
    assert got == ["Tensor"] * 3
    assert torch.allclose(made, torch.diag(2 * torch.cos(2 * x)))

    def hooked(x):
        y = x * 2
        y.register_hook(lambda g: g * 10)
        return y.sin()

    assert torch.allclose(torch.autograd.functional.jacobian(hooked, x), torch.diag(20 * torch.cos(2 * x)))


@pytest.mark.parametrize(
    "ask",
    [
        bool, float, np.asarray, lambda b: np.add.at(np.zeros(2), [0], b), np.linalg.slogdet,
        lambda b: b[Batch(np.zeros((2, 1), int))], lambda b: np.ones(3)[b], lambda b: np.nonzero(b),
        lambda b: b.tolist(),
    ],
)  # fmt: skip
def test_what_has_no_single_answer_is_refused(ask):
    with pytest.raises((CannotBatchError, TypeError, IndexError)):
        ask(Batch(np.ones((2, 3))))


@pytest.mark.parametrize(
    "do",
    [
        lambda x: x[0], lambda x: x[..., None], lambda x: x[:, [1, 0]], lambda x: np.sum(x, 0),
        lambda x: np.sum(x),
        lambda x: np.reshape(x, (3, -1)), lambda x: np.transpose(x), lambda x: np.moveaxis(x, 0, -1),
        lambda x: np.swapaxes(x, 0, 1), lambda x: np.squeeze(x[:1]), lambda x: np.expand_dims(x, (0, -1)),
        lambda x: np.broadcast_to(x, (4, 2, 3)), lambda x: np.where(x > 1, x, 0.0), lambda x: np.flip(x, 1),
        lambda x: np.concatenate([x, np.ones((1, 3))]), lambda x: np.stack([x, x], -1), lambda x: 2 - x / 3,
        lambda x: x @ np.ones((3, 2)), lambda x: np.ones((4, 2)) @ x, lambda x: x[0] @ x[1],
        lambda x: x @ x[0],
        lambda x: np.ones((4, 2)) @ x[:, 0], lambda x: x[:, 0] @ np.ones((2, 4)), lambda x: np.ones(2) @ x,
        lambda x: np.matmul(np.ones((5, 4, 2)), x), lambda x: x.T @ np.ones((5, 2, 1)), lambda x: x**2 > 1.0,
        lambda x: abs(-x), lambda x: np.full_like(x, 7), lambda x: x[0] + x,
        lambda x: np.ones((5, 2, 3)) * x, lambda x: np.arctan2(x, x[0]), lambda x: np.maximum(x, 1),
    ],
)  # fmt: skip
def test_a_batch_computes_as_each_of_its_arrays(do):
    x = np.arange(24.0).reshape(4, 2, 3) / 7
    made = do(Batch(x))
    np.testing.assert_allclose(made.value, np.stack([do(row) for row in x]), rtol=1e-12)
    assert made.shape == do(x[0]).shape


def test_an_error_that_numpy_makes_of_a_refusal_is_one():
    def assign():
        np.zeros(2)[0] = Batch(np.ones((2, 3)))

    with pytest.raises((TypeError, ValueError)) as caught:
        assign()
    assert rows._is_of_a_batch(caught.value)
    assert not rows._is_of_a_batch(ValueError("mine"))
