"""What cannot be compiled runs as it is, and says so once, with the line; what is wrong is a clear error."""

from __future__ import annotations

import collections
import gc
import multiprocessing
import queue as queue_module
import random
import threading
import time
import warnings
import weakref

import numpy as np
import pytest

import retrograd as torch
from retrograd import nn
from retrograd.errors import UntraceableError

x3 = torch.tensor([1.0, 2.0, 3.0])


def falls_back(function, *args, saying, calls=3):
    """Call a compiled function; it must warn once, with the text, and give what it gives as it is."""
    wanted = [function(*args) for _ in range(calls)]
    made = torch.compile(function)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = [made(*args) for _ in range(calls)]
    texts = [str(w.message) for w in caught if "cannot be compiled" in str(w.message)]
    assert len(texts) == 1, texts
    assert saying in texts[0]
    for w, g in zip(wanted, found, strict=True):
        assert torch.equal(w, g) if isinstance(w, torch.Tensor) else w == g
    with pytest.raises(UntraceableError, match="cannot be compiled"):
        torch.compile(function, fullgraph=True)(*args)
    return texts[0]


# ---- what depends on elements ----


def test_item_names_the_users_line():
    text = falls_back(lambda x: x * x.sum().item(), x3, saying="item()")
    assert __file__ in text


def branch(x):
    if x.sum() > 0:  # the line that is named
        return x * 2
    return x


def test_a_branch_on_a_tensor():
    text = falls_back(branch, x3, saying="truth value")
    assert f"{__file__}:{branch.__code__.co_firstlineno + 1} in branch" in text


def test_an_item_of_a_captured_tensor_is_no_constant():
    k = torch.tensor(2.0)
    f = torch.compile(lambda x: x * k.item())
    with pytest.warns(UserWarning, match="item"):
        assert f(x3).tolist() == [2.0, 4.0, 6.0]
    k.fill_(3.0)
    assert f(x3).tolist() == [3.0, 6.0, 9.0]


def test_numbers_lists_and_arrays_of_elements():
    falls_back(lambda x: float(x[0]), x3, saying="float()")
    falls_back(lambda x: x.tolist(), x3, saying="tolist()")
    falls_back(lambda x: x + torch.tensor(x.numpy() * 2), x3, saying="")
    falls_back(lambda x: [1, 2, 3][x.long()[0]], x3, saying="")
    falls_back(lambda x: x[x > 1], x3, saying="")
    falls_back(lambda x: torch.nonzero(x) + 1, x3, saying="shape")
    falls_back(lambda x: 1.0 in x, x3, saying="")
    falls_back(lambda x: torch.equal(x, x * 1), x3, saying="")


def test_printing(capsys):
    def f(x):
        print(x)
        return x * 2

    falls_back(f, x3, saying="")
    assert capsys.readouterr().out.count("tensor([1., 2., 3.])") == 6


def test_formatting():
    falls_back(lambda x: f"{x.sum()}", x3, saying="")
    falls_back(lambda x: str(x) + "!", x3, saying="")


def test_an_error_that_the_function_swallows_still_falls_back():
    def f(x):
        try:
            k = x.sum().item()
        except Exception:  # noqa: BLE001 - what careless programs do
            k = 0.0
        return x + k

    falls_back(f, x3, saying="item()")


def test_unsupported_numpy_functions():
    falls_back(lambda x: torch.from_numpy(np.unwrap(x.numpy())), x3, saying="")


# ---- effects ----


def test_lists_that_are_changed():
    seen = []

    def f(x):
        seen.append(1)
        return x + len(seen)

    made = torch.compile(f)
    with pytest.warns(UserWarning, match="'seen'"):
        assert made(x3).tolist() == [2.0, 3.0, 4.0]
    assert made(x3).tolist() == [3.0, 4.0, 5.0]
    assert seen == [1, 1]


