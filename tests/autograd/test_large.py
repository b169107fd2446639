"""Large arrays: kernels give what definitions and rules give, wherever eager mode uses them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import retrograd as torch
from retrograd import startup
from retrograd.autograd import large
from retrograd.native import ondemand
from retrograd.ops.apply import bind
from retrograd.ops.batching import call
from retrograd.ops.declare import TABLE, Op
from retrograd.tensor import Tensor

pytest.importorskip("llvmlite")

F = torch.nn.functional
OPS = sorted(name for name, op in TABLE.items() if op.large and "f" in op.kinds and op.outputs != ("*",))
# Definitions that need calls which are NumPy's, or what the compiler has no type for.
BY_NUMPY = {
    "argmax", "argmin", "complex", "count_nonzero", "frexp", "isreal", "logaddexp2", "max_dim", "min_dim",
    "nextafter", "polar", "prod", "signbit", "zeros_as",
}  # fmt: skip


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make kernels at the first use and for any size, where this file asks for them."""
    monkeypatch.setattr(startup, "kernel_mode", lambda: "all")
    ondemand.clear()
    yield
    ondemand.clear()


def in_float32(values: Any) -> list[Any]:
    return [
        v.astype(np.float32) if isinstance(v, np.ndarray) and v.dtype == np.float64 else v for v in values
    ]


def tensors_of(op: Op, values: list[Any], grad: bool) -> dict[str, Any]:
    made = {}
    for p, v in zip(op.parameters, values, strict=True):
        is_tensor = not p.is_static and isinstance(v, np.ndarray)
        made[p.name] = torch.tensor(v) if is_tensor else v
        if is_tensor and grad and p.name in op.rules and v.dtype.kind == "f":
            made[p.name].requires_grad_()
    return made


def agree(found: Any, wanted: Any) -> None:
    assert (found is None) == (wanted is None)
    if wanted is not None:
        wanted = np.asarray(wanted)
        assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
        np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-6)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("name", OPS)
def test_a_kernel_gives_what_the_definition_gives(name: str) -> None:
    op = TABLE[name]
    forward = large.Forward(op)
    for sample in op.samples():  # type: ignore[misc]
        values = in_float32(bind(op, sample.args, sample.kwargs))
        first = values[forward.first]
        if not isinstance(first, np.ndarray) or first.dtype != np.float32 or not first.size:
            continue
        with np.errstate(all="ignore"):
            wanted = call(op, values)
        found = forward.kernels(tuple(values), first.size)
        assert found is not None or name in BY_NUMPY
        if found is not None:
            for f, w in zip(found, wanted if op.outputs else (wanted,), strict=True):
                agree(f, w)
            return


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("name", [n for n in OPS if TABLE[n].rules])
def test_a_kernel_gives_what_the_rules_give(name: str) -> None:
    op = TABLE[name]
    backward = large.Backward(op)
    for sample in [s for s in op.samples() if s.grad][:1]:  # type: ignore[misc]
        values = in_float32(bind(op, sample.args, sample.kwargs))
        found = op.function(**tensors_of(op, values, grad=True))
        for made in found if isinstance(found, tuple) else (found,):
            if isinstance(made, Tensor) and made.grad_fn is not None and made.numel() and not op.outputs:
                node = made.grad_fn
                ct = np.linspace(-1, 1, made.numel(), dtype=np.float32).reshape(made.shape)
                got = backward(node, ct, True)
                wanted = node.pullback(ct, True)
                if got is not None:
                    for g, w in zip(got, wanted, strict=True):
                        agree(g, w)


def step(x: np.ndarray, t: np.ndarray, *, graph: bool = False) -> list[np.ndarray]:
    """Run what losses and layers are made of, forward and backward."""
    leaf = torch.tensor(x, requires_grad=True)
    weight = torch.ones(x.shape[1], requires_grad=True)
    hidden = F.gelu(F.layer_norm(leaf, (x.shape[1],), weight)) * leaf * leaf
    hidden = hidden + hidden.softmax(1) + torch.sigmoid(leaf)
    loss = F.cross_entropy(hidden, torch.tensor(t)) + (leaf * 3).mean() + F.mse_loss(hidden, leaf)
    grads = torch.autograd.grad(loss, [leaf, weight], create_graph=graph)
    if graph:
        grads = (*grads, *torch.autograd.grad((grads[0] * grads[0]).sum(), [leaf, weight]))
    with torch.no_grad():
        plain = F.silu(leaf).var(1)
    written = leaf.detach().clone()
    F.relu(written, inplace=True)
    written.sigmoid_().mul_(2.0)
    out = torch.empty(0)
    torch.exp(leaf.detach(), out=out)
    return [
        loss.detach().numpy(),
        *(g.detach().numpy() for g in grads),
        plain.numpy(),
        written.numpy(),
        out.numpy(),
    ]


