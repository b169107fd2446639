"""Running an array program on Tensors, so that it is recorded: for derivatives of derivatives."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.arrays import Program, Value
from retrograd.arrays.ir import replace
from retrograd.arrays.vocabulary import function_of
from retrograd.ops.declare import TABLE
from retrograd.tensor import Tensor, wrap


def replay(program: Program, tensors: Sequence[Tensor]) -> tuple[Any, ...]:
    """Return the outputs of a program for these inputs."""
    held: dict[Value, Any] = {v: wrap(a) for v, a in program.constants}
    held.update(zip(program.inputs, tensors, strict=True))
    for instruction in program.instructions:
        inputs = replace(instruction.inputs, held.__getitem__)
        params = {k: replace(v, held.__getitem__) for k, v in instruction.params}
        found = _call(instruction.name, inputs, params)
        results = found if isinstance(found, (tuple, list)) else [found]
        for value, result in zip(instruction.outputs, results, strict=True):
            held[value] = _typed(result, value)
    return tuple(replace(program.outputs, held.__getitem__))


def _call(name: str, inputs: Any, params: dict[str, Any]) -> Any:
    if name == "setitem":
        target, index, value = inputs
        made = target.clone()
        made[index] = value
        return made
    if name == "cast":
        return inputs[0].to(dtypes.OF_NUMPY[np.dtype(params["dtype"])])
    if name.startswith("ops."):
        return TABLE[name.removeprefix("ops.")](*inputs, **params)
    function = function_of(name)
    if isinstance(function, np.ufunc):
        return function(*inputs, **params)
    # An op that answers may call its parameters otherwise: what has no default is passed by position.
    needed = [n for n, p in signature(function).parameters.items() if n in params and p.default is p.empty]
    return function(
        *inputs, *(params[n] for n in needed), **{k: v for k, v in params.items() if k not in needed}
    )


def _typed(result: Any, value: Value) -> Any:
    """Return a result as the tensor that its line in the program says."""
    tensor = result if isinstance(result, Tensor) else wrap(np.asarray(result))
    if tensor._array.dtype != value.dtype:
        tensor = tensor.to(dtypes.OF_NUMPY[value.dtype])
    return tensor if tensor._array.shape == value.shape else tensor.reshape(value.shape)
