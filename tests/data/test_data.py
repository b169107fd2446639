"""Data sets, samplers, collation and loaders. Orders for given seeds are those of torch 2.13."""

from __future__ import annotations

import collections
import re

import numpy as np
import pytest

import retrograd as torch
from retrograd.utils import data
from retrograd.utils.data import DataLoader

TEN = list(range(10))


class Stream(data.IterableDataset):
    def __iter__(self):
        return iter(range(5))


class Where(data.Dataset):
    def __getitem__(self, i):
        info = data.get_worker_info()
        return i, info.id, info.num_workers, torch.rand(1).item()

    def __len__(self):
        return 5


class Bad(data.Dataset):
    def __getitem__(self, i):
        raise KeyError("bad")

    def __len__(self):
        return 3


class Parts(data.IterableDataset):
    def __iter__(self):
        info = data.get_worker_info()
        return iter([(info.id, i) for i in range(3)])


def _batches(loader):
    return [batch.tolist() for batch in loader]


def test_shuffled_order_is_torchs():
    torch.manual_seed(0)
    assert _batches(DataLoader(TEN, 3, shuffle=True)) == [[6, 7, 1], [4, 2, 0], [9, 8, 3], [5]]
    assert _batches(DataLoader(TEN, 3, shuffle=True, drop_last=True)) == [[2, 4, 7], [0, 8, 9], [5, 3, 6]]
    assert torch.rand(1).item() == pytest.approx(0.4556, abs=1e-4)


def test_order_from_a_generator():
    generator = torch.Generator().manual_seed(1)
    assert _batches(DataLoader(TEN, 3, shuffle=True, generator=generator)) == [
        [4, 6, 9],
        [2, 3, 1],
        [0, 7, 8],
        [5],
    ]


def test_samplers_against_torch():
    oracle = pytest.importorskip("torch")
    for make in (
        lambda d: d.RandomSampler(TEN, True, 5),
        lambda d: d.RandomSampler(TEN, True, 40),
        lambda d: d.RandomSampler(TEN, num_samples=25),
        lambda d: d.WeightedRandomSampler([0.1, 0.9, 0.5], 6),
        lambda d: d.WeightedRandomSampler([0.1, 0.9, 0.5], 3, replacement=False),
        lambda d: d.SubsetRandomSampler([3, 4, 9]),
        lambda d: d.BatchSampler(d.RandomSampler(TEN), 4, False),
    ):
        oracle.manual_seed(2)
        torch.manual_seed(2)
        wanted, found = make(oracle.utils.data), make(data)
        for _ in range(2):
            assert list(found) == list(wanted)
        assert len(found) == len(wanted)


def test_random_split():
    parts = data.random_split(TEN, [0.33, 0.67], torch.Generator().manual_seed(3))
    assert [list(p.indices) for p in parts] == [[6, 0, 3, 7], [8, 5, 1, 9, 2, 4]]
    with pytest.raises(
        ValueError, match="Sum of input lengths does not equal the length of the input dataset!"
    ):
        data.random_split(TEN, [1, 2])
    with pytest.warns(UserWarning, match="Length of split at index 1 is 0"):
        data.random_split([1], [0.5, 0.5])


def test_data_sets():
    x, y = torch.arange(6.0).view(3, 2), torch.tensor([0, 1, 2])
    tensors = data.TensorDataset(x, y)
    assert len(tensors) == 3
    assert tensors[1][0].tolist() == [2.0, 3.0]
    both = data.ConcatDataset([[1, 2], [3]])
    assert (both[-1], both[0], both.cumulative_sizes) == (3, 1, [2, 3])
    assert data.StackDataset(a=[1, 2], b=[2, 3])[1] == {"a": 2, "b": 3}
    assert data.StackDataset([1, 2], [2, 3])[1] == (2, 3)
    assert list(Stream() + Stream()) == [0, 1, 2, 3, 4] * 2
    assert (data.Subset(TEN, [3, 5])[1], len(data.Subset(TEN, [3, 5]))) == (5, 2)
    with pytest.raises(AssertionError, match="Size mismatch between tensors"):
        data.TensorDataset(torch.ones(2), torch.ones(3))


def test_tensors_are_gathered_as_single_samples_would_be():
    x, y = torch.randn(7, 3), torch.arange(7)
    whole = data.TensorDataset(x, y)
    subset = data.Subset(data.Subset(whole, [6, 5, 3, 1]), [2, 0, 1])
    for dataset in (whole, subset):
        fast = list(DataLoader(dataset, 2))
        slow = list(DataLoader(dataset, 2, collate_fn=lambda batch: data.default_collate(batch)))  # noqa: PLW0108
        assert len(fast) == len(slow)
        for a, b in zip(fast, slow, strict=True):
            assert type(a) is type(b)
            assert all(torch.equal(s, t) and s.dtype is t.dtype for s, t in zip(a, b, strict=True))


