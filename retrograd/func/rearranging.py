"""rearrange: dimensions split, joined and put in another order, as a pattern says."""

from __future__ import annotations

import math
import re
from typing import Any

from retrograd.ops.declare import TABLE
from retrograd.tensor import Tensor

Axes = list[list[str]]


def rearrange(tensor: Any, pattern: str, **axes_lengths: int) -> Tensor:
    """Return a tensor with its dimensions in the form of the right side of a pattern.

    Args:
        tensor: a tensor; or a list of them, which is stacked first.
        pattern: names of dimensions on both sides of `->`; brackets join dimensions, `...` stands for any
            more, 1 for a dimension of size 1.
        **axes_lengths: the sizes of names in brackets on the left that do not follow.

    Raises:
        ValueError: the pattern is malformed, or does not fit the tensor.

    Example:
        >>> import retrograd as torch
        >>> torch.func.rearrange(torch.arange(6), "(a b) -> b a", a=2)
        tensor([[0, 3],
                [1, 4],
                [2, 5]])
    """
    if not isinstance(tensor, Tensor):
        tensor = TABLE["stack"].function(list(tensor), 0)
    if pattern.count("->") != 1:
        raise ValueError("Pattern must contain a single '->' separator")
    left, right = (_parsed(side) for side in pattern.split("->"))
    left, right = _without_dots(left, right, tensor._array.ndim)
    names, others = ({n for group in side for n in group} for side in (left, right))
    if names != others:
        raise ValueError(
            f"Identifiers only on one side of rearrange expression (should be on both): {names ^ others}"
        )
    if len(left) != tensor._array.ndim:
        raise ValueError(
            f"Number of dimensions in pattern ({len(left)}) and tensor ({tensor._array.ndim}) must be equal"
        )
    sizes = _sizes(left, tuple(tensor.shape), axes_lengths)
    order = [n for group in left for n in group]
    split = tensor.reshape([sizes[n] for n in order])
    turned = split.permute([order.index(n) for group in right for n in group])
    return turned.reshape([math.prod(sizes[n] for n in group) for group in right])  # type: ignore[no-any-return]


def _parsed(side: str) -> Axes:
    """Return the names of a side, those in brackets together; a 1 is a group without names."""
    groups: Axes = []
    inside = False
    for word in re.findall(r"\.\.\.|\w+|\S", side):
        if word == "(":
            groups.append([])
            inside = True
        elif word == ")":
            inside = False
        elif word == "...":
            groups.append(["..."])
        elif word.isidentifier() or word == "1":
            names = [] if word == "1" else [word]
            if inside:
                groups[-1] += names
            else:
                groups.append(names)
        else:
            raise ValueError(f"Unknown character {word!r} in pattern {side.strip()!r}")
    flat = [n for group in groups for n in group]
    if len(set(flat)) != len(flat):
        raise ValueError(f"A name appears twice in {side.strip()!r}")
    return groups


def _without_dots(left: Axes, right: Axes, rank: int) -> tuple[Axes, Axes]:
    """Return both sides with names for the dimensions that `...` stands for."""
    count = rank - sum(group != ["..."] for group in left)
    lead = [[f"...{i}"] for i in range(max(count, 0))]

    def filled(side: Axes) -> Axes:
        return [g for group in side for g in (lead if group == ["..."] else [group])]

    return filled(left), filled(right)


def _sizes(left: Axes, shape: tuple[int, ...], known: dict[str, int]) -> dict[str, int]:
    sizes = dict(known)
    for group, size in zip(left, shape, strict=True):
        open_names = [n for n in group if n not in sizes]
        have = math.prod(sizes[n] for n in group if n in sizes)
        if len(open_names) > 1:
            raise ValueError(f"Could not infer sizes for {open_names}")
        if (not open_names and have != size) or (open_names and (not have or size % have)):
            raise ValueError(
                f"Shape mismatch: a dimension of size {size} cannot be split into {group} with {known}"
            )
        if open_names:
            sizes[open_names[0]] = size // have
    return sizes
