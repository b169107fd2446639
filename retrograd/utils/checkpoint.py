"""Checkpointing: keep no intermediate values of a function, and run it again in backward.

Without re-entrance (`use_reentrant=False`) the function is recorded as usual, but what its nodes would save
is replaced by numbers; the first rule that needs one runs the function again and takes what that run saves,
in the same order. With re-entrance the function runs unrecorded, as one custom Function whose backward
records it and differentiates that.
"""

from __future__ import annotations

import enum
import warnings
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from retrograd import random
from retrograd.autograd.calls import backward
from retrograd.autograd.engine import running
from retrograd.autograd.function import Function
from retrograd.autograd.modes import enable_grad, is_grad_enabled, no_grad
from retrograd.autograd.saved_hooks import saved_tensors_hooks
from retrograd.tensor import Tensor

_SAY_EXPLICITLY = (
    "torch.utils.checkpoint: the use_reentrant parameter should be passed explicitly. Starting in PyTorch "
    "2.9, calling checkpoint without use_reentrant will raise an exception. use_reentrant=False is "
    "recommended, but if you need to preserve the current default behavior, you can pass use_reentrant=True. "
    "Refer to docs for more details on the differences between the two variants."
)
_NOT_WITH_INPUTS = (
    "When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad() or passing an `inputs` "
    "parameter to .backward(). To resolve this error, you can either set use_reentrant=False, or call "
    ".backward() without passing the `inputs` argument."
)


class CheckpointError(RuntimeError):
    """The second run of a checkpointed function did something else than the first."""

    __module__ = "torch.utils.checkpoint"  # so a traceback reads as torch's


class CheckpointPolicy(enum.Enum):
    """What a selective checkpoint does with the result of an op."""

    MUST_SAVE = 0
    PREFER_SAVE = 1
    MUST_RECOMPUTE = 2
    PREFER_RECOMPUTE = 3
    MUST_CPU_OFFLOAD = 4
    PREFER_CPU_OFFLOAD = 5


class _Settings:
    early_stop = True
    debug: bool | None = None


_settings = _Settings()


@contextmanager
def set_checkpoint_early_stop(enable: bool) -> Any:
    """Stop second runs when they have saved all that the first saved (the default), or let them finish."""
    before, _settings.early_stop = _settings.early_stop, enable
    try:
        yield
    finally:
        _settings.early_stop = before


@contextmanager
def set_checkpoint_debug_enabled(enabled: bool | None) -> Any:
    """Have errors list what either run saved; None leaves it to each checkpoint's `debug`."""
    before, _settings.debug = _settings.debug, enabled
    try:
        yield
    finally:
        _settings.debug = before


def noop_context_fn() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    """Return two contexts that do nothing: the default around the first and the second run."""
    return nullcontext(), nullcontext()


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Callable[[], tuple[Any, Any]] = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    **kwargs: Any,
) -> Any:
    """Run `function(*args, **kwargs)` without keeping what its backward needs, and again in backward.

    Args:
        function: what to run; it must do the same both times.
        *args: its arguments.
        **kwargs: its keyword arguments; but see `preserve_rng_state`.
        use_reentrant: False is recommended; None warns and means True, as in torch.
        context_fn: gives the contexts of the first and the second run (not with re-entrance).
        determinism_check: 'default' compares shapes and dtypes of what both runs save; 'none' does not.
        debug: errors list what either run saved.
        early_stop: stop the second run when it has saved all that the first saved.
        preserve_rng_state: (keyword, default True) run the second time from the same random state.

    Raises:
        CheckpointError: in backward, if the second run saved something else.

    Example:
        >>> import retrograd as torch
        >>> from retrograd.utils.checkpoint import checkpoint
        >>> x = torch.zeros(2, requires_grad=True)
        >>> checkpoint(lambda t: t.exp().sin(), x, use_reentrant=False).sum().backward()
        >>> x.grad
        tensor([0.5403, 0.5403])
    """
    preserve = kwargs.pop("preserve_rng_state", True)
    if use_reentrant is None:
        warnings.warn(_SAY_EXPLICITLY, UserWarning, stacklevel=2)
        use_reentrant = True
    if use_reentrant:
        if kwargs:
            raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
        if context_fn is not noop_context_fn or debug:
            raise ValueError("Passing `context_fn` or `debug` is only supported when use_reentrant=False.")
        return CheckpointFunction.apply(function, preserve, *args)
    frame = _Frame(function, args, kwargs, context_fn, preserve, determinism_check, debug, early_stop)
    with frame.first, saved_tensors_hooks(frame.pack, frame.unpack):
        return function(*args, **kwargs)


