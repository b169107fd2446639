"""Random tensors, and tensors filled with random numbers in place, over `retrograd.random`."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from retrograd import devices, dtypes, random
from retrograd.autograd.draws import drawing
from retrograd.autograd.inplace import check_target, inplace
from retrograd.autograd.modes import local, modes
from retrograd.functions.making import finish, finish_absent, sizes_of
from retrograd.ops.declare import TABLE
from retrograd.tensor import Tensor, history, wrap


def _drawn(name: str, draw: Callable[..., Any], doc: str) -> Callable[..., Tensor]:
    """Return rand or randn."""

    def function(
        *size: Any, generator: Any = None, out: Any = None, dtype: Any = None, layout: Any = None,
        device: Any = None,
        requires_grad: bool = False, pin_memory: bool = False, names: Any = None, **named: Any,
    ) -> Tensor:  # fmt: skip
        if not size:
            if "size" not in named:
                raise TypeError(f'{name}() missing 1 required positional arguments: "size"')
            size = (named.pop("size"),)
        if named:
            raise TypeError(f"{name}() got an unexpected keyword argument '{next(iter(named))}'")
        shape = sizes_of(name, size)
        if device is not None or devices.chosen.device is not None:
            devices.check(device, meta=True)
            if devices.is_meta(device):
                return finish_absent(shape, (dtype or dtypes.default.float).np, requires_grad)
        return finish(draw(generator, shape, dtype or dtypes.default.float), requires_grad, out)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


rand = _drawn("rand", random.uniform, "Return a tensor of numbers drawn evenly from [0, 1).")
randn = _drawn(
    "randn", random.normal, "Return a tensor of numbers drawn from the standard normal distribution."
)


def randint(
    *args: Any, low: int = 0, high: int | None = None, size: Any = None, generator: Any = None,
    out: Any = None,
    dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """Draw integers from [low, high), of a size; `low` may be left out."""
    devices.check(device, meta=True)
    given = list(args)
    if size is None and given and isinstance(given[-1], (tuple, list)):
        size = given.pop()
    if len(given) == 2:
        low, high = given
    elif len(given) == 1:
        if high is None:
            (high,) = given
        else:
            (low,) = given
    if size is None or high is None:
        kinds = ", ".join(type(a).__name__ for a in args)
        raise TypeError(
            f"randint() received an invalid combination of arguments - got ({kinds}), but expected one of:\n"
            " * (int high, tuple of ints size, *, torch.Generator generator, Tensor out = None, "
            "torch.dtype dtype = None)\n"
            " * (int low, int high, tuple of ints size, *, torch.Generator generator, Tensor out = None)\n"
        )
    shape = sizes_of("randint", (size,))
    array = random.randint(generator, shape, dtype or dtypes.int64, operator.index(low), operator.index(high))
    return finish(array, requires_grad, out, device)


def randperm(
    n: int, *, generator: Any = None, out: Any = None, dtype: Any = None, layout: Any = None,
    device: Any = None,
    requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """Return 0 ... n - 1 in random order."""
    devices.check(device, meta=True)
    made = random.randperm(generator, operator.index(n), dtype or dtypes.int64)
    return finish(made, requires_grad, out, device)


def _like(name: str, draw: Callable[..., Any]) -> Callable[..., Tensor]:
    def function(
        input: Tensor, *args: Any, generator: Any = None, dtype: Any = None, layout: Any = None,
        device: Any = None,
        requires_grad: bool = False, pin_memory: bool = False, memory_format: Any = None, **named: Any,
    ) -> Tensor:  # fmt: skip
        devices.check(device, meta=True)
        if input.is_meta if device is None else devices.is_meta(device):
            return finish_absent(input._array.shape, (dtype or input.dtype).np, requires_grad)
        like = input._array if input._array.flags.c_contiguous else np.empty_like(input._array)
        array = random.drawn_for(like, draw, generator, dtype or input.dtype, *args, **named)
        return finish(array, requires_grad)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Do `{name[:-5]}` in the shape and dtype of another tensor."
    return function


def _draw_integers(generator: Any, shape: Any, dtype: Any, low: Any = None, high: Any = None) -> Any:
    low, high = (0, low) if high is None else (0 if low is None else low, high)
    low, high = (int(v) if isinstance(v, Tensor) else v for v in (low, high))
    return random.randint(generator, shape, dtype, low, high)


def normal(
    mean: Any = 0.0, std: Any = 1.0, size: Any = None, *, generator: Any = None, out: Any = None,
    dtype: Any = None,
    layout: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """Return numbers drawn from normal distributions: one for all elements, or one per element of tensors."""
    devices.check(device, meta=True)
    if not isinstance(mean, Tensor) and not isinstance(std, Tensor):
        shape = sizes_of("normal", (size,))
        return finish(
            random.normal(generator, shape, dtype or dtypes.default.float, mean, std), requires_grad, out
        )
    first = mean if isinstance(mean, Tensor) else std
    centre, width = (v._array if isinstance(v, Tensor) else v for v in (mean, std))
    if isinstance(std, Tensor):
        if std.dtype.is_complex:
            raise RuntimeError("normal expects standard deviation to be non-complex")
        if width.size and not (width >= 0).all():
            raise RuntimeError("normal expects all elements of std >= 0.0")
    elif not std >= 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")
    shape = np.broadcast_shapes(np.shape(centre), np.shape(width))
    drawn = random.normal(generator, shape, first.dtype)
    return finish((drawn * width + centre).astype(drawn.dtype), False, out)


def bernoulli(input: Tensor, p: Any = None, *, generator: Any = None, out: Any = None) -> Tensor:
    """Return ones with the probabilities in `input` (or all with probability `p`), else zeros."""
    source = input._array
    array = random.bernoulli(generator, source.shape, input.dtype, source if p is None else _probability(p))
    if out is None and history(input) is not None:
        return TABLE["drawn"].function(input, np.asarray(array))  # type: ignore[no-any-return]
    return finish(array, False, out)


def _probability(p: Any) -> Any:
    return p._array if isinstance(p, Tensor) else p


def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *, generator: Any = None, out: Any = None
) -> Tensor:
    """Return the indices of `num_samples` draws from each row of weights."""
    return finish(random.multinomial(generator, input._array, num_samples, replacement), False, out)


# ---- in place ----


def _filler(name: str, draw: Callable[..., Any], doc: str) -> Callable[..., Tensor]:
    """Return the method that fills a tensor with random numbers."""

    def method(self: Tensor, *args: Any, generator: Any = None, **named: Any) -> Tensor:
        if self.is_meta:  # nothing is drawn for it
            return self
        check_target(self, recording=local.grad and history(self) is not None)
        array = self._array
        if any(isinstance(a, Tensor) for a in args):  # a probability for each element, in C order
            drawn = draw(generator, array.shape, self.dtype, *args, **named)
        else:
            drawn = random.drawn_for(array, draw, generator, self.dtype, *args, **named)
        is_recorded = local.grad and history(self) is not None
        if is_recorded or local.tracer is not None:  # what was here before has no influence any more
            inplace(TABLE["copy"], (self, wrap(drawn)))
            return self
        if modes.special and local.watch is not None:
            local.watch.announce(self)
        array[...] = drawn
        self._version_cell().bump()
        return self

    method.__name__ = method.__qualname__ = name
    method.__doc__ = doc
    return method


def _uniform(generator: Any, shape: Any, dtype: Any, a: float = 0.0, b: float = 1.0, **named: Any) -> Any:
    return random.uniform(generator, shape, dtype, named.get("from", a), named.get("to", b))


def _random(generator: Any, shape: Any, dtype: Any, a: Any = None, b: Any = None, **named: Any) -> Any:
    low, high = named.get("from", a), named.get("to", b)
    if "from" not in named and "to" not in named and high is None and low is not None:
        low, high = 0, low  # random_(to)
    if high is None:
        return random.random(generator, shape, dtype, low)
    return random.randint(
        generator, shape, dtype, 0 if low is None else operator.index(low), operator.index(high)
    )


def _bernoulli(generator: Any, shape: Any, dtype: Any, p: Any = 0.5) -> Any:
    return random.bernoulli(generator, shape, dtype, _probability(p))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "bernoulli": bernoulli, "multinomial": multinomial, "normal": normal, "rand": rand,
    "rand_like": _like("rand_like", random.uniform), "randint": randint,
    "randint_like": _like("randint_like", _draw_integers), "randn": randn,
    "randn_like": _like("randn_like", random.normal),
    "randperm": randperm,
}  # fmt: skip
METHODS: dict[str, Callable[..., Any]] = {
    "bernoulli": bernoulli, "multinomial": multinomial,
    "bernoulli_": _filler("bernoulli_", _bernoulli, "Fill with ones with probability `p`, else zeros."),
    "cauchy_": _filler("cauchy_", random.cauchy, "Fill from the Cauchy distribution."),
    "exponential_": _filler("exponential_", random.exponential, "Fill from the exponential distribution."),
    "geometric_": _filler("geometric_", random.geometric, "Fill with numbers of trials up to a success."),
    "log_normal_": _filler("log_normal_", random.log_normal, "Fill from the log-normal distribution."),
    "normal_": _filler("normal_", random.normal, "Fill from the normal distribution."),
    "random_": _filler("random_", _random, "Fill with integers."),
    "uniform_": _filler("uniform_", _uniform, "Fill evenly from [from, to)."),
}  # fmt: skip
for _table in (FUNCTIONS, METHODS):
    _table.update({name: drawing(function) for name, function in _table.items()})
