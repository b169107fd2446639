"""Losses between scores of classes and the right class: negative log likelihood, cross entropy, margins."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.ops import batching, index_batching
from retrograd.ops.declare import Array, ErrorSample, Plain, Sample, error, sample
from retrograd.ops.depend import tied
from retrograd.ops.families import WHOLE_ROWS, general, linear
from retrograd.ops.helpers import cast, name_of, numpy_dtype
from retrograd.ops.matmul import grid
from retrograd.ops.neural import at_least, largest, reduced, total

# ---- one element per row, chosen by an index ----


def _picks() -> Iterator[Sample]:
    yield sample(grid(3, 4), np.array([1, 0, 3]), 1)
    yield sample(grid(2, 4, 2, 3), np.arange(12).reshape(2, 2, 3) % 4, 1)
    yield sample(grid(4), np.array(2), 0)


@linear(
    node="GatherBackward0",
    input=lambda ct, index, dim, input_shape: put_class(ct, index, dim, input_shape),
    promote="none",
    primitive=True,
    batch=index_batching.of_rows,
    samples=_picks,
    places="",
)
def take_class(input: Array, index: Plain, dim: int) -> Array:
    """Take, along `dim`, the element that `index` names at each place: (n, c, ...), (n, ...) -> (n, ...)."""
    if input.ndim == 2:
        return input[np.arange(index.shape[0]), index]
    if input.ndim == 1:
        return input[index]
    return np.take_along_axis(input, np.expand_dims(index, dim), dim).reshape(index.shape)


@linear(
    node="ScatterBackward0",
    input=lambda ct, index, dim: take_class(ct, index, dim),
    promote="none",
    primitive=True,
    batch=index_batching.of_rows,
    samples=lambda: [
        sample(s.args[0].take(0, s.args[2]) + 1.0, s.args[1], s.args[2], s.args[0].shape) for s in _picks()
    ],
    places="",
)
def put_class(input: Array, index: Plain, dim: int, shape: tuple[int, ...]) -> Array:
    """Put the elements of `input` into zeros of `shape`, where `take_class` would take them from."""
    made = np.zeros(shape, input.dtype)
    if made.ndim == 2:
        made[np.arange(index.shape[0]), index] = input
    elif made.ndim == 1:
        made[index] = input
    else:
        np.put_along_axis(made, np.expand_dims(index, dim), np.expand_dims(input, dim), dim)
    return made


# ---- weights of classes, classes to ignore ----


def _checked(target: Any, classes: int, ignore_index: int) -> bool:
    """Return whether every target is a class and none is ignored.

    Raises:
        IndexError: a target is neither a class nor to be ignored.
    """
    if target.size == 0:
        return True
    unsigned = target.view(f"u{target.dtype.itemsize}")  # in which negative numbers are large
    if np.maximum.reduce(unsigned, None) < classes and not 0 <= ignore_index < classes:
        return True
    wrong = (target != ignore_index) & ((target < 0) | (target >= classes))
    if wrong.any():
        raise IndexError(f"Target {int(target[wrong].flat[0])} is out of bounds.")
    return not (target == ignore_index).any()


def chosen(target: Any, weight: Any, classes: int, ignore_index: int) -> tuple[Any, Any]:
    """Return targets that are classes, and each one's weight: 0 if ignored, None if all are 1."""
    if target.__class__ is np.ndarray and _checked(target, classes, ignore_index):
        return target, None if weight is None else weight[target]
    ignored = target == ignore_index
    target = np.where(ignored, 0, target)
    kept = np.logical_not(ignored)
    return target, kept if weight is None else weight[target] * kept


def _per_element(ct: Any, weights: Any, shape: Any, reduction: str) -> Any:
    """Return the cotangent of each element's unweighted loss."""
    if weights is None:
        if reduction == "mean":
            ct = ct / (math.prod(shape) or math.nan)
        return np.broadcast_to(ct, tuple(shape))
    weights = cast(weights, numpy_dtype(ct.dtype))
    return weights * (ct / total(weights) if reduction == "mean" else ct)


def _summed(loss: Any, weights: Any, reduction: str) -> Any:
    if weights is None:
        return reduced(loss, reduction)
    weights = cast(weights, numpy_dtype(loss.dtype))
    loss = loss * weights
    return total(loss) / total(weights) if reduction == "mean" else reduced(loss, reduction)


def _class_dim(input: Any) -> int:
    return 1 if input.ndim > 1 else 0


def _node(input: Any) -> str:
    return "NllLoss2DBackward0" if input.ndim > 2 else "NllLossBackward0"