class _StopRecomputation(Exception):  # noqa: N818 - a signal, not an error
    pass


class _Frame:
    """One checkpointed call.

    It knows what its nodes wanted to save, and the second runs that give it, one per backward.
    """

    def __init__(
        self,
        function: Any,
        args: Any,
        kwargs: Any,
        context_fn: Any,
        preserve: bool,
        check: str,
        debug: bool,
        stop: bool,
    ) -> None:
        if check not in ("default", "none"):
            raise ValueError(f"determinism_check should be one of ('default', 'none') but got {check}")
        self.function, self.args, self.kwargs = function, args, kwargs
        self.first, self.second = context_fn()
        self.state = random.default_generator.get_state() if preserve else None
        self.check, self.debug, self.stop = check, debug, stop
        self.saved: list[dict[str, Any]] = []
        self.again: weakref.WeakKeyDictionary[Any, list[Tensor]] = weakref.WeakKeyDictionary()

    def pack(self, tensor: Tensor) -> int:
        self.saved.append(_metadata(tensor))
        return len(self.saved) - 1

    def unpack(self, number: int) -> Tensor:
        run = running.stack[-1] if running.stack else self
        found = self.again.get(run)
        if found is None:
            found = self.again[run] = self.recompute()
        return found[number]

    def recompute(self) -> list[Tensor]:
        """Run the function again and return what it saves."""
        found: list[Tensor] = []

        def pack(tensor: Tensor) -> Tensor:
            found.append(tensor.detach())
            if self.stop and _settings.early_stop and len(found) == len(self.saved):
                raise _StopRecomputation
            return tensor.detach()

        before = random.default_generator.get_state()
        if self.state is not None:
            random.default_generator.set_state(self.state)
        try:
            with enable_grad(), self.second, saved_tensors_hooks(pack, lambda t: t):
                self.function(*self.args, **self.kwargs)
        except _StopRecomputation:
            pass
        finally:
            if self.state is not None:
                random.default_generator.set_state(before)
        self._compare(found)
        return found

    def _compare(self, found: list[Tensor]) -> None:
        if len(found) != len(self.saved):
            raise CheckpointError(
                "torch.utils.checkpoint: A different number of tensors was saved during the original "
                "forward and "
                f"recomputation.\nNumber of tensors saved during forward: {len(self.saved)}\nNumber of "
                f"tensors saved during recomputation: {len(found)}.{self._details(found)}"
            )
        if self.check == "none":
            return
        pairs = enumerate(zip(self.saved, map(_metadata, found), strict=True))
        wrong = [(i, a, b) for i, (a, b) in pairs if a != b]
        if wrong:
            lines = [
                f"tensor at position {i}:\nsaved metadata: {a}\nrecomputed metadata: {b}" for i, a, b in wrong
            ]
            raise CheckpointError(
                "torch.utils.checkpoint: Recomputed values for the following tensors have different "
                "metadata than "
                "during the forward pass.\n" + "\n".join(lines) + f"\n.{self._details(found)}"
            )

    def _details(self, found: list[Tensor]) -> str:
        if not (_settings.debug if _settings.debug is not None else self.debug):
            return (
                "\n\nTip: pass `debug=True` to `torch.utils.checkpoint.checkpoint(...)` to list what either "
                "run saved."
            )
        again = [_metadata(t) for t in found]
        return f"\n\nSaved in the first run:  {self.saved}\nSaved in the second run: {again}"


