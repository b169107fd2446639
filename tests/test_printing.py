"""Prove that tensors print as torch prints them: recorded outputs, and random cases against torch itself."""

from __future__ import annotations

import math
import random
import tracemalloc
from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from retrograd import dtypes, printing
from retrograd.printing import get_printoptions, printoptions, set_printoptions, tensor_str

F32, F64, I64 = np.float32, np.float64, np.int64
NAN, INF = math.nan, math.inf


class Tensor:
    """The part of a tensor that printing looks at."""

    def __init__(self, array: Any, grad_fn: Any = None, requires_grad: bool = False) -> None:
        self._array = array
        self.dtype = dtypes.of_array(array)
        self.grad_fn = grad_fn
        self.requires_grad = requires_grad

    def __str__(self) -> str:
        return tensor_str(self)


class Parameter(Tensor):
    pass


class Weights(Parameter):
    pass


class Buffer(Tensor):
    pass


class Sub(Tensor):
    pass


class MulBackward0:
    pass


class CloneBackward0:
    pass


class ViewWrite:
    def name(self) -> str:
        return "torch::autograd::CopySlices"


@pytest.fixture(autouse=True)
def default_state() -> Iterator[None]:
    set_printoptions(profile="default")
    yield
    set_printoptions(profile="default")
    dtypes.default.float = dtypes.float32


def show(values: Any, numpy_type: Any = F32, **state: Any) -> str:
    return tensor_str(Tensor(np.array(values, numpy_type), **state))


# ---- outputs recorded from torch 2.13 ----------------------------------------------------------------------

RECORDED = [
    ([1, 2, 3], F32, "tensor([1., 2., 3.])"),
    ([1, 2.5], F32, "tensor([1.0000, 2.5000])"),
    ([1 / 3, 2 / 3], F32, "tensor([0.3333, 0.6667])"),
    (3.14159265, F32, "tensor(3.1416)"),
    (3, F32, "tensor(3.)"),
    (3, I64, "tensor(3)"),
    ([-1, 2, -3.5], F32, "tensor([-1.0000,  2.0000, -3.5000])"),
    ([1e-3, 10], F32, "tensor([1.0000e-03, 1.0000e+01])"),
    ([1e-2, 10], F32, "tensor([1.0000e-02, 1.0000e+01])"),
    ([1.5e8, 1.5], F32, "tensor([1.5000e+08, 1.5000e+00])"),
    ([1e9, 1], F32, "tensor([1.0000e+09, 1.0000e+00])"),
    ([1e8, 1], F32, "tensor([1.0000e+08, 1.0000e+00])"),
    ([1e6, 1], F32, "tensor([1.0000e+06, 1.0000e+00])"),
    ([1e-5, 2e-5], F32, "tensor([1.0000e-05, 2.0000e-05])"),
    ([1e-4, 2e-4], F32, "tensor([1.0000e-04, 2.0000e-04])"),
    ([NAN, INF, -INF, 1], F32, "tensor([nan, inf, -inf, 1.])"),
    ([NAN, 1.5], F32, "tensor([   nan, 1.5000])"),
    ([NAN], F32, "tensor([nan])"),
    ([0, 0, 0], F32, "tensor([0., 0., 0.])"),
    ([-0.0], F32, "tensor([-0.])"),
    ([-0.0, 0, 1.5], F32, "tensor([-0.0000, 0.0000, 1.5000])"),
    ([NAN, -INF, 1.5e10], F32, "tensor([       nan,       -inf, 1.5000e+10])"),
    ([], F32, "tensor([])"),
    ([], np.int32, "tensor([], dtype=torch.int32)"),
    ([], np.bool_, "tensor([], dtype=torch.bool)"),
    (np.empty((0, 3)), F32, "tensor([], size=(0, 3))"),
    (np.empty((2, 0)), I64, "tensor([], size=(2, 0), dtype=torch.int64)"),
    ([True, False], np.bool_, "tensor([ True, False])"),
    ([1, 2], np.int32, "tensor([1, 2], dtype=torch.int32)"),
    ([1, 200], np.uint8, "tensor([  1, 200], dtype=torch.uint8)"),
    ([2**64 - 1, 0], np.uint64, "tensor([18446744073709551615,                    0], dtype=torch.uint64)"),
    ([1, 2], F64, "tensor([1., 2.], dtype=torch.float64)"),
    ([1, 2.5], np.float16, "tensor([1.0000, 2.5000], dtype=torch.float16)"),
    ([100, 0.1], np.float16, "tensor([1.0000e+02, 9.9976e-02], dtype=torch.float16)"),
    ([1, 2.5], ml_dtypes.bfloat16, "tensor([1.0000, 2.5000], dtype=torch.bfloat16)"),
    ([1 + 2j, 3.5 - 1j], np.complex64, "tensor([1.0000+2.j, 3.5000-1.j])"),
    ([1 + 2j, 3 - 1j], np.complex64, "tensor([1.+2.j, 3.-1.j])"),
    ([1 + 2j], np.complex128, "tensor([1.+2.j], dtype=torch.complex128)"),
    (1 + 2j, np.complex64, "tensor(1.+2.j)"),
    ([complex(0, -100), complex(-100, 1), complex(NAN, NAN)], np.complex64,
     "tensor([   0.-100.j, -100.+1.j,   nan+nanj])"),
    ([[0, 1, 2], [3, 4, 5]], F32, "tensor([[0., 1., 2.],\n        [3., 4., 5.]])"),
    (np.arange(12).reshape(2, 2, 3), I64, """\
tensor([[[ 0,  1,  2],
         [ 3,  4,  5]],

        [[ 6,  7,  8],
         [ 9, 10, 11]]])"""),
    (np.arange(8).reshape(2, 2, 1, 2), I64, """\
tensor([[[[0, 1]],

         [[2, 3]]],


        [[[4, 5]],

         [[6, 7]]]])"""),
    (np.arange(30), F32, """\
tensor([ 0.,  1.,  2.,  3.,  4.,  5.,  6.,  7.,  8.,  9., 10., 11., 12., 13.,
        14., 15., 16., 17., 18., 19., 20., 21., 22., 23., 24., 25., 26., 27.,
        28., 29.])"""),
    (np.arange(1001), I64, "tensor([   0,    1,    2,  ...,  998,  999, 1000])"),
    (np.zeros((1001, 2)), F32, """\
tensor([[0., 0.],
        [0., 0.],
        [0., 0.],
        ...,
        [0., 0.],
        [0., 0.],
        [0., 0.]])"""),
    (np.arange(40 * 40.0).reshape(40, 40), F32, """\
tensor([[0.0000e+00, 1.0000e+00, 2.0000e+00,  ..., 3.7000e+01, 3.8000e+01,
         3.9000e+01],
        [4.0000e+01, 4.1000e+01, 4.2000e+01,  ..., 7.7000e+01, 7.8000e+01,
         7.9000e+01],
        [8.0000e+01, 8.1000e+01, 8.2000e+01,  ..., 1.1700e+02, 1.1800e+02,
         1.1900e+02],
        ...,
        [1.4800e+03, 1.4810e+03, 1.4820e+03,  ..., 1.5170e+03, 1.5180e+03,
         1.5190e+03],
        [1.5200e+03, 1.5210e+03, 1.5220e+03,  ..., 1.5570e+03, 1.5580e+03,
         1.5590e+03],
        [1.5600e+03, 1.5610e+03, 1.5620e+03,  ..., 1.5970e+03, 1.5980e+03,
         1.5990e+03]])"""),
]  # fmt: skip


