"""Parameters and buffers whose shape is not known yet: it follows from the first input."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from retrograd import dtypes
from retrograd.nn.parameter import Parameter
from retrograd.tensor import Tensor, blank

_CONTENT: Any = Tensor.__dict__["_array"]
"""The slot in which tensors keep their array: reading it by name is refused here."""

_HOW = (
    "This error happens when you are using a `LazyModule` or explicitly manipulating "
    "`torch.nn.parameter.UninitializedParameter` objects. When using LazyModules Call `forward` with "
    "a dummy batch "
    "to initialize the parameters before calling torch functions"
)


def _refuse(self: Any) -> Any:  # noqa: ARG001 - a property's getter
    raise ValueError(f"Attempted to use an uninitialized parameter or buffer. {_HOW}")


class UninitializedTensorMixin:
    """What they share: all use is refused until `materialize` has given them a shape."""

    __slots__ = ()

    becomes: ClassVar[type]
    _array = property(_refuse)

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Become an ordinary parameter or tensor of a shape, with anything in it."""
        del device
        kind = self.dtype.np if dtype is None else dtype.np
        _CONTENT.__set__(self, np.empty(tuple(shape), kind))
        self.__class__ = self.becomes

    @property
    def dtype(self) -> Any:
        """The dtype that it will have."""
        return dtypes.of_array(_CONTENT.__get__(self))

    @property
    def shape(self) -> Any:
        """Refuse to say.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer. This error usually happens in "
            "`load_state_dict` when trying to load an uninitialized parameter into an initialized one. Call "
            "`forward` to initialize the parameters before accessing their attributes."
        )

    def detach(self) -> Any:
        """Return the tensor itself: there is nothing to share yet."""
        return self

    def _recast(self, convert: Any) -> None:
        """Change the dtype as a conversion of whole modules does."""
        made = convert(blank(Tensor, _CONTENT.__get__(self)))
        _CONTENT.__set__(self, np.empty(0, made._array.dtype))

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        made: Any = type(self)(self.requires_grad, dtype=self.dtype)  # type: ignore[attr-defined, call-arg]
        memo[id(self)] = made
        return made

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        del tensor_contents
        return f"<{type(self).__name__}>"


def _blank(cls: Any, requires_grad: bool, dtype: Any) -> Any:
    made = blank(cls.becomes, np.empty(0, (dtype or dtypes.default.float).np))
    made.requires_grad = requires_grad
    made.__class__ = cls
    return made


class UninitializedParameter(UninitializedTensorMixin, Parameter):  # type: ignore[misc]  # its text is shorter
    """A parameter without a shape."""

    __slots__ = ()
    becomes = Parameter

    def __new__(cls, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> Any:
        del device
        return _blank(cls, requires_grad, dtype)


class UninitializedBuffer(UninitializedTensorMixin, Tensor):  # type: ignore[misc]  # likewise
    """A buffer without a shape."""

    __slots__ = ()
    becomes = Tensor

    def __new__(cls, requires_grad: bool = False, device: Any = None, dtype: Any = None) -> Any:
        del device
        return _blank(cls, requires_grad, dtype)


def is_lazy(tensor: Any) -> bool:
    """Return whether a parameter or buffer has no shape yet."""
    return isinstance(tensor, UninitializedTensorMixin)
