"""torch.functional: a few functions under their older path."""

from __future__ import annotations

import retrograd

_NAMES = (
    "atleast_1d", "atleast_2d", "atleast_3d", "block_diag", "broadcast_shapes", "broadcast_tensors",
    "cartesian_prod", "cdist", "chain_matmul", "einsum", "meshgrid", "norm", "split", "tensordot", "unique",
    "unique_consecutive",
)  # fmt: skip
globals().update({name: getattr(retrograd, name) for name in _NAMES if hasattr(retrograd, name)})
__all__ = list(_NAMES)  # they are put into this module above
