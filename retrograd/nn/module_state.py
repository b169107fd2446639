"""A module's state as a dictionary of tensors: saving it, loading it, and the hooks of both."""

from __future__ import annotations

import warnings
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from retrograd.hooks import RemovableHandle
from retrograd.nn.parameter import Parameter
from retrograd.tensor import Tensor

EXTRA_STATE = "_extra_state"


class _IncompatibleKeys(namedtuple("_IncompatibleKeys", ["missing_keys", "unexpected_keys"])):  # noqa: PYI024
    """What load_state_dict did not find, and what it did not know."""

    __slots__ = ()

    def __repr__(self) -> str:
        return (
            "<All keys matched successfully>"
            if not self.missing_keys and not self.unexpected_keys
            else super().__repr__()
        )

    __str__ = __repr__


class StateProtocol:
    """How a module turns into a state dictionary and back."""

    _version = 1
    _names: dict[str, dict[str, None]]
    _non_persistent_buffers_set: set[str]

    # ---- saving ----

    def state_dict(
        self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> Any:
        """Return the tree's parameters and persistent buffers by dotted name: same memory, no history.

        Args:
            args: the old way to give the arguments below, by position.
            destination: a dictionary to add to.
            prefix: what names begin with.
            keep_vars: give the tensors themselves, not detached.
        """
        if args:
            warnings.warn(
                "Positional args are being deprecated, use kwargs instead. Refer to "
                "https://pytorch.org/docs/main/"
                "generated/torch.nn.Module.html#torch.nn.Module.state_dict for details.",
                FutureWarning,
                stacklevel=2,
            )
            given: list[Any] = [*args, *(destination, prefix, keep_vars)[len(args) :]]
            destination, prefix, keep_vars = given
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        local_metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = local_metadata
        for hook in self.__dict__.get("_state_dict_pre_hooks", {}).values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._children_by_name():
            module.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for hook in self.__dict__.get("_state_dict_hooks", {}).values():
            result = hook(self, destination, prefix, local_metadata)
            if getattr(hook, "_from_public_api", False):
                if result is not None:
                    raise RuntimeError("state_dict post-hook must return None")
            elif result is not None:
                destination = result
        return destination

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        """Put this module's own parameters, persistent buffers and extra state into `destination`."""
        for name, tensor in self._own_state():
            destination[prefix + name] = tensor if keep_vars else tensor.detach()
        if self._has_extra_state("get_extra_state"):
            destination[prefix + EXTRA_STATE] = self.get_extra_state()

    def _own_state(self) -> list[tuple[str, Any]]:
        """Return the module's own (name, tensor) pairs that belong to its state."""
        attributes, names = self.__dict__, self._names
        pairs = [(name, attributes[name]) for name in names["parameter"]]
        pairs += [(n, attributes[n]) for n in names["buffer"] if n not in self._non_persistent_buffers_set]
        return [(name, tensor) for name, tensor in pairs if tensor is not None]

    def _children_by_name(self) -> list[tuple[str, Any]]:
        return [(n, self.__dict__[n]) for n in self._names["module"] if self.__dict__[n] is not None]

    def _has_extra_state(self, method: str) -> bool:
        return getattr(type(self), method) is not getattr(StateProtocol, method)

    def get_extra_state(self) -> Any:
        """Return what else belongs to the state; to be defined together with `set_extra_state`."""
        raise RuntimeError("Reached a code path in Module.get_extra_state() that should never be called.")

    def set_extra_state(self, state: Any) -> None:
        """Take what `get_extra_state` returned."""
        raise RuntimeError("Reached a code path in Module.set_extra_state() that should never be called.")

    # ---- loading ----

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Copy the tensors of a state dictionary into the parameters and buffers of their names.

        Args:
            state_dict: as `state_dict` returns it.
            strict: raise if a name is missing or unknown.
            assign: put the given tensors in place of the module's, instead of copying.

        Returns:
            The missing and the unexpected names.

        Raises:
            RuntimeError: sizes differ, or with `strict` names do; lists all that is wrong.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        missing: list[str] = []
        unexpected: list[str] = []
        errors: list[str] = []
        metadata = getattr(state_dict, "_metadata", None)
        state = OrderedDict(state_dict)
        if metadata is not None:
            state._metadata = metadata  # type: ignore[attr-defined]
        _load(self, state, "", metadata, assign, missing, unexpected, errors)
        if strict:
            if unexpected:
                errors.insert(0, f"Unexpected key(s) in state_dict: {_quoted(unexpected)}. ")
            if missing:
                errors.insert(0, f"Missing key(s) in state_dict: {_quoted(missing)}. ")
        if errors:
            raise RuntimeError(
                f"Error(s) in loading state_dict for {type(self).__name__}:\n\t" + "\n\t".join(errors)
            )
        return _IncompatibleKeys(missing, unexpected)

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Load this module's own part of a state; note what is missing, unknown or wrong."""
        for hook in list(self.__dict__.get("_load_state_dict_pre_hooks", {}).values()):
            hook(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
        own = self._own_state()
        for name, tensor in own:
            key = prefix + name
            if key not in state_dict:
                if strict:
                    missing_keys.append(key)
                continue
            self._load_tensor(name, key, tensor, state_dict[key], local_metadata, error_msgs)
        extra = prefix + EXTRA_STATE
        wants_extra = self._has_extra_state("set_extra_state")
        if wants_extra and extra in state_dict:
            self.set_extra_state(state_dict[extra])
        elif wants_extra and strict:
            missing_keys.append(extra)
        if not strict:
            return
        known = {name for name, _ in own} | ({EXTRA_STATE} if wants_extra else set())
        for key in state_dict:
            if key.startswith(prefix):
                first, dot, _ = key[len(prefix) :].partition(".")
                if first not in (self._names["module"] if dot else known):
                    unexpected_keys.append(key)

    def _load_tensor(
        self, name: str, key: str, mine: Any, given: Any, metadata: Any, errors: list[str]
    ) -> None:
        if not isinstance(given, Tensor):
            errors.append(
                f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like object '
                f"from checkpoint but received {type(given)}"
            )
            return
        array = given._array
        if mine._array.ndim == 0 and array.ndim == 1:  # scalars were saved with one dimension once
            array = array[0:1].reshape(())
        if mine._array.shape != array.shape:
            errors.append(
                f"size mismatch for {key}: copying a param with shape {given.shape} from checkpoint, "
                f"the shape in current model is {mine.shape}."
            )
            return
        if metadata.get("assign_to_params_buffers", False):
            if isinstance(mine, Parameter) and not isinstance(given, Parameter):
                given = Parameter(given, mine.requires_grad)
            elif isinstance(mine, Parameter):
                given.requires_grad_(mine.requires_grad)
            setattr(self, name, given)
            return
        np.copyto(mine._array, array, casting="unsafe")
        mine._version_cell().bump()

    # ---- hooks ----

    def _register_state_dict_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        return self._register_state_hook("_state_dict_hooks", hook)

    def register_state_dict_post_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, local_metadata)` after state_dict."""
        hook._from_public_api = True  # type: ignore[attr-defined]
        return self._register_state_hook("_state_dict_hooks", hook)

    def register_state_dict_pre_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Call `hook(module, prefix, keep_vars)` before state_dict."""
        return self._register_state_hook("_state_dict_pre_hooks", hook)

    def _register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], with_module: bool = False
    ) -> RemovableHandle:
        if with_module:
            inner = hook

            def hook(*args: Any) -> Any:
                return inner(self, *args)

        return self._register_state_hook("_load_state_dict_pre_hooks", hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Call the hook before loading.

        It gets (module, state_dict, prefix, local_metadata, strict, missing, unexpected, errors).
        """
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def register_load_state_dict_post_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Call `hook(module, incompatible_keys)` after loading; it may change the lists of keys."""
        return self._register_state_hook("_load_state_dict_post_hooks", hook)

    def _register_state_hook(self, name: str, hook: Any) -> RemovableHandle:
        hooks = self.__dict__.setdefault(name, OrderedDict())
        handle = RemovableHandle(hooks)
        hooks[handle.id] = hook
        return handle


def _load(
    module: Any, state: Any, prefix: str, metadata: Any, assign: bool,
    missing: list[str], unexpected: list[str], errors: list[str],
) -> None:  # fmt: skip
    """Load a module and all below it; each sees the part of the state that begins with its prefix."""
    local = {} if metadata is None else metadata.get(prefix[:-1], {})
    if assign:
        local["assign_to_params_buffers"] = assign
    module._load_from_state_dict(state, prefix, local, True, missing, unexpected, errors)
    for name, child in module._children_by_name():
        below = f"{prefix}{name}."
        part = OrderedDict((k, v) for k, v in state.items() if k.startswith(below))
        _load(child, part, below, metadata, assign, missing, unexpected, errors)
    keys = _IncompatibleKeys(missing, unexpected)
    for hook in module.__dict__.get("_load_state_dict_post_hooks", {}).values():
        if hook(module, keys) is not None:
            raise RuntimeError(
                "Hooks registered with ``register_load_state_dict_post_hook`` are not expected to return new "
                "values, if incompatible_keys need to be modified, it should be done inplace."
            )


def _quoted(keys: list[str]) -> str:
    return ", ".join(f'"{key}"' for key in keys)
