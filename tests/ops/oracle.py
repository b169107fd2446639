"""What torch says of an op: one call through both libraries, compared in value, dtype, shape and gradient."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from ops.convert import (
    arrays_of,
    changed,
    difference,
    fail,
    flat,
    in_dtype,
    is_inexact,
    mapped,
    public,
    random_like,
    rng_for,
)

import retrograd
from retrograd import dtypes
from retrograd.autograd.calls import grad as gradients
from retrograd.ops.declare import TABLE, Op, Sample
from retrograd.tensor import Tensor, wrap

TRIED = tuple(
    dtypes.BY_NAME[n]
    for n in (
        "float64",
        "float32",
        "float16",
        "bfloat16",
        "complex64",
        "complex128",
        "int64",
        "uint8",
        "bool",
    )
)
# (relative, absolute as a part of the largest element): equally good implementations round differently. In
# 16 bits one rounding is 5e-4 or 4e-3; gradients are rounded several times.
TOLERANCES = {
    "float64": (1e-9, 1e-10), "complex128": (1e-9, 1e-10), "float32": (2e-5, 1e-5), "complex64": (2e-5, 1e-5),
    "float16": (2e-3, 2e-3), "bfloat16": (1.6e-2, 1.6e-2),
}  # fmt: skip
GRADIENT_TOLERANCES = TOLERANCES | {"float16": (1e-2, 1e-2), "bfloat16": (5e-2, 5e-2)}
INEXACT_IN_TORCH = {
    "celu": (("float64",), "it keeps alpha in float32 in its backward"),
    "hardsigmoid": (("float64",), "it keeps 1/6 in float32 in its backward"),
    "ldexp": (tuple(TOLERANCES), "its backward computes 2**other in integers, where negative powers are 0"),
    "logcumsumexp": (("float16", "bfloat16"), "its backward takes differences of large numbers in 16 bits"),
}
"""Ops whose gradients torch gives with fewer digits than these dtypes hold; the others are compared."""

ROUGH_IN_TORCH = {"bessel_j0": 1e-8, "bessel_y0": 1e-8}
"""How far off torch's values are in float64, where that is more than rounding."""

NOT_FINITE_IN_TORCH = {
    **dict.fromkeys(
        ("bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1"), "it is cos(x) times zero at infinity"
    ),
    "modified_bessel_i0": "its series is infinity times zero at infinity",
    "modified_bessel_i1": "its series is infinity times zero at infinity",
    "airy_ai": "its series is infinity times zero at infinity",
    "gelu": "it overflows at the largest numbers, and multiplies infinity by zero",
    "i0": "its series is infinity times zero at infinity",
    "i1": "its series is infinity times zero at infinity",
}
"""Ops of which torch gives NaN or infinity where the mathematics has a value, which we give."""

FINITE_IN_TORCH = {
    "digamma": "its slope at the poles is a large number, by rounding",
    "i1": "it takes NaN as a small number, with the slope 1/2",
    "i1e": "it takes NaN as a small number, with the slope 1/2",
}
"""Ops whose gradient is NaN or infinite with us at edges where torch gives a number."""

ZERO_IN_TORCH = {"polar": "it takes the angle from the result, which has none where the magnitude is 0"}
"""Ops whose gradient torch takes as 0 at edges where the mathematics has a value, which we give."""

_POLYNOMIALS = [
    *[f"{of}chebyshev_polynomial_{kind}" for of in ("", "shifted_") for kind in "tuvw"],
    "hermite_polynomial_h",
    "hermite_polynomial_he",
    "laguerre_polynomial_l",
    "legendre_polynomial_p",
]
UNDEFINED_AT_THE_EDGES = {
    **dict.fromkeys(_POLYNOMIALS, "of NaN it returns what lies in memory"),
    "multi_margin_loss": "it reads memory that is not its own where there is no class",
    "pdist": "its backward ends the process where the result is empty",
    "pixel_unshuffle": "it leaves no images at all in the shape that they had",
}
"""Ops that are not compared with torch at the edges."""

