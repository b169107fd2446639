"""torch.testing: what is close, what the error says, and tensors to test with."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import retrograd as torch
from retrograd.testing import assert_allclose, assert_close, make_tensor

T = torch.tensor
NAN, INF = float("nan"), float("inf")


def message(*args, **options):
    with pytest.raises(AssertionError) as caught:
        assert_close(*args, **options)
    return str(caught.value)


def test_what_is_close():
    assert_close(T([1.0, 2.0]), T([1.0, 2.000001]))
    assert_close(T([INF, -INF]), T([INF, -INF]))
    assert_close(T([NAN]), T([NAN]), equal_nan=True)
    assert_close(1.0, 1.0 + 1e-8)
    assert_close({"a": [T([1.0]), (None, True)]}, {"a": [T([1.0]), (None, True)]})
    assert_close([1, 2], (1, 2))
    assert_close(np.ones(2), np.ones(2))
    assert_close(T([1]), T([1.0]), check_dtype=False)
    assert_close(1, 1.0, check_dtype=False)
    assert_close(torch.nn.Parameter(torch.ones(1)), torch.ones(1))
    assert_close(torch.ones(0), torch.ones(0))
    assert_close(T([1]), T([2]), rtol=0, atol=1)


@pytest.mark.parametrize(
    ("dtype", "rtol", "atol"),
    [
        (torch.float16, 1e-3, 1e-5), (torch.bfloat16, 1.6e-2, 1e-5), (torch.float32, 1.3e-6, 1e-5),
        (torch.float64, 1e-7, 1e-7), (torch.complex64, 1.3e-6, 1e-5), (torch.complex128, 1e-7, 1e-7),
    ],
)  # fmt: skip
def test_default_tolerances_count(dtype, rtol, atol):
    wide = torch.float64 if not dtype.is_complex else torch.complex128
    big = T([100.0], dtype=wide).to(dtype)
    near = T([100.0 + 70 * rtol], dtype=wide).to(dtype)
    far = T([100.0 + 300 * rtol], dtype=wide).to(dtype)
    assert_close(near, big)
    assert "are not close" in message(far, big)
    assert_close(T([0.9 * atol], dtype=wide).to(dtype), T([0.0]).to(dtype))
    assert "are not close" in message(T([1.1 * atol], dtype=wide).to(dtype), T([0.0]).to(dtype))


def test_nothing_else_is_close():
    for one, other in (
        (T([NAN]), T([NAN])), (T([INF]), T([-INF])), (T([1.0]), T([INF])), (T([1.0, 2.0]), T([2.0, 1.0])),
        (T([True]), T([False])), (T([1]), T([2])), (1.0, 1.1), (1, 2), (True, False), (None, 1),
        (T([1.0]), T([1.0], dtype=torch.float64)), (torch.ones(2), torch.ones(3)),
        ([1], [1, 2]), ({"a": 1}, {"b": 1}),
        (T([1j]), T([-1j])), (1j, 2j), ([T([1.0])], [T([2.0])]),
    ):  # fmt: skip
        message(one, other)


def test_text():
    assert message(T([1.0, 2.0, 3.0]), T([1.0, 2.5, 3.0])) == (
        "Tensor-likes are not close!\n\nMismatched elements: 1 / 3 (33.3%)\n"
        "Greatest absolute difference: 0.5 at index (1,) (up to 1e-05 allowed)\n"
        "Greatest relative difference: 0.20000000298023224 at index (1,) (up to 1.3e-06 allowed)"
    )
    assert message(T([1.0]), T([2.0]), msg="mine") == "mine"
    assert message(T([1.0]), T([2.0]), msg=lambda text: f"mine: {text}").startswith(
        "mine: Tensor-likes are not"
    )


def test_refusals():
    for one, other in (
        (T([1.0]), 1.0),
        ([1.0], T([1.0])),
        ("a", "a"),
        (np.ones(1), torch.ones(1)),
        (True, 1),
    ):
        with pytest.raises(TypeError, match="No comparison pair was able to handle inputs of type"):
            assert_close(one, other)
    with pytest.raises(TypeError, match="No comparison pair"):
        assert_close(torch.nn.Parameter(torch.ones(1)), torch.ones(1), allow_subclasses=False)
    with pytest.raises(ValueError, match="Both 'rtol' and 'atol' must be either specified or omitted"):
        assert_close(T([1.0]), T([1.0]), rtol=1e-3)
    with pytest.raises(RuntimeError, match="rtol must be greater than or equal to zero"):
        assert_close(T([1.0]), T([1.0]), rtol=-1.0, atol=0.0)


def cases(package):
    """Yield arguments whose messages are compared with torch's."""
    t = package.tensor
    yield (t(1.0), t(2.0)), {}
    yield (1.0, 1.1), {}
    yield (1, 2), {}
    yield (True, False), {}
    yield (1 + 1j, 1 + 2j), {}
    yield (1, 1.0), {}
    yield (None, 1), {}
    yield (np.float64(1.0), 2.0), {}
    yield (np.ones(2), np.ones(2) * 2), {}
    yield (package.ones(2), package.ones(3)), {}
    yield (package.ones(2), package.ones(2, dtype=package.float64)), {}
    yield (package.ones(2, 3), package.ones(3, 2).t()), {"check_stride": True}
    yield (t([1, 2]), t([1, 3])), {}
    yield (t([1, 250], dtype=package.uint8), t([3, 1], dtype=package.uint8)), {}
    yield (t([True, False]), t([True, True])), {}
    yield (t([NAN, 1.0]), t([NAN, 2.0])), {}
    yield (t([NAN, 1.0]), t([NAN, 2.0])), {"equal_nan": True}
    yield (t([INF, 1.0]), t([-INF, 1.0])), {}
    yield (t([1.0, 0.0]), t([0.0, 0.0])), {}
    yield (package.zeros(2, 3), package.arange(6.0).reshape(2, 3)), {}
    yield (t([1.0]), t([1.1])), {"rtol": 0, "atol": 0}
    yield (t([1.0, 2.0]), t([1.1, 2.0])), {"rtol": 1e-3, "atol": 1e-2}
    yield (t([1]), t([1.5])), {"check_dtype": False}
    yield (t([1.0]).half(), t([1.1]).half()), {}
    yield (t([1.0, 3.0]).bfloat16(), t([1.1, 2.9]).bfloat16()), {}
    yield (t([1 + 1j]), t([1 + 2j])), {}
    yield ([t([1.0]), t([2.0])], [t([1.0]), t([3.0])]), {}
    yield ([t([1.0])], [t([1.0]), t([3.0])]), {}
    yield ({"a": [t([1.0]), [t([1.0])]]}, {"a": [t([1.0]), [t([2.0])]]}), {}
    yield ({"a": 1, "c": 1}, {"b": 1, "a": 1}), {}
    yield ((1, 2), [1, 3]), {}
    yield (t([1.0]), t([2.0])), {"msg": lambda text: f"mine\n{text}"}