SCRIPT = """
import sys, numpy as np
sys.path.insert(0, {folder!r})
from autograd.test_large import step, data
from retrograd import startup
from retrograd.native import ondemand
found = step(*data(), graph=True)
if startup.kernel_mode() == "all":
    assert sum(e.run is not None for e in ondemand._known.values()) > 20
np.savez(sys.argv[1], *found)
"""


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((64, 40)).astype(np.float32), rng.integers(0, 40, 64)


def test_a_program_gives_the_same_with_and_without_kernels(tmp_path: Any) -> None:
    folder = str(Path(__file__).resolve().parent.parent)
    results = []
    for mode in ("0", "all"):
        file = tmp_path / f"{mode}.npz"
        environment = {**os.environ, "RETROGRAD_KERNELS": mode}
        subprocess.run(
            [sys.executable, "-c", SCRIPT.format(folder=folder), str(file)],
            check=True,
            env=environment,
            timeout=300,
        )
        results.append(np.load(file))
    for name in results[0].files:
        np.testing.assert_allclose(results[1][name], results[0][name], rtol=1e-4, atol=1e-5)


def test_it_is_counted_in_elements_when_a_kernel_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "kernel_mode", lambda: "1")
    ondemand.clear()
    kernels = ondemand.Kernels("double", lambda form, values: (values[0] * 2,))
    x = np.ones(2**20, np.float32)
    made = [kernels((x,), x.size) is not None for _ in range(6)]
    assert made == [False] * 3 + [True] * 3
    assert kernels.made == 1


def test_ever_new_shapes_are_left_to_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ondemand, "ENOUGH", 4)
    ondemand.clear()
    kernels = ondemand.Kernels("double", lambda form, values: (values[0] * 2,))
    for n in range(4, 40):
        kernels((np.ones(n, np.float32),), 4)
    assert kernels.made == ondemand._FREE + 1


def test_no_more_combinations_are_kept_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ondemand, "_MOST", 10)
    ondemand.clear()
    kernels = ondemand.Kernels("double", lambda form, values: (values[0] * 2,))
    for n in range(50):
        kernels((np.ones(n, np.float32),), 1)
    assert len(ondemand._known) <= 10


@pytest.mark.usefixtures("at_once")
def test_numbers_that_only_compare_equal_are_told_apart() -> None:
    kernels = ondemand.Kernels("over", lambda form, values: (values[1] / values[0],))
    x = np.ones(4, np.float32)
    with np.errstate(all="ignore"):
        assert kernels((x, 0.0), 4)[0][0] == 0  # type: ignore[index]
        assert np.signbit(kernels((x, -0.0), 4)[0][0])  # type: ignore[index]
        assert np.isnan(kernels((x, float("nan")), 4)[0]).all()  # type: ignore[index]
    assert kernels.made == 3


@pytest.mark.usefixtures("at_once")
def test_special_values_come_out_as_numpy_gives_them() -> None:
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-42, -1e30, 1e30] * 4, np.float32)
    for name in (
        "sigmoid",
        "silu",
        "relu",
        "gelu",
        "exp",
        "tanh",
        "log1p",
        "sqrt",
        "abs",
        "neg",
        "leaky_relu",
    ):
        op = TABLE[name]
        values = tuple(bind(op, (x,), {}))
        found = large.Forward(op).kernels(values, 32)[0]  # type: ignore[index]
        with np.errstate(all="ignore"):
            wanted = call(op, values)
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-44, err_msg=name)
        zeros = wanted == 0
        np.testing.assert_array_equal(np.signbit(found)[zeros], np.signbit(wanted)[zeros], err_msg=name)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("arrange", [lambda x: x.T, lambda x: x[::2], lambda x: x[:, ::-1]])