def _metadata(tensor: Tensor) -> dict[str, Any]:
    return {"shape": tensor.shape, "dtype": tensor.dtype, "device": tensor.device}


def check_backward_validity(inputs: Iterable[Any]) -> None:
    """Warn if no input requires grad: a re-entrant checkpoint then gives no gradients."""
    if not any(isinstance(t, Tensor) and t.requires_grad for t in inputs):
        warnings.warn(
            "None of the inputs have requires_grad=True. Gradients will be None", UserWarning, stacklevel=2
        )


def detach_variable(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the inputs with tensors cut off their history, requiring grad as before."""
    return tuple(t.detach().requires_grad_(t.requires_grad) if isinstance(t, Tensor) else t for t in inputs)


class CheckpointFunction(Function):
    """The re-entrant checkpoint."""

    @staticmethod
    def forward(ctx: Any, run_function: Any, preserve_rng_state: bool, *args: Any) -> Any:
        check_backward_validity(args)
        ctx.run_function = run_function
        ctx.state = random.default_generator.get_state() if preserve_rng_state else None
        ctx.inputs = [None if isinstance(a, Tensor) else a for a in args]
        ctx.at = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
        ctx.save_for_backward(*[args[i] for i in ctx.at])
        with no_grad():
            return run_function(*args)

    @staticmethod
    def backward(ctx: Any, *cts: Any) -> Any:
        if running.stack and running.stack[-1].needed is not None:
            raise RuntimeError(_NOT_WITH_INPUTS)
        inputs = list(ctx.inputs)
        for i, tensor in zip(ctx.at, ctx.saved_tensors, strict=True):
            inputs[i] = tensor
        detached = detach_variable(tuple(inputs))
        before = random.default_generator.get_state()
        if ctx.state is not None:
            random.default_generator.set_state(ctx.state)
        try:
            with enable_grad():
                outputs = ctx.run_function(*detached)
        finally:
            if ctx.state is not None:
                random.default_generator.set_state(before)
        outputs = (outputs,) if isinstance(outputs, Tensor) else outputs
        pairs = [
            (o, c) for o, c in zip(outputs, cts, strict=True) if isinstance(o, Tensor) and o.requires_grad
        ]
        if not pairs:
            raise RuntimeError("none of output has requires_grad=True, this checkpoint() is not necessary")
        backward([o for o, _ in pairs], [c for _, c in pairs])
        return (None, None, *[t.grad if isinstance(t, Tensor) else None for t in detached])


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """Run a sequence of functions in `segments` parts, all but the last checkpointed."""
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    if use_reentrant is None:
        warnings.warn(
            _SAY_EXPLICITLY.replace("checkpoint:", "checkpoint_sequential:", 1), UserWarning, stacklevel=2
        )
        use_reentrant = True
    steps: Sequence[Callable[[Any], Any]] = list(
        functions.children() if hasattr(functions, "children") else functions
    )

    def part(start: int, end: int) -> Callable[[Any], Any]:
        def forward(x: Any) -> Any:
            for step in steps[start : end + 1]:
                x = step(x)
            return x

        return forward

    size, end = len(steps) // segments, -1
    for start in range(0, size * (segments - 1), size):
        end = start + size - 1
        input = checkpoint(part(start, end), input, use_reentrant=use_reentrant, preserve_rng_state=preserve)
    return part(end + 1, len(steps) - 1)(input)


__all__ = [
    "CheckpointError", "CheckpointFunction", "CheckpointPolicy", "check_backward_validity", "checkpoint",
    "checkpoint_sequential", "detach_variable", "is_grad_enabled", "noop_context_fn",
    "set_checkpoint_debug_enabled", "set_checkpoint_early_stop",
]  # fmt: skip
