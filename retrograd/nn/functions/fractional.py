"""Fractional max-pooling over two and three dimensions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retrograd.functions.sampling import FUNCTIONS
from retrograd.nn.functions.ops import sizes
from retrograd.ops.declare import TABLE


def _fractional(rank: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    name = f"fractional_max_pool{rank}d"
    dims = ("height", "width") if rank == 2 else ("time", "height", "width")

    def check(input: Any, kernel: tuple[int, ...], output: tuple[int, ...], samples: Any) -> None:
        if input.ndim not in (rank + 1, rank + 2):
            raise RuntimeError(
                f"{name}(): Expected {rank + 1}D or {rank + 2}D tensor, but got: {list(input.shape)}"
            )
        for i in range(input.ndim - rank - 1, input.ndim):
            if input.shape[i] == 0:
                raise RuntimeError(
                    f"{name}(): Expected input to have non-zero size for non-batch dimensions, but got"
                    f"{list(input.shape)} with dimension {i} being empty."
                )
        if samples.dtype is not input.dtype:
            raise RuntimeError("Expect _random_samples to have the same dtype as input")
        if samples.ndim != 3:
            raise RuntimeError(f"Expect _random_samples to have 3 dimensions, got {samples.ndim}")
        if samples.shape[0] < (input.shape[0] if input.ndim == rank + 2 else 1):
            raise RuntimeError("Expect _random_samples.size(0) no less then input batch size.")
        if samples.shape[1] != input.shape[-rank - 1]:
            raise RuntimeError("Expect _random_samples.size(1) equals to input channel size.")
        if samples.shape[2] != rank:
            raise RuntimeError(f"Expect _random_samples.size(2) equals to {rank}; got {samples.shape[2]}.")
        for what, n, k, m in zip(dims, input.shape[-rank:], kernel, output, strict=True):
            if m + k - 1 > n:
                raise RuntimeError(f"{name}(): pool {what} {k} too large relative to input {what} {n}")

    def with_indices(
        input: Any, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,
        return_indices: bool = False, _random_samples: Any = None,
    ) -> Any:  # fmt: skip
        del return_indices
        if output_size is None and output_ratio is None:
            raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
        if output_size is None:
            ratios = (output_ratio,) * rank if isinstance(output_ratio, float) else tuple(output_ratio)
            output_size = [int(n * r) for n, r in zip(input.shape[-rank:], ratios, strict=True)]
        kernel, output = (
            sizes(kernel_size, rank, name, "kernel_size"),
            sizes(output_size, rank, name, "output_size"),
        )
        if _random_samples is None:
            count = 1 if input.ndim == rank + 1 else input.shape[0]
            _random_samples = FUNCTIONS["rand"](count, input.shape[-rank - 1], rank, dtype=input.dtype)
        check(input, kernel, output, _random_samples)
        return tuple(TABLE["fractional_max_pool"].function(input, _random_samples, kernel, output))

    def pool(
        input: Any, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,
        return_indices: bool = False, _random_samples: Any = None,
    ) -> Any:  # fmt: skip
        found = with_indices(input, kernel_size, output_size, output_ratio, True, _random_samples)
        return found if return_indices else found[0]

    pool.__name__ = pool.__qualname__ = name
    with_indices.__name__ = with_indices.__qualname__ = f"{name}_with_indices"
    pool.__doc__ = (
        f"Take maxima of windows at random places over {rank} dimensions; also where if `return_indices`.\n\n"
        "The result has `output_size`, or `output_ratio` times the input's; `_random_samples` is "
        f"(n, channels, {rank}), in [0, 1)."
    )
    with_indices.__doc__ = f"Return what {name} gives with `return_indices`."
    return pool, with_indices


fractional_max_pool2d, fractional_max_pool2d_with_indices = _fractional(2)
fractional_max_pool3d, fractional_max_pool3d_with_indices = _fractional(3)
