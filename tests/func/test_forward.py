"""jvp, linearize, jacrev, jacfwd, hessian: closed forms, structures, agreement of the two modes."""

from __future__ import annotations

import pytest

import retrograd as torch
from retrograd.func import grad, hessian, jacfwd, jacrev, jvp, linearize

X = [1.0, 2.0, 3.0]


def close(found, wanted):
    assert torch.allclose(found, torch.as_tensor(wanted, dtype=found.dtype), rtol=1e-5, atol=1e-6), found


def test_tangents_follow_the_chain_rule():
    x = torch.tensor(X)
    y, y_t = jvp(lambda x: (x**2).sin(), (x,), (torch.ones(3),))
    close(y, (x**2).sin())
    close(y_t, 2 * x * (x**2).cos())
    (p, q), (p_t, q_t) = jvp(lambda a, b: (a * b, a), (x, 2 * x), (torch.ones(3), torch.zeros(3)))
    close(p, 2 * x * x)
    close(q, x)
    close(p_t, 2 * x)
    close(q_t, torch.ones(3))


def test_forward_mode_nests_without_mixing_levels():
    one = torch.ones(())
    second = jvp(lambda x: jvp(lambda y: y**3, (x,), (one,))[1], (torch.tensor(2.0),), (one,))[1]
    assert second.item() == 12.0
    inner = lambda x: x * jvp(lambda y: x + y, (one,), (one,))[1]  # noqa: E731
    assert jvp(inner, (one,), (one,))[1].item() == 1.0


def test_aux_and_independent_outputs():
    x = torch.tensor(X)
    _, tangent, aux = jvp(lambda x: (x * x, x + 1), (x,), (x,), has_aux=True)
    close(tangent, 2 * x * x)
    close(aux, x + 1)
    assert type(aux) is torch.Tensor
    close(jvp(lambda x: torch.ones(2), (x,), (x,))[1], [0.0, 0.0])
    with pytest.raises(RuntimeError, match="independent of the inputs"):
        jvp(lambda x: torch.ones(2), (x,), (x,), strict=True)


def test_writes_carry_tangents_into_plain_tensors_and_through_views():
    def f(x):
        y = torch.zeros(4)
        y[1:] = x
        y[:2].mul_(3)
        part = y[2:]
        part += y[1]
        return y

    x, t = torch.tensor(X), torch.tensor([1.0, -1.0, 0.5])
    y, y_t = jvp(f, (x,), (t,))
    close(y, [0.0, 3.0, 5.0, 6.0])
    close(y_t, [0.0, 3.0, 2.0, 3.5])
    close(t, [1.0, -1.0, 0.5])


def test_a_write_into_a_result_leaves_the_operands_tangent_alone():
    x, t = torch.tensor(X), torch.ones(3)

    def f(x):
        y = x + 1
        y.mul_(5)
        return y, x

    (_, _), (y_t, x_t) = jvp(f, (x,), (t,))
    close(y_t, [5.0, 5.0, 5.0])
    close(x_t, [1.0, 1.0, 1.0])


def test_linearize_runs_the_function_once():
    calls = []

    def f(x, y):
        calls.append(1)
        return {"a": x.sin() * y, "b": y.sum()}

    x, y = torch.tensor(X), torch.ones(3)
    value, push = linearize(f, x, y)
    close(value["a"], x.sin())
    for scale in (1.0, 2.0):
        moved = push(scale * torch.ones(3), torch.zeros(3))
        close(moved["a"], scale * x.cos())
        close(moved["b"], 0.0)
        assert not moved["a"].requires_grad
    assert len(calls) == 1
    with pytest.raises(RuntimeError, match="doesn't match the shape"):
        push(torch.ones(2), torch.ones(3))