def test_arrays_in_other_orders(arrange: Any) -> None:
    x = arrange(np.linspace(-2, 2, 96, dtype=np.float32).reshape(8, 12))
    softmax = large.Forward(TABLE["softmax"])
    agree(softmax.kernels((x, 1, None), x.size)[0], softmax.op.definition(x, 1))  # type: ignore[index]
    # A pointwise result lies as its operand does, which only NumPy sees to.
    assert large.Forward(TABLE["silu"]).kernels((x,), x.size) is None


@pytest.mark.usefixtures("at_once")
def test_a_repeated_cotangent_is_read_once_and_stays_repeated() -> None:
    x = torch.ones(6, 5, requires_grad=True)
    y = x * 3.0
    ct = np.broadcast_to(np.float32(2), (6, 5))
    (made, _) = large.Backward(TABLE["mul"])(y.grad_fn, ct, True)  # type: ignore[misc]
    assert made.strides == (0, 0)
    agree(made, np.full((6, 5), 6, np.float32))
    z = x * x
    both = large.Backward(TABLE["mul"])(z.grad_fn, ct, True)
    assert both is not None
    assert both[1] is None
    agree(both[0], np.full((6, 5), 4, np.float32))


@pytest.mark.usefixtures("at_once")
def test_mistakes_are_told_in_eagers_words() -> None:
    forward = large.Forward(TABLE["layer_norm"])
    with pytest.raises(RuntimeError, match="expected input with shape"):
        forward(np.ones((4, 3), np.float32), (5,), None, None, 1e-5)
    with pytest.raises(RuntimeError, match="all elements of input should be between 0 and 1"):
        large.Forward(TABLE["binary_cross_entropy"])(
            np.full(4, 2, np.float32), np.ones(4, np.float32), None, "mean"
        )
    entropy = large.Forward(TABLE["cross_entropy"])
    for _ in range(2):
        with pytest.raises(IndexError, match="Target 7 is out of bounds"):
            entropy(np.ones((2, 3), np.float32), np.array([0, 7]), None, -100, "mean")


@pytest.mark.usefixtures("at_once")
def test_what_was_written_to_since_it_was_saved_is_left_to_the_rules() -> None:
    x = torch.ones(6, requires_grad=True)
    y = F.gelu(x)
    with torch.no_grad():
        x.mul_(2)
    assert large.Backward(TABLE["gelu"])(y.grad_fn, np.ones(6, np.float32), False) is None


@pytest.mark.usefixtures("at_once")
def test_threads_and_forks() -> None:
    forward = large.Forward(TABLE["softmax"])
    x = np.linspace(-2, 2, 600, dtype=np.float32).reshape(20, 30)
    wanted = forward.op.definition(x, 1)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(20):
                agree(forward(x, 1, None), wanted)
        except BaseException as error:  # noqa: BLE001 - told to the main thread
            failures.append(error)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures
    child = os.fork()
    if child == 0:
        os._exit(0 if np.allclose(forward(x, 1, None), wanted) else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_only_a_large_array_has_ops_of_one_pass_look_at_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "kernel_mode", lambda: "1")
    monkeypatch.setattr(large._Noticed, "yet", False)
    monkeypatch.setattr(large, "_sleeping", [])
    large.limit.cache_clear()
    rewritten = []
    assert large.limit(TABLE["add"]) is None
    assert large.limit(TABLE["softmax"]) is not None
    assert large.is_asleep(TABLE["add"])
    large.when_noticed(lambda: rewritten.append(1))
    large.notice(large.NOTICED - 1)
    assert not rewritten
    large.notice(large.NOTICED)
    assert rewritten == [1]
    assert large.limit(TABLE["add"]) is not None


@pytest.mark.usefixtures("at_once")
def test_an_interrupt_while_a_kernel_is_made_does_not_rule_it_out() -> None:
    interrupts = [KeyboardInterrupt()]

    def double(form: Any, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if interrupts:
            raise interrupts.pop()
        return (values[0] * 2,)

    kernels = ondemand.Kernels("double", double)
    x = np.ones(4, np.float32)
    with pytest.raises(KeyboardInterrupt):
        kernels((x,), 4)
    assert kernels((x,), 4) is not None
