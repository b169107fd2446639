"""A backward in which what is masked to zero stays zero: 0 * inf is 0 there, and NaN everywhere else.

The cotangents of such a backward are Tensors, also where nothing is recorded, and each may carry a mask: its
*structural zeros*, the elements that are zero because an op took its result from elsewhere (the other side of
a `where`, the cut-off half of a relu, the elements that an index left out), whatever the values are. A
product or quotient has a structural zero where the cotangent has one, and there is set to zero; a sum, where
all its terms have one. What the rules of this file do not follow, they forget: then NaN stays NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from retrograd.autograd import modes
from retrograd.autograd.dispatch import keywords, positional
from retrograd.autograd.levels import Wrapped, run_below
from retrograd.autograd.modes import local, no_grad
from retrograd.ops.declare import TABLE, Op
from retrograd.ops.helpers import as_array
from retrograd.tensor import Tensor, wrap

_KEY = "structural zeros"


class nan_safe:  # noqa: N801 - named as torch names its modes
    """Keep masked cotangents at zero, through log, sqrt, division ...: in this thread's backwards within.

    Without it the gradient of `where(x > 0, log(x), 0)` at 0 is NaN, as in torch: 0 * inf. Within, it is 0,
    since `where` chose the other side. An element that is zero by value (`0.0 * log(x)`) still gives NaN: no
    op says that log(x) plays no part. Works with create_graph; the second backward must stand within too.
    Backward is slower within; nothing else changes. Context manager and decorator.

    Example:
        >>> import retrograd as torch
        >>> x = torch.tensor([0.0, 2.0], requires_grad=True)
        >>> y = torch.where(x > 0, x.log(), torch.zeros(2)).sum()
        >>> with torch.autograd.graph.nan_safe():
        ...     y.backward()
        >>> x.grad
        tensor([0.0000, 0.5000])
    """

    def __enter__(self) -> None:
        modes.set_nan_safe(local.nan_safe + 1)

    def __exit__(self, *exc: object) -> None:
        modes.set_nan_safe(local.nan_safe - 1)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        from functools import wraps  # noqa: PLC0415 - rare

        @wraps(function)
        def safe(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return safe


def run_masked(start: Callable[..., None], roots: Any, keep: bool, recorded: bool, captured: Any) -> None:
    """Run a backward by `start`, with masks on its cotangents."""
    cts = [(node, ct if isinstance(ct, Tensor) else wrap(as_array(ct))) for node, ct in roots]
    outer, local.masking = local.masking, Masking()
    mode: AbstractContextManager[Any] = nullcontext() if recorded else no_grad()
    if outer is None:
        modes.push(local.masking)
    try:
        with mode:
            start(cts, keep, True, captured)
    finally:
        if outer is None:
            modes.pop()
        local.masking = outer
    for node, ct in (captured or {}).items():
        if ct is not None:
            ct.__dict__.pop(_KEY, None)
            captured[node] = ct if recorded else ct._array


class Masking:
    """Sees each op of a backward, and says where its result is structurally zero."""

    def call(self, op: Op, args: tuple[Any, ...], out: Any) -> Any:
        """Run an op at the level below; note the structural zeros of its result, and make them zeros."""
        modes.pop()
        try:
            result = run_below(op, args, out)
            if out is None and isinstance(result, Tensor) and not _is_foreign(op, args, result):
                result = hold(result, _zeros(op, args, result._array.shape))
        finally:
            modes.push(self)
        return result

    def after_rule(self, op: Op, ct: Any, part: Any) -> Any:
        """Return a rule's result; of a pointwise op's, whose derivative is diagonal, with ct's own zeros."""
        if isinstance(part, np.ndarray):  # a constant of the rule's
            return hold(wrap(part), _any_mask(part == 0))
        if op.family != "pointwise" or type(part) is not Tensor or type(ct) is not Tensor:
            return part
        mask = zeros_of(ct)
        if mask is None or part._array.shape != mask.shape:
            return part
        modes.pop()
        try:
            return hold(part, mask if zeros_of(part) is None else mask | zeros_of(part))
        finally:
            modes.push(self)


def zeros_of(value: Any) -> Any:
    """Return the mask of a tensor's structural zeros; None if it has none."""
    return value.__dict__.get(_KEY) if type(value) is Tensor else None


