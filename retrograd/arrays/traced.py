"""The traced array: stands for an array while a function runs, and records what is done to it.

A definition or rule that is given traced arrays runs as always; its operators, its indexing and the NumPy
functions it calls become instructions of an array program (ir.py). What cannot be recorded raises, naming the
user's line; nothing is ever converted silently.

Writes are recorded functionally: `x[i] = v` makes a new value, and the handle x stands for it from then on. A
view knows the handle that it was taken of and how, so that a write to either is seen through the other, as in
NumPy. Whether `reshape` gives a view is decided as for arrays that lie in memory in C order.
"""

from __future__ import annotations

import functools
import math
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from retrograd.arrays.handles import VIEWS, now, phantom, write
from retrograd.arrays.ir import Value
from retrograd.arrays.vocabulary import ValueDependentError, arguments, is_known, name_of
from retrograd.ops.declare import Op
from retrograd.ops.helpers import ArrayLike, ScalarLike, memory_of

if TYPE_CHECKING:
    from retrograd.arrays.handles import Move
    from retrograd.arrays.recorder import Recorder

ndarray = np.ndarray
_E = TypeVar("_E", bound=Exception)
_LIBRARIES = (f"{Path(__file__).resolve().parents[1]}/", f"{Path(np.__file__).resolve().parent}/", "<")


