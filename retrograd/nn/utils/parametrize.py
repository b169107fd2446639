"""Parametrizations: a module's tensor computed, each time it is read, from one or several others.

The module gets a class of its own, with a property in the tensor's place; what it is computed from is found
under `parametrizations.NAME.original` (`original0`, `original1`, ... of several).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from retrograd.autograd.modes import no_grad
from retrograd.nn.module import Module
from retrograd.nn.modules.container import ModuleDict, ModuleList
from retrograd.nn.parameter import Parameter
from retrograd.tensor import Tensor


class _Cache(threading.local):
    def __init__(self) -> None:
        self.depth = 0
        self.values: dict[tuple[int, str], Any] = {}


_cache = _Cache()


@contextlib.contextmanager
def cached() -> Iterator[None]:
    """Compute each parametrized tensor once within the block."""
    _cache.depth += 1
    try:
        yield
    finally:
        _cache.depth -= 1
        if not _cache.depth:
            _cache.values = {}


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, in the order in which they are applied, and its originals."""

    def __init__(self, modules: Sequence[Module], original: Any, unsafe: bool = False) -> None:
        if len(modules) == 0:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        shape, dtype = original.shape, original.dtype
        with no_grad():
            made: Any = original
            for module in reversed(list(self)):
                if hasattr(module, "right_inverse"):
                    with contextlib.suppress(NotImplementedError):
                        made = module.right_inverse(made)
        if not isinstance(made, (Tensor, Sequence)):
            raise ValueError(  # noqa: TRY004 - torch's type
                "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). Got "
                f"{type(made).__name__}"
            )
        self.is_tensor = isinstance(made, Tensor)
        self.ntensors = 1 if self.is_tensor else len(made)
        if self.is_tensor:
            self._keep("original", made, original)
        else:
            for i, tensor in enumerate(made):
                self._keep(f"original{i}", tensor, original)
        if not unsafe:
            self._check(shape, dtype)

    def _keep(self, name: str, tensor: Any, original: Any) -> None:
        if isinstance(original, Parameter):
            if tensor is original:
                self.register_parameter(name, original)
            else:
                self.register_parameter(name, Parameter(tensor.detach(), original.requires_grad))
        else:
            self.register_buffer(name, tensor)

    def _check(self, shape: Any, dtype: Any) -> None:
        made = self()
        if not isinstance(made, Tensor):
            raise ValueError(  # noqa: TRY004 - torch's type
                f"A parametrization must return a tensor. Got {type(made).__name__}."
            )
        if made.dtype is not dtype:
            raise ValueError(
                "Registering a parametrization may not change the dtype of the tensor, unless "
                "`unsafe` flag is "
                f"enabled.\nmodule dtype: {dtype}\nparametrized dtype: {made.dtype}"
            )
        if tuple(made.shape) != tuple(shape):
            raise ValueError(
                "Registering a parametrization may not change the shape of the tensor, unless "
                "`unsafe` flag is "
                f"enabled.\nmodule shape: {shape}\nparametrized shape: {made.shape}"
            )

    def _originals(self) -> list[Any]:
        if self.is_tensor:
            return [self.original]
        return [getattr(self, f"original{i}") for i in range(self.ntensors)]

    def right_inverse(self, value: Any) -> None:
        """Set the originals so that the tensor becomes `value`.

        Raises:
            RuntimeError: a parametrization has no `right_inverse`.
        """
        with no_grad():
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(
                        f"parametrization {type(module).__name__} does not implement right_inverse."
                    )
                value = module.right_inverse(value)
            given = [value] if self.is_tensor else list(value)
            for original, tensor in zip(self._originals(), given, strict=True):
                original.copy_(tensor)

    def forward(self) -> Any:
        first, *others = list(self)
        found = first(*self._originals())
        for module in others:
            found = module(found)
        return found