def hold(tensor: Tensor, mask: Any) -> Tensor:
    """Return a tensor with structural zeros: set to zero where they have become NaN."""
    if mask is None:
        return tensor
    array = tensor._array
    lost = np.isnan(array) & mask
    mask = mask & ((array == 0) | lost)
    if mask.shape != array.shape or not mask.any():
        return tensor
    if lost.any():
        tensor = TABLE["where"].function(0, wrap(lost), tensor)
    elif zeros_of(tensor) is not None:  # the same handle may have come back, for instance from tied()
        tensor = TABLE["alias"].function(tensor)
    tensor.__dict__[_KEY] = mask
    return tensor


def _is_foreign(op: Op, args: Sequence[Any], result: Tensor) -> bool:
    """Return whether a transform's tensor takes part, whose masks nobody follows; or nothing can be NaN."""
    flat = [x for a in args for x in (a if isinstance(a, (list, tuple)) else (a,))]
    return (
        any(isinstance(x, Wrapped) for x in flat)
        or type(result) is not Tensor
        or type(result._array) is not np.ndarray
        or result._array.dtype.kind not in "fcV"
        or op.family == "composite"
    )


# ---- where the result of an op is structurally zero, given where its operands are ----


def _zeros(op: Op, args: tuple[Any, ...], shape: tuple[int, ...]) -> Any:
    if op.name in _RULES:
        return _RULES[op.name](*args)
    if op.jvp == "linear" or op.name in _ALSO_LINEAR:
        return _through_linear(op, args, shape)
    return None


def _is_zero(value: Any) -> Any:
    """Return where an operand is structurally zero."""
    if not isinstance(value, Tensor):  # a constant of the rule's
        return np.equal(value, 0)
    mask = zeros_of(value)
    return False if mask is None else mask


def _factor(value: Any) -> Any:
    """Return where a factor is structurally zero: where it is a mask's false, too."""
    array = getattr(value, "_array", value)
    if isinstance(array, (np.ndarray, np.bool_)) and array.dtype.kind == "b":
        return ~array
    return _is_zero(value) if isinstance(value, Tensor) else False


def _any_mask(mask: Any) -> Any:
    return mask if np.any(mask) else None


def _product(x: Any, y: Any) -> Any:
    return _any_mask(np.logical_or(_factor(x), _factor(y)))


def _sum(x: Any, y: Any, *_: Any) -> Any:
    return _any_mask(np.logical_and(_is_zero(x), _is_zero(y)))


def _where(x: Any, condition: Any, y: Any) -> Any:
    return _any_mask(np.where(getattr(condition, "_array", condition), _is_zero(x), _is_zero(y)))


def _first(x: Any, *_: Any) -> Any:
    return zeros_of(x)


def _cast(x: Any, *_: Any) -> Any:
    return _any_mask(_factor(x))


_KEEPERS = ("neg", "conj", "abs", "sgn", "depend", "alias", "clone", "real", "imag")
_RULES: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(_KEEPERS, _first),
    "mul": _product, "div": _cast, "add": _sum, "sub": _sum, "rsub": _sum, "where": _where,
    "masked_fill": lambda x, mask, value: _where(value, mask, x), "to_copy": _cast,
    "zeros_as": lambda x: np.ones(x.shape, bool),
}  # fmt: skip
_ALSO_LINEAR = {"constant_pad_nd", "convolution", "linear", "mean", "sum"}
_OTHER_LAYOUT = {"view_as_complex", "view_as_real"}


def _through_linear(op: Op, args: tuple[Any, ...], shape: tuple[int, ...]) -> Any:
    """Return where a linear op gives zero of what is not structurally zero, all weights being 1."""
    if op.name in _OTHER_LAYOUT:
        return None
    given = [
        a if p.is_static else [_indicator(x) for x in a] if isinstance(a, (list, tuple)) else _indicator(a)
        for p, a in zip(op.parameters, args, strict=True)
    ]
    found = op.definition(*positional(op, given), **keywords(op, given))
    if not isinstance(found, (np.ndarray, np.generic)) or found.shape != shape:
        return None
    return _any_mask(np.asarray(found == 0))


def _indicator(value: Any) -> Any:
    """Return 1 for each element that is not structurally zero; indices and masks as they are."""
    mask = zeros_of(value)
    array = getattr(value, "_array", value)
    if mask is not None:
        return (~mask).astype(np.float32)
    if not isinstance(array, np.ndarray):
        return array if array is None else np.float32(array != 0)
    if array.dtype.kind not in "fcV":
        return array
    return np.ones(array.shape, np.float32) if isinstance(value, Tensor) else (array != 0).astype(np.float32)