Pair = collections.namedtuple("Pair", "x y")  # noqa: PYI024 - torch's class
BATCHES = [
    ([1, 2], "tensor([1, 2])"),
    ([1.0, 2.0], "tensor([1., 2.], dtype=torch.float64)"),
    ([1, 2.0], "tensor([1., 2.])"),
    (["a", "b"], "['a', 'b']"),
    ([np.float32(3), np.float32(4)], "tensor([3., 4.])"),
    ([np.ones(1), np.zeros(1)], "tensor([[1.],\n        [0.]], dtype=torch.float64)"),
    ([(1, 2.0), (3, 4.0)], "[tensor([1, 3]), tensor([2., 4.], dtype=torch.float64)]"),
    ([{"a": 1}, {"a": 2}], "{'a': tensor([1, 2])}"),
    ([Pair(1, 2), Pair(3, 4)], "Pair(x=tensor([1, 3]), y=tensor([2, 4]))"),
    ([True, False], "tensor([ True, False])"),
]


@pytest.mark.parametrize(("batch", "text"), BATCHES)
def test_collate(batch, text):
    assert repr(data.default_collate(batch)) == text


@pytest.mark.parametrize(
    ("batch", "kind", "message"),
    [
        (
            [None],
            TypeError,
            (
                "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found "
                "<class 'NoneType'>"
            ),
        ),
        ([[1], [1, 2]], RuntimeError, "each element in list of batch should be of equal size"),
        (
            [torch.ones(2), torch.ones(3)],
            RuntimeError,
            "stack expects each tensor to be equal size, but got [2] at entry 0 and [3] at entry 1",
        ),
    ],
)
def test_collate_errors(batch, kind, message):
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        data.default_collate(batch)


def test_loader_over_a_stream():
    assert _batches(DataLoader(Stream(), 2)) == [[0, 1], [2, 3], [4]]
    assert _batches(DataLoader(Stream(), 2, drop_last=True)) == [[0, 1], [2, 3]]
    assert list(DataLoader(TEN, batch_size=None)) == TEN
    assert len(DataLoader(TEN, 3)) == 4
    assert len(DataLoader(TEN, 3, drop_last=True)) == 3


def test_workers_keep_the_order_and_have_seeds_of_their_own():
    torch.manual_seed(0)
    found = [tuple(part[0].item() for part in batch) for batch in DataLoader(Where(), num_workers=2)]
    assert [f[:3] for f in found] == [(0, 0, 2), (1, 1, 2), (2, 0, 2), (3, 1, 2), (4, 0, 2)]
    assert found[0][3] == pytest.approx(0.7821, abs=1e-4)
    assert found[1][3] == pytest.approx(0.6938, abs=1e-4)
    assert _batches(DataLoader(TEN, 4, num_workers=2)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_workers_over_a_stream():
    found = [[part.tolist() for part in batch] for batch in DataLoader(Parts(), 2, num_workers=2)]
    assert found == [[[0, 0], [0, 1]], [[1, 1], [0, 1]], [[0], [2]], [[1], [2]]]


def test_a_workers_exception_comes_back():
    with pytest.raises(KeyError) as caught:
        list(DataLoader(Bad(), num_workers=1))
    assert str(caught.value).startswith("Caught KeyError in DataLoader worker process 0.\nOriginal Traceback")


@pytest.mark.parametrize(
    ("dataset", "options", "message"),
    [
        (TEN, {"num_workers": -1}, ("num_workers option should be non-negative; use num_workers=0 to disable "
        "multiprocessing.")),
        (TEN, {"shuffle": True, "sampler": TEN}, "sampler option is mutually exclusive with shuffle"),
        (TEN, {"batch_size": 0}, "batch_size should be a positive integer value, but got batch_size=0"),
        (TEN, {"batch_sampler": [[1]], "shuffle": True}, ("batch_sampler option is mutually exclusive with "
        "batch_size, shuffle, sampler, and drop_last")),
        ([], {"shuffle": True}, "num_samples should be a positive integer value, but got num_samples=0"),
        (Stream(), {"shuffle": True}, ("DataLoader with IterableDataset: expected unspecified shuffle option, "  # noqa: E501
        "but got shuffle=True")),
    ],
)  # fmt: skip
def test_errors(dataset, options, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        DataLoader(dataset, **options)
