"""Emitted matrix products equal those in higher precision, for every shape, and stay inside their arrays."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from product_harness import backwards, compiled, in_layout, machine
from spread import diagonals

from retrograd.native import gemm, threads
from retrograd.native.gemm import tiling, vector
from retrograd.native.memory import OutOfBoundsError, contained

MACHINES = {
    "avx512": machine(64, 32, 48, 2048),
    "avx2": machine(32, 16, 32, 512),
    "neon": machine(16, 32, 32, 256),
    "scalar": machine(0, 16, 32, 256),
    "tiny caches": machine(64, 32, 1, 16),
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
    *[(1, 131, 67), (131, 1, 67), (1, 640, 33), (300, 1, 200), (101, 103, 107), (40, 70, 300), (33, 300, 90)],
    *[(2, 90, 70), (90, 4, 71), (4, 301, 80), (300, 3, 64), (20, 600, 70)],
]
LAYOUTS = ["rows", "columns", "gap", "wide", "one row", "one column", "one element"]
PAIRS = sorted(
    {*itertools.product(LAYOUTS, ["rows", "columns"]), *itertools.product(["rows", "columns"], LAYOUTS)}
)


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


def check(m, n, k, dtype="f4", *, a="rows", b="rows", gap=0, accumulate=False, at="end", **how):
    """Compute a product of arrays in guarded memory and compare it with a more precise one."""
    generator = np.random.default_rng(m * 10007 + n * 101 + k)
    x = in_layout(values(generator, (m, k), dtype), a, at=at)
    y = in_layout(values(generator, (k, n), dtype), b, at=at)
    whole = in_layout(values(generator, (m, n + gap), dtype), at=at)
    beside, z = whole[:, n:].copy(), whole[:, :n]
    if not accumulate and np.dtype(dtype).kind == "f":
        z[...] = np.nan
    before = z.copy()
    contained(compiled(x, y, z, accumulate=accumulate, **how))
    expect(x, y, z, before if accumulate else None)
    np.testing.assert_array_equal(whole[:, n:], beside)


def expect(a, b, c, before=None):
    """Compare with NumPy in higher precision: k + 2 roundings of sums of the size of |A| @ |B|."""
    exact = np.longdouble if a.dtype == np.float64 else np.float64
    if a.dtype.kind in "iu":
        np.testing.assert_array_equal(c, a @ b + (0 if before is None else before))
        return
    start = 0 if before is None else before.astype(exact)
    product = a.astype(exact) @ b.astype(exact) + start
    size = np.abs(a).astype(exact) @ np.abs(b).astype(exact) + np.abs(start)
    bound = (a.shape[-1] + 2) * np.finfo(a.dtype).eps * size
    assert c.shape == product.shape
    wrong = ~(np.abs(c - product) <= bound)
    assert not wrong.any(), f"{wrong.sum()} of {wrong.size} wrong, the first at {np.argwhere(wrong)[0]}"


@pytest.mark.parametrize(("shape", "name"), diagonals(SHAPES, list(MACHINES), 3))
def test_shapes(shape, name, small_chunks):
    m, n, k = shape
    check(m, n, k, host=MACHINES[name], at="start" if m % 2 else "end")


@pytest.mark.parametrize(
    ("pair", "shape"),
    diagonals(PAIRS, [(29, 70, 37), (3, 150, 37), (1, 50, 21), (50, 1, 21), (150, 2, 37)], 3),
)
def test_strides(pair, shape, small_chunks):
    (a, b), (m, n, k) = pair, shape
    check(m, n, k, a=a, b=b, gap=3, host=MACHINES["avx512"], parallel=backwards)


@pytest.mark.parametrize(("m", "n", "k"), [(29, 70, 37), (3, 150, 37), (1, 50, 21), (50, 1, 21)])
@pytest.mark.parametrize("turned", ["a", "b"])
def test_operands_that_run_backwards(m, n, k, turned, small_chunks):
    generator = np.random.default_rng(0)
    a, b = in_layout(values(generator, (m, k), "f4")), in_layout(values(generator, (k, n), "f4"))
    if turned == "a":
        a = a[::-1, ::-1]
    else:
        b = b[::-1, ::-1]
    c = in_layout(np.full((m, n), np.nan, "f4"))
    contained(compiled(a, b, c))
    expect(a, b, c)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "i8", "i2", "u1"])
@pytest.mark.parametrize(("m", "n", "k"), [(31, 45, 100), (3, 3, 3), (1, 45, 100), (45, 1, 101)])
@pytest.mark.parametrize(("b", "accumulate"), [("rows", False), ("columns", True)])
def test_dtypes(m, n, k, dtype, b, accumulate):
    check(m, n, k, dtype, b=b, accumulate=accumulate)


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize(("m", "n", "k"), [(45, 81, 333), (14, 64, 64), (1, 81, 70), (81, 1, 70), (5, 4, 0)])
def test_accumulate(m, n, k, name, small_chunks):
    check(m, n, k, accumulate=True, host=MACHINES[name], a="columns", parallel=backwards)


@pytest.mark.parametrize("size", [256, 400])
@pytest.mark.parametrize(("a", "b"), list(itertools.product(["rows", "columns"], repeat=2)))
def test_large_products_in_chunks(size, a, b):
    check(size, size + 7, size - 3, a=a, b=b, parallel=backwards)


@pytest.mark.parametrize("shape", [(300, 260, 200), (7, 900, 300), (900, 1, 300), (1, 900, 300)])
def test_threads_give_the_bits_that_one_thread_gives(shape):
    m, n, k = shape
    generator = np.random.default_rng(0)
    a, b = values(generator, (m, k), "f4"), values(generator, (k, n), "f4")
    results = []
    for count in (1, 2, 3):
        c = np.empty((m, n), "f4")
        call = compiled(a, b, c, parallel=threads.declare)
        before = threads.get_num_threads()
        threads.set_num_threads(count)
        try:
            call()
        finally:
            threads.set_num_threads(before)
        expect(a, b, c)
        results.append(c)
    assert all((result == results[0]).all() for result in results)


@pytest.mark.parametrize("parallel", [None, backwards])
@pytest.mark.parametrize(
    "shape", [(6, 20, 33, 9), (3, 64, 16, 64), (2, 1, 40, 30), (5, 40, 1, 30), (4, 1, 1, 50)]
)
@pytest.mark.parametrize("shared", ["none", "a", "b"])
def test_batches(shape, shared, parallel, small_chunks):
    size, m, n, k = shape
    generator = np.random.default_rng(0)
    a, b = values(generator, (size, m, k), "f4"), values(generator, (size, n, k), "f4").transpose(0, 2, 1)
    if shared == "a":
        a = np.broadcast_to(a[:1], a.shape)
    if shared == "b":
        b = np.broadcast_to(b[:1], b.shape)
    c = in_layout(np.full((size, m, n), np.nan, "f4"))
    contained(compiled(a, b, c, parallel=parallel))
    expect(a, b, c)


def test_a_batch_of_batches(small_chunks):
    generator = np.random.default_rng(0)
    a = values(generator, (3, 30, 4, 20), "f4").transpose(0, 2, 1, 3)
    b = values(generator, (3, 50, 4, 20), "f4").transpose(0, 2, 3, 1)
    c = in_layout(np.full((3, 4, 30, 50), np.nan, "f4"))
    contained(compiled(a, b, c, parallel=backwards))
    expect(a, b, c)


def test_few_large_items(monkeypatch):
    monkeypatch.setattr(tiling, "CHUNK_OPERATIONS", 50_000)
    generator = np.random.default_rng(0)
    a, b = values(generator, (2, 90, 60), "f4"), values(generator, (2, 60, 100), "f4")
    c = in_layout(np.full((2, 90, 100), np.nan, "f4"))
    contained(compiled(a, b, c, parallel=backwards))
    expect(a, b, c)


def bias_and_relu(builder, value, row, column, context):
    """max(value + bias[column] + 1000 * row, 0) with a bias that lies in guarded memory."""
    from llvmlite import ir

    from retrograd.native.gemm.emitting import at, spread

    element = ir.FloatType()
    lanes = value.type.count if isinstance(value.type, ir.VectorType) else 1
    bias = builder.load(at(builder, element, context, column), align=4, typ=value.type)
    height = builder.fmul(builder.sitofp(row, element), ir.Constant(element, 1000.0))
    shifted = builder.fadd(builder.fadd(value, bias), spread(builder, height, lanes))
    zeros = ir.Constant(value.type, None)
    return builder.select(builder.fcmp_ordered(">", shifted, zeros), shifted, zeros)


EPILOGUE_SHAPES = [
    *[(1, 45, 45, 333), (1, 14, 64, 8), (1, 1, 45, 20), (1, 45, 1, 20), (2, 3, 150, 37), (2, 150, 3, 37)],
    *[(3, 9, 33, 5), (3, 1, 33, 5), (1, 4, 5, 0)],
]


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize(("shape", "name"), diagonals(EPILOGUE_SHAPES, list(MACHINES), 3))
def test_epilogue(shape, accumulate, name, small_chunks):
    size, m, n, k = shape
    generator = np.random.default_rng(0)
    a, b = values(generator, (size, m, k), "f4"), values(generator, (size, k, n), "f4")
    c, bias = in_layout(values(generator, (size, m, n), "f4")), in_layout(values(generator, (1, n), "f4"))
    rows = 1000.0 * np.arange(size * m).reshape(size, m, 1)
    start = c.astype("f8") if accumulate else 0.0
    wanted = np.maximum(a.astype("f8") @ b.astype("f8") + start + bias + rows, 0)
    how = {"epilogue": bias_and_relu, "context": bias, "parallel": backwards}
    contained(compiled(a, b, c, accumulate=accumulate, host=MACHINES[name], **how))
    np.testing.assert_allclose(c, wanted, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(("m", "n", "k"), [(20, 40, 30), (1, 40, 30), (40, 1, 30), (2, 300, 30)])
def test_nan_and_infinity_go_where_they_belong(m, n, k):
    a, b = np.ones((m, k), "f4"), np.ones((k, n), "f4")
    a[m // 2, 3], b[7, n // 2] = np.nan, np.inf
    a[0, 7] = 0  # times infinity it is NaN; the zeros that fill a register up must not meet it
    c = np.zeros((m, n), "f4")
    compiled(a, b, c)()
    with np.errstate(invalid="ignore"):
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


def test_a_product_that_leaves_its_arrays_is_caught():
    """The other tests rely on it: of a C that is one row too short the last row lies in guarded memory."""
    a, b, c = np.ones((20, 5), "f4"), np.ones((5, 40), "f4"), in_layout(np.zeros((19, 40), "f4"))
    taller = np.lib.stride_tricks.as_strided(c, (20, 40), c.strides)
    with pytest.raises(OutOfBoundsError):
        contained(compiled(a, b, taller))


@pytest.mark.parametrize(
    ("triple", "features", "name", "instruction"),
    [
        (
            "x86_64-unknown-linux-gnu",
            "+avx512f,+avx512vl,+avx512bw,+avx512dq,-prefer-256-bit",
            "avx512",
            "zmm",
        ),
        ("x86_64-unknown-linux-gnu", "+avx2,+fma", "avx2", "vfmadd231ps"),
        ("x86_64-apple-darwin", "", "neon", "mulps"),
        ("aarch64-unknown-linux-gnu", "+neon", "neon", "fmla"),
        ("arm64-apple-darwin", "", "neon", "fmla"),
        ("riscv64-unknown-linux-gnu", "+f,+d", "scalar", "fmadd.s"),
    ],
)
def test_products_compile_for_other_machines(triple, features, name, instruction):
    from llvmlite import binding, ir

    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    try:
        made = binding.Target.from_triple(triple).create_target_machine(features=features, reloc="pic")
    except RuntimeError:
        pytest.skip("LLVM was built without that target")
    module = ir.Module()
    for m, n, k in ((61, 90, 130), (1, 90, 130), (90, 1, 130)):
        spec = gemm.Product(m, n, k, np.dtype("f4"), (k, 1), (1, k), n, accumulate=True)
        gemm.emit(module, spec, f"product_{m}_{n}", target=MACHINES[name], parallel=threads.declare(module))
    parsed = binding.parse_assembly(str(module))
    parsed.verify()
    assert instruction in made.emit_assembly(parsed)
