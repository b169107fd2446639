"""What torch can build upon, and what there is of it here: NumPy's BLAS and LLVM, no GPU."""

from __future__ import annotations

from retrograd.backends import cuda, cudnn, mkl, mkldnn, mps, openmp

__all__ = ["cuda", "cudnn", "mkl", "mkldnn", "mps", "openmp"]
