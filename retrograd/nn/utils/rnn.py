"""Sequences of different lengths: padded to one tensor, or packed so that no step is wasted on padding.

A packed sequence holds the first elements of all sequences, then the second ones of those that have any, and
so on; the longest sequence comes first.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterable
from typing import Any, Self

import numpy as np

from retrograd.functions.joins import cat
from retrograd.nn.functions.ops import OPS
from retrograd.tensor import Tensor, wrap

PackedSequence_ = namedtuple("PackedSequence_", ["data", "batch_sizes", "sorted_indices", "unsorted_indices"])  # noqa: PYI024
PackedSequence_.__annotations__ = {
    "data": Tensor, "batch_sizes": Tensor, "sorted_indices": Tensor, "unsorted_indices": Tensor,
}  # fmt: skip


class PackedSequence(PackedSequence_):
    """Sequences packed step by step; made by pack_padded_sequence and pack_sequence.

    Args:
        data: all elements, (total, ...).
        batch_sizes: how many sequences still run at each step.
        sorted_indices: where the sequences were before they were sorted by length; None if they were sorted.
        unsorted_indices: the inverse.
    """

    __slots__ = ()

    def __new__(
        cls, data: Any, batch_sizes: Any = None, sorted_indices: Any = None, unsorted_indices: Any = None
    ) -> Self:
        if batch_sizes is None:  # the older form: one pair
            data, batch_sizes = data
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def _with(self, data: Any) -> PackedSequence:
        if data is self.data:
            return self
        return type(self)(data, self.batch_sizes, self.sorted_indices, self.unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """Return the sequence with its data in another dtype."""
        return self._with(self.data.to(*args, **kwargs))

    def cpu(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """Return the sequence itself: all is on the CPU."""
        return self._with(self.data.cpu(*args, **kwargs))

    def cuda(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """Move the data to a GPU."""
        return self._with(self.data.cuda(*args, **kwargs))

    def pin_memory(self) -> PackedSequence:
        """Return the sequence itself."""
        return self

    def is_pinned(self) -> bool:
        """Return false."""
        return False

    @property
    def is_cuda(self) -> bool:
        """Whether the data is on a GPU."""
        return bool(self.data.is_cuda)


def _cast(name: str) -> Any:
    def method(self: PackedSequence) -> PackedSequence:
        return self._with(getattr(self.data, name)())

    method.__name__ = name
    method.__doc__ = f"Return the sequence with its data as {name}."
    return method


for _name in ("double", "float", "half", "long", "int", "short", "char", "byte"):
    setattr(PackedSequence, _name, _cast(_name))


def invert_permutation(permutation: Any) -> Any:
    """Return the permutation that undoes another; None for None."""
    return None if permutation is None else wrap(np.argsort(permutation._array))


def _lengths_of(lengths: Any) -> np.ndarray[Any, Any]:
    if isinstance(lengths, Tensor):
        if lengths.ndim != 1:
            raise RuntimeError(
                "'lengths' argument should be a 1D CPU int64 tensor, but got "
                f"{lengths.ndim}D cpu {lengths.dtype.scalar_name} tensor"
            )
        return lengths._array.astype(np.int64)
    return np.array([int(n) for n in lengths], np.int64)


def pack_padded_sequence(
    input: Any, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Pack padded sequences, (L, N, ...) or with `batch_first` (N, L, ...), of the given lengths.

    Raises:
        RuntimeError: a length is not positive or too large, their number is not N, or they do not fall, with
            `enforce_sorted`.
    """
    counts = _lengths_of(lengths)
    order = None
    if not enforce_sorted:
        indices = np.argsort(-counts, kind="stable")
        counts, order = counts[indices], wrap(indices)
        input = OPS["index_select"](input, 0 if batch_first else 1, order)
    steps = input.transpose(0, 1) if batch_first else input
    if len(counts) != steps.shape[1]:
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {len(counts)} "
            f"(batch_size={steps.shape[1]})"
        )
    if (counts[1:] > counts[:-1]).any():
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass "
            "`enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this "
            "requirement if "
            "you do not need ONNX exportability."
        )
    if (counts <= 0).any():
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0"
        )
    if counts[0] > steps.shape[0]:
        raise RuntimeError(
            f"pack_padded_sequence: a length is {counts[0]}, but the sequences have only "
            f"{steps.shape[0]} steps"
        )
    sizes = (np.arange(counts[0])[:, None] < counts).sum(1)
    flat = steps.reshape((-1, *steps.shape[2:]))
    data = OPS["index_select"](flat, 0, wrap(_places(sizes, steps.shape[1])))
    return PackedSequence(data, wrap(sizes), order, None)