def test_jacobians_of_both_modes_agree():
    x, y = torch.randn(3), torch.randn(2)

    def f(x, y):
        return {"outer": x[:, None] * y.exp(), "sum": x.sum() * y}

    rows, columns = jacrev(f, (0, 1))(x, y), jacfwd(f, (0, 1))(x, y)
    for name, shape in (("outer", (3, 2)), ("sum", (2,))):
        for k, size in enumerate((3, 2)):
            assert rows[name][k].shape == (*shape, size)
            close(rows[name][k], columns[name][k])
    close(rows["outer"][0], torch.einsum("ik,j->ijk", torch.eye(3), y.exp()))


@pytest.mark.parametrize("chunk", [1, 2, 5, 100])
def test_jacrev_in_chunks(chunk):
    x = torch.randn(5)
    close(jacrev(torch.sin, chunk_size=chunk)(x), torch.diag(x.cos()))


def test_jacobians_with_aux_and_of_what_does_not_depend():
    x = torch.tensor(X)
    for jacobian in (jacrev, jacfwd):
        found, aux = jacobian(lambda x: (x * x, x + 1), has_aux=True)(x)
        close(found, torch.diag(2 * x))
        close(aux, x + 1)
        close(jacobian(lambda x: torch.ones(2))(x), torch.zeros(2, 3))
        close(jacobian(lambda x: x.sum() ** 2)(x), 2 * x.sum() * torch.ones(3))


def test_hessians_in_every_order_of_modes():
    x = torch.tensor(X)
    f = lambda x: (x**3).sum() + x[0] * x[1] * x[2]  # noqa: E731
    wanted = [[6.0, 3.0, 2.0], [3.0, 12.0, 1.0], [2.0, 1.0, 18.0]]
    for outer in (jacrev, jacfwd):
        for inner in (jacrev, jacfwd, grad):
            close(outer(inner(f))(x), wanted)
    close(hessian(f)(x), wanted)
    (xx, xy), (_, yy) = hessian(lambda x, y: (x * x * y).sum(), (0, 1))(x, x)
    close(xx, torch.diag(2 * x))
    close(xy, torch.diag(2 * x))
    close(yy, torch.zeros(3, 3))


def test_complex_tangents():
    z, t = torch.tensor([1 + 2j, -0.5 + 1j]), torch.tensor([0.3 - 1j, 2 + 0.1j])
    close(jvp(torch.exp, (z,), (t,))[1], z.exp() * t)
    close(jvp(torch.abs, (z,), (t,))[1], (z.conj() * t).real / z.abs())
    close(jvp(torch.conj, (z,), (t,))[1], t.conj())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: jvp(torch.sin, x, x), RuntimeError, "Expected primals to be a tuple."),
        (lambda x: jvp(torch.sin, (x,), (x, x)), RuntimeError, "to have the same python structure."),
        (lambda x: jvp(lambda: x, (), ()), RuntimeError, "Expected primals to contain at least one Tensor."),
        (lambda x: jvp(torch.sin, (3.0,), (x,)), RuntimeError, "Expected primals to only contain Tensors"),
        (lambda x: jvp(lambda x: 3, (x,), (x,)), RuntimeError, "expected f(*primals) to return only tensors"),
        (lambda x: jvp(torch.neg, (x.long(),), (x,)), ValueError, "Expected primal to be floating point"),
        (
            lambda x: jvp(torch.sin, (x,), (x[:2],)),
            RuntimeError,
            "Tensor is of size [3] while the given forward",
        ),
        (lambda x: jacrev(torch.sin, chunk_size=0), ValueError, "`chunk_size` should be greater than 0."),
        (
            jacfwd(torch.sin, argnums=1),
            RuntimeError,
            "Got argnum=1, but only 1 positional inputs",
        ),
    ],
)
def test_misuse_is_refused(call, error, message):
    with pytest.raises(error) as caught:
        call(torch.tensor(X))
    assert message in str(caught.value)
    assert jvp(torch.sin, (torch.zeros(()),), (torch.ones(()),))[1].item() == 1.0
