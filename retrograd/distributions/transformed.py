"""Distributions made of others: batch dimensions taken as part of the event, and functions of a variable."""

from __future__ import annotations

from typing import Any, ClassVar

from retrograd.autograd.modes import no_grad
from retrograd.distributions import constraints
from retrograd.distributions.distribution import Distribution, Size
from retrograd.distributions.transforms import ExpTransform, Transform
from retrograd.distributions.utils import sum_rightmost

__all__ = ["ExpTransform", "Independent", "TransformedDistribution"]


class Independent(Distribution):
    """A distribution whose last batch dimensions are taken as dimensions of the event.

    Raises:
        ValueError: there are not that many batch dimensions.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(
        self, base_distribution: Any, reinterpreted_batch_ndims: int, validate_args: bool | None = None
    ) -> None:
        batch = base_distribution.batch_shape
        if reinterpreted_batch_ndims > len(batch):
            raise ValueError(
                "Expected reinterpreted_batch_ndims <= len(base_distribution.batch_shape), actual "
                f"{reinterpreted_batch_ndims} vs {len(batch)}"
            )
        at = len(batch) - reinterpreted_batch_ndims
        self.base_dist = base_distribution
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims
        super().__init__(batch[:at], batch[at:] + base_distribution.event_shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        made = self._get_checked_instance(Independent, _instance)
        shape = Size(batch_shape)
        own = self.event_shape[: self.reinterpreted_batch_ndims]
        made.base_dist = self.base_dist.expand(shape + own)
        made.reinterpreted_batch_ndims = self.reinterpreted_batch_ndims
        Distribution.__init__(made, shape, self.event_shape, validate_args=False)
        made._validate_args = self._validate_args
        return made

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        return self.base_dist.has_rsample  # type: ignore[no-any-return]

    @property
    def has_enumerate_support(self) -> bool:  # type: ignore[override]
        return self.reinterpreted_batch_ndims == 0 and self.base_dist.has_enumerate_support

    @property
    def support(self) -> Any:
        found = self.base_dist.support
        count = self.reinterpreted_batch_ndims
        return constraints.independent(found, count) if count else found

    @property
    def mean(self) -> Any:
        return self.base_dist.mean

    @property
    def mode(self) -> Any:
        return self.base_dist.mode

    @property
    def variance(self) -> Any:
        return self.base_dist.variance

    def sample(self, sample_shape: Any = ()) -> Any:
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self.base_dist.rsample(sample_shape)

    def log_prob(self, value: Any) -> Any:
        return sum_rightmost(self.base_dist.log_prob(value), self.reinterpreted_batch_ndims)

    def entropy(self) -> Any:
        return sum_rightmost(self.base_dist.entropy(), self.reinterpreted_batch_ndims)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_dist}, {self.reinterpreted_batch_ndims})"


class TransformedDistribution(Distribution):
    """The distribution of a function (or several, one after the other) of a random variable.

    Math: log p(y) = log p(x) - log |dy/dx| where y = f(x).

    Raises:
        ValueError: `transforms` is no transform, nor a list of them.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, base_distribution: Any, transforms: Any, validate_args: bool | None = None) -> None:
        parts = [transforms] if isinstance(transforms, Transform) else transforms
        if not isinstance(parts, list) or not all(isinstance(t, Transform) for t in parts):
            raise ValueError(f"transforms must be a Transform or list, but was {transforms}")
        self.transforms = parts
        self.base_dist = base_distribution
        super().__init__(
            base_distribution.batch_shape, base_distribution.event_shape, validate_args=validate_args
        )

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        made = self._get_checked_instance(TransformedDistribution, _instance)
        made.base_dist = self.base_dist.expand(batch_shape)
        made.transforms = self.transforms
        Distribution.__init__(made, made.base_dist.batch_shape, self.event_shape, validate_args=False)
        made._validate_args = self._validate_args
        return made

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        return self.base_dist.has_rsample  # type: ignore[no-any-return]

    @property
    def support(self) -> Any:
        return self.transforms[-1].codomain if self.transforms else self.base_dist.support

    def sample(self, sample_shape: Any = ()) -> Any:
        with no_grad():
            return self._carried(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self._carried(self.base_dist.rsample(sample_shape))

    def _carried(self, x: Any) -> Any:
        for transform in self.transforms:
            x = transform(x)
        return x

    def log_prob(self, value: Any) -> Any:
        if self._validate_args:
            self._validate_sample(value)
        total: Any = 0
        y = value
        for transform in reversed(self.transforms):
            x = transform.inv(y)
            count = len(self.event_shape) - transform.event_dim
            total = total - sum_rightmost(transform.log_abs_det_jacobian(x, y), count)
            y = x
        return total + self.base_dist.log_prob(y)

    def cdf(self, value: Any) -> Any:
        if self._validate_args:
            self._validate_sample(value)
        for transform in reversed(self.transforms):
            value = transform.inv(value)
        return self._turned(self.base_dist.cdf(value))

    def icdf(self, value: Any) -> Any:
        return self._carried(self.base_dist.icdf(self._turned(value)))

    def _turned(self, probability: Any) -> Any:
        """Return the probability of the other side where the functions, taken together, fall."""
        sign: Any = 1
        for transform in self.transforms:
            sign = sign * transform.sign
        return probability if sign.__class__ is int and sign == 1 else sign * (probability - 0.5) + 0.5