def test_tensors_that_are_kept():
    class Trainer:
        last = None
        history = []  # noqa: RUF012

        def step(self, x):
            self.last = x * 2
            return self.last

        def log(self, x):
            y = x * 2
            Trainer.history.append(y)
            return y

    trainer = Trainer()
    falls_back(trainer.step, x3, saying="'last'" if False else "attribute")
    assert trainer.last.tolist() == [2.0, 4.0, 6.0]
    made = torch.compile(trainer.log)
    with pytest.warns(UserWarning, match="cannot be compiled"):
        made(x3)
    made(x3)
    assert [t.tolist() for t in Trainer.history] == [[2.0, 4.0, 6.0]] * 2


def test_counters():
    count = 0

    def f(x):
        nonlocal count
        count += 1
        return x * count

    made = torch.compile(f)
    with pytest.warns(UserWarning, match="'count'"):
        assert made(x3)[0].item() == 1.0
    assert made(x3)[0].item() == 2.0
    assert count == 2


def test_attributes_of_modules_that_are_set():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.calls = 0

        def forward(self, x):
            self.calls += 1
            return x * self.calls

    net = Net()
    made = torch.compile(net)
    with pytest.warns(UserWarning, match="attribute"):
        assert made(x3)[0].item() == 1.0
    assert made(x3)[0].item() == 2.0
    assert net.calls == 2


def test_a_scheduler_inside():
    def run(compiled):
        w = torch.ones(2, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=0.1)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)

        def step():
            optimizer.zero_grad()
            (w * w).sum().backward()
            optimizer.step()
            scheduler.step()

        f = torch.compile(step) if compiled else step
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(3):
                f()
        return w.tolist(), optimizer.param_groups[0]["lr"]

    assert run(True) == run(False)


@pytest.mark.parametrize(
    "effect",
    [
        lambda: time.time() * 0,
        lambda: random.random() * 0,
        lambda: np.random.rand() * 0,  # noqa: NPY002
        lambda: np.random.default_rng(0).normal() * 0,
        lambda: torch.manual_seed(0) and 0,
        lambda: torch.get_rng_state().numel() * 0,
    ],
)
def test_what_differs_from_call_to_call(effect):
    made = torch.compile(lambda x: x + effect())
    with pytest.warns(UserWarning, match="cannot be compiled"):
        assert made(x3).tolist() == x3.tolist()


def test_iterators_are_not_used_up():
    batches = iter([torch.ones(1), torch.ones(1) * 2])
    made = torch.compile(lambda: next(batches) * 1)
    with pytest.warns(UserWarning, match="iterator"):
        assert made().item() == 1.0
    assert made().item() == 2.0


def test_generators():
    def f(x):
        yield x * 2

    made = torch.compile(f)
    with pytest.warns(UserWarning, match="generator"):
        assert next(made(x3)).tolist() == [2.0, 4.0, 6.0]


def test_results_that_cannot_be_built_again():
    class Box:
        def __init__(self, value):
            self.value = value

    made = torch.compile(lambda x: Box(x * 2))
    with pytest.warns(UserWarning, match="Box"):
        assert made(x3).value.tolist() == [2.0, 4.0, 6.0]


def test_disabled_functions():
    @torch.compiler.disable(reason="for a reason")
    def helper(x):
        return x * 2

    falls_back(lambda x: helper(x) + 1, x3, saying="for a reason")


def test_backward_into_a_graph_from_outside():
    w = torch.ones(3, requires_grad=True)
    y = w * 2

    def f():
        (y * y).sum().backward(retain_graph=True)

    made = torch.compile(f)
    with pytest.warns(UserWarning, match="recorded outside"):
        made()
    assert w.grad.tolist() == [8.0, 8.0, 8.0]


def test_tensors_of_other_kinds():
    made = torch.compile(lambda x: x * 2)
    with pytest.warns(UserWarning, match="cannot be compiled"):
        assert made(torch.empty(3, device="meta")).is_meta


def test_sparse_tensors():
    sparse = torch.eye(3).to_sparse()
    falls_back(lambda x: sparse @ x.reshape(3, 1), x3, saying="")


def test_memory_that_is_shared_and_written_to():
    base = torch.zeros(4)
    a, b = base[:3], base[1:]

    def f():
        a.add_(1.0)
        return b * 1

    made = torch.compile(f)
    with pytest.warns(UserWarning, match="share memory"):
        assert made().tolist() == [1.0, 1.0, 0.0]
    assert made().tolist() == [2.0, 2.0, 0.0]


