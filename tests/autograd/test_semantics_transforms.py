"""Forward mode, torch.func and autograd.functional as torch has them."""

from __future__ import annotations

from importlib import import_module

from autograd.programs import caught, same


def forward_ad(torch):
    return import_module(f"{torch.__name__}.autograd.forward_ad")


def leaf(torch, *shape):
    return torch.ones(*shape, requires_grad=True)


X = [1.0, 2.0, 3.0]


@same
def test_dual_basics(torch):
    fw = forward_ad(torch)
    p, t = torch.tensor(X), torch.tensor([1.0, 0.0, 2.0])
    with fw.dual_level() as level:
        x = fw.make_dual(p, t)
        y = x * x + 1
        parts = fw.unpack_dual(y)
        inside = [level, *parts, fw.unpack_dual(p).tangent, x._is_view(), fw.unpack_dual(x).tangent is t]
        copied = fw.unpack_dual(x.detach()).tangent, fw.unpack_dual(x.clone()).tangent
    return [inside, copied, fw.unpack_dual(y), y]


@same
def test_dual_errors(torch):
    fw = forward_ad(torch)

    def nested_exit():
        fw.enter_dual_level()
        try:
            fw.exit_dual_level(level=3)
        finally:
            fw.exit_dual_level()

    def shapes():
        with fw.dual_level():
            fw.make_dual(torch.ones(3), torch.ones(2))

    def ints():
        with fw.dual_level():
            fw.make_dual(torch.ones(3, dtype=torch.int64), torch.ones(3))

    def twice():
        with fw.dual_level():
            fw.make_dual(fw.make_dual(torch.ones(3), torch.ones(3)), torch.ones(3))

    return [
        caught(lambda: fw.make_dual(torch.ones(3), torch.ones(3))), caught(fw.exit_dual_level),
        caught(nested_exit),
        caught(shapes), caught(ints), caught(twice), caught(lambda: fw.unpack_dual(3)),
    ]  # fmt: skip


@same
def test_dual_through_views_and_writes(torch):
    fw = forward_ad(torch)
    out = []
    with fw.dual_level():
        base = torch.zeros(3)
        x = fw.make_dual(torch.tensor(X), torch.tensor([1.0, 10.0, 100.0]))
        base[1:].copy_(x[:2])
        out.append(fw.unpack_dual(base))
        y = fw.make_dual(torch.ones(3), torch.ones(3))
        y.mul_(x)
        out.append(fw.unpack_dual(y))
        v = y[:2]
        v.add_(x[1:])
        out.append(fw.unpack_dual(y))
        out.append(fw.unpack_dual(x.view(3, 1).expand(3, 2).sum(1)))
        z = torch.zeros(3)
        z.add_(x)
        out.append(fw.unpack_dual(z))
        w = fw.make_dual(torch.ones(3), torch.ones(3))
        w.copy_(torch.zeros(3))
        out.append(fw.unpack_dual(w))
    return out


@same
def test_dual_and_reverse_mode(torch):
    fw = forward_ad(torch)
    x = torch.tensor(X, requires_grad=True)
    t = torch.tensor([1.0, 2.0, 0.5], requires_grad=True)
    with fw.dual_level():
        d = fw.make_dual(x, t)
        y = (d**3).sum()
        tangent = fw.unpack_dual(y).tangent
        first = torch.autograd.grad(tangent, [x, t], create_graph=True)
        (g,) = torch.autograd.grad((d**3).sum(), x, create_graph=True)
        parts = fw.unpack_dual(g)
    return [y, tangent, first, parts]


@same
def test_dual_grad_mode(torch):
    fw = forward_ad(torch)
    out = []
    with fw.dual_level():
        x = fw.make_dual(torch.tensor(X), torch.tensor(X))
        with torch.no_grad():
            out.append(fw.unpack_dual(x * 2).tangent)
        out.append(torch.is_grad_enabled())
        out.append(fw.unpack_dual((x * 2).round()).tangent)
        out.append(fw.unpack_dual(x > 1).tangent)
        out.append(fw.unpack_dual(x.long()).tangent)
        out.append(repr(x))
    return out


@same
def test_dual_complex(torch):
    fw = forward_ad(torch)
    with fw.dual_level():
        x = fw.make_dual(torch.tensor([1 + 2j]), torch.tensor([2 - 1j]))
        r = fw.make_dual(torch.tensor([2.0]), torch.tensor([1.0]))
        return [
            fw.unpack_dual(v) for v in (x * x, x.conj(), x.real, x.abs(), torch.complex(r, r), x * r, x.exp())
        ]


