"""Saving and loading: tensors, state dictionaries and checkpoints. Loading never executes code from a file.

Three formats are read, told apart by their content:

    safetensors      a dictionary of tensors by name; written to paths that end in `.safetensors`
    checkpoint       nested dictionaries, lists and plain values with tensors: a safetensors file that also
    holds the
                     tree (see tree.py); written to all other paths
    torch's own      the zip files of torch.save; read only (see torch_zip.py)
"""

from __future__ import annotations

import os
import tempfile
from typing import Any

from retrograd import devices
from retrograd.serialization import safetensors, torch_zip, tree
from retrograd.serialization.failure import CheckpointError
from retrograd.tensor import Tensor

__all__ = ["CheckpointError", "load", "save"]


def save(  # noqa: D417 - described together
    obj: Any,
    f: Any,
    pickle_module: Any = None,
    pickle_protocol: int = 2,
    _use_new_zipfile_serialization: bool = True,
    _disable_byteorder_record: bool = False,
) -> None:
    """Write tensors, and containers and plain values around them, to a file.

    Args:
        obj: tensors, None, booleans, numbers, strings, bytes, dtypes, and dictionaries, lists and tuples of
            such. To a
            path that ends in `.safetensors`: a dictionary of tensors by name.
        f: a path, or a binary file open for writing. A path's file is replaced only when all is written.
        pickle_module: accepted for programs written for torch, like the arguments after it; nothing is
            pickled.

    Raises:
        TypeError: something in `obj` is none of these; says where it is and what to do.
    """
    del pickle_module, pickle_protocol, _use_new_zipfile_serialization, _disable_byteorder_record
    if hasattr(f, "write"):
        f.write(tree.dump(obj))
        return
    path = os.fspath(f)
    _replace(path, safetensors.dump(_by_name(obj)) if path.endswith(".safetensors") else tree.dump(obj))


def load(  # noqa: D417 - described together
    f: Any,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    **pickle_load_args: Any,
) -> Any:
    """Read what `save` wrote, a safetensors file, or a file written by torch.save.

    Args:
        f: a path, or a binary file open for reading.
        map_location: accepted if it is the CPU, or a function or dictionary; tensors are always on the CPU.
        pickle_module: accepted for programs written for torch.
        weights_only: accepted; nothing but tensors and plain values is ever loaded.
        mmap: accepted.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: the file is damaged, or holds what would need code to load; names the file and the
            problem.
    """
    del pickle_module, weights_only, mmap, pickle_load_args
    if isinstance(map_location, (str, devices.device)):
        devices.check(map_location)
    if hasattr(f, "read"):
        data, name = f.read(), str(getattr(f, "name", "the file"))
    else:
        name = os.fspath(f)
        with open(name, "rb") as file:  # noqa: PTH123 - plain paths
            data = file.read()
    if data[:4] == b"PK\x03\x04":
        return torch_zip.load(data, name)
    tensors, metadata = safetensors.load(data, name)
    return tree.load(tensors, metadata[tree.KEY], name) if tree.KEY in metadata else tensors


def _by_name(obj: Any) -> dict[str, Tensor]:
    if not isinstance(obj, dict) or not all(
        isinstance(k, str) and isinstance(v, Tensor) for k, v in obj.items()
    ):
        raise TypeError(
            "save: a .safetensors file holds a dictionary of tensors by name; got "
            f"{type(obj).__name__}; choose another ending for nested dictionaries and plain values"
        )
    return obj


def _replace(path: str, data: bytes) -> None:
    """Write a file under a temporary name and rename it, so that an error leaves the old one."""
    folder, name = os.path.split(os.path.abspath(path))  # noqa: PTH100 - plain paths
    handle, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)  # noqa: PTH101 - plain paths
        os.replace(temporary, path)  # noqa: PTH105 - plain paths
    except BaseException:
        os.unlink(temporary)  # noqa: PTH108 - plain paths
        raise