def test_an_argument_that_shares_memory_with_what_is_written_to():
    state = torch.zeros(3)

    def f(x):
        state.add_(1.0)
        return state + x

    made = torch.compile(f)
    assert made(torch.zeros(3)).tolist() == [1.0, 1.0, 1.0]
    assert made(torch.zeros(3)).tolist() == [2.0, 2.0, 2.0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert made(state.view(3)).tolist() == [6.0, 6.0, 6.0]
        assert made(state).tolist() == [8.0, 8.0, 8.0]
    assert made(torch.zeros(3)).tolist() == [5.0, 5.0, 5.0]


def test_read_only_memory():
    array = np.zeros(2, np.float32)
    x = torch.from_numpy(array)
    array.flags.writeable = False
    made = torch.compile(lambda x: x.add_(1.0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises((RuntimeError, ValueError), match="read-only"):
            made(x)
    assert array.tolist() == [0.0, 0.0]


# ---- errors ----


def test_the_users_error_is_raised_and_nothing_has_changed():
    w = torch.ones(3, requires_grad=True)
    total = torch.zeros(3)
    seen = []

    def f(x):
        total.add_(x)
        seen.append(1)
        (w * x).sum().backward()
        raise KeyError("mine")

    made = torch.compile(f)
    for _ in range(2):
        with pytest.raises(KeyError, match="mine"):
            made(x3)
    assert total.tolist() == [0.0, 0.0, 0.0]
    assert total._version == 0
    assert w.grad is None
    assert seen == []


def test_errors_of_ops_are_those_of_the_op():
    total = torch.zeros(3)

    def f(x):
        total.add_(1.0)
        return total @ x

    with pytest.raises(RuntimeError) as eager:
        torch.zeros(3) @ torch.zeros(4)
    made = torch.compile(f)
    with pytest.raises(RuntimeError) as compiled:
        made(torch.zeros(4))
    assert str(compiled.value) == str(eager.value)
    assert total.tolist() == [0.0, 0.0, 0.0]


def test_an_error_after_success_with_other_shapes():
    made = torch.compile(lambda x: x + x3)
    assert made(x3).tolist() == [2.0, 4.0, 6.0]
    with pytest.raises(RuntimeError, match="must match the size"):
        made(torch.ones(2))
    assert made(x3).tolist() == [2.0, 4.0, 6.0]


def test_an_interrupt_while_tracing():
    total = torch.zeros(1)
    interrupt = [True]

    def f(x):
        total.add_(1.0)
        if interrupt[0]:
            raise KeyboardInterrupt
        return total * 1

    made = torch.compile(f)
    with pytest.raises(KeyboardInterrupt):
        made(x3)
    assert total.item() == 0.0
    assert not torch.compiler.is_compiling()
    interrupt[0] = False
    assert made(x3).item() == 1.0


def test_a_program_that_fails_leaves_the_optimizer_where_it_was():
    w = torch.ones(2, requires_grad=True)
    optimizer = torch.optim.Adam([w])

    def step():
        optimizer.zero_grad()
        (w * w).sum().backward()
        optimizer.step()

    made = torch.compile(step)
    made()
    entry = made.state.entries[0]
    before = dict(entry._names)

    def fails(*arrays):
        raise MemoryError

    entry._names.update(E=fails, R=fails)
    with pytest.raises(MemoryError):
        made()
    assert optimizer.state[w]["step"].item() == 1.0
    entry._names.update(before)
    made()
    assert optimizer.state[w]["step"].item() == 2.0


def test_arguments_of_compile():
    for wrong in ({"backend": "nonsense"}, {"mode": "nonsense"}, {"options": {"nonsense": 1}}):
        with pytest.raises(RuntimeError, match="nonsense"):
            torch.compile(lambda x: x, **wrong)
    with pytest.raises(RuntimeError, match="expected a function"):
        torch.compile(3)
    f = lambda x: x  # noqa: E731
    assert torch.compile(f, disable=True) is f
    assert torch.compile(f, backend="eager") is f
    made = torch.compile(f)
    assert torch.compile(made) is made


def test_stances():
    f = torch.compile(lambda x: x * 2)
    with torch.compiler.set_stance("force_eager"):
        f(x3)
    assert not f.state.entries
    f(x3)
    with torch.compiler.set_stance("fail_on_recompile"), pytest.raises(UntraceableError):
        f(torch.ones(2))
    assert f(torch.ones(2)).tolist() == [2.0, 2.0]


# ---- threads and memory ----


def test_threads_that_call_the_same_function():
    w = torch.zeros(64)
    count = torch.zeros((), dtype=torch.int64)

    @torch.compile
    def f(x):
        count.add_(1)
        w.add_(x)
        return (x * 2).sum()

    errors = []
    barrier = threading.Barrier(4)

    def work(k):
        try:
            barrier.wait()
            for _ in range(50):
                assert f(torch.full((64,), float(k))).item() == 128.0 * k
        except BaseException as error:  # noqa: BLE001 - told by the assertion below
            errors.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors
    assert count.item() == 200
    assert w.tolist() == [300.0] * 64
    assert len(f.state.entries) == 1


def test_another_thread_that_uses_a_tensor_being_traced_is_told():
    w = torch.ones(3)
    inside, go = threading.Event(), threading.Event()
    told = []

    def other():
        inside.wait(10)
        try:
            (w * 2).tolist()
        except RuntimeError as error:
            told.append(str(error))
        go.set()

    def f(x):
        y = w * x
        inside.set()
        go.wait(10)
        return y

    thread = threading.Thread(target=other)
    thread.start()
    made = torch.compile(f)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = made(x3)
    thread.join()
    assert result.tolist() == [1.0, 2.0, 3.0]
    assert told
    assert "being compiled" in told[0]


def test_what_a_trace_made_is_freed():
    model = nn.Linear(3, 3)
    made = torch.compile(lambda x: model(x).sum())
    loss = made(torch.ones(1, 3))
    reference = weakref.ref(loss)
    del loss
    gc.collect()
    assert reference() is None
    function = weakref.ref(made.state)
    del made
    gc.collect()
    assert function() is None


def test_the_arguments_of_the_first_call_are_freed():
    made = torch.compile(lambda x: (x * x).sum())
    x = torch.ones(1000)
    reference = weakref.ref(x)
    made(x)
    del x
    gc.collect()
    assert reference() is None


def test_a_tensor_that_goes_where_nobody_looks():
    queue = collections.deque()
    hidden = queue_module.SimpleQueue()

    def f(x):
        y = x * 2
        hidden.put(y)
        return x + 1

    made = torch.compile(f)
    with pytest.warns(UserWarning, match="kept outside"):
        made(x3)
    made(x3)
    while not hidden.empty():
        queue.append(hidden.get())
    assert [t.tolist() for t in list(queue)[-2:]] == [[2.0, 4.0, 6.0]] * 2


def test_a_fork_after_compilation():
    w = torch.ones(3)
    made = torch.compile(lambda x: w.mul_(2.0) + x)
    made(x3)
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    made.state.entries[0].lock.acquire()  # as a thread might hold it that is not in the child
    child = context.Process(
        target=lambda: answers.put((made(x3).tolist(), torch.compile(lambda x: x + 1)(x3).tolist()))
    )
    child.start()
    made.state.entries[0].lock.release()
    assert answers.get(timeout=60) == ([5.0, 6.0, 7.0], [2.0, 3.0, 4.0])
    child.join(60)
    assert w.tolist() == [2.0, 2.0, 2.0]


def test_a_step_in_another_thread_while_one_is_compiled():
    w = torch.zeros(8, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=1.0)

    @torch.compile
    def step(x):
        optimizer.zero_grad()
        (w * x).sum().backward()
        optimizer.step()

    step(torch.ones(8))
    errors = []

    def work():
        try:
            for _ in range(200):
                step(torch.ones(8))
        except BaseException as error:  # noqa: BLE001 - told by the assertion below
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    for n in range(1, 9):
        torch.compile(lambda x: (w * x).sum())(torch.ones(8) * n)
        step(torch.ones(1) * n)
    thread.join()
    assert not errors
    assert w.tolist() == [-(1.0 + 200 + 36)] * 8