@pytest.mark.parametrize(("values", "numpy_type", "expected"), RECORDED)
def test_recorded_numbers(values: Any, numpy_type: Any, expected: str) -> None:
    assert show(values, numpy_type) == expected


def test_thousand_elements_are_not_summarised() -> None:
    assert show(np.arange(1000), I64).startswith(
        "tensor([  0,   1,   2,   3,   4,   5,   6,   7,   8,   9,  10,  11,  12,  13,\n         14,"
    )


def test_recorded_suffixes() -> None:
    node = MulBackward0()
    assert show([1, 2], requires_grad=True) == "tensor([1., 2.], requires_grad=True)"
    assert show([2, 4], grad_fn=node, requires_grad=True) == "tensor([2., 4.], grad_fn=<MulBackward0>)"
    assert show(3, grad_fn=node) == "tensor(3., grad_fn=<MulBackward0>)"
    assert show([2, 4], F64, grad_fn=node) == "tensor([2., 4.], dtype=torch.float64, grad_fn=<MulBackward0>)"
    assert show([1, 1], grad_fn=ViewWrite()) == "tensor([1., 1.], grad_fn=<CopySlices>)"
    assert show([], requires_grad=True) == "tensor([], requires_grad=True)"
    numbers = "tensor([ 0.,  1.,  2.,  3.,  4.,  5.,  6.,  7.,  8.,  9., 10., 11.],\n       "
    assert show(np.arange(12), grad_fn=node) == numbers + "grad_fn=<MulBackward0>)"
    assert show(np.arange(12), F64, grad_fn=node) == numbers + "dtype=torch.float64, grad_fn=<MulBackward0>)"


