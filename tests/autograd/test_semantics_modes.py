"""Grad modes as torch has them: nesting, decorating, generators, what they leave behind."""

from __future__ import annotations

from autograd.programs import caught, same, warned


@same
def test_nesting_and_restoring(torch):
    got = [torch.is_grad_enabled()]
    with torch.no_grad():
        got.append(torch.is_grad_enabled())
        with torch.enable_grad():
            got.append(torch.is_grad_enabled())
            with torch.set_grad_enabled(False):
                got.append(torch.is_grad_enabled())
            got.append(torch.is_grad_enabled())
        got.append(torch.is_grad_enabled())
    got.append(torch.is_grad_enabled())
    try:
        with torch.no_grad():
            raise ValueError
    except ValueError:
        got.append(torch.is_grad_enabled())
    return got


@same
def test_set_grad_enabled_as_a_call(torch):
    got = []
    torch.set_grad_enabled(False)
    got.append(torch.is_grad_enabled())
    torch.set_grad_enabled(True)
    got.append(torch.is_grad_enabled())
    mode = torch.set_grad_enabled(False)
    with mode:
        got.append(torch.is_grad_enabled())
    got.append(torch.is_grad_enabled())
    return [got, repr(torch.set_grad_enabled(True)).split(".")[-1]]


@same
def test_decorators(torch):
    @torch.no_grad()
    def a():
        return torch.is_grad_enabled()

    @torch.no_grad
    def b():
        return torch.is_grad_enabled()

    @torch.enable_grad()
    def c():
        return torch.is_grad_enabled()

    @torch.set_grad_enabled(False)
    def d():
        return torch.is_grad_enabled()

    @torch.inference_mode
    def e():
        return torch.is_inference_mode_enabled()

    @torch.inference_mode()
    def f():
        return torch.is_grad_enabled(), torch.is_inference_mode_enabled()

    with torch.no_grad():
        inside = c()
    return [a(), b(), inside, d(), e(), f(), torch.is_grad_enabled(), a.__name__]


@same
def test_generators_keep_the_mode_per_step(torch):
    got = []

    @torch.no_grad()
    def numbers():
        for i in range(3):
            got.append(("inside", torch.is_grad_enabled()))
            try:
                sent = yield i
            except ValueError:
                got.append(("raised", torch.is_grad_enabled()))
                sent = None
            got.append(("sent", sent, torch.is_grad_enabled()))
        return "end"

    g = numbers()
    got.append(next(g))
    got.append(torch.is_grad_enabled())
    got.append(g.send("x"))
    got.append(g.throw(ValueError))
    try:
        next(g)
    except StopIteration as stop:
        got.append(stop.value)
    return [got, torch.is_grad_enabled()]


@same
def test_what_may_require_grad_without_grad(torch):
    with torch.no_grad():
        p = torch.nn.Parameter(torch.ones(2))
        x = torch.ones(2, requires_grad=True)
        y = x * 2
        z = x.detach().requires_grad_()
        v = x[:1]
        c = x.clone()
    return [p.requires_grad, x.requires_grad, y.requires_grad, z.requires_grad, v.requires_grad,
    c.requires_grad,
            y.grad_fn, v._is_view()]  # fmt: skip


@same
def test_inference_mode_off_inside_on(torch):
    with torch.inference_mode():
        with torch.inference_mode(False):
            x = torch.ones(2, requires_grad=True)
            y = x * 2
            got = [
                torch.is_grad_enabled(),
                torch.is_inference_mode_enabled(),
                y.requires_grad,
                x.is_inference(),
            ]
        with torch.enable_grad():
            got += [torch.is_grad_enabled(), torch.ones(2).is_inference(), (x * 2).requires_grad]
    return [got, torch.is_inference_mode_enabled(), torch.is_grad_enabled()]


@same
def test_backward_inside_no_grad(torch):
    x = torch.ones(2, requires_grad=True)
    y = (x * x).sum()
    with torch.no_grad():
        y.backward(retain_graph=True)
        (g,) = torch.autograd.grad(y, x, create_graph=True)
    return [x.grad, g.requires_grad]


@same
def test_decorating_a_class_warns(torch):
    def decorate():
        @torch.no_grad()
        class A:
            pass

    return [w.kind for w in warned(decorate)]


@same
def test_mode_on_methods_and_wrapping(torch):
    class A:
        @torch.no_grad()
        def f(self, x):
            """Doc."""
            return x * 2

    x = torch.ones(2, requires_grad=True)
    return [A().f(x).requires_grad, A.f.__doc__, A.f.__name__]


@same
def test_detect_anomaly_flags(torch):
    got = [torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()]

    def run():
        with torch.autograd.set_detect_anomaly(True, check_nan=False):
            got.extend([torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()])
            with torch.autograd.set_detect_anomaly(False):
                got.append(torch.is_anomaly_enabled())
            got.append(torch.is_anomaly_enabled())

    warned(run)
    return [*got, torch.is_anomaly_enabled()]


@same
def test_threads_and_multithreading_flags(torch):
    with torch.autograd.set_multithreading_enabled(False):
        x = torch.ones(2, requires_grad=True)
        (x * 2).sum().backward()
        off = torch.autograd.grad_mode.is_multithreading_enabled() if hasattr(
            torch.autograd.grad_mode, "is_multithreading_enabled"
        ) else torch._C._is_multithreading_enabled()  # fmt: skip
    return [x.grad, off]


@same
def test_no_grad_does_not_detach_a_view_chain(torch):
    x = torch.ones(4, requires_grad=True)
    y = x * 1
    with torch.no_grad():
        y.mul_(3)
    y.sum().backward()
    return [y, x.grad, y._version]


@same
def test_inplace_under_no_grad_on_a_view_of_a_result(torch):
    x = torch.ones(4, requires_grad=True)
    y = x * 1
    v = y[:2]
    with torch.no_grad():
        v.mul_(3)
    y.sum().backward()
    return [y, x.grad, caught(lambda: v.add_(1))]
