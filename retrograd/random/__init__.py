"""Random arrays, number for number what torch draws on a CPU from the same generator state.

Every distribution takes (generator, shape, dtype, parameters), where generator None means the default one,
and returns a fresh C-contiguous array. A draw that is refused moves no generator. Bits, uniforms, integers,
permutations and masks equal torch's exactly; where a logarithm or a cosine is taken, to the last rounding.

Source: found by watching torch 2.13 on x86, whose kernels fuse the multiply and the add of `uniform`. Arrays
    fill in C order; `drawn_for` draws for a transposed or strided one, in the order of its memory.

Example:
    >>> import numpy as np
    >>> generator = Generator().manual_seed(0)
    >>> uniform(generator, 3, np.float32)
    array([0.4962566 , 0.7682218 , 0.08847743], dtype=float32)
    >>> randperm(generator, 5)
    array([0, 4, 2, 1, 3])
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from retrograd.random import choices, distributions
from retrograd.random.mt19937 import Generator, default_generator, watcher
from retrograd.random.strided import drawn_for

__all__ = [
    "Generator", "bernoulli", "cauchy", "default_generator", "drawn_for", "dropout_mask", "exponential",
    "fork_rng",
    "geometric", "get_rng_state", "initial_seed", "log_normal", "manual_seed", "multinomial", "normal",
    "randint", "random", "randperm", "seed", "set_rng_state", "uniform",
]  # fmt: skip


def _watched(draw: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """Let whoever watches this thread answer in place of a distribution."""

    @functools.wraps(draw)
    def drawn(generator: Generator | None, *args: Any, **kwargs: Any) -> np.ndarray:
        if watcher.call is not None:
            found: np.ndarray = watcher.call(draw, generator, args, kwargs)
            return found
        return draw(generator, *args, **kwargs)

    return drawn


multinomial, randint = _watched(choices.multinomial), _watched(choices.randint)
random, randperm = _watched(choices.random), _watched(choices.randperm)
bernoulli, cauchy = _watched(distributions.bernoulli), _watched(distributions.cauchy)
dropout_mask, exponential = _watched(distributions.dropout_mask), _watched(distributions.exponential)
geometric, log_normal = _watched(distributions.geometric), _watched(distributions.log_normal)
normal, uniform = _watched(distributions.normal), _watched(distributions.uniform)


def manual_seed(seed: Any) -> Generator:
    """Seed the default generator and return it; `seed` is anything that int() takes, negative included."""
    return default_generator.manual_seed(int(seed))


def seed() -> int:
    """Seed the default generator from the operating system's entropy and return that seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """Return the seed that the default generator's stream began with."""
    return default_generator.initial_seed()


def get_rng_state() -> np.ndarray:
    """Return the default generator's state, 5056 uint8."""
    return default_generator.get_state()


def set_rng_state(new_state: np.ndarray) -> None:
    """Put the default generator where `get_rng_state` found it."""
    default_generator.set_state(new_state)


@contextlib.contextmanager
def fork_rng(
    devices: Iterable[Any] | None = None, enabled: bool = True, device_type: str | None = None
) -> Iterator[None]:
    """Give the default generator back, on leaving, the state that it had on entering.

    Raises:
        AssertionError: a device other than the CPU is asked for.
    """
    del device_type
    if not enabled:
        yield
        return
    if devices is not None and list(devices):
        raise AssertionError("fork_rng: only the CPU draws random numbers; leave `devices` out or give []")
    state = get_rng_state()
    try:
        yield
    finally:
        set_rng_state(state)
