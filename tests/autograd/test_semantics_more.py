"""Corners of autograd as torch has them, in which several features meet."""

from __future__ import annotations

import gc
import pickle
import weakref

from autograd.programs import caught, same, warned


def leaf(torch, *shape):
    return torch.ones(*shape, requires_grad=True)


@same
def test_hooks_on_results_of_a_multi_output_op_written_in_place(torch):
    x = leaf(torch, 4)
    y = x * 1
    values, _ = y.sort()
    got = []
    values.register_hook(lambda g: got.append(("old", g.tolist())))
    values.mul_(2)
    values.register_hook(lambda g: got.append(("new", g.tolist())))
    values.retain_grad()
    values.sum().backward()
    return [got, values.grad, x.grad]


@same
def test_hooks_of_a_view_written_in_place(torch):
    x = leaf(torch, 4)
    base = x * 1
    view = base[:2]
    got = []
    base.register_hook(lambda g: got.append(("base old", g.tolist())))
    view.mul_(2)
    base.register_hook(lambda g: got.append(("base new", g.tolist())))
    view.register_hook(lambda g: got.append(("view new", g.tolist())))
    (base.sum() + view.sum()).backward()
    return [sorted(got), x.grad]


@same
def test_prehooks_of_a_node_see_what_tensor_hooks_left(torch):
    x = leaf(torch, 2)
    y = x * 2
    got = []
    y.grad_fn.register_prehook(lambda gs: got.append(gs[0].tolist()))
    y.register_hook(lambda g: g * 10)
    y.sum().backward()
    return [got, x.grad]


@same
def test_posthook_of_an_accumulator_sees_what_tensor_hooks_left(torch):
    x = leaf(torch, 2)
    got = []
    node = x.view_as(x).grad_fn.next_functions[0][0]
    node.register_hook(lambda gi, go: got.append([len(gi), go[0].tolist()]))
    x.register_hook(lambda g: g * 10)
    (x * 2).sum().backward()
    return [got, x.grad]


@same
def test_a_hook_that_drops_its_tensor(torch):
    x = leaf(torch, 2)
    y = x * 2
    alive = weakref.ref(y)
    y.register_hook(lambda g: g * 3)
    z = y.sum()
    del y
    gc.collect()
    z.backward()
    return [alive() is None, x.grad]


@same
def test_retain_grad_dies_with_its_tensor(torch):
    x = leaf(torch, 2)
    y = x * 2
    y.retain_grad()
    z = y.sum()
    del y
    z.backward()
    return x.grad


@same
def test_ops_inside_backward_do_not_disturb_it(torch):
    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.exp()

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            with torch.enable_grad():
                y = x.detach().requires_grad_()
                (h,) = torch.autograd.grad(y.exp().sum(), y)
            return g * h

    x = leaf(torch, 2)
    F.apply(F.apply(x)).sum().backward()
    return x.grad


@same
def test_function_that_returns_a_leaf_or_a_fresh_tensor(torch):
    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            return x, y, x + y

        @staticmethod
        def backward(ctx, a, b, c):
            return a + c * 10, b + c * 100

    x, y = leaf(torch, 2), leaf(torch, 2)
    a, b, c = F.apply(x, y)
    (a + 2 * b + c).sum().backward()
    return [x.grad, y.grad, a.is_leaf, a.grad_fn is b.grad_fn, [t.output_nr for t in (a, b, c)]]


@same
def test_function_that_marks_dirty_and_returns_another(torch):
    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            x.mul_(2)
            ctx.mark_dirty(x)
            return x, y * 3

        @staticmethod
        def backward(ctx, a, b):
            return a * 2, b * 3

    x, y = leaf(torch, 2), leaf(torch, 2)
    z = x * 1
    a, b = F.apply(z, y)
    (a + b).sum().backward()
    return [a is z, z.grad_fn is b.grad_fn, x.grad, y.grad, z.output_nr, b.output_nr]


@same
def test_dirty_input_saved_before_is_caught(torch):
    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            x.mul_(2)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 2

    x = leaf(torch, 2)
    y = x * 1
    z = (y * y).sum()
    F.apply(y)
    return caught(z.backward)


