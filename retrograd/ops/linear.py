"""The affine map of a layer, and products added to something: addmm, addmv, addbmm, baddbmm, addr."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops import batching
from retrograd.ops.declare import Array, Sample, error, sample
from retrograd.ops.families import general
from retrograd.ops.helpers import cast
from retrograd.ops.matmul import check_bmm, check_mv, grid
from retrograd.ops.neural import flip, product, rows, total

_NUMBERS = "uifc"


def _x(shape: Any) -> str:
    return "x".join(map(str, shape))


# ---- the layer ----


def _node(input: Any, weight: Any, bias: Any) -> str:
    if input.ndim == 2 and weight.ndim == 2:
        return "MmBackward0" if bias is None else "AddmmBackward0"
    if bias is not None:
        return "ViewBackward0"
    return "SqueezeBackward4" if input.ndim == 1 else "UnsafeViewBackward0"


def _weight_ct(ct: Any, input: Any, weight_shape: Any) -> Any:
    if len(weight_shape) == 1:
        return total(rows(ct[..., None] * input), 0)
    if input.ndim == 1:
        return ct[:, None] * input
    return product(flip(rows(ct)), rows(input))


def _bias_ct(ct: Any, bias_shape: Any) -> Any:
    lead = ct.ndim - len(bias_shape)
    if lead:
        ct = total(ct, 0 if lead == 1 else tuple(range(lead)))
    return ct if tuple(ct.shape) == tuple(bias_shape) else total(ct, -1, keepdims=True)


def _samples() -> Iterator[Sample]:
    for lead in ((2,), (), (2, 2)):
        yield sample(grid(*lead, 3), grid(4, 3, shift=1), grid(4))
        yield sample(grid(*lead, 3), grid(4, 3, shift=1))
    yield sample(grid(2, 3), grid(3, shift=1))
    yield sample(grid(2, 3), grid(4, 3), grid(1))
    yield sample(np.zeros((0, 3)), grid(4, 3), grid(4))


def _batch(op: Any, size: int, args: Any, dims: Any) -> Any:
    """Batch by matmul: one product over all rows where the weight is shared."""
    x: Any
    weight: Any
    x, weight, bias = (None if a is None else batching.front(a, d) for a, d in zip(args, dims, strict=True))
    if dims[1] is None:
        made = op(x, weight)
    elif dims[0] is None or weight.ndim == 2:
        made = batching.loop(op, size, (args[0], args[1], None), (dims[0], dims[1], None))
    else:
        lead = x.shape[1:-1]
        made = np.reshape(x, (size, math.prod(lead), x.shape[-1])) @ flip(weight)
        made = np.reshape(made, (size, *lead, weight.shape[1]))
    if bias is None:
        return made
    if dims[0] is None and dims[1] is None:
        made = made[None]
    if dims[2] is not None:
        bias = np.reshape(bias, (size, *(1,) * (made.ndim - bias.ndim), *bias.shape[1:]))
    return made + bias


@general(
    name="linear",
    node=_node,
    input=lambda ct, weight: ct[..., None] * weight if weight.ndim == 1 else product(ct, weight),
    weight=_weight_ct,
    bias=_bias_ct,
    jvp={
        "input": lambda t, weight: t @ (flip(weight) if weight.ndim == 2 else weight),
        "weight": lambda t, input: input @ (flip(t) if t.ndim == 2 else t),
        "bias": lambda t, result: np.broadcast_to(t, result.shape),
    },
    promote="match",
    kinds=_NUMBERS,
    batch=_batch,
    samples=_samples,
    errors=lambda: [
        error(
            RuntimeError,
            "mat1 and mat2 shapes cannot be multiplied (2x5 and 3x4)",
            grid(2, 5),
            grid(4, 3),
            grid(4),
        ),
        error(
            RuntimeError,
            "mat1 and mat2 shapes cannot be multiplied (1x5 and 3x4)",
            grid(5),
            grid(4, 3),
            grid(4),
        ),
        error(
            RuntimeError, "The expanded size of the tensor (4) must match", grid(2, 3), grid(4, 3), grid(5)
        ),
    ],
    places="nn.functional",
)
def affine(input: Array, weight: Array, bias: Array | None = None) -> Array:
    """Apply an affine map to the last dimension: input @ weight^T + bias.

    Shape: (..., in), (out, in), (out) -> (..., out); with a weight of (in) -> (...).
    """
    try:
        made = product(input, weight.T if weight.ndim == 2 else weight)
        if bias is None:
            return made
        if made.__class__ is np.ndarray and made.ndim >= bias.ndim:
            return np.add(made, bias, out=made)  # in place: nobody else has it
        return made + bias
    except ValueError:
        raise _bad_linear(input, weight, bias) from None


def _bad_linear(input: Any, weight: Any, bias: Any) -> RuntimeError:
    if weight.ndim > 2:
        return RuntimeError(
            f"linear: expected a weight of 1 or 2 dimensions; got shape {tuple(weight.shape)}"
        )
    if input.ndim == 0:
        return RuntimeError("both arguments to linear need to be at least 1D, but they are 0D and 2D")
    if input.shape[-1] != weight.shape[-1]:
        left = (math.prod(input.shape[:-1]), input.shape[-1])
        if weight.ndim == 1:
            return RuntimeError(
                f"size mismatch, got input ({left[0]}), mat ({_x(left)}), vec ({weight.shape[0]})"
            )
        return RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({_x(left)} and {_x(weight.shape[::-1])})"
        )
    return _bad_sum(bias, (math.prod(input.shape[:-1]), *weight.shape[:-1]))


# ---- a product added to something ----


def _bad_sum(what: Any, target: Any) -> RuntimeError:
    """Return the error of a tensor that cannot be expanded to the product's shape."""
    lead = len(target) - what.ndim
    if lead < 0:
        return RuntimeError(
            f"expand: the number of sizes provided ({len(target)}) must be greater or equal to the number of "
            f"dimensions in the tensor ({what.ndim})"
        )
    for dim in reversed(range(len(target))):
        have = what.shape[dim - lead] if dim >= lead else 1
        if have not in (1, target[dim]):
            return RuntimeError(
                f"The expanded size of the tensor ({target[dim]}) must match the existing size ({have}) at "
                "non-singleton "
                f"dimension {dim}.  Target sizes: {list(target)}.  Tensor sizes: {list(what.shape)}"
            )
    return RuntimeError(f"cannot add shapes {list(what.shape)} and {list(target)}")


