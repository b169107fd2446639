"""Saved-tensor hooks, mutation of what was saved, and checkpointing as torch has them."""

from __future__ import annotations

import warnings
from importlib import import_module

from autograd.programs import caught, same, warned


def leaf(torch, *shape):
    return torch.ones(*shape, requires_grad=True)


def checkpoints(torch):
    return import_module(f"{torch.__name__}.utils.checkpoint")


@same
def test_packs_and_unpacks(torch):
    got = []

    def pack(t):
        got.append(("pack", t.tolist(), t.requires_grad, t.is_leaf))
        return t.tolist()

    def unpack(v):
        got.append(("unpack", v))
        return torch.tensor(v)

    x = torch.tensor([1.0, 2.0], requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        y = x * x
        z = y.exp()
    z.sum().backward()
    return [got, x.grad]


@same
def test_hooks_do_not_see_what_needs_no_grad_or_saves_nothing(torch):
    got = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (got.append(t.shape), t)[1], lambda t: t):
        x = leaf(torch, 2)
        torch.ones(3) * torch.ones(3)
        x + 1
        x.view(2, 1)
        x.sum()
        x * 2
        x * torch.ones(2)
    return got


@same
def test_innermost_hooks_win(torch):
    got = []

    def hooks(name):
        return torch.autograd.graph.saved_tensors_hooks(
            lambda t: (got.append(("pack", name)), t)[1], lambda t: (got.append(("unpack", name)), t)[1]
        )

    x = leaf(torch, 2)
    with hooks("outer"):
        with hooks("inner"):
            y = x.exp()
        z = y.exp()
    z.sum().backward()
    return got


@same
def test_errors_of_hooks(torch):
    def of(pack, unpack):
        x = leaf(torch, 2)

        def run():
            with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
                y = x.exp()
            y.sum().backward()

        return caught(run)

    def fail(t):
        raise ValueError("mine")

    return [
        of(lambda t: t, lambda t: 3), of(lambda t: t.add_(1), lambda t: t), of(fail, lambda t: t),
        of(lambda t: t, fail), of(lambda t: 3, lambda v: torch.ones(2)),
    ]  # fmt: skip


@same
def test_raw_saved_hooks(torch):
    got = []
    x = leaf(torch, 2)
    y = x * x
    raw = y.grad_fn._raw_saved_self
    raw.register_hooks(lambda t: (got.append("pack"), t * 1)[1], lambda t: (got.append("unpack"), t * 10)[1])
    y.sum().backward()
    w = (x * x).grad_fn._raw_saved_self
    return [
        got,
        x.grad,
        caught(lambda: w.register_hooks(lambda t: 3))[:1],
        caught(lambda: w.register_hooks(3, 4))[:1],
    ]


@same
def test_disabled_hooks(torch):
    g = torch.autograd.graph

    def inside():
        with g.disable_saved_tensors_hooks("not here"), g.saved_tensors_hooks(lambda t: t, lambda t: t):
            pass

    def around():
        with g.saved_tensors_hooks(lambda t: t, lambda t: t), g.disable_saved_tensors_hooks("not here"):
            pass

    return [caught(inside), caught(around), caught(lambda: leaf(torch, 2).exp().sum().backward())]


@same
def test_save_on_cpu(torch):
    x = leaf(torch, 2)
    with torch.autograd.graph.save_on_cpu():
        y = x.exp() * x
    y.sum().backward()
    return x.grad


@same
def test_save_on_cpu_takes_a_copy_only_of_other_devices(torch):
    x = leaf(torch, 2)
    y = x * 1
    with torch.autograd.graph.save_on_cpu():
        z = y.sin()
    y.data.zero_()
    z.sum().backward()
    return x.grad


@same
def test_hooks_in_double_backward(torch):
    got = []
    x = torch.tensor(2.0, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (got.append("pack"), t)[1], lambda t: t):
        y = x**3
        (g,) = torch.autograd.grad(y, x, create_graph=True)
    (h,) = torch.autograd.grad(g, x)
    return [len(got) > 1, h]


@same
def test_hooks_and_custom_functions(torch):
    got = []

    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x * x
            ctx.save_for_backward(x, y)
            return y

        @staticmethod
        def backward(ctx, g):
            x, _ = ctx.saved_tensors
            return 2 * x * g

    x = leaf(torch, 2)
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: (got.append("pack"), t)[1], lambda t: (got.append("unpack"), t)[1]
    ):
        y = F.apply(x)
    y.sum().backward()
    return [got, x.grad]