def _class_samples() -> Iterator[Sample]:
    x, t = grid(3, 4), np.array([1, 0, 3])
    weight = np.array([0.5, 1.0, 2.0, 1.5])
    for reduction in ("mean", "sum", "none"):
        yield sample(x, t, reduction=reduction)
        yield sample(x, t, weight, reduction=reduction)
        yield sample(x, t, weight, 0, reduction=reduction)
    yield sample(x, np.array([1, -100, 3]), reduction="mean")
    yield sample(grid(2, 4, 2), np.array([[1, 0], [3, 3]]), weight, reduction="mean")
    yield sample(grid(4), np.array(2), reduction="mean")


def _class_errors() -> Iterator[ErrorSample]:
    yield error(IndexError, "Target 5 is out of bounds.", grid(2, 3), np.array([0, 5]))
    yield error(
        RuntimeError,
        "expected target dtype to be Long or Byte, but got Float",
        grid(2, 3),
        np.ones(2, np.float32),
    )
    yield error(
        ValueError,
        "Expected input batch_size (2) to match target batch_size (3).",
        grid(2, 3),
        np.ones(3, int),
    )
    yield error(
        RuntimeError,
        "weight tensor should be defined either for all 3 classes",
        grid(2, 3),
        np.ones(2, int),
        np.ones(2),
    )


def check_classes(input: Any, target: Any, weight: Any) -> None:
    """Raise unless these are scores (n, c, ...), classes (n, ...), and weights (c) or None."""
    if target.dtype.kind not in "iu" or target.dtype.itemsize not in (1, 8):
        raise RuntimeError(f"expected target dtype to be Long or Byte, but got {name_of(target)}")
    if input.ndim == 0:
        raise ValueError("Expected 1 or more dimensions (got 0)")
    if input.ndim > 1:
        if target.ndim == 0 or input.shape[0] != target.shape[0]:
            got = target.shape[0] if target.ndim else 1
            raise ValueError(
                f"Expected input batch_size ({input.shape[0]}) to match target batch_size ({got})."
            )
        if input.ndim == 2 and target.ndim > 1:
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
        wanted = (input.shape[0], *input.shape[2:])
        if tuple(target.shape) != wanted:
            raise RuntimeError(f"Expected target size {list(wanted)}, got {list(target.shape)}")
    elif target.ndim > 0 and tuple(target.shape) != (1,):
        raise RuntimeError(f"size mismatch (got input: {list(input.shape)}, target: {list(target.shape)})")
    classes = input.shape[_class_dim(input)]
    if weight is not None and (weight.ndim != 1 or weight.shape[0] != classes):
        raise RuntimeError(
            f"weight tensor should be defined either for all {classes} classes or no classes but got weight "
            "tensor of "
            f"shape: {list(weight.shape)}"
        )


def _as_classes(input: Any, target: Any) -> Any:
    """Return targets as one index for each row of scores."""
    if input.ndim == 1 and target.ndim == 1:
        target = np.reshape(target, ())
    return target if target.dtype.itemsize == 8 else cast(target, np.dtype(np.int64))


_CLASSES: dict[str, Any] = {
    "promote": "match", "kinds": "f", "batch": lambda *a: _batch(*a), "samples": _class_samples,
    "errors": _class_errors, "places": "nn", "large": WHOLE_ROWS,
}  # fmt: skip


def _batch(op: Any, size: int, args: Any, dims: Any) -> Any:
    """Join the batch to the rows and reduce each one's own; loop if each has class weights of its own."""
    input, target, weight, ignore_index, reduction = args
    if dims[2] is not None or not isinstance(target, np.ndarray):
        return batching.loop(op, size, args, dims)
    rows = batching.spread(input, dims[0], size)
    labels = batching.spread(target, dims[1], size)
    lead = rows.shape[:2] if rows.ndim > 2 else rows.shape[:1]
    flat = np.reshape(rows, (math.prod(lead), *rows.shape[len(lead) :]))
    at = np.reshape(labels, (flat.shape[0], *flat.shape[2:]))
    loss = op(flat, at, weight, ignore_index, reduction="none")
    loss = np.reshape(loss, (*lead, *loss.shape[1:]))
    axes = tuple(range(1, loss.ndim))
    if reduction == "none":
        return loss
    summed = total(loss, axes) if axes else loss
    if reduction == "sum":
        return summed
    counts: Any = np.reshape(labels, loss.shape) != ignore_index
    if weight is not None:
        counts = weight[np.where(counts, np.reshape(labels, loss.shape), 0)] * counts
    with np.errstate(all="ignore"):  # where all are ignored, the mean is that of nothing
        return summed / (total(counts, axes) if axes else counts)