@same
def test_grad_transform_errors(torch):
    grad, x = torch.func.grad, torch.tensor(X)
    return [
        caught(lambda: grad(torch.sin)(x)), caught(lambda: grad(lambda x: 3)(x)),
        caught(lambda: grad(torch.sum)(3.0)),
        caught(lambda: grad(lambda x: x.sum(), argnums=1)(x)),
        caught(lambda: grad(lambda x: x.sum(), argnums=(0, 0))(x)),
        caught(lambda: grad(lambda x: x.sum(), has_aux=True)(x)),
        caught(lambda: torch.func.vjp(torch.sin, 3.0)), caught(lambda: torch.func.vjp(lambda x: 3, x)),
        caught(lambda: torch.func.jvp(torch.sin, x, x)),
        caught(lambda: torch.func.jvp(torch.sin, (x,), (x, x))),
        caught(lambda: torch.func.jvp(torch.sin, (), ())),
        caught(lambda: torch.func.jvp(lambda x: 3, (x,), (x,))),
        caught(lambda: torch.func.jvp(torch.sin, (x,), (torch.ones(2),))),
        caught(lambda: torch.func.vjp(torch.sin, x)[1](torch.ones(2))),
        caught(lambda: torch.func.vjp(torch.sin, x)[1]((x, x))),
        caught(lambda: grad(lambda x: (x * 1j).sum())(x)),
        caught(lambda: torch.func.jacrev(torch.sin)(x * 1j)),
        caught(lambda: grad(lambda x: x.sum().backward())(x)),
    ]  # fmt: skip


@same
def test_grad_transform_and_the_outside(torch):
    w = torch.tensor(2.0, requires_grad=True)
    x = torch.tensor(3.0)
    g = torch.func.grad(lambda x: w * x * x)(x)
    g.backward()
    with torch.no_grad():
        quiet = torch.func.grad(lambda x: w * x * x)(x)
    inner = torch.func.grad(lambda x: (x * x).detach() * x)(x)
    stopped = torch.func.grad(lambda x: x * torch.func.grad(lambda y: y * x)(x))(x)

    def blocked(x):
        with torch.no_grad():
            c = x * x
        return x - c

    y = torch.tensor(3.0, requires_grad=True)
    z = torch.func.grad(torch.sin)(y)
    return [g, w.grad, quiet, inner, stopped, torch.func.grad(blocked)(x), z, z.requires_grad]


@same
def test_writes_inside_grad(torch):
    x = torch.tensor(X)

    def f(x):
        y = x * 2
        y.mul_(x)
        y[0] = 5
        return y.sum()

    def captured(x):
        out.add_(x)
        return out.sum()

    out = torch.zeros(3)
    return [torch.func.grad(f)(x), caught(lambda: torch.func.grad(lambda x: x.add_(1).sum())(x))[:1], x]


@same
def test_vmap_errors(torch):
    v, x, y = torch.vmap, torch.ones(3, 2), torch.ones(4)

    def f(x):
        return x.sin()

    return [
        caught(lambda: v(lambda x: x.item())(y)), caught(lambda: v(lambda x: x if x > 0 else -x)(y)),
        caught(lambda: v(lambda x: x.nonzero())(x)), caught(lambda: v(lambda x: x + torch.rand(2))(x)),
        caught(lambda: v(torch.add)(x, y)), caught(lambda: v(f, in_dims=3)(x)), caught(lambda: v(f)(3)),
        caught(lambda: v(lambda x: 3)(x)), caught(lambda: v(f, in_dims=(0, 0))(x)), caught(lambda: v(f)()),
        caught(lambda: v(f, in_dims=None)(x)), caught(lambda: v(f, in_dims="a")(x)),
        caught(lambda: v(f, in_dims=[0])(x)),
        caught(lambda: v(f, out_dims=5)(x)), caught(lambda: v(f, out_dims="a")(x)),
        caught(lambda: v(f, out_dims=(0, 0))(x)), caught(lambda: v(f, chunk_size=0)(x)),
        caught(lambda: v(f, randomness="x")(x)), caught(lambda: v(lambda x: x.numpy())(x)),
        caught(lambda: v(lambda x: (x, 3))(x)), caught(lambda: v(f, in_dims=0.5)(x)),
        caught(lambda: v(f, in_dims=(0.5,))(x)), caught(lambda: v(lambda a: a["x"].sin())({"x": x, "y": y})),
        caught(lambda: v(f, out_dims=None)(x)),
    ]  # fmt: skip


