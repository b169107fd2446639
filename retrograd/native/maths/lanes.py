"""Lanes: an LLVM scalar or vector with Python's operators, so that formulas read as mathematics.

A formula is a function of Lanes; it emits straight-line code for any number of lanes. Nothing here carries
fast-math flags: range reductions and compensated sums rely on every operation being rounded as written.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any


@cache
def llvm() -> Any:
    """Import what builds LLVM's IR; start-up must not load it."""
    from llvmlite import ir  # noqa: PLC0415 - optional, and slow to load

    return ir


class Lanes:
    """A value of LLVM: floating-point numbers, integers, or the truth values of a comparison."""

    __hash__ = None  # type: ignore[assignment] # == compares lane by lane
    __slots__ = ("builder", "value")

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder = builder
        self.value = value

    @property
    def element(self) -> Any:
        return getattr(self.value.type, "element", self.value.type)

    @property
    def count(self) -> int | None:
        """The number of lanes; None for a scalar."""
        return getattr(self.value.type, "count", None)

    @property
    def is_float(self) -> bool:
        return str(self.element) in {"float", "double"}

    @property
    def bits(self) -> int:
        """The width of a lane."""
        return {"float": 32, "double": 64}.get(str(self.element)) or int(self.element.width)

    @property
    def suffix(self) -> str:
        """What an intrinsic's name says about its type: v16f32, i64."""
        shape = "" if self.count is None else f"v{self.count}"
        return f"{shape}{'f' if self.is_float else 'i'}{self.bits}"

    def typed(self, element: Any) -> Any:
        """Return the type of as many lanes of another element."""
        return element if self.count is None else llvm().VectorType(element, self.count)

    def like(self, number: float | Lanes) -> Lanes:
        """Return a number in every lane, rounded to the type of the lanes; what is Lanes already stays."""
        if isinstance(number, Lanes):
            return number
        constant = llvm().Constant(self.element, float(number) if self.is_float else int(number))
        if self.count is not None:
            # llvmlite would write every lane out; a formatted constant of a vector type it does not make.
            constant = llvm().FormattedConstant(self.element, f"splat ({constant})")
            constant.type = self.value.type
        return Lanes(self.builder, constant)

    def _with(self, floats: str, integers: str, left: Lanes, right: Lanes) -> Lanes:
        return Lanes(
            self.builder,
            getattr(self.builder, floats if self.is_float else integers)(left.value, right.value),
        )

    def __add__(self, other: Lanes | float) -> Lanes:
        return self._with("fadd", "add", self, self.like(other))

    def __radd__(self, other: float) -> Lanes:
        return self._with("fadd", "add", self.like(other), self)

    def __sub__(self, other: Lanes | float) -> Lanes:
        return self._with("fsub", "sub", self, self.like(other))

    def __rsub__(self, other: float) -> Lanes:
        return self._with("fsub", "sub", self.like(other), self)

    def __mul__(self, other: Lanes | float) -> Lanes:
        return self._with("fmul", "mul", self, self.like(other))

    def __rmul__(self, other: float) -> Lanes:
        return self._with("fmul", "mul", self.like(other), self)

    def __truediv__(self, other: Lanes | float) -> Lanes:
        return self._with("fdiv", "sdiv", self, self.like(other))

    def __rtruediv__(self, other: float) -> Lanes:
        return self._with("fdiv", "sdiv", self.like(other), self)

    def __neg__(self) -> Lanes:
        return Lanes(self.builder, self.builder.fneg(self.value)) if self.is_float else self.like(0) - self

    def __and__(self, other: Lanes | int) -> Lanes:
        return Lanes(self.builder, self.builder.and_(self.value, self.like(other).value))

    def __or__(self, other: Lanes | int) -> Lanes:
        return Lanes(self.builder, self.builder.or_(self.value, self.like(other).value))

    def __xor__(self, other: Lanes | int) -> Lanes:
        return Lanes(self.builder, self.builder.xor(self.value, self.like(other).value))

    def __invert__(self) -> Lanes:
        return self ^ (1 if self.bits == 1 else -1)

    def __lshift__(self, places: Lanes | int) -> Lanes:
        return Lanes(self.builder, self.builder.shl(self.value, self.like(places).value))

    def __rshift__(self, places: Lanes | int) -> Lanes:
        """Shift right, keeping the sign."""
        return Lanes(self.builder, self.builder.ashr(self.value, self.like(places).value))

    def unsigned_shift(self, places: Lanes | int) -> Lanes:
        """Shift right, zeros coming in."""
        return Lanes(self.builder, self.builder.lshr(self.value, self.like(places).value))

    def _compare(self, sign: str, other: Lanes | float) -> Lanes:
        """Compare; what is not a number equals nothing and differs from all, as in Python."""
        right = self.like(other).value
        if not self.is_float:
            return Lanes(self.builder, self.builder.icmp_signed(sign, self.value, right))
        compare = self.builder.fcmp_unordered if sign == "!=" else self.builder.fcmp_ordered
        return Lanes(self.builder, compare(sign, self.value, right))

    def __lt__(self, other: Lanes | float) -> Lanes:
        return self._compare("<", other)

    def __le__(self, other: Lanes | float) -> Lanes:
        return self._compare("<=", other)

    def __gt__(self, other: Lanes | float) -> Lanes:
        return self._compare(">", other)

    def __ge__(self, other: Lanes | float) -> Lanes:
        return self._compare(">=", other)

    def __eq__(self, other: Lanes | float) -> Lanes:  # type: ignore[override] # lane by lane
        return self._compare("==", other)

    def __ne__(self, other: Lanes | float) -> Lanes:  # type: ignore[override] # lane by lane
        return self._compare("!=", other)

    def choose(self, yes: Lanes | float, no: Lanes | float) -> Lanes:
        """Return, where this is true, `yes`, else `no`; one of them must be Lanes."""
        if not isinstance(yes, Lanes):
            assert isinstance(no, Lanes)
            yes = no.like(yes)
        return Lanes(self.builder, self.builder.select(self.value, yes.value, yes.like(no).value))

    def any(self) -> Any:
        """Return the i1 that says whether this is true of any lane."""
        return self.value if self.count is None else intrinsic("vector.reduce.or", self, result=self.element)

    def as_integer(self) -> Lanes:
        """Return the bits of the numbers as integers."""
        kind = self.typed(llvm().IntType(self.bits))
        return Lanes(self.builder, self.builder.bitcast(self.value, kind))

    def as_float(self) -> Lanes:
        """Return the numbers that have these integers as their bits."""
        kind = self.typed(llvm().FloatType() if self.bits == 32 else llvm().DoubleType())
        return Lanes(self.builder, self.builder.bitcast(self.value, kind))

    def to_integer(self) -> Lanes:
        """Return the numbers as integers of the same width, towards zero; they must fit."""
        kind = self.typed(llvm().IntType(self.bits))
        return Lanes(self.builder, self.builder.fptosi(self.value, kind))

    def to_float(self) -> Lanes:
        """Return the integers as floating-point numbers of the same width."""
        kind = self.typed(llvm().FloatType() if self.bits == 32 else llvm().DoubleType())
        return Lanes(self.builder, self.builder.sitofp(self.value, kind))

    def widen(self) -> Lanes:
        """Return the numbers in float64."""
        return Lanes(self.builder, self.builder.fpext(self.value, self.typed(llvm().DoubleType())))

    def narrow(self) -> Lanes:
        """Return the numbers rounded to float32."""
        return Lanes(self.builder, self.builder.fptrunc(self.value, self.typed(llvm().FloatType())))