_IN_16_BITS = (("float16", "bfloat16"), "it gives infinity, or -25000 for 0.74, even for a small matrix")
NOT_COMPARED = {
    "cholesky_inverse": (
        ("complex64", "complex128"),
        "a Cholesky factor has a real diagonal; it has a complex sample of its own that heeds this",
    ),
    "linalg_matrix_exp": _IN_16_BITS,
    "matrix_exp": _IN_16_BITS,
}
"""Ops whose samples mean nothing in some dtypes, or of which torch gives nonsense there."""

PHASE_IS_FREE = {"eig": (1,), "eigh": (1,), "svd": (0, 2)}
"""Results whose columns may be turned: only magnitudes are compared, and no gradient goes through them."""

NO_COUNTERPART = {
    "attention": "beneath scaled_dot_product_attention, for one way to mask",
    "avg_pool": "beneath avg_pool1d, avg_pool2d, avg_pool3d",
    "col2im": "beneath fold",
    "ctc": "beneath ctc_loss, before its reduction",
    "contract": "beneath einsum, tensordot, bilinear",
    "im2col": "beneath unfold",
    "max_pool": "beneath max_pool1d, max_pool2d, max_pool3d",
    "max_positions": "beneath max_pool with return_indices",
    "normalize_channels": "beneath batch_norm and instance_norm",
    "prelu_kernel": "beneath prelu, with the weight in place",
    "remembered": "beneath piecewise linear functions, whose gradient it keeps in the graph",
    "resample": "beneath interpolate",
    "rrelu_with_noise": "beneath rrelu, with the random slopes given",
    "weigh": "beneath scaled_dot_product_attention, its last step",
    "take_at": "beneath pad and interpolate",
}
"""Ops with a public place that torch does not have under that name, and where they are used."""


def plain_name(op: Op) -> str:
    """Return an op's public name without the place that some names begin with."""
    return next(
        (op.torch_name.removeprefix(f"{p}_") for p in op.places if p in ("linalg", "fft")), op.torch_name
    )


def counterpart(op: Op, torch: Any) -> Any:
    """Return torch's public function for an op; None where the op is internal or torch has none."""
    for place in op.places:
        owner = torch
        for part in _PATHS.get(place, place).split("."):
            owner = getattr(owner, part, None) if part else owner
        found = getattr(owner, plain_name(op), None)
        if found is not None:
            return found
    return None


_PATHS = {"torch": "", "nn": "nn.functional"}


def may_refuse(op: Op) -> bool:
    """Whether torch's function of an op's name may take other arguments: torch.nn.functional's wrap ours."""
    return op.places == ("nn",)


def without_counterpart(torch: Any) -> list[str]:
    """Return the ops with a public place that torch lacks."""
    return [op.name for op in TABLE.values() if op.places and counterpart(op, torch) is None]


def check_against_torch(
    op: Op, sample: Sample, torch: Any, dtype: dtypes.dtype, *, at_edges: bool = False
) -> bool:
    """Compare a sample in one dtype; false where torch does not take it."""
    form = in_dtype(op, sample, dtype)
    if form is None or dtype.name in NOT_COMPARED.get(op.name, ((), ""))[0]:
        return False
    theirs = _Theirs(op, form, torch)
    if not theirs.run() or theirs.in_other_dtypes:
        return False
    ours = _Ours(op, form, at_edges)
    try:
        ours.run(theirs.wanted)
    except NotImplementedError as error:
        if _is_trivial(op, form):  # torch asks for the dtype only where there is something to compute
            return False
        fail(op, form, f"{dtype.name}: raised {error}; torch gave an answer")
    except Exception as error:  # noqa: BLE001 - torch gave an answer
        fail(op, form, f"{dtype.name}: raised {type(error).__name__}: {error}; torch gave an answer")
    _compare_results(op, form, dtype, theirs, ours)
    if theirs.recorded and dtype.name not in INEXACT_IN_TORCH.get(op.name, ((), ""))[0]:
        _compare_gradients(op, form, dtype, theirs, ours)
    return True


def _is_trivial(op: Op, sample: Sample) -> bool:
    sizes = [x.size for _, x in arrays_of(op, sample)]
    return 0 in sizes or max(sizes, default=0) <= 1


