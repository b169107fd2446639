"""Making one batch of many samples."""

from __future__ import annotations

import copy
from collections.abc import Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.functions.joins import stack
from retrograd.tensor import Tensor, wrap

_UNKNOWN = "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"


def default_collate(batch: Any) -> Any:
    """Join samples into a batch: tensors, arrays and numbers are stacked, containers joined by element.

    Raises:
        TypeError: the samples hold something else.
        RuntimeError: the samples' sizes differ.
    """
    first = batch[0]
    if isinstance(first, Tensor):
        return _stack(batch)
    if isinstance(first, np.ndarray):
        if first.dtype.kind in "SaUO":
            raise TypeError(_UNKNOWN.format(first.dtype))
        return _stack([wrap(np.asarray(array)) for array in batch])
    if isinstance(first, (np.number, np.bool_)):
        return wrap(np.array(batch, first.dtype))
    if isinstance(first, float):
        return wrap(np.array(batch, np.float64))
    if isinstance(first, int):
        array = np.array(batch)
        if array.dtype.kind not in "biuf":
            wrong = next(type(item) for item in batch if not isinstance(item, (int, float)))
            raise TypeError(f"new(): invalid data type '{wrong.__name__}'")
        return wrap(array.astype(dtypes.default.float.np) if array.dtype.kind == "f" else array)
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        return _mapping(first, {key: default_collate([sample[key] for sample in batch]) for key in first})
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*(default_collate(part) for part in zip(*batch, strict=False)))
    if isinstance(first, Sequence):
        if any(len(sample) != len(first) for sample in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        return _sequence(first, [default_collate(part) for part in zip(*batch, strict=True)])
    raise TypeError(_UNKNOWN.format(type(first)))


def _stack(tensors: Sequence[Any]) -> Tensor:
    if any(t.requires_grad for t in tensors):
        return stack(list(tensors))
    shape = tensors[0]._array.shape
    for i, tensor in enumerate(tensors):
        if tensor._array.shape != shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(shape)} at entry 0 and "
                f"{list(tensor.shape)} at entry {i}"
            )
    return wrap(np.stack([t._array for t in tensors]))


def _mapping(like: Any, made: dict[Any, Any]) -> Any:
    """Return a dictionary of the type of `like`, where that can be made."""
    try:
        if isinstance(like, MutableMapping):
            found = copy.copy(like)
            found.update(made)
            return found
        return type(like)(made)
    except TypeError:
        return made


def _sequence(like: Any, made: list[Any]) -> Any:
    """Return a sequence of the type of `like`; tuples come as lists."""
    if isinstance(like, tuple) or type(like) is list:
        return made
    try:
        if isinstance(like, MutableSequence):
            found = copy.copy(like)
            for i, value in enumerate(made):
                found[i] = value
            return found
        return type(like)(made)
    except TypeError:
        return made


def default_convert(data: Any) -> Any:
    """Turn NumPy arrays in a sample into tensors; all else stays as it is."""
    if isinstance(data, np.ndarray) and data.dtype.kind not in "SaUO":
        return wrap(data)
    if isinstance(data, (np.number, np.bool_)):
        return wrap(np.asarray(data))
    if isinstance(data, Tensor):
        return data
    if isinstance(data, Mapping):
        return _mapping(data, {key: default_convert(value) for key, value in data.items()})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(default_convert(part) for part in data))
    if isinstance(data, tuple):
        return [default_convert(part) for part in data]
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return _sequence(data, [default_convert(part) for part in data])
    return data