def is_parametrized(module: Any, tensor_name: str | None = None) -> bool:
    """Return whether a module, or one tensor of it, is parametrized."""
    found = module.__dict__.get("parametrizations")
    if not isinstance(found, ModuleDict):
        return False
    return len(found) > 0 if tensor_name is None else tensor_name in found


def type_before_parametrizations(module: Any) -> type:
    """Return the class that the module had before any parametrization."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def _read(name: str) -> property:
    def get(self: Any) -> Any:
        if not _cache.depth:
            return self.parametrizations[name]()
        key = (id(self), name)
        if key not in _cache.values:
            _cache.values[key] = self.parametrizations[name]()
        return _cache.values[key]

    def put(self: Any, value: Any) -> None:
        self.parametrizations[name].right_inverse(value)

    return property(get, put)


def _setattr(self: Any, name: str, value: Any) -> None:
    if isinstance(getattr(type(self), name, None), property):
        object.__setattr__(self, name, value)  # a module would register a parameter under this name
    else:
        Module.__setattr__(self, name, value)


def register_parametrization(
    module: Any, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Any:
    """Make a tensor of a module a function of what it was: `parametrization(original)`; return the module.

    With `right_inverse` on the parametrization, `original` becomes right_inverse(tensor), and the tensor can
    be assigned to. `unsafe` allows another shape or dtype.

    Raises:
        ValueError: the module has no such tensor; the parametrization changes its shape or dtype.
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        before = module.parametrizations[tensor_name]
        if not unsafe:
            now = getattr(module, tensor_name)
            made = parametrization(now)
            if tuple(made.shape) != tuple(now.shape) or made.dtype is not now.dtype:
                raise ValueError(
                    "A parametrization may not change the shape or the dtype of the tensor, unless "
                    "the `unsafe` "
                    f"flag is enabled: got {tuple(made.shape)} {made.dtype} of {tuple(now.shape)} {now.dtype}"
                )
        before.append(parametrization)
        before.unsafe |= unsafe
    elif tensor_name in module._buffers or tensor_name in module._parameters:
        original = getattr(module, tensor_name)
        made = ParametrizationList([parametrization], original, unsafe=unsafe)
        delattr(module, tensor_name)
        if not is_parametrized(module):
            cls = type(module)
            body = {"__setattr__": _setattr, "__module__": cls.__module__}
            module.__class__ = type(f"Parametrized{cls.__name__}", (cls,), body)
            module.parametrizations = ModuleDict()
        setattr(type(module), tensor_name, _read(tensor_name))
        module.parametrizations[tensor_name] = made
    else:
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element with name "
            f"'{tensor_name}'"
        )
    return module


def remove_parametrizations(module: Any, tensor_name: str, leave_parametrized: bool = True) -> Any:
    """Make a tensor an ordinary one again: with the value that it has, or that of its only original.

    Raises:
        ValueError: it is not parametrized, or has several originals and is not to be left as it is.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    made = module.parametrizations[tensor_name]
    originals = made._originals()
    is_parameter = isinstance(originals[0], Parameter)
    if leave_parametrized:
        with no_grad():
            value = getattr(module, tensor_name).detach().clone()
    elif made.is_tensor:
        value = originals[0]
    else:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is parametrized "
            "in terms of "
            "a sequence of tensors."
        )
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    if not len(module.parametrizations):
        delattr(module, "parametrizations")
        module.__class__ = type(module).__bases__[0]
    if is_parameter:
        if leave_parametrized and made.is_tensor:
            originals[0].data = value
            value = originals[0]
        elif leave_parametrized:
            value = Parameter(value, any(o.requires_grad for o in originals))
        module.register_parameter(tensor_name, value)
    else:
        module.register_buffer(tensor_name, value)
    return module


__all__ = [
    "ParametrizationList", "cached", "is_parametrized", "register_parametrization", "remove_parametrizations",
    "type_before_parametrizations",
]  # fmt: skip
