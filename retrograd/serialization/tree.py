"""Checkpoints: a tree of dictionaries, lists and plain values whose leaves may be tensors.

The file is a safetensors file, whose tensors are named '0', '1' ... and whose metadata holds under
`retrograd` the
tree as JSON. None, booleans, integers, strings and finite floats stand for themselves; all else is an object
with one
entry, its kind:

    {"list": [...]}   {"tuple": [...]}   {"dict": [[key, value], ...]}   {"tensor": "0"}   {"float": "nan"}
    ...

A tensor that comes twice is stored once and comes back as one.
"""

from __future__ import annotations

import base64
import json
import math
from collections import Counter, OrderedDict, defaultdict
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.devices import Size, device
from retrograd.nn.parameter import Parameter
from retrograd.serialization import safetensors
from retrograd.serialization.failure import CheckpointError
from retrograd.tensor import Tensor, wrap

KEY = "retrograd"

_SEQUENCES: dict[Any, str] = {list: "list", tuple: "tuple", set: "set", Size: "size"}
_DICTIONARIES: dict[Any, str] = {OrderedDict: "ordered", Counter: "counter"}


def dump(obj: Any) -> bytes:
    """Return the bytes of a file with this tree.

    Raises:
        TypeError: a value cannot be stored.
    """
    writer = _Writer()
    try:
        text = json.dumps(writer.encode(obj, "obj"), separators=(",", ":"), ensure_ascii=False)
    except RecursionError:
        raise ValueError("save: the object is nested too deeply, or holds itself") from None
    return safetensors.dump(writer.tensors, {KEY: text})


class _Writer:
    """Turns values into JSON, gathering the tensors."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.names: dict[int, str] = {}
        self.kept: list[Any] = []

    def encode(self, value: Any, path: str) -> Any:
        """Return a value as JSON; `path` says in errors where it is."""
        if value is None or type(value) in (bool, int, str):
            return value
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else {"float": repr(float(value))}
        if isinstance(value, Tensor):
            return {"tensor": self._name(value), **self._marks(value)}
        if isinstance(value, np.ndarray):
            return {"ndarray": self._name(wrap(value))}
        if isinstance(value, np.generic):
            return self.encode(value.item(), path)
        if type(value) in (list, tuple, set, Size):
            kind = _SEQUENCES[type(value)]
            return {kind: [self.encode(item, f"{path}[{i}]") for i, item in enumerate(value)]}
        if type(value) in (dict, OrderedDict, Counter, defaultdict):
            return self._dictionary(value, path)
        return self._plain(value, path)

    def _dictionary(self, value: Any, path: str) -> Any:
        kind = _DICTIONARIES.get(type(value), "dict")
        pairs = [[self.encode(k, f"{path} key"), self.encode(v, f"{path}[{k!r}]")] for k, v in value.items()]
        found = {kind: pairs}
        metadata = getattr(value, "_metadata", None)
        if metadata is not None:
            found["metadata"] = self.encode(metadata, f"{path}._metadata")
        return found

    def _plain(self, value: Any, path: str) -> Any:
        if isinstance(value, complex):
            return {"complex": [self.encode(value.real, path), self.encode(value.imag, path)]}
        if isinstance(value, bytes):
            return {"bytes": base64.b64encode(value).decode()}
        if isinstance(value, dtypes.dtype):
            return {"dtype": value.name}
        if isinstance(value, device):
            return {"device": str(value)}
        advice = (
            "save its state_dict() instead"
            if hasattr(value, "state_dict")
            else "save its plain parts instead"
        )
        raise TypeError(
            f"save: expected tensors, numbers, strings and containers of them; got {type(value).__name__} "
            f"at {path}; " + advice
        )

    def _name(self, tensor: Any) -> str:
        name = self.names.get(id(tensor))
        if name is None:
            name = self.names[id(tensor)] = str(len(self.tensors))
            self.tensors[name] = tensor
            self.kept.append(tensor)
        return name

    @staticmethod
    def _marks(tensor: Any) -> dict[str, bool]:
        marks = {"parameter": isinstance(tensor, Parameter), "requires_grad": tensor.requires_grad}
        return {name: True for name, holds in marks.items() if holds}


def load(tensors: dict[str, Tensor], text: str, file: str) -> Any:
    """Return the tree that a file's metadata describes.

    Raises:
        CheckpointError: it is no valid tree.
    """
    try:
        return _Reader(tensors, file).decode(json.loads(text))
    except (ValueError, RecursionError, TypeError, KeyError) as error:
        raise CheckpointError(file, f"the tree of values is damaged: {error}") from error


class _Reader:
    """Turns JSON back into values."""

    def __init__(self, tensors: dict[str, Tensor], file: str) -> None:
        self.tensors = tensors
        self.file = file
        self.made: dict[str, Any] = {}

    def decode(self, value: Any) -> Any:
        """Return the value that JSON stands for."""
        if not isinstance(value, dict):
            if isinstance(value, list):
                raise ValueError("a list without a kind")  # noqa: TRY004 - torch's type
            return value
        kind, content = next(iter(value.items()))
        if kind in ("tensor", "ndarray"):
            return self._tensor(kind, content, value)
        if kind in ("list", "tuple", "set", "size"):
            make: Any = {"list": list, "tuple": tuple, "set": set, "size": Size}[kind]
            return make(self.decode(item) for item in content)
        if kind in ("dict", "ordered", "counter"):
            found: Any = {"dict": dict, "ordered": OrderedDict, "counter": Counter}[kind]()
            for key, item in content:
                found[self.decode(key)] = self.decode(item)
            if "metadata" in value and kind == "ordered":
                found._metadata = self.decode(value["metadata"])
            return found
        return self._plain(kind, content)

    def _plain(self, kind: str, content: Any) -> Any:
        if kind == "float":
            return float(content)
        if kind == "complex":
            return complex(self.decode(content[0]), self.decode(content[1]))
        if kind == "bytes":
            return base64.b64decode(content, validate=True)
        if kind == "dtype":
            return dtypes.BY_NAME[content]
        if kind == "device":
            return device(content)
        raise ValueError(f"unknown kind {kind!r}")

    def _tensor(self, kind: str, name: str, marks: dict[str, Any]) -> Any:
        if kind == "ndarray":
            return self.tensors[name]._array
        found = self.made.get(name)
        if found is None:
            found = self.tensors[name]
            if marks.get("parameter"):
                found = Parameter(found, bool(marks.get("requires_grad", False)))
            elif marks.get("requires_grad"):
                found.requires_grad = True
            self.made[name] = found
        return found
