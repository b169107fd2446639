"""The generator of random bits: MT19937 with torch's seeding, torch's state bytes, torch's order of draws.

NumPy has the same engine in C and vectorised; this class adds what torch keeps beside it: the seed that was
asked for, the second half of a pair of normal samples, and a byte format for all of it.

Source: M. Matsumoto, T. Nishimura, "Mersenne Twister" (1998). The layout of the state and the way that draws
    follow one another were found by watching torch 2.13.
"""

from __future__ import annotations

import math
import operator
import os
import struct
import threading
from itertools import chain
from typing import Any

import numpy as np

DEFAULT_SEED = 67280421310721  # what torch starts from when nobody seeds
_WORDS = 624  # of state; a draw that finds them used up makes 624 new ones
_FEW_PAIRS = 8  # pairs of normals up to which the math module is faster than seven NumPy calls
_SMALL = 2048  # draws up to which `random_raw` (8 bytes a draw) beats `integers`

# seed, draws left before new words are made (counting that one), is seeded, next word | the words, 64 bits
# each | two unused doubles around the kept normal, whether one is kept | a float32 normal, which no draw uses
_HEAD = struct.Struct("<QiiQ")
_TAIL = struct.Struct("<8xd8xi4xf?3x")
STATE_BYTES = _HEAD.size + 8 * _WORDS + _TAIL.size  # 5056


class _Watcher(threading.local):
    """Who is told, in this thread, of draws and of states read or set, instead of their happening."""

    call: Any = None  # (distribution, generator, args, kwargs) -> array
    moved: Any = None  # (what) -> an exception to raise


watcher = _Watcher()


