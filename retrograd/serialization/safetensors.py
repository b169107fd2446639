"""The safetensors format: eight bytes of header length, a JSON header, and the tensors' bytes.

The header gives for each name dtype, shape and the place of its bytes, [begin, end) after the header, and
under
`__metadata__` strings by name. Bytes are little-endian, without gaps and without overlap.

Source: the format's published description, https://huggingface.co/docs/safetensors.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.serialization.failure import CheckpointError
from retrograd.tensor import Tensor, wrap

_METADATA = "__metadata__"
_LARGEST_HEADER = 100_000_000  # bytes: the format's own limit
_CODES = {
    "BOOL": dtypes.bool_, "U8": dtypes.uint8, "I8": dtypes.int8, "U16": dtypes.uint16, "I16": dtypes.int16,
    "F16": dtypes.float16, "BF16": dtypes.bfloat16, "U32": dtypes.uint32, "I32": dtypes.int32, "F32":
    dtypes.float32,
    "U64": dtypes.uint64, "I64": dtypes.int64, "F64": dtypes.float64, "C64": dtypes.complex64,
    "C128": dtypes.complex128,
}  # fmt: skip
_CODE_OF = {kind: code for code, kind in _CODES.items()}


def dump(tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> bytes:
    """Return the bytes of a file with these tensors, the widest types first, so that all are aligned."""
    header: dict[str, Any] = {} if metadata is None else {_METADATA: metadata}
    parts = []
    end = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: (-item[1].itemsize, item[0])):
        if name == _METADATA:
            raise ValueError(f"save: a tensor cannot be named {_METADATA}")
        part = _bytes(tensor)
        header[name] = {
            "dtype": _CODE_OF[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [end, end + len(part)],
        }
        end += len(part)
        parts.append(part)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > _LARGEST_HEADER:
        raise ValueError(
            f"save: the header would have {len(text)} bytes; the format allows {_LARGEST_HEADER}"
        )
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])


def _bytes(tensor: Tensor) -> bytes:
    array = tensor._array
    if array.dtype.byteorder == ">" or (array.dtype.byteorder == "=" and np.little_endian is False):
        array = array.astype(array.dtype.newbyteorder("<"))
    return np.ascontiguousarray(array).tobytes()


def load(data: bytes, file: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the metadata of a file's bytes.

    Raises:
        CheckpointError: a length, a place, a type or a shape is not what the format asks for.
    """
    header, start = _header(data, file)
    metadata = header.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise CheckpointError(file, f"{_METADATA} is not a dictionary of strings")
    places = []
    tensors = {}
    for name, entry in header.items():
        kind, shape, begin, end = _entry(name, entry, file)
        places.append((begin, end, name))
        if end > len(data) - start:
            raise CheckpointError(
                file, f"tensor {name!r} ends at byte {end}, but there are {len(data) - start}"
            )
        flat = np.frombuffer(data, kind.np, math.prod(shape), start + begin)
        tensors[name] = wrap(flat.reshape(shape).copy())
    _check_places(places, len(data) - start, file)
    return tensors, metadata


def _header(data: bytes, file: str) -> tuple[dict[str, Any], int]:
    if len(data) < 8:
        raise CheckpointError(file, f"has {len(data)} bytes, fewer than the 8 of a header's length")
    length = int.from_bytes(data[:8], "little")
    if length > _LARGEST_HEADER:
        raise CheckpointError(
            file,
            f"is no file of save, of safetensors or of torch.save (its header would have {length} bytes)",
        )
    if length > len(data) - 8:
        raise CheckpointError(
            file, f"the header should have {length} bytes, but {len(data) - 8} are left: cut off?"
        )
    try:
        header = json.loads(data[8 : 8 + length].decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(file, f"the header is not valid JSON: {error}") from error
    if not isinstance(header, dict):
        raise CheckpointError(file, "the header is not a JSON object")
    return header, 8 + length


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name comes twice")
    return found


def _entry(name: str, entry: Any, file: str) -> tuple[dtypes.dtype, list[int], int, int]:
    """Return a tensor's dtype, shape, begin and end, checked against each other."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise CheckpointError(file, f"tensor {name!r} needs exactly dtype, shape and data_offsets")
    kind = _CODES.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
    if kind is None:
        raise CheckpointError(
            file, f"tensor {name!r} has dtype {entry['dtype']!r}; known are {', '.join(_CODES)}"
        )
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not _are_counts(shape):
        raise CheckpointError(file, f"tensor {name!r} has shape {shape!r}")
    if not _are_counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise CheckpointError(file, f"tensor {name!r} has data_offsets {offsets!r}")
    needed = math.prod(shape) * kind.itemsize
    if offsets[1] - offsets[0] != needed:
        raise CheckpointError(
            file,
            f"tensor {name!r} of {kind} and shape {shape} needs {needed} bytes, "
            f"not {offsets[1] - offsets[0]}",
        )
    return kind, shape, offsets[0], offsets[1]


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(v) is int and v >= 0 for v in values)


def _check_places(places: list[tuple[int, int, str]], total: int, file: str) -> None:
    """Raise unless the tensors' bytes follow each other without gap or overlap up to the end of the file."""
    at = 0
    for begin, end, name in sorted(places):
        if begin != at:
            what = "overlaps the one before it" if begin < at else "leaves a gap before it"
            raise CheckpointError(file, f"tensor {name!r} {what}: it begins at byte {begin}, expected {at}")
        at = end
    if at != total:
        raise CheckpointError(file, f"the tensors end at byte {at}, but there are {total}")