def declare(module: Any, name: str, result: Any, arguments: Sequence[Any]) -> Any:
    """Return the function of that name in a module, declared there if it is new."""
    found = module.globals.get(name)
    return found or llvm().Function(module, llvm().FunctionType(result, arguments), name)


def intrinsic(name: str, *lanes: Lanes, result: Any = None, suffix: str = "") -> Any:
    """Call one of LLVM's intrinsics and return the value; its type is that of the first argument."""
    first = lanes[0]
    kinds = [x.value.type for x in lanes]
    called = declare(first.builder.module, f"llvm.{name}.{suffix or first.suffix}", result or kinds[0], kinds)
    return first.builder.call(called, [x.value for x in lanes])


def fma(x: Lanes, y: Lanes | float, z: Lanes | float) -> Lanes:
    """Return x * y + z, rounded once."""
    return Lanes(x.builder, intrinsic("fma", x, x.like(y), x.like(z)))


def sqrt(x: Lanes) -> Lanes:
    return Lanes(x.builder, intrinsic("sqrt", x))


def absolute(x: Lanes) -> Lanes:
    return Lanes(x.builder, intrinsic("fabs", x))


def floor(x: Lanes) -> Lanes:
    return Lanes(x.builder, intrinsic("floor", x))


def ceil(x: Lanes) -> Lanes:
    return Lanes(x.builder, intrinsic("ceil", x))


def trunc(x: Lanes) -> Lanes:
    return Lanes(x.builder, intrinsic("trunc", x))


def rint(x: Lanes) -> Lanes:
    """Round to the nearest integer, halves to the even one."""
    return Lanes(x.builder, intrinsic("roundeven", x))


def copysign(x: Lanes, sign: Lanes) -> Lanes:
    return Lanes(x.builder, intrinsic("copysign", x, sign))


def at_least(x: Lanes, bound: Lanes | float) -> Lanes:
    """Return the larger one; what is not a number stays."""
    return (x < bound).choose(bound, x)


def at_most(x: Lanes, bound: Lanes | float) -> Lanes:
    """Return the smaller one; what is not a number stays."""
    return (x > bound).choose(bound, x)


def polynomial(x: Lanes, coefficients: Sequence[float]) -> Lanes:
    """Return the polynomial with these coefficients, the constant one first.

    A long one is two of x^2, whose chains of operations run side by side; short enough for float32, one chain
    overlaps with those of the next numbers, and it has one operation less.
    """
    if x.bits == 32 or len(coefficients) < 8:
        *lower, total = (x.like(c) for c in coefficients)
        for coefficient in reversed(lower):
            total = fma(total, x, coefficient)
        return total
    z = x * x
    return fma(polynomial(z, coefficients[1::2]), x, polynomial(z, coefficients[::2]))