@same
def test_naughty_function_keeps_its_context(torch):
    kept = []

    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            kept.append(ctx)
            ctx.save_for_backward(x)
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

    x = leaf(torch, 2)
    y = F.apply(x)
    inside = kept[0].saved_tensors
    y.sum().backward()
    return [inside, caught(lambda: kept[0].saved_tensors), kept[0] is y.grad_fn]


@same
def test_function_with_several_calls_shares_nothing(torch):
    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, k):
            ctx.k = k
            return x * k

        @staticmethod
        def backward(ctx, g):
            return g * ctx.k, None

    x = leaf(torch, 2)
    (F.apply(x, 2) + F.apply(x, 3) * F.apply(x, 5)).sum().backward()
    return x.grad


@same
def test_function_that_returns_nothing_differentiable(torch):
    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x > 0
            ctx.mark_non_differentiable(y)
            return y

        @staticmethod
        def backward(ctx, g):
            return None

    y = F.apply(leaf(torch, 2))
    return [y.requires_grad, y.grad_fn, y]


@same
def test_function_of_no_tensor(torch):
    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, n):
            return torch.ones(2) * n

        @staticmethod
        def backward(ctx, g):
            return None

    return [F.apply(3), F.apply(3).requires_grad]


@same
def test_function_with_new_style_and_views(torch):
    class Part(torch.autograd.Function):
        @staticmethod
        def forward(x):
            return x[1:]

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.n = inputs[0].shape[0]

        @staticmethod
        def backward(ctx, g):
            out = torch.zeros(ctx.n)
            out[1:] = g
            return out

    x = leaf(torch, 3)
    y = Part.apply(x * 2)
    y.sum().backward()
    return [x.grad, y._is_view(), caught(lambda: y.add_(1))]


@same
def test_once_differentiable_with_several(torch):
    from importlib import import_module

    once = import_module(f"{torch.__name__}.autograd.function").once_differentiable

    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            ctx.save_for_backward(x, y)
            return x * y

        @staticmethod
        @once
        def backward(ctx, g):
            _, y = ctx.saved_tensors
            return g * y, None

    x, y = leaf(torch, 2), leaf(torch, 2)
    found = torch.autograd.grad(F.apply(x, y).sum(), [x, y], create_graph=True, allow_unused=True)
    return [found[0].requires_grad, found[0].grad_fn is not None, found[1]]


@same
def test_isolated_nodes_and_disconnected_inputs(torch):
    x, y = leaf(torch, 2), leaf(torch, 2)
    z = x + y
    with torch.no_grad():
        w = z * 2
    q = (z.detach() * x).sum()
    return [w.requires_grad, torch.autograd.grad(q, [x, y], allow_unused=True), (z.sum() * 0).requires_grad]


@same
def test_returning_and_reusing_leaves(torch):
    x = leaf(torch, 2)
    y = x.view_as(x)
    z = x.expand_as(x)
    same_tensor = x.to(torch.float32)
    w = x.float().contiguous()
    (y + z + w).sum().backward()
    return [x.grad, same_tensor is x, w is x, y is x, x.requires_grad_() is x, x.cpu() is x]


@same
def test_type_conversions_carry_gradients(torch):
    x = torch.ones(2, dtype=torch.float32, requires_grad=True)
    y = x.double().to(torch.float16).float().to(torch.complex64)
    (y * (1 + 1j)).real.sum().backward()
    ints = caught(lambda: x.long().requires_grad_())
    return [x.grad, y.dtype == torch.complex64, ints, x.long().requires_grad, x.bool().grad_fn]


@same
def test_in_place_on_a_view_with_saved_output(torch):
    x = leaf(torch, 4)
    y = x * 1
    v = y[1:3]
    v.sigmoid_()
    z = y.exp()
    error = caught(lambda: y.exp_().sum().backward())
    return [error.kind, x.grad, y, z]


@same
def test_in_place_on_views_of_views_in_turn(torch):
    x = leaf(torch, 6)
    y = x * 1
    a = y.view(2, 3)
    b = a[0]
    c = a[:, 1]
    b.mul_(2)
    c.mul_(3)
    y[5].add_(x[0])
    a[1, 2] = x[1] * x[2]
    (y * torch.arange(6.0)).sum().backward()
    return [x.grad, y, [t.grad_fn for t in (a, b, c, y)]]


