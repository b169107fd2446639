"""Reading the files of torch.save: a zip archive with a pickled tree and one file per storage.

The pickle is not given to Python's unpickler. Its instructions are read one by one, and only those are
carried out
that build plain values, containers and tensors; the functions a file may name are the few in `_CALLABLE`, and
they are
ours. So a file cannot make anything run.
"""

from __future__ import annotations

import io
import math
import pickletools
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.devices import Size, device
from retrograd.nn.parameter import Parameter
from retrograd.serialization.failure import CheckpointError
from retrograd.tensor import Tensor, wrap

_STORAGES = {f"{d.scalar_name}Storage": d for d in dtypes.ALL}
_MARK = object()


def load(data: bytes, file: str) -> Any:
    """Return what a file of torch.save holds.

    Raises:
        CheckpointError: the archive is damaged, or holds more than tensors and plain values.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _Archive(archive, file).tree()
    except zipfile.BadZipFile as error:
        raise CheckpointError(file, f"the zip archive is damaged: {error}") from error


class _Storage:
    """A flat array of the file."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.array = array


def _rebuild_tensor(storage: Any, offset: int, shape: Any, stride: Any, *rest: Any) -> Tensor:
    """Return the tensor that lies in a storage with this offset, shape and stride."""
    if not isinstance(storage, _Storage):
        raise ValueError("a tensor without storage")  # noqa: TRY004 - torch's type
    array = storage.array
    shape, stride = tuple(shape), tuple(stride)
    if len(shape) != len(stride) or any(type(n) is not int or n < 0 for n in (offset, *shape, *stride)):
        raise ValueError(f"a tensor of shape {shape} and stride {stride}")
    last = (
        offset + sum((n - 1) * s for n, s in zip(shape, stride, strict=True))
        if math.prod(shape)
        else offset - 1
    )
    if last >= array.size:
        raise ValueError(f"a tensor reaches element {last} of a storage of {array.size}")
    size = array.itemsize
    view = np.ndarray(
        shape, array.dtype, array, offset * size if math.prod(shape) else 0, [s * size for s in stride]
    )
    made = wrap(view)
    if rest and rest[0] is True:
        made.requires_grad = True
    return made


def _rebuild_parameter(data: Tensor, requires_grad: bool, *rest: Any) -> Parameter:
    del rest
    made: Parameter = Parameter(data, requires_grad is True)
    return made


def _bytes(text: str, encoding: str) -> bytes:
    """Return bytes, which old pickles hold as text of the same numbers."""
    if encoding != "latin1":
        raise ValueError(f"bytes in encoding {encoding!r}")
    return text.encode("latin1")


_CALLABLE: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("collections", "Counter"): Counter,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch", "Size"): Size,
    ("torch", "device"): device,
    ("_codecs", "encode"): _bytes,
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
}


class _Name:
    """A name of Python's that the file mentions."""

    def __init__(self, module: str, name: str) -> None:
        self.key = (module, name)


class _Archive:
    """One file: its members, and the machine that reads its pickle."""

    def __init__(self, archive: zipfile.ZipFile, file: str) -> None:
        self.archive = archive
        self.file = file
        found = [n for n in archive.namelist() if n == "data.pkl" or n.endswith("/data.pkl")]
        if len(found) != 1:
            raise CheckpointError(file, "the zip archive has no data.pkl: torch.save did not write it")
        self.folder = found[0][: -len("data.pkl")]
        self.order = ">" if self._text("byteorder") == "big" else "<"
        self.storages: dict[str, _Storage] = {}

    def _text(self, name: str) -> str:
        try:
            return self.archive.read(self.folder + name).decode().strip()
        except KeyError:
            return ""

    def _storage(self, identity: Any) -> _Storage:
        """Return the storage of a persistent id: ('storage', type, key, location, number of elements)."""
        if not isinstance(identity, tuple) or len(identity) != 5 or identity[0] != "storage":
            raise ValueError(f"a reference to {identity!r}")
        _, kind, key, _, count = identity
        found = _STORAGES.get(kind.key[1]) if isinstance(kind, _Name) and kind.key[0] == "torch" else None
        if found is None or not isinstance(key, str) or type(count) is not int or count < 0:
            raise ValueError(f"a storage of unknown type {getattr(kind, 'key', kind)}")
        if key not in self.storages:
            raw = self.archive.read(f"{self.folder}data/{key}")
            if len(raw) < count * found.itemsize:
                raise ValueError(f"storage {key} has {len(raw)} bytes, not {count * found.itemsize}")
            array = np.frombuffer(raw, found.np, count).copy()
            self.storages[key] = _Storage(array.byteswap() if self.order == ">" else array)
        return self.storages[key]

    def tree(self) -> Any:
        """Return the value that data.pkl describes."""
        try:
            return _Machine(self._storage).run(self.archive.read(f"{self.folder}data.pkl"))
        except CheckpointError:
            raise
        except _Refused as refused:
            raise CheckpointError(
                self.file,
                f"names {refused}, which would have to be executed; only tensors, parameters and plain "
                "values are "
                "loaded: save the state_dict() of a module instead of the module",
            ) from None
        except Exception as error:
            raise CheckpointError(self.file, f"data.pkl is damaged: {error}") from error


class _Refused(Exception):  # noqa: N818 - never seen outside
    """A name that is not known."""