def test_recorded_classes() -> None:
    def ones(kind: type[Tensor], *shape: int, **state: Any) -> str:
        return tensor_str(kind(np.ones(shape, F32), **state))

    assert ones(Buffer, 2) == "tensor([1., 1.])"
    assert ones(Parameter, 2) == "Parameter containing:\ntensor([1., 1.])"
    assert ones(Parameter, 2, 2, requires_grad=True) == (
        "Parameter containing:\ntensor([[1., 1.],\n        [1., 1.]], requires_grad=True)"
    )
    assert ones(Weights, 2, 2, requires_grad=True) == (
        "Parameter containing:\nParameter(Weights([[1., 1.],\n         [1., 1.]], requires_grad=True))"
    )
    assert tensor_str(Sub(np.arange(30, dtype=F32))) == (
        "Sub([ 0.,  1.,  2.,  3.,  4.,  5.,  6.,  7.,  8.,  9., 10., 11., 12., 13., 14.,\n"
        "     15., 16., 17., 18., 19., 20., 21., 22., 23., 24., 25., 26., 27., 28., 29.])"
    )


def test_recorded_tangents() -> None:
    short, matrix = Tensor(np.ones(2, F32)), np.arange(12, dtype=F32).reshape(3, 4)
    assert tensor_str(short, tangent=short) == "tensor([1., 1.], tangent=tensor([1., 1.]))"
    expected = """\
tensor([[ 0.,  1.,  2.,  3.],
        [ 4.,  5.,  6.,  7.],
        [ 8.,  9., 10., 11.]],
       tangent=tensor([[ 0.5000,  1.5000,  2.5000,  3.5000],
        [ 4.5000,  5.5000,  6.5000,  7.5000],
        [ 8.5000,  9.5000, 10.5000, 11.5000]]))"""
    assert tensor_str(Tensor(matrix), tangent=Tensor(matrix + F32(0.5))) == expected
    assert tensor_str(Tensor(np.array(0, F32)), tangent=0.5) == "tensor(0., tangent=0.5)"


def test_unusable_history_prints_as_invalid() -> None:
    class Broken(Tensor):
        @property
        def grad_fn(self) -> Any:
            raise RuntimeError("a view was modified in place")

        @grad_fn.setter
        def grad_fn(self, node: Any) -> None:
            pass

    assert tensor_str(Broken(np.array([2.0, 2.0], F32))) == "Broken([2., 2.], grad_fn=<Invalid>)"


@pytest.mark.parametrize(
    ("default", "shown"),
    [(dtypes.float64, "complex64"), (dtypes.float16, "complex128"), (dtypes.bfloat16, "complex128")],
)
def test_default_dtype_and_its_complex_partner_are_not_named(default: dtypes.dtype, shown: str) -> None:
    dtypes.default.float = default
    assert show([1], default.np) == "tensor([1.])"
    assert show([1], F32) == "tensor([1.], dtype=torch.float32)"
    assert show([1], default.to_complex().np) == "tensor([1.+0.j])"
    assert show([1], shown) == f"tensor([1.+0.j], dtype=torch.{shown})"


# ---- options -----------------------------------------------------------------------------------------------


def test_options_change_the_text() -> None:
    with printoptions(precision=2):
        assert show([1 / 3]) == "tensor([0.33])"
    with printoptions(sci_mode=True):
        assert show([1 / 3]) == "tensor([3.3333e-01])"
    with printoptions(sci_mode=False):
        assert show([0, 1.5e-9]) == "tensor([0.0000, 0.0000])"
    with printoptions(profile="short"):
        assert show(np.arange(1001)) == "tensor([   0.,    1.,  ...,  999., 1000.])"
    with printoptions(threshold=5, edgeitems=1):
        assert show(np.arange(6)) == "tensor([0.,  ..., 5.])"
    with printoptions(threshold=0, edgeitems=1):
        block = "[[1.,  ..., 1.],\n         ...,\n         [1.,  ..., 1.]]"
        assert show(np.ones((3, 4, 3))) == f"tensor([{block},\n\n        ...,\n\n        {block}])"
    with printoptions(profile="full"):
        assert len(show(np.arange(2000), I64)) == 13336
    with printoptions(edgeitems=0, threshold=0):
        assert show([1, 2, 3], F64) == "tensor([...], size=(3,), dtype=torch.float64)"
        assert show(2.5) == "tensor(2.5000, size=())"


