"""Functions of the user's that a module calls before, after and behind its forward.

The first registration marks the module (`_hooked`), or everything (`everywhere.hooked`); an unmarked module's
call
goes straight to `forward`.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from retrograd.hooks import RemovableHandle
from retrograd.nn import backward_hooks

_Hooks = OrderedDict[int, Any]


class Everywhere:
    """The hooks of all modules: register_module_forward_hook and its like."""

    def __init__(self) -> None:
        self.hooked = False
        self.changes = 0  # of attributes, over all modules: as long as it stays, no module has changed
        self.compiled: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()  # a module's own forward, compiled
        self.pre: _Hooks = OrderedDict()
        self.post: _Hooks = OrderedDict()
        self.post_with_kwargs: _Hooks = OrderedDict()
        self.post_always: _Hooks = OrderedDict()
        self.backward_pre: _Hooks = OrderedDict()
        self.backward: _Hooks = OrderedDict()


everywhere = Everywhere()


def _lazily(name: str) -> Any:
    """Return a property that makes an ordered dictionary in the instance at its first use."""

    def get(self: Any) -> Any:
        return self.__dict__.setdefault(name, OrderedDict())

    return property(get, doc=f"The hooks registered as {name}, by their handles' ids.")


class HookProtocol:
    """How a module takes hooks, and is called when it has some."""

    _hooked = False
    training: bool
    forward: Callable[..., Any]

    _forward_hooks = _lazily("_forward_hooks")
    _forward_hooks_with_kwargs = _lazily("_forward_hooks_with_kwargs")
    _forward_hooks_always_called = _lazily("_forward_hooks_always_called")
    _forward_pre_hooks = _lazily("_forward_pre_hooks")
    _forward_pre_hooks_with_kwargs = _lazily("_forward_pre_hooks_with_kwargs")
    _backward_hooks = _lazily("_backward_hooks")
    _backward_pre_hooks = _lazily("_backward_pre_hooks")

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args)` before forward; what it returns replaces the arguments.

        Args:
            hook: the function; with `with_kwargs` it gets (module, args, kwargs) and returns (args, kwargs).
            prepend: call it before the hooks already registered.
            with_kwargs: whether the hook takes the keyword arguments too.
        """
        handle = self._register(self._forward_pre_hooks, hook, prepend, [self._forward_pre_hooks_with_kwargs])
        if with_kwargs:
            self._forward_pre_hooks_with_kwargs[handle.id] = True
        return handle

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call `hook(module, args, output)` after forward; what it returns replaces the output.

        Args:
            hook: the function; with `with_kwargs` it gets (module, args, kwargs, output).
            prepend: call it before the hooks already registered.
            with_kwargs: whether the hook takes the keyword arguments too.
            always_call: call it also when forward raises, with None for the output.
        """
        extra = [self._forward_hooks_with_kwargs, self._forward_hooks_always_called]
        handle = self._register(self._forward_hooks, hook, prepend, extra)
        if with_kwargs:
            self._forward_hooks_with_kwargs[handle.id] = True
        if always_call:
            self._forward_hooks_always_called[handle.id] = True
        return handle

    def register_full_backward_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, grad_output)` before the module's backward; its result replaces grad_output."""
        return self._register(self._backward_pre_hooks, hook, prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` after the module's backward.

        What it returns replaces grad_input.
        """
        return self._register(self._backward_hooks, hook, prepend)

    def register_backward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Register a full backward hook: the old name, whose incomplete gradients are not imitated."""
        warnings.warn(
            "register_backward_hook: registers a full backward hook here; use register_full_backward_hook",
            FutureWarning,
            stacklevel=2,
        )
        return self.register_full_backward_hook(hook)

    def _register(
        self,
        hooks: _Hooks,
        hook: Callable[..., Any],
        prepend: bool = False,
        extra: list[_Hooks] | None = None,
    ) -> RemovableHandle:
        handle = RemovableHandle(hooks, extra_dict=extra)
        hooks[handle.id] = hook
        if prepend:
            hooks.move_to_end(handle.id, last=False)
        everywhere.changes += 1
        self.__dict__["_hooked"] = True
        return handle

    # ---- the call of a module with hooks ----

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        called: set[int] = set()
        try:
            args, kwargs = self._run_pre_hooks(args, kwargs)
            backward = [*everywhere.backward.values(), *self._backward_hooks.values()]
            backward_pre = [*everywhere.backward_pre.values(), *self._backward_pre_hooks.values()]
            bridge = backward_hooks.Bridge(self, backward, backward_pre) if backward or backward_pre else None
            if bridge is not None:
                args = bridge.enter(args)
            result = everywhere.compiled.get(self, self.forward)(*args, **kwargs)
            for key, hook, with_kwargs in self._post_hooks():
                called.add(key)
                replaced = hook(self, args, kwargs, result) if with_kwargs else hook(self, args, result)
                if replaced is not None:
                    result = replaced
            return result if bridge is None else bridge.leave(result)
        except Exception:
            self._run_always_called(args, kwargs, called)
            raise

    def _run_pre_hooks(self, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        for hook in list(everywhere.pre.values()):
            args = _as_args(hook(self, args), args)
        for key, hook in list(self._forward_pre_hooks.items()):
            if key not in self._forward_pre_hooks_with_kwargs:
                args = _as_args(hook(self, args), args)
                continue
            replaced = hook(self, args, kwargs)
            if replaced is None:
                continue
            if not (isinstance(replaced, tuple) and len(replaced) == 2):
                raise RuntimeError(
                    "forward pre-hook must return None or a tuple of (new_args, new_kwargs), "
                    f"but got {replaced}."
                )
            args, kwargs = replaced
        return args, kwargs

    def _post_hooks(self) -> list[tuple[int, Any, bool]]:
        shared = [(k, h, k in everywhere.post_with_kwargs) for k, h in everywhere.post.items()]
        return shared + [(k, h, k in self._forward_hooks_with_kwargs) for k, h in self._forward_hooks.items()]

    def _run_always_called(self, args: Any, kwargs: Any, called: set[int]) -> None:
        """Call, after an exception, the hooks that want it; their own exceptions become warnings."""
        for key, hook, with_kwargs in self._post_hooks():
            if key in called or not (
                key in self._forward_hooks_always_called or key in everywhere.post_always
            ):
                continue
            try:
                hook(self, args, kwargs, None) if with_kwargs else hook(self, args, None)
            except Exception as error:  # noqa: BLE001 - passed on, not swallowed
                warnings.warn(
                    "module forward hook with ``always_call=True`` raised an exception that was silenced as "
                    "another "
                    f"error was raised in forward: {error!s}",
                    stacklevel=2,
                )


def _as_args(replaced: Any, args: Any) -> Any:
    if replaced is None:
        return args
    return replaced if isinstance(replaced, tuple) else (replaced,)


# ---- hooks of all modules ----


def _register_everywhere(hooks: _Hooks, hook: Any, extra: list[_Hooks] | None = None) -> RemovableHandle:
    handle = RemovableHandle(hooks, extra_dict=extra)
    hooks[handle.id] = hook
    everywhere.hooked = True
    return handle


def register_module_forward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(module, args)` before the forward of every module."""
    return _register_everywhere(everywhere.pre, hook)


def register_module_forward_hook(
    hook: Callable[..., Any], *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """Call `hook(module, args, output)` after the forward of every module."""
    handle = _register_everywhere(
        everywhere.post, hook, [everywhere.post_with_kwargs, everywhere.post_always]
    )
    if with_kwargs:
        everywhere.post_with_kwargs[handle.id] = True
    if always_call:
        everywhere.post_always[handle.id] = True
    return handle


def register_module_full_backward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(module, grad_output)` before the backward of every module."""
    return _register_everywhere(everywhere.backward_pre, hook)


def register_module_full_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(module, grad_input, grad_output)` after the backward of every module."""
    return _register_everywhere(everywhere.backward, hook)
