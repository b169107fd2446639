"""torch.func: transforms of functions, which may be composed at will."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from retrograd.autograd.dual import DualTensor
from retrograd.autograd.levels import GradLevel, Wrapped, cut, depends, with_contents
from retrograd.autograd.modes import local
from retrograd.func.forward import jvp, linearize
from retrograd.func.jacobians import hessian, jacfwd, jacrev
from retrograd.func.modules import functional_call, replace_all_batch_norm_modules_, stack_module_state
from retrograd.func.rearranging import rearrange
from retrograd.func.reverse import grad, grad_and_value, vjp
from retrograd.func.vectorize import vmap
from retrograd.tensor import Tensor

__all__ = [
    "debug_unwrap", "functional_call", "functionalize", "grad", "grad_and_value", "hessian", "jacfwd",
    "jacrev", "jvp", "linearize", "rearrange", "replace_all_batch_norm_modules_", "stack_module_state",
    "vjp", "vmap",
]  # fmt: skip


def debug_unwrap(tensor: Tensor, *, recurse: bool = True) -> Tensor:
    """Return the tensor inside the wrapper of the innermost transform, or of all of them: to look at."""
    innermost = local.levels[-1] if local.levels else None
    if not recurse and isinstance(innermost, GradLevel) and depends(tensor, innermost):
        return with_contents(tensor, cut)
    while isinstance(tensor, Wrapped):
        level = tensor._level
        tensor = level.primal_alone(tensor) if isinstance(tensor, DualTensor) else tensor._value
        if not recurse:
            break
    return tensor


def functionalize(func: Callable[..., Any], *, remove: str = "mutations") -> Callable[..., Any]:
    """Return `func` itself, with the same results: nothing here needs functions without writes.

    Raises:
        RuntimeError: `remove` is neither "mutations" nor "mutations_and_views".
    """
    if remove not in ("mutations", "mutations_and_views"):
        raise RuntimeError(
            f"functionalize(f, remove='mutations'): received invalid argument for remove={remove}. Valid "
            "options are:\n     remove='mutations': all inplace and out= operators will be removed from the "
            "program, and replaced\n         with their out-of-place equivalents.\n     "
            "remove='mutations_and_views': In addition to the above, all aliasing operators {view} will "
            "be\n         replaced with their non-aliasing counterparts, {view}_copy.\n"
        )

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return func(*args, **kwargs)

    return wrapped
