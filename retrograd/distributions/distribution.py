"""What every distribution answers: shapes, samples, densities, moments."""

from __future__ import annotations

import warnings
from typing import Any, Self

import retrograd
from retrograd.autograd.modes import no_grad
from retrograd.distributions import constraints
from retrograd.tensor import Tensor

Size = retrograd.Size


class Distribution:
    """A family of random variables, `batch_shape` of them independent, each with values of `event_shape`.

    Args:
        validate_args: check parameters and values against their constraints; by default as
            `set_default_validate_args` says (yes at first).

    Raises:
        ValueError: a parameter does not satisfy its constraint.
    """

    has_rsample = False
    has_enumerate_support = False
    _validate_args = __debug__

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Set whether distributions made from now on check their parameters and values."""
        if value not in [True, False]:
            raise ValueError
        Distribution._validate_args = value

    def __init__(
        self, batch_shape: Any = (), event_shape: Any = (), validate_args: bool | None = None
    ) -> None:
        self._batch_shape = Size(batch_shape)
        self._event_shape = Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            self._check_parameters()

    def _check_parameters(self) -> None:
        try:
            wanted = self.arg_constraints
        except NotImplementedError:
            warnings.warn(
                f"{type(self)} does not define `arg_constraints`. Please set `arg_constraints = {{}}` or "
                "initialize the distribution with `validate_args=False` to turn off validation.",
                stacklevel=3,
            )
            return
        for name, constraint in wanted.items():
            if constraints.is_dependent(constraint) or name not in self.__dict__:
                continue
            value = self.__dict__[name]
            if not bool(constraint.check(value).all()):
                raise ValueError(
                    f"Expected parameter {name} ({type(value).__name__} of shape {tuple(value.shape)}) of "
                    f"distribution {self!r} to satisfy the constraint {constraint!r}, but found invalid "
                    f"values:\n{value}"
                )

    # ---- shapes ----

    @property
    def batch_shape(self) -> Size:
        """The shape of the set of independent distributions."""
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        """The shape of one value of one distribution."""
        return self._event_shape

    def _extended_shape(self, sample_shape: Any = ()) -> Size:
        return Size(sample_shape) + self._batch_shape + self._event_shape

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        """Return the distribution with its parameters expanded to another batch shape; memory is shared."""
        raise NotImplementedError

    def _expanded(self, batch_shape: Any, _instance: Any, event_dims: dict[str, int]) -> Any:
        """Return an instance with these parameters expanded, each but for its last dimensions."""
        made = self._get_checked_instance(None, _instance)
        shape = Size(batch_shape)
        for name, count in event_dims.items():
            if name in self.__dict__:
                value = self.__dict__[name]
                made.__dict__[name] = value.expand(shape + value.shape[value.dim() - count :])
        Distribution.__init__(made, shape, self._event_shape, validate_args=False)
        made._validate_args = self._validate_args
        return made

    def _get_checked_instance(self, cls: Any, _instance: Any = None) -> Any:
        return object.__new__(type(self)) if _instance is None else _instance

    # ---- what a family may define ----

    @property
    def arg_constraints(self) -> dict[str, Any]:
        """The constraint of each parameter."""
        raise NotImplementedError

    @property
    def support(self) -> Any:
        """The constraint of the values."""
        raise NotImplementedError

    @property
    def mean(self) -> Any:
        """The expected value."""
        raise NotImplementedError

    @property
    def mode(self) -> Any:
        """The most probable value."""
        raise NotImplementedError(f"{self.__class__} does not implement mode")

    @property
    def variance(self) -> Any:
        """The expected squared distance from the mean."""
        raise NotImplementedError

    @property
    def stddev(self) -> Any:
        """The square root of the variance."""
        return self.variance.sqrt()

    def sample(self, sample_shape: Any = ()) -> Any:
        """Draw values of shape `sample_shape + batch_shape + event_shape`, without history."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Any:
        """Draw values through which gradients flow to the parameters."""
        raise NotImplementedError

    def sample_n(self, n: int) -> Any:
        """Draw n values; `sample((n,))` is the newer way to say it."""
        warnings.warn("sample_n will be deprecated. Use .sample((n,)) instead", UserWarning, stacklevel=2)
        return self.sample(Size((n,)))

    def log_prob(self, value: Any) -> Any:
        """Return the logarithm of the density, or of the probability, at values."""
        raise NotImplementedError

    def cdf(self, value: Any) -> Any:
        """Return the probability of values up to `value`."""
        raise NotImplementedError

    def icdf(self, value: Any) -> Any:
        """Return the values up to which the probability is `value`."""
        raise NotImplementedError

    def enumerate_support(self, expand: bool = True) -> Any:
        """Return all values, along a new first dimension."""
        raise NotImplementedError

    def entropy(self) -> Any:
        """Return the expected negative log probability, in nats."""
        raise NotImplementedError

    def perplexity(self) -> Any:
        """Return exp of the entropy."""
        return self.entropy().exp()

    # ---- checks and text ----

    def _validate_sample(self, value: Any) -> None:
        """Raise ValueError unless `value` can be a value of the distribution."""
        if not isinstance(value, Tensor):
            raise ValueError("The value argument to log_prob must be a Tensor")  # noqa: TRY004 - torch's type
        own = value.dim() - len(self._event_shape)
        if value.shape[own:] != self._event_shape:
            raise ValueError(
                f"The right-most size of value must match event_shape: {value.shape} vs {self._event_shape}."
            )
        wanted = self._batch_shape + self._event_shape
        for have, want in zip(reversed(value.shape), reversed(wanted), strict=False):
            if have not in (1, want) and want != 1:
                raise ValueError(
                    f"Value is not broadcastable with batch_shape+event_shape: {value.shape} vs {wanted}."
                )
        try:
            support = self.support
        except NotImplementedError:
            warnings.warn(
                f"{type(self)} does not define `support` to enable sample validation. Please initialize the "
                "distribution with `validate_args=False` to turn off validation.",
                stacklevel=3,
            )
            return
        if not bool(support.check(value).all()):
            raise ValueError(
                f"Expected value argument ({type(value).__name__} of shape {tuple(value.shape)}) to be "
                f"within the support ({support!r}) of the distribution {self!r}, but found invalid "
                f"values:\n{value}"
            )

    def __repr__(self) -> str:
        shown = {name: self.__dict__[name] for name in self.arg_constraints if name in self.__dict__}
        texts = (f"{name}: {v if v.numel() == 1 else v.size()}" for name, v in shown.items())
        return f"{type(self).__name__}({', '.join(texts)})"


class ExponentialFamily(Distribution):
    """A family whose log density is linear in functions of the value; a marker, as in torch."""
