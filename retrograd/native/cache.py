"""Machine code kept on disk from one process to the next, by content.

An object lies in a file named after the SHA-256 of all that went into it: the LLVM IR, the processor and its
features, the versions of llvmlite, of LLVM and of this file's format. A file is a header, the digest of
the key and the object, and the object. It is written under another name and then renamed, so that processes
which store the same key at once only replace a file by its equal.

RETROGRAD_CACHE=FOLDER        where (else $XDG_CACHE_HOME/retrograd, else ~/.cache/retrograd); 0 for no cache
RETROGRAD_CACHE_SIZE=MIB      how much may lie there (512): beyond it, what was used longest ago is deleted

Trust: what lies in the folder is run as code of this process. The digest finds damage, not malice: whoever
may write to the folder can compute it. So the folder is created for its owner only (mode 0700), and refused
if it belongs to somebody else or others may write to it. Nothing is unpickled: a file is bytes for the
linker.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import stat
import time
import warnings
from collections.abc import Iterable
from pathlib import Path

VERSION = 1  # of the file format, and of how IR becomes objects: a new one leaves old files to be evicted
_HEADER = b"retrograd object %d\n" % VERSION
_DIGEST_BYTES = hashlib.sha256().digest_size
_REFRESH = 3600  # seconds: a file's time of use is kept no finer than this
_ABANDONED = 3600  # seconds after which an unfinished file's writer is taken to have died
_DEFAULT_MIB = 512

logger = logging.getLogger(__name__)


def digest(parts: Iterable[str]) -> str:
    """Return a name for the whole of some texts, different for each division into parts."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode()
        total.update(b"%d\n" % len(data))
        total.update(data)
    return total.hexdigest()


def current() -> Cache | None:
    """Return the user's cache, None where there can be none (it has been said why, once)."""
    named = os.environ.get("RETROGRAD_CACHE")
    if named == "0":
        return None
    base = os.environ.get("XDG_CACHE_HOME")
    folder = named or (base + "/retrograd" if base else "~/.cache/retrograd")
    return _open(folder, os.environ.get("RETROGRAD_CACHE_SIZE", ""))


@functools.cache
def _open(folder: str, mib: str) -> Cache | None:
    try:
        path = Path(folder).expanduser().absolute()
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_owner(path)
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home
        _warn(
            f"retrograd keeps no compiled code on disk: {folder}: {error}. Each process compiles anew; set "
            f"RETROGRAD_CACHE to a folder of your own (or to 0 for none)"
        )
        return None
    if mib and not mib.isdecimal():
        _warn(f"RETROGRAD_CACHE_SIZE: expected a number of MiB; got {mib!r}; {_DEFAULT_MIB} is used")
        mib = ""
    return Cache(path, (int(mib) if mib else _DEFAULT_MIB) << 20)


def _check_owner(path: Path) -> None:
    """Refuse a folder that somebody else may write to."""
    if os.name == "nt":  # profile folders are their user's by their access lists, which stat does not show
        return
    status = path.stat()
    if status.st_uid != os.geteuid():
        raise PermissionError(f"the folder belongs to user {status.st_uid}, this process to {os.geteuid()}")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError("others may write to the folder, and it holds code to run (chmod go-w it)")


def _warn(text: str) -> None:
    warnings.warn(text, UserWarning, stacklevel=2)


class Cache:
    """A folder of objects, of bounded size."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        self.size = size
        self._writable = True
        self._unswept: int | None = None  # bytes written since the last sweep; None before the first

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.o"

    def load(self, key: str) -> bytes | None:
        """Return the object stored under a key, None if there is none or it is damaged (which is said)."""
        path = self._path(key)
        try:
            content = path.read_bytes()
            age = time.time() - path.stat().st_mtime
        except FileNotFoundError:
            return None
        except OSError as error:
            logger.warning("%s cannot be read: %s", path, error)
            return None
        start = len(_HEADER) + _DIGEST_BYTES
        if content[:start] != _HEADER + _content_digest(key, content[start:]):
            _warn(f"{path} is damaged: it is deleted, and what it held is compiled again")
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        if age > _REFRESH:
            with contextlib.suppress(OSError):
                os.utime(path)
        return content[start:]

    def store(self, key: str, value: bytes) -> None:
        """Keep an object. Where that fails, it is said once, and nothing more is written."""
        if not self._writable:
            return
        content = _HEADER + _content_digest(key, value) + value
        try:
            _replace(self._path(key), content)
            self._sweep_if_due(len(content))
        except OSError as error:
            self._writable = False
            _warn(f"retrograd stores no more compiled code in {self.folder}: {error}")

    def _sweep_if_due(self, written: int) -> None:
        """Look at the whole folder at the first write, and then after each eighth of its size."""
        if self._unswept is not None:
            self._unswept += written
            if self._unswept <= self.size // 8:
                return
        self._unswept = 0
        self.sweep()

    def sweep(self) -> None:
        """Delete what was used longest ago, to seven eighths of the size, and what a dead writer left."""
        files = []
        for entry in os.scandir(self.folder):
            with contextlib.suppress(OSError):  # another process sweeps too
                status = entry.stat(follow_symlinks=False)
                if entry.name.endswith(".o"):
                    files.append((status.st_mtime, status.st_size, entry.path))
                elif entry.name.endswith(".tmp") and time.time() - status.st_mtime > _ABANDONED:
                    Path(entry.path).unlink()
        total = sum(size for _, size, _ in files)
        if total <= self.size:
            return
        for _, size, path in sorted(files):
            if total <= self.size - self.size // 8:
                break
            with contextlib.suppress(OSError):
                Path(path).unlink()
            total -= size


def _content_digest(key: str, value: bytes) -> bytes:
    return hashlib.sha256(key.encode() + b"\n" + value).digest()


def _replace(path: Path, content: bytes) -> None:
    """Write a file so that others see all of it or nothing."""
    unfinished = path.with_name(f"{path.stem}.{os.urandom(8).hex()}.tmp")
    try:
        with open(unfinished, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(content)
        unfinished.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise
