"""What the machine is that code is made for: its instruction set as LLVM names it, vectors and caches."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")  # where Linux describes them
_SIZES = {1: 32 << 10, 2: 512 << 10, 3: 8 << 20}  # bytes: a small desktop part, where the system does not say
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@dataclasses.dataclass(frozen=True)
class Target:
    """A machine to make code for.

    Units: vector_bytes, l1 (data), l2 and l3 in bytes. l3 is shared by the cores that share it.
    """

    triple: str
    cpu: str
    features: str
    vector_bytes: int
    vector_registers: int
    l1: int
    l2: int
    l3: int

    def lanes(self, dtype: Any) -> int:
        """Return how many elements of a NumPy dtype fill one vector register."""
        return max(self.vector_bytes // int(np.dtype(dtype).itemsize), 1)


@functools.cache
def host() -> Target:
    """Return the machine that this process runs on.

    Raises:
        ImportError: llvmlite is not installed.
    """
    from llvmlite import binding  # noqa: PLC0415 - loaded when first needed

    features = binding.get_host_cpu_features()
    triple = binding.get_process_triple()
    vector_bytes, vector_registers = vectors(triple, {name for name, has in features.items() if has})
    flags = features.flatten()
    if vector_bytes == 64:
        # Some AVX-512 parts are tuned to halve vectors; ours are emitted as wide as they are meant to be.
        flags += ",-prefer-256-bit"
    l1, l2, l3 = cache_sizes()
    return Target(triple, binding.get_host_cpu_name(), flags, vector_bytes, vector_registers, l1, l2, l3)


def vectors(triple: str, features: set[str]) -> tuple[int, int]:
    """Return the bytes of a vector register and the number of them."""
    if triple.startswith(("x86_64", "amd64", "i686", "i386")):
        if {"avx512f", "avx512vl", "avx512bw", "avx512dq"} <= features:
            return 64, 32
        return (32 if "avx2" in features else 16), 16
    return 16, 32  # NEON, and what is as wide elsewhere


def cache_sizes(folder: Path = _CACHES) -> tuple[int, int, int]:
    """Return the bytes of the first core's data caches, of the levels 1 to 3."""
    sizes = {}
    for index in sorted(folder.glob("index*")):
        try:
            level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
            if kind != "Instruction":
                sizes[int(level)] = int(size.rstrip("KMG")) * _UNITS.get(size[-1:], 1)
        except (OSError, ValueError):
            continue  # a container may hide or mask the files
    found = _SIZES | {level: size for level, size in sizes.items() if size > 0}
    return found[1], found[2], found[3]