@same
def test_modified_after_packing_is_the_hooks_business(torch):
    x = leaf(torch, 2)
    y = x * 1
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.clone(), lambda t: t):
        z = (y * y).sum()
    y.add_(5)
    z.backward()
    return x.grad


@same
def test_mutation_allowed(torch):
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    with torch.autograd.graph.allow_mutation_on_saved_tensors():
        y = x * 1
        z = y.sin()
        y.mul_(2)
        w = y.exp()
        y[0] = 7
        w.add_(1)
        (z.sum() + w.sum() + (y * y).sum()).backward()
    return x.grad


@same
def test_mutation_allowed_of_bases_views_and_detached(torch):
    x = torch.arange(4.0).requires_grad_()
    with torch.autograd.graph.allow_mutation_on_saved_tensors():
        y = x * 1
        v = y[:2]
        z = v * v
        y.add_(1)
        u = y * y
        y.detach().zero_()
        t = y.sin()
        y.view(2, 2)[0].fill_(3)
        (z.sum() + u.sum() + t.sum()).backward()
    return [x.grad, y]


@same
def test_mutation_allowed_without_grad_and_of_leaves(torch):
    x = leaf(torch, 3)
    with torch.autograd.graph.allow_mutation_on_saved_tensors():
        y = (x * x * x).sum()
        with torch.no_grad():
            x.mul_(10)
        y.backward()
    return [x.grad, x.detach().clone()]


@same
def test_mutation_allowed_ends_with_its_context(torch):
    x = leaf(torch, 3)

    def after():
        with torch.autograd.graph.allow_mutation_on_saved_tensors():
            y = x * 1
            z = (y * y).sum()
            y.add_(1)
        z.backward()

    def nested():
        allow = torch.autograd.graph.allow_mutation_on_saved_tensors
        with allow(), allow():
            pass

    def later():
        with torch.autograd.graph.allow_mutation_on_saved_tensors():
            y = x * 1
            z = (y * y).sum()
        y.add_(1)
        z.backward()

    return [caught(after), caught(nested), caught(later)]


@same
def test_mutation_allowed_in_custom_functions_and_double_backward(torch):
    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 3 * x * x * g

    x = torch.tensor([1.0, 2.0], requires_grad=True)
    with torch.autograd.graph.allow_mutation_on_saved_tensors():
        y = x * 1
        z = F.apply(y)
        y.zero_()
        (g,) = torch.autograd.grad(z.sum(), x, create_graph=True)
        return [g]


# ---- checkpointing ----


@same
def test_checkpoint_counts_runs(torch):
    def of(**how):
        runs = []

        def f(x):
            runs.append(torch.is_grad_enabled())
            return (x.sin() * x).exp()

        x = torch.tensor([0.5, 1.0], requires_grad=True)
        y = checkpoints(torch).checkpoint(f, x, **how)
        y.sum().backward()
        return [runs, x.grad, y.grad_fn]

    return [of(use_reentrant=False), of(use_reentrant=True), of(use_reentrant=False, early_stop=False)]


@same
def test_checkpoint_warnings(torch):
    def f(x):
        return x.sin()

    return [
        warned(lambda: checkpoints(torch).checkpoint(f, leaf(torch, 2))),
        warned(lambda: checkpoints(torch).checkpoint(f, torch.ones(2), use_reentrant=True)),
        warned(lambda: checkpoints(torch).checkpoint_sequential([f, f], 2, leaf(torch, 2))),
    ]


@same
def test_checkpoint_errors(torch):
    c = checkpoints(torch)
    x = leaf(torch, 2)
    y = c.checkpoint(lambda t: t.sin(), x, use_reentrant=True).sum()
    return [
        caught(lambda: torch.autograd.grad(y, x)),
        caught(lambda: c.checkpoint(lambda t, a=1: t, x, use_reentrant=True, a=3)),
        caught(lambda: c.checkpoint(lambda t: t, x, use_reentrant=True, debug=True)),
        caught(lambda: c.checkpoint(lambda t: t, x, use_reentrant=False, determinism_check="x")),
        caught(lambda: c.checkpoint_sequential([], 1, x, use_reentrant=False, wrong=1)),
    ]


@same
def test_checkpoint_that_saves_something_else(torch):
    c = checkpoints(torch)

    def of(f, **how):
        state = {"again": False}
        x = leaf(torch, 2)
        y = c.checkpoint(lambda t: f(t, state), x, use_reentrant=False, **how).sum()
        state["again"] = True
        return caught(y.backward).text.partition("compile")[0].partition("Tip")[0]

    return [
        of(lambda t, s: t.sin() if s["again"] else t.sin().exp()),
        of(lambda t, s: t.sin() if not s["again"] else torch.cat([t, t]).sin()),
        of(lambda t, s: t.sin() if not s["again"] else t.double().sin()),
        of(lambda t, s: t.sin().exp() if s["again"] else t.sin(), early_stop=False),
    ]