def test_set_printoptions_keeps_what_is_not_given_except_sci_mode() -> None:
    expected = {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80, "sci_mode": None}
    assert get_printoptions() == vars(printing.PRINT_OPTS) == expected
    set_printoptions(linewidth=50, sci_mode=True)
    assert get_printoptions() == expected | {"linewidth": 50, "sci_mode": True}
    set_printoptions(precision=7)
    assert get_printoptions() == expected | {"linewidth": 50, "precision": 7}
    set_printoptions(profile="short", precision=9)
    assert get_printoptions() == expected | {"precision": 9, "edgeitems": 2}
    set_printoptions(profile="unknown")
    assert get_printoptions() == expected | {"precision": 9, "edgeitems": 2}
    get_printoptions()["precision"] = 1
    assert get_printoptions()["precision"] == 9


def test_printoptions_restores_everything_after_an_error() -> None:
    set_printoptions(sci_mode=True, linewidth=60)
    before = get_printoptions()
    with pytest.raises(ZeroDivisionError), printoptions(profile="short"):
        assert get_printoptions() != before
        raise ZeroDivisionError
    assert get_printoptions() == before
    with pytest.raises(TypeError, match="unexpected keyword"), printoptions(width=3):
        pass
    assert get_printoptions() == before


# ---- cost and odd arrays -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(10**8,), (10**4, 10**4), (7, 10**7), (10**7, 7)])
def test_large_tensors_are_not_copied(shape: tuple[int, ...]) -> None:
    tensor = Tensor(np.broadcast_to(F32(1.5), shape))
    tracemalloc.start()
    text = tensor_str(tensor)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "..." in text
    assert peak_bytes < 1_000_000


def test_arrays_are_not_changed_and_may_be_read_only_and_strided() -> None:
    array = np.arange(24, dtype=F32).reshape(4, 6)
    array.flags.writeable = False
    assert tensor_str(Tensor(array.T[::2, ::-1])) == show(array.T[::2, ::-1].copy())
    assert np.array_equal(array.ravel(), np.arange(24))


@pytest.mark.parametrize("numpy_type", [np.float16, ml_dtypes.bfloat16])
def test_every_16_bit_pattern_prints_even_where_numpy_is_told_to_raise(numpy_type: Any) -> None:
    array = np.arange(2**16, dtype=np.uint16).view(numpy_type)
    with np.errstate(all="raise"), printoptions(profile="full"):
        text = tensor_str(Tensor(array))
    with np.errstate(invalid="ignore"):
        nan_count = int(np.isnan(array).sum())
    assert text.count(",") == 2**16
    assert text.count("nan") == nan_count


# ---- random cases against torch ----------------------------------------------------------------------------

SHAPES: list[tuple[int, ...]] = [
    (), (0,), (1,), (2,), (9,), (30,), (1000,), (1001,), (2, 0), (0, 3), (3, 5), (1, 33), (40, 26), (2, 600),
    (2, 1, 4), (12, 10, 9), (3, 2, 0, 1), (1, 2, 1, 3), (2, 7, 6, 13),
]  # fmt: skip
SPECIAL = [0.0, -0.0, 1.0, 0.5, 1e-2, 1e-3, 1e-4, 10.0, 100.0, 1000.0, 1e8, 0.99995, 9.99995, 99999.5, 5e-324]


def random_floats(pick: random.Random, draw: np.random.Generator, count: int) -> np.ndarray[Any, Any]:
    values: np.ndarray[Any, Any] = draw.normal(size=count)
    form = pick.randrange(7)
    if form == 1:
        values = values * 10.0 ** pick.choice([-310, -40, *range(-8, 13)])
    elif form == 2:
        values = values * 10.0 ** draw.uniform(pick.uniform(-9, 3), pick.uniform(3, 12), count)
    elif form == 3:
        values = np.round(values * 10.0 ** pick.randint(0, 11))
    elif form == 4:
        values = np.full(count, pick.choice([*SPECIAL, NAN, INF, -INF]))
    elif form == 5:
        values = draw.choice(pick.sample(SPECIAL, 3), count)
    elif form == 6:
        values = 10.0 ** draw.uniform(-4.2, -0.8, count)
    if pick.random() < 0.35:
        for value in pick.sample([NAN, INF, -INF, 0.0, -0.0], 2):
            values[draw.random(count) < pick.choice([0.1, 0.5, 0.9])] = value
    return values


