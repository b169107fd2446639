"""Functions whose torch signature depends on the types of their arguments: each picks the op that is meant.

`max(x)`, `max(x, 1)` and `max(x, y)` are three ops; `std(x, 1, True)` and `std(x, dim=1, correction=1)` are
one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retrograd import dtypes
from retrograd.autograd.dispatch import general
from retrograd.functions import calculus, composed
from retrograd.ops.declare import TABLE
from retrograd.public import written_in_place
from retrograd.tensor import Tensor

_NOT_GIVEN: Any = object()


def _op(name: str) -> Callable[..., Any]:
    return TABLE[name].function  # type: ignore[no-any-return]


# ---- extremes ----


def _extreme(name: str, elementwise: str) -> Callable[..., Any]:
    def extreme(
        input: Tensor,
        *args: Any,
        dim: Any = _NOT_GIVEN,
        keepdim: bool = False,
        other: Any = None,
        out: Any = None,
    ) -> Any:
        if args:
            first = args[0]
            if isinstance(first, Tensor):
                other = first
            else:
                dim = first
                keepdim = args[1] if len(args) > 1 else keepdim
        if other is not None:
            return _op(elementwise)(input, other, out=out)
        if dim is _NOT_GIVEN:
            return _op(f"{name}_all")(input, out=out)
        return _op(f"{name}_dim")(input, dim, keepdim, out=out)

    extreme.__name__ = extreme.__qualname__ = name
    extreme.__doc__ = (
        f"Return the {name}imum of all elements; with `dim` also the indices; or that of two tensors.\n\n"
        f"{name}(input), {name}(input, dim, keepdim=False) -> (values, indices), {name}(input, other)."
    )
    return extreme


max = _extreme("max", "maximum")
min = _extreme("min", "minimum")


def median(input: Tensor, dim: Any = _NOT_GIVEN, keepdim: bool = False, *, out: Any = None) -> Any:
    """Return the median of all elements, or with `dim` (values, indices): the lower one of two."""
    if dim is _NOT_GIVEN:
        return _op("median_all")(input, out=out)
    return _op("median_dim")(input, dim, keepdim, out=out)


def nanmedian(input: Tensor, dim: Any = _NOT_GIVEN, keepdim: bool = False, *, out: Any = None) -> Any:
    """Return the median of all elements but NaN, or with `dim` (values, indices)."""
    if dim is _NOT_GIVEN:
        return _op("nanmedian_all")(input, out=out)
    return _op("nanmedian_dim")(input, dim, keepdim, out=out)


# ---- spread ----


def _spread_function(name: str, what: str) -> Callable[..., Any]:
    def spread(
        input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *,
        correction: float | None = _NOT_GIVEN, out: Any = None,
    ) -> Any:  # fmt: skip
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        if correction is _NOT_GIVEN or correction is None:
            correction = 1 if unbiased is None else int(unbiased)
        kwargs = {} if out is None else {"out": out}
        return _op(name)(input, dim, correction=correction, keepdim=keepdim, **kwargs)

    spread.__name__ = spread.__qualname__ = name
    spread.__doc__ = (
        f"Compute {what} over `dim` (all dimensions when None), dividing by n - correction.\n\n"
        "`unbiased` is the older way to say correction 1 (True) or 0 (False)."
    )
    return spread


var = _spread_function("var", "the variance")
std = _spread_function("std", "the standard deviation")
var_mean = _spread_function("var_mean", "the variance and the mean")
std_mean = _spread_function("std_mean", "the standard deviation and the mean")


# ---- tests ----


def allclose(
    input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """Return whether all elements are close; see isclose."""
    return bool(_op("isclose")(input, other, rtol, atol, equal_nan)._array.all())


def equal(input: Tensor, other: Tensor) -> bool:
    """Return whether two tensors have the same shape and elements.

    Raises:
        TypeError: `other` is no tensor.
    """
    if not isinstance(other, Tensor):
        raise TypeError(f"equal(): argument 'other' (position 1) must be Tensor, not {type(other).__name__}")
    return input._array.shape == other._array.shape and bool((input._array == other._array).all())


# ---- arithmetic ----


def div(input: Any, other: Any, *, rounding_mode: str | None = None, out: Any = None) -> Any:
    """Divide elementwise; `rounding_mode` "trunc" rounds the quotient towards zero, "floor" downwards.

    Raises:
        RuntimeError: the rounding mode is neither of these, nor None.
    """
    if rounding_mode is None:
        return _op("div")(input, other, out=out)
    _check_mode(rounding_mode)
    return _op("div_rounded")(input, other, rounding_mode=rounding_mode, out=out)


def div_(input: Tensor, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """Divide in place; see div."""
    if rounding_mode is None:
        return written_in_place(TABLE["div"])(input, other)  # type: ignore[no-any-return]
    _check_mode(rounding_mode)
    rounded = written_in_place(TABLE["div_rounded"])
    return rounded(input, other, rounding_mode=rounding_mode)  # type: ignore[no-any-return]


def _check_mode(mode: Any) -> None:
    if mode not in ("trunc", "floor"):
        raise RuntimeError(
            f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{mode}'"
        )


def __rtruediv__(self: Tensor, other: Any) -> Tensor:  # noqa: N807 - a method in waiting
    """Divide `other` by this tensor: reciprocal times other, as in torch."""
    return self.reciprocal() * other  # type: ignore[no-any-return]


def positive(input: Tensor) -> Tensor:
    """Return the input.

    Raises:
        RuntimeError: it is bool.
    """
    if input.dtype is dtypes.bool_:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


def bitwise_not_operator(self: Tensor) -> Tensor:
    """Flip all bits (`~x`).

    Raises:
        TypeError: the elements are not integers or bool.
    """
    if self.dtype.category > dtypes.INTEGER:
        raise TypeError("~ (operator.invert) is only implemented on integer and Boolean-type tensors")
    return _op("bitwise_not")(self)  # type: ignore[no-any-return]


# ---- choosing ----


def where(condition: Tensor, input: Any = _NOT_GIVEN, other: Any = _NOT_GIVEN, *, out: Any = None) -> Any:
    """Take `input` where `condition` is true, else `other`; alone, return the indices where it is true."""
    if input is _NOT_GIVEN and other is _NOT_GIVEN:
        return condition.nonzero(as_tuple=True)
    return _op("where")(input, condition, other, out=out)


# ---- complex ----


def real(input: Tensor) -> Tensor:
    """Return the real part, as a view; the input itself if it is real."""
    return _op("real")(input) if input.dtype.is_complex else input


def conj(input: Tensor) -> Tensor:
    """Return the complex conjugate; the input itself if it is real."""
    return _op("conj")(input) if input.dtype.is_complex else input


def _of_parts(name: str) -> Callable[..., Any]:
    def made(first: Tensor, second: Tensor, *, out: Any = None) -> Any:
        # The straight-line function is for operands and results of one dtype.
        return general(TABLE[name], (first, second), out)

    made.__name__ = made.__qualname__ = name
    made.__doc__ = TABLE[name].doc
    return made


def set_real(self: Tensor, value: Any) -> None:
    """Write the real part."""
    real(self).copy_(value)


def set_imag(self: Tensor, value: Any) -> None:
    """Write the imaginary part."""
    _op("imag")(self).copy_(value)


def resolved(input: Tensor) -> Tensor:
    """Return the input: conjugates and negatives are never left undone here."""
    return input


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "max": max, "min": min, "median": median, "nanmedian": nanmedian, "var": var, "std": std,
    "var_mean": var_mean, "std_mean": std_mean, "allclose": allclose, "equal": equal,
    "div": div, "divide": div, "positive": positive,
    "where": where, "real": real, "conj": conj, "conj_physical": conj, "resolve_conj": resolved,
    "resolve_neg": resolved, "complex": _of_parts("complex"), "polar": _of_parts("polar"),
    **calculus.FUNCTIONS, **composed.FUNCTIONS,
}  # fmt: skip
"""What torch has at module level and, if METHODS does not say otherwise, as a method of Tensor."""

METHODS: dict[str, Any] = {
    "where": _op("where"), "div_": div_, "divide_": div_, "real": property(real, set_real),
    "imag": property(_op("imag"), set_imag), "conj_physical_": written_in_place(TABLE["conj"]),
    "__rtruediv__": __rtruediv__, "__rdiv__": __rtruediv__, "__invert__": bitwise_not_operator,
    "__pos__": positive, **composed.METHODS,
}  # fmt: skip
"""What Tensor has in another form than the module."""

SPECIAL = composed.SPECIAL
