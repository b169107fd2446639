"""Writes to what was saved: told apart by bytes, copied at the write and only then."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import retrograd as torch
from retrograd.autograd.mutation import Watch, overlap
from retrograd.autograd.mutation import _memory as memory

graph = torch.autograd.graph


def test_overlap_is_exact_where_bounds_are_not():
    x = np.zeros((4, 6))
    assert np.may_share_memory(x[:, ::2], x[:, 1::2])
    assert not overlap(x[:, ::2], x[:, 1::2])
    assert overlap(x[:, ::2], x[:, 2])
    assert not overlap(x[:2], x[2:])
    assert overlap(x.T, x[3:, 5:])
    assert not overlap(x[:0], x)


def test_memory_is_told_by_its_owner():
    x = np.zeros(8)
    raw = bytearray(16)
    assert memory(x[2:]) == memory(x[::2].reshape(2, 2)) != memory(np.zeros(8))
    assert memory(np.frombuffer(raw, np.uint8)) == memory(np.frombuffer(raw, np.uint8)[4:])


@pytest.mark.parametrize(
    "write",
    [
        lambda y: y[2:].zero_(),
        lambda y: y.__setitem__(slice(2, None), 0.0),
        lambda y: y[2:].copy_(torch.ones(2)),
        lambda y: y.detach()[3].fill_(5),
        lambda y: y[2:].uniform_(),
    ],
)
def test_switch_accepts_what_misses_the_saved_bytes(write):
    x = torch.ones(4, requires_grad=True)
    with graph.set_exact_mutation_check(True):
        y = x * 3
        z = (y[:2] * y[:2]).sum()
        write(y)
    (g,) = torch.autograd.grad(z, x)
    assert g.tolist() == [18.0, 18.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "write", [lambda y: y[1:].zero_(), lambda y: y.add_(1), lambda y: y.__setitem__(1, 0.0)]
)
def test_switch_refuses_what_hits_them(write):
    x = torch.ones(4, requires_grad=True)
    with graph.set_exact_mutation_check(True):
        y = x * 3
        z = (y[:2] * y[:2]).sum()
        write(y)
    with pytest.raises(RuntimeError, match="modified by an inplace operation") as caught:
        z.backward()
    assert "test_mutation.py" in str(caught.value)


def test_interleaved_columns_do_not_overlap():
    x = torch.ones(3, 4, requires_grad=True)
    with graph.set_exact_mutation_check(True):
        y = x * 3
        z = y[:, ::2].square().sum()
        y[:, 1::2].zero_()
    z.backward()
    assert x.grad[0].tolist() == [18.0, 0.0, 18.0, 0.0]


def test_without_the_switch_any_write_is_refused_and_a_write_after_it_too():
    x = torch.ones(4, requires_grad=True)
    y = x * 3
    z = y[:2].square().sum()
    y[2:] = 0
    with pytest.raises(RuntimeError, match="modified by an inplace"):
        z.backward()
    with graph.set_exact_mutation_check(True):
        y = x * 3
        z = y[:2].square().sum()
    y[2:] = 0
    with pytest.raises(RuntimeError, match="modified by an inplace"):
        z.backward()


def test_switch_as_a_call():
    before = torch.autograd.modes.local.saved_hooks
    graph.set_exact_mutation_check(True)
    graph.set_exact_mutation_check(True)
    x = torch.ones(2, requires_grad=True)
    y = x * 1
    z = y[:1].exp().sum()
    y[1] = 3
    z.backward()
    graph.set_exact_mutation_check(False)
    assert torch.autograd.modes.local.saved_hooks == before
    assert torch.autograd.modes.local.watch is None


def test_copies_are_made_at_the_write_and_only_of_what_it_touches():
    x = torch.ones(4, requires_grad=True)
    with graph.allow_mutation_on_saved_tensors():
        y = x * 3
        node = y[:2].square().grad_fn
        other = y[2:].square().grad_fn
        kept = node._raw_saved_self.data.array
        assert np.shares_memory(kept, y._array)
        y[:2].zero_()
        assert not np.shares_memory(node._raw_saved_self.data.array, y._array)
        assert np.shares_memory(other._raw_saved_self.data.array, y._array)


def test_an_alias_through_data_is_seen_too():
    x = torch.ones(2, requires_grad=True)
    with graph.allow_mutation_on_saved_tensors():
        y = x * 3
        z = y.square().sum()
        y.data.zero_()
        z.backward()
    assert x.grad.tolist() == [18.0, 18.0]


def test_a_watch_forgets_memory_that_is_gone():
    watch = Watch(copies=False)
    for _ in range(1000):
        watch.pack(torch.ones(2))
    gc.collect()
    assert len(watch._snapshots) < 200
