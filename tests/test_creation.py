"""Creation functions: dtypes and shapes inferred, keywords, texts, and equality with torch."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import retrograd as rg


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1, rg.int64), (1.5, rg.float32), (True, rg.bool), (1j, rg.complex64), ([], rg.float32),
        ([1, 2.5], rg.float32),
        ([True, 2], rg.int64), ([True, 2.5], rg.float32), ([1, 1j], rg.complex64),
        ([np.float64(1)], rg.float64),
        ([np.int32(1)], rg.int32), (np.ones(2), rg.float64), (np.float32(2), rg.float32),
        ([[], []], rg.float32),
        (np.ones(2, np.float16), rg.float16), (range(3), rg.int64), ((1.0, 2.0), rg.float32),
        ([rg.tensor(1.0, dtype=rg.float64), 2.0], rg.float64), ([1, np.float64(1)], rg.float64),
    ],
)  # fmt: skip
def test_data_has_this_dtype(data, dtype):
    found = rg.tensor(data)
    assert found.dtype is dtype
    want = (
        np.array([v.item() if isinstance(v, rg.Tensor) else v for v in data])
        if isinstance(data, list)
        else np.array(data)
    )
    assert found.shape == want.shape
    np.testing.assert_array_equal(found.numpy(), want.astype(found.numpy().dtype))


@pytest.mark.parametrize(
    ("data", "kind", "text"),
    [
        ([[1, 2], [3]], ValueError, "expected sequence of length 2 at dim 1 (got 1)"),
        ("a", TypeError, "new(): invalid data type 'str'"),
        (["a"], ValueError, "too many dimensions 'str'"),
        (None, RuntimeError, "Could not infer dtype of NoneType"),
        ({}, RuntimeError, "Could not infer dtype of dict"),
        ([2**63], ValueError, "Overflow when unpacking long long"),
        ([1, [2]], TypeError, "'list' object cannot be interpreted as an integer"),
        ([[1], 2], TypeError, "not a sequence"),
        ([rg.ones(2)], ValueError, "only one element tensors can be converted to Python scalars"),
        (np.array(["a"]), TypeError, "can't convert np.ndarray of type numpy.str_."),
        (np.ones(3)[::-1], ValueError, "At least one stride in the given numpy array is negative"),
    ],
)
def test_what_is_no_data_says_so(data, kind, text):
    with pytest.raises(kind) as caught:
        rg.tensor(data)
    assert text in str(caught.value)


def test_a_dtype_that_is_asked_for():
    assert rg.tensor([1.7, 2], dtype=rg.int64).tolist() == [1, 2]
    assert rg.tensor([-1], dtype=rg.uint8).tolist() == [255]
    assert rg.tensor(2**63, dtype=rg.uint64).item() == 2**63
    with pytest.raises(RuntimeError, match="value cannot be converted to type uint8 without overflow"):
        rg.tensor([300], dtype=rg.uint8)
    with pytest.raises(TypeError, match="must be real number, not complex"):
        rg.tensor([1j], dtype=rg.float32)


def test_a_tensor_from_a_tensor_is_a_copy_and_warns():
    x = rg.ones(2)
    with pytest.warns(UserWarning, match="To copy construct from a tensor"):
        y = rg.tensor(x)
    y[0] = 5.0
    assert x.tolist() == [1, 1]


def test_what_shares_memory_with_numpy():
    a = np.ones(3)
    for make in (rg.from_numpy, rg.as_tensor, rg.asarray):
        make(a)[0] = make(a)[0] + 1
    assert a[0] == 4
    rg.tensor(a)[0] = 0.0
    rg.asarray(a, copy=True)[0] = 0.0
    assert a[0] == 4


def test_integers_cannot_require_grad():
    for make in (
        lambda: rg.tensor([1], requires_grad=True),
        lambda: rg.zeros(2, dtype=rg.int64, requires_grad=True),
    ):
        with pytest.raises(
            RuntimeError, match="Only Tensors of floating point and complex dtype can require gradients"
        ):
            make()
    assert rg.zeros(2, requires_grad=True).requires_grad


@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (lambda: rg.zeros(-1), RuntimeError, "zeros: Dimension size must be non-negative."),
        (
            lambda: rg.zeros(2.0),
            TypeError,
            "zeros(): argument 'size' (position 1) must be tuple of ints, not float",
        ),
        (rg.zeros, TypeError, 'zeros() missing 1 required positional arguments: "size"'),
        (
            lambda: rg.zeros(2, dtype="float32"),
            TypeError,
            "zeros(): argument 'dtype' must be torch.dtype, not str",
        ),
        (
            lambda: rg.full(2, 1),
            TypeError,
            "full(): argument 'size' (position 1) must be tuple of ints, not int",
        ),
        (lambda: rg.arange(1, 0), RuntimeError, "upper bound and lower bound inconsistent with step sign"),
        (lambda: rg.arange(0, 3, 0), RuntimeError, "step must be nonzero"),
        (lambda: rg.eye(-1), RuntimeError, "n must be greater or equal to 0, got -1"),
        (lambda: rg.linspace(0, 1, -1), RuntimeError, "number of steps must be non-negative"),
        (lambda: rg.zeros(2, device="cuda"), AssertionError, "Torch not compiled with CUDA enabled"),
        (
            lambda: rg.randn(2, dtype=rg.int64),
            NotImplementedError,
            "\"normal_kernel_cpu\" not implemented for 'Long'",
        ),
        (
            lambda: rg.randint(5, 0, (2,)),
            RuntimeError,
            "random_ expects 'from' to be less than 'to', but got from=5 >= to=0",
        ),
        (lambda: rg.from_numpy([1]), TypeError, "expected np.ndarray (got list)"),
        (
            lambda: rg.ones(2, requires_grad=True).normal_(),
            RuntimeError,
            "a leaf Variable that requires grad is being used",
        ),
    ],
)
def test_a_wrong_call_says_so(make, kind, text):
    with pytest.raises(kind) as caught:
        make()
    assert text in str(caught.value)


CALLS = """zeros(2, 3) | ones((2,)) | zeros([2], dtype=F.int32)
zeros(()) | full((2,), 1) | full((2,), 2.5) | full((2,), True)
full((2,), F.tensor(2.)) | eye(3) | eye(2, 3, dtype=F.bool)
arange(5) | arange(3.) | arange(0, 1, 0.1) | arange(5, 0, -2)
arange(1, 2, 0.3, dtype=F.float64) | arange(0, 10, 3, dtype=F.float16)
arange(F.tensor(3)) | arange(end=3)
linspace(0, 1, 5) | linspace(-3.3, 7.1, 50)
linspace(-3.3, 7.1, 50, dtype=F.float64) | linspace(0, 1, 1) | linspace(0, 10, 3, dtype=F.int64)
logspace(0, 2, 3) | logspace(0, 3, 4, base=2)
tril_indices(3, 4) | triu_indices(3, 2, -1) | tril_indices(3, 3, 1, dtype=F.int32)
zeros_like(F.ones(2, 3)) | ones_like(F.ones(2), dtype=F.int32)
full_like(F.ones(2), 7) | scalar_tensor(3) | tensor([[1., 2.], [3., 4.]])
ones(2).new_zeros(3) | ones(2).new_full((2,), 3)
ones(2).new_tensor([1, 2]) | ones(2, dtype=F.float64).new_ones(2, 2)
frombuffer(bytearray(8), dtype=F.float32, count=1, offset=4)
cartesian_prod(F.arange(2), F.arange(3)) | combinations(F.arange(4), 3)
meshgrid(F.arange(2), F.arange(3), indexing='xy')
block_diag(F.ones(2, 2), F.ones(3)) | zeros(2, out=F.ones(3))"""


@pytest.mark.parametrize("call", [c.strip() for line in CALLS.splitlines() for c in line.split("|")])
def test_equals_torch(torch_or_skip, call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, theirs = (eval(f"F.{call}", {"F": library}) for library in (rg, torch_or_skip))
    for a, b in zip(*((x,) if not isinstance(x, tuple) else x for x in (ours, theirs)), strict=True):
        assert str(a.dtype) == str(b.dtype)
        assert tuple(a.shape) == tuple(b.shape)
        np.testing.assert_array_equal(a.numpy(), b.numpy())


DRAWS = """rand(5) | randn(3, 4) | randn(100)
randint(10, (5,)) | randint(-3, 4, (5,), dtype=F.float32) | randperm(20) | rand_like(F.ones(3))
randn_like(F.ones(3, dtype=F.float64)) | randint_like(F.ones(3), 7)
normal(2., 3., (5,)) | normal(F.zeros(3), F.ones(3)) | normal(F.zeros(20), 2.)
bernoulli(F.full((9,), .3))
multinomial(F.tensor([.1, .2, .7]), 2) | multinomial(F.tensor([.1, .2, .7]), 8, replacement=True)
empty(5).uniform_(-1, 2) | empty(20).normal_(1, 2) | empty(5).exponential_(2.)
empty(5).geometric_(.3) | empty(5).log_normal_() | empty(5).cauchy_()
empty(5).bernoulli_(.4) | empty(5, dtype=F.int64).random_(10)
empty(5).random_(3, 9) | empty(5, dtype=F.int64).random_()"""


@pytest.mark.parametrize("call", [c.strip() for line in DRAWS.splitlines() for c in line.split("|")])
def test_draws_equal_torch(torch_or_skip, call):
    found = []
    for library in (rg, torch_or_skip):
        library.manual_seed(7)
        found.append(eval(f"F.{call}", {"F": library}))
    assert str(found[0].dtype) == str(found[1].dtype)
    np.testing.assert_allclose(found[0].numpy(), found[1].numpy(), rtol=2e-6, atol=2e-7)


def test_whole_numbers_evenly_spaced_equal_torchs(torch_or_skip):
    """What is cut off hangs on the last bit: torch multiplies and adds in float64 with one rounding."""
    rng = np.random.default_rng(0)
    for _ in range(300):
        start, end = (float(v) for v in rng.uniform(-50, 50, 2))
        steps = int(rng.integers(0, 200))
        for kind in ("int64", "int32", "int8"):
            theirs = torch_or_skip.linspace(start, end, steps, dtype=getattr(torch_or_skip, kind))
            ours = rg.linspace(start, end, steps, dtype=getattr(rg, kind))
            assert ours.tolist() == theirs.tolist(), (start, end, steps, kind)
    for start, end, steps, base in ((0, 1.2, 4, 10.0), (4.3, 0, 5, 2.0), (0, -3, 4, 2.0)):
        theirs = torch_or_skip.logspace(start, end, steps, base, dtype=torch_or_skip.int64)
        assert rg.logspace(start, end, steps, base, dtype=rg.int64).tolist() == theirs.tolist()
