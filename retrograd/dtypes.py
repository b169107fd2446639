"""Number types: what each is called, what NumPy stores it as, and how two of them combine.

A dtype's *category* is bool < integer < floating < complex. Promotion looks at the category first: the widest
category among the operands wins, and only operands of the highest-ranking kind (tensors with dimensions, then
0-dim tensors, then Python scalars) choose the width within it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import ml_dtypes
import numpy as np

BOOL, INTEGER, FLOATING, COMPLEX = range(4)


class dtype:  # noqa: N801 - torch's public name
    """A number type; one object per type, so `is` compares them.

    Source: names and attributes follow torch.dtype.
    """

    __slots__ = (
        "_legacy",
        "category",
        "is_complex",
        "is_floating_point",
        "is_signed",
        "itemsize",
        "kind",
        "name",
        "np",
    )

    def __init__(self, name: str, numpy_type: Any, legacy: str) -> None:
        self.name = name
        self.np: np.dtype[Any] = np.dtype(numpy_type)
        self.kind = "f" if name == "bfloat16" else self.np.kind
        self.category = {"b": BOOL, "u": INTEGER, "i": INTEGER, "f": FLOATING, "c": COMPLEX}[self.kind]
        self.itemsize = self.np.itemsize
        self.is_floating_point = self.category == FLOATING
        self.is_complex = self.category == COMPLEX
        self.is_signed = self.kind in "ifc"
        self._legacy = legacy

    @property
    def scalar_name(self) -> str:
        """The type's name in error messages, e.g. `Float`."""
        return self._legacy

    @property
    def c_name(self) -> str:
        """The type's name in C, which a few error messages use, e.g. `float`."""
        return {"Half": "c10::Half", "BFloat16": "c10::BFloat16", "Long": "long", "Byte": "unsigned char",
                "Char": "signed char", "ComplexFloat": "c10::complex<float>",
                "ComplexDouble": "c10::complex<double>"}.get(self._legacy, self._legacy.lower())  # fmt: skip

    @property
    def tensor_type(self) -> str:
        """The legacy tensor type of the same elements, e.g. `torch.FloatTensor`."""
        return f"torch.{'Bool' if self.name == 'bool' else self._legacy}Tensor"

    def to_real(self) -> dtype:
        """Return the type of the real part."""
        return {"complex64": float32, "complex128": float64}.get(self.name, self)

    def to_complex(self) -> dtype:
        """Return the complex type whose parts have this type."""
        return {"float64": complex128, "complex128": complex128}.get(self.name, complex64)

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name

    def __copy__(self) -> dtype:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> dtype:
        return self


uint8 = dtype("uint8", np.uint8, "Byte")
uint16 = dtype("uint16", np.uint16, "UInt16")
uint32 = dtype("uint32", np.uint32, "UInt32")
uint64 = dtype("uint64", np.uint64, "UInt64")
int8 = dtype("int8", np.int8, "Char")
int16 = dtype("int16", np.int16, "Short")
int32 = dtype("int32", np.int32, "Int")
int64 = dtype("int64", np.int64, "Long")
float16 = dtype("float16", np.float16, "Half")
bfloat16 = dtype("bfloat16", ml_dtypes.bfloat16, "BFloat16")
float32 = dtype("float32", np.float32, "Float")
float64 = dtype("float64", np.float64, "Double")
complex64 = dtype("complex64", np.complex64, "ComplexFloat")
complex128 = dtype("complex128", np.complex128, "ComplexDouble")
bool_ = dtype("bool", np.bool_, "Bool")

ALL = (
    uint8, uint16, uint32, uint64, int8, int16, int32, int64,
    float16, bfloat16, float32, float64, complex64, complex128, bool_,
)  # fmt: skip
BY_NAME = {d.name: d for d in ALL}
OF_NUMPY: dict[np.dtype[Any], dtype] = {d.np: d for d in ALL}
_ALIASES = {
    "half": float16, "float": float32, "double": float64, "cfloat": complex64, "cdouble": complex128,
    "short": int16, "int": int32, "long": int64,
}  # fmt: skip


