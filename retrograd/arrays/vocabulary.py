"""What an array program may call: functions by name, and the shape and dtype of what they return.

multiply, sum, linalg.inv   NumPy's function of that name
getitem, setitem, cast      what indexing, writing and conversion are in a program (below)
ops.NAME                    the op of that name, where it is primitive
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from retrograd.arrays.ir import Tree, Value, replace, values
from retrograd.ops import declare

Type = tuple[tuple[int, ...], np.dtype[Any]]


class ValueDependentError(TypeError):
    """A shape, a branch or a Python number depends on the elements of a traced array, which are not known."""


def getitem(x: Any, index: Any) -> Any:
    """Return x[index]."""
    return x[index]


def setitem(x: Any, index: Any, value: Any) -> Any:
    """Return a copy of x with `value` written at `index`."""
    made = np.array(x)
    made[index] = value
    return made


def cast(x: Any, *, dtype: Any) -> Any:
    """Return x in another dtype."""
    return np.asarray(x).astype(dtype)


INTRINSICS: dict[str, Callable[..., Any]] = {"getitem": getitem, "setitem": setitem, "cast": cast}

BESIDES: frozenset[Any] = frozenset({
    np.broadcast_to, np.concatenate, np.conjugate, np.copysign, np.empty_like, np.equal, np.expand_dims,
    np.flip, np.full_like, np.greater, np.greater_equal, np.imag, np.isfinite, np.isinf, np.isnan, np.less,
    np.less_equal, np.logical_and, np.logical_not, np.logical_or, np.matmul, np.maximum, np.minimum,
    np.moveaxis, np.not_equal, np.ones_like, np.real, np.reshape, np.squeeze, np.stack, np.sum, np.swapaxes,
    np.transpose, np.where, np.zeros_like,
})  # fmt: skip
"""NumPy functions that rules and definitions may use besides those that an op declares to answer."""


OPERATORS: frozenset[Any] = frozenset({
    np.absolute, np.add, np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.divide, np.divmod, np.equal,
    np.floor_divide, np.greater, np.greater_equal, np.invert, np.left_shift, np.less, np.less_equal,
    np.matmul, np.multiply, np.negative, np.not_equal, np.positive, np.power, np.remainder, np.right_shift,
    np.subtract,
})  # fmt: skip
"""What Python's operators call."""


def is_known(function: Any) -> bool:
    """Whether a NumPy function may stand in a program."""
    return function in BESIDES or function in OPERATORS or function in declare.NUMPY


@cache
def function_of(name: str) -> Callable[..., Any]:
    """Return what an instruction calls.

    Raises:
        LookupError: there is no such function.
    """
    if name in INTRINSICS:
        return INTRINSICS[name]
    if name.startswith("ops."):
        return declare.TABLE[name.removeprefix("ops.")].definition
    found: Any = np
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is None:
        raise LookupError(f"NumPy has no function {name}")
    return found  # type: ignore[no-any-return]


@cache
def name_of(function: Any) -> str:
    """Return the name under which an instruction calls a NumPy function."""
    module = (getattr(function, "__module__", "") or "").removeprefix("numpy").removeprefix(".")
    name: str = function.__name__
    if getattr(np, name, None) is function or not module:
        return name
    return f"{module}.{name}"


_DATA = frozenset({
    "a", "a_max", "a_min", "arr", "array", "arrays", "ary", "b", "condition", "fill_value", "indices", "m",
    "max", "min", "tup", "v", "val", "values", "x", "x1", "x2", "y",
})  # fmt: skip
"""Names of the parameters of NumPy's functions that take data: an instruction's inputs, not its params."""


@cache
def _signature(function: Any) -> inspect.Signature:
    return inspect.signature(function)


