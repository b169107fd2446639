"""Sparse tensors as text, character for character as torch prints them."""

from __future__ import annotations

from typing import Any

from retrograd import dtypes, printing


def sparse_str(tensor: Any) -> str:
    """Return the repr of a sparse tensor."""
    head = "tensor("
    pad = " " * len(head)
    parts = [(name, array) for name, array in tensor._parts()]
    lines = [f"{name}={_inner(array, len(head) + len(name) + 1)}" for name, array in parts]
    suffixes = [f"size={tuple(tensor.shape)}", f"nnz={tensor._nnz()}"]
    default = dtypes.default.float
    if tensor.dtype not in (default, default.to_complex(), dtypes.int64, dtypes.bool_):
        suffixes.append(f"dtype={tensor.dtype!r}")
    suffixes.append(f"layout={tensor.layout!r}")
    if tensor.grad_fn is not None:
        suffixes.append(f"grad_fn=<{tensor.grad_fn.name()}>")
    elif tensor.requires_grad:
        suffixes.append("requires_grad=True")
    if tensor.is_sparse:  # the size has a line of its own in this layout
        lines.append(suffixes.pop(0))
    return printing._with_suffixes(head + f",\n{pad}".join(lines), suffixes, len(head))


def _inner(array: Any, column: int) -> str:
    head = "tensor("
    size = "" if array.size else f", size={tuple(array.shape)}"
    return f"{head}{printing._body(array, column + len(head))}{size})"