def of_array(array: Any) -> dtype:
    """Return the dtype of a NumPy array or scalar; TypeError for one that tensors cannot hold."""
    found = OF_NUMPY.get(array.dtype)
    if found is None:
        found = OF_NUMPY.get(array.dtype.newbyteorder("="))
        if found is None or array.dtype.byteorder not in "=|":
            names = ", ".join(d.name for d in ALL)
            raise TypeError(
                f"can't convert np.ndarray of type {array.dtype}. The supported types are: {names}."
            )
    return found


class _Default:
    """The dtype that Python floats become; `set` accepts floating types only."""

    def __init__(self) -> None:
        self.float = float32

    def set(self, value: dtype) -> None:
        if not isinstance(value, dtype):
            raise TypeError(
                f"invalid dtype object: only floating-point types are supported as the default type; got "
                f"{value!r}"
            )
        if not value.is_floating_point:
            raise TypeError("only floating-point types are supported as the default type")
        self.float = value


default = _Default()


def of_scalar(value: complex) -> dtype:
    """Return the dtype that a Python scalar becomes when it stands alone."""
    if isinstance(value, (bool, np.bool_)):
        return bool_
    if isinstance(value, (int, np.integer)):
        return int64
    if isinstance(value, (float, np.floating)):
        return default.float
    return default.float.to_complex()


_SIGNED_OF_WIDTH = {1: int8, 2: int16, 4: int32, 8: int64}


@cache
def promote_types(first: dtype, second: dtype) -> dtype:
    """Return the smallest dtype that holds both, as torch.promote_types does.

    Source: NumPy's lattice except that integers never widen a floating type and float16 with bfloat16 gives
    float32.
    """
    if first is second:
        return first
    low, high = sorted((first, second), key=lambda d: d.category)
    if BOOL in (high.category, low.category):
        return high
    if high.category == COMPLEX:
        if low.category == COMPLEX:
            return complex128
        return complex128 if low is float64 else high
    if high.category == FLOATING:
        if low.category == INTEGER:
            return high
        if {first, second} == {float16, bfloat16}:
            return float32
        return max(first, second, key=lambda d: d.itemsize)
    if first.is_signed == second.is_signed:
        return max(first, second, key=lambda d: d.itemsize)
    unsigned, signed = (first, second) if second.is_signed else (second, first)
    if unsigned is uint8:
        return signed if signed.itemsize > 1 else int16
    raise RuntimeError(
        f"Promotion for uint16, uint32, uint64 types is not supported, attempted to promote "
        f"{first.scalar_name} and {second.scalar_name}"
    )


def can_cast(from_: dtype, to: dtype) -> bool:
    """Whether a result of type `from_` may be written into one of type `to` (the category may not fall)."""
    return from_.category <= to.category


class finfo:  # noqa: N801 - torch's public name
    """Limits of a floating or complex dtype: bits, eps, max, min, tiny, smallest_normal, resolution.

    Example:
        >>> finfo(float32).eps
        1.1920928955078125e-07
    """

    def __init__(self, type: dtype | None = None) -> None:
        type = default.float if type is None else type
        if type.category < FLOATING:
            raise TypeError(
                "torch.finfo() requires a floating point input type. Use torch.iinfo to handle 'torch.finfo'"
            )
        real = type.to_real()
        found: Any = ml_dtypes.finfo(real.np)  # type: ignore[no-untyped-call]
        self.dtype = real.name
        self.bits = int(found.bits)
        self.eps, self.max, self.min = float(found.eps), float(found.max), float(found.min)
        self.tiny = self.smallest_normal = float(found.smallest_normal)
        self.resolution = float(found.resolution)

    def __repr__(self) -> str:
        names = ("resolution", "min", "max", "eps", "smallest_normal", "tiny")
        return f"finfo({', '.join(f'{n}={getattr(self, n):g}' for n in names)}, dtype={self.dtype})"


class iinfo:  # noqa: N801 - torch's public name
    """Limits of an integer dtype: bits, max, min."""

    def __init__(self, type: dtype) -> None:
        if type.category != INTEGER:
            raise TypeError(
                "torch.iinfo() requires an integer input type. Use torch.finfo to handle 'torch.iinfo'"
            )
        found = np.iinfo(type.np)
        self.bits, self.max, self.min = int(found.bits), int(found.max), int(found.min)
        self.dtype = type.name

    def __repr__(self) -> str:
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"