def random_array(pick: random.Random, draw: np.random.Generator) -> np.ndarray[Any, Any]:
    values: np.ndarray[Any, Any]
    dtype, shape = pick.choice(dtypes.ALL), pick.choice(SHAPES)
    count = math.prod(shape)
    if dtype.is_complex:
        parts = random_floats(pick, draw, count), random_floats(pick, draw, count)
        values = np.stack(parts, axis=-1).view(np.complex128)
    elif dtype.is_floating_point:
        values = random_floats(pick, draw, count)
    elif dtype is dtypes.bool_:
        values = draw.random(count) < pick.choice([0.1, 0.9, 1.0])
    else:
        limits = dtypes.iinfo(dtype)
        high = min(limits.max, 10 ** pick.randint(0, 19))
        values = draw.integers(pick.choice([0, max(limits.min, -high)]), high, count, dtype.np, endpoint=True)
    with np.errstate(over="ignore", invalid="ignore"):
        array = values.astype(dtype.np).reshape(shape)
    return array.T if pick.random() < 0.2 else array


def random_options(pick: random.Random) -> dict[str, Any]:
    choices: dict[str, Any] = {
        "precision": [0, 1, 2, 6, 12],
        "threshold": [0, 5, 50, INF],
        "edgeitems": [0, 1, 2, 4],
        "linewidth": [0, pick.randint(20, 70), pick.randint(20, 70), pick.randint(70, 150)],
        "profile": ["default", "short", "full", "FULL"],
        "sci_mode": [True, False, None],
    }
    return {name: pick.choice(values) for name, values in choices.items() if pick.random() < 0.3}


def to_torch(torch: Any, array: np.ndarray[Any, Any]) -> Any:
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def both_texts(torch: Any, seed: int) -> tuple[str, str]:
    """Return what torch and this library print for the random case `seed`."""
    pick, draw = random.Random(seed), np.random.default_rng(seed)
    array, options = random_array(pick, draw), random_options(pick)
    default = pick.choice([*[dtypes.float32] * 4, dtypes.float64, dtypes.float16, dtypes.bfloat16])
    theirs, ours = to_torch(torch, array), Tensor(array)
    if ours.dtype.category >= dtypes.FLOATING and pick.random() < 0.5:
        theirs.requires_grad_()
        ours.requires_grad = True
        if pick.random() < 0.5:
            theirs, ours.grad_fn = theirs.clone(), CloneBackward0()
    dtypes.default.float = default
    torch.set_default_dtype(getattr(torch, default.name))
    try:
        torch.set_printoptions(**options)
        set_printoptions(**options)
        return repr(theirs), tensor_str(ours)
    finally:
        dtypes.default.float = dtypes.float32
        torch.set_default_dtype(torch.float32)
        torch.set_printoptions(profile="default")
        set_printoptions(profile="default")


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch")


def disagreeing(torch: Any) -> Iterator[int]:
    """Yield the seeds of the random cases that the two print differently."""
    for seed in range(2000):
        theirs, ours = both_texts(torch, seed)
        if theirs != ours:
            yield seed


def test_random_tensors_print_as_in_torch(torch: Any) -> None:
    for seed in disagreeing(torch):
        theirs, ours = both_texts(torch, seed)
        assert ours == theirs, f"seed {seed}"


@pytest.mark.parametrize(
    ("name", "wrong"), [("_SCI_RATIO", 990.0), ("_SCI_LARGEST", 1e7), ("_SCI_SMALLEST", 2e-4)]
)
def test_random_cases_catch_a_planted_fault(
    torch: Any, monkeypatch: pytest.MonkeyPatch, name: str, wrong: float
) -> None:
    monkeypatch.setattr(printing, name, wrong)
    seed = next(disagreeing(torch), None)
    assert seed is not None
    monkeypatch.undo()
    theirs, ours = both_texts(torch, seed)
    assert ours == theirs  # so it was the fault that was caught


@pytest.mark.parametrize("linewidth", range(15, 85))
def test_classes_and_tangents_print_as_in_torch(torch: Any, linewidth: int) -> None:
    array = np.linspace(-3, 5, 10).reshape(5, 2)
    theirs, ours = torch.from_numpy(array), Tensor(array)
    their_sub = type("Sub", (torch.Tensor,), {})
    their_weights = type("Weights", (torch.nn.Parameter,), {})
    forward_ad = torch.autograd.forward_ad
    torch.set_printoptions(linewidth=linewidth)
    set_printoptions(linewidth=linewidth)
    try:
        with forward_ad.dual_level():
            assert tensor_str(ours, tangent=ours) == repr(forward_ad.make_dual(theirs, theirs.clone()))
        assert tensor_str(Sub(array)) == repr(theirs.as_subclass(their_sub))
        assert tensor_str(Parameter(array, requires_grad=True)) == repr(torch.nn.Parameter(theirs))
        assert tensor_str(Weights(array, requires_grad=True)) == repr(their_weights(theirs))
    finally:
        torch.set_printoptions(profile="default")
