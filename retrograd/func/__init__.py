"""torch.func: transforms of functions, which may be composed at will."""

from __future__ import annotations

from retrograd.func.forward import jvp, linearize
from retrograd.func.jacobians import hessian, jacfwd, jacrev
from retrograd.func.reverse import grad, grad_and_value, vjp
from retrograd.func.vectorize import vmap

__all__ = ["grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp", "linearize", "vjp", "vmap"]
