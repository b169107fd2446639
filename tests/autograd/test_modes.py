"""no_grad and its kin: contexts, decorators, generators, threads."""

from __future__ import annotations

import threading

import pytest

import retrograd as torch
from retrograd.autograd.modes import modes


@pytest.fixture(autouse=True)
def _plain_afterwards():
    before = modes.special
    yield
    assert modes.special == before
    assert torch.is_grad_enabled()


def test_contexts_nest():
    x = torch.ones(2, requires_grad=True)
    with torch.no_grad():
        assert not (x * 2).requires_grad
        with torch.enable_grad():
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad
        assert torch.ones(2, requires_grad=True).requires_grad
    assert (x * 2).requires_grad


def test_decorators_with_and_without_parentheses():
    x = torch.ones(2, requires_grad=True)

    @torch.no_grad
    def plain():
        return (x * 2).requires_grad

    @torch.no_grad()
    def called():
        return (x * 2).requires_grad

    @torch.set_grad_enabled(False)
    def switched():
        return (x * 2).requires_grad

    @torch.inference_mode
    def inference():
        return (x * 2).is_inference()

    @torch.inference_mode()
    def inference_called():
        return (x * 2).is_inference()

    assert (plain(), called(), switched(), inference(), inference_called()) == (
        False,
        False,
        False,
        True,
        True,
    )


def test_set_grad_enabled_acts_at_once():
    torch.set_grad_enabled(False)
    assert not torch.is_grad_enabled()
    torch.set_grad_enabled(True)


def test_generators_keep_the_mode_per_step():
    @torch.no_grad()
    def steps(x):
        for i in range(2):
            yield (x * i).requires_grad

    x = torch.ones(2, requires_grad=True)
    assert [(v, torch.is_grad_enabled()) for v in steps(x)] == [(False, True), (False, True)]


def test_exceptions_restore_the_mode():
    with pytest.raises(ZeroDivisionError), torch.no_grad():
        _ = 1 / 0


def test_a_new_thread_records():
    found = []
    with torch.no_grad():
        thread = threading.Thread(target=lambda: found.append(torch.is_grad_enabled()))
        thread.start()
        thread.join()
    assert found == [True]


def test_inference_tensors_refuse_what_torch_refuses():
    w = torch.ones(3, requires_grad=True)
    with torch.inference_mode():
        t = torch.ones(3) * 2
        assert t.is_inference()
    with pytest.raises(RuntimeError, match="Inference tensors cannot be saved for backward"):
        w * t
    with pytest.raises(RuntimeError, match="Inplace update to inference tensor outside InferenceMode"):
        t.add_(1)
    with pytest.raises(RuntimeError, match="Setting requires_grad=True on inference tensor"):
        t.requires_grad_()
    with pytest.raises(RuntimeError, match="do not track version counter"):
        _ = t._version
    assert not t.clone().is_inference()
    assert t.tolist() == [2.0] * 3