def odd_samples(op: Op, sample: Sample) -> Iterator[Sample]:
    """Give a sample's relatives at the edges: empty, 0-dim, and pointwise NaN, infinities and zeros."""
    if op.name in UNDEFINED_AT_THE_EDGES:
        return
    yield changed(op, sample, lambda p, x: x[:0] if x.ndim else x)
    yield changed(op, sample, lambda p, x: x.reshape(-1)[0].reshape(()) if x.size else x)
    if op.family == "pointwise":
        specials = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 1e-30, 3e38, 2.5])
        rng = rng_for(op, "specials")
        yield changed(op, sample, lambda p, x: rng.permutation(specials) if is_inexact(x) and x.ndim else x)


class _Theirs:
    """A sample in torch. Gradients are asked for everywhere, or where we have rules if torch refuses that."""

    def __init__(self, op: Op, sample: Sample, torch: Any) -> None:
        self.op, self.sample, self.torch = op, sample, torch
        self.function = counterpart(op, torch)
        self.results: list[Any] = []
        self.leaves: list[Any] = []
        self.wanted: list[bool] = []
        self.error: Exception | None = None

    def run(self) -> bool:
        """Run with gradients for as many arguments as torch allows; false if it does not run at all."""
        inexact = [is_inexact(x) for _, x in arrays_of(self.op, self.sample)]
        ruled = [
            i and p.name in self.op.rules
            for i, (p, _) in zip(inexact, arrays_of(self.op, self.sample), strict=True)
        ]
        for wanted in (inexact, ruled, [False] * len(inexact)):
            self.wanted = wanted
            try:
                self._run()
            except Exception as error:  # noqa: BLE001 - torch refuses in many ways
                self.error = error
            else:
                return True
        return False

    def _run(self) -> None:
        self.leaves = []
        self.tensors: list[Any] = []
        args, kwargs = mapped(self.op, self.sample, lambda p, x: self._tensor(x))
        args = [_translated(a, self.torch) for a in args]
        kwargs = {k: _translated(v, self.torch) for k, v in kwargs.items()}
        if self.op.places == ("nn",):  # torch.nn.functional's functions have further parameters in between
            kwargs |= {p.name: a for p, a in zip(self.op.parameters[1:], args[1:], strict=False)}
            args = args[:1]
        self.torch.manual_seed(0)
        self.results = flat(self.function(*args, **kwargs))

    def _tensor(self, x: np.ndarray) -> Any:
        tensor = to_torch(x, self.torch)
        if self.wanted[len(self.tensors)]:
            tensor.requires_grad_(True)
            self.leaves.append(tensor)
        self.tensors.append(tensor)
        return tensor

    @property
    def in_other_dtypes(self) -> bool:
        """Whether a result has a dtype that NumPy lacks: 16-bit complex numbers."""
        given = [r for r in self.results if isinstance(r, self.torch.Tensor)]
        return any(str(r.dtype).removeprefix("torch.") not in dtypes.BY_NAME for r in given)

    @property
    def recorded(self) -> list[int]:
        """The places of the results that carry gradients."""
        return [i for i, r in enumerate(self.results) if isinstance(r, self.torch.Tensor) and r.requires_grad]


class _Ours:
    """The same sample in retrograd."""

    def __init__(self, op: Op, sample: Sample, at_edges: bool) -> None:
        self.op, self.sample, self.at_edges = op, sample, at_edges
        self.results: list[Any] = []
        self.leaves: list[Tensor] = []

    def run(self, wanted: list[bool]) -> None:
        """Run, with gradients for the same arguments."""
        rest = iter(wanted)

        def made(parameter: Any, x: np.ndarray) -> Tensor:
            tensor = wrap(np.array(x))
            if next(rest):
                tensor.requires_grad = True
                self.leaves.append(tensor)
            return tensor

        args, kwargs = mapped(self.op, self.sample, made)
        retrograd.manual_seed(0)
        self.results = flat(public(self.op)(*args, **kwargs))


def to_torch(x: np.ndarray, torch: Any) -> Any:
    """Return torch's copy of an array."""
    if x.dtype == dtypes.bfloat16.np:
        return torch.from_numpy(x.astype(np.float32)).bfloat16()
    return torch.from_numpy(np.array(x))


