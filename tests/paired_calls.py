"""One call through torch and through retrograd: values, dtypes, gradients, second derivatives compared."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import numpy as np

import retrograd


def leaves_of(module: Any, arrays: list[np.ndarray]) -> list[Any]:
    """Return arrays as tensors; the inexact ones require grad."""
    made = [module.tensor(a) for a in arrays]
    return [t.requires_grad_() if t.is_floating_point() or t.is_complex() else t for t in made]


def flat(value: Any) -> list[Any]:
    if isinstance(value, (tuple, list)):
        return [x for v in value for x in flat(v)]
    return [value]


def _cotangent(x: Any, number: int) -> np.ndarray:
    rng = np.random.default_rng(number)
    made = rng.standard_normal(x.shape)
    return made + 1j * rng.standard_normal(x.shape) if x.is_complex() else made


def outcome(module: Any, call: Any, arrays: list[np.ndarray], *, second: bool) -> dict[str, list[Any]]:
    """Return the results of `call(module, *tensors)`, its gradients, and the gradients of these."""
    leaves = leaves_of(module, arrays)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = flat(call(module, *leaves))
    found: dict[str, list[Any]] = {"results": results}
    wanted = [t for t in leaves if t.requires_grad]
    for name in ("gradients", "second")[: 2 if second else 1]:
        roots = [r for r in results if r is not None and getattr(r, "requires_grad", False)]
        if not roots or not wanted:
            break
        cts = [module.tensor(_cotangent(r, i)).to(r.dtype) for i, r in enumerate(roots)]
        results = list(
            module.autograd.grad(
                roots, wanted, cts, create_graph=second, allow_unused=True, retain_graph=True
            )
        )
        found[name] = results
    return found


def as_array(x: Any) -> Any:
    return x.detach().resolve_conj().numpy() if hasattr(x, "detach") else np.asarray(x)


def assert_same(call: Any, *arrays: np.ndarray, rtol: float = 1e-9, second: bool = True) -> None:
    """Compare a call that takes the module and tensors; None and zeros are the same gradient."""
    torch = importlib.import_module("torch")
    wanted, found = (outcome(m, call, list(arrays), second=second) for m in (torch, retrograd))
    assert list(found) == list(wanted)
    for name in wanted:
        assert len(found[name]) == len(wanted[name])
        for want, got in zip(wanted[name], found[name], strict=True):
            if want is None or got is None:
                assert all(x is None or not np.any(as_array(x)) for x in (want, got)), name
                continue
            assert str(getattr(got, "dtype", "")) == str(getattr(want, "dtype", ""))
            want, got = as_array(want), as_array(got)
            assert got.shape == want.shape
            finite = np.abs(want[np.isfinite(want)]) if want.dtype.kind in "fc" else np.zeros(0)
            scale = float(finite.max(initial=0.0))
            np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol * (1 + scale), err_msg=name)


def refusals(call: Any, arrays: list[np.ndarray]) -> list[Exception]:
    """Return what torch and retrograd raise."""
    found = []
    for module in (importlib.import_module("torch"), retrograd):
        try:
            call(module, *[module.tensor(a) for a in arrays])
        except Exception as error:  # noqa: BLE001 - which one is the question
            found.append(error)
        else:
            raise AssertionError(f"{module.__name__} raised nothing")
    return found


def assert_same_refusal(call: Any, *arrays: np.ndarray, words: int | None = None) -> None:
    """Both raise the same type with the same first words (all of the first line if None)."""
    theirs, ours = refusals(call, list(arrays))
    assert type(ours).__mro__[-3:] == type(theirs).__mro__[-3:], f"{ours!r}, torch {theirs!r}"
    want, got = (str(e).split("\n")[0].split() for e in (theirs, ours))
    assert got[:words] == want[:words], f"{ours}\ntorch: {theirs}"
