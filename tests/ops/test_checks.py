"""The checks themselves: each passes a sound op and catches the faults that are planted here."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from ops import argument_checks, checks, oracle
from ops.convert import Failure

from retrograd import dtypes
from retrograd.arrays import Traced
from retrograd.ops import batching
from retrograd.ops.declare import TABLE, error, sample
from retrograd.ops.families import comparison, general, linear, pointwise, reduction
from retrograd.tensor import Tensor

numbers = itertools.count()
X = np.array([[0.5, -1.5, 2.0], [1.0, 0.25, -0.75]])
Y = np.array([1.5, 0.5, -2.0])


def product(input, other):
    """Multiply."""
    return input * other


product.__annotations__ = {"input": "Operand", "other": "Operand"}


def double(input):
    """Double."""
    return input * 2.0


def total(input, dim=None):
    """Sum."""
    return np.sum(input, axis=dim)


def matrix(input, mat2):
    """Multiply matrices."""
    return np.matmul(input, mat2)


def made(family, definition, annotations, torch_name="", **options):
    """Declare an op under a name of its own and take it out of the table again."""
    definition.__annotations__ = annotations
    name = f"planted_{next(numbers)}"
    given = {"samples": list, "node": "PlantedBackward0", "places": "torch", **options}
    op = family(name=name, torch_name=torch_name or name, **given)(definition)
    del TABLE[name]
    return op


def copied(definition):
    """Return a function like `definition` that may be given other annotations."""
    other = type(definition)(
        definition.__code__, definition.__globals__, definition.__name__, definition.__defaults__
    )
    other.__doc__ = definition.__doc__
    return other


TWO = {"input": "Operand", "other": "Operand"}
ONE = {"input": "Array"}
CT_OTHER = lambda ct, other: ct * other  # noqa: E731 - rules are written as lambdas
CT_INPUT = lambda ct, input: ct * input  # noqa: E731
CT_TWICE = lambda ct: ct * 2.0  # noqa: E731
SPREAD = lambda ct, input_shape, dim: np.broadcast_to(  # noqa: E731
    ct if dim is None else np.expand_dims(ct, dim), input_shape
)


def products(**options):
    return made(pointwise, copied(product), TWO, "mul", **{"input": CT_OTHER, "other": CT_INPUT, **options})


def doubles(definition=double, **options):
    return made(pointwise, copied(definition), ONE, **{"input": CT_TWICE, **options})


def sums(**options):
    given = {
        "input": SPREAD,
        "jvp": {"input": lambda t, dim: np.sum(t, axis=dim)},
        "node": "SumBackward0",
        **options,
    }
    return made(reduction, copied(total), ONE, "sum", **given)


def matrices(**options):
    given = {
        "input": lambda ct, mat2: np.matmul(ct, np.transpose(mat2)),
        "mat2": lambda ct, input: np.matmul(np.transpose(input), ct),
        "batch": batching.loop,
        **options,
    }
    return made(linear, copied(matrix), {"input": "Array", "mat2": "Array"}, "mm", **given)


SOUND = [(products, sample(X, Y)), (doubles, sample(X)), (sums, sample(X, 1)), (matrices, sample(X, X.T))]
CHECKS = [
    checks.check_gradient, checks.check_forward, checks.check_second, checks.check_batching,
    checks.check_traced,
    argument_checks.check_untouched, argument_checks.check_layouts, argument_checks.check_specials,
    argument_checks.check_shapes,
]  # fmt: skip


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(("make", "at"), SOUND)
def test_a_sound_op_passes(check, make, at):
    check(make(), at)


@pytest.mark.parametrize(("make", "at"), [s for s in SOUND if s[0] is not doubles])
def test_a_sound_op_passes_against_torch(make, at, torch_or_skip):
    for dtype in (dtypes.float64, dtypes.float32, dtypes.bfloat16, dtypes.complex64):
        assert oracle.check_against_torch(make(), at, torch_or_skip, dtype)


def caught(check, op, at):
    with pytest.raises(Failure) as found:
        check(op, at)
    assert op.name in str(found.value)


# ---- derivatives ----


@pytest.mark.parametrize(
    "rules",
    [
        {"input": lambda ct, other: -ct * other},  # a wrong sign
        {"other": lambda ct, other: ct * other},  # a wrong operand
        {"input": lambda ct, other: ct * other * 1.00001},  # nearly right
        {"input": lambda ct: ct * 0.0},  # nothing
        {"other": lambda ct, input: np.flip(ct * input, -1)},  # in the wrong places
        {"other": lambda ct, input: ct * np.conjugate(input)},  # wrong for complex numbers only
    ],
)  # fmt: skip
def test_a_wrong_rule_is_caught(rules):
    caught(checks.check_gradient, products(**rules), sample(X, Y))


@pytest.mark.parametrize(
    "rule", [lambda ct: ct, lambda ct, input_shape: np.broadcast_to(ct, (1, *input_shape))]
)
def test_a_gradient_of_another_shape_is_caught(rule):
    op = sums(input=rule)
    caught(checks.check_gradient, op, sample(X, 0))


@pytest.mark.parametrize(
    "jvp",
    [{"input": lambda t, dim: -np.sum(t, axis=dim)}, {"input": lambda t, dim: np.sum(t, axis=dim) * 2.0},
     {"input": lambda t, dim: np.sum(np.real(t), axis=dim)}],
)  # fmt: skip
def test_a_wrong_forward_rule_is_caught(jvp):
    caught(checks.check_forward, sums(jvp=jvp), sample(X, 1))


def test_a_reverse_rule_that_is_not_the_transpose_is_caught():
    caught(
        checks.check_forward,
        matrices(mat2=lambda ct, input: np.matmul(np.transpose(input), ct) * 2),
        sample(X, X.T),
    )


def test_linear_taken_for_what_is_not_linear_is_caught():
    def square(input):
        """Square."""
        return input * input

    op = made(linear, square, ONE, input=lambda ct, input: 2.0 * ct * input, batch=batching.loop)
    caught(checks.check_forward, op, sample(X))


def off_the_tape(ct, other):
    if isinstance(ct, Tensor):
        return ct * other.detach()
    return ct * other


def test_a_rule_that_leaves_the_tape_is_caught():
    op = products(input=off_the_tape)
    checks.check_gradient(op, sample(X, Y))  # first derivatives are right
    caught(checks.check_second, op, sample(X, Y))


# ---- batching ----


def off_by_one(op, size, args, dims):
    found = batching.reduction(op, size, args, dims)
    return np.roll(found, 1, 0)


def batch_left_where_it_was(op, size, args, dims):
    return batching.call(op, args)


def not_shifted(op, size, args, dims):
    return batching.call(op, [batching.front(args[0], dims[0]), *args[1:]])


@pytest.mark.parametrize("batch", [off_by_one, batch_left_where_it_was, not_shifted])
def test_a_wrong_batching_rule_is_caught(batch):
    caught(checks.check_batching, sums(batch=batch), sample(X, 0))


def not_aligned(op, size, args, dims):
    return batching.call(op, [batching.front(a, d) for a, d in zip(args, dims, strict=True)])


def test_operands_that_are_not_aligned_are_caught():
    with pytest.raises((Failure, ValueError)):
        checks.check_batching(products(batch=not_aligned), sample(X, Y))


# ---- tracing ----


def drops_an_instruction(input):
    """Double, but not when traced."""
    return input if isinstance(input, Traced) else input * 2.0


def converts(input):
    """Double by way of something that no op answers."""
    return np.unwrap(input * 2.0)


def branches(input):
    """Double by a branch on values."""
    return input * 2.0 if input.size and np.sum(input) < 0 else input + input


def uses_methods(input):
    """Double with a method that traced arrays lack."""
    return input.conj() * 2.0


@pytest.mark.parametrize("definition", [drops_an_instruction, converts, branches, uses_methods])
def test_a_definition_that_cannot_be_traced_is_caught(definition):
    caught(checks.check_traced, doubles(definition), sample(X))


def drops_a_factor(ct, other):
    return ct if isinstance(ct, Traced) else ct * other


def test_a_rule_that_is_traced_wrongly_is_caught():
    caught(checks.check_traced, products(input=drops_a_factor), sample(X, Y))


# ---- arguments ----


def writes_to_its_argument(input):
    """Double in place."""
    return np.multiply(input, 2.0, out=input) if input.ndim else input * 2.0


def test_a_definition_that_writes_to_its_argument_is_caught():
    caught(argument_checks.check_untouched, doubles(writes_to_its_argument), sample(X))


def scale_ct(ct):
    ct *= 2.0
    return ct


def zero_saved(ct, other, result):
    if isinstance(result, np.ndarray):
        result *= 0.0
    return ct * other


@pytest.mark.parametrize("op", [lambda: doubles(input=scale_ct), lambda: products(input=zero_saved)])
def test_a_rule_that_writes_is_caught(op):
    op = op()
    caught(argument_checks.check_untouched, op, sample(X) if len(op.parameters) == 1 else sample(X, X + 1))


def depends_on_layout(input):
    """Double, scaled by position in memory."""
    flat = np.ravel(input * 2.0, order="K")
    return np.reshape(flat + 0.1 * np.arange(flat.size), input.shape)


def test_dependence_on_layout_is_caught():
    caught(argument_checks.check_layouts, doubles(depends_on_layout), sample(X))


def refuses_nan(input):
    """Double what is finite."""
    if not np.all(np.isfinite(input)):
        raise ValueError("not finite")
    return input * 2.0


def test_stopping_at_a_nan_is_caught():
    caught(argument_checks.check_specials, doubles(refuses_nan), sample(X))


def needs_a_dimension(input):
    """Double, with a dimension at least."""
    return np.asarray(input * 2.0).reshape(-1) if input.ndim == 0 else input * 2.0


def test_a_wrong_shape_without_dimensions_is_caught():
    caught(argument_checks.check_shapes, doubles(needs_a_dimension), sample(X))


# ---- errors ----


def strict(kind, message, spoil=False):
    def definition(input):
        """Refuse what is not a matrix."""
        if input.ndim != 2:
            if spoil:
                input[...] = 0.0
            raise kind(message)
        return input * 2.0

    return made(general, definition, ONE, input=CT_TWICE, jvp="linear", batch=batching.loop, promote="none")


def test_a_sound_refusal_passes():
    argument_checks.check_error(strict(RuntimeError, "expected a matrix"), error(RuntimeError, "a matrix", Y))


@pytest.mark.parametrize(
    ("op", "bad"),
    [
        (lambda: strict(ValueError, "expected a matrix"), Y),  # another type
        (lambda: strict(RuntimeError, "no"), Y),  # another text
        (lambda: strict(RuntimeError, "expected a matrix"), X),  # no error
        (lambda: strict(RuntimeError, "expected a matrix", spoil=True), Y),  # a write before it
    ],
)  # fmt: skip
def test_a_wrong_refusal_is_caught(op, bad):
    caught(argument_checks.check_error, op(), error(RuntimeError, "a matrix", bad))


# ---- torch ----


def nearly(input, other):
    """Multiply, nearly."""
    return input * other * (1 + 1e-8)


def narrow(input, dim=None):
    """Sum in the dtype of the input, also for integers."""
    return np.sum(input, axis=dim, dtype=input.dtype)


def kept(input, dim=None):
    """Sum, keeping the dimension."""
    return np.sum(input, axis=dim, keepdims=True)


def least(input, other):
    """Take the smaller one."""
    return np.minimum(input, other)


def to_the_first(ct, input, other):
    return np.where(input <= other, ct, 0.0)


@pytest.mark.parametrize(
    ("op", "at", "dtype"),
    [
        (
            lambda: made(pointwise, nearly, TWO, "mul", input=CT_OTHER, other=CT_INPUT),
            sample(X, Y),
            dtypes.float64,
        ),
        (lambda: made(reduction, narrow, ONE, "sum", promote="none"), sample(np.arange(6), 0), dtypes.uint8),
        (lambda: made(reduction, kept, ONE, "sum"), sample(X, 0), dtypes.float32),
        (lambda: products(input=lambda ct, other: -ct * other), sample(X, Y), dtypes.float32),
        (lambda: products(input=lambda ct, other: ct * np.conjugate(other)), sample(X, Y), dtypes.complex64),
        (
            # At a tie torch gives half to each operand.
            lambda: made(pointwise, least, TWO, "minimum", input=to_the_first, other=to_the_first),
            sample(X, np.array(X)),
            dtypes.float32,
        ),
        (
            lambda: made(comparison, copied(product), TWO, "mul", node=None, promote="same"),
            sample(X, Y),
            dtypes.float32,
        ),
        (
            lambda: made(pointwise, copied(double), ONE, "sin", kinds="f", input=CT_TWICE),
            sample(X),
            dtypes.complex64,
        ),
    ],
    ids=["value", "dtype", "shape", "gradient", "complex gradient", "ties", "no gradient", "refusal"],
)  # fmt: skip
def test_a_difference_from_torch_is_caught(op, at, dtype, torch_or_skip):
    with pytest.raises(Failure):
        oracle.check_against_torch(op(), at, torch_or_skip, dtype)