@same
def test_vmap_shapes(torch):
    x = torch.arange(24.0).reshape(2, 3, 4)
    v = torch.vmap
    return [
        v(torch.sum)(x), v(torch.sum, in_dims=1)(x), v(torch.sum, in_dims=-1)(x),
        v(torch.sin, out_dims=2)(x).shape,
        v(torch.sin, out_dims=-1)(x).shape, v(lambda a, b: a @ b, in_dims=(0, None))(x, x[0].T),
        v(lambda d: {"s": d["a"] + d["b"][0]})({"a": x, "b": [x]})["s"],
        v(lambda x: (x, x.sum()), out_dims=(1, 0))(x),
        v(v(torch.sum, in_dims=1))(x), v(v(lambda a, b: a * b, (None, 0)), (0, None))(x[0, 0], x[0, 0]),
        v(torch.sin, chunk_size=1)(x), v(lambda x, n: x * n, in_dims=(0, None))(x, 3),
        v(lambda x: x.shape[0] * x)(x),
        v(lambda x, s=1: x * s)(x, s=2), v(lambda x: torch.ones(3))(x),
        v(lambda x: x.sum(), in_dims=({"a": 1},))
        if False else 0,
    ]  # fmt: skip


@same
def test_vmap_randomness(torch):
    x = torch.zeros(3, 2)

    def of(f, how):
        torch.manual_seed(0)
        return torch.vmap(f, randomness=how)(x)

    same_rows = of(lambda x: x + torch.rand(2), "same")
    different = of(lambda x: x + torch.rand(2), "different")
    dropped = of(lambda x: torch.nn.functional.dropout(x + 1, 0.5), "different")
    return [same_rows, different, bool((same_rows[0] == same_rows[1]).all()), dropped.shape]


@same
def test_vmap_over_writes(torch):
    x = torch.arange(6.0).reshape(3, 2)

    def f(x):
        y = x * 2
        y[0] = x[1]
        y.add_(1)
        return y

    def shared(x, out):
        return out.add_(x)

    return [torch.vmap(f)(x), caught(lambda: torch.vmap(shared, in_dims=(0, None))(x, torch.zeros(2)))]


@same
def test_composition(torch):
    x = torch.tensor(X, dtype=torch.float64)
    w = torch.tensor([0.5, 1.0, 1.5], dtype=torch.float64)
    f = torch.func

    def loss(w, x):
        return (torch.tanh(x * w) ** 2).sum()

    xs = torch.stack([x, x * 2])
    return [
        torch.vmap(f.grad(loss), (None, 0))(w, xs), f.jacrev(f.jacfwd(lambda x: torch.sin(x) * x[0]))(x),
        f.jacfwd(f.jacrev(lambda x: torch.sin(x) * x[0]))(x), f.hessian(loss, argnums=(0, 1))(w, x),
        torch.vmap(f.hessian(loss), (None, 0))(w, xs),
        f.grad(lambda w: f.jvp(lambda w: loss(w, x), (w,), (w,))[1])(w),
        f.jvp(f.grad(lambda w: loss(w, x)), (w,), (w,)), f.linearize(lambda w: loss(w, x), w)[1](w),
        f.vjp(lambda w: f.vjp(lambda w: loss(w, x), w)[1](torch.tensor(1.0).double())[0], w)[1](w),
        f.grad(f.grad(f.grad(lambda t: t**5)))(torch.tensor(2.0)), f.jacrev(loss, argnums=(1, 0))(w, x),
        f.jacfwd(lambda a: {"s": a.sin(), "c": (a.cos(), a.sum())})(x),
        f.grad_and_value(loss, has_aux=False)(w, x),
        f.jacrev(lambda w: (loss(w, x), w * 2), has_aux=True)(w),
        f.vjp(lambda w: (w.sin(), w), w, has_aux=True)[2],
        f.jvp(lambda w: (w.sin(), w), (w,), (w,), has_aux=True), f.jacrev(torch.sin, chunk_size=2)(x),
        f.jvp(f.jacrev(lambda x: x**3), (x,), (x,)), f.jacfwd(lambda x: f.jvp(torch.sin, (x,), (x,))[1])(x),
    ]  # fmt: skip


@same
def test_functional(torch):
    functional = torch.autograd.functional
    x, y = torch.tensor(X), torch.tensor([0.5, 1.0, 1.5])

    def f(x, y):
        return x * y, (x @ y).exp()

    def s(x, y):
        return (x * y).sin().sum()

    return [
        functional.jacobian(f, (x, y)), functional.jacobian(f, (x, y), vectorize=True),
        functional.jacobian(torch.sin, x, create_graph=True),
        functional.jacobian(f, (x, y), vectorize=True, strategy="forward-mode"),
        functional.hessian(s, (x, y)),
        functional.hessian(s, (x, y), vectorize=True), functional.hvp(s, (x, y), (x, y)),
        functional.vhp(s, (x, y), (x, y)),
        functional.hessian(s, (x, y), vectorize=True, outer_jacobian_strategy="forward-mode"),
        functional.vjp(f, (x, y), (x, torch.tensor(1.0))), functional.jvp(f, (x, y), (y, x)),
        functional.vjp(lambda x: x.sum(), x),
        functional.jacobian(lambda x: x.sum(), x), functional.jacobian(lambda x: torch.ones(2), x),
        functional.jacobian(lambda x: x.reshape(3, 1) * x, x, vectorize=True),
    ]  # fmt: skip