def from_torch(x: Any) -> np.ndarray:
    """Return torch's tensor as an array."""
    x = x.detach().resolve_conj().resolve_neg()
    x = x.clone() if x._is_zerotensor() else x  # torch's zeros without memory
    if str(x.dtype) == "torch.bfloat16":
        return x.float().numpy().astype(dtypes.bfloat16.np)
    return np.asarray(x.numpy())


def _translated(value: Any, torch: Any) -> Any:
    if isinstance(value, dtypes.dtype):
        return getattr(torch, value.name)
    if isinstance(value, (tuple, list)):
        return type(value)(_translated(v, torch) for v in value)
    return value


def _compare_results(op: Op, sample: Sample, dtype: dtypes.dtype, theirs: _Theirs, ours: _Ours) -> None:
    if len(ours.results) != len(theirs.results):
        fail(op, sample, f"{dtype.name}: {len(ours.results)} results, torch {len(theirs.results)}")
    for i, (want, got) in enumerate(zip(theirs.results, ours.results, strict=True)):
        if not isinstance(want, theirs.torch.Tensor):
            if want != got:
                fail(op, sample, f"{dtype.name}: result {i} is {got!r}, torch {want!r}")
            continue
        if not isinstance(got, Tensor):
            fail(op, sample, f"{dtype.name}: result {i} is a {type(got).__name__}, torch's a Tensor")
        expected = from_torch(want)
        made = got._array
        if i in PHASE_IS_FREE.get(plain_name(op), ()):
            expected, made = np.abs(expected), np.abs(made)
        if op.name in NOT_FINITE_IN_TORCH and made.shape == expected.shape:
            made = np.where(np.isfinite(expected), made, expected)
        rtol, atol = _tolerance(expected)
        problem = difference(expected, made, rtol, max(atol, ROUGH_IN_TORCH.get(op.name, 0.0)))
        if problem:
            fail(op, sample, f"{dtype.name}: result {i} {problem} (torch)")
        if want.requires_grad != got.requires_grad:
            fail(
                op,
                sample,
                f"{dtype.name}: result {i} requires_grad is {got.requires_grad}, torch {want.requires_grad}",
            )


def _tolerance(x: np.ndarray, table: dict[str, tuple[float, float]] = TOLERANCES) -> tuple[float, float]:
    return table.get(x.dtype.name, (0.0, 0.0))


def _compare_gradients(op: Op, sample: Sample, dtype: dtypes.dtype, theirs: _Theirs, ours: _Ours) -> None:
    rng = rng_for(op, "torch")
    free = PHASE_IS_FREE.get(plain_name(op), ())
    made = {i: ours.results[i]._array for i in theirs.recorded}
    cts = {i: np.zeros_like(x) if i in free else random_like(rng, x) for i, x in made.items()}
    results, outs = [theirs.results[i] for i in cts], [to_torch(c, theirs.torch) for c in cts.values()]
    try:
        wanted = theirs.torch.autograd.grad(results, theirs.leaves, outs, allow_unused=True)
    except RuntimeError:  # torch has no derivative here, and says so only when asked
        return
    try:
        found = gradients(
            [ours.results[i] for i in cts], ours.leaves, [wrap(c) for c in cts.values()], allow_unused=True
        )
    except Exception as error:  # noqa: BLE001 - torch gave an answer
        fail(
            op, sample, f"{dtype.name}: backward raised {type(error).__name__}: {error}; torch gave an answer"
        )
    for i, (want, got, leaf) in enumerate(zip(wanted, found, theirs.leaves, strict=True)):
        expected = from_torch(theirs.torch.zeros_like(leaf) if want is None else want)
        if got is None:
            if np.any(expected != 0):
                fail(op, sample, f"{dtype.name}: no gradient {i}, torch has one")
            continue
        made = got._array
        if ours.at_edges and made.shape == expected.shape:
            # Beyond the domain torch's formulas give NaN or infinity by accident; another answer is no fault.
            known = np.isfinite(expected)
            if op.name in FINITE_IN_TORCH:
                known &= np.isfinite(made)
            if op.name in ZERO_IN_TORCH:
                known &= expected != 0
            made = np.where(known, made, expected.astype(made.dtype))
        problem = difference(expected, made, *_tolerance(expected, GRADIENT_TOLERANCES))
        if problem:
            fail(op, sample, f"{dtype.name}: gradient {i} {problem} (torch)")
