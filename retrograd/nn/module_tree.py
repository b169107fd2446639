"""The tree that a module is the root of: walking it, finding places in it, converting all of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any, Self

from retrograd import devices, dtypes
from retrograd.nn.parameter import Parameter
from retrograd.tensor import Tensor

PARAMETER, BUFFER, MODULE = "parameter", "buffer", "module"


class TreeProtocol:
    """What a module answers about, and does to, all the modules below it."""

    _names: dict[str, dict[str, None]]
    training: bool

    # ---- walking the tree ----

    def _named_members(
        self, get: Callable[[Any], Any], prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        seen: set[Any] = set()
        modules = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else [(prefix, self)]
        )
        for path, module in modules:
            for name, value in get(module):
                if value is None or value in seen:
                    continue
                if remove_duplicate:
                    seen.add(value)
                yield f"{path}.{name}" if path else name, value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Yield (dotted name, parameter) pairs, each parameter once."""
        yield from self._named_members(lambda m: m._registered(PARAMETER), prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Yield the parameters, each once."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield (dotted name, buffer) pairs, each buffer once."""
        yield from self._named_members(lambda m: m._registered(BUFFER), prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Yield the buffers, each once."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def named_children(self) -> Iterator[tuple[str, Any]]:
        """Yield (name, module) pairs of the direct submodules, each once."""
        seen = set()
        for name, module in self._registered(MODULE):
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Any]:
        """Yield the direct submodules, each once."""
        for _, module in self.named_children():
            yield module

    def named_modules(
        self, memo: set[Any] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        """Yield (dotted name, module) pairs of this module and all below, each once."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._registered(MODULE):
            if module is not None:
                yield from module.named_modules(
                    memo, f"{prefix}.{name}" if prefix else name, remove_duplicate
                )

    def modules(self) -> Iterator[Any]:
        """Yield this module and all below, each once."""
        for _, module in self.named_modules():
            yield module

    def _registered(self, kind: str) -> list[tuple[str, Any]]:
        attributes = self.__dict__
        return [(name, attributes[name]) for name in attributes["_names"][kind]]

    def get_submodule(self, target: str) -> Any:
        """Return the module at a dotted path; the empty path is this module.

        Raises:
            AttributeError: there is no such attribute, or it is no Module.
        """
        module: Any = self
        for name in target.split(".") if target else []:
            module = _attribute(module, name)
            if not isinstance(module, TreeProtocol):
                raise AttributeError(f"`{name}` is not an nn.Module")  # noqa: TRY004 - torch's type
        return module

    def set_submodule(self, target: str, module: Any, strict: bool = False) -> None:
        """Put a module at a dotted path whose parent exists.

        Raises:
            ValueError: the path is empty, or the value is no Module.
            AttributeError: the parent does not exist; with `strict`, nor the module to be replaced.
        """
        if not target:
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, TreeProtocol):
            raise ValueError(f"`module` is not an nn.Module, found {type(module)}")  # noqa: TRY004
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if strict and not hasattr(parent, name):
            raise AttributeError(f"{parent._get_name()} has no attribute `{name}`")
        if hasattr(parent, name) and not isinstance(getattr(parent, name), TreeProtocol):
            raise AttributeError(f"`{name}` is not an nn.Module")
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """Return the parameter at a dotted path.

        Raises:
            AttributeError: there is no such attribute, or it is no Parameter.
        """
        path, _, name = target.rpartition(".")
        found = _attribute(self.get_submodule(path), name)
        if not isinstance(found, Parameter):
            raise AttributeError(f"`{name}` is not an nn.Parameter")  # noqa: TRY004 - torch's type
        return found

    def get_buffer(self, target: str) -> Tensor:
        """Return the buffer at a dotted path.

        Raises:
            AttributeError: there is no such attribute, or it is no buffer.
        """
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        found = _attribute(module, name)
        if name not in module._names[BUFFER]:
            raise AttributeError(f"`{name}` is not a buffer")
        return found  # type: ignore[no-any-return]

    # ---- changing all of the tree ----

    def apply(self, fn: Callable[[Any], None]) -> Self:
        """Call `fn` on every module below and on this one, children first; return the module."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def _apply(self, fn: Callable[[Any], Any], recurse: bool = True) -> Self:
        """Replace the data of every parameter, gradient and buffer by what `fn` makes of it."""
        if recurse:
            for module in self.children():
                module._apply(fn)
        for _, parameter in self._registered(PARAMETER):
            if parameter is None:
                continue
            if hasattr(parameter, "_recast"):  # it has no shape yet
                parameter._recast(fn)
                continue
            grad = parameter.grad
            parameter.data = fn(parameter.detach())
            if grad is not None:
                grad.data = fn(grad.detach())
        for name, buffer in self._registered(BUFFER):
            if hasattr(buffer, "_recast"):
                buffer._recast(fn)
            elif buffer is not None:
                setattr(self, name, fn(buffer))
        return self

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Convert floating-point parameters and buffers to a dtype; return the module.

        Raises:
            TypeError: the dtype is neither floating nor complex.
            AssertionError: the device is a GPU.
        """
        where, dtype = _parse_to(*args, **kwargs)
        devices.check(where, meta=True)
        if where is not None:
            self._move(where)
        if dtype is None:
            return self
        if dtype.category < dtypes.FLOATING:
            raise TypeError(
                f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={dtype}"
            )
        if dtype.is_complex:
            warnings.warn(
                "Complex modules are a new feature under active development whose design may change, and "
                "some modules "
                "might not work as expected when using complex tensors as parameters or buffers.",
                UserWarning,
                stacklevel=2,
            )
        return self._convert(dtype)

    def _move(self, where: Any) -> None:
        """Put all parameters and buffers on a device: the CPU, where they are, or the dataless `meta`."""
        try:
            self._apply(lambda t: t.to(where))
        except NotImplementedError as error:
            raise NotImplementedError(
                f"{error} Please use torch.nn.Module.to_empty() instead of torch.nn.Module.to() when moving "
                "module from meta to a different device."
            ) from None

    def to_empty(self, *, device: Any, recurse: bool = True) -> Self:
        """Give all parameters and buffers memory on a device, with anything in it; return the module."""
        from retrograd.functions.creation import FUNCTIONS  # noqa: PLC0415 - rarely asked for

        return self._apply(lambda t: FUNCTIONS["empty_like"](t, device=device), recurse=recurse)

    def _convert(self, dtype: dtypes.dtype) -> Self:
        return self._apply(lambda t: t.to(dtype) if t.dtype.category >= dtypes.FLOATING else t)

    def type(self, dst_type: Any) -> Self:
        """Convert all parameters and buffers to a dtype; return the module."""
        return self._apply(lambda t: t.type(dst_type))

    def float(self) -> Self:
        """Convert floating-point parameters and buffers to float32."""
        return self._floating(dtypes.float32)

    def double(self) -> Self:
        """Convert floating-point parameters and buffers to float64."""
        return self._floating(dtypes.float64)

    def half(self) -> Self:
        """Convert floating-point parameters and buffers to float16."""
        return self._floating(dtypes.float16)

    def bfloat16(self) -> Self:
        """Convert floating-point parameters and buffers to bfloat16."""
        return self._floating(dtypes.bfloat16)

    def _floating(self, dtype: dtypes.dtype) -> Self:
        return self._apply(lambda t: t.to(dtype) if t.dtype.is_floating_point else t)

    def cpu(self) -> Self:
        """Return the module, whose tensors are on the CPU."""
        return self

    def cuda(self, device: Any = None) -> Self:
        """Raise: there is no GPU."""
        raise AssertionError("Torch not compiled with CUDA enabled")

    def share_memory(self) -> Self:
        """Move the tensors to shared memory; return the module."""
        return self._apply(lambda t: t.share_memory_())

    def train(self, mode: bool = True) -> Self:
        """Set training mode, on which dropout and batch norm depend, for all of the tree."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")  # noqa: TRY004 - torch's type
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self) -> Self:
        """Set evaluation mode; return the module."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set whether the parameters require grad; return the module."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the parameters' gradients, or with `set_to_none=False` set them to zero."""
        for parameter in self.parameters():
            grad = parameter.grad
            if grad is None:
                continue
            if set_to_none:
                parameter.grad = None
            else:
                grad.detach_() if grad.grad_fn is not None else grad.requires_grad_(False)
                grad._array[...] = 0
                grad._version_cell().bump()

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the module's forward in place; takes `retrograd.compile`'s options. Copies are not."""
        from retrograd.compiler import compile_forward  # noqa: PLC0415 - it is built on modules

        compile_forward(self, *args, **kwargs)  # type: ignore[arg-type] # every module is a Module


def _attribute(module: Any, name: str) -> Any:
    if not hasattr(module, name):
        raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
    return getattr(module, name)


def _parse_to(
    *args: Any, device: Any = None, dtype: Any = None, non_blocking: bool = False, memory_format: Any = None
) -> tuple[Any, Any]:
    """Return the device and dtype that the arguments of `Module.to` name."""
    del non_blocking, memory_format
    for arg in args:
        if isinstance(arg, Tensor):
            dtype = arg.dtype
        elif isinstance(arg, dtypes.dtype):
            dtype = arg
        elif isinstance(arg, (str, devices.device)):
            device = arg
    return device, dtype