def test_texts_are_torchs(torch_or_skip):
    mine, theirs = list(cases(torch)), list(cases(torch_or_skip))
    for (args, options), (their_args, their_options) in zip(mine, theirs, strict=True):
        with pytest.raises(AssertionError) as caught:
            torch_or_skip.testing.assert_close(*their_args, **their_options)
        assert message(*args, **options) == str(caught.value)


def test_the_old_name():
    with pytest.warns(FutureWarning, match=r"deprecated since 1\.12"):
        assert_allclose(T([1.0]), T([1.00005]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_allclose(T([1.0, NAN]), [1.0, NAN])
        assert_allclose(torch.ones(2), torch.ones(2, dtype=torch.float64))
        with pytest.raises(AssertionError, match=r"up to 0\.0001 allowed"):
            assert_allclose(T([1.0]), T([1.001]))
        with pytest.raises(AssertionError, match=r"^mine$"):
            assert_allclose(T([1.0]), T([1.001]), msg="mine")


# ---- make_tensor ----


@pytest.mark.parametrize(
    "dtype", [d for d in torch.dtypes.ALL if d.name not in ("uint16", "uint32", "uint64")]
)
def test_make_tensor_gives_what_is_asked_for(dtype):
    made = make_tensor(50, 4, dtype=dtype, device="cpu")
    assert (made.dtype, tuple(made.shape)) == (dtype, (50, 4))
    wide = made.to(torch.complex128) if dtype.is_complex else made.to(torch.float64)
    parts = [wide.real, wide.imag] if dtype.is_complex else [wide]
    for part in parts:
        assert -9 <= part.min().item() < part.max().item() <= 9
    bounded = make_tensor((50,), dtype=dtype, device="cpu", low=1, high=2)
    assert (bounded.abs() if dtype is not torch.bool else bounded).min().item() >= 1


def test_make_tensor_options():
    made = make_tensor(2, 3, dtype=torch.float32, device="cpu", requires_grad=True, noncontiguous=True)
    assert made.requires_grad
    assert made.is_leaf
    assert made.stride() == (6, 2)
    assert (
        make_tensor(40, dtype=torch.int64, device="cpu", low=0, high=2, exclude_zero=True).tolist()
        == [1] * 40
    )
    assert make_tensor((), dtype=torch.float32, device="cpu").shape == ()
    assert make_tensor((0,), dtype=torch.float32, device="cpu").shape == (0,)
    last = make_tensor(1, 2, 2, 2, dtype=torch.float32, device="cpu", memory_format=torch.channels_last)
    assert last.stride() == (8, 1, 4, 2)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"dtype": torch.int64, "requires_grad": True}, "is not supported for boolean and integral dtypes"),
        ({"dtype": torch.float32, "low": 2, "high": 1}, "`low` must be less than `high`, but got 2 >= 1"),
        ({"dtype": torch.int64, "low": 3, "high": 3}, "`low` must be less than `high`, but got 3 >= 3"),
        ({"dtype": torch.float32, "low": NAN}, "`low` and `high` cannot be NaN"),
        ({"dtype": torch.uint8, "low": 300, "high": 400}, "torch.uint8 only supports"),
        (
            {"dtype": torch.float32, "noncontiguous": True, "memory_format": torch.channels_last},
            "mutually exclusive",
        ),
    ],
)
def test_make_tensor_refusals(options, text):
    with pytest.raises(ValueError, match=text):
        make_tensor(2, 3, device="cpu", **options)


def test_make_tensor_draws_torchs_numbers(torch_or_skip):
    names = ("float32", "float64", "float16", "bfloat16", "complex64", "complex128", "int64", "uint8", "bool")
    options = [{}, {"noncontiguous": True}, {"low": 1, "high": 2}]
    for name in names:
        for chosen in options:
            found = []
            for package in (torch, torch_or_skip):
                package.manual_seed(5)
                found.append(
                    package.testing.make_tensor(
                        2, 3, dtype=getattr(package, name), device="cpu", **chosen
                    ).tolist()
                )
            assert found[0] == found[1], (name, chosen)