@same
def test_in_place_with_itself_as_operand(torch):
    x = leaf(torch, 3)
    y = x * 2
    y.mul_(y)
    y.add_(y)
    error = caught(lambda: y[1:].mul_(y[1:]).sum().backward())
    return [error if error == "nothing" else error.kind, x.grad, y]


@same
def test_in_place_of_broadcast_source(torch):
    x = leaf(torch, 3)
    s = torch.tensor(2.0, requires_grad=True)
    y = torch.zeros(2, 3)
    y.add_(x)
    y.mul_(s)
    y[0] = s
    y[:, 1] = x[0]
    y.sum().backward()
    return [x.grad, s.grad, y]


@same
def test_in_place_on_a_non_contiguous_base(torch):
    x = leaf(torch, 3, 4)
    y = (x * 1).t()
    z = y[1:3]
    z[:, 0].mul_(5)
    y.diagonal().fill_(7)
    (y * torch.arange(12.0).reshape(4, 3)).sum().backward()
    return [x.grad, y]


@same
def test_in_place_on_an_expanded_or_strided_view(torch):
    y = leaf(torch, 4) * 1
    z = y.as_strided((2, 2), (2, 1))
    z[0].mul_(3)
    (g,) = torch.autograd.grad(y.sum(), y.grad_fn and y, retain_graph=True)
    return [y, z, g, caught(lambda: y[:1].expand(3).mul_(2))]


@same
def test_masked_and_indexed_writes_into_views(torch):
    x = leaf(torch, 6)
    y = x * 1
    v = y.view(2, 3)
    v[v > 0] = 5.0
    v.masked_fill_(torch.tensor([[True, False, False], [False, False, True]]), 2.0)
    v[[0, 1], [1, 1]] = x[:2] * 3
    y.index_fill_(0, torch.tensor([0]), 9.0)
    y.scatter_(0, torch.tensor([3]), x[4:5] * 2)
    (y * torch.arange(6.0)).sum().backward()
    return [x.grad, y]


@same
def test_detach_then_write(torch):
    x = leaf(torch, 3)
    y = x * 2
    z = y.sin()
    d = y.detach()
    d.mul_(0)
    return [caught(lambda: z.sum().backward()), y, d.requires_grad, d._version == y._version]


@same
def test_detach_of_views(torch):
    x = leaf(torch, 4)
    y = x * 2
    v = y[:2].detach()
    v.fill_(7)
    w = v.view(2, 1)
    return [y, v._is_view(), w._is_view(), w._base is v, y._version, v._version]


@same
def test_no_grad_view_of_leaf_written_without_grad_then_used(torch):
    x = leaf(torch, 3)
    with torch.no_grad():
        x[0] = 5
        x[1:].mul_(3)
        x.view(3, 1).add_(1)
    (x * x).sum().backward()
    return [x.detach().clone(), x.grad, x.is_leaf, x._version]


@same
def test_swap_of_data_and_grad(torch):
    a, b = leaf(torch, 2), torch.full((2,), 5.0, requires_grad=True)
    a.data, b.data = b.data, a.data
    (a * 2 + b * 3).sum().backward()
    a.grad, b.grad = b.grad, a.grad
    return [a.detach().clone(), b.detach().clone(), a.grad, b.grad]


@same
def test_grad_of_leaf_changes_requires_grad(torch):
    x = leaf(torch, 2)
    (x * 2).sum().backward()
    x.requires_grad_(False)
    kept = x.grad
    y = x * 3
    x.requires_grad_()
    (x * 5).sum().backward()
    return [kept, y.requires_grad, x.grad]


@same
def test_gradient_as_a_parameter_of_another_graph(torch):
    x = leaf(torch, 2)
    (x**3).sum().backward(create_graph=True)
    g = x.grad
    x.grad = None
    (g * x).sum().backward()
    return [g, x.grad]


@same
def test_accumulating_recorded_into_plain_gradients(torch):
    x = torch.tensor(2.0, requires_grad=True)
    (x**2).backward()
    (x**3).backward(create_graph=True)
    first = x.grad
    (second,) = torch.autograd.grad(first, x)
    return [first, second]


