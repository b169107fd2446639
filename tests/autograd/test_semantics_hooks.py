"""Hooks as torch has them: order, replacement, removal, what they are given, and at which value they stay."""

from __future__ import annotations

import gc
import weakref

from autograd.programs import caught, same


@same
def test_everything_at_a_leaf_in_order(torch):
    x = torch.ones(3, requires_grad=True)
    order = []
    x.register_hook(lambda g: order.append("tensor 1"))
    x.register_post_accumulate_grad_hook(lambda t: order.append(("post accumulate", t.grad.tolist())))
    node = x.view_as(x).grad_fn.next_functions[0][0]
    node.register_prehook(lambda g: order.append("pre"))
    node.register_hook(lambda gi, go: order.append(("post", len(gi), len(go))))
    x.register_hook(lambda g: order.append("tensor 2"))
    (x * 2).sum().backward()
    return order


@same
def test_everything_at_a_result_in_order(torch):
    x = torch.ones(3, requires_grad=True)
    y = x * 2
    order = []
    y.register_hook(lambda g: order.append("tensor 1"))
    y.grad_fn.register_prehook(lambda g: order.append("pre 1"))
    y.retain_grad()
    y.grad_fn.register_hook(lambda gi, go: order.append("post"))
    y.register_hook(lambda g: order.append("tensor 2"))
    y.grad_fn.register_prehook(lambda g: order.append("pre 2"))
    y.sum().backward()
    return [order, y.grad]


@same
def test_pre_hook_replaces_what_the_node_gets_but_not_the_retained_gradient(torch):
    x = torch.ones(3, requires_grad=True)
    y = x * 2
    y.retain_grad()
    y.grad_fn.register_prehook(lambda g: (g[0] * 10,))
    y.sum().backward()
    return [x.grad, y.grad]


@same
def test_retained_gradient_is_what_tensor_hooks_left_even_those_registered_later(torch):
    x = torch.ones(3, requires_grad=True)
    y = x * 2
    y.retain_grad()
    y.register_hook(lambda g: g * 3)
    y.retain_grad()
    y.register_hook(lambda g: g * 5)
    y.sum().backward()
    return [x.grad, y.grad, y.retains_grad]


@same
def test_each_tensor_hook_sees_the_answer_of_the_one_before(torch):
    x = torch.ones(2, requires_grad=True)
    got = []
    x.register_hook(lambda g: (got.append(g.tolist()), g * 2)[1])
    x.register_hook(lambda g: got.append(g.tolist()))
    x.register_hook(lambda g: (got.append(g.tolist()), g + 1)[1])
    x.sum().backward()
    return [got, x.grad]


@same
def test_a_removed_hook_leaves_the_others(torch):
    x = torch.ones(2, requires_grad=True)
    order = []
    first = x.register_hook(lambda g: order.append(1))
    x.register_hook(lambda g: order.append(2))
    first.remove()
    first.remove()
    x.sum().backward()
    with x.register_hook(lambda g: order.append(3)):
        x.sum().backward()
    x.sum().backward()
    return order


@same
def test_a_hook_that_removes_itself_runs_once(torch):
    x = torch.ones(2, requires_grad=True)
    order = []

    def hook(g):
        order.append(1)
        handle.remove()

    handle = x.register_hook(hook)
    x.register_hook(lambda g: order.append(2))
    x.sum().backward()
    x.sum().backward()
    return order


@same
def test_hook_on_what_needs_no_gradient(torch):
    return [
        caught(lambda: torch.ones(2).register_hook(print)),
        caught(lambda: torch.ones(2).register_post_accumulate_grad_hook(print)),
        caught(lambda: torch.ones(2).retain_grad()),
        caught(lambda: (torch.ones(2, requires_grad=True) * 2).register_post_accumulate_grad_hook(print)),
    ]


@same
def test_hook_answers_of_the_wrong_kind(torch):
    def of(answer):
        x = torch.ones(2, requires_grad=True)
        y = x * 2
        y.register_hook(lambda g: answer)
        return caught(lambda: y.sum().backward())

    def node(answer):
        y = torch.ones(2, requires_grad=True) * 2
        y.grad_fn.register_hook(lambda gi, go: answer)
        return caught(lambda: y.sum().backward())

    return [of(torch.ones(3)), of(3.0), node((torch.ones(2),)), node((torch.ones(3), None))]


@same
def test_post_accumulate_hook_that_answers(torch):
    x = torch.ones(2, requires_grad=True)
    x.register_post_accumulate_grad_hook(lambda t: t)
    return caught(lambda: x.sum().backward())


@same
def test_hook_that_raises_leaves_the_leaf_alone(torch):
    x = torch.ones(2, requires_grad=True)

    def fail(g):
        raise ValueError("mine")

    x.register_hook(fail)
    return [caught(lambda: x.sum().backward()), x.grad]


