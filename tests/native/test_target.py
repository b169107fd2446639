"""The machine is described as it is, and code for it uses its vectors at their full width."""

from __future__ import annotations

import re

import numpy as np
import pytest
from llvmlite import binding

from retrograd.native import jit
from retrograd.native.target import cache_sizes, host, vectors

SCALE = """
define void @scale(ptr %x) {
  %v = load <WIDTH x float>, ptr %x, align 4
  %w = fmul <WIDTH x float> %v, %v
  store <WIDTH x float> %w, ptr %x, align 4
  ret void
}
"""


def test_the_host_is_the_one_that_llvm_sees():
    here = host()
    assert here is host()
    assert here.triple == binding.get_process_triple()
    assert here.cpu == binding.get_host_cpu_name()
    assert set(binding.get_host_cpu_features().flatten().split(",")) <= set(here.features.split(","))
    assert 0 < here.l1 <= here.l2
    assert here.l3 > 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8, np.complex128, bool])
def test_lanes_fill_a_vector_register(dtype):
    assert host().lanes(dtype) * np.dtype(dtype).itemsize == host().vector_bytes


@pytest.mark.parametrize(
    ("triple", "features", "found"),
    [
        (
            "x86_64-unknown-linux-gnu",
            {"sse2", "avx2", "avx512f", "avx512vl", "avx512bw", "avx512dq"},
            (64, 32),
        ),
        ("x86_64-unknown-linux-gnu", {"sse2", "avx2", "avx512f"}, (32, 16)),
        ("x86_64-apple-darwin", {"sse2", "avx2"}, (32, 16)),
        ("x86_64-pc-windows-msvc", {"sse2"}, (16, 16)),
        ("aarch64-unknown-linux-gnu", {"neon"}, (16, 32)),
        ("arm64-apple-darwin", {"neon"}, (16, 32)),
    ],
)
def test_vectors_by_instruction_set(triple, features, found):
    assert vectors(triple, features) == found


def test_a_full_vector_is_one_register_and_is_not_halved():
    here = host()
    registers = {64: "zmm", 32: "ymm", 16: "xmm|v[0-9]"}[here.vector_bytes]
    library = jit.load(SCALE.replace("WIDTH", str(here.lanes(np.float32))))
    products = [line for line in library.assembly().splitlines() if re.search(r"\bv?f?mulps|\bfmul", line)]
    assert len(products) == 1
    assert re.search(registers, products[0])


def test_a_machine_that_is_tuned_for_halves_keeps_full_vectors():
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    target = binding.Target.from_triple("x86_64-unknown-linux-gnu")
    machine = target.create_target_machine(cpu="skylake-avx512", features="-prefer-256-bit", opt=2)
    assembly = machine.emit_assembly(binding.parse_assembly(SCALE.replace("WIDTH", "16")))
    assert re.search(r"vmulps.*zmm", assembly)
    assert "ymm" not in assembly


def describe(folder, index, level, kind, size):
    place = folder / f"index{index}"
    place.mkdir()
    for name, text in {"level": level, "type": kind, "size": size}.items():
        (place / name).write_text(f"{text}\n")


def test_caches_are_read_from_the_system(tmp_path):
    describe(tmp_path, 0, 1, "Data", "48K")
    describe(tmp_path, 1, 1, "Instruction", "64K")
    describe(tmp_path, 2, 2, "Unified", "2M")
    describe(tmp_path, 3, 3, "Unified", "307200K")
    assert cache_sizes(tmp_path) == (48 << 10, 2 << 20, 300 << 20)


def test_what_the_system_does_not_say_has_a_default(tmp_path):
    usual = cache_sizes(tmp_path / "nothing")
    assert all(size > 0 for size in usual)
    describe(tmp_path, 0, 1, "Data", "rubbish")
    describe(tmp_path, 2, 2, "Unified", "1M")
    (tmp_path / "index9").mkdir()
    assert cache_sizes(tmp_path) == (usual[0], 1 << 20, usual[2])