def place() -> str:
    """Return `file:line in function` of the innermost frame that is neither retrograd's nor NumPy's."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_LIBRARIES):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"


class Scalar(ScalarLike):
    """A Python number that is known only when the program runs: an input without dimensions."""

    __slots__ = ()

    def of(self, dtype: Any) -> Traced:
        """Return the input that the number is in the program, of the dtype that it takes."""
        raise NotImplementedError


def has_arrays(tree: Any) -> bool:
    if isinstance(tree, (tuple, list)):
        return any(has_arrays(x) for x in tree)
    return isinstance(tree, (Traced, ndarray, Scalar))


class _Refusals(threading.local):
    last: Exception | None = None


refusals = _Refusals()
"""The last thing that could not be traced in this thread, should the traced function swallow its error."""


def refused(error: _E) -> _E:
    """Note that something cannot be traced, and return its error."""
    refusals.last = error
    return error


def value_dependent(what: str, instead: str) -> ValueDependentError:
    return refused(
        ValueDependentError(
            f"value-dependent: {what} needs the elements of a traced array, known only when the program "
            f"runs, at {place()}; {instead}, or leave this part out of the traced function"
        )
    )


def _operator(function: Any, *, swapped: bool = False) -> Any:
    def run(self: Any, other: Any) -> Any:
        return function(other, self) if swapped else function(self, other)

    return run


def _in_place(function: Any) -> Any:
    def run(self: Any, other: Any) -> Any:
        return function(self, other, out=self)

    return run


class Traced(ArrayLike):
    """An array of which only shape and dtype are known; what is done to it is recorded."""

    __slots__ = ("_base", "_move", "_phantom", "_recorder", "_seen", "_value", "_writes")

    __hash__ = object.__hash__

    def __init__(self, recorder: Recorder, value: Value) -> None:
        self._recorder = recorder
        self._value = value
        self._base: Traced | None = None
        self._move: Move | None = None
        self._phantom: ndarray[Any, Any] | None = None
        self._seen = self._writes = 0

    shape = property(lambda self: self._seen_value().shape)
    dtype = property(lambda self: self._seen_value().dtype)
    ndim = property(lambda self: len(self._seen_value().shape))
    size = property(lambda self: math.prod(self._seen_value().shape))
    itemsize = property(lambda self: self._seen_value().dtype.itemsize)
    nbytes = property(lambda self: self.size * self.itemsize)
    memory = property(phantom, doc="An array that lies in memory as this one would.")
    strides = property(lambda self: phantom(self).strides)
    flags = property(lambda self: phantom(self).flags)
    real = property(lambda self: np.real(self) if self.dtype.kind == "c" else self)
    imag = property(lambda self: np.imag(self))  # noqa: PLW0108 - np.imag's own docstring is no part of this
    T = property(lambda self: np.transpose(self))  # noqa: PLW0108

    def _seen_value(self) -> Value:
        self._recorder.seen.add(self._value.id)
        return self._value

    def __repr__(self) -> str:
        return f"<traced {now(self)}: {self._value.type}>"

    def __getattr__(self, name: str) -> Any:
        if name in _METHODS:
            return functools.partial(getattr(np, name), self)
        error = AttributeError(f"a traced array has no attribute '{name}', asked for at {place()}")
        raise error if name.startswith("_") else refused(error)

    @property
    def base(self) -> Traced | None:
        """The array that owns the memory; None for one that owns its own."""
        found = self._base
        while found is not None and found._base is not None:
            found = found._base
        return found

    def of(self, array: Any) -> Traced:
        """Return a new array with the elements of another one, of this program or from outside."""
        recorder = self._recorder
        return Traced(recorder, recorder.operand(array))

    def view(self) -> Any:
        """Return another handle on the same memory."""
        return self._recorder.move("getitem", self, (...,), {})

    def copy(self, order: str = "C") -> Traced:
        """Return an array with the same elements and memory of its own."""
        del order
        return self.of(self)

    def astype(self, dtype: Any, copy: bool = True) -> Any:
        """Return the array in another dtype."""
        made = self._cast(dtype)
        return made.copy() if made is self and copy else made

    def reshape(self, *shape: Any, copy: bool | None = None) -> Any:
        """Return the elements in another shape; ValueError where that needs a forbidden copy."""
        size = shape[0] if len(shape) == 1 else shape
        if copy is False:
            phantom(self).reshape(size, copy=False)
        return np.reshape(self, size)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return int(self.shape[0])

    def __iter__(self) -> Any:
        if not self.shape:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: Any) -> Any:
        index = self._index(index)
        if has_arrays(index):
            return self._recorder.emit("getitem", (self, index), {})
        return self._recorder.move("getitem", self, (index,), {})

    def __setitem__(self, index: Any, given: Any) -> None:
        index = self._index(index)
        if isinstance(given, Traced) and given._base is self and given._is_at(index):
            return  # the second half of x[i] += v: the view has been written to, and x with it
        write(self, self._recorder.emit("setitem", (self, index, given), {})._value)

    def _index(self, index: Any) -> Any:
        """Return an index without NumPy numbers and lists; refuse a mask that is traced."""
        if isinstance(index, tuple):
            return tuple(self._index(i) for i in index)
        if isinstance(index, Traced) and index.dtype == np.bool_:
            raise value_dependent("indexing with a mask", "use np.where(mask, x, other)")
        if isinstance(index, np.integer):
            return int(index)
        return np.asarray(index) if isinstance(index, list) else index

    def _is_at(self, index: Any) -> bool:
        """Whether this handle is the up-to-date view of its base at an index."""
        move, base = self._move, self._base
        if move is None or base is None or has_arrays(index):
            return False
        now(base)
        return self._seen == base._writes and move.name == "getitem" and bool(move.rest == (index,))

    def _cast(self, dtype: Any) -> Any:
        dtype = np.dtype(dtype)
        return self if dtype == self.dtype else self._recorder.emit("cast", (self,), {"dtype": dtype})

    # ---- what other code asks of an array ----

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        out = kwargs.pop("out", None)
        unsafe = kwargs.get("casting") == "unsafe"
        if out is not None:
            kwargs.pop("casting", None)
        if method != "__call__" or not is_known(ufunc) or set(kwargs) - {"dtype"}:
            how = ufunc.__name__ + ("" if method == "__call__" else f".{method}")
            how += f" with {', '.join(sorted(kwargs))}=" if is_known(ufunc) and kwargs else ""
            raise _unknown(how)
        made = self._recorder.emit(name_of(ufunc), inputs, kwargs)
        return made if out is None else _write_out(ufunc, made, out, unsafe=unsafe)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function in _ANSWERS:
            return _ANSWERS[function](*args, **kwargs)
        if not is_known(function):
            raise _unknown(name_of(function))
        if (out := kwargs.pop("out", None)) is not None:
            return _write_out(function, function(*args, **kwargs), (out,), unsafe=False)
        inputs, params = arguments(function, args, kwargs)
        name = name_of(function)
        if name in VIEWS and isinstance(inputs[0], Traced):
            return self._recorder.move(name, inputs[0], inputs[1:], params)
        return self._recorder.emit(name, inputs, params)

    def __retrograd_call__(self, op: Op, args: Any, kwargs: Any) -> Any:
        """Trace an op through its definition; one that is primitive becomes one instruction."""
        if not op.primitive:
            return op.definition(*args, **kwargs)
        return self._recorder.emit(f"ops.{op.name}", args, kwargs)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise value_dependent("conversion to a NumPy array", "keep to operators and NumPy's functions")

    def __bool__(self) -> bool:
        raise value_dependent("a truth value (if, while, and, or)", "use np.where")

    def __float__(self) -> float:
        raise value_dependent("float()", "keep the array")

    def __int__(self) -> int:
        raise value_dependent("int()", "keep the array")

    def __complex__(self) -> complex:
        raise value_dependent("complex()", "keep the array")

    def __index__(self) -> int:
        raise value_dependent("a Python index or size", "use a fixed number")

    def item(self, *args: Any) -> Any:
        """Refuse: the elements are not known."""
        caller = sys._getframe(1)  # the tensor that has this array: for itself, or for Python
        names = [f.f_code.co_name for f in (caller, caller.f_back) if f is not None]
        raise value_dependent(next((_ASKED[n] for n in names if n in _ASKED), "item()"), "keep the array")

    def tolist(self) -> Any:
        """Refuse: the elements are not known."""
        raise value_dependent("tolist()", "keep the array")

    def __abs__(self) -> Any:
        return np.absolute(self)

    def __neg__(self) -> Any:
        return np.negative(self)

    def __pos__(self) -> Any:
        return np.positive(self)

    def __invert__(self) -> Any:
        return np.invert(self)


_ASKED = {
    "__bool__": "a truth value (if, while, and, or)", "_scalar": "float(), int() or complex()",
    "__index__": "a Python index or size",
}  # fmt: skip

_METHODS = frozenset({
    "all", "any", "argmax", "argmin", "clip", "cumprod", "cumsum", "diagonal", "dot", "max", "mean", "min",
    "prod", "ravel", "round", "squeeze", "std", "sum", "swapaxes", "trace", "transpose", "var",
})  # fmt: skip
"""An array's methods that are NumPy's functions of the same name."""

_BINARY = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.true_divide, "divmod": np.divmod,
    "floordiv": np.floor_divide, "mod": np.remainder, "pow": np.power, "matmul": np.matmul,
    "lshift": np.left_shift, "rshift": np.right_shift,
    "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
}  # fmt: skip
_COMPARISONS = {
    "eq": np.equal, "ne": np.not_equal,
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
}  # fmt: skip
for _name, _function in (*_BINARY.items(), *_COMPARISONS.items()):
    setattr(Traced, f"__{_name}__", _operator(_function))
for _name, _function in _BINARY.items():
    setattr(Traced, f"__r{_name}__", _operator(_function, swapped=True))
    if _name != "divmod":
        setattr(Traced, f"__i{_name}__", _in_place(_function))


def _unknown(name: str) -> TypeError:
    return refused(
        TypeError(
            f"np.{name} cannot be traced: no op answers it; got a traced array, at {place()}; use operators, "
            "indexing, the NumPy functions that ops declare (declare.NUMPY), or an op"
        )
    )


def _write_out(ufunc: Any, made: Any, out: tuple[Any, ...], *, unsafe: bool) -> Any:
    """Write a ufunc's result into the handle given as `out`, as the in-place operators do."""
    (target,) = out
    if not isinstance(target, Traced):
        raise refused(
            TypeError(
                f"np.{ufunc.__name__}: out= is an array that is not traced; its write would be lost, at "
                f"{place()}"
            )
        )
    if not unsafe and not np.can_cast(made.dtype, target.dtype, "same_kind"):
        raise TypeError(
            f"Cannot cast ufunc '{ufunc.__name__}' output from {made.dtype!r} to {target.dtype!r} "
            "with casting rule 'same_kind'"
        )
    if made.shape != target.shape:
        raise ValueError(
            f"non-broadcastable output operand with shape {target.shape} doesn't match the broadcast shape "
            f"{made.shape}"
        )
    write(target, made._cast(target.dtype)._value)
    return target


def _copyto(dst: Any, src: Any, **options: Any) -> None:
    options.pop("casting", None)  # a write casts as it must
    if not isinstance(dst, Traced) or options:
        raise refused(TypeError(f"np.copyto: only into a traced array and everywhere, at {place()}"))
    dst[...] = src


def _share(function: Any, a: Any, b: Any, work: Any) -> bool:
    return bool(function(memory_of(a), memory_of(b), max_work=work))


_ANSWERS: dict[Any, Callable[..., Any]] = {
    np.shape: lambda a: a.shape,
    np.ndim: lambda a: a.ndim,
    np.size: lambda a, axis=None: a.size if axis is None else a.shape[axis],
    np.iscomplexobj: lambda x: x.dtype.kind == "c",
    np.isrealobj: lambda x: x.dtype.kind != "c",
    np.result_type: lambda *given: np.result_type(*[x.dtype if isinstance(x, Traced) else x for x in given]),
    np.copyto: _copyto,
    np.may_share_memory: lambda a, b, max_work=None: _share(np.may_share_memory, a, b, max_work),
    np.shares_memory: lambda a, b, max_work=None: _share(np.shares_memory, a, b, max_work),
}
"""NumPy functions whose answer needs no instruction, or several."""