@same
def test_hooks_before_an_in_place_write_stay_with_the_old_value(torch):
    x = torch.ones(2, requires_grad=True)
    y = x * 2
    got = []
    y.register_hook(lambda g: got.append(("before", g.tolist())))
    y.mul_(3)
    y.register_hook(lambda g: got.append(("after", g.tolist())))
    (y * 5).sum().backward()
    return [got, x.grad]


@same
def test_retain_grad_before_an_in_place_write_moves_to_the_new_value(torch):
    x = torch.ones(2, requires_grad=True)
    y = x * 2
    y.retain_grad()
    y.mul_(3)
    (y * 5).sum().backward()
    return [y.grad, x.grad, y.retains_grad]


@same
def test_retain_grad_before_and_after_an_in_place_write(torch):
    x = torch.ones(2, requires_grad=True)
    y = x * 2
    y.retain_grad()
    y.mul_(3)
    y.retain_grad()
    y.mul_(7)
    (y * 5).sum().backward()
    return [y.grad, x.grad]


@same
def test_retain_grad_of_a_base_written_through_a_view(torch):
    x = torch.ones(2, requires_grad=True)
    y = x * 2
    y.retain_grad()
    y[0].mul_(3)
    (y * 5).sum().backward()
    return [y.grad, x.grad]


@same
def test_hook_of_a_base_written_through_a_view(torch):
    x = torch.ones(2, requires_grad=True)
    y = x * 2
    got = []
    y.register_hook(lambda g: got.append(g.tolist()))
    y[0].mul_(3)
    y.register_hook(lambda g: got.append(g.tolist()))
    (y * 5).sum().backward()
    return got


@same
def test_retain_grad_of_a_leaf_does_nothing(torch):
    x = torch.ones(2, requires_grad=True)
    x.retain_grad()
    before = x.retains_grad
    x.sum().backward()
    return [before, x.grad]


@same
def test_leaf_hook_outlives_a_data_swap(torch):
    x = torch.ones(2, requires_grad=True)
    got = []
    x.register_hook(lambda g: got.append(g.tolist()))
    x.data = torch.ones(3)
    (x * 2).sum().backward()
    return [got, x.grad]


@same
def test_leaf_hook_sees_the_sum_of_contributions_once(torch):
    x = torch.ones(2, requires_grad=True)
    got = []
    x.register_hook(lambda g: got.append(g.tolist()))
    (x * 2 + x * 3).sum().backward()
    (x * 2 + x * 3).sum().backward()
    return [got, x.grad]


@same
def test_hooks_run_for_captured_gradients(torch):
    x = torch.ones(2, requires_grad=True)
    y = x * 2
    x.register_hook(lambda g: g * 10)
    y.register_hook(lambda g: g * 100)
    y.grad_fn.register_prehook(lambda g: (g[0] * 1000,))
    return [torch.autograd.grad(y.sum(), y, retain_graph=True), torch.autograd.grad(y.sum(), x)]


@same
def test_post_accumulate_hook_does_not_run_for_captured_gradients(torch):
    x = torch.ones(2, requires_grad=True)
    ran = []
    x.register_post_accumulate_grad_hook(lambda t: ran.append(t.grad.tolist()))
    torch.autograd.grad((x * 2).sum(), x)
    (x * 2).sum().backward(inputs=[x])
    return [ran, x.grad]


@same
def test_post_accumulate_hook_may_step_and_clear(torch):
    x = torch.ones(2, requires_grad=True)

    def step(t):
        with torch.no_grad():
            t -= 0.5 * t.grad
        t.grad = None

    x.register_post_accumulate_grad_hook(step)
    (x * x).sum().backward()
    return [x.detach().clone(), x.grad]


@same
def test_node_hooks_of_a_node_with_several_results(torch):
    x = torch.arange(6.0).reshape(2, 3).requires_grad_()
    a, b = x.unbind(0)
    got = []
    a.grad_fn.register_prehook(lambda g: got.append([None if t is None else t.tolist() for t in g]))
    a.grad_fn.register_hook(
        lambda gi, go: got.append([[t.tolist() for t in gi], [None if t is None else t.tolist() for t in go]])
    )
    b.sum().backward(retain_graph=True)
    a.register_hook(lambda g: g * 2)
    (a + b).sum().backward()
    return [got, x.grad]


@same
def test_tensor_hook_of_one_result_among_several(torch):
    x = torch.arange(6.0).reshape(2, 3).requires_grad_()
    values, _ = x.max(1)
    parts = x.split(1)
    values.register_hook(lambda g: g * 2)
    parts[1].register_hook(lambda g: g * 10)
    (values.sum() + parts[0].sum() + parts[1].sum()).backward()
    return x.grad


