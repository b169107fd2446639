"""Modules that learn the size of their input from the first one."""

from __future__ import annotations

from typing import Any, ClassVar

from retrograd.nn.lazy_tensors import UninitializedBuffer, UninitializedParameter, is_lazy
from retrograd.nn.modules.batchnorm import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
)
from retrograd.nn.modules.conv import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
)
from retrograd.nn.modules.linear import Linear
from retrograd.nn.modules.made import tensor


class LazyModuleMixin:
    """What lazy modules share: at the first call their parameters get a shape, and they their final class.

    A subclass defines `initialize_parameters(*inputs)`, and `cls_to_become`.
    """

    cls_to_become: ClassVar[Any] = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        me: Any = self
        self._load_hook = me._register_load_state_dict_pre_hook(self._lazy_load_hook)
        self._initialize_hook = me.register_forward_pre_hook(self._infer_parameters, with_kwargs=True)

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Give the parameters a shape that suits an input."""
        raise NotImplementedError(f"initialize_parameters is not implemented for {type(self).__name__}")

    def has_uninitialized_params(self) -> bool:
        """Return whether a parameter or buffer has no shape yet."""
        me: Any = self
        return any(is_lazy(t) for t in (*me._parameters.values(), *me._buffers.values()))

    @staticmethod
    def _infer_parameters(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        # A copy's handles are still those of the module that it was copied from: hence `module`, and its own.
        module.initialize_parameters(*args, **kwargs)
        if module.has_uninitialized_params():
            raise RuntimeError(f"module {type(module).__name__} has not been fully initialized")
        first, load = module._initialize_hook.id, module._load_hook.id
        for hooks, key in (
            (module._forward_pre_hooks, first),
            (module._forward_pre_hooks_with_kwargs, first),
            (module._load_state_dict_pre_hooks, load),
        ):
            hooks.pop(key, None)
        del module._initialize_hook, module._load_hook
        if module.cls_to_become is not None:
            module.__class__ = module.cls_to_become

    def _lazy_load_hook(self, state_dict: Any, prefix: str, *_: Any) -> None:
        me: Any = self
        for name, mine in (*me._parameters.items(), *me._buffers.items()):
            given = state_dict.get(prefix + name)
            if is_lazy(mine) and given is not None and not is_lazy(given):
                mine.materialize(given.shape)

    def reset_parameters(self) -> None:
        """Draw the parameters, once they have a shape."""
        if not self.has_uninitialized_params() and self._is_sized():
            super().reset_parameters()  # type: ignore[misc]

    def _is_sized(self) -> bool:
        raise NotImplementedError


class LazyLinear(LazyModuleMixin, Linear):
    """A Linear whose `in_features` is the last size of its first input."""

    cls_to_become = Linear
    weight: Any
    bias: Any

    def __init__(self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__(0, 0, False, device, dtype)
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        self.out_features = out_features
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)

    def _is_sized(self) -> bool:
        return self.in_features != 0

    def initialize_parameters(self, input: Any) -> None:
        if self.has_uninitialized_params():
            self.in_features = input.shape[-1]
            self.weight.materialize((self.out_features, self.in_features))
            if self.bias is not None:
                self.bias.materialize((self.out_features,))
            self.reset_parameters()
        if self.in_features == 0:  # its parameters were loaded
            self.in_features = self.weight.shape[-1]


class _LazyConv(LazyModuleMixin):
    def __init__(
        self, out_channels: int, kernel_size: Any, *args: Any, bias: bool = True, device: Any = None,
        dtype: Any = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        me: Any = self
        at = 4  # where a bias stands among the further arguments
        if len(args) > at:
            bias, args = args[at], (*args[:at], False, *args[at + 1 :])
        else:
            kwargs["bias"] = False
        super().__init__(0, 0, kernel_size, *args, device=device, dtype=dtype, **kwargs)
        if out_channels % me.groups != 0:
            raise ValueError("out_channels must be divisible by groups")
        me.weight = UninitializedParameter(device=device, dtype=dtype)
        me.out_channels = out_channels
        if bias:
            me.bias = UninitializedParameter(device=device, dtype=dtype)

    def _is_sized(self) -> bool:
        return self.in_channels != 0  # type: ignore[attr-defined, no-any-return]

    def initialize_parameters(self, input: Any, *args: Any, **kwargs: Any) -> None:
        """Give the parameters a shape that suits an input."""
        me: Any = self
        if self.has_uninitialized_params():
            if input.ndim not in (me.dims + 1, me.dims + 2):
                raise RuntimeError(
                    f"Expected {me.dims + 1}D (unbatched) or {me.dims + 2}D (batched) input to "
                    f"{type(self).__name__}, but got input of size: {input.shape}"
                )
            me.in_channels = input.shape[-me.dims - 1]
            if me.in_channels % me.groups != 0:
                raise ValueError("in_channels must be divisible by groups")
            first, second = me.out_channels, me.in_channels
            if me.transposed:
                first, second = second, first
            me.weight.materialize((first, second // me.groups, *me.kernel_size))
            if me.bias is not None:
                me.bias.materialize((me.out_channels,))
            me.reset_parameters()
        if me.in_channels == 0:
            me.in_channels = me.weight.shape[0] if me.transposed else me.weight.shape[1] * me.groups


class _LazyNorm(LazyModuleMixin):
    def __init__(
        self, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool | None = None,
        track_running_stats: bool | None = None, device: Any = None, dtype: Any = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        me: Any = self
        usual = "Batch" in type(self).__name__
        affine = usual if affine is None else affine
        track = usual if track_running_stats is None else track_running_stats
        super().__init__(0, eps, momentum, False, False, device=device, dtype=dtype)
        me.affine, me.track_running_stats = affine, track
        if affine:
            me.weight = UninitializedParameter(device=device, dtype=dtype)
            if bias:
                me.bias = UninitializedParameter(device=device, dtype=dtype)
        if track:
            me.running_mean = UninitializedBuffer(device=device, dtype=dtype)
            me.running_var = UninitializedBuffer(device=device, dtype=dtype)
            me.num_batches_tracked = tensor((), me.running_mean.dtype, device, fill=0).long()

    def _is_sized(self) -> bool:
        return self.num_features != 0  # type: ignore[attr-defined, no-any-return]

    def initialize_parameters(self, input: Any) -> None:
        """Give the parameters and statistics a shape that suits an input."""
        me: Any = self
        if self.has_uninitialized_params():
            me._check_input_dim(input)
            unbatched = "Instance" in type(self).__name__ and input.ndim == min(me.ndims)
            me.num_features = input.shape[0 if unbatched else 1]
            for t in (me.weight, me.bias, me.running_mean, me.running_var):
                if is_lazy(t):
                    t.materialize((me.num_features,))
            me.reset_parameters()
        if me.num_features == 0:
            known = me.weight if me.weight is not None else me.running_mean
            me.num_features = known.shape[0]


def _lazy(base: Any, mixin: Any) -> Any:
    doc = f"A {base.__name__} whose number of channels is that of its first input."
    return type(
        f"Lazy{base.__name__}", (mixin, base), {"cls_to_become": base, "__doc__": doc, "__module__": __name__}
    )


LazyConv1d, LazyConv2d, LazyConv3d = (_lazy(c, _LazyConv) for c in (Conv1d, Conv2d, Conv3d))
LazyConvTranspose1d, LazyConvTranspose2d, LazyConvTranspose3d = (
    _lazy(c, _LazyConv) for c in (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)
)
LazyBatchNorm1d, LazyBatchNorm2d, LazyBatchNorm3d = (
    _lazy(c, _LazyNorm) for c in (BatchNorm1d, BatchNorm2d, BatchNorm3d)
)
LazyInstanceNorm1d, LazyInstanceNorm2d, LazyInstanceNorm3d = (
    _lazy(c, _LazyNorm) for c in (InstanceNorm1d, InstanceNorm2d, InstanceNorm3d)
)
