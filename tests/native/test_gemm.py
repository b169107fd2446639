"""Emitted matrix products equal NumPy's in higher precision, for every shape, and stay inside their arrays."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from product_harness import Machine, guarded, run

from retrograd.native import gemm
from retrograd.native.gemm import tiling, vector

MACHINES = {
    "avx512": Machine(64, 32, 48 << 10, 2 << 20),
    "avx2": Machine(32, 16, 32 << 10, 512 << 10),
    "neon": Machine(16, 32, 32 << 10, 256 << 10),
    "scalar": Machine(0, 16, 32 << 10, 256 << 10),
    "tiny caches": Machine(64, 32, 1 << 10, 16 << 10),
}
SHAPES = [
    *[
        (0, 3, 2),
        (3, 0, 2),
        (3, 2, 0),
        (0, 0, 0),
        (1, 1, 0),
        (1, 1, 1),
        (2, 3, 5),
        (7, 1, 3),
        (1, 7, 3),
        (5, 6, 1),
    ],
    *[
        (13, 31, 17),
        (14, 32, 16),
        (15, 33, 18),
        (28, 16, 4),
        (29, 17, 3),
        (3, 97, 40),
        (97, 10, 64),
        (61, 48, 130),
    ],
    *[(1, 131, 67), (131, 1, 67), (1, 640, 33), (300, 1, 200), (101, 103, 107), (40, 70, 300)],
    *[(2, 90, 70), (90, 4, 71), (4, 301, 80), (300, 3, 64)],
]


@pytest.fixture
def small_chunks(monkeypatch):
    """Cut even small products into many chunks and pack few k's at a time."""
    monkeypatch.setattr(tiling, "CHUNK_OPERATIONS", 5000)
    monkeypatch.setattr(tiling, "PACKED_BYTES", 20000)
    monkeypatch.setattr(vector, "CHUNK_BYTES", 4000)


def values(generator, shape, dtype):
    if np.dtype(dtype).kind in "iu":
        return generator.integers(-9 if np.dtype(dtype).kind == "i" else 0, 9, shape).astype(dtype)
    return generator.standard_normal(shape).astype(dtype)


def check(
    m, n, k, dtype="f4", *, a="ab", b="ab", c_gap=0, accumulate=False, target=MACHINES["avx512"], **how
):
    """Run a product whose operands lie in guarded memory and compare with a more precise one."""
    generator = np.random.default_rng(m * 10007 + n * 101 + k)
    arrays = {
        "a": guarded(values(generator, (m, k), dtype), a),
        "b": guarded(values(generator, (k, n), dtype), b),
        "c": guarded(values(generator, (m, n), dtype), "ab", gap=c_gap),
    }
    if not accumulate and np.dtype(dtype).kind == "f":
        arrays["c"][...] = np.nan
    before = arrays["c"].copy()
    run(arrays["a"], arrays["b"], arrays["c"], accumulate=accumulate, target=target, **how)
    expect(arrays["a"], arrays["b"], arrays["c"], before if accumulate else None)


def expect(a, b, c, before=None):
    exact = np.longdouble if a.dtype == np.float64 else np.float64
    if a.dtype.kind in "iu":
        np.testing.assert_array_equal(c, a @ b + (0 if before is None else before))
        return
    start = 0 if before is None else before.astype(exact)
    product = a.astype(exact) @ b.astype(exact) + start
    size = np.abs(a).astype(exact) @ np.abs(b).astype(exact) + np.abs(start)
    bound = (a.shape[-1] + 2) * np.finfo(a.dtype).eps * size
    assert c.shape == product.shape
    assert (np.abs(c - product) <= bound).all(), float(
        np.max(np.abs(c - product) / np.maximum(bound, 1e-300))
    )


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(("m", "n", "k"), SHAPES)
def test_shapes(m, n, k, machine, small_chunks):
    check(m, n, k, target=MACHINES[machine])


@pytest.mark.parametrize(
    ("a", "b"), list(itertools.product(["ab", "ba", "gap", "wide", "0a", "a0", "00"], repeat=2))
)
@pytest.mark.parametrize(("m", "n", "k"), [(29, 70, 37), (3, 150, 37), (1, 50, 21), (50, 1, 21), (150, 2, 37)])
def test_strides(m, n, k, a, b, small_chunks):
    check(m, n, k, a=a, b=b, c_gap=3, is_parallel=True)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "i8", "i2", "u1"])
@pytest.mark.parametrize(("m", "n", "k"), [(31, 45, 100), (3, 3, 3), (1, 45, 100), (45, 1, 101)])
@pytest.mark.parametrize("b", ["ab", "ba"])
@pytest.mark.parametrize("accumulate", [False, True])
def test_dtypes(m, n, k, dtype, b, accumulate):
    check(m, n, k, dtype, b=b, accumulate=accumulate)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(("m", "n", "k"), [(45, 81, 333), (14, 64, 64), (1, 81, 70), (81, 1, 70), (5, 4, 0)])
def test_accumulate(m, n, k, machine, small_chunks):
    check(m, n, k, accumulate=True, target=MACHINES[machine], a="ba", is_parallel=True)


@pytest.mark.parametrize("size", [256, 400])
@pytest.mark.parametrize(("a", "b"), list(itertools.product(["ab", "ba"], repeat=2)))
def test_large_products_in_chunks(size, a, b):
    check(size, size + 7, size - 3, a=a, b=b, is_parallel=True)


