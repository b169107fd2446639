"""Tensors as text, character for character as torch prints them.

A tensor is first cut down to what will be shown (the corners, when it is large); the remaining numbers are
formatted once, padded to one width, and laid out as nested rows. Elements that are not shown are never read,
so the cost of a repr does not grow with the tensor.

Source: output observed from torch 2.13, including its quirks, each named where it is reproduced.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import compress
from typing import Any

import numpy as np

from . import devices, dtypes

# The thresholds at which torch leaves fixed-point notation.
_SCI_RATIO, _SCI_LARGEST, _SCI_SMALLEST = 1000.0, 1e8, 1e-4
_PLAIN_NAMES = ("Tensor", "Buffer", "Parameter")


@dataclass
class _PrintOptions:
    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


PRINT_OPTS = _PrintOptions()
_PROFILES: dict[str, dict[str, Any]] = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": math.inf, "edgeitems": 3, "linewidth": 80},
}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Set how tensors are printed; what is not given keeps its value, except `sci_mode`.

    `profile` ("default", "short" or "full") is applied first, the other arguments over it.

    Source: torch, which lets every call set `sci_mode`, so that leaving it out returns to None (choose by
    magnitude), and ignores a profile it does not know.

    Example:
        >>> set_printoptions(precision=2)
        >>> get_printoptions()["precision"]
        2
        >>> set_printoptions(profile="default")
    """
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    chosen = {name: value for name, value in given.items() if value is not None}
    vars(PRINT_OPTS).update(_PROFILES.get(profile or "", {}) | chosen, sci_mode=sci_mode)


def get_printoptions() -> dict[str, Any]:
    """Return the current print options as a new dict, in the form that `set_printoptions` takes."""
    return asdict(PRINT_OPTS)


@contextmanager
def printoptions(**options: Any) -> Iterator[None]:
    """Set print options for the duration of a `with` block; takes the arguments of `set_printoptions`."""
    saved = get_printoptions()
    set_printoptions(**options)
    try:
        yield
    finally:
        vars(PRINT_OPTS).update(saved)


def tensor_str(tensor: Any, *, tangent: Any = None) -> str:
    """Return the repr of a tensor, e.g. `tensor([1., 2.], grad_fn=<MulBackward0>)`.

    `tangent` is the tensor's forward-mode tangent, where it has one. Of the tensor itself only `_array`,
    `dtype`, `grad_fn`, `requires_grad` and the name of its class are used.
    """
    kind = type(tensor).__name__
    head = "tensor(" if kind in _PLAIN_NAMES else f"{kind}("
    text = _with_suffixes(head + _body(tensor._array, len(head)), _suffixes(tensor, tangent), len(head))
    if kind == "Parameter":
        return f"Parameter containing:\n{text}"
    if any(base.__name__ == "Parameter" for base in type(tensor).__mro__):
        return f"Parameter containing:\nParameter({text})"
    return text


# ---- what stands between the parentheses -------------------------------------------------------------------


def _body(array: np.ndarray[Any, Any], indent: int) -> str:
    """Return the numbers of `array` in nested brackets, to stand at column `indent`."""
    if array.__class__ is devices.Absent:
        return "..."
    if array.size == 0:
        return "[]"
    cut = [False] * array.ndim
    if array.size > PRINT_OPTS.threshold and array.ndim:
        if PRINT_OPTS.edgeitems == 0:
            return "[...]"
        cut = [size > 2 * PRINT_OPTS.edgeitems for size in array.shape]
        array = _edges(array, cut)
    cells, width = _cells(array)
    if not array.ndim:
        return cells[0].lstrip()
    return _rows(cells, array.shape, cut, width, indent)


def _edges(array: np.ndarray[Any, Any], cut: Sequence[bool]) -> np.ndarray[Any, Any]:
    """Return the first and last `edgeitems` along each dimension that is cut, reading nothing else."""
    edge = PRINT_OPTS.edgeitems
    kept = [
        [*range(size)[:edge], *range(size)[-edge:]] if short else range(size)
        for size, short in zip(array.shape, cut, strict=True)
    ]
    return array[np.ix_(*kept)]