def _plus(input: Any, product: Any, beta: Any, alpha: Any) -> Any:
    """Return beta * input + alpha * product; with beta 0 whatever `input` holds is ignored."""
    shape = tuple(product.shape)
    if tuple(input.shape) != shape:
        lead = len(shape) - input.ndim
        if lead < 0 or any(n not in (1, m) for n, m in zip(input.shape, shape[lead:], strict=True)):
            raise _bad_sum(input, shape)
    if alpha != 1:
        product = product * _scalar(alpha, product)
    if beta == 0:
        return product
    return product + (input if beta == 1 else input * _scalar(beta, input))


def _scalar(value: Any, like: Any) -> Any:
    """Return a scale for an array: whole for integers."""
    return int(value) if like.dtype.kind in "iu" else value


def _scaled(ct: Any, scale: Any) -> Any:
    return ct if scale == 1 else ct * scale


def _scales() -> Iterator[dict[str, Any]]:
    yield {}
    yield {"beta": 0.5, "alpha": 2.0}


_ADDED: dict[str, Any] = {
    "exact": False, "promote": "match", "kinds": _NUMBERS, "batch": batching.loop, "inplace": True,
}  # fmt: skip


@general(
    node="AddmmBackward0",
    input=lambda ct, beta: _scaled(ct, beta),
    mat1=lambda ct, mat2, alpha: _scaled(ct @ flip(mat2), alpha),
    mat2=lambda ct, mat1, alpha: _scaled(flip(mat1) @ ct, alpha),
    jvp={
        "input": lambda t, beta, result: np.broadcast_to(_scaled(t, beta), result.shape),
        "mat1": lambda t, mat2, alpha: _scaled(t @ mat2, alpha),
        "mat2": lambda t, mat1, alpha: _scaled(mat1 @ t, alpha),
    },
    samples=lambda: [
        *(sample(grid(2, 4), grid(2, 3), grid(3, 4, shift=1), **k) for k in _scales()),
        sample(grid(4), grid(2, 3), grid(3, 4)),
        sample(np.array(0.5), grid(2, 0), grid(0, 4)),
    ],
    errors=lambda: [
        error(
            RuntimeError,
            "mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)",
            grid(2, 2),
            grid(2, 3),
            grid(2, 3),
        ),
        error(
            RuntimeError, "The expanded size of the tensor (2) must match", grid(3, 3), grid(2, 3), grid(3, 2)
        ),
    ],
    **_ADDED,
)
def addmm(input: Array, mat1: Array, mat2: Array, *, beta: Any = 1, alpha: Any = 1) -> Array:
    """Add a matrix product: beta * input + alpha * mat1 @ mat2."""
    for name, mat in (("mat1", mat1), ("mat2", mat2)):
        if mat.ndim != 2:
            raise RuntimeError(f"{name} must be a matrix, got {mat.ndim}-D tensor")
    if mat1.shape[1] != mat2.shape[0]:
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({_x(mat1.shape)} and {_x(mat2.shape)})"
        )
    return _plus(input, mat1 @ mat2, beta, alpha)


@general(
    node="AddmvBackward0",
    input=lambda ct, beta: _scaled(ct, beta),
    mat=lambda ct, vec, alpha: _scaled(ct[:, None] * vec, alpha),
    vec=lambda ct, mat, alpha: _scaled(flip(mat) @ ct, alpha),
    jvp={
        "input": lambda t, beta, result: np.broadcast_to(_scaled(t, beta), result.shape),
        "mat": lambda t, vec, alpha: _scaled(t @ vec, alpha),
        "vec": lambda t, mat, alpha: _scaled(mat @ t, alpha),
    },
    samples=lambda: [
        *(sample(grid(2), grid(2, 3), grid(3, shift=1), **k) for k in _scales()),
        sample(np.array(0.5), grid(2, 3), grid(3)),
    ],
    errors=lambda: [
        error(RuntimeError, "size mismatch, got input (2), mat (2x3), vec (2)", grid(2), grid(2, 3), grid(2))
    ],
    **_ADDED,
)
def addmv(input: Array, mat: Array, vec: Array, *, beta: Any = 1, alpha: Any = 1) -> Array:
    """Add a matrix-vector product: beta * input + alpha * mat @ vec."""
    check_mv(mat, vec, input.ndim)
    return _plus(input, mat @ vec, beta, alpha)


