"""backward and grad as torch has them: what may be asked for, edges, batches, re-entrance, threads."""

from __future__ import annotations

import threading

from autograd.programs import caught, same, warned


def leaf(torch, *shape):
    return torch.ones(*shape, requires_grad=True)


@same
def test_roots_and_their_cotangents(torch):
    x = leaf(torch, 3)
    y = x * 2
    return [
        caught(y.backward),
        caught(lambda: torch.ones(3).sum().backward()),
        caught(lambda: y.backward(torch.ones(2))),
        caught(lambda: torch.autograd.backward([y, y], [torch.ones(3)])),
        caught(lambda: torch.autograd.backward([y], [1.0])),
        caught(lambda: y.backward(torch.ones(3, dtype=torch.complex64))),
        caught(lambda: (x * 1j).sum().backward()),
        caught(lambda: y.backward(inputs=[])),
        caught(lambda: torch.autograd.backward([])),
        caught(lambda: torch.autograd.grad([], x)),
        caught(lambda: torch.autograd.backward(3)),
        caught(lambda: y.backward(torch.ones(3, dtype=torch.float64))),
        caught(lambda: torch.autograd.backward((y.sum(), y.sum()), (None, None))),
        caught(lambda: torch.autograd.backward(y)),
        x.grad,
    ]


@same
def test_what_grad_refuses(torch):
    x, z = leaf(torch, 3), leaf(torch, 3)
    y = (x * 2).sum()
    grad = torch.autograd.grad
    return [
        caught(lambda: grad(y, torch.ones(3))),
        caught(lambda: grad(y, z)),
        caught(lambda: grad(y, [])),
        caught(lambda: grad(y, x, allow_unused=False, materialize_grads=True)),
        grad(y, [x, z], allow_unused=True, retain_graph=True),
        grad(y, [x, z], materialize_grads=True, retain_graph=True),
        caught(lambda: grad(x * 2, x)),
        grad(y, {"a": x}, retain_graph=True),
        grad([y, y], [x], retain_graph=True),
        grad(x, x, torch.ones(3)),
        caught(lambda: grad(y, x * 2)),
        grad(y, y, retain_graph=True),
        caught(lambda: grad(torch.ones(3).sum(), x)),
    ]


@same
def test_freed_graphs(torch):
    x = leaf(torch, 3)

    def twice(f):
        y = f(x).sum()
        y.backward()
        return caught(y.backward)

    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    return [
        twice(lambda x: x + 1), twice(lambda x: x * 2), twice(lambda x: x * x), twice(lambda x: x.exp()),
        twice(lambda x: x.view(3)), twice(lambda x: x[1:]), twice(lambda x: x.clone()), caught(y.backward),
    ]  # fmt: skip


@same
def test_part_of_a_freed_graph(torch):
    x = leaf(torch, 3)
    h = x.exp()
    a, b = (h * 2).sum(), (h + 1).sum()
    a.backward()
    return [caught(b.backward), x.grad]


@same
def test_inputs_of_backward(torch):
    x, z = leaf(torch, 3), leaf(torch, 3)
    y = x * 2
    out = (y * z).sum()
    out.backward(inputs=[y], retain_graph=True)
    first = [y.grad, x.grad, z.grad]
    out.backward(inputs=x, retain_graph=True)
    out.backward(inputs=[x, x], retain_graph=True)
    second = [x.grad, z.grad]
    w = leaf(torch, 2)
    return [first, second, caught(lambda: out.backward(inputs=[w])), w.grad,
            caught(lambda: out.backward(inputs=[torch.ones(2)]))]  # fmt: skip


@same
def test_create_graph_warns_and_records(torch):
    x = torch.tensor(2.0, requires_grad=True)
    found = warned(lambda: (x**3).backward(create_graph=True))
    first = x.grad
    (second,) = torch.autograd.grad(first, x)
    return [len(found), first, first.grad_fn is not None, second]


@same
def test_gradient_edges(torch):
    x = leaf(torch, 3)
    y = x * 2
    a, b = torch.stack([y, y]).unbind(0)
    edge = torch.autograd.graph.get_gradient_edge
    out = (y * 3).sum()
    e, f, g = edge(y), edge(b), edge(x)
    return [
        e.node, e.output_nr, f.node, f.output_nr, g.node, g.output_nr,
        torch.autograd.grad(out, e, retain_graph=True),
        torch.autograd.grad(out, [g, e], retain_graph=True),
        torch.autograd.grad(edge(out), x, torch.ones(()), retain_graph=True),
        caught(lambda: torch.autograd.grad(edge(out), x, retain_graph=True)),
        torch.autograd.grad((a + 2 * b).sum(), [f, edge(a)], retain_graph=True),
        torch.autograd.grad(e, x, torch.ones(3), retain_graph=True),
        caught(lambda: edge(torch.ones(3))),
        caught(lambda: torch.autograd.grad(out, [e], materialize_grads=True, retain_graph=True)),
    ]  # fmt: skip


