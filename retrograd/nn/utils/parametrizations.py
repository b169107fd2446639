"""Ready-made parametrizations: weight and spectral normalisation."""

from __future__ import annotations

from typing import Any

from retrograd.nn.module import Module
from retrograd.nn.utils import parametrize
from retrograd.nn.utils.weight_norms import (
    as_matrix,
    norm_except_dim,
    power_iterations,
    random_vector,
    weight_of,
)


class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Any, weight_v: Any) -> Any:
        return weight_of(weight_v, weight_g, self.dim)

    def right_inverse(self, weight: Any) -> tuple[Any, Any]:
        """Return magnitude and direction."""
        return norm_except_dim(weight, 2, self.dim), weight


def weight_norm(module: Any, name: str = "weight", dim: int | None = 0) -> Any:
    """Learn a weight's magnitudes along `dim` (None: one for all) and its direction apart.

    They are `parametrizations.NAME.original0` and `original1`.

    Source: T. Salimans, D. Kingma, Weight Normalization (2016).
    """
    return parametrize.register_parametrization(module, name, _WeightNorm(dim), unsafe=True)


class _SpectralNorm(Module):
    _u: Any
    _v: Any

    def __init__(self, weight: Any, n_power_iterations: int, dim: int, eps: float) -> None:
        super().__init__()
        if n_power_iterations <= 0:
            raise ValueError(
                f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}"
            )
        if not -weight.ndim <= dim < weight.ndim:
            raise IndexError(
                "Dimension out of range (expected to be in range of "
                f"[-{weight.ndim}, {weight.ndim - 1}] but got {dim})"
            )
        self.dim, self.eps, self.n_power_iterations = dim % weight.ndim, eps, n_power_iterations
        if weight.ndim > 1:
            matrix = as_matrix(weight.detach(), self.dim)
            rows, columns = matrix.shape
            u, v = random_vector(matrix, rows, eps), random_vector(matrix, columns, eps)
            u, v = power_iterations(matrix, u, v, 15, eps)
            self.register_buffer("_u", u)
            self.register_buffer("_v", v)

    def forward(self, weight: Any) -> Any:
        if weight.ndim == 1:  # the spectral norm of a vector is its own norm
            return weight / (weight.norm() + self.eps)
        matrix = as_matrix(weight, self.dim)
        if self.training:
            u, v = power_iterations(matrix, self._u, self._v, self.n_power_iterations, self.eps)
            self._u.copy_(u)
            self._v.copy_(v)
        u, v = self._u.clone(), self._v.clone()
        return weight / (u @ (matrix @ v))

    def right_inverse(self, value: Any) -> Any:
        """Return the value: what is assigned counts as the original."""
        return value


def spectral_norm(
    module: Any, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Any:
    """Divide a weight by its largest singular value, which power iterations follow in training.

    Source: T. Miyato et al., Spectral Normalization for Generative Adversarial Networks (2018).

    Raises:
        ValueError: the module has no such parameter.
    """
    weight = getattr(module, name, None)
    if weight is None:
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    if dim is None:
        dim = 1 if type(module).__name__.startswith("ConvTranspose") else 0
    made = _SpectralNorm(weight, n_power_iterations, dim, eps)
    return parametrize.register_parametrization(module, name, made)


__all__ = ["spectral_norm", "weight_norm"]
