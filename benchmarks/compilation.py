"""What it takes from LLVM IR to a call: starting LLVM, compiling, linking, finding an object on disk.

Run: python benchmarks/compilation.py
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from retrograd.native import jit, target

FIRST = """
import time, sys
start = time.perf_counter()
import llvmlite.binding
loaded = time.perf_counter()
from retrograd.native import jit, target
target.host()
begin = time.perf_counter()
library = jit.load(sys.stdin.read())
end = time.perf_counter()
print(loaded - start, end - begin)
"""


def loops(count: int, seed: int = 0) -> str:
    """Return a module of some loops: each maps a vector at a time, by a polynomial of degree 16."""
    lanes = target.host().lanes("float32")
    vector = f"<{lanes} x float>"
    fma = f"{vector} @llvm.fma.v{lanes}f32"
    lines = [f"declare {fma}({vector}, {vector}, {vector})"]
    for index in range(count):
        lines.append(f"""
define void @loop{index}(ptr noalias %x, ptr noalias %y, i64 %n) {{
entry:
  br label %loop
loop:
  %i = phi i64 [{seed}, %entry], [%next, %loop]
  %from = getelementptr float, ptr %x, i64 %i
  %v0 = load {vector}, ptr %from, align 4""")
        lines += [
            f"  %v{k} = call {fma}({vector} %v{k - 1}, {vector} %v0, {vector} %v{k // 2})"
            for k in range(1, 17)
        ]
        lines.append(f"""  %to = getelementptr float, ptr %y, i64 %i
  store {vector} %v16, ptr %to, align 4
  %next = add i64 %i, {lanes}
  %more = icmp slt i64 %next, %n
  br i1 %more, label %loop, label %out
out:
  ret void
}}""")
    return "\n".join(lines)


def milliseconds(work: Callable[[int], object], repeats: int = 15) -> float:
    """Return the median over calls with different numbers, the results kept."""
    taken, kept = [], []
    for index in range(repeats):
        start = time.perf_counter()
        kept.append(work(index))
        taken.append(time.perf_counter() - start)
    return statistics.median(taken) * 1e3


def first_load(folder: str, text: str) -> tuple[float, float]:
    """Return the milliseconds of importing llvmlite and of the first load, in a new process."""
    done = subprocess.run(
        [sys.executable, "-c", FIRST],
        input=text,
        env={**os.environ, "RETROGRAD_CACHE": folder},
        capture_output=True,
        text=True,
        check=True,
    )
    imported, loaded = map(float, done.stdout.split())
    return imported * 1e3, loaded * 1e3


def linkers(code: bytes) -> dict[str, float]:
    """Return the milliseconds of linking an object by ORC and by MCJIT."""
    from llvmlite import binding

    here = target.host()
    origin = binding.Target.from_triple(here.triple)

    def by_mcjit(_: int) -> object:
        machine = origin.create_target_machine(cpu=here.cpu, features=here.features, jit=True)
        engine = binding.create_mcjit_compiler(binding.parse_assembly(""), machine)
        engine.add_object_file(binding.ObjectFileRef.from_data(code))
        engine.finalize_object()
        return engine, engine.get_function_address("loop0")

    text = loops(1)
    compiler = jit._compiler()
    return {"ORC": milliseconds(lambda _: compiler.link(text, code)), "MCJIT": milliseconds(by_mcjit)}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RETROGRAD_CACHE"] = folder + "/cache"
        cold, warm = first_load(folder + "/cold", loops(10)), first_load(folder + "/cold", loops(10))
        print(f"a new process: import llvmlite {cold[0]:.0f} ms, then the first load of 10 loops")
        print(f"  compiled {cold[1]:.0f} ms, from the disk {warm[1]:.0f} ms")
        print("a module of loops, ms in a running process")
        for count in (1, 10, 100):
            texts = [loops(count, seed) for seed in range(15)]
            compiled = milliseconds(lambda i, texts=texts: jit.load(texts[i]))
            found = milliseconds(lambda i, texts=texts: jit.load(texts[i]))
            print(f"  {count:3} loops  compiled {compiled:8.2f}  from the disk {found:6.2f}")
        ways = linkers(jit._compiler().compile(loops(1), vectorize=False, unroll=False))
        print("linking one loop: " + ", ".join(f"{name} {taken:.2f} ms" for name, taken in ways.items()))