# ---- the losses ----


def _nll_ct(ct: Any, input: Any, target: Any, weight: Any, ignore_index: int, reduction: str) -> Any:
    input_shape = tuple(input.shape)
    dim = 1 if len(input_shape) > 1 else 0
    at = np.reshape(target, ()) if len(input_shape) == 1 else target
    at, weights = chosen(at, weight, input_shape[dim], ignore_index)
    each = _per_element(np.reshape(ct, at.shape) if reduction == "none" else ct, weights, at.shape, reduction)
    return tied(put_class(-each, at, dim, input_shape), input)


@general(
    node=_node,
    input=_nll_ct,
    jvp={
        "input": lambda t, target, weight, ignore_index, reduction: nll_loss(
            t, target, weight, ignore_index, reduction=reduction
        )
    },
    **_CLASSES,
)
def nll_loss(
    input: Array,
    target: Plain,
    weight: Array | None = None,
    ignore_index: int = -100,
    *,
    reduction: str = "mean",
) -> Array:
    """Take minus the score of the right class, weighted by class: (n, c, ...), (n, ...) -> ()."""
    check_classes(input, target, weight)
    at = _as_classes(input, target)
    at, weights = chosen(at, weight, input.shape[_class_dim(input)], ignore_index)
    loss = _summed(-take_class(input, at, _class_dim(input)), weights, reduction)
    return np.reshape(loss, target.shape) if reduction == "none" else loss


_FEW_CLASSES = 64  # up to which NumPy reduces rows sooner as columns, turned round, than as they lie


def _powers(input: Any, dim: int) -> tuple[Any, Any, Any]:
    """Return e**(x - top), its sums and the tops, along `dim` and keeping it."""
    if input.__class__ is np.ndarray and input.ndim == 2 and 0 < input.shape[1] <= _FEW_CLASSES:
        columns = input.T.copy()
        top = np.maximum.reduce(columns, 0)
        np.subtract(columns, top, columns)
        np.exp(columns, columns)
        return columns.T, np.add.reduce(columns, 0)[:, None], top[:, None]
    top = largest(input, dim, True)
    powers = np.exp(input - top)
    return powers, total(powers, dim, True), top


def _cross_entropy_ct(
    ct: Any, input: Any, target: Any, weight: Any, ignore_index: int, reduction: str
) -> Any:
    dim = _class_dim(input)
    at = _as_classes(input, target)
    at, weights = chosen(at, weight, input.shape[dim], ignore_index)
    powers, sums, _ = _powers(input, dim)
    plain = powers.__class__ is np.ndarray and not hasattr(ct, "elements")  # neither traced nor a batch
    if weights is None and reduction != "none" and plain and input.ndim == 2:
        share = ct / (at.size or math.nan) if reduction == "mean" else ct  # one number for all rows
        made = np.multiply(powers, share / sums, powers)
        made[np.arange(at.size), at] -= share
        return made
    each = _per_element(np.reshape(ct, at.shape) if reduction == "none" else ct, weights, at.shape, reduction)
    return powers * (np.expand_dims(each, dim) / sums) - put_class(each, at, dim, tuple(input.shape))


def _cross_entropy_tangent(
    t: Any, input: Any, target: Any, weight: Any, ignore_index: int, reduction: str
) -> Any:
    dim = _class_dim(input)
    powers, sums, _ = _powers(input, dim)
    return nll_loss(
        t - total(t * powers, dim, True) / sums, target, weight, ignore_index, reduction=reduction
    )


@general(node=_node, input=_cross_entropy_ct, jvp={"input": _cross_entropy_tangent}, **_CLASSES)
def cross_entropy(
    input: Array,
    target: Plain,
    weight: Array | None = None,
    ignore_index: int = -100,
    *,
    reduction: str = "mean",
) -> Array:
    """Take minus the right class's log_softmax, weighted by class: (n, c, ...), (n, ...) -> ()."""
    check_classes(input, target, weight)
    dim = _class_dim(input)
    at = _as_classes(input, target)
    at, weights = chosen(at, weight, input.shape[dim], ignore_index)
    _, sums, top = _powers(input, dim)
    loss = np.reshape(np.log(sums), at.shape) - (take_class(input, at, dim) - np.reshape(top, at.shape))
    loss = _summed(loss, weights, reduction)
    return np.reshape(loss, target.shape) if reduction == "none" else loss


# ---- margins ----