class _Machine:
    """Carries out the instructions of a pickle that build plain values, containers and tensors."""

    def __init__(self, storage: Callable[[Any], _Storage]) -> None:
        self.storage = storage
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:
        """Return the value of a pickle."""
        for opcode, argument, _ in pickletools.genops(data):
            name = opcode.name
            if name == "STOP":
                (value,) = self.stack
                return self._finished(value)
            if name in _PUSHES_ARGUMENT:
                self.stack.append(argument)
            elif name in _PUSHES:
                self.stack.append(_PUSHES[name]())
            else:
                method = getattr(self, f"_do_{name.lower()}", None)
                if method is None:
                    raise ValueError(f"instruction {name}")
                method(argument)
        raise ValueError("no end")

    def _finished(self, value: Any) -> Any:
        if isinstance(value, _Name):
            return self._constant(value)
        return value

    @staticmethod
    def _constant(name: _Name) -> Any:
        """Return the dtype or other constant that a name stands for."""
        module, attribute = name.key
        if module == "torch" and attribute in dtypes.BY_NAME:
            return dtypes.BY_NAME[attribute]
        raise _Refused(".".join(name.key))

    def _value(self, value: Any) -> Any:
        """Return a value that goes into a container: names become constants, storages stay inside tensors."""
        return self._constant(value) if isinstance(value, _Name) else value

    def _to_mark(self) -> list[Any]:
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    # ---- the instructions ----

    def _do_proto(self, argument: Any) -> None:
        if argument > 5:
            raise ValueError(f"pickle protocol {argument}")

    def _do_frame(self, argument: Any) -> None:
        del argument

    def _do_mark(self, argument: Any) -> None:
        del argument
        self.stack.append(_MARK)

    def _do_pop(self, argument: Any) -> None:
        del argument
        self.stack.pop()

    def _do_global(self, argument: str) -> None:
        self._push_name(*argument.split(" ", 1))

    def _do_stack_global(self, argument: Any) -> None:
        del argument
        name, module = self.stack.pop(), self.stack.pop()
        self._push_name(module, name)

    def _push_name(self, module: str, name: str) -> None:
        known = (module, name) in _CALLABLE or (
            module == "torch" and (name in _STORAGES or name in dtypes.BY_NAME)
        )
        if not known:
            raise _Refused(f"{module}.{name}")
        self.stack.append(_Name(module, name))

    def _do_reduce(self, argument: Any) -> None:
        del argument
        arguments, function = self.stack.pop(), self.stack.pop()
        if (
            not isinstance(function, _Name)
            or function.key not in _CALLABLE
            or not isinstance(arguments, tuple)
        ):
            raise ValueError("a call of what is no known function")
        self.stack.append(_CALLABLE[function.key](*arguments))

    def _do_build(self, argument: Any) -> None:
        del argument
        state, target = self.stack.pop(), self.stack[-1]
        if type(target) is not OrderedDict or not isinstance(state, dict) or set(state) - {"_metadata"}:
            raise ValueError("attributes of what is no state dictionary")
        target.__dict__.update(state)

    def _do_binpersid(self, argument: Any) -> None:
        del argument
        self.stack.append(self.storage(self.stack.pop()))

    def _do_tuple(self, argument: Any) -> None:
        del argument
        self.stack.append(tuple(self._to_mark()))

    def _do_tuple1(self, argument: Any) -> None:
        self._short_tuple(1)

    def _do_tuple2(self, argument: Any) -> None:
        self._short_tuple(2)

    def _do_tuple3(self, argument: Any) -> None:
        self._short_tuple(3)

    def _short_tuple(self, count: int) -> None:
        items = self.stack[-count:]
        del self.stack[-count:]
        self.stack.append(tuple(items))

    def _do_append(self, argument: Any) -> None:
        del argument
        value = self.stack.pop()
        self._list().append(self._value(value))

    def _do_appends(self, argument: Any) -> None:
        del argument
        items = self._to_mark()
        self._list().extend(self._value(item) for item in items)

    def _list(self) -> list[Any]:
        target = self.stack[-1]
        if type(target) is not list:
            raise ValueError("items for what is no list")
        return target

    def _do_setitem(self, argument: Any) -> None:
        del argument
        value, key = self.stack.pop(), self.stack.pop()
        self._dictionary()[self._value(key)] = self._value(value)

    def _do_setitems(self, argument: Any) -> None:
        del argument
        items = self._to_mark()
        target = self._dictionary()
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[self._value(key)] = self._value(value)

    def _dictionary(self) -> dict[Any, Any]:
        target = self.stack[-1]
        if type(target) not in (dict, OrderedDict, Counter):
            raise ValueError("items for what is no dictionary")
        return target  # type: ignore[no-any-return]

    def _do_binput(self, argument: int) -> None:
        self.memo[argument] = self.stack[-1]

    _do_long_binput = _do_binput

    def _do_memoize(self, argument: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _do_binget(self, argument: int) -> None:
        self.stack.append(self.memo[argument])

    _do_long_binget = _do_binget


_PUSHES: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": set,
}
_PUSHES_ARGUMENT = frozenset(
    [
        "BININT",
        "BININT1",
        "BININT2",
        "LONG1",
        "LONG4",
        "BINFLOAT",
        "BINUNICODE",
        "SHORT_BINUNICODE",
        "BINUNICODE8",
        "BINBYTES",
        "SHORT_BINBYTES",
        "SHORT_BINSTRING",
        "BINSTRING",
    ]
)
