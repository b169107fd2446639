"""torch.autograd.forward_ad: tangents carried along with the values.

with dual_level():
    x = make_dual(primal, tangent)
    y = f(x)
    y_t = unpack_dual(y).tangent        # the derivative of f at primal, in direction tangent
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from retrograd.autograd import modes
from retrograd.autograd.dispatch import as_view
from retrograd.autograd.dual import DualLevel, DualTensor
from retrograd.autograd.modes import local
from retrograd.autograd.through import split
from retrograd.ops.declare import TABLE
from retrograd.tensor import Tensor, blank, history

__all__ = [
    "UnpackedDualTensor",
    "dual_level",
    "enter_dual_level",
    "exit_dual_level",
    "make_dual",
    "unpack_dual",
]

_NO_LEVEL = (
    "Trying to create a dual Tensor for forward AD but no level exists, "
    "make sure to enter_dual_level() first."
)


class UnpackedDualTensor(NamedTuple):
    """A primal and its tangent (None where there is none)."""

    primal: Tensor
    tangent: Tensor | None


def _entered() -> list[DualLevel]:
    """Return the dual levels that this thread is in, outermost first."""
    return [level for level in local.levels if isinstance(level, DualLevel) and not level.is_transform]


def _at(number: int | None) -> DualLevel | None:
    levels = _entered()
    if number is None:
        return levels[-1] if levels else None
    return levels[number] if 0 <= number < len(levels) else None


def enter_dual_level() -> int:
    """Begin a forward pass, and return its number: 0, or one more than that of the pass it is within."""
    level = DualLevel(is_transform=False)
    level.number = len(local.levels) + 1
    local.levels.append(level)
    modes.push(level)
    return len(_entered()) - 1


def exit_dual_level(*, level: int | None = None) -> None:
    """End the forward pass: its tangents are gone.

    Raises:
        RuntimeError: none has begun, or another one is innermost.
    """
    found = _at(None)
    if found is None:
        raise RuntimeError("Dual level must be a positive number.")
    if level is not None and level != len(_entered()) - 1:
        raise RuntimeError(
            "Trying to exit a forward AD level that was not the last one that was created. This is not "
            "supported."
        )
    found.active = False
    if local.intercepts[-1] is not found:
        raise RuntimeError("exit_dual_level: a transform that began inside this level is still running")
    modes.pop()
    local.levels.remove(found)


@contextmanager
def dual_level() -> Iterator[int]:
    """Run a block in which tensors may have tangents.

    Levels nest (torch's do not): tangents of the inner level may have tangents of the outer one, which are
    then derivatives of derivatives.

    Example:
        >>> import retrograd as torch
        >>> import retrograd.autograd.forward_ad as fwAD
        >>> with fwAD.dual_level():
        ...     x = fwAD.make_dual(torch.tensor(3.0), torch.tensor(1.0))
        ...     fwAD.unpack_dual(x * x)
        UnpackedDualTensor(primal=tensor(9.), tangent=tensor(6.))
    """
    number = enter_dual_level()
    try:
        yield number
    finally:
        exit_dual_level(level=number)


def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """Return a view of `tensor` that moves in the direction `tangent`.

    Raises:
        RuntimeError: no level has begun; the sizes differ; the tensor has a tangent already.
        ValueError: a dtype is not floating or complex.
    """
    found = _at(level)
    if found is None:
        raise RuntimeError(_NO_LEVEL)
    for what, value in (("primal", tensor), ("tangent", tangent)):
        if not (value.is_floating_point() or value.is_complex()):
            raise ValueError(f"Expected {what} to be floating point or complex, but got: {value.dtype}")
    return with_tangent(tensor, tangent, found)


def with_tangent(tensor: Tensor, tangent: Tensor, level: DualLevel) -> Tensor:
    """Return a view of `tensor` with a tangent at `level`."""
    if isinstance(tensor, DualTensor) and tensor._level.number > level.number:
        above, inner = tensor._level, tensor._level.primal_alone(tensor)
        made: Tensor = above.rebuilt(tensor, [with_tangent(inner, tangent, level), tensor._tangent])
        return made
    if level.owns(tensor):
        raise RuntimeError(
            "Making a dual Tensor based on a Tensor that already has a forward gradient at the same level "
            f"{len(_entered()) - 1} is not supported."
        )
    if tensor._array.shape != tangent._array.shape:
        raise RuntimeError(
            "Trying to set a forward gradient that has a different size than that of the original Tensor, "
            "this is not "
            f"supported. Tensor is of size {list(tensor.shape)} while the given forward gradient is of size "
            f"{list(tangent.shape)}."
        )
    if isinstance(tensor, DualTensor) or history(tensor) is not None or type(tensor) is not Tensor:
        return level.wrap(TABLE["alias"].function(tensor), tangent)
    made = blank(Tensor, tensor._array)
    as_view(made, tensor)
    return level.wrap(made, tangent)


def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """Return the primal and the tangent of a tensor; the tangent is None for a tensor without one."""
    found = _at(level)
    if found is None:
        return UnpackedDualTensor(tensor, None)
    if not isinstance(tensor, Tensor):
        raise TypeError(
            f"_unpack_dual(): argument 'dual' (position 1) must be Tensor, not {type(tensor).__name__}"
        )
    return UnpackedDualTensor(*split(tensor, found))