def _margin(input: Any, at: Any, p: int, margin: float, weight: Any) -> tuple[Any, Any]:
    """Return how far each wrong class is inside the margin, and the weight of each row."""
    right = np.expand_dims(take_class(input, at, 1), 1)
    inside = at_least(margin - right + input, 0)
    wrong = np.arange(input.shape[1]) != np.expand_dims(at, 1)
    return inside * wrong, 1 if weight is None else np.expand_dims(weight[at], 1)


def _multi_margin_ct(
    ct: Any, input: Any, target: Any, p: int, margin: float, weight: Any, reduction: str
) -> Any:
    x = input if input.ndim == 2 else np.reshape(input, (1, math.prod(input.shape)))
    at = np.reshape(target, (x.shape[0],))
    inside, scale = _margin(x, at, p, margin, weight)
    slope = cast(inside > 0, numpy_dtype(inside.dtype)) * scale if p == 1 else 2 * inside * scale
    slope = slope / x.shape[1]
    if reduction == "none":
        slope = slope * np.reshape(ct, (x.shape[0], 1))
    else:
        slope = slope * (ct / x.shape[0] if reduction == "mean" else ct)
    made = slope - put_class(total(slope, 1), at, 1, tuple(x.shape))
    return made if input.ndim == 2 else np.reshape(made, input.shape)


@general(
    node="MultiMarginLossBackward0",
    input=_multi_margin_ct,
    jvp={
        "input": lambda t, input, target, p, margin, weight, reduction: _multi_margin_tangent(
            t, input, target, p, margin, weight, reduction
        )
    },
    promote="match",
    kinds="f",
    batch=batching.loop,
    samples=lambda: [
        *(
            sample(grid(3, 4), np.array([1, 0, 3]), p, 0.7, reduction=r)
            for p in (1, 2)
            for r in ("mean", "sum", "none")
        ),
        sample(grid(3, 4), np.array([1, 0, 3]), 1, 1.0, np.array([1.0, 0.5, 2.0, 1.5])),
        sample(grid(4), np.array(2)),
        sample(np.array(0.7), np.array(0)),
    ],
    errors=lambda: [
        error(RuntimeError, "target out of range", grid(2, 3), np.array([1, 5])),
        error(ValueError, "only p == 1 and p == 2 supported", grid(2, 3), np.array([1, 1]), 3),
    ],
    places="nn",
)
def multi_margin_loss(
    input: Array,
    target: Plain,
    p: int = 1,
    margin: float = 1.0,
    weight: Array | None = None,
    *,
    reduction: str = "mean",
) -> Array:
    """Take the mean over classes of max(0, margin - x[right] + x[class])**p."""
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if input.ndim > 2 or 0 in input.shape[-1:]:
        raise RuntimeError(
            "Expected non-empty vector or matrix with optional 0-dim batch size, but got: "
            f"{list(input.shape)}"
        )
    rows = 1 if input.ndim < 2 else input.shape[0]
    if target.ndim > 1 or math.prod(target.shape) != rows:
        raise RuntimeError(
            "multi_margin_loss: target tensor should be 1-D with size equal to the number of input samples "
            "(batch "
            f"size). Expected target size [{rows}], but got {list(target.shape)}. Input has shape "
            f"{list(input.shape)}."
        )
    if target.dtype.kind != "i":
        raise RuntimeError(f"expected scalar type Long but found {name_of(target)}")
    classes = input.shape[-1] if input.ndim else 1
    if weight is not None and tuple(weight.shape) != (classes,):
        raise RuntimeError(f"inconsistent weight size, expected {classes} but got {list(weight.shape)}")
    x = input if input.ndim == 2 else np.reshape(input, (1, math.prod(input.shape)))
    at = np.reshape(target, (rows,))
    if at.__class__ is np.ndarray and ((at < 0) | (at >= x.shape[1])).any():
        raise RuntimeError("target out of range")
    inside, scale = _margin(x, at, p, margin, weight)
    loss = total((inside if p == 1 else inside * inside) * scale, 1) / x.shape[1]
    return reduced(loss if input.ndim == 2 else loss[0], reduction)


def _multi_margin_tangent(
    t: Any, input: Any, target: Any, p: int, margin: float, weight: Any, reduction: str
) -> Any:
    shape = np.shape(target) if reduction == "none" and input.ndim == 2 else ()
    ones = np.ones(shape, numpy_dtype(input.dtype))
    each = _multi_margin_ct(ones, input, target, p, margin, weight, reduction)
    moved = each * t
    return total(moved, 1) if reduction == "none" and input.ndim == 2 else total(moved)
