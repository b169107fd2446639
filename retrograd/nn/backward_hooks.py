"""Backward hooks of modules: identity nodes around a module, where its gradients can be seen and replaced.

One node behind the module sees all gradients of its outputs at once, one before it those of its inputs.
"""

from __future__ import annotations

import warnings
from typing import Any

from retrograd.autograd.dispatch import as_view
from retrograd.autograd.graph import Cotangents, Node, Output
from retrograd.autograd.modes import local
from retrograd.ops.helpers import as_array
from retrograd.tensor import Tensor, history, wrap

_NO_INPUT_GRADS = (
    "Full backward hook is firing when gradients are computed with respect to module outputs since no "
    "inputs require "
    "gradients. See https://docs.pytorch.org/docs/main/generated/torch.nn.Module.html#torch.nn.Module."
    "register_full_backward_hook for more details."
)


class BackwardHookFunctionBackward(Node):
    """The identity on several tensors; `see` is given their cotangents and returns what goes on."""

    __slots__ = ("see",)

    see: Any

    def pullback(self, ct: Any, keep: bool) -> tuple[Any, ...]:
        seen = self.see(tuple(None if c is None else wrap(as_array(c)) for c in ct))
        return tuple(None if c is None else c._array for c in seen)

    def pullback_recorded(self, ct: Any, keep: bool) -> tuple[Any, ...]:
        return tuple(self.see(tuple(ct)))


def _identity(tensors: list[Tensor], see: Any) -> list[Tensor]:
    """Return views of the tensors behind one node that calls `see` in backward."""
    node = BackwardHookFunctionBackward()
    node.edges = tuple(history(t) for t in tensors)
    node.see = see
    node.stamp()
    made = []
    for i, tensor in enumerate(tensors):
        view = wrap(tensor._array.view())
        as_view(view, tensor)
        view._facts().origin = "function"
        view._node = Output(node, i, len(tensors))
        made.append(view)
    return made


class Bridge:
    """One call of a module with backward hooks.

    Args:
        module: the module that the hooks are told of.
        hooks: called with (module, grad_input, grad_output).
        pre_hooks: called with (module, grad_output).
    """

    def __init__(self, module: Any, hooks: list[Any], pre_hooks: list[Any]) -> None:
        self.module = module
        self.hooks = hooks
        self.pre_hooks = pre_hooks
        self.inputs = 0
        self.has_input_node = False
        self.grad_output: tuple[Any, ...] = ()

    def enter(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the arguments behind the node that sees the gradients of the inputs."""
        self.inputs = len(args)
        at = _recorded(args)
        if not at or not self.hooks:
            return args
        self.has_input_node = True
        return _put(args, at, _identity([args[i] for i in at], lambda cts: self._see_inputs(at, cts)))

    def leave(self, result: Any) -> Any:
        """Return the result behind the node that sees the gradients of the outputs."""
        results = result if isinstance(result, tuple) else (result,)
        if not all(isinstance(r, Tensor) for r in results):
            warnings.warn(
                "For backward hooks to be called, module output should be a Tensor or a tuple of Tensors "
                "but received "
                f"{type(result)}",
                stacklevel=4,
            )
            return result
        at = _recorded(results)
        if not at:
            return result
        seen = _put(
            results,
            at,
            _identity([results[i] for i in at], lambda cts: self._see_outputs(at, cts, len(results))),
        )
        if not isinstance(result, tuple):
            return seen[0]
        return type(result)(*seen) if hasattr(result, "_fields") else seen

    def _see_outputs(self, at: list[int], cts: tuple[Any, ...], count: int) -> tuple[Any, ...]:
        grads = _put((None,) * count, at, cts)
        for hook in self.pre_hooks:
            replaced = hook(self.module, grads)
            if replaced is not None:
                grads = replaced if isinstance(replaced, tuple) else (replaced,)
                _check_count("Backward pre hook", "grad_output", grads, count)
        self.grad_output = grads
        if not self.has_input_node:
            if self.hooks:
                warnings.warn(_NO_INPUT_GRADS, stacklevel=2)
            for hook in self.hooks:
                replaced = hook(self.module, (None,) * self.inputs, grads)
                if replaced is not None and any(g is not None for g in _tupled(replaced)):
                    raise RuntimeError(
                        "Backward hook for Modules where no input requires gradient should always return "
                        "None or None for all gradients."
                    )
        return Cotangents(grads[i] for i in at)

    def _see_inputs(self, at: list[int], cts: tuple[Any, ...]) -> tuple[Any, ...]:
        grads = _put((None,) * self.inputs, at, cts)
        for hook in self.hooks:
            replaced = hook(self.module, grads, self.grad_output)
            if replaced is not None:
                grads = _tupled(replaced)
                _check_count("Backward hook", "grad_input", grads, self.inputs)
        return tuple(grads[i] for i in at)


def _recorded(values: tuple[Any, ...]) -> list[int]:
    """Return the places of the tensors that gradients flow to."""
    if not local.grad:
        return []
    return [i for i, v in enumerate(values) if isinstance(v, Tensor) and v.requires_grad]


def _put(values: tuple[Any, ...], at: list[int], replaced: Any) -> tuple[Any, ...]:
    found = list(values)
    for i, value in zip(at, replaced, strict=True):
        found[i] = value
    return tuple(found)


def _tupled(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _check_count(what: str, name: str, grads: tuple[Any, ...], count: int) -> None:
    if len(grads) != count:
        raise RuntimeError(
            f"{what} returned an invalid number of {name}, got {len(grads)}, but expected {count}"
        )
