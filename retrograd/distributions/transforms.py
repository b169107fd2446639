"""Invertible functions of random variables, with the logarithm of their derivative."""

from __future__ import annotations

from typing import Any

import retrograd
from retrograd.distributions import constraints
from retrograd.distributions.utils import functional

__all__ = [
    "AffineTransform", "ComposeTransform", "ExpTransform", "SigmoidTransform", "TanhTransform", "Transform",
]  # fmt: skip


class Transform:
    """An invertible function, element by element.

    sign: 1 or -1, whether it grows or falls everywhere.
    """

    bijective = True
    domain: Any = constraints.real
    codomain: Any = constraints.real
    sign: Any = 1
    event_dim = 0

    def __call__(self, x: Any) -> Any:
        """Return the function's values."""
        return self._call(x)

    def _call(self, x: Any) -> Any:
        raise NotImplementedError

    def _inverse(self, y: Any) -> Any:
        raise NotImplementedError

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        """Return the logarithm of the derivative's size at x, whose value is y."""
        raise NotImplementedError

    @property
    def inv(self) -> Transform:
        """The inverse function."""
        return _Inverse(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class _Inverse(Transform):
    def __init__(self, forward: Transform) -> None:
        self._forward = forward
        self.domain, self.codomain, self.sign = forward.codomain, forward.domain, forward.sign

    def _call(self, x: Any) -> Any:
        return self._forward._inverse(x)

    def _inverse(self, y: Any) -> Any:
        return self._forward(y)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return -self._forward.log_abs_det_jacobian(y, x)

    @property
    def inv(self) -> Transform:
        return self._forward

    def __repr__(self) -> str:
        return f"_InverseTransform({self._forward!r})"


class ExpTransform(Transform):
    """y = exp(x)."""

    codomain = constraints.positive

    def _call(self, x: Any) -> Any:
        return x.exp()

    def _inverse(self, y: Any) -> Any:
        return y.log()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return x


class AffineTransform(Transform):
    """y = loc + scale * x."""

    def __init__(self, loc: Any, scale: Any, event_dim: int = 0) -> None:
        self.loc, self.scale, self.event_dim = loc, scale, event_dim

    @property
    def sign(self) -> Any:
        scale = self.scale
        return scale.sign() if isinstance(scale, retrograd.Tensor) else (scale > 0) - (scale < 0)

    def _call(self, x: Any) -> Any:
        return self.loc + self.scale * x

    def _inverse(self, y: Any) -> Any:
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        found = retrograd.as_tensor(self.scale, dtype=x.dtype).abs().log().expand(x.shape)
        return found.sum(tuple(range(-self.event_dim, 0))) if self.event_dim else found


class SigmoidTransform(Transform):
    """y = 1 / (1 + exp(-x)). Numerics: the result stays off 0 and 1 by the dtype's smallest step."""

    codomain = constraints.unit_interval

    def _call(self, x: Any) -> Any:
        finfo = retrograd.finfo(x.dtype)
        return x.sigmoid().clamp(min=finfo.tiny, max=1.0 - finfo.eps)

    def _inverse(self, y: Any) -> Any:
        finfo = retrograd.finfo(y.dtype)
        y = y.clamp(min=finfo.tiny, max=1.0 - finfo.eps)
        return y.log() - (-y).log1p()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return -functional.softplus(-x) - functional.softplus(x)


class TanhTransform(Transform):
    """y = tanh(x)."""

    codomain = constraints.interval(-1.0, 1.0)

    def _call(self, x: Any) -> Any:
        return x.tanh()

    def _inverse(self, y: Any) -> Any:
        return y.atanh()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        # log(1 - tanh(x)^2) = 2 log(2) - 2 x - 2 log(1 + exp(-2 x)), which does not cancel
        return 2.0 * (0.6931471805599453 - x - functional.softplus(-2.0 * x))


class ComposeTransform(Transform):
    """Several functions, the first applied first."""

    def __init__(self, parts: list[Transform]) -> None:
        self.parts = parts
        if parts:
            self.domain, self.codomain = parts[0].domain, parts[-1].codomain

    @property
    def sign(self) -> Any:
        sign: Any = 1
        for part in self.parts:
            sign = sign * part.sign
        return sign

    def _call(self, x: Any) -> Any:
        for part in self.parts:
            x = part(x)
        return x

    def _inverse(self, y: Any) -> Any:
        for part in reversed(self.parts):
            y = part.inv(y)
        return y

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        total: Any = 0
        for part in self.parts:
            following = part(x)
            total = total + part.log_abs_det_jacobian(x, following)
            x = following
        return total

    def __repr__(self) -> str:
        return f"ComposeTransform({self.parts!r})"