@pytest.mark.parametrize("is_parallel", [False, True])
@pytest.mark.parametrize(
    "shape", [(6, 20, 33, 9), (3, 64, 16, 64), (2, 1, 40, 30), (5, 40, 1, 30), (4, 1, 1, 50)]
)
@pytest.mark.parametrize("shared", ["none", "a", "b"])
def test_batches(shape, shared, is_parallel, small_chunks):
    size, m, n, k = shape
    generator = np.random.default_rng(0)
    a, b = values(generator, (size, m, k), "f4"), values(generator, (size, n, k), "f4").transpose(0, 2, 1)
    if shared == "a":
        a = np.broadcast_to(a[:1], a.shape)
    if shared == "b":
        b = np.broadcast_to(b[:1], b.shape)
    c = guarded(np.full((size, m, n), np.nan, "f4"), "ab")
    run(a, b, c, is_parallel=is_parallel)
    expect(a, b, c)


def test_a_batch_of_batches(small_chunks):
    generator = np.random.default_rng(0)
    a = values(generator, (3, 30, 4, 20), "f4").transpose(0, 2, 1, 3)
    b = values(generator, (3, 50, 4, 20), "f4").transpose(0, 2, 3, 1)
    c = np.full((3, 4, 30, 50), np.nan, "f4")
    run(a, b, c, is_parallel=True)
    expect(a, b, c)


def test_few_large_items(monkeypatch):
    monkeypatch.setattr(tiling, "CHUNK_OPERATIONS", 50_000)
    generator = np.random.default_rng(0)
    a, b = values(generator, (2, 90, 60), "f4"), values(generator, (2, 60, 100), "f4")
    c = np.full((2, 90, 100), np.nan, "f4")
    run(a, b, c, is_parallel=True)
    expect(a, b, c)


def bias_and_relu(builder, value, row, column, context):
    """max(value + bias[column] + 1000 * row, 0) with a bias that lies in guarded memory."""
    from llvmlite import ir

    from retrograd.native.gemm.emitting import at, spread

    element = ir.FloatType()
    is_vector = isinstance(value.type, ir.VectorType)
    lanes = value.type.count if is_vector else 1
    address = at(builder, element, context, column)
    bias = builder.load(address, align=4, typ=value.type)
    height = builder.fmul(builder.sitofp(row, element), ir.Constant(element, 1000.0))
    shifted = builder.fadd(builder.fadd(value, bias), spread(builder, height, lanes))
    zeros = ir.Constant(value.type, None)
    return builder.select(builder.fcmp_ordered(">", shifted, zeros), shifted, zeros)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize(
    "shape",
    [
        (1, 45, 45, 333),
        (1, 14, 64, 8),
        (1, 1, 45, 20),
        (1, 45, 1, 20), (2, 3, 150, 37), (2, 150, 3, 37),
        (3, 9, 33, 5),
        (3, 1, 33, 5),
        (1, 4, 5, 0),
    ],
)
def test_epilogue(shape, accumulate, machine, small_chunks):
    size, m, n, k = shape
    generator = np.random.default_rng(0)
    a, b = values(generator, (size, m, k), "f4"), values(generator, (size, k, n), "f4")
    c, bias = (
        guarded(values(generator, (size, m, n), "f4"), "ab"),
        guarded(values(generator, (n,), "f4"), "ab"),
    )
    rows = 1000.0 * np.arange(size * m).reshape(size, m, 1)
    start = c.astype("f8") if accumulate else 0.0
    wanted = np.maximum(a.astype("f8") @ b.astype("f8") + start + bias + rows, 0)
    run(
        a,
        b,
        c,
        accumulate=accumulate,
        target=MACHINES[machine],
        epilogue=bias_and_relu,
        context=bias,
        is_parallel=True,
    )
    np.testing.assert_allclose(c, wanted, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(("m", "n", "k"), [(20, 40, 30), (1, 40, 30), (40, 1, 30)])
def test_nan_and_infinity_go_where_they_belong(m, n, k):
    a, b = np.ones((m, k), "f4"), np.ones((k, n), "f4")
    a[m // 2, 3], b[7, n // 2] = np.nan, np.inf
    c = np.zeros((m, n), "f4")
    run(a, b, c)
    np.testing.assert_array_equal(c, a @ b)
    b[3, 0] = 0  # infinity times zero elsewhere stays elsewhere
    a[0, 7] = 0
    run(a, b, c)
    np.testing.assert_array_equal(c, a @ b)


def test_products_of_a_module_share_the_kernel():
    from llvmlite import ir

    module = ir.Module()
    for name, n in (("one", 64), ("two", 128)):
        spec = gemm.Product(28, n, 64, np.dtype("f4"), (64, 1), (1, 64), n)
        gemm.emit(module, spec, name, target=MACHINES["avx512"])
    kernels = [f.name for f in module.functions if f.name.startswith("gemm_kernel")]
    assert len(kernels) == 1


def test_other_dtypes_are_refused():
    with pytest.raises(TypeError, match="float16"):
        gemm.Product(2, 2, 2, np.dtype("f2"), (2, 1), (2, 1), 2)
    with pytest.raises(TypeError, match="bool"):
        gemm.Product(2, 2, 2, np.dtype("?"), (2, 1), (2, 1), 2)


def test_memory_behind_an_array_is_guarded():
    """What the other tests rely on: the page behind a guarded array cannot be read."""
    import subprocess
    import sys

    program = (
        "import ctypes, numpy as np\n"
        "from product_harness import guarded\n"
        "x = guarded(np.zeros((3, 5), 'f4'), 'ab')\n"
        "ctypes.c_float.from_address(x.ctypes.data + {}).value\n"
    )
    path = [p for p in sys.path if p]
    environment = {"PYTHONPATH": ":".join(path)}
    codes = [
        subprocess.run(
            [sys.executable, "-c", program.format(offset)], env=environment, capture_output=True
        ).returncode
        for offset in (56, 60)
    ]
    assert codes[0] == 0
    assert codes[1] < 0
