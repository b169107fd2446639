"""DataLoader: batches of a data set, one epoch per iteration."""

from __future__ import annotations

import multiprocessing
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

import numpy as np

from retrograd.tensor import wrap
from retrograd.utils.data.collate import default_collate, default_convert
from retrograd.utils.data.dataset import IterableDataset, Subset, TensorDataset
from retrograd.utils.data.sampler import BatchSampler, RandomSampler, SequentialSampler, draw_seed

T_co = TypeVar("T_co", covariant=True)

_FIXED = ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers")


class _Endless:
    """The sampler of an iterable data set: it has no numbers."""

    def __iter__(self) -> Iterator[None]:
        while True:
            yield None


class DataLoader(Generic[T_co]):
    """Read a data set in batches; each iteration over the loader is one epoch.

    Args:
        dataset: samples by number, or an iterable data set.
        batch_size: how many samples a batch has; None gives single samples.
        shuffle: whether the order is random, anew in every epoch.
        sampler: the order, instead of `shuffle`.
        batch_sampler: the order in lists of numbers, instead of the arguments above and `drop_last`.
        num_workers: how many processes read samples; 0 reads in this one.
        collate_fn: makes a batch of a list of samples.
        pin_memory: accepted; there is no other memory.
        drop_last: leave out a last batch that is not full.
        timeout: how long a batch of a worker is waited for, in seconds; 0 waits for ever.
        worker_init_fn: called with its number in each worker.
        multiprocessing_context: how workers are started.
        generator: where random numbers come from.
        prefetch_factor: how many batches each worker works ahead; 2 if None.
        persistent_workers: accepted; workers are started anew for every epoch.
        pin_memory_device: accepted.
        in_order: accepted; batches always come in order.
    """

    _initialized = False

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Any] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers, multiprocessing_context)
        self.dataset = dataset
        self.num_workers = num_workers
        self.prefetch_factor = 2 if num_workers > 0 and prefetch_factor is None else prefetch_factor
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.in_order = in_order
        self.generator = generator
        self.persistent_workers = persistent_workers
        self._is_iterable = isinstance(dataset, IterableDataset)
        if self._is_iterable:
            _check_iterable(shuffle, sampler, batch_sampler)
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and "
                    "drop_last"
                )
            batch_size, drop_last = None, False
        elif batch_size is None and drop_last:
            raise ValueError(
                "batch_size=None option disables auto-batching and is mutually exclusive with drop_last"
            )
        if sampler is None:
            if self._is_iterable:
                sampler = _Endless()
            else:
                sampler = (
                    RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
                )
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)  # type: ignore[arg-type]
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        if collate_fn is None:
            collate_fn = default_convert if batch_sampler is None else default_collate
        self.collate_fn = collate_fn
        self._initialized = True

    def __setattr__(self, name: str, value: Any) -> None:
        if self._initialized and name in _FIXED:
            raise ValueError(f"{name} attribute should not be set after {type(self).__name__} is initialized")
        super().__setattr__(name, value)

    @property
    def _index_sampler(self) -> Any:
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def __iter__(self) -> Iterator[Any]:
        seed = draw_seed(self.generator)  # drawn also where no worker needs it, as torch does
        if self.num_workers > 0:
            from retrograd.utils.data.workers import read_with_workers  # noqa: PLC0415

            return read_with_workers(self, seed)
        return self._read()

    def _read(self) -> Iterator[Any]:
        fetch = fetcher(self.dataset, self.batch_sampler is not None, self.collate_fn, self.drop_last)
        for numbers in self._index_sampler:
            try:
                batch = fetch(numbers)
            except StopIteration:
                return
            yield batch

    def __len__(self) -> int:
        if not self._is_iterable:
            return len(self._index_sampler)
        count = len(self.dataset)
        if self.batch_size is None:
            return count
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)


def fetcher(dataset: Any, batched: bool, collate: Any, drop_last: bool) -> Callable[[Any], Any]:
    """Return the function that makes a batch of sample numbers, or of the next samples of a stream.

    It raises StopIteration at the end of an iterable data set.
    """
    if isinstance(dataset, IterableDataset):
        return _iterable_fetcher(iter(dataset), batched, collate, drop_last)
    if not batched:
        return lambda number: collate(dataset[number])
    if collate is default_collate:
        gather = _gatherer(dataset)
        if gather is not None:
            return gather
    several = getattr(dataset, "__getitems__", None)
    if several:
        return lambda numbers: collate(several(numbers))
    return lambda numbers: collate([dataset[number] for number in numbers])


def _iterable_fetcher(
    samples: Iterator[Any], batched: bool, collate: Any, drop_last: bool
) -> Callable[[Any], Any]:
    if not batched:
        return lambda _: collate(next(samples))

    def fetch(numbers: list[None]) -> Any:
        batch = []
        for _ in numbers:
            try:
                batch.append(next(samples))
            except StopIteration:
                break
        if not batch or (drop_last and len(batch) < len(numbers)):
            raise StopIteration
        return collate(batch)

    return fetch


def _gatherer(dataset: Any) -> Callable[[Any], Any] | None:
    """Return a function that takes a batch from tensors at once, where collating would give the same."""
    order = None
    while type(dataset) is Subset:
        indices = np.asarray(dataset.indices)
        order = indices if order is None else indices[order]
        dataset = dataset.dataset
    if type(dataset) is not TensorDataset or any(t.requires_grad for t in dataset.tensors):
        return None
    tensors = dataset.tensors

    def gather(numbers: list[int]) -> list[Any]:
        rows = np.asarray(numbers) if order is None else order[numbers]
        return [wrap(tensor._array[rows]) for tensor in tensors]

    return gather


def _check_workers(count: int, timeout: float, prefetch: int | None, persistent: bool, context: Any) -> None:
    if count < 0:
        raise ValueError(
            "num_workers option should be non-negative; use num_workers=0 to disable multiprocessing."
        )
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if count == 0 and prefetch is not None:
        raise ValueError(
            "prefetch_factor option could only be specified in multiprocessing.let num_workers > 0 to enable "
            "multiprocessing, otherwise set prefetch_factor to None."
        )
    if prefetch is not None and prefetch < 0:
        raise ValueError("prefetch_factor option should be non-negative")
    if persistent and count == 0:
        raise ValueError("persistent_workers option needs num_workers > 0")
    if context is not None and count == 0:
        raise ValueError(
            "multiprocessing_context can only be used with multi-process loading (num_workers > 0), but got "
            "num_workers=0"
        )
    methods = multiprocessing.get_all_start_methods()
    if isinstance(context, str) and context not in methods:
        raise ValueError(
            f"multiprocessing_context option should specify a valid start method in {methods!r}, but got "
            f"multiprocessing_context={context!r}"
        )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if count > cores:
        warnings.warn(
            f"This DataLoader will create {count} worker processes in total. Our suggested max number of "
            "worker in "
            f"current system is {cores}, which is smaller than what this DataLoader is going to create. "
            "Please be aware that excessive worker creation might get DataLoader running slow or even "
            "freeze, lower the worker "
            "number to avoid potential slowness/freeze if necessary.",
            stacklevel=3,
        )


def _check_iterable(shuffle: Any, sampler: Any, batch_sampler: Any) -> None:
    for name, value in (("shuffle", shuffle or None), ("sampler", sampler), ("batch_sampler", batch_sampler)):
        if value is not None:
            raise ValueError(
                f"DataLoader with IterableDataset: expected unspecified {name} option, but got {name}={value}"
            )
