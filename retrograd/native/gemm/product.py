"""What a matrix product is: sizes, strides in elements, and the batch it is repeated over."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np


class Target(Protocol):
    """What is asked of a machine: all sizes in bytes."""

    @property
    def vector_bytes(self) -> int: ...

    @property
    def vector_registers(self) -> int: ...

    @property
    def l1(self) -> int: ...

    @property
    def l2(self) -> int: ...


@dataclass(frozen=True)
class Product:
    """One matrix product C = A @ B, or C += A @ B, of static shape.

    Attributes:
        m, n, k: C is (m, n), A is (m, k), B is (k, n).
        dtype: of all three. Integers wrap, as NumPy's do.
        a_strides, b_strides: elements from a row to the next and from a column to the next: any, 0 included.
        c_row: elements from a row of C to the next; its columns lie side by side.
        accumulate: whether the product is added to C.
        batch: for each dimension of a batch, outermost first, its size and the strides of A, B and C.
    """

    m: int
    n: int
    k: int
    dtype: np.dtype[Any]
    a_strides: tuple[int, int]
    b_strides: tuple[int, int]
    c_row: int
    accumulate: bool = False
    batch: tuple[tuple[int, int, int, int], ...] = ()

    def __post_init__(self) -> None:
        dtype = np.dtype(self.dtype)
        if dtype.str[1:] not in {"f4", "f8"} and dtype.kind not in "iu":
            raise TypeError(f"gemm: expected float32, float64 or an integer type; got {dtype}")
        object.__setattr__(self, "dtype", dtype)

    @property
    def items(self) -> int:
        """How many matrices the batch has."""
        return int(np.prod([size for size, *_ in self.batch], dtype=np.int64))

    @property
    def operations(self) -> int:
        """Multiplications and additions."""
        return 2 * self.items * self.m * self.n * self.k


def simplified(spec: Product) -> Product:
    """Drop batch dimensions of size 1, and make those over one B that follow on in A and C part of m.

    The flat number of a row of C, counted through the batch, stays what it was.
    """
    batch = [dimension for dimension in spec.batch if dimension[0] != 1]
    m, (a_row, a_column), c_row = spec.m, spec.a_strides, spec.c_row
    if m == 1 and batch and batch[-1][2] == 0:
        size, a_row, _, c_row = batch.pop()
        m = size
    while batch and batch[-1][1:] == (m * a_row, 0, m * c_row):
        m *= batch.pop()[0]
    return replace(spec, m=m, a_strides=(a_row, a_column), c_row=c_row, batch=tuple(batch))
