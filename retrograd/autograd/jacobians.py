"""Jacobians three ways: by finite differences, by backward, and by forward mode, as NumPy arrays.

A complex input counts as two real ones: a *direction* is real or imaginary. A complex output counts as two
real outputs: a *part* is "real" or "imag". A Jacobian of a real output (or part) u has rows for the input's
elements and columns for the output's, and holds du/dx for a real input and du/dx + i du/dy for a complex
x + iy, which is what backward gives.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from retrograd.autograd.calls import grad
from retrograd.tensor import Tensor, wrap

Array = np.ndarray[Any, Any]
Outputs = Callable[[], list[Tensor]]
"""Calls the function on the inputs as they are now, and returns those of its outputs that are looked at."""

UNITS = {"real": 1.0, "imag": 1.0j}


class Jacobian(NamedTuple):
    """What backward gives for one output: an array per input, and whether its form was right."""

    arrays: list[Array]
    right_sizes: bool
    right_types: bool


def as_tuple(value: Any) -> tuple[Any, ...]:
    """Return a sequence as a tuple, and anything else as the only member of one."""
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def is_differentiable(value: Any) -> bool:
    """Return whether a value is a tensor of floating or complex dtype."""
    return isinstance(value, Tensor) and (value.dtype.is_floating_point or value.dtype.is_complex)


def directions(tensor: Tensor) -> list[str]:
    """Return the directions that an element of an input can move in, or the parts of an output's element."""
    return ["imag", "real"] if tensor.dtype.is_complex else ["real"]


def basis(tensor: Tensor, unit: complex) -> Iterator[Array]:
    """Yield, for each element, the array that is `unit` there and zero elsewhere."""
    for i in range(tensor._array.size):
        one = np.zeros(tensor._array.shape, tensor._array.dtype)
        one.flat[i] = unit
        yield one


# ---- finite differences ----


def difference(outputs: Outputs, moved: Tensor, direction: Array, eps: float) -> list[Array]:
    """Return the central difference of each output, flat, as `moved` goes eps along `direction` both ways."""
    array = moved._array
    before = array.copy()
    try:
        array[...] = before + eps * direction
        ahead: list[Any] = [o._array.astype(_wide(o)) for o in outputs()]
        array[...] = before - eps * direction
        behind: list[Any] = [o._array.astype(_wide(o)) for o in outputs()]
    finally:
        array[...] = before
    with np.errstate(all="ignore"):
        return [((a - b) / (2 * np.float64(eps))).ravel() for a, b in zip(ahead, behind, strict=True)]


def _wide(tensor: Tensor) -> type:
    """Return the type to compute differences in."""
    return np.complex128 if tensor.dtype.is_complex else np.float64


def differences(
    outputs: Outputs, like: Sequence[Tensor], moved: Tensor, unit: complex, eps: float
) -> list[Array]:
    """Return, per output, the differences along each element of `moved`: an array of inputs by outputs."""
    rows = [difference(outputs, moved, one, eps) for one in basis(moved, unit)]
    if not rows:
        return [np.zeros((0, o._array.size), o._array.dtype) for o in like]
    return [
        np.stack(column).astype(o._array.dtype)
        for column, o in zip(zip(*rows, strict=True), like, strict=True)
    ]


def numerical(outputs: Outputs, like: Sequence[Tensor], moved: Tensor, eps: float) -> list[dict[str, Array]]:
    """Return, per output, its Jacobian by finite differences for each of its parts."""
    along = {d: differences(outputs, like, moved, UNITS[d], eps) for d in directions(moved)}
    return [{part: _both(along, k, part) for part in directions(o)} for k, o in enumerate(like)]


def _both(along: dict[str, list[Array]], k: int, part: str) -> Array:
    """Return du/dx + i du/dy for one part of output k; du/dx for a real input."""
    found: Array = getattr(along["real"][k], part)
    return found + 1j * getattr(along["imag"][k], part) if "imag" in along else found


# ---- backward ----


def pull(output: Tensor, inputs: Sequence[Tensor], ct: Array, *, create_graph: bool = False) -> Any:
    """Return the gradients of <ct, output>, None for inputs that it does not depend on."""
    return grad(output, inputs, wrap(ct), retain_graph=True, create_graph=create_graph, allow_unused=True)


def analytical(output: Tensor, inputs: Sequence[Tensor], part: str) -> Jacobian:
    """Return the Jacobians of one part of an output by backward, one pass per element of the output."""
    columns: list[list[Array]] = [[] for _ in inputs]
    right_sizes = right_types = True
    for ct in basis(output, UNITS[part]):
        for i, (found, x) in enumerate(zip(pull(output, inputs, ct), inputs, strict=True)):
            column = np.zeros(x._array.shape, x._array.dtype)
            if found is not None:
                right_types = right_types and found.dtype is x.dtype
                if found._array.shape == x._array.shape:
                    column[...] = found._array
                else:
                    right_sizes = False
            columns[i].append(column.ravel())
    arrays = [
        np.stack(column, 1) if column else np.zeros((x._array.size, 0), x._array.dtype)
        for column, x in zip(columns, inputs, strict=True)
    ]
    return Jacobian(arrays, right_sizes, right_types)


# ---- forward mode ----