@general(
    node="AddrBackward0",
    input=lambda ct, beta: _scaled(ct, beta),
    vec1=lambda ct, vec2, alpha: _scaled(ct @ vec2, alpha),
    vec2=lambda ct, vec1, alpha: _scaled(flip(ct) @ vec1, alpha),
    jvp={
        "input": lambda t, beta, result: np.broadcast_to(_scaled(t, beta), result.shape),
        "vec1": lambda t, vec2, alpha: _scaled(t[:, None] * vec2, alpha),
        "vec2": lambda t, vec1, alpha: _scaled(vec1[:, None] * t, alpha),
    },
    samples=lambda: [
        *(sample(grid(2, 3), grid(2), grid(3, shift=1), **k) for k in _scales()),
        sample(np.array(0.5), grid(2), grid(3)),
    ],
    errors=lambda: [
        error(RuntimeError, "addr: Expected 1-D argument vec1, but got 2-D", grid(2), grid(2, 3), grid(2))
    ],
    **{**_ADDED, "promote": "same", "kinds": "buifc"},
)
def addr(input: Array, vec1: Array, vec2: Array, *, beta: Any = 1, alpha: Any = 1) -> Array:
    """Add an outer product: beta * input + alpha * vec1 vec2^T."""
    for name, vec in (("vec1", vec1), ("vec2", vec2)):
        if vec.ndim != 1:
            raise RuntimeError(f"addr: Expected 1-D argument {name}, but got {vec.ndim}-D")
    if input.dtype.kind == "b":
        product = vec1[:, None] & vec2 & bool(alpha)
        return product | input if beta else product
    return _plus(input, vec1[:, None] * vec2, beta, alpha)


@general(
    node="BaddbmmBackward0",
    input=lambda ct, beta: _scaled(ct, beta),
    batch1=lambda ct, batch2, alpha: _scaled(ct @ flip(batch2), alpha),
    batch2=lambda ct, batch1, alpha: _scaled(flip(batch1) @ ct, alpha),
    jvp={
        "input": lambda t, beta, result: np.broadcast_to(_scaled(t, beta), result.shape),
        "batch1": lambda t, batch2, alpha: _scaled(t @ batch2, alpha),
        "batch2": lambda t, batch1, alpha: _scaled(batch1 @ t, alpha),
    },
    samples=lambda: [
        *(sample(grid(2, 2, 4), grid(2, 2, 3), grid(2, 3, 4, shift=1), **k) for k in _scales()),
        sample(grid(4), grid(2, 2, 3), grid(2, 3, 4)),
    ],
    errors=lambda: [error(RuntimeError, "batch1 must be a 3D tensor", grid(2), grid(2, 3), grid(2, 3, 2))],
    **_ADDED,
)
def baddbmm(input: Array, batch1: Array, batch2: Array, *, beta: Any = 1, alpha: Any = 1) -> Array:
    """Add the products of a batch: beta * input + alpha * batch1 @ batch2."""
    check_bmm(batch1, batch2)
    return _plus(input, batch1 @ batch2, beta, alpha)


@general(
    node="AddbmmBackward0",
    input=lambda ct, beta: _scaled(ct, beta),
    batch1=lambda ct, batch2, alpha: _scaled(ct @ flip(batch2), alpha),
    batch2=lambda ct, batch1, alpha: _scaled(flip(batch1) @ ct, alpha),
    jvp={
        "input": lambda t, beta, result: np.broadcast_to(_scaled(t, beta), result.shape),
        "batch1": lambda t, batch2, alpha: _scaled(total(t @ batch2, 0), alpha),
        "batch2": lambda t, batch1, alpha: _scaled(total(batch1 @ t, 0), alpha),
    },
    samples=lambda: [
        *(sample(grid(2, 4), grid(2, 2, 3), grid(2, 3, 4, shift=1), **k) for k in _scales()),
        sample(grid(4), grid(2, 2, 3), grid(2, 3, 4)),
    ],
    errors=lambda: [error(RuntimeError, "batch1 must be a 3D tensor", grid(2, 2), grid(2, 3), grid(2, 3, 2))],
    **_ADDED,
)
def addbmm(input: Array, batch1: Array, batch2: Array, *, beta: Any = 1, alpha: Any = 1) -> Array:
    """Add the sum of a batch's products: beta * input + alpha * sum_b batch1[b] @ batch2[b]."""
    check_bmm(batch1, batch2)
    summed = total(batch1 @ batch2, 0)
    return _plus(input, cast(summed, batch1.dtype), beta, alpha)  # a sum of integers has 64 bits
