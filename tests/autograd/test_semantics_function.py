"""Custom Functions as torch has them, in every corner."""

from __future__ import annotations

import warnings

from autograd.programs import caught, same, warned


def leaf(torch, *shape):
    return torch.ones(*shape, requires_grad=True)


@same
def test_flags_seen_in_forward_and_backward(torch):
    got = []

    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, n, y=None):
            got.append(("forward", ctx.needs_input_grad, torch.is_grad_enabled(), x.requires_grad))
            ctx.n = n
            return x * n

        @staticmethod
        def backward(ctx, g):
            got.append(("backward", ctx.needs_input_grad, torch.is_grad_enabled(), ctx.n))
            return g * ctx.n, None, None

    x = leaf(torch, 2)
    out = F.apply(x, 3, torch.ones(2))
    out.sum().backward()
    F.apply(torch.ones(2), 3)
    with torch.no_grad():
        F.apply(x, 3)
    return [got, x.grad, out.grad_fn, out.grad_fn.name(), F.__name__]


@same
def test_double_backward_through_saved_input_and_output(torch):
    class Exp(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(x, y)
            return y

        @staticmethod
        def backward(ctx, g):
            _, y = ctx.saved_tensors
            return g * y

    x = torch.tensor([0.5, 1.0], requires_grad=True)
    (g,) = torch.autograd.grad(Exp.apply(x).sum(), x, create_graph=True)
    (h,) = torch.autograd.grad(g.sum(), x, create_graph=True)
    (third,) = torch.autograd.grad(h.sum(), x)
    return [g, h, third]


@same
def test_double_backward_through_a_saved_intermediate_is_wrong_in_both(torch):
    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            e = x.exp()
            ctx.save_for_backward(e)
            return e * 2

        @staticmethod
        def backward(ctx, g):
            (e,) = ctx.saved_tensors
            return g * e * 2

    x = torch.tensor([0.5, 1.0], requires_grad=True)
    (g,) = torch.autograd.grad(F.apply(x).sum(), x, create_graph=True)
    return [g, caught(lambda: torch.autograd.grad(g.sum(), x))]


@same
def test_mark_dirty(torch):
    class Inc(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            x.add_(1)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 10

    x = leaf(torch, 2)
    y = x * 2
    z = Inc.apply(y)
    (z * 3).sum().backward()
    plain = torch.zeros(2)
    same_object = Inc.apply(plain) is plain
    base = leaf(torch, 4) * 1
    view = base[:2]
    Inc.apply(view)
    return [z is y, y.grad_fn, x.grad, y._version, same_object, plain, plain._version,
            caught(lambda: Inc.apply(leaf(torch, 2))), base.grad_fn, view.grad_fn, base]  # fmt: skip


@same
def test_mark_dirty_not_returned_or_unchanged(torch):
    class Bad(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            x.add_(1)
            ctx.mark_dirty(x)
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            return g

    return caught(lambda: Bad.apply(leaf(torch, 2) * 1))


@same
def test_mark_non_differentiable(torch):
    got = []

    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            a, b = x * 2, x > 0
            c = x * 3
            ctx.mark_non_differentiable(b, c)
            return a, b, c

        @staticmethod
        def backward(ctx, ga, gb, gc):
            got.append([ga.tolist(), gb.tolist(), str(gb.dtype).split(".")[-1], gc.tolist()])
            return ga * 2

    x = leaf(torch, 2)
    a, b, c = F.apply(x)
    a.sum().backward()
    return [got, a.requires_grad, b.requires_grad, c.requires_grad, b.grad_fn, c.grad_fn, a.output_nr]


@same
def test_integer_outputs_are_not_differentiable(torch):
    got = []

    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.long(), x * 2

        @staticmethod
        def backward(ctx, gi, g):
            got.append([None if gi is None else (str(gi.dtype).split(".")[-1], gi.tolist()), g.tolist()])
            return g * 2

    i, y = F.apply(leaf(torch, 2))
    y.sum().backward()
    return [got, i.requires_grad, y.requires_grad, i.grad_fn]


@same
def test_materialize_grads(torch):
    def of(on):
        got = []

        class F(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.set_materialize_grads(on)
                return x * 2, x * 3

            @staticmethod
            def backward(ctx, a, b):
                got.append([None if g is None else g.tolist() for g in (a, b)])
                return a * 2 if a is not None else None

        x = leaf(torch, 2)
        a, b = F.apply(x)
        a.sum().backward(retain_graph=True)
        b.sum().backward()
        return [got, x.grad]

    return [of(True), of(False)]


@same
def test_backward_of_a_function_whose_consumer_gives_none(torch):
    got = []

    class Nothing(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            return None

    class Seen(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            got.append(None if g is None else g.tolist())
            return g * 2

    class Raw(Seen):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return x * 2

        @staticmethod
        def backward(ctx, g):
            got.append(g)

    x = leaf(torch, 2)
    Nothing.apply(Seen.apply(x)).sum().backward()
    z = leaf(torch, 2)
    Nothing.apply(Raw.apply(z)).sum().backward()
    w = leaf(torch, 2)
    Nothing.apply(w * 2).sum().backward()
    return [got, x.grad, z.grad, w.grad]


@same
def test_hooks_see_none(torch):
    got = []

    class Nothing(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            return None

    x = leaf(torch, 2)
    y = x * 2
    x.register_hook(lambda g: got.append(("leaf", g)))
    y.register_hook(lambda g: got.append(("result", g)))
    y.grad_fn.register_prehook(lambda g: got.append(("pre", g)))
    y.grad_fn.register_hook(lambda a, b: got.append(("post", a, b)))
    x.register_post_accumulate_grad_hook(lambda t: got.append("post accumulate"))
    Nothing.apply(y).sum().backward()
    return got


@same
def test_wrong_returns_of_backward(torch):
    def of(answer, n=None):
        class F1(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x, y):
                return x + y

            @staticmethod
            def backward(ctx, g):
                return answer

        y = torch.ones(3, requires_grad=True) if n is None else n
        return caught(lambda: F1.apply(leaf(torch, 3), y).sum().backward())

    one = torch.ones(3)
    return [
        of(one), of((one, one, one)), of((one, one, None)), of((torch.ones(2), one)), of((3.0, one)),
        of((one, one), 2.0), of((one, None), 2.0), of((torch.ones(2, 3), one)), of((torch.ones(()), one)),
        of((torch.ones(1), one)), of(None), of([one, one]), of((one.double(), one)),
    ]  # fmt: skip


@same
def test_gradient_in_another_dtype_is_cast(torch):
    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return g.double() * 2

    x = leaf(torch, 2)
    F.apply(x).sum().backward()
    return x.grad


@same
def test_missing_methods(torch):
    class NoForward(torch.autograd.Function):
        pass

    class NoBackward(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

    class Both(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return g

        @staticmethod
        def vjp(ctx, g):
            return g

    x = leaf(torch, 2)
    return [
        caught(lambda: NoForward.apply(x)),
        caught(lambda: NoBackward.apply(x).sum().backward()),
        caught(lambda: Both.apply(x).sum().backward()),
    ]


@same
def test_legacy_use(torch):
    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return g

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = F()
    return [caught(lambda: made(leaf(torch, 2))), len(warned(F))]


@same
def test_vjp_instead_of_backward(torch):
    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 3

        @staticmethod
        def vjp(ctx, g):
            return g * 3

    x = leaf(torch, 2)
    F.apply(x).sum().backward()
    return x.grad


@same
def test_setup_context(torch):
    class F(torch.autograd.Function):
        @staticmethod
        def forward(x, n):
            return x**n, x * 2

        @staticmethod
        def setup_context(ctx, inputs, output):
            x, ctx.n = inputs
            ctx.save_for_backward(x)
            ctx.lengths = [len(inputs), len(output)]

        @staticmethod
        def backward(ctx, g, h):
            (x,) = ctx.saved_tensors
            return g * ctx.n * x ** (ctx.n - 1) + 2 * h, None

    x = torch.tensor([1.0, 2.0], requires_grad=True)
    a, b = F.apply(x, 3)
    (a + b).sum().backward()
    return [x.grad, a.grad_fn.lengths, a.output_nr, b.output_nr, a.grad_fn is b.grad_fn]


@same
def test_returning_an_input_as_it_is(torch):
    class Same(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 7

    x = leaf(torch, 2)
    y = Same.apply(x)
    y.sum().backward()
    plain = torch.ones(2)
    z = Same.apply(plain)
    return [y is x, y._is_view(), y._base is x, y.grad_fn, x.grad, caught(lambda: y.add_(1)), z is plain,
            z._is_view(), z.requires_grad]  # fmt: skip


@same
def test_returning_a_view_of_an_input(torch):
    class Part(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x[:2]

        @staticmethod
        def backward(ctx, g):
            return torch.cat([g, g]) * 7

    x = leaf(torch, 4)
    y = x * 1
    v = Part.apply(y)
    error = caught(lambda: v.add_(1))
    v.sum().backward()
    return [v._is_view(), v._base is y, v.grad_fn, x.grad, error]


@same
def test_two_views_returned(torch):
    class Parts(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x[:2], x[2:]

        @staticmethod
        def backward(ctx, a, b):
            return torch.cat([a, b])

    y = leaf(torch, 4) * 1
    a, b = Parts.apply(y)
    return [a._is_view(), b.output_nr, caught(lambda: a.add_(1)), a.grad_fn]


@same
def test_non_tensor_outputs_and_structures(torch):
    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, s):
            return x * 2, s, None, 5

        @staticmethod
        def backward(ctx, g, *rest):
            ctx.seen = rest
            return g * 2, None

    class Single(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return (x * 2,)

        @staticmethod
        def backward(ctx, g):
            return g * 2

    x = leaf(torch, 2)
    out = F.apply(x, "text")
    out[0].sum().backward()
    single = Single.apply(x)
    return [out[1:], len(out), x.grad, type(out).__name__, type(single).__name__, len(single)]


@same
def test_output_that_needs_no_grad(torch):
    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g

    plain = torch.ones(2)
    out = F.apply(plain)
    with torch.no_grad():
        quiet = F.apply(leaf(torch, 2))
    return [out.requires_grad, out.grad_fn, quiet.requires_grad, quiet.grad_fn]


@same
def test_once_differentiable(torch):
    from importlib import import_module

    once = import_module(f"{torch.__name__}.autograd.function").once_differentiable

    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @once
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 2 * x * g

    x = torch.tensor(3.0, requires_grad=True)
    (g,) = torch.autograd.grad(F.apply(x), x, create_graph=True)
    (again,) = torch.autograd.grad(F.apply(x), x)
    return [g, g.requires_grad, caught(g.backward), again]


@same
def test_saved_tensors_are_checked_and_freed(torch):
    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 2 * x * g

    x = leaf(torch, 2)
    y = x * 1
    z = F.apply(y)
    y.add_(1)
    modified = caught(lambda: z.sum().backward())
    w = F.apply(x)
    w.sum().backward()
    twice = caught(lambda: w.sum().backward())
    u = F.apply(x)
    node = u.grad_fn
    inside = node.saved_tensors
    u.sum().backward()
    return [modified, twice, inside, caught(lambda: node.saved_tensors)]


@same
def test_saved_for_backward_kinds(torch):
    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(None, x, None)
            return x * 2

        @staticmethod
        def backward(ctx, g):
            a, x, b = ctx.saved_tensors
            return g * (2 if a is None and b is None else 0) + 0 * x

    class Bad(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x, 2)
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g

    x = leaf(torch, 2)
    F.apply(x).sum().backward()
    return [x.grad, caught(lambda: Bad.apply(x))]


@same
def test_saved_input_comes_back_as_the_same_leaf(torch):
    got = []

    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            out = x * y
            ctx.save_for_backward(x, y, out)
            return out

        @staticmethod
        def backward(ctx, g):
            x, y, out = ctx.saved_tensors
            got.append([x.is_leaf, y.is_leaf, y.requires_grad, out.requires_grad, out.grad_fn is ctx])
            return g * y, g * x

    x = leaf(torch, 2)
    y = x * 2
    F.apply(x, y).sum().backward()
    return [got, x.grad]


@same
def test_attributes_of_the_context_live_on_the_node(torch):
    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.payload = "kept"
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

    y = F.apply(leaf(torch, 2))
    node = y.grad_fn
    return [node.payload, node.name(), type(node).__name__, node.needs_input_grad, len(node.next_functions),
            node.next_functions[0][0].name(), isinstance(node, torch.autograd.graph.Node)]  # fmt: skip


@same
def test_recursion_in_backward(torch):
    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * 3

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            with torch.enable_grad():
                y = x.detach().requires_grad_()
                (y * 3).sum().backward()
            return g * y.grad

    x = leaf(torch, 2)
    F.apply(x * 2).sum().backward()
    return x.grad


@same
def test_forward_mode_of_a_function(torch):
    import importlib

    fwad = importlib.import_module(f"{torch.__name__}.autograd.forward_ad")

    class Mul(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, y, n):
            ctx.save_for_forward(x, y)
            ctx.n = n
            return x * y * n

        @staticmethod
        def jvp(ctx, x_t, y_t, n_t):
            x, y = ctx.saved_tensors
            return (x_t * y + x * y_t) * ctx.n if n_t is None else None

    class Without(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

    with fwad.dual_level():
        x = fwad.make_dual(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 0.0]))
        y = torch.tensor([3.0, 4.0])
        out = Mul.apply(x, y, 2)
        return [*fwad.unpack_dual(out), caught(lambda: Without.apply(x))]


@same
def test_forward_mode_that_returns_none_or_wrong_shape(torch):
    import importlib

    fwad = importlib.import_module(f"{torch.__name__}.autograd.forward_ad")

    def of(answer):
        class F(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x * 1

            @staticmethod
            def jvp(ctx, x_t):
                return answer

        with fwad.dual_level():
            x = fwad.make_dual(torch.ones(2), torch.ones(2))
            out = []
            error = caught(lambda: out.append(F.apply(x)))
            return [
                error if error == "nothing" else error[0],
                fwad.unpack_dual(out[0]).tangent if out else None,
            ]

    return [of(None), of(torch.full((2,), 5.0)), of(torch.ones(3))]


@same
def test_vmap_static_method(torch):
    got = []

    class F(torch.autograd.Function):
        @staticmethod
        def forward(x, y):
            return x * y

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, g):
            x, y = ctx.saved_tensors
            return g * y, g * x

        @staticmethod
        def vmap(info, in_dims, x, y):
            got.append([info.batch_size, info.randomness, in_dims])
            return F.apply(x, y), 0

    x = torch.arange(6.0).reshape(3, 2)
    return [torch.vmap(F.apply, in_dims=(0, None))(x, torch.tensor([1.0, 2.0])), got]


@same
def test_generated_vmap_rule(torch):
    class F(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x, y):
            return x * y, x + y

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)
            ctx.save_for_forward(*inputs)

        @staticmethod
        def backward(ctx, g, h):
            x, y = ctx.saved_tensors
            return g * y + h, g * x + h

        @staticmethod
        def jvp(ctx, x_t, y_t):
            x, y = ctx.saved_tensors
            return x_t * y + x * y_t, x_t + y_t

    x = torch.arange(6.0).reshape(3, 2)
    w = torch.tensor([1.0, 2.0])

    def loss(x, w):
        a, b = F.apply(x, w)
        return (a * b).sum()

    return [
        torch.vmap(F.apply, in_dims=(0, None))(x, w),
        torch.vmap(torch.func.grad(loss, (0, 1)), in_dims=(0, None))(x, w),
        torch.func.grad(lambda w: torch.vmap(loss, (0, None))(x, w).sum())(w),
        torch.func.jacrev(loss)(x[0], w),
        torch.func.hessian(loss)(x[0] + 1, w),
    ]


@same
def test_generated_vmap_rule_forward_mode(torch):
    class F(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x):
            return x**3

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)
            ctx.save_for_forward(*inputs)

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 3 * x * x * g

        @staticmethod
        def jvp(ctx, x_t):
            (x,) = ctx.saved_tensors
            return 3 * x * x * x_t

    x = torch.tensor([1.0, 2.0])
    return [
        torch.func.jvp(F.apply, (x,), (x,)),
        torch.func.jacfwd(F.apply)(x),
        torch.vmap(lambda x: torch.func.jvp(F.apply, (x,), (x,))[1])(x),
        torch.func.jacfwd(torch.func.jacrev(F.apply))(x),
    ]


@same
def test_transform_errors(torch):
    class NoSetup(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return g

    class NoRule(torch.autograd.Function):
        @staticmethod
        def forward(x):
            return x * 1

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

        @staticmethod
        def backward(ctx, g):
            return g

    class Both(NoRule):
        generate_vmap_rule = True

        @staticmethod
        def vmap(info, in_dims, x):
            return x, in_dims[0]

    x = torch.ones(3)
    return [
        caught(lambda: torch.func.grad(lambda x: NoSetup.apply(x).sum())(x)),
        caught(lambda: torch.vmap(NoRule.apply)(x)),
        caught(lambda: torch.vmap(Both.apply)(x)),
        caught(lambda: torch.func.jvp(NoRule.apply, (x,), (x,))),
        torch.func.grad(lambda x: NoRule.apply(x).sum())(x),
    ]


@same
def test_function_inside_nested_grad(torch):
    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(x):
            return x**3

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 3 * x * x * g

    x = torch.tensor(2.0)
    grad = torch.func.grad
    return [grad(Cube.apply)(x), grad(grad(Cube.apply))(x), grad(grad(grad(Cube.apply)))(x)]


@same
def test_error_inside_backward_keeps_its_type(torch):
    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            raise KeyError("mine")

    return caught(lambda: F.apply(leaf(torch, 2)).sum().backward())


@same
def test_keyword_arguments(torch):
    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, n=2):
            return x * n

        @staticmethod
        def backward(ctx, g):
            return g

    x = leaf(torch, 2)
    return [caught(lambda: F.apply(x, n=3)), caught(lambda: F.apply(x))]


@same
def test_inputs_inside_lists_are_not_tracked(torch):
    class Sum(torch.autograd.Function):
        @staticmethod
        def forward(ctx, xs, y):
            return xs[0] + y

        @staticmethod
        def backward(ctx, g):
            return None, g

    x, y = leaf(torch, 2), leaf(torch, 2)
    Sum.apply([x], y).sum().backward()
    return [x.grad, y.grad]


@same
def test_subclass_of_a_function(torch):
    class A(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

    class B(A):
        @staticmethod
        def backward(ctx, g):
            return A.backward(ctx, g) * 5

    x = leaf(torch, 2)
    y = B.apply(x)
    y.sum().backward()
    return [x.grad, y.grad_fn]


@same
def test_same_input_twice(torch):
    class Mul(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            ctx.save_for_backward(x, y)
            return x * y

        @staticmethod
        def backward(ctx, g):
            x, y = ctx.saved_tensors
            return g * y, g * x

    x = torch.tensor([3.0], requires_grad=True)
    Mul.apply(x, x).backward()
    return x.grad


@same
def test_output_returned_twice(torch):
    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x * 2
            return y, y

        @staticmethod
        def backward(ctx, a, b):
            return a * 2 + b * 3

    x = leaf(torch, 2)
    a, b = Twice.apply(x)
    (a.sum() + b.sum()).backward()
    return [x.grad, a is b]


@same
def test_gradient_written_in_place_by_backward(torch):
    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return g.mul_(2)

    x = leaf(torch, 2)
    y = x * 1
    F.apply(y).backward(torch.ones(2))
    return x.grad


@same
def test_needs_input_grad_of_part(torch):
    got = []

    class F(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, y, z):
            return x + y + z

        @staticmethod
        def backward(ctx, g):
            got.append(ctx.needs_input_grad)
            return g, None, g

    x, y, z = leaf(torch, 2), torch.ones(2), leaf(torch, 2)
    F.apply(x, y, z).sum().backward()
    torch.autograd.grad(F.apply(x, y, z).sum(), z)
    F.apply(x, y, z).sum().backward(inputs=[x])
    return got
