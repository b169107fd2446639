"""How ops run on a batch of Tensors where the declared rule is for arrays only or goes element by element."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retrograd.ops import batching
from retrograd.ops.declare import TABLE
from retrograd.ops.windows import strided_rows

DYNAMIC = {
    "nonzero": "nonzero", "masked_select": "masked_select", "unique": "_unique2",
    "unique_consecutive": "unique_consecutive", "bincount": "bincount",
}  # fmt: skip
"""Ops whose result has a size that depends on values, by what torch calls them."""


def _run(name: str, *args: Any, **kwargs: Any) -> Any:
    return TABLE[name].function(*args, **kwargs)


# ---- rules on values: (op, batch size, values, where each has its batch) -> result, the batch in front ----


def _front(value: Any, dim: int | None, size: int) -> Any:
    """Return a value with the batch in front, repeated without a copy if it had none."""
    if dim is None:
        return _run("expand", value, (size, *value.shape))
    return value.movedim(dim, 0) if dim else value


def _copied(op: Any, size: int, args: Sequence[Any], dims: Sequence[Any]) -> Any:
    """Broadcast a source (or a value that fills) to each element of the batch."""
    target, source = _front(args[0], dims[0], size), args[1]
    if dims[1] is not None:
        source = source.movedim(dims[1], 0)
        missing = target.ndim - source.ndim
        source = source.reshape((source.shape[0], *(1,) * missing, *source.shape[1:]))
        return _run("copy", target, source)
    return op(target, source, *args[2:])


def _embedded(op: Any, size: int, args: Sequence[Any], dims: Sequence[Any]) -> Any:
    """Look up in one long table of all the batch's tables."""
    table, indices, padding = args[:3]
    if dims[1] is None:
        indices = np.broadcast_to(indices, (size, *indices.shape))
    else:
        indices = np.moveaxis(indices, dims[1], 0)
    if dims[0] is None:
        return op(table, indices, *args[2:])
    table = _front(table, dims[0], size)
    rows = table.shape[1]
    if padding is not None and padding >= 0:  # one row of each table has no gradient: as its mask says
        keep = (np.arange(rows) != padding).reshape((rows, 1))
        table = _run("where", table, keep, table.detach())
    start = (np.arange(size) * rows).reshape((size,) + (1,) * (indices.ndim - 1))
    return op(table.reshape((size * rows, -1)), indices + start, -1, *args[3:])


def _strided(_op: Any, size: int, args: Sequence[Any], dims: Sequence[Any]) -> Any:
    """Look at the memory of each element of the batch as if it were alone."""
    x = _front(args[0], dims[0], size)
    steps: list[int] = []
    step = 1
    for n in reversed(x.shape[1:]):
        steps.insert(0, step)
        step *= n
    sizes, strides, offset = args[1:4]
    return strided_rows(x, sizes, strides, offset, (tuple(steps), 0))


def _without_q(op: Any, size: int, args: Sequence[Any], dims: Sequence[Any]) -> Any:
    """Give mode "r", whose Q is empty whatever the batch, one result per element."""
    if args[1] == "r":
        return batching.loop(op, size, args, dims)
    return TABLE["linalg_qr"].batch(op, size, args, dims)  # type: ignore[operator]


RULES: dict[str, Callable[..., Any]] = {
    "as_strided": _strided, "copy": _copied, "embedding": _embedded,
    "fill": _copied, "linalg_qr": _without_q,
}  # fmt: skip


# ---- compositions: the op as other ops, run on the batched tensors themselves ----


def _plus(beta: Any, added: Any, alpha: Any, product: Any) -> Any:
    product = product if alpha == 1 else product * alpha
    if beta == 0:  # what is not added may be NaN
        return product
    return product + (added if beta == 1 else added * beta)


def _linear(x: Any, weight: Any, bias: Any) -> Any:
    made = _run("matmul", x, weight if weight.ndim == 1 else _run("transpose", weight, 0, 1))
    return made if bias is None else made + bias


def _scaled(made: Any, weight: Any, bias: Any, shape: tuple[int, ...]) -> Any:
    made = made if weight is None else made * weight.reshape(shape)
    return made if bias is None else made + bias.reshape(shape)


def _layer_norm(x: Any, normalized_shape: Any, weight: Any, bias: Any, eps: float) -> Any:
    made = _run("layer_norm", x, normalized_shape, None, None, eps)
    return _scaled(made, weight, bias, tuple(normalized_shape))


def _group_norm(x: Any, groups: int, weight: Any, bias: Any, eps: float) -> Any:
    n, channels, rest = x.shape[0], x.shape[1], x.shape[2:]
    rows = x.reshape((n, groups, -1))
    centred = rows - rows.mean(-1, True)
    made = centred * (centred.square().mean(-1, True) + eps).rsqrt()
    return _scaled(made.reshape(x.shape), weight, bias, (1, channels, *(1,) * len(rest)))


def _normalize_channels(x: Any, weight: Any, bias: Any, mean: Any, variance: Any, eps: float) -> Any:
    axes = (0, *range(2, x.ndim))
    shape = (1, x.shape[1], *(1,) * (x.ndim - 2))
    centred = x - (x.mean(axes, True) if mean is None else mean.reshape(shape))
    spread = centred.square().mean(axes, True) if variance is None else variance.reshape(shape)
    return _scaled(centred * (spread + eps).rsqrt(), weight, bias, shape)


def _attention(query: Any, key: Any, value: Any, bias: Any, scale: float) -> Any:
    weights = _run("matmul", query, _run("transpose", key, -2, -1)) * scale
    return _run("matmul", _run("softmax", weights if bias is None else weights + bias, -1), value)


def _whole(name: str) -> Callable[..., Any]:
    """Return a reduction of all elements as one along a dimension."""

    def composed(x: Any) -> Any:
        return _run(name, x.reshape((-1,)), 0)[0]

    return composed


COMPOSED: dict[str, Callable[..., Any]] = {
    "addbmm": lambda x, a, b, beta, alpha: _plus(beta, x, alpha, _run("bmm", a, b).sum(0)),
    "addmm": lambda x, a, b, beta, alpha: _plus(beta, x, alpha, _run("matmul", a, b)),
    "addmv": lambda x, a, b, beta, alpha: _plus(beta, x, alpha, _run("matmul", a, b)),
    "addr": lambda x, a, b, beta, alpha: _plus(beta, x, alpha, a.reshape((-1, 1)) * b),
    "attention": _attention,
    "baddbmm": lambda x, a, b, beta, alpha: _plus(beta, x, alpha, _run("bmm", a, b)),
    "group_norm": _group_norm,
    "layer_norm": _layer_norm,
    "linear": _linear,
    "max_all": _whole("max_dim"),
    "median_all": _whole("median_dim"),
    "min_all": _whole("min_dim"),
    "nanmedian_all": _whole("nanmedian_dim"),
    "normalize_channels": _normalize_channels,
}
_ONLY_IF_BATCHED = {"linear": (1, 2), "layer_norm": (2, 3)}
"""Where the declared rule is right as long as these arguments are shared by all elements of the batch."""


def composition(name: str, is_batched: Sequence[bool]) -> Callable[..., Any] | None:
    """Return how to run an op as other ops, by which arguments are batched; None where its rule serves."""
    found = COMPOSED.get(name)
    if found is None or not any(is_batched[i] for i in _ONLY_IF_BATCHED.get(name, range(len(is_batched)))):
        return None
    return found
