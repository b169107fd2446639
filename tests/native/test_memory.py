"""What leaves a guarded array is caught, on both sides, and reported as a failure instead of a crash."""

from __future__ import annotations

import ctypes
import mmap
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from retrograd.native import jit, threads
from retrograd.native.memory import OutOfBoundsError, contained, guarded

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no mprotect")

# Adds one to doubles, four at a time where `wide`: which reads and writes beyond the end of 5.
ADD_ONE = """
define void @add_one(ptr %x, i64 %n) {
entry:
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%next, %loop]
  %place = getelementptr double, ptr %x, i64 %i
  %old = load <WIDTH x double>, ptr %place, align 8
  %new = fadd <WIDTH x double> %old, ONES
  store <WIDTH x double> %new, ptr %place, align 8
  %next = add i64 %i, WIDTH
  %more = icmp slt i64 %next, %n
  br i1 %more, label %loop, label %out
out:
  ret void
}
declare void @retrograd_parallel(ptr, ptr, i64, i64)
define void @beyond(ptr %x, i64 %begin, i64 %end) {
  %place = getelementptr double, ptr %x, i64 %end
  store double 1.0, ptr %place
  ret void
}
define void @together(ptr %x, i64 %n) {
  call void @retrograd_parallel(ptr @beyond, ptr %x, i64 %n, i64 1)
  ret void
}
"""


def compiled(width):
    ones = "<" + ", ".join(["double 1.0"] * width) + ">"
    library = jit.load(ADD_ONE.replace("WIDTH", str(width)).replace("ONES", ones))

    def call(name, x):
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
        kind(library.address(name))(x.ctypes.data, x.size)

    return call


def test_sound_code_passes_and_its_results_are_seen():
    x = guarded(np.arange(5.0))
    contained(lambda: compiled(1)("add_one", x))
    np.testing.assert_array_equal(x, [1, 2, 3, 4, 5])


def test_code_that_leaves_the_end_is_caught():
    compiled(4)("add_one", np.zeros(8)[:5])  # which a plain array lets pass
    x = guarded(np.arange(5.0))
    with pytest.raises(OutOfBoundsError, match=r"(?s)SIG(SEGV|BUS).*in call"):
        contained(lambda: compiled(4)("add_one", x))


def test_a_helper_that_leaves_the_end_is_caught(monkeypatch):
    monkeypatch.setattr(threads._Count, "value", 2)
    x = guarded(np.arange(64.0))
    with pytest.raises(OutOfBoundsError):
        contained(lambda: compiled(1)("together", x))


@pytest.mark.parametrize(("at", "offset"), [("end", 0), ("end", 65535), ("start", -1), ("start", -65536)])
@pytest.mark.parametrize("write", [True, False])
def test_one_byte_outside_is_caught(at, offset, write):
    x = guarded(np.arange(7, dtype=np.int16), at=at)
    address = x.ctypes.data + offset + (x.nbytes if at == "end" else 0)
    touch = (lambda: ctypes.memset(address, 1, 1)) if write else (lambda: ctypes.string_at(address, 1))
    with pytest.raises(OutOfBoundsError):
        contained(touch)


def test_a_write_to_what_is_read_only_is_caught():
    x = guarded(np.arange(7.0), writable=False)
    contained(lambda: ctypes.string_at(x.ctypes.data, x.nbytes))
    with pytest.raises(OutOfBoundsError):
        contained(lambda: ctypes.memset(x.ctypes.data, 1, 1))
    with pytest.raises(ValueError, match="read-only"):
        x[0] = 1
    np.testing.assert_array_equal(x, np.arange(7.0))


@pytest.mark.parametrize("at", ["start", "end"])
@pytest.mark.parametrize(
    "shape", [(), (0,), (3, 0), (5,), (2, 3), (mmap.PAGESIZE,), (3, mmap.PAGESIZE // 4 + 1)]
)
@pytest.mark.parametrize("dtype", [bool, np.float32, np.complex128])
def test_copies_equal_what_they_copy(shape, dtype, at):
    source = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    copy = guarded(source.T, at=at)
    np.testing.assert_array_equal(copy, source.T, strict=True)
    assert copy.flags.c_contiguous
    assert copy.flags.aligned
    edge = copy.ctypes.data + (copy.nbytes if at == "end" else 0)
    assert edge % mmap.PAGESIZE == 0


def test_what_work_raises_is_told():
    def work():
        raise ValueError("a mistake")

    with pytest.raises(RuntimeError, match=r"(?s)status 1.*ValueError: a mistake"):
        contained(work)


def test_work_that_does_not_end_is_stopped():
    with pytest.raises(TimeoutError, match="did not end"):
        contained(lambda: time.sleep(60), timeout=0.2)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_nothing_stays_open():
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        contained(lambda: None)
        guarded(np.ones(3))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
