"""The reference evaluator: runs an array program in NumPy, one instruction after the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograd.arrays.ir import Program, ProgramError, Value, replace
from retrograd.arrays.vocabulary import function_of


def evaluate(program: Program, *arrays: Any) -> Any:
    """Return what a program makes of these arrays, one per input, in the structure of its outputs.

    Raises:
        TypeError: the arrays are not of the number, shapes and dtypes that the program was traced for.
        ProgramError: an instruction gave something else than its line says.

    Example:
        >>> from retrograd.arrays import trace
        >>> evaluate(trace(lambda x: x * x, np.ones(2)), np.array([2.0, 3.0]))
        array([4., 9.])
    """
    if len(arrays) != len(program.inputs):
        raise TypeError(f"the program takes {len(program.inputs)} arrays; got {len(arrays)}")
    held: dict[Value, Any] = dict(program.constants)
    for value, array in zip(program.inputs, arrays, strict=True):
        held[value] = _checked(value, np.asarray(array), "an input")
    with np.errstate(all="ignore"):
        for instruction in program.instructions:
            params = {k: replace(v, held.__getitem__) for k, v in instruction.params}
            found = function_of(instruction.name)(*replace(instruction.inputs, held.__getitem__), **params)
            results = found if isinstance(found, (tuple, list)) else [found]
            for value, result in zip(instruction.outputs, results, strict=True):
                held[value] = _checked(value, np.asarray(result), instruction)
    return replace(program.outputs, held.__getitem__)


def _checked(value: Value, array: Any, what: object) -> Any:
    if (array.shape, array.dtype) != (value.shape, value.dtype):
        error = TypeError if what == "an input" else ProgramError
        raise error(
            f"{value} must be {value.type}; got {Value(0, array.shape, array.dtype).type} from {what}"
        )
    return array
