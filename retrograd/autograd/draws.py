"""What random functions do inside vmap: refuse, draw once for all elements of the batch, or anew for each."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from retrograd.autograd.modes import local, modes
from retrograd.ops.declare import TABLE
from retrograd.tensor import Tensor

_REFUSED = (
    "vmap: called random operation while in randomness error mode. Please either use the 'same' or "
    "'different' randomness flags on vmap or perform the randomness operation out of vmap"
)
_SAME_BATCHED = (
    "Vmap does not currently support same randomness with a batched tensor input. "
    "Please file an issue with functorch"
)
_DIFFERENT_INPLACE = (
    "vmap: Cannot ask for different inplace randomness on an unbatched tensor. This will appear like same "
    "randomness. If this is necessary for your usage, please file an issue with functorch."
)
_BY_VALUE = ("bernoulli", "multinomial", "normal")  # whose tensor arguments are read, not only their shapes


def drawing(function: Callable[..., Any], shape_at: int | None = None) -> Callable[..., Any]:
    """Make a function that draws heed vmap; `shape_at` says which of its arguments is a tuple of sizes."""

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if modes.special and local.careful:
            return _draw(function, args, kwargs, shape_at)
        return function(*args, **kwargs)

    return guarded


def _draw(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], shape_at: int | None
) -> Any:
    level: Any = next((x for x in reversed(local.intercepts) if hasattr(x, "randomness")), None)
    if level is None:
        return function(*args, **kwargs)
    if level.randomness == "error":
        raise RuntimeError(_REFUSED)
    name = function.__name__
    again = functools.partial(_draw, function, kwargs=kwargs, shape_at=shape_at)
    if name.endswith("_"):
        return _fill(level, again, args)
    with level.off():
        if level.randomness == "same":
            if name in _BY_VALUE and any(map(level.owns, args)):
                raise RuntimeError(_SAME_BATCHED)
            return again(args)
        longer = _for_all(name, level, args, kwargs, shape_at)
        if longer is not None:
            return level.wrap(_draw(function, *longer, shape_at), 0)
        rows = [again(tuple(_element(level, a, k) for a in args)) for k in range(level.size)]
    return level.wrap(TABLE["stack"].function(rows, 0), 0)


def like(made: Tensor, source: Tensor) -> Tensor:
    """Return a new tensor, made after another one's shape, batched as that one is."""
    from retrograd.autograd.batched import like as batched_like  # noqa: PLC0415 - only inside vmap

    return batched_like(made, source)


def _element(level: Any, value: Any, k: int) -> Any:
    return TABLE["select"].function(level.spread(value), 0, k) if level.owns(value) else value


def _for_all(
    name: str, level: Any, args: tuple[Any, ...], kwargs: dict[str, Any], shape_at: int | None
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """Return the arguments that draw for all elements at once; None where no such call exists."""
    if shape_at is not None:
        return (*args[:shape_at], (level.size, *args[shape_at]), *args[shape_at + 1 :]), kwargs
    if "size" in kwargs:
        size = kwargs["size"]
        return args, {**kwargs, "size": (level.size, *((size,) if isinstance(size, int) else size))}
    if name in ("rand", "randn"):
        sizes = args[0] if len(args) == 1 and isinstance(args[0], (tuple, list)) else args
        return ((level.size, *sizes),), kwargs
    if name in ("randint", "normal") and args and isinstance(args[-1], (tuple, list)):
        return (*args[:-1], (level.size, *args[-1])), kwargs
    if name.endswith("_like") or (name == "bernoulli" and not any(map(level.owns, args[1:]))):
        return (level.spread(args[0]), *args[1:]), kwargs
    return None


def _fill(level: Any, again: Callable[..., Any], args: tuple[Any, ...]) -> Tensor:
    """Draw into a tensor."""
    target: Tensor = args[0]
    if not level.owns(target):
        if level.randomness == "different":
            raise RuntimeError(_DIFFERENT_INPLACE)
        with level.off():
            again(args)
        return target
    with level.off():
        rows = level.spread(target)
        if level.randomness == "different":
            again((rows, *args[1:]))
        else:
            rows.copy_(again((rows[0].clone(), *args[1:])))
    return target