def push(function: Callable[..., Any], inputs: Sequence[Any], i: int, tangent: Tensor) -> list[Tensor]:
    """Return the tangents of the function's outputs as input i moves along `tangent`; zeros for None."""
    from retrograd.autograd import forward_ad  # noqa: PLC0415 - only this check needs it

    with forward_ad.dual_level():
        primal = inputs[i].detach()
        primal.requires_grad = inputs[i].requires_grad
        dual = forward_ad.make_dual(primal, tangent)
        given = [dual if x is inputs[i] else x for x in inputs]
        found = [
            forward_ad.unpack_dual(o) if is_differentiable(o) else None for o in as_tuple(function(*given))
        ]
    return [
        wrap(np.zeros(0)) if f is None
        else wrap(np.zeros(f.primal._array.shape, f.primal._array.dtype)) if f.tangent is None
        else f.tangent
        for f in found
    ]  # fmt: skip


def pushed(
    function: Callable[..., Any], inputs: Sequence[Any], i: int, unit: complex, like: dict[int, Tensor]
) -> list[Array]:
    """Return, per output of `like`, the tangents along each element of input i: inputs by outputs."""
    rows = [push(function, inputs, i, wrap(one)) for one in basis(inputs[i], unit)]
    return [
        np.stack([row[k]._array.ravel() for row in rows])
        if rows
        else np.zeros((0, o._array.size), o._array.dtype)
        for k, o in like.items()
    ]


# ---- Jacobians by themselves ----


def _private(name: str) -> None:
    warnings.warn(
        f"`{name}` was part of PyTorch's private API and not meant to be exposed. We are deprecating it "
        "and it will be removed in a future version of PyTorch. If you have a specific use for this or "
        "feature request for this "
        "to be a stable API, please file us an issue at https://github.com/pytorch/pytorch/issues/new",
        FutureWarning,
        stacklevel=3,
    )


def get_numerical_jacobian(
    fn: Callable[..., Any], inputs: Any, target: Any = None, eps: float = 1e-3, grad_out: float = 1.0
) -> tuple[Tensor, ...]:
    """Return the Jacobian of the first output of `fn` by each tensor of `target` or `inputs`.

    Raises:
        ValueError: `grad_out` is not 1.
    """
    _private("get_numerical_jacobian")
    if grad_out != 1.0:
        raise ValueError(
            "Expected grad_out to be 1.0. get_numerical_jacobian no longer supports values of grad_out "
            "!= 1.0."
        )
    moved = [
        x for x in as_tuple(inputs if target is None else target) if is_differentiable(x) and x.requires_grad
    ]
    return tuple(_numerical(lambda: as_tuple(fn(as_tuple(inputs))), x, eps)[0] for x in moved)


def get_numerical_jacobian_wrt_specific_input(
    fn: Callable[..., Any],
    input_idx: int,
    inputs: Any,
    outputs: Any,  # noqa: ARG001 - torch has it
    eps: float,
    input: Tensor | None = None,
    is_forward_ad: bool = False,
) -> tuple[Tensor, ...]:
    """Return the Jacobian of each output of `fn(*inputs)` by one input, or by `input`.

    Raises:
        AssertionError: an output is complex, unless `is_forward_ad`: then the derivatives along the real
            direction are returned.
    """
    moved = inputs[input_idx] if input is None else input

    def again() -> tuple[Any, ...]:
        return as_tuple(fn(*inputs))

    if is_forward_ad:
        found = [o for o in again() if isinstance(o, Tensor)]
        return tuple(wrap(a) for a in differences(lambda: list(again()), found, moved, 1.0, eps))
    return _numerical(again, moved, eps)


def _numerical(again: Callable[[], tuple[Any, ...]], moved: Tensor, eps: float) -> tuple[Tensor, ...]:
    like = list(again())
    assert all(directions(o) == ["real"] for o in like), "Expected ds_dx to be real-valued, not complex"
    return tuple(wrap(parts["real"]) for parts in numerical(lambda: list(again()), like, moved, eps))


def get_analytical_jacobian(
    inputs: Any, output: Tensor, nondet_tol: float = 0.0, grad_out: float = 1.0
) -> tuple[tuple[Tensor, ...], bool, bool, bool]:
    """Return the Jacobians of an output by backward; whether two agree; and sizes and dtypes.

    Raises:
        ValueError: `grad_out` is not 1, or the output is complex.
    """
    _private("get_analytical_jacobian")
    if grad_out != 1.0:
        raise ValueError(
            "Expected grad_out to be 1.0. get_analytical_jacobian no longer supports values of grad_out "
            "!= 1.0."
        )
    if output.dtype.is_complex:
        raise ValueError(
            "Expected output to be non-complex. get_analytical_jacobian no longer supports functions that "
            "return complex outputs."
        )
    moved = [x for x in as_tuple(inputs) if is_differentiable(x) and x.requires_grad]
    first, second = (analytical(output, moved, "real") for _ in range(2))
    apart = max(
        float(np.max(np.abs(a - b), initial=0.0)) for a, b in zip(first.arrays, second.arrays, strict=True)
    )
    return tuple(wrap(a) for a in first.arrays), apart <= nondet_tol, first.right_sizes, first.right_types