class Generator:
    """Draw reproducible random bits; what torch.Generator(device='cpu') is.

    A state saved by torch restores here and the reverse.

    Source: names and behaviour follow torch.Generator. States travel as uint8 arrays. `manual_seed` also
        takes NumPy integers. A state that no sequence of draws reaches is refused; torch takes some of them.

    Example:
        >>> generator = Generator().manual_seed(0)
        >>> generator.initial_seed(), generator.raw32(2).tolist()
        (0, [2357136044, 2546248239])
    """

    __slots__ = (
        "__weakref__", "_bits", "_integers", "_is_fresh", "_is_made", "_kept_float", "_kept_normal",
        "_reseed", "_seed",
    )  # fmt: skip

    def __init__(self, device: Any = "cpu") -> None:
        if str(device) not in ("cpu", "cpu:0"):
            raise RuntimeError(
                f"Generator: expected device 'cpu'; got {str(device)!r}; only the CPU draws random numbers"
            )
        self._is_made = False
        self._set_seed(DEFAULT_SEED)

    def __getattr__(self, name: str) -> Any:
        """Make the stream when it is first needed: importing numpy.random would lengthen the start-up."""
        if name not in ("_bits", "_integers", "_reseed"):
            raise AttributeError(f"'Generator' object has no attribute '{name}'")
        self._bits = np.random.MT19937()
        self._reseed = np.random.RandomState(self._bits).seed  # the seeding of 2002, which everyone shares
        # full-range integers are the raw stream; this bound method is the fastest vectorised way to it
        self._integers = np.random.Generator(self._bits).integers
        self._is_made = True
        self._reseed(self._seed & 0xFFFFFFFF)
        return getattr(self, name)

    # seeds

    def _set_seed(self, seed: int) -> None:
        self._seed = seed
        if self._is_made:
            self._reseed(seed & 0xFFFFFFFF)
        self._is_fresh = True  # no draw since seeding: the state then says 'next word 0', not 624
        self._kept_normal: float | None = None
        self._kept_float: float | None = None

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream that belongs to `seed` and return self; a negative seed counts back from 2**64."""
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
            raise RuntimeError(f"manual_seed expected a long, but got {type(seed).__name__}")  # noqa: TRY004 - torch's type
        seed = operator.index(seed)
        _ask("manual_seed")
        if not -(2**63) <= seed < 2**64:
            raise ValueError("Overflow when unpacking long long")
        self._set_seed(seed % 2**64)
        return self

    def initial_seed(self) -> int:
        """Return the seed that the stream began with."""
        return self._seed

    def seed(self) -> int:
        """Start a stream from 64 bits of the operating system's entropy and return them."""
        _ask("seed")
        self._set_seed(int.from_bytes(os.urandom(8), "little"))
        return self._seed

    # state

    def get_state(self) -> np.ndarray:
        """Return the whole state as 5056 uint8, in torch's format."""
        _ask("get_state")
        state = self._bits.state["state"]
        left, upcoming = (1, 0) if self._is_fresh else (_WORDS + 1 - state["pos"], state["pos"])
        normal, kept = self._kept_normal, self._kept_float
        packed = b"".join((
            _HEAD.pack(self._seed, left, 1, upcoming),
            state["key"].astype("<u8").tobytes(),
            _TAIL.pack(normal or 0.0, normal is not None, kept or 0.0, kept is not None),
        ))  # fmt: skip
        return np.frombuffer(packed, dtype=np.uint8).copy()

    def set_state(self, state: np.ndarray) -> Generator:
        """Continue from a state that `get_state` or torch saved, and return self.

        Raises:
            TypeError: not an array of uint8.
            RuntimeError: another size, or a content that no generator saves.
        """
        if not isinstance(state, np.ndarray):
            raise TypeError(f"expected a torch.ByteTensor, but got {type(state).__name__}")
        if state.dtype != np.uint8:
            raise TypeError("RNG state must be a torch.ByteTensor")
        if state.size != STATE_BYTES:
            raise RuntimeError(
                f"Expected a CPUGeneratorImplState of size {STATE_BYTES} "
                f"but found the input RNG state size to be {state.size}"
            )
        _ask("set_state")
        packed = state.tobytes()
        seed, left, is_seeded, upcoming = _HEAD.unpack_from(packed)
        is_fresh = (left, upcoming) == (1, 0)
        if is_seeded != 1 or not (is_fresh or (1 <= upcoming <= _WORDS and left + upcoming == _WORDS + 1)):
            raise RuntimeError("Invalid mt19937 state")
        key = np.frombuffer(packed, "<u8", _WORDS, _HEAD.size).astype(np.uint32)
        normal, has_normal, kept, has_kept = _TAIL.unpack_from(packed, STATE_BYTES - _TAIL.size)
        self._bits.state = {
            "bit_generator": "MT19937",
            "state": {"key": key, "pos": _WORDS if is_fresh else upcoming},
        }
        self._seed, self._is_fresh = seed, is_fresh
        self._kept_normal = normal if has_normal else None
        self._kept_float = kept if has_kept else None
        return self

    def clone_state(self) -> Generator:
        """Return a second generator at the same point of the same stream."""
        return Generator().set_state(self.get_state())

    def get_offset(self) -> int:
        """Raise: only counter-based generators have an offset."""
        raise RuntimeError("CPU Generator does not use offset")

    def set_offset(self, offset: int) -> Generator:
        """Raise: only counter-based generators have an offset."""
        raise RuntimeError("CPU Generator does not use offset")

    @property
    def device(self) -> str:
        """Where the numbers are made: always 'cpu'."""
        return "cpu"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.get_state(),)

    def __repr__(self) -> str:
        return f"<torch._C.Generator object at {id(self):#x}>"

    # draws

    def raw32(self, count: int) -> np.ndarray:
        """Return the next `count` outputs of the engine as uint32."""
        if not count:  # nothing drawn: a fresh state stays fresh
            return np.empty(0, np.uint32)
        self._is_fresh = False
        if count <= _SMALL:
            return self._bits.random_raw(count).astype(np.uint32)
        return self._integers(0, 2**32, count, dtype=np.uint32)

    def raw64(self, count: int) -> np.ndarray:
        """Return `count` uint64, each made of two outputs, the first one on top."""
        if not count:
            return np.empty(0, np.uint64)
        self._is_fresh = False
        if count <= _SMALL:
            raw = self._bits.random_raw(2 * count)
            return (raw[::2] << np.uint64(32)) | raw[1::2]
        return self._integers(0, 2**64, count, dtype=np.uint64)

    def floats(self, count: int) -> np.ndarray:
        """Return `count` float32 in [0, 1): the low 24 bits of one output each."""
        raw = self.raw32(count)
        raw &= np.uint32(2**24 - 1)
        drawn = raw.view(np.int32).astype(np.float32)  # signed converts faster
        drawn *= np.float32(2**-24)
        return drawn

    def bits53(self, count: int) -> np.ndarray:
        """Return `count` uint64 below 2**53: what a float64 draw is before it is scaled."""
        raw = self.raw64(count)
        raw &= np.uint64(2**53 - 1)
        return raw

    def doubles(self, count: int) -> np.ndarray:
        """Return `count` float64 in [0, 1)."""
        drawn = self.bits53(count).view(np.int64).astype(np.float64)
        drawn *= 2.0**-53
        return drawn

    def paired_normals(self, count: int) -> np.ndarray:
        """Return `count` standard normal float64, drawn in pairs; an odd one out is kept for the next call.

        Source: G. Box, M. Muller (1958), radius and angle of a plane normal vector.
        """
        if not count:
            return np.empty(0)
        kept = [] if self._kept_normal is None else [self._kept_normal]
        pairs = (count - len(kept) + 1) // 2
        uniform = self.doubles(2 * pairs)
        if pairs <= _FEW_PAIRS:
            points = [_point(*pair) for pair in uniform.reshape(-1, 2).tolist()]
            drawn = np.array([*kept, *chain.from_iterable(points)])
        else:
            drawn = np.empty(len(kept) + 2 * pairs)
            drawn[: len(kept)] = kept
            turn, length = 2.0 * math.pi * uniform[::2], np.sqrt(-2.0 * np.log1p(-uniform[1::2]))
            np.multiply(length, np.cos(turn), out=drawn[len(kept) :: 2])
            np.multiply(length, np.sin(turn), out=drawn[len(kept) + 1 :: 2])
        # what is kept is part of the state, so it is computed to torch's last bit
        self._kept_normal = _point(*uniform[-2:].tolist())[1] if drawn.size > count else None
        return drawn[:count]


def _ask(what: str) -> None:
    if watcher.moved is not None:
        raise watcher.moved(what)


def _point(angle: float, radius: float) -> tuple[float, float]:
    """Return the two normal samples that two uniforms give."""
    turn, length = 2.0 * math.pi * angle, math.sqrt(-2.0 * math.log1p(-radius))
    return length * math.cos(turn), length * math.sin(turn)


def _restore(state: np.ndarray) -> Generator:
    """Rebuild a pickled generator."""
    return Generator().set_state(state)


default_generator = Generator()
