"""The shape functions and methods by name, with their in-place and copying forms.

`FUNCTIONS` are torch's functions, `METHODS` Tensor's methods.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retrograd.autograd.inplace import check_target
from retrograd.autograd.modes import local
from retrograd.devices import contiguous_format
from retrograd.functions import conversion, pieces
from retrograd.functions.reshaping import (
    adjoint,
    as_strided,
    broadcast_to,
    diag,
    diagflat,
    expand_as,
    flatten,
    flexible,
    flip,
    fliplr,
    flipud,
    hermitian,
    in_place_name,
    movedim,
    permute,
    ravel,
    reshape,
    reshape_as,
    reshape_method,
    reversed_dims,
    swapaxes,
    tile,
    tile_method,
    unflatten,
    view,
    view_as,
)
from retrograd.ops.declare import TABLE
from retrograd.ops.helpers import unbroadcast
from retrograd.tensor import Tensor, history

_expand: Callable[..., Tensor] = TABLE["expand"].function
_flip: Callable[..., Tensor] = TABLE["flip"].function
_permute: Callable[..., Tensor] = TABLE["permute"].function
_repeat: Callable[..., Tensor] = TABLE["repeat"].function
_squeeze: Callable[..., Tensor] = TABLE["squeeze"].function
_transpose: Callable[..., Tensor] = TABLE["transpose"].function
_unsqueeze: Callable[..., Tensor] = TABLE["unsqueeze"].function


def _itself(op: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Return the method that gives a tensor another shape or order, in place."""

    def method(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        check_target(input, recording=local.grad and history(input) is not None)
        made = in_place_name(op(input, *args, **kwargs))
        input._array, input._node = made._array, made._node
        input._version_cell().bump()
        return input

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"Do `{name[:-1]}` to the tensor itself, and return it."
    return method


def _copying(name: str, of: Callable[..., Any]) -> Callable[..., Any]:
    """Return NAME_copy: what the view NAME shows, in memory of its own."""

    def function(*args: Any, out: Any = None, **kwargs: Any) -> Any:
        found = of(*args, **kwargs)
        if isinstance(found, tuple):
            copies = tuple(TABLE["clone"].function(x, memory_format=contiguous_format) for x in found)
            return (
                copies
                if out is None
                else tuple(o.resize_(c.shape).copy_(c) for o, c in zip(out, copies, strict=True))
            )
        return TABLE["clone"].function(found, memory_format=contiguous_format, out=out)

    function.__name__ = function.__qualname__ = f"{name}_copy"
    function.__doc__ = f"Do `{name}`, but into memory of its own."
    return function


_VIEWS: dict[str, Callable[..., Any]] = {
    "alias": TABLE["alias"].function, "as_strided": as_strided, "detach": Tensor.detach,
    "expand": broadcast_to, "narrow": pieces.narrow,
    "permute": permute,
    "select": TABLE["select"].function, "split": pieces.split,
    "split_with_sizes": TABLE["split_with_sizes"].function,
    "squeeze": _squeeze, "t": TABLE["t"].function, "transpose": _transpose,
    "unbind": TABLE["unbind"].function,
    "unfold": TABLE["unfold"].function, "unsqueeze": _unsqueeze, "view": view,
}  # fmt: skip


def as_strided_scatter(
    input: Tensor, src: Tensor, size: Any, stride: Any, storage_offset: Any = None
) -> Tensor:
    """Return a copy with `src` written into the view `as_strided(size, stride, storage_offset)`."""
    made: Tensor = TABLE["clone"].function(input)
    as_strided(made, size, stride, storage_offset).copy_(src)
    return made


def _sum_to_size(input: Tensor, size: tuple[int, ...]) -> Tensor:
    """Sum over dimensions, so that the result has a size that broadcasts to the tensor's."""
    have = input._array.shape
    missing = len(have) - len(size)
    if missing < 0 or any(n not in (1, m) for n, m in zip(size, have[missing:], strict=True)):
        raise RuntimeError(f"size {{{list(size)}}} is not expandable to size {{{list(have)}}}.")
    return unbroadcast(input, size) if size else TABLE["sum"].function(input)  # type: ignore[no-any-return]


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{f"{name}_copy": _copying(name, of) for name, of in _VIEWS.items()},
    "as_strided_scatter": as_strided_scatter, "unsafe_chunk": pieces.chunk, "unsafe_split": pieces.split,
    "adjoint": adjoint, "as_strided": as_strided, "broadcast_to": broadcast_to, "diag": diag,
    "diagflat": diagflat,
    "flatten": flatten, "flip": flip, "fliplr": fliplr, "flipud": flipud, "moveaxis": movedim,
    "movedim": movedim,
    "permute": permute, "ravel": ravel, "reshape": reshape, "swapaxes": swapaxes, "tile": tile,
    "unflatten": unflatten,
    **pieces.FUNCTIONS, **conversion.FUNCTIONS,
}  # fmt: skip
METHODS: dict[str, Any] = {
    **{n: f for n, f in FUNCTIONS.items() if n not in pieces.ONLY_FUNCTIONS and not n.endswith("_copy")},
    "narrow_copy": FUNCTIONS["narrow_copy"],
    "expand": flexible(_expand, "expand", "size"), "flip": flexible(_flip, "flip", "dims"),
    "broadcast_to": flexible(_expand, "broadcast_to", "size"), "expand_as": expand_as,
    "permute": flexible(_permute, "permute", "dims"), "repeat": flexible(_repeat, "repeat", "repeats"),
    "reshape": reshape_method, "reshape_as": reshape_as, "tile": tile_method, "view": view,
    "view_as": view_as,
    "sum_to_size": flexible(_sum_to_size, "sum_to_size", "size"),
    "T": property(reversed_dims),
    "mT": property(lambda self: hermitian(self, "mT"), doc="The last two dimensions in turn."),
    "H": property(lambda self: hermitian(self, "H"), doc="The conjugate transpose of a matrix."),
    "mH": property(lambda self: hermitian(self, "mH"), doc="The conjugate, the last two in turn."),
    "as_strided_": _itself(as_strided, "as_strided_"), "squeeze_": _itself(_squeeze, "squeeze_"),
    "swapaxes_": _itself(_transpose, "swapaxes_"), "swapdims_": _itself(_transpose, "swapdims_"),
    "t_": _itself(TABLE["t"].function, "t_"), "transpose_": _itself(_transpose, "transpose_"),
    "unsqueeze_": _itself(_unsqueeze, "unsqueeze_"),
    **pieces.METHODS, **conversion.METHODS,
}  # fmt: skip