def _places(sizes: Any, width: int) -> np.ndarray[Any, Any]:
    """Return where the packed elements are among (steps * width) padded ones."""
    return np.concatenate([step * width + np.arange(n) for step, n in enumerate(sizes)])


def pad_packed_sequence(
    sequence: Any, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Any, Any]:
    """Undo pack_padded_sequence: return (padded sequences, lengths), in the order that they had.

    Raises:
        ValueError: `total_length` is less than the longest sequence has.
    """
    sizes = sequence.batch_sizes._array
    steps, width = len(sizes), int(sizes[0])
    if total_length is not None:
        if total_length < steps:
            raise ValueError(
                "Expected total_length to be at least the length of the longest sequence in input, but got "
                f"total_length={total_length} and max sequence length being {steps}"
            )
        steps = total_length
    data = sequence.data
    blank = data.new_full((steps * width, *data.shape[1:]), padding_value)
    padded = OPS["index_copy"](blank, 0, wrap(_places(sizes, width)), data)
    padded = padded.reshape((steps, width, *data.shape[1:]))
    lengths = wrap((sizes[:, None] > np.arange(width)).sum(0))
    if batch_first:
        padded = padded.transpose(0, 1)
    back = sequence.unsorted_indices
    if back is not None:
        return OPS["index_select"](padded, 0 if batch_first else 1, back), lengths[back]
    return padded, lengths


def pad_sequence(
    sequences: Any, batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Any:
    """Stack sequences (L_i, ...) as (L, N, ...), or with `batch_first` (N, L, ...), the short ones filled up.

    Raises:
        RuntimeError: there are no sequences; the side is neither left nor right.
    """
    if isinstance(sequences, Tensor):
        sequences = sequences.unbind(0)
    elif not isinstance(sequences, Iterable):
        raise RuntimeError(  # noqa: TRY004 - torch's type
            f"pad_sequence: Expected iterable for input sequences, but got arg of type: {type(sequences)}"
        )
    given: list[Any] = list(sequences)
    if not given:
        raise RuntimeError("received an empty list of sequences")
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"Expected padding_side to be one of left or right, but got {padding_side}.")
    longest = max(x.shape[0] for x in given)
    rows = []
    for x in given:
        fill = x.new_full((longest - x.shape[0], *x.shape[1:]), padding_value)
        rows.append(cat([x, fill] if padding_side == "right" else [fill, x], 0) if fill.shape[0] else x)
    return OPS["stack"](rows, 0 if batch_first else 1)


def unpad_sequence(padded_sequences: Any, lengths: Any, batch_first: bool = False) -> list[Any]:
    """Return the sequences of a padded tensor without their padding."""
    rows = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [row[: int(n)] for row, n in zip(rows, lengths, strict=True)]


def pack_sequence(sequences: Any, enforce_sorted: bool = True) -> PackedSequence:
    """Pack sequences (L_i, ...); see pack_padded_sequence."""
    lengths = wrap(np.array([x.shape[0] for x in sequences], np.int64))
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: Any) -> list[Any]:
    """Return the sequences that were packed."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)


__all__ = [
    "PackedSequence", "invert_permutation", "pack_padded_sequence", "pack_sequence", "pad_packed_sequence",
    "pad_sequence", "unpack_sequence", "unpad_sequence",
]  # fmt: skip