@same
def test_pickling_results_and_parameters(torch):
    x = leaf(torch, 2)
    y = x * 2
    p = torch.nn.Parameter(torch.ones(2))
    (p * 3).sum().backward()
    q = pickle.loads(pickle.dumps(p))
    return [type(q).__name__, q.requires_grad, q.grad, q, pickle.loads(pickle.dumps(x.detach())), y.detach()]


@same
def test_sequence_numbers_order_nodes(torch):
    x = leaf(torch, 2)
    a = x * 2
    b = x * 3
    order = []
    a.register_hook(lambda g: order.append("a"))
    b.register_hook(lambda g: order.append("b"))
    (b + a).sum().backward()
    c, d = x.exp(), x.sin()
    c.register_hook(lambda g: order.append("c"))
    d.register_hook(lambda g: order.append("d"))
    (c * d).sum().backward()
    return [order, b.grad_fn._sequence_nr() > a.grad_fn._sequence_nr()]


@same
def test_branches_joined_in_all_ways(torch):
    x = leaf(torch, 3)
    a = x.sum()
    b = (x * 2).prod()
    c = torch.stack([a, b]).max()
    d = torch.cat([x, x * 3]).mean()
    e = torch.where(x > 0, x * a, x * b).sum()
    (c + d + e).backward()
    return x.grad


@same
def test_gradients_of_indices_and_repeats(torch):
    x = torch.arange(4.0).requires_grad_()
    y = x[[0, 0, 3]] * torch.tensor([1.0, 10, 100])
    z = x.gather(0, torch.tensor([1, 1, 1])).sum() + x.index_select(0, torch.tensor([2, 2])).sum()
    (y.sum() + z + x.repeat(2).sum() + x.unfold(0, 2, 1).sum()).backward()
    return x.grad


@same
def test_complex_backward(torch):
    z = torch.tensor([1 + 2j, 3 - 1j], requires_grad=True)
    (z * z.conj()).real.sum().backward()
    first = z.grad.clone()
    z.grad = None
    (z**2).real.sum().backward()
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    (z.detach() * w).imag.sum().backward()
    return [first, z.grad, w.grad, caught(lambda: (z * 2).sum().backward()), (z * 2).conj().grad_fn]


@same
def test_subgradients(torch):
    def of(f, *values):
        x = torch.tensor(values, requires_grad=True)
        f(x).sum().backward()
        return x.grad

    return [
        of(lambda x: x.abs(), 0.0, -1.0), of(lambda x: x.relu(), 0.0, 1.0), of(lambda x: x.max(), 1.0, 1.0),
        of(lambda x: x.max(0).values, 1.0, 1.0), of(lambda x: x.clamp(0, 1), 0.0, 1.0, 2.0),
        of(lambda x: x.norm(), 0.0, 0.0), of(lambda x: x.prod(), 0.0, 2.0, 3.0), of(lambda x: x.sign(), 2.0),
        of(lambda x: x.std(), 1.0, 1.0), of(lambda x: x.sqrt(), 0.0, 4.0),
        of(lambda x: x.median(), 1.0, 3.0, 2.0),
        of(lambda x: torch.maximum(x, x.detach()), 1.0), of(lambda x: x.sort().values[0], 2.0, 1.0),
        of(lambda x: x.floor(), 1.5), of(lambda x: x % 2, 3.5),
        of(lambda x: torch.where(x > 0, x, 0.0), 0.0, 1.0),
        of(lambda x: x.topk(1).values, 1.0, 3.0), of(lambda x: x.cumprod(0), 0.0, 2.0),
        of(lambda x: x.amax(), 2.0, 2.0),
    ]  # fmt: skip


@same
def test_accumulation_into_a_shared_parameter_by_modules(torch):
    torch.manual_seed(0)
    linear = torch.nn.Linear(2, 2)
    x = torch.ones(1, 2)
    linear(linear(x)).sum().backward()
    return [linear.weight.grad, linear.bias.grad]


@same
def test_module_backward_hooks(torch):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
    got = []
    for i, layer in enumerate(net):
        layer.register_full_backward_hook(
            lambda m, gi, go, i=i: got.append((i, [None if g is None else tuple(g.shape) for g in gi]))
        )
        layer.register_full_backward_pre_hook(lambda m, go, i=i: got.append((i, "pre", tuple(go[0].shape))))
    net(torch.ones(4, 2)).sum().backward()
    first = list(got)
    got.clear()
    net(torch.ones(4, 2, requires_grad=True)).sum().backward()
    return [first, got]


