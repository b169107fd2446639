"""Every op's samples, compiled: results and gradients are those of the op as it is."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from ops.checks import flat, forms, public, tensors
from spread import some

import retrograd as torch
import retrograd.ops.table
from retrograd.ops.declare import TABLE

FALLS_BACK = {  # their results, or the shapes of these, depend on elements
    "index", "accumulate", "linalg_lu_factor", "linalg_lu_factor_ex", "linalg_lu_solve", "lu",
    "lu_solve", "linalg_lstsq", "masked_select", "put_masked", "nonzero", "bincount", "unique",
    "unique_consecutive",
}  # fmt: skip


def outcome(op, sample, function):
    """Return the results of a function of the op's arguments, and the gradients of its tensors."""
    args, kwargs, leaves = tensors(op, sample, sample.grad)
    torch.manual_seed(0)
    results = [r for r in flat(function(*args, **kwargs)) if isinstance(r, torch.Tensor)]
    live = [r for r in results if r.requires_grad]
    found = []
    if live:
        cts = [torch.ones_like(r) * (0.5 + k) for k, r in enumerate(live)]
        torch.autograd.backward(live, cts)
        found = [x.grad for x in leaves]
    return results, found


@pytest.mark.parametrize("name", TABLE)
def test_compiled_equals_eager(name, is_long):
    op = TABLE[name]
    fell_back = False
    samples = list(op.samples())
    for sample in samples if is_long else some(samples, 3):
        for form in forms(op, sample):
            function = public(op)
            try:
                wanted = outcome(op, form, function)
            except Exception:  # noqa: BLE001 - what an op refuses is another test's matter
                continue
            made = torch.compile(lambda *args, **kwargs: function(*args, **kwargs))  # noqa: B023, PLW0108 - a function of the user's
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                found = outcome(op, form, made)
            reason = made.state.reason
            assert reason is None or name in FALLS_BACK, (reason, form)
            assert len([w for w in caught if "cannot be compiled" in str(w.message)]) == (reason is not None)
            fell_back = fell_back or reason is not None
            for w, g in zip([*wanted[0], *wanted[1]], [*found[0], *found[1]], strict=True):
                if w is None or g is None:
                    assert w is g, form
                    continue
                assert w.dtype is g.dtype
                a, b = (
                    t.detach().to(torch.complex128 if t.dtype.is_complex else torch.float64).numpy()
                    for t in (w, g)
                )
                eps = (
                    1e-2
                    if w.dtype.itemsize <= 2 and w.dtype.is_floating_point
                    else 1e-4
                    if w.dtype.itemsize == 4
                    else 1e-8
                )
                np.testing.assert_allclose(b, a, rtol=eps, atol=eps, err_msg=f"{form}")
    assert not is_long or fell_back == (name in FALLS_BACK)  # of some it takes a certain sample