@same
def test_functional_errors(torch):
    functional = torch.autograd.functional
    x = torch.tensor(X)
    return [
        caught(lambda: functional.jacobian(lambda x: torch.ones(2), x, strict=True)),
        caught(lambda: functional.jvp(torch.sin, x)),
        caught(lambda: functional.hessian(torch.sin, x)), caught(lambda: functional.vjp(torch.sin, x)),
        caught(lambda: functional.vjp(torch.sin, x, torch.ones(2))),
        caught(lambda: functional.vjp(torch.sin, 3)),
        caught(lambda: functional.vjp(lambda x: 3, x)),
        caught(lambda: functional.jacobian(torch.sin, x, strict=True,
        vectorize=True)),
        caught(lambda: functional.jacobian(torch.sin, x, strategy="x")),
        caught(lambda: functional.hvp(torch.sum, x)),
        caught(lambda: functional.jacobian(torch.sin, x, strategy="forward-mode")),
        caught(lambda: functional.hessian(lambda x: (x * 2).sum(), x, strict=True)),
        caught(lambda: functional.jacobian(lambda x: x.detach() * 2, x, strict=True)),
        caught(lambda: functional.hessian(lambda x: (x.sum(), x.sum()), x)),
    ]  # fmt: skip


@same
def test_functional_create_graph(torch):
    functional = torch.autograd.functional
    x = torch.tensor(X, requires_grad=True)
    j = functional.jacobian(lambda x: x**3, x, create_graph=True)
    h = functional.hessian(lambda x: (x**4).sum(), x, create_graph=True)
    v = functional.hvp(lambda x: (x**4).sum(), x, x, create_graph=True)[1]
    (a,) = torch.autograd.grad(j.sum(), x)
    (b,) = torch.autograd.grad(h.sum(), x)
    (c,) = torch.autograd.grad(v.sum(), x)
    return [j, h, v, a, b, c, functional.jacobian(lambda x: x**3, x).requires_grad]


@same
def test_functional_call_and_stack(torch):
    torch.manual_seed(0)
    models = [torch.nn.Linear(2, 1) for _ in range(3)]
    params, buffers = torch.func.stack_module_state(models)
    x = torch.tensor([[1.0, 2.0]])

    def run(p, b, x):
        return torch.func.functional_call(models[0], (p, b), (x,))

    out = torch.vmap(run, in_dims=(0, 0, None))(params, buffers, x)
    grads = torch.func.grad(lambda p: torch.func.functional_call(models[0], p, (x,)).sum())(
        {k: v.detach() for k, v in models[0].named_parameters()}
    )
    return [out, params["weight"].requires_grad, grads]


@same
def test_printing_inside_transforms(torch):
    got = []
    x = torch.tensor([1.0, 2.0])
    torch.vmap(lambda x: (got.append(repr(x)), x)[1])(x)
    torch.func.grad(lambda x: (got.append(repr(x)), x.sum())[1])(x)
    torch.vmap(torch.func.grad(lambda x: (got.append(repr(x)), x * 2)[1]))(x)
    return got


@same
def test_batched_tensor_surface(torch):
    got = []

    def f(x):
        got.extend(
            [
                x.shape,
                x.ndim,
                x.dtype == torch.float32,
                x.numel(),
                len(x),
                x.size(-1),
                x.stride(),
                x.is_contiguous(),
            ]
        )
        got.append(x.requires_grad)
        return x

    torch.vmap(f, in_dims=1)(torch.ones(2, 3, 4))
    return got


@same
def test_debug_unwrap_and_levels(torch):
    got = []

    def f(x):
        inner = torch.func.debug_unwrap(x, recurse=False)
        got.append([tuple(inner.shape), tuple(torch.func.debug_unwrap(x).shape)])
        return x.sum()

    torch.vmap(torch.func.grad(f))(torch.ones(3, 2))
    return got


@same
def test_gradcheck_verdicts(torch):
    x = torch.tensor([0.3, 0.7], dtype=torch.float64, requires_grad=True)
    check = torch.autograd.gradcheck

    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            return 3 * g

    return [
        check(torch.sin, (x,)), check(Wrong.apply, (x,), raise_exception=False),
        caught(lambda: check(Wrong.apply, (x,))), caught(lambda: check(torch.sin, (torch.ones(2),))),
        torch.autograd.gradgradcheck(torch.sin, (x,)), check(torch.sin, (x,), fast_mode=True),
        check(torch.sin, (x,), check_forward_ad=True, check_batched_grad=True,
        check_batched_forward_grad=True),
    ]  # fmt: skip
