"""Weight and spectral normalisation in their older form, by a hook before the module's forward."""

from __future__ import annotations

import warnings
from typing import Any

from retrograd.nn.parameter import Parameter
from retrograd.nn.utils.weight_norms import (
    as_matrix,
    norm_except_dim,
    power_iterations,
    random_vector,
    weight_of,
)


class WeightNorm:
    """The hook that computes a weight from magnitude NAME_g and direction NAME_v."""

    def __init__(self, name: str, dim: int) -> None:
        self.name, self.dim = name, dim

    def compute_weight(self, module: Any) -> Any:
        """Return the weight."""
        return weight_of(getattr(module, f"{self.name}_v"), getattr(module, f"{self.name}_g"), self.dim)

    def __call__(self, module: Any, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module))

    def remove(self, module: Any) -> None:
        """Make the weight a parameter again."""
        weight = self.compute_weight(module).detach()
        delattr(module, self.name)
        for end in ("_g", "_v"):
            del module._parameters[self.name + end]
        setattr(module, self.name, Parameter(weight))


def weight_norm(module: Any, name: str = "weight", dim: int | None = 0) -> Any:
    """Learn a weight's magnitudes along `dim` and its direction apart, as NAME_g and NAME_v.

    Raises:
        RuntimeError: that is done already.
    """
    warnings.warn(
        "`torch.nn.utils.weight_norm` is deprecated in favor of "
        "`torch.nn.utils.parametrizations.weight_norm`.",
        FutureWarning,
        stacklevel=2,
    )
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, WeightNorm) and hook.name == name:
            raise RuntimeError(f"Cannot register two weight_norm hooks on the same parameter {name}")
    made = WeightNorm(name, -1 if dim is None else dim)
    weight = getattr(module, name)
    del module._parameters[name]
    module.register_parameter(f"{name}_g", Parameter(norm_except_dim(weight, 2, made.dim).detach()))
    module.register_parameter(f"{name}_v", Parameter(weight.detach()))
    setattr(module, name, made.compute_weight(module))
    module.register_forward_pre_hook(made)
    return module


class SpectralNorm:
    """The hook that divides NAME_orig by its largest singular value, followed by NAME_u and NAME_v."""

    def __init__(self, name: str, n_power_iterations: int, dim: int, eps: float) -> None:
        if n_power_iterations <= 0:
            raise ValueError(
                f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}"
            )
        self.name, self.n_power_iterations, self.dim, self.eps = name, n_power_iterations, dim, eps

    def compute_weight(self, module: Any, do_power_iteration: bool) -> Any:
        """Return the weight; its singular vectors are improved first if asked for."""
        weight, u, v = (getattr(module, f"{self.name}_{end}") for end in ("orig", "u", "v"))
        matrix = as_matrix(weight, self.dim)
        if do_power_iteration:
            better = power_iterations_v_first(matrix, u, self.n_power_iterations, self.eps)
            u.copy_(better[0])
            v.copy_(better[1])
            u, v = u.clone(), v.clone()
        return weight / (u @ (matrix @ v))

    def __call__(self, module: Any, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module, do_power_iteration=module.training))

    def remove(self, module: Any) -> None:
        """Make the weight a parameter again."""
        weight = self.compute_weight(module, do_power_iteration=False).detach()
        delattr(module, self.name)
        for end in ("u", "v", "orig"):
            delattr(module, f"{self.name}_{end}")
        module.register_parameter(self.name, Parameter(weight))


def power_iterations_v_first(matrix: Any, u: Any, count: int, eps: float) -> tuple[Any, Any]:
    """Return singular vectors after `count` steps from u to v to u."""
    v, u = power_iterations(matrix.t(), None, u, 1, eps)
    for _ in range(count - 1):
        v, u = power_iterations(matrix.t(), v, u, 1, eps)
    return u, v


def spectral_norm(
    module: Any, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Any:
    """Divide a weight by its largest singular value, which power iterations follow in training.

    Raises:
        RuntimeError: that is done already.
    """
    if dim is None:
        dim = 1 if type(module).__name__.startswith("ConvTranspose") else 0
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, SpectralNorm) and hook.name == name:
            raise RuntimeError(f"Cannot register two spectral_norm hooks on the same parameter {name}")
    made = SpectralNorm(name, n_power_iterations, dim, eps)
    weight = getattr(module, name)
    matrix = as_matrix(weight.detach(), dim)
    rows, columns = matrix.shape
    u, v = random_vector(matrix, rows, eps), random_vector(matrix, columns, eps)
    del module._parameters[name]
    module.register_parameter(f"{name}_orig", weight)
    setattr(module, name, weight.detach())
    module.register_buffer(f"{name}_u", u)
    module.register_buffer(f"{name}_v", v)
    module.register_forward_pre_hook(made)
    return module


def _remove(module: Any, kind: type, name: str, what: str) -> Any:
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, kind) and hook.name == name:  # type: ignore[attr-defined]
            hook.remove(module)  # type: ignore[attr-defined]
            del module._forward_pre_hooks[key]
            return module
    raise ValueError(f"{what} of '{name}' not found in {module}")


def remove_weight_norm(module: Any, name: str = "weight") -> Any:
    """Undo weight_norm; the weight stays as it is."""
    return _remove(module, WeightNorm, name, "weight_norm")


def remove_spectral_norm(module: Any, name: str = "weight") -> Any:
    """Undo spectral_norm; the weight stays divided."""
    return _remove(module, SpectralNorm, name, "spectral_norm")
