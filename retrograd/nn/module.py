"""Module: a tree of parameters, buffers and submodules with a forward function.

What is registered lies in the module's ordinary attributes, so `self.weight` costs what any attribute costs.
Three
ordered sets of names (`_names`) say which attributes are parameters, buffers and modules; `_parameters`,
`_buffers`
and `_modules` are views on them that look like dictionaries.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

from retrograd.nn.module_hooks import HookProtocol, everywhere
from retrograd.nn.module_state import StateProtocol
from retrograd.nn.module_tree import BUFFER, MODULE, PARAMETER, TreeProtocol
from retrograd.nn.parameter import Buffer, Parameter
from retrograd.tensor import Tensor


class Registered(MutableMapping[str, Any]):
    """The attributes of a module that are registered under one kind, as a dictionary."""

    __slots__ = ("_attributes", "_names")

    def __init__(self, module: Any, kind: str) -> None:
        self._attributes = module.__dict__
        self._names = module.__dict__["_names"][kind]

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        return self._attributes[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._names[name] = None
        self._attributes[name] = value

    def __delitem__(self, name: str) -> None:
        del self._names[name]
        del self._attributes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def copy(self) -> dict[str, Any]:
        """Return the entries as a dictionary of their own."""
        return dict(self)

    def __repr__(self) -> str:
        return repr(dict(self))


class Module(TreeProtocol, HookProtocol, StateProtocol):
    """The base of all layers and models: assign parameters and modules to attributes, define `forward`.

    Example:
        >>> import retrograd as torch
        >>> class Twice(torch.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.scale = torch.nn.Parameter(torch.tensor(2.0))
        ...     def forward(self, x):
        ...         return self.scale * x
        >>> Twice()(torch.ones(2))
        tensor([2., 2.], grad_fn=<MulBackward0>)
    """

    training: bool
    call_super_init: bool = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if not self.call_super_init:
            if kwargs:
                name = next(iter(kwargs))
                raise TypeError(
                    f"{type(self).__name__}.__init__() got an unexpected keyword argument '{name}'"
                )
            if args:
                raise TypeError(
                    f"{type(self).__name__}.__init__() takes 1 positional argument but {len(args) + 1} were "
                    "given"
                )
        attributes = self.__dict__
        attributes["training"] = True
        attributes["_names"] = {PARAMETER: {}, BUFFER: {}, MODULE: {}}
        attributes["_non_persistent_buffers_set"] = set()
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._hooked or everywhere.hooked:
            return self._call_with_hooks(args, kwargs)
        return self.forward(*args, **kwargs)

    def _call_impl(self, *args: Any, **kwargs: Any) -> Any:
        return Module.__call__(self, *args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the module's result; every subclass defines it."""
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

    # ---- registration ----

    @property
    def _parameters(self) -> Registered:
        return Registered(self, PARAMETER)

    @property
    def _buffers(self) -> Registered:
        return Registered(self, BUFFER)

    @property
    def _modules(self) -> Registered:
        return Registered(self, MODULE)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Register a parameter, or None for one that may come later, under a name.

        Raises:
            KeyError: the name is empty, holds a dot or is taken.
            TypeError: the value is no Parameter.
        """
        self._check_name(PARAMETER, name)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{_type_name(param)}' object to parameter '{name}' (torch.nn.Parameter or "
                "None required)"
            )
        if param is not None and not param.is_leaf:
            raise ValueError(
                f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be created "
                "explicitly. "
                f"To express '{name}' as a function of another Tensor, compute the value in the forward() "
                "method."
            )
        self._place(PARAMETER, name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Register a tensor that is state but no parameter.

        Args:
            name: the attribute's name.
            tensor: the tensor, or None.
            persistent: whether state_dict includes it.

        Raises:
            KeyError: the name is empty, holds a dot or is taken.
            TypeError: the value is no Tensor.
        """
        self._check_name(BUFFER, name)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{_type_name(tensor)}' object to buffer '{name}' (torch Tensor or None "
                "required)"
            )
        self._place(BUFFER, name, tensor)
        (self._non_persistent_buffers_set.discard if persistent else self._non_persistent_buffers_set.add)(
            name
        )

    def add_module(self, name: str, module: Module | None) -> None:
        """Register a submodule under a name.

        Raises:
            KeyError: the name is empty, holds a dot or is taken.
            TypeError: the value is no Module.
        """
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{_type_name(module)} is not a Module subclass")
        self._check_name(MODULE, name)
        self._place(MODULE, name, module)

    def register_module(self, name: str, module: Module | None) -> None:
        """Register a submodule: another name of `add_module`."""
        self.add_module(name, module)

    def _check_name(self, kind: str, name: Any) -> None:
        if "_names" not in self.__dict__:
            raise AttributeError(f"cannot assign {_PLURAL[kind]} before Module.__init__() call")
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {_type_name(name)}")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain "."' + (f", got: {name}" if kind is MODULE else ""))
        if not name:
            raise KeyError(f'{kind} name can\'t be empty string ""')
        if hasattr(self, name) and name not in self._names[kind]:
            raise KeyError(f"attribute '{name}' already exists")

    def _place(self, kind: str, name: str, value: Any) -> None:
        everywhere.changes += 1
        self._names[kind][name] = None
        self.__dict__[name] = value

    def __setattr__(self, name: str, value: Any) -> None:
        everywhere.changes += 1
        names = self.__dict__.get("_names")
        if isinstance(value, Parameter):
            kind = PARAMETER
        elif isinstance(value, Module):
            kind = MODULE
        elif isinstance(value, Tensor) and isinstance(value, Buffer):
            kind = BUFFER
        elif names is not None and (
            name in names[PARAMETER] or name in names[MODULE] or name in names[BUFFER]
        ):
            self._replace(names, name, value)
            return
        else:
            object.__setattr__(self, name, value)
            return
        if names is None:
            raise AttributeError(f"cannot assign {_PLURAL[kind]} before Module.__init__() call")
        if name not in names[kind]:
            self._forget(name)
        if kind is PARAMETER:
            self.register_parameter(name, value)
        elif kind is BUFFER:
            self.register_buffer(name, value, value.persistent)
        else:
            self._place(MODULE, name, value)

    def _replace(self, names: dict[str, dict[str, None]], name: str, value: Any) -> None:
        """Assign what is no parameter and no module to a registered name: None, or a tensor to a buffer."""
        kind = next(k for k in (PARAMETER, MODULE, BUFFER) if name in names[k])
        if value is not None and not (kind is BUFFER and isinstance(value, Tensor)):
            what, wanted = _ASSIGNABLE[kind]
            raise TypeError(
                f"cannot assign '{_type_name(value)}' as {what} '{name}' ({wanted} or None expected)"
            )
        self.__dict__[name] = value

    def _forget(self, name: str) -> None:
        self.__dict__.pop(name, None)
        for registered in self._names.values():
            registered.pop(name, None)
        self._non_persistent_buffers_set.discard(name)

    def __delattr__(self, name: str) -> None:
        everywhere.changes += 1
        if any(name in registered for registered in self.__dict__.get("_names", {}).values()):
            self._forget(name)
        else:
            object.__delattr__(self, name)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    # ---- text ----

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """Return what the module's text says between its parentheses."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [f"({name}): {_indent(repr(child))}" for name, child in self._registered(MODULE)]
        if len(lines) == 1 and not children:
            return f"{self._get_name()}({lines[0]})"
        body = "\n  ".join([*lines, *children])
        return f"{self._get_name()}(\n  {body}\n)" if body else f"{self._get_name()}()"


_PLURAL = {PARAMETER: "parameters", BUFFER: "buffer", MODULE: "module"}
_ASSIGNABLE = {
    PARAMETER: ("parameter", "torch.nn.Parameter"),
    BUFFER: ("buffer", "torch.nn.Buffer, torch.Tensor"),
    MODULE: ("child module", "torch.nn.Module"),
}


def _indent(text: str) -> str:
    return text.replace("\n", "\n  ")


def _type_name(value: Any) -> str:
    """Return a value's type as torch's messages name it: a plain tensor's by its elements."""
    return value.dtype.tensor_type if type(value) is Tensor else _qualified(type(value))


def _qualified(cls: Any) -> str:
    return str(cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}")