@same
def test_checkpoint_repeats_random_numbers(torch):
    def of(reentrant, preserve):
        seen = []

        def f(x):
            mask = torch.rand(3)
            seen.append(mask)
            return x * mask

        torch.manual_seed(0)
        x = leaf(torch, 3)
        y = checkpoints(torch).checkpoint(f, x, use_reentrant=reentrant, preserve_rng_state=preserve)
        torch.rand(5)
        y.sum().backward()
        return [x.grad, bool((seen[0] == seen[1]).all()), torch.rand(1)]

    return [of(r, p) for r in (True, False) for p in (True, False)]


@same
def test_checkpoint_keyword_and_other_arguments(torch):
    def f(x, n, *, scale, other=None):
        return x.sin() * n * scale + (0 if other is None else other["a"])

    x, a = leaf(torch, 2), leaf(torch, 2)
    y = checkpoints(torch).checkpoint(f, x, 3, scale=2.0, other={"a": a}, use_reentrant=False)
    y.sum().backward()
    return [x.grad, a.grad]


@same
def test_nested_checkpoints(torch):
    c = checkpoints(torch)
    runs = []

    def inner(x):
        runs.append("inner")
        return x.sin().exp()

    def outer(x):
        runs.append("outer")
        y = c.checkpoint(inner, x * 2, use_reentrant=False)
        return c.checkpoint(inner, y * 3, use_reentrant=False).cos()

    x = leaf(torch, 2)
    c.checkpoint(outer, x, use_reentrant=False).sum().backward()
    return [runs, x.grad]


@same
def test_nested_reentrant_checkpoints(torch):
    c = checkpoints(torch)

    def inner(x):
        return x.sin().exp()

    def outer(x):
        return c.checkpoint(inner, c.checkpoint(inner, x, use_reentrant=True), use_reentrant=True)

    x = leaf(torch, 2)
    c.checkpoint(outer, x, use_reentrant=True).sum().backward()
    return x.grad


@same
def test_checkpoint_twice_with_retained_graph(torch):
    runs = []

    def f(x):
        runs.append(1)
        return x.sin().exp()

    x = leaf(torch, 2)
    y = checkpoints(torch).checkpoint(f, x, use_reentrant=False).sum()
    y.backward(retain_graph=True)
    y.backward()
    return [len(runs), x.grad, caught(y.backward)]


@same
def test_checkpoint_and_double_backward(torch):
    x = torch.tensor([0.5, 1.0], requires_grad=True)
    y = checkpoints(torch).checkpoint(lambda t: t.sin() * t, x, use_reentrant=False).sum()
    (g,) = torch.autograd.grad(y, x, create_graph=True)
    return [g, torch.autograd.grad(g.sum(), x)]


@same
def test_checkpoint_of_part_of_the_outputs(torch):
    def f(x, y):
        return x.sin(), y.exp() * x, 5

    x, y = leaf(torch, 2), leaf(torch, 2)
    a, b, n = checkpoints(torch).checkpoint(f, x, y, use_reentrant=False)
    b.sum().backward()
    c, d, _ = checkpoints(torch).checkpoint(f, x, y, use_reentrant=True)
    (c.sum() + d.sum()).backward()
    return [x.grad, y.grad, n, a.requires_grad]


@same
def test_checkpoint_sequential(torch):
    runs = []

    def step(k):
        def f(x):
            runs.append(k)
            return (x * k).sin()

        return f

    def of(n, segments, reentrant):
        runs.clear()
        x = torch.tensor([0.5, 1.0], requires_grad=True)
        y = checkpoints(torch).checkpoint_sequential(
            [step(k) for k in range(1, n + 1)], segments, x, use_reentrant=reentrant
        )
        y.sum().backward()
        return [list(runs), x.grad]

    model = torch.nn.Sequential(torch.nn.Tanh(), torch.nn.Tanh(), torch.nn.Tanh())
    x = leaf(torch, 2)
    checkpoints(torch).checkpoint_sequential(model, 2, x, use_reentrant=False).sum().backward()
    return [of(5, 2, False), of(5, 2, True), of(4, 4, False), of(3, 1, False), x.grad]