@same
def test_gradient_edges_of_backward(torch):
    x, z = leaf(torch, 3), leaf(torch, 3)
    y = x * 2
    edge = torch.autograd.graph.get_gradient_edge
    out = (y * z).sum()
    torch.autograd.backward(edge(out), torch.ones(()), retain_graph=True)
    torch.autograd.backward(out, inputs=[edge(x)], retain_graph=True)
    torch.autograd.backward([edge(y), z], [torch.ones(3), torch.ones(3) * 5], retain_graph=True)
    return [x.grad, z.grad, caught(lambda: torch.autograd.backward(out, inputs=[edge(y)]))]


@same
def test_batched_cotangents(torch):
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x * x
    eye = torch.eye(3)
    (g,) = torch.autograd.grad(y, x, eye, is_grads_batched=True, retain_graph=True, create_graph=True)
    (h,) = torch.autograd.grad(g.sum(), x, retain_graph=True)
    z = leaf(torch, 2)
    unused = torch.autograd.grad(y, [x, z], eye, is_grads_batched=True, allow_unused=True, retain_graph=True)
    return [
        g,
        h,
        unused,
        caught(lambda: torch.autograd.grad(y, x, torch.ones(2, 2), is_grads_batched=True))[:1],
    ]


@same
def test_batched_cotangents_run_hooks_once(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    count = []
    y = x * x
    y.register_hook(lambda g: count.append(g.shape))
    torch.autograd.grad(y, x, torch.eye(2), is_grads_batched=True)
    return count


@same
def test_backward_inside_a_hook(torch):
    x, z = leaf(torch, 2), leaf(torch, 2)
    w = (z * 3).sum()
    y = x * 2
    y.register_hook(lambda g: w.backward(retain_graph=True))
    y.sum().backward()
    y2 = x * 4
    y2.register_hook(lambda g: y2.grad_fn and w.backward())
    y2.sum().backward()
    return [x.grad, z.grad]


@same
def test_backward_of_the_same_graph_inside_a_hook(torch):
    x = leaf(torch, 2)
    y = x * 2
    total = (y * 3).sum()
    done = []

    def hook(g):
        if not done:
            done.append(1)
            total.backward(retain_graph=True)

    y.register_hook(hook)
    total.backward(retain_graph=True)
    return [x.grad, len(done)]


@same
def test_deep_reentrance(torch):
    class Nested(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, depth):
            ctx.depth = depth
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            if ctx.depth:
                with torch.enable_grad():
                    y = torch.ones(1, requires_grad=True)
                    Nested.apply(y, ctx.depth - 1).backward()
                return y.grad * g, None
            return g * 2, None

    x = torch.ones(1, requires_grad=True)
    Nested.apply(x, 60).backward()
    return x.grad


@same
def test_recording_inside_backward(torch):
    x = leaf(torch, 2)
    got = []

    def hook(g):
        with torch.enable_grad():
            y = (x * g).sum()
            got.append(y.requires_grad)
            got.append(torch.autograd.grad(y, x)[0].tolist())

    (x * 3).register_hook(hook)
    z = x * 3
    z.register_hook(hook)
    z.sum().backward()
    return got


@same
def test_threads_each_with_their_graph(torch):
    x = leaf(torch, 100)
    errors = []

    def work(k):
        try:
            for _ in range(5):
                y = leaf(torch, 100)
                (y * k).sum().backward()
                assert y.grad[0].item() == k
        except Exception as error:  # noqa: BLE001 - looked at below
            errors.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    return [errors, x.grad]


@same
def test_grad_mode_per_thread(torch):
    got = []
    with torch.no_grad():
        t = threading.Thread(target=lambda: got.append(torch.is_grad_enabled()))
        t.start()
        t.join()
    return got


@same
def test_zero_dim_and_empty(torch):
    x = torch.ones(0, requires_grad=True)
    x.sum().backward()
    y = torch.tensor(2.0, requires_grad=True)
    y.backward()
    z = torch.ones(1, 1, requires_grad=True)
    (z * 3).backward()
    return [x.grad, y.grad, z.grad, caught(lambda: (x * 2).backward())]


@same
def test_node_surface(torch):
    x = leaf(torch, 3)
    y = x * torch.ones(3)
    n = y.grad_fn
    s = y.sum().grad_fn
    return [
        [[f, i] for f, i in n.next_functions], [[f, i] for f, i in s.next_functions], n.name(),
        n.requires_grad,
        n._saved_other, n._saved_self, caught(lambda: n.nothing), isinstance(n, torch.autograd.graph.Node),
        n._saved_self, n._raw_saved_other.data, n._raw_saved_self.data, s._sequence_nr() > n._sequence_nr(),
        type(n).__name__,
    ]  # fmt: skip


@same
def test_saved_attributes_after_free(torch):
    x = leaf(torch, 3)
    y = x * x
    n = y.grad_fn
    y.sum().backward()
    return [caught(lambda: n._saved_self)]


@same
def test_next_functions_of_several_kinds(torch):
    x = torch.ones(2, 2, requires_grad=True)
    w = torch.ones(2)
    cases = [
        torch.cat([x, w[None], x]), torch.stack([x, x]), x @ w, torch.addmm(x, x, x),
        torch.where(x > 0, x, x),
        x.split(1)[1] * 2, x.max(0).values, x.topk(1).values,
    ]  # fmt: skip
    return [[c.grad_fn, [[f, i] for f, i in c.grad_fn.next_functions]] for c in cases]


@same
def test_unused_results_of_several(torch):
    x = torch.arange(6.0).reshape(2, 3).requires_grad_()
    values, indices = x.max(1)
    _, s, _ = torch.linalg.svd(x, full_matrices=False)
    s.sum().backward()
    return [values.requires_grad, indices.requires_grad, x.grad, indices.grad_fn]


@same
def test_accumulation_order_and_sharing(torch):
    x = leaf(torch, 2)
    y = x * 1
    outs = [y * k for k in range(1, 5)]
    g = torch.ones(2)
    torch.autograd.backward(outs, [g] * 4)
    z = leaf(torch, 2)
    (z + z).backward(g)
    return [x.grad, z.grad, g]


@same
def test_dtype_of_gradients_after_promotion(torch):
    x = torch.ones(2, dtype=torch.float32, requires_grad=True)
    y = torch.ones(2, dtype=torch.float64, requires_grad=True)
    h = torch.ones(2, dtype=torch.bfloat16, requires_grad=True)
    (x * y * h).sum().backward()
    return [x.grad, y.grad, h.grad]


@same
def test_grad_of_non_leaf_warns(torch):
    y = leaf(torch, 2) * 2
    return [warned(lambda: y.grad), warned(lambda: torch.ones(2).grad)]


@same
def test_scalar_conversion_warns_or_refuses(torch):
    x = leaf(torch, 1)
    return [
        [w.kind for w in warned(lambda: float(x))], caught(lambda: x.numpy()),
        caught(lambda: (x * 2).numpy()),
        caught(lambda: bool(torch.ones(3))), caught(lambda: torch.ones(3).item()), x.item(), x.tolist(),
    ]  # fmt: skip


@same
def test_anomaly_names_the_function(torch):
    x = torch.tensor([0.0, 1.0], requires_grad=True)

    def run():
        with torch.autograd.detect_anomaly():
            (x.sqrt() * 0).sum().backward()

    errors = []
    found = warned(lambda: errors.append(caught(run)))
    return [errors, [w.kind for w in found], found[0].text, found[1].text.split(".")[0]]


@same
def test_capture_of_an_intermediate_stops_there(torch):
    class Fail(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            raise RuntimeError("must not run")

    x = leaf(torch, 2)
    y = Fail.apply(x)
    return [torch.autograd.grad((y * 3).sum(), y), caught(lambda: torch.autograd.grad((y * 3).sum(), x))]


@same
def test_higher_order_with_unused(torch):
    x = torch.tensor(2.0, requires_grad=True)
    (g,) = torch.autograd.grad(3 * x, x, create_graph=True)
    return [g, g.requires_grad, caught(lambda: torch.autograd.grad(g, x))]


@same
def test_retain_grad_with_inputs(torch):
    x = leaf(torch, 2)
    y = x * 2
    y.retain_grad()
    (y * 3).sum().backward(inputs=[x])
    return [y.grad, x.grad]


@same
def test_grad_of_a_view_and_its_base(torch):
    x = leaf(torch, 4)
    v = x[:2]
    return [torch.autograd.grad((v * 2).sum(), x), torch.autograd.grad((x * 2)[:2].sum(), x),
            caught(lambda: torch.autograd.grad((x * 2).sum(), v))]  # fmt: skip


@same
def test_variables_keep_version_and_identity_through_backward(torch):
    x = leaf(torch, 2)
    version = x._version
    (x * 2).sum().backward()
    return [x._version == version, x.grad.requires_grad, x.grad.is_leaf, x.grad.grad_fn]


@same
def test_retained_graph_with_hooks_and_create_graph_through_inputs(torch):
    x = torch.tensor(2.0, requires_grad=True)
    y = x**3
    y.backward(inputs=[x], create_graph=True)
    (second,) = torch.autograd.grad(x.grad, x)
    return [x.grad, second]


@same
def test_queue_callback(torch):
    got = []
    x = leaf(torch, 2)
    engine = torch.autograd.Variable._execution_engine

    def hook(g):
        engine.queue_callback(lambda: got.append(x.grad.tolist()))

    x.register_hook(hook)
    (x * 2).sum().backward()
    return [got, caught(lambda: engine.queue_callback(lambda: None))]
