"""Reading samples in other processes. Batches come back in the order in which they were asked for."""

from __future__ import annotations

import multiprocessing
import queue
import random as python_random
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from retrograd import random

_END = "end"


@dataclass
class WorkerInfo:
    """What a worker knows: its number, how many there are, its seed, its copy of the data set."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """Return this worker process's information; None in the main process."""
    return _info


class _Text(str):
    """A text that KeyError, which shows its argument's repr, shows as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class _Failure:
    """An exception of a worker, with its traceback as text."""

    def __init__(self, error: BaseException, worker: int) -> None:
        self.kind = type(error)
        trace = traceback.format_exc()
        self.text = f"Caught {self.kind.__name__} in DataLoader worker process {worker}.\nOriginal {trace}"

    def raise_again(self) -> None:
        """Raise an exception of the same type; RuntimeError where that cannot be made of a text."""
        try:
            error = self.kind(_Text(self.text))
        except TypeError:
            error = RuntimeError(self.text)
        raise error


def _work(
    number: int, count: int, seed: int, dataset: Any, batched: bool, collate: Any, drop_last: bool,
    initialise: Any,
    tasks: Any, results: Any,
) -> None:  # fmt: skip
    """Run a worker: answer tasks (index, numbers) with (index, batch), until the task None."""
    global _info  # noqa: PLW0603 - the process's own
    from retrograd.utils.data.dataloader import fetcher  # noqa: PLC0415 - at use: complete by then

    python_random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - the generator that data sets use
    random.manual_seed(seed)
    _info = WorkerInfo(number, count, seed, dataset)
    fetch: Any = None
    failure: Any = None
    try:
        if initialise is not None:
            initialise(number)
        fetch = fetcher(dataset, batched, collate, drop_last)
    except Exception as error:  # noqa: BLE001 - passed on, not swallowed
        failure = _Failure(error, number)
    while (task := tasks.get()) is not None:
        index, numbers = task
        try:
            answer = failure if failure is not None else fetch(numbers)
        except StopIteration:
            answer = _END
        except Exception as error:  # noqa: BLE001 - passed on, not swallowed
            answer = _Failure(error, number)
        results.put((index, answer))


class _Pool:
    """The workers of one epoch: each with a queue of tasks and a queue of results."""

    def __init__(self, loader: Any, seed: int) -> None:
        context = loader.multiprocessing_context
        if context is None or isinstance(context, str):
            methods = multiprocessing.get_all_start_methods()
            context = multiprocessing.get_context(context or ("fork" if "fork" in methods else None))
        self.tasks, self.results, self.processes = [], [], []
        for i in range(loader.num_workers):
            tasks, results = context.Queue(), context.Queue()
            process = context.Process(
                target=_work,
                args=(
                    i, loader.num_workers, seed + i, loader.dataset, loader.batch_sampler is not None,
                    loader.collate_fn, loader.drop_last, loader.worker_init_fn, tasks, results,
                ),
                daemon=True,
            )  # fmt: skip
            process.start()
            self.tasks.append(tasks)
            self.results.append(results)
            self.processes.append(process)

    def result(self, worker: int, timeout: float) -> Any:
        """Return a worker's next answer; raise if it takes too long or the worker is gone."""
        waited = 0.0
        while True:
            step = min(5.0, timeout - waited) if timeout > 0 else 5.0
            try:
                return self.results[worker].get(timeout=step)[1]
            except queue.Empty:
                waited += step
                process = self.processes[worker]
                if not process.is_alive():
                    raise RuntimeError(
                        f"DataLoader worker (pid(s) {process.pid}) exited unexpectedly"
                    ) from None
                if timeout > 0 and waited >= timeout:
                    raise RuntimeError(f"DataLoader timed out after {timeout} seconds") from None

    def close(self) -> None:
        """Let the workers end."""
        for tasks in self.tasks:
            tasks.put(None)
        for process in self.processes:
            process.join(timeout=1)
            if process.is_alive():
                process.terminate()
        for channel in (*self.tasks, *self.results):
            channel.cancel_join_thread()
            channel.close()


def read_with_workers(loader: Any, seed: int) -> Iterator[Any]:
    """Yield the batches of one epoch, read by worker processes that work ahead."""
    pool = _Pool(loader, seed)
    try:
        yield from _read(loader, pool)
    finally:
        pool.close()


def _read(loader: Any, pool: _Pool) -> Iterator[Any]:
    numbers = enumerate(loader._index_sampler)
    count = loader.num_workers
    alive = list(range(count))
    asked: list[int] = []  # the workers that batches were asked of, in order
    turn = 0

    def ask() -> None:
        """Give the next task to the worker whose turn it is."""
        nonlocal turn
        task = next(numbers, None) if alive else None
        if task is None:
            return
        worker = alive[turn % len(alive)]
        turn = (alive.index(worker) + 1) % len(alive)
        pool.tasks[worker].put(task)
        asked.append(worker)

    for _ in range(max(1, loader.prefetch_factor) * count):
        ask()
    while asked:
        worker = asked.pop(0)
        answer = pool.result(worker, loader.timeout)
        if isinstance(answer, _Failure):
            answer.raise_again()
        if isinstance(answer, str) and answer == _END:
            if worker in alive:
                at = alive.index(worker)
                alive.remove(worker)
                turn -= at < turn
            ask()
            continue
        ask()
        yield answer