@same
def test_checkpoint_contexts(torch):
    from contextlib import contextmanager

    got = []

    @contextmanager
    def noted(name):
        got.append(f"enter {name}")
        yield
        got.append(f"exit {name}")

    def contexts():
        return noted("first"), noted("second")

    x = leaf(torch, 2)
    y = checkpoints(torch).checkpoint(lambda t: t.sin().exp(), x, use_reentrant=False, context_fn=contexts)
    y.sum().backward()
    return [got, x.grad]


@same
def test_early_stop_switch(torch):
    c = checkpoints(torch)
    runs = []

    def f(x):
        y = x.sin()
        runs.append("saved")
        y = y * 2
        runs.append("end")
        return y

    x = leaf(torch, 2)
    c.checkpoint(f, x, use_reentrant=False).sum().backward()
    with c.set_checkpoint_early_stop(False):
        z = c.checkpoint(f, x, use_reentrant=False).sum()
    z.backward()
    return [runs, x.grad]


@same
def test_checkpoint_without_gradients(torch):
    c = checkpoints(torch)
    with torch.no_grad():
        a = c.checkpoint(lambda t: t.sin(), leaf(torch, 2), use_reentrant=False)
    b = c.checkpoint(lambda t: t.sin(), torch.ones(2), use_reentrant=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        d = c.checkpoint(lambda t: t.sin(), torch.ones(2), use_reentrant=True)
    return [a.requires_grad, b.requires_grad, d.requires_grad]


@same
def test_checkpoint_with_parameters_of_a_closure(torch):
    w = torch.tensor([2.0, 3.0], requires_grad=True)

    def f(x):
        return (x * w).sin()

    x = leaf(torch, 2)
    checkpoints(torch).checkpoint(f, x, use_reentrant=False).sum().backward()
    first = [x.grad.clone(), w.grad.clone()]
    checkpoints(torch).checkpoint(f, x, use_reentrant=True).sum().backward()
    checkpoints(torch).checkpoint(f, torch.ones(2), use_reentrant=False).sum().backward()
    return [first, x.grad, w.grad]


@same
def test_checkpoint_policies(torch):
    c = checkpoints(torch)
    return [
        [p.name for p in c.CheckpointPolicy], [p.value for p in c.CheckpointPolicy],
        issubclass(c.CheckpointError, RuntimeError), isinstance(c.SAC_IGNORED_OPS, set),
        len(c.noop_context_fn()),
    ]  # fmt: skip


@same
def test_selective_checkpoint_with_a_list_and_a_policy(torch):
    c = checkpoints(torch)
    ops = torch.ops.aten

    def f(x):
        return (x.sin().exp() @ x).cos()

    def of(policy, **more):
        x = torch.tensor([[0.5, 1.0], [1.5, 2.0]], requires_grad=True)
        y = c.checkpoint(
            f, x, use_reentrant=False,
            context_fn=lambda: c.create_selective_checkpoint_contexts(policy, **more),
        )  # fmt: skip
        y.sum().backward()
        return x.grad

    seen = []

    def policy(ctx, op, *args, **kwargs):
        seen.append((ctx.is_recompute, op == ops.mm.default))
        return c.CheckpointPolicy.MUST_SAVE if op == ops.mm.default else c.CheckpointPolicy.PREFER_RECOMPUTE

    grads = [of([ops.mm.default]), of([]), of(policy), of([ops.sin.default, ops.mm.default])]
    return [grads, [s for s in seen if s[1]]]


@same
def test_selective_checkpoint_twice_or_mutated(torch):
    c = checkpoints(torch)
    sin = [torch.ops.aten.sin.default]

    def run(f, **more):
        return c.checkpoint(
            f, leaf(torch, 2), use_reentrant=False,
            context_fn=lambda: c.create_selective_checkpoint_contexts(sin, **more),
        )  # fmt: skip

    def mutating(x):
        y = x.sin()
        z = y * 1
        y.add_(1)
        return (z * y).sum()

    y = run(lambda x: x.sin().exp().sum())
    y.backward(retain_graph=True)
    return [
        caught(y.backward), caught(lambda: run(mutating).backward()),
        caught(lambda: run(mutating, allow_cache_entry_mutation=True).backward()),
    ]  # fmt: skip


@same
def test_selective_checkpoint_refuses(torch):
    c = checkpoints(torch)
    return [
        caught(lambda: c.create_selective_checkpoint_contexts([3])),
        caught(lambda: c.create_selective_checkpoint_contexts(3)),
        caught(lambda: c.create_selective_checkpoint_contexts([torch.ops.aten.mm])),
    ]
