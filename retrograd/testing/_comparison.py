"""assert_close: compare tensors, numbers, and sequences and mappings of them.

The structure is walked first, so that a wrong length or key is reported before a wrong value.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.tensor import Tensor, wrap
from retrograd.testing._difference import are_close, arrays_apart, numbers_apart

_TOLERANCES = {
    dtypes.float16: (1e-3, 1e-5),
    dtypes.bfloat16: (1.6e-2, 1e-5),
    dtypes.float32: (1.3e-6, 1e-5),
    dtypes.complex64: (1.3e-6, 1e-5),
    dtypes.float64: (1e-7, 1e-7),
    dtypes.complex128: (1e-7, 1e-7),
}
_OF_NUMBER = {int: dtypes.int64, float: dtypes.float64, complex: dtypes.complex128}


def default_tolerances(*inputs: Any) -> tuple[float, float]:
    """Return the relative and absolute tolerance for tensors or dtypes: the widest of theirs."""
    found = [_TOLERANCES.get(i if isinstance(i, dtypes.dtype) else i.dtype, (0.0, 0.0)) for i in inputs]
    return max(rtol for rtol, _ in found), max(atol for _, atol in found)


@dataclass(frozen=True)
class _Options:
    allow_subclasses: bool
    rtol: float | None
    atol: float | None
    equal_nan: bool
    check_device: bool
    check_dtype: bool
    check_layout: bool
    check_stride: bool

    def tolerances(self, *inputs: Any) -> tuple[float, float]:
        if self.rtol is None or self.atol is None:
            return default_tolerances(*inputs)
        return self.rtol, self.atol


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: str | Callable[[str], str] | None = None,
) -> None:
    """Raise unless |actual - expected| <= atol + rtol * |expected| everywhere, and the attributes agree.

    Args:
        actual: a tensor, an array, a number, None, or a sequence or mapping of such.
        expected: the same, of a related type.
        allow_subclasses: let types be subclasses of each other.
        rtol: the relative tolerance; by default the dtypes' (float32: 1.3e-6). Only together with `atol`.
        atol: the absolute tolerance; by default the dtypes' (float32: 1e-5).
        equal_nan: let NaN be close to NaN.
        check_device: compare the devices.
        check_dtype: compare the dtypes; otherwise promote.
        check_layout: compare the layouts.
        check_stride: compare the strides.
        msg: the text of the error, or a function that makes it from the usual one.

    Raises:
        AssertionError: a value is too far off, or an attribute, a length or a key differs.
        TypeError: the types cannot be compared.
        ValueError: only one tolerance was given.

    Example:
        >>> import retrograd as torch
        >>> torch.testing.assert_close(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0 + 1e-7]))
    """
    if (rtol is None) != (atol is None):
        missing = "rtol" if rtol is None else "atol"
        raise ValueError(f"Both 'rtol' and 'atol' must be either specified or omitted, but got no {missing}.")
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value is not None and not value >= 0:
            raise RuntimeError(f"{name} must be greater than or equal to zero, but got {value}")
    options = _Options(
        allow_subclasses, rtol, atol, equal_nan, check_device, check_dtype, check_layout, check_stride
    )
    try:
        for path, compare, one, other in list(_pairs(actual, expected, "", options)):
            found = compare(one, other, options)
            if found is not None:
                _fail(found, path)
    except AssertionError as error:
        text = str(error)
        raise AssertionError(text if msg is None else msg if isinstance(msg, str) else msg(text)) from None


def _fail(text: str, path: str) -> None:
    raise AssertionError(f"{text}\n\nThe failure occurred for item {path}" if path else text)


# ---- what is to be compared with what ----

_Compare = Callable[[Any, Any, _Options], str | None]


def _pairs(
    actual: Any, expected: Any, path: str, options: _Options
) -> Iterator[tuple[str, _Compare, Any, Any]]:
    """Yield (place, comparison, actual, expected) for each leaf of the structure."""
    if isinstance(actual, Mapping) and isinstance(expected, Mapping):
        _check_keys(actual, expected, path)
        for key in sorted(actual) if _sortable(actual) else actual:
            yield from _pairs(actual[key], expected[key], f"{path}[{key!r}]", options)
    elif _is_sequence(actual) and _is_sequence(expected):
        if len(actual) != len(expected):
            _fail(f"The length of the sequences mismatch: {len(actual)} != {len(expected)}", path)
        for i, (one, other) in enumerate(zip(actual, expected, strict=True)):
            yield from _pairs(one, other, f"{path}[{i}]", options)
    else:
        yield path, _comparison(actual, expected, path, options), actual, expected


def _check_keys(actual: Mapping[Any, Any], expected: Mapping[Any, Any], path: str) -> None:
    missing = [k for k in expected if k not in actual]
    extra = [k for k in actual if k not in expected]
    if missing or extra:
        _fail(
            f"The keys of the mappings do not match:\nMissing keys in the actual mapping: {sorted(missing)}\n"
            f"Additional keys in the actual mapping: {sorted(extra)}",
            path,
        )


def _sortable(mapping: Mapping[Any, Any]) -> bool:
    return all(isinstance(k, str) for k in mapping)


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _comparison(actual: Any, expected: Any, path: str, options: _Options) -> _Compare:
    """Return what compares two leaves.

    Raises:
        TypeError: nothing does.
    """
    if actual is None or expected is None:
        return _nones
    if isinstance(actual, (bool, np.bool_)) and isinstance(expected, (bool, np.bool_)):
        return _booleans
    if _number_type(actual) and _number_type(expected):
        return _numbers
    both_tensors = isinstance(actual, Tensor) and isinstance(expected, Tensor)
    if both_tensors or (isinstance(actual, np.ndarray) and isinstance(expected, np.ndarray)):
        one, other = type(actual), type(expected)
        if one is other or (options.allow_subclasses and (issubclass(one, other) or issubclass(other, one))):
            return _tensors
    where = f"\n\nThe failure occurred for item {path}" if path else ""
    raise TypeError(
        f"No comparison pair was able to handle inputs of type {type(actual)} and {type(expected)}.{where}"
    )


def _number_type(value: Any) -> type | None:
    """Return the Python type of a number; None for what is none."""
    if isinstance(value, (bool, np.bool_)):
        return None
    for kind, also in ((int, np.integer), (float, np.floating), (complex, np.complexfloating)):
        if isinstance(value, (kind, also)):
            return kind
    return None


# ---- comparisons: None if close, else the text ----


def _nones(actual: Any, expected: Any, _: _Options) -> str | None:
    return None if actual is expected else f"None mismatch: {actual} is not {expected}"


def _booleans(actual: Any, expected: Any, _: _Options) -> str | None:
    return None if bool(actual) is bool(expected) else f"Booleans mismatch: {actual} is not {expected}"


def _numbers(actual: Any, expected: Any, options: _Options) -> str | None:
    one, other = _number_type(actual), _number_type(expected)
    assert one is not None
    assert other is not None
    if options.check_dtype and one is not other:
        return f"The (d)types do not match: {one} != {other}."
    rtol, atol = options.tolerances(_OF_NUMBER[one], _OF_NUMBER[other])
    if are_close(np.asarray(actual), np.asarray(expected), rtol, atol, options.equal_nan).all():
        return None
    return numbers_apart(actual, expected, rtol, atol)


def _tensors(actual: Any, expected: Any, options: _Options) -> str | None:
    one, other = (t if isinstance(t, Tensor) else wrap(t) for t in (actual, expected))
    for name, wanted in (
        ("shape", True), ("layout", options.check_layout), ("device", options.check_device),
        ("dtype", options.check_dtype),
    ):  # fmt: skip
        mine, theirs = getattr(one, name), getattr(other, name)
        if wanted and mine != theirs:
            return f"The values for attribute {name!r} do not match: {mine} != {theirs}."
    if options.check_stride and _strides(one) != _strides(other):
        return f"The values for attribute 'stride()' do not match: {_strides(one)} != {_strides(other)}."
    rtol, atol = options.tolerances(one, other)
    common = dtypes.promote_types(one.dtype, other.dtype).np
    a, b = one._array.astype(common), other._array.astype(common)
    close = are_close(a, b, rtol, atol, options.equal_nan)
    if close.all():
        return None
    return (
        numbers_apart(a.item(), b.item(), rtol, atol)
        if a.ndim == 0
        else arrays_apart(a, b, close, rtol, atol)
    )


def _strides(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.stride())


# ---- the old name ----

_OLD_TOLERANCES = {
    dtypes.float16: (1e-3, 1e-3), dtypes.float32: (1e-4, 1e-5), dtypes.float64: (1e-5, 1e-8),
}  # fmt: skip


def assert_allclose(
    actual: Any, expected: Any, rtol: float | None = None, atol: float | None = None, equal_nan: bool = True,
    msg: str = "",
) -> None:  # fmt: skip
    """Compare as `assert_close` does, with other tolerances and any dtypes. Deprecated.

    Raises:
        AssertionError: a value is too far off.
    """
    warnings.warn(
        "`torch.testing.assert_allclose()` is deprecated since 1.12 and will be removed in a future release. "
        "Please use `torch.testing.assert_close()` instead. You can find detailed upgrade instructions in "
        "https://github.com/pytorch/pytorch/issues/61844.",
        FutureWarning,
        stacklevel=2,
    )
    one = actual if isinstance(actual, Tensor) else wrap(np.asarray(actual, _default_for(actual)))
    other = expected if isinstance(expected, Tensor) else wrap(np.asarray(expected, one.dtype.np))
    if rtol is None and atol is None:
        found = [_OLD_TOLERANCES.get(t.dtype, (0.0, 0.0)) for t in (one, other)]
        rtol, atol = max(r for r, _ in found), max(a for _, a in found)
    assert_close(one, other, rtol=rtol, atol=atol, equal_nan=equal_nan, check_dtype=False, msg=msg or None)


def _default_for(value: Any) -> Any:
    """Return the NumPy type that a value without one becomes: Python floats the default dtype."""
    array = np.asarray(value)
    return (
        dtypes.default.float.np if not isinstance(value, np.ndarray) and array.dtype == float else array.dtype
    )