@same
def test_hook_gets_a_tensor_with_history_when_the_graph_is_recorded(torch):
    x = torch.tensor(2.0, requires_grad=True)
    got = []
    y = x * x
    y.register_hook(lambda g: got.append((g.requires_grad, torch.is_grad_enabled())))
    x.register_hook(lambda g: (got.append((g.requires_grad, torch.is_grad_enabled())), g * x)[1])
    (g,) = torch.autograd.grad(y**2, x, create_graph=True)
    (second,) = torch.autograd.grad(g, x)
    return [got, g, second]


@same
def test_grad_mode_inside_hooks(torch):
    x = torch.tensor(2.0, requires_grad=True)
    got = []
    y = x * x
    y.register_hook(lambda g: got.append(torch.is_grad_enabled()))
    y.grad_fn.register_hook(lambda a, b: got.append(torch.is_grad_enabled()))
    y.grad_fn.register_prehook(lambda a: got.append(torch.is_grad_enabled()))
    x.register_post_accumulate_grad_hook(lambda t: got.append(torch.is_grad_enabled()))
    y.backward()
    return got


@same
def test_hook_that_writes_in_place_changes_what_goes_on(torch):
    x = torch.ones(2, requires_grad=True)
    y = x * 2
    y.register_hook(lambda g: (g.mul_(10), None)[1])
    (y * torch.tensor([3.0, 4.0])).sum().backward()
    return x.grad


@same
def test_hooks_on_a_detached_handle_or_a_view(torch):
    x = torch.ones(4, requires_grad=True)
    y = x * 2
    got = []
    v = y[:2]
    v.register_hook(lambda g: got.append(("view", g.tolist())))
    y.register_hook(lambda g: got.append(("base", g.tolist())))
    (v.sum() + y.sum()).backward()
    return got


@same
def test_multi_grad_hook_all(torch):
    a, b, c = (torch.ones(2, requires_grad=True) for _ in range(3))
    d = a * b
    got = []
    handle = torch.autograd.graph.register_multi_grad_hook(
        (a, b, c, d), lambda gs: got.append([None if g is None else g.tolist() for g in gs])
    )
    (d * 2).sum().backward(retain_graph=True)
    (d * c).sum().backward(retain_graph=True)
    c.sum().backward()
    handle.remove()
    c.sum().backward()
    return got


@same
def test_multi_grad_hook_any(torch):
    a, b = (torch.ones(2, requires_grad=True) for _ in range(2))
    got = []
    handle = torch.autograd.graph.register_multi_grad_hook(
        (a, b), lambda g: got.append(g.tolist()), mode="any"
    )
    (a * 2 + b * 3).sum().backward()
    (b * 5).sum().backward()
    handle.remove()
    (b * 5).sum().backward()
    return [
        len(got),
        got[1],
        caught(lambda: torch.autograd.graph.register_multi_grad_hook((a,), print, mode="x")),
    ]


@same
def test_multi_grad_hook_within_captures(torch):
    x, y = (torch.ones(2, requires_grad=True) for _ in range(2))
    a, b = x * 2, y * 3
    got = []
    torch.autograd.graph.register_multi_grad_hook(
        (a, b), lambda gs: got.append([None if g is None else g.tolist() for g in gs])
    )
    torch.autograd.grad((a * b).sum(), [x, y], retain_graph=True)
    torch.autograd.grad((a * b).sum(), [x])
    return got


@same
def test_hooks_hold_their_closure_no_longer_than_the_graph(torch):
    class Payload:
        pass

    x = torch.ones(2, requires_grad=True)
    y = x * 2
    payload = Payload()
    alive = weakref.ref(payload)
    y.register_hook(lambda g, p=payload: None)
    del payload
    before = alive() is not None
    del y
    gc.collect()
    return [before, alive() is None]


@same
def test_node_metadata_and_identity(torch):
    x = torch.ones(2, requires_grad=True)
    y = x * 2
    y.grad_fn.metadata["mine"] = 1
    return [y.grad_fn.metadata, y.grad_fn is y.grad_fn, y.grad_fn.name(), x.grad_fn, x.output_nr]


@same
def test_prehook_of_the_root(torch):
    x = torch.ones(2, requires_grad=True)
    y = (x * 2).sum()
    y.grad_fn.register_prehook(lambda g: (g[0] * 5,))
    y.register_hook(lambda g: g + 1)
    y.backward()
    return x.grad


@same
def test_prehook_of_an_accumulator(torch):
    x = torch.ones(2, requires_grad=True)
    node = x.view_as(x).grad_fn.next_functions[0][0]
    node.register_prehook(lambda g: (g[0] * 5,))
    (x * 2).sum().backward()
    (captured,) = torch.autograd.grad((x * 2).sum(), x)
    return [x.grad, captured, node.variable is x, node]


@same
def test_hook_on_a_tensor_that_became_a_result(torch):
    x = torch.ones(2, requires_grad=True)
    y = torch.zeros(2)
    y.add_(x)
    got = []
    y.register_hook(lambda g: got.append(g.tolist()))
    (y * 3).sum().backward()
    return [got, x.grad, y.grad_fn]