def _rows(cells: list[str], shape: Sequence[int], cut: Sequence[bool], width: int, indent: int) -> str:
    """Lay `cells` out in brackets: wrapped lines for one dimension, blocks set apart by newlines for more."""
    break_ = "\n" * max(1, len(shape) - 1) + " " * (indent + 1)
    half = shape[0] // 2  # a dimension that is cut has as many items before the dots as after them
    if len(shape) > 1:
        step = len(cells) // shape[0]
        blocks = [cells[start : start + step] for start in range(0, len(cells), step)]
        parts = [_rows(block, shape[1:], cut[1:], width, indent + 1) for block in blocks]
        if cut[0]:
            parts.insert(half, "...")
        return f"[{f',{break_}'.join(parts)}]"
    if cut[0]:
        cells = [*cells[:half], " ...", *cells[half:]]
    per_line = max(1, int((PRINT_OPTS.linewidth - indent) // (width + 2)))
    lines = [", ".join(cells[start : start + per_line]) for start in range(0, len(cells), per_line)]
    return f"[{f',{break_}'.join(lines)}]"


# ---- numbers -----------------------------------------------------------------------------------------------


def _cells(array: np.ndarray[Any, Any]) -> tuple[list[str], int]:
    """Return every element's text in row-major order, padded, and the width to reckon lines with."""
    kind = dtypes.of_array(array).kind
    flat = array.ravel()
    if kind == "c":
        # Only the real parts are padded, and a line's width counts no plus sign: torch's habits.
        real, width = _float_texts(flat.real)
        imag, imag_width = _float_texts(flat.imag)
        signed = (text if text.startswith("-") else f"+{text}" for text in imag)
        return [f"{r:>{width}}{i}j" for r, i in zip(real, signed, strict=True)], width + imag_width + 1
    if kind == "f":
        texts, width = _float_texts(flat)
    else:
        texts = list(map(str, flat.tolist()))
        width = max(map(len, texts))
    return [text.rjust(width) for text in texts], width


def _float_texts(flat: np.ndarray[Any, Any]) -> tuple[list[str], int]:
    """Return each number in the one notation that suits them all, and the width to pad and to reckon with.

    Zeros and non-finite numbers have no say in the notation, nor (torch's habit) in the width.
    """
    with np.errstate(invalid="ignore"):  # a signalling NaN counts as invalid here, but can be shown
        flat = flat.astype(np.float64)
    values: list[float] = flat.tolist()
    finite = np.isfinite(flat)
    counted = finite & (flat != 0)
    magnitudes = np.abs(flat[counted])
    template, is_whole = _notation(magnitudes)
    texts = list(map(template.format, values))
    if is_whole:
        texts = [f"{text}." if shown else text for text, shown in zip(texts, finite.tolist(), strict=True)]
    return texts, max(map(len, compress(texts, counted.tolist())), default=1)


def _notation(magnitudes: np.ndarray[Any, Any]) -> tuple[str, bool]:
    """Return the format for (finite, non-zero) numbers of these magnitudes, and whether it lacks a dot."""
    whole, fixed, scientific = "{:.0f}", f"{{:.{PRINT_OPTS.precision}f}}", f"{{:.{PRINT_OPTS.precision}e}}"
    if not magnitudes.size:
        return whole, True
    smallest, largest = float(magnitudes.min()), float(magnitudes.max())
    is_whole = bool((magnitudes == np.floor(magnitudes)).all())
    is_scientific = PRINT_OPTS.sci_mode
    if is_scientific is None:
        is_scientific = (
            largest / smallest > _SCI_RATIO
            or largest > _SCI_LARGEST
            or (smallest < _SCI_SMALLEST and not is_whole)
        )
    if is_scientific:
        return scientific, False
    return (whole, True) if is_whole else (fixed, False)


# ---- what follows the numbers ------------------------------------------------------------------------------


def _suffixes(tensor: Any, tangent: Any) -> list[str]:
    """Return the `name=value` texts that say what the numbers alone do not."""
    array, dtype, default = tensor._array, tensor.dtype, dtypes.default.float
    suffixes = []
    if array.__class__ is devices.Absent:
        suffixes.append("device='meta'")
        has_size, understood = True, {default}
    elif array.size:
        has_size = PRINT_OPTS.edgeitems == 0
        understood = {default, default.to_complex(), dtypes.int64, dtypes.bool_}
    else:
        # Without numbers to look at, the brackets tell one dimension only and nothing tells the type.
        has_size = array.ndim != 1
        understood = {default}
    if has_size:
        suffixes.append(f"size={tuple(array.shape)}")
    if dtype not in understood:
        suffixes.append(f"dtype={dtype!r}")
    grad_fn = _grad_fn_name(tensor)
    if grad_fn is not None:
        suffixes.append(f"grad_fn=<{grad_fn}>")
    elif tensor.requires_grad:
        suffixes.append("requires_grad=True")
    if tangent is not None:
        # format, not repr: torch shows the tangent of a 0-dim tensor as a bare number.
        suffixes.append(f"tangent={tangent}")
    return suffixes


def _grad_fn_name(tensor: Any) -> str | None:
    """Return the name of the tensor's gradient node, or None where it has none."""
    try:
        node = tensor.grad_fn
    except RuntimeError:
        # A view whose history an in-place write has made unusable: a repr must not raise, so it says so.
        return "Invalid"
    if node is None:
        return None
    full_name = node.name() if callable(getattr(node, "name", None)) else ""
    # The node of a write through a view has a qualified name, `torch::autograd::CopySlices`.
    return full_name.rpartition("::")[2] if "::" in full_name else type(node).__name__


def _with_suffixes(text: str, suffixes: list[str], indent: int) -> str:
    """Append the suffixes and the closing parenthesis, starting a new line where one would not fit."""
    # The end of the numbers is taken to be two columns further right than it is; the end of a suffix is not.
    column = len(text) - (text.rfind("\n") + 1) + 2
    for suffix in suffixes:
        if column + len(", ") + len(suffix) > PRINT_OPTS.linewidth:
            text += ",\n" + " " * indent + suffix
            column = indent + len(suffix)
        else:
            text += f", {suffix}"
            column += len(", ") + len(suffix)
    return text + ")"
