"""Checkpointing: keep no intermediate values of a function, and run it again in backward.

Without re-entrance (`use_reentrant=False`) the function is recorded as usual, but what its nodes would save
is replaced by numbers; the first rule that needs one runs the function again and takes what that run saves,
in the same order. With re-entrance the function runs unrecorded, as one custom Function whose backward
records it and differentiates that.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from retrograd import random
from retrograd.autograd.calls import backward
from retrograd.autograd.engine import running
from retrograd.autograd.function import Function
from retrograd.autograd.modes import enable_grad, is_grad_enabled, no_grad
from retrograd.autograd.saved_hooks import saved_tensors_hooks
from retrograd.tensor import Tensor
from retrograd.utils.recompute import (
    CheckpointError,
    Frame,
    GraphExecGroup,
    set_checkpoint_debug_enabled,
    set_checkpoint_early_stop,
)
from retrograd.utils.selective_checkpoint import (
    SAC_IGNORED_OPS,
    CheckpointPolicy,
    SelectiveCheckpointContext,
    create_selective_checkpoint_contexts,
)

_SAY_EXPLICITLY = (
    "torch.utils.checkpoint: the use_reentrant parameter should be passed explicitly. Starting in PyTorch "
    "2.9, calling checkpoint without use_reentrant will raise an exception. use_reentrant=False is "
    "recommended, but if you need to preserve the current default behavior, you can pass use_reentrant=True. "
    "Refer to docs for more details on the differences between the two variants."
)
_SAY_EXPLICITLY_IN_PARTS = (
    "torch.utils.checkpoint.checkpoint_sequential: the use_reentrant parameter should be passed explicitly. "
    "In version 2.9 we will raise an exception if use_reentrant is not passed. use_reentrant=False is "
    "recommended, but if you need to preserve the current default behavior, you can pass use_reentrant=True. "
    "Refer to docs for more details on the differences between the two variants."
)
_NOT_WITH_INPUTS = (
    "When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad() or passing an `inputs` "
    "parameter to .backward(). To resolve this error, you can either set use_reentrant=False, or call "
    ".backward() without passing the `inputs` argument."
)


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
    frame = Frame(function, args, kwargs, context_fn, preserve, determinism_check, debug, early_stop)
    with frame.first, saved_tensors_hooks(frame.pack, frame.unpack):
        return function(*args, **kwargs)


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
        warnings.warn(_SAY_EXPLICITLY_IN_PARTS, UserWarning, stacklevel=2)
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


def get_device_states(*args: Any) -> tuple[list[int], list[Any]]:  # noqa: ARG001 - torch's signature
    """Return the devices of the arguments and their random states: none, for there is only the CPU."""
    return [], []


def set_device_states(devices: Sequence[int], states: Sequence[Any], *, device_type: Any = None) -> None:
    """Do nothing: there is no device whose random state could be set."""


class DefaultDeviceType:
    """The type of the devices that checkpoints think of where no argument says it."""

    _default_device_type = "cpu"

    @staticmethod
    def get_device_type() -> str:
        """Return the type."""
        return DefaultDeviceType._default_device_type

    @staticmethod
    def set_device_type(device: str = "cpu") -> None:
        """Set the type."""
        DefaultDeviceType._default_device_type = device


__all__ = [
    "SAC_IGNORED_OPS", "CheckpointError", "CheckpointFunction", "CheckpointPolicy", "DefaultDeviceType",
    "GraphExecGroup", "SelectiveCheckpointContext", "check_backward_validity", "checkpoint",
    "checkpoint_sequential", "create_selective_checkpoint_contexts", "detach_variable", "get_device_states",
    "is_grad_enabled", "noop_context_fn", "set_checkpoint_debug_enabled", "set_checkpoint_early_stop",
    "set_device_states",
]  # fmt: skip