def arguments(function: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Return a call's data, and the rest by name without defaults: alike for every way to write it."""
    parameters = _signature(function).parameters
    if any(p.kind is p.VAR_POSITIONAL for p in parameters.values()):
        return list(args), dict(kwargs)
    given = _signature(function).bind(*args, **kwargs).arguments
    inputs: list[Any] = []
    params: dict[str, Any] = {}
    leading = True
    for name, parameter in parameters.items():
        leading = leading and name in _DATA and parameter.kind is not parameter.KEYWORD_ONLY
        if leading and name in given:
            inputs.append(given[name])
        elif leading:
            leading = False
        elif name in given:
            params[name] = given[name]
    default = {n: p.default for n, p in parameters.items()}
    return inputs, {k: v for k, v in params.items() if not _is_default(v, default[k])}


def _is_default(value: Any, default: Any) -> bool:
    if value is default:
        return True
    return (
        isinstance(value, (bool, int, float, str, tuple))
        and type(value) is type(default)
        and value == default
    )


def infer(name: str, inputs: tuple[Tree, ...], params: Mapping[str, Any], known: Mapping[int, Any]) -> Any:
    """Return the (shape, dtype) of what a call returns, a list of them where it returns several.

    It runs the function itself on stand-ins: arrays of the right shape and dtype, without memory of their own
    where that is possible. `known` has the arrays of values that are constant. What the function raises is
    what a user sees.

    Raises:
        ValueDependentError: the shape depends on the elements.
    """
    function = function_of(name)
    with np.errstate(all="ignore"):
        if _is_elementwise(name, function):
            found = _infer_elementwise(function, inputs, params)
        elif name in _REDUCTIONS and set(params) <= {"axis", "keepdims"}:
            found = _infer_reduction(function, inputs[0], **params)
        elif name in _MOVES and not any(isinstance(x, Value) for x in inputs[1:]):
            found = _types(function(_untouched(inputs[0]), *inputs[1:], **params))
        elif function is np.matmul and not params:
            found = _infer_matmul(inputs)
        else:
            found = _infer_by_running(name, function, inputs, params, known)
    return found


def _types(result: Any) -> Any:
    if isinstance(result, (tuple, list)):
        return [(np.shape(r), np.asarray(r).dtype) for r in result]
    return np.shape(result), np.asarray(result).dtype


_REDUCTIONS = frozenset({"sum", "max", "min", "prod", "any", "all", "amax", "amin"})
_MOVES = frozenset({
    "reshape", "transpose", "swapaxes", "moveaxis", "expand_dims", "squeeze", "broadcast_to", "ravel", "flip",
    "diagonal",
})  # fmt: skip
"""Functions that return views: of memory that is reserved and not touched they cost nothing."""


def _untouched(value: Value) -> np.ndarray[Any, Any]:
    """Return an array of a value's type; one element stands for all where memory does not suffice."""
    try:
        return np.empty(value.shape, value.dtype)
    except MemoryError:
        return stand_in(value)


def _is_elementwise(name: str, function: Callable[..., Any]) -> bool:
    """Whether a function's result has its operands' common shape, each element made of one of each."""
    if name.startswith("ops."):
        op = declare.TABLE[name.removeprefix("ops.")]
        return op.family == "pointwise" and not op.outputs
    if isinstance(function, np.ufunc):
        return function.signature is None
    return name in ("where", "clip", "cast", "copy", "zeros_like", "ones_like", "empty_like", "real", "imag")


def _infer_reduction(
    function: Callable[..., Any], x: Value, axis: Any = None, keepdims: bool = False
) -> Type:
    """Reduce an array whose dimensions are cut to 0 or 1; NumPy checks the axes."""
    small = np.ones(tuple(min(n, 1) for n in x.shape), x.dtype)
    _, dtype = _types(function(small, axis=axis, keepdims=keepdims))
    rank = len(x.shape)
    axes = range(rank) if axis is None else {a % rank for a in ((axis,) if isinstance(axis, int) else axis)}
    if keepdims:
        return tuple(1 if i in axes else n for i, n in enumerate(x.shape)), dtype
    return tuple(n for i, n in enumerate(x.shape) if i not in axes), dtype


def _infer_elementwise(
    function: Callable[..., Any], inputs: tuple[Tree, ...], params: Mapping[str, Any]
) -> Any:
    """Take the dtype from single elements, so that large arrays cost nothing; the shape from broadcasting."""
    shapes = [v.shape for v in inputs if isinstance(v, Value)]
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        function(*replace(inputs, stand_in), **params)  # says what NumPy says
        raise
    types = _types(function(*replace(inputs, lambda v: np.ones((), v.dtype)), **params))
    return [(shape, d) for _, d in types] if isinstance(types, list) else (shape, types[1])


def _infer_matmul(inputs: tuple[Tree, ...]) -> Type:
    """Multiplying stand-ins would cost as much as multiplying: the inner size is taken as 1."""
    x, y = inputs
    small = [np.ones((1,) * len(v.shape), v.dtype) for v in (x, y)]
    dtype = np.matmul(*small).dtype
    inner_x, inner_y = x.shape[-1], y.shape[-2] if len(y.shape) > 1 else y.shape[0]
    if inner_x != inner_y:
        np.matmul(stand_in(x), stand_in(y))  # says what NumPy says
    rows = (x.shape[-2],) if len(x.shape) > 1 else ()
    columns = (y.shape[-1],) if len(y.shape) > 1 else ()
    return (*np.broadcast_shapes(x.shape[:-2], y.shape[:-2]), *rows, *columns), dtype


def stand_in(value: Value, fill: int = 1) -> np.ndarray[Any, Any]:
    """Return a read-only array of a value's shape and dtype whose elements share one place in memory."""
    return np.broadcast_to(np.full((), fill, value.dtype), value.shape)


def _spread(value: Value) -> np.ndarray[Any, Any]:
    """Return a stand-in whose matrices are the identity: positive definite and invertible."""
    if len(value.shape) < 2 or value.dtype.kind not in "fc":
        return stand_in(value, 0 if value.dtype.kind in "iu" else 1)
    return np.broadcast_to(np.eye(*value.shape[-2:], dtype=value.dtype), value.shape)


def _ramp(value: Value) -> np.ndarray[Any, Any]:
    """Return a stand-in of which no two elements are equal, as far as the dtype has so many values."""
    size = math.prod(value.shape)
    return (
        (np.arange(size) % 2 if value.dtype == np.bool_ else np.arange(size))
        .reshape(value.shape)
        .astype(value.dtype)
    )


def _fillings(name: str, known: Mapping[int, Any]) -> Iterator[Callable[[Value], Any]]:
    """Give ways to fill stand-ins: some functions want regular matrices, others indices in range."""
    zeros = lambda v: stand_in(v, 0)  # noqa: E731
    varied = name.startswith(("ops.", "linalg."))
    for fill in (_spread, zeros, stand_in, _ramp) if varied else (zeros, stand_in):
        yield lambda v, fill=fill: known[v.id] if v.id in known else fill(v)  # type: ignore[misc]


def _infer_by_running(
    name: str,
    function: Callable[..., Any],
    inputs: tuple[Tree, ...],
    params: Mapping[str, Any],
    known: Mapping[int, Any],
) -> Any:
    """Run on stand-ins; an op of ours on two kinds of them, for its shapes could depend on the elements."""
    found, failure = None, None
    for fill in _fillings(name, known):
        try:
            types = _types(
                function(*replace(inputs, fill), **{k: replace(v, fill) for k, v in params.items()})
            )
        except (ArithmeticError, LookupError, ValueError, RuntimeError, TypeError) as error:
            failure = failure or error.with_traceback(None)  # which would hold the callers' variables
            continue
        if found is None:
            found = types
        elif types != found:
            raise ValueDependentError(
                f"{name}: the shape of the result must not depend on the elements of a traced array; got "
                f"{_shapes(found)} and {_shapes(types)} for different elements; compute it outside the "
                "traced function"
            )
        if not name.startswith("ops."):
            break
    if found is None:
        assert failure is not None
        masks = [v for v in values(inputs) if v.dtype == np.bool_ and v.id not in known]
        if masks and name.startswith("ops."):
            raise ValueDependentError(
                f"{name}: what it does depends on the elements of a traced mask ({failure})"
            )
        raise failure
    return found


def _shapes(types: Any) -> str:
    return " and ".join(str(t[0]) for t in (types if isinstance(types, list) else [types]))