@same
def test_module_backward_hook_that_replaces(torch):
    layer = torch.nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    layer.register_full_backward_hook(lambda m, gi, go: (gi[0] * 100,))
    layer.register_full_backward_pre_hook(lambda m, go: (go[0] * 10,))
    x = leaf(torch, 1, 2)
    layer(x).sum().backward()
    return [x.grad, layer.weight.grad]


@same
def test_autograd_of_random_masks_and_dropout(torch):
    torch.manual_seed(0)
    x = leaf(torch, 8)
    y = torch.nn.functional.dropout(x, 0.5)
    y.sum().backward()
    return [(x.grad == y.detach()).all(), torch.nn.functional.dropout(x, 0.5, training=False) is x]


@same
def test_warnings_of_leaf_like_access(torch):
    x = leaf(torch, 2)
    return [
        [w.kind for w in warned(lambda: torch.tensor(x))], [w.kind for w in warned(lambda: x.new_tensor(x))],
        [w.kind for w in warned(lambda: (x * 2).grad)], [w.kind for w in warned(lambda: x.grad)],
    ]  # fmt: skip


@same
def test_set_of_flags_on_views_and_results(torch):
    x = leaf(torch, 2)
    y = x * 2
    v = y[:1]
    return [
        caught(lambda: setattr(y, "requires_grad", False)), caught(lambda: v.requires_grad_(False)),
        caught(lambda: setattr(x, "grad_fn", None)), caught(lambda: setattr(x, "is_leaf", False)),
        caught(lambda: setattr(y, "requires_grad", True)), y.retains_grad, x.retains_grad,
        y.grad_fn is not None,
    ]  # fmt: skip


@same
def test_anomaly_mode_passes_good_graphs(torch):
    x = leaf(torch, 2)

    def run():
        with torch.autograd.detect_anomaly():
            (x.exp() * 2).sum().backward()

    kinds = [w.kind for w in warned(run)]
    return [kinds, x.grad]


@same
def test_anomaly_in_double_backward(torch):
    x = torch.tensor([0.0, 1.0], requires_grad=True)

    def run():
        with torch.autograd.set_detect_anomaly(True):
            (g,) = torch.autograd.grad(x.pow(1.5).sum(), x, create_graph=True)
            (g * torch.tensor([0.0, 1.0])).sum().backward()

    errors = []
    warned(lambda: errors.append(caught(run)))
    return errors


@same
def test_unbroadcast_of_all_kinds(torch):
    a, b = leaf(torch, 3, 1), leaf(torch, 1, 4)
    c, d = leaf(torch, 2, 1, 1), torch.tensor(2.0, requires_grad=True)
    ((a + b) * c / d - a * d).sum().backward()
    return [a.grad, b.grad, c.grad, d.grad]


@same
def test_grad_with_tuples_lists_and_generators(torch):
    x, y = leaf(torch, 2), leaf(torch, 2)
    z = (x * y).sum()
    grad = torch.autograd.grad
    return [
        grad((z, z), (x, y), retain_graph=True), grad([z], [x], [torch.tensor(2.0)], retain_graph=True),
        grad(z, x, None, retain_graph=True), grad([z, (x * 2)], x, [None, torch.ones(2)], retain_graph=True),
        type(grad(z, [x], retain_graph=True)).__name__, caught(lambda: grad([z, z], [x], [None])),
    ]  # fmt: skip


@same
def test_backward_through_many_small_pieces(torch):
    x = leaf(torch, 1)
    y = x
    for _ in range(3000):
        y = y * 1.0001 + 0.0
    y.backward()
    parts = torch.stack([x * k for k in range(100)]).sum()
    (g,) = torch.autograd.grad(parts, x)
    return [x.grad, g]


@same
def test_in_place_updates_of_running_statistics(torch):
    torch.manual_seed(0)
    bn = torch.nn.BatchNorm1d(2)
    x = torch.randn(4, 2, requires_grad=True)
    y = bn(x)
    before = bn.running_mean.clone()
    bn(x)
    y.sum().backward()
    return [bool((before != bn.running_mean).any()), x.grad.abs().max() < 1e-5, bn.num_batches_tracked]
