"""Tensor: a thin handle on an array, with its place in the graph.

    _array   the NumPy array, never a scalar
    _node    where its cotangent goes: None, the node that made it, or the AccumulateGrad of a leaf that
             requires grad
    _cell    the version shared with views and detached tensors; None until somebody needs it
    _meta    rare facts (see autograd/views.py); usually None

Functions and operators are attached by methods.py from the declared ops.
"""

from __future__ import annotations

import sys
import warnings
from types import FrameType
from typing import Any, Self, TypeVar

import numpy as np

from retrograd import devices, dtypes, hooks
from retrograd.autograd.graph import AccumulateGrad, Node, Output, Version, new_version
from retrograd.autograd.modes import local
from retrograd.autograd.views import Cut, Meta, cut_here, cut_in, new_meta, numbers
from retrograd.interop import NumpyProtocol, PythonProtocol

_NON_LEAF_GRAD = (
    "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad attribute won't "
    "be populated during autograd.backward(). If you indeed want the .grad field to be populated for a "
    "non-leaf Tensor, use .retain_grad() on the non-leaf Tensor. If you access the non-leaf Tensor by "
    "mistake, make sure you access the leaf Tensor instead. See github.com/pytorch/pytorch/pull/30531 for "
    "more information."
)


class Tensor(PythonProtocol, NumpyProtocol):
    """A multi-dimensional array that remembers how it was computed.

    Made by `tensor`, `zeros`, `randn` ...; `Tensor(2, 3)` gives uninitialised float32 of that size and
    `Tensor([1, 2])` a float32 copy, as in torch.

    Example:
        >>> import retrograd as torch
        >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> (x * x).sum().backward()
        >>> x.grad
        tensor([2., 4.])
    """

    __slots__ = ("__dict__", "__weakref__", "_array", "_cell", "_meta", "_node")

    _array: np.ndarray[Any, Any]
    _node: Any
    _cell: Version | None
    _meta: Meta | None

    def __new__(cls, *args: Any, device: Any = None) -> Self:
        devices.check(device)
        if len(args) == 1 and not isinstance(args[0], int):
            source = args[0]
            if isinstance(source, devices.Size):
                array = np.empty(source, dtypes.default.float.np)
            elif isinstance(source, Tensor):
                return blank(cls, source._array)
            else:
                array = np.array(source, dtypes.default.float.np)
        else:
            array = np.zeros(args or (0,), dtypes.default.float.np)
        return blank(cls, array)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)

    @classmethod
    def _from_accumulator(cls, node: AccumulateGrad) -> Tensor:
        """Make a new handle for a leaf that only the graph still holds."""
        tensor = blank(cls, node._array)
        tensor._node, tensor._cell = node, node._cell
        return tensor

    @staticmethod
    def _make_subclass(cls: Any, data: Tensor, require_grad: bool = False) -> Any:  # noqa: PLW0211 - torch's signature
        tensor = blank(cls, data._array)
        tensor._cell = data._version_cell()
        if require_grad:
            tensor.requires_grad = True
        return tensor

    def as_subclass(self, cls: Any) -> Any:
        """Return a handle of class `cls` on the same memory and history."""
        tensor = blank(cls, self._array)
        tensor._node, tensor._cell, tensor._meta = history(self), self._version_cell(), self._meta
        return tensor

    # ---- facts kept beside the array ----

    def _facts(self) -> Meta:
        meta = self._meta
        if meta is None or meta.cut is meta:  # a Cut is shared
            self._meta = meta = new_meta(meta and meta.cut)
        return meta

    def _root(self) -> Tensor:
        meta = self._meta
        return self if meta is None or meta.base is None else meta.base

    def _version_cell(self) -> Version:
        cell = self._cell
        if cell is None:
            cell = self._cell = new_version()
            if self._array.__class__ is devices.Absent:
                cell.rebased = -1  # dispatch looks closer at it
            if type(self._node) is AccumulateGrad:
                self._node._cell = cell
        return cell

    @property
    def _version(self) -> int:
        """How many in-place writes this memory has seen."""
        if self.is_inference():
            raise RuntimeError("Inference tensors do not track version counter.")
        return 0 if self._cell is None else self._cell.count

    @property
    def _base(self) -> Tensor | None:
        """The tensor that this one is a view of (the root of all views), or None."""
        return None if self._meta is None else self._meta.base

    def _is_view(self) -> bool:
        return self._base is not None

    def is_inference(self) -> bool:
        """Return whether the tensor was made in inference mode."""
        return self._meta is not None and self._meta.inference

    # ---- shape and type ----

    @property
    def shape(self) -> devices.Size:
        """The sizes of the dimensions."""
        return devices.Size(self._array.shape)

    @property
    def dtype(self) -> dtypes.dtype:
        """The type of the elements."""
        return dtypes.OF_NUMPY[self._array.dtype]

    @property
    def device(self) -> devices.device:
        """Where the memory is: the CPU, or `meta` where there is none."""
        return devices.META if self._array.__class__ is devices.Absent else devices.CPU

    @property
    def is_meta(self) -> bool:
        """Whether the tensor has a shape and a dtype, but no numbers."""
        return self._array.__class__ is devices.Absent

    @property
    def layout(self) -> devices.layout:
        """How the elements are stored: always strided."""
        return devices.strided

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self._array.ndim

    @property
    def itemsize(self) -> int:
        """The bytes of one element."""
        return self._array.itemsize

    @property
    def nbytes(self) -> int:
        """The bytes of all elements."""
        return self._array.nbytes

    is_cpu = True
    is_ipu = is_maia = is_mtia = is_vulkan = is_xla = False
    is_cuda = is_sparse = is_quantized = is_mps = is_xpu = is_nested = is_mkldnn = is_sparse_csr = False
    names: Any = None
    name: Any = None

    # ---- the place in the graph ----

    @property
    def grad_fn(self) -> Node | None:
        """The node that made this tensor; None for a leaf."""
        node = history(self)
        if node is None or type(node) is AccumulateGrad:
            return None
        found: Node = node.edges[0] if type(node) is Output else node
        return found

    @grad_fn.setter
    def grad_fn(self, value: Any) -> None:
        raise AttributeError("attribute 'grad_fn' of 'torch._C.TensorBase' objects is not writable")

    @property
    def output_nr(self) -> int:
        """Which of its node's results this tensor is."""
        node = self._node
        return node.index if type(node) is Output else 0

    @property
    def is_leaf(self) -> bool:
        """Whether the tensor was not made by a recorded op."""
        node = history(self)
        return node is None or type(node) is AccumulateGrad

    @is_leaf.setter
    def is_leaf(self, value: Any) -> None:
        raise AttributeError("attribute 'is_leaf' of 'torch._C.TensorBase' objects is not writable")

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to or through this tensor."""
        meta = self._meta
        if meta is not None and meta.origin is not None and meta.base is not None:  # it may have no history
            return self._node is not None or meta.base.requires_grad
        return history(self) is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if value and not self.is_leaf:
            raise RuntimeError("you can only change requires_grad flags of leaf variables.")
        self._set_requires_grad(
            value, "only Tensors of floating point and complex dtype can require gradients"
        )

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Set whether gradients flow to this leaf, and return it.

        Raises:
            RuntimeError: the tensor is no leaf, or its dtype is not floating or complex.
        """
        self._set_requires_grad(requires_grad, "only Tensors of floating point dtype can require gradients")
        return self

    def _set_requires_grad(self, value: bool, message: str) -> None:
        value = bool(value)
        if not self.is_leaf:
            if value:
                return
            raise RuntimeError(
                "you can only change requires_grad flags of leaf variables. If you want to use a computed "
                "variable in a subgraph that doesn't require differentiation use var_no_grad = var.detach()."
            )
        if value == (self._node is not None):
            return
        if not value:
            kept = self._node.grad
            self._node = None
            if kept is not None:
                self._facts().grad = kept
            return
        if self.dtype.category < dtypes.FLOATING:
            raise RuntimeError(f"{message}\n[got {self.dtype}, shape {tuple(self.shape)}]")
        if self.is_inference() and not local.inference:
            raise RuntimeError(
                "Setting requires_grad=True on inference tensor outside InferenceMode is not allowed."
            )
        self._node = AccumulateGrad(self)
        if self._meta is not None and self._meta.grad is not None:
            self._node.grad, self._meta.grad = self._meta.grad, None

    @property
    def grad(self) -> Tensor | None:
        """The gradient gathered by backward; None before."""
        node = self._node
        if type(node) is AccumulateGrad:
            return node.grad  # type: ignore[no-any-return]  # the graph does not know Tensor
        meta = self._meta
        if node is not None and (meta is None or not meta.retains):
            warnings.warn(_NON_LEAF_GRAD, UserWarning, stacklevel=2)
        return None if meta is None else meta.grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        node = self._node
        if value is not None:
            self._check_grad(value)
        if type(node) is AccumulateGrad:
            node.grad = value
        elif value is not None or self._meta is not None:
            self._facts().grad = value

    @grad.deleter
    def grad(self) -> None:
        self.grad = None

    def _check_grad(self, value: Any) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(
                f"assigned grad expected to be a Tensor or None but got grad of type {type(value).__name__}"
            )
        if value is self:
            raise RuntimeError("can't assign Variable as its own grad")
        wanted = self.grad_dtype
        if wanted is not None and value.dtype is not wanted:
            raise RuntimeError(
                f"attempting to assign a gradient with dtype '{value.dtype.c_name}' to a tensor with "
                f"grad_dtype '{wanted.scalar_name}'. The gradient must match the tensor's grad_dtype "
                f"(defaults to the tensor's "
                "dtype). You can set the tensor's grad_dtype attribute with a specific dtype, or None to "
                "allow any dtype. Set grad_dtype with caution. Diverging the dtypes of a tensor and its "
                "gradient may break downstream systems that assume they match."
            )
        if value._array.shape != self._array.shape:
            raise RuntimeError(
                f"attempting to assign a gradient of size '{list(value.shape)}' to a tensor of size "
                f"'{list(self.shape)}'. Please ensure that the gradient and the tensor are the same size"
            )

    @property
    def grad_dtype(self) -> dtypes.dtype | None:
        """The dtype that gradients of this leaf must have; None allows any."""
        node = self._node
        found: Any = node.grad_dtype if type(node) is AccumulateGrad else True
        return self.dtype if found is True else found

    @grad_dtype.setter
    def grad_dtype(self, value: dtypes.dtype | None) -> None:
        if type(self._node) is not AccumulateGrad:
            raise RuntimeError("grad_dtype can only be set on leaf tensors that require grad.")
        self._node.grad_dtype = value

    @property
    def data(self) -> Tensor:
        """A tensor on the same memory, without history and with a version of its own."""
        made = wrap(self._array)
        made._meta = self._lost() if self._node is None else cut_in(_getframe(1), "data", "", self._node)
        if self._array.__class__ is devices.Absent:
            made._version_cell()
        return made

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
        if self._node is not None and value.dtype.category < dtypes.FLOATING:
            raise RuntimeError(
                "data set to a tensor that requires gradients must be floating point or complex dtype"
            )
        if self._array.__class__ is devices.Absent:  # it gets memory, and with it a version
            self._cell = None
        self._array = value._array
        if type(self._node) is AccumulateGrad:
            self._node._array = value._array
            self._node._cell = self._cell

    def detach(self) -> Tensor:
        """Return a tensor on the same memory and version, without history."""
        tensor = wrap(self._array)
        tensor._cell = self._version_cell()
        tensor._meta = self._lost() if self._node is None else cut_in(_getframe(1), "detach", "", self._node)
        if self.is_inference():
            tensor._facts().inference = True
        return tensor

    def detach_(self) -> Tensor:
        """Cut this tensor off its history, and return it.

        Raises:
            RuntimeError: the tensor is a view, whose base would keep the history.
        """
        if self._is_view():
            raise RuntimeError(
                "Can't detach views in-place. Use detach() instead. If you are using DistributedDataParallel "
                "(DDP) for training, and gradient_as_bucket_view is set as True, gradients are views of DDP "
                "buckets, and hence detach_() cannot be called on these gradients. To fix this error, please "
                "refer to the Optimizer.zero_grad() function in torch/optim/optimizer.py as the solution."
            )
        if self._node is not None:
            self._facts().cut = cut_here("detach_", "", self._node)
        self._node = None
        return self

    def _lost(self) -> Cut | None:
        """Return where this tensor, which has no history, lost it."""
        return None if self._meta is None else self._meta.cut

    def _note_number(self, value: Any, frame: FrameType) -> None:
        """Note that a number was taken out of the graph; `why_no_grad` recognises it in other tensors."""
        numbers.append((value, cut_in(frame, "item", "", self._node)))

    register_hook = hooks.register_hook
    register_post_accumulate_grad_hook = hooks.register_post_accumulate_grad_hook
    retain_grad = hooks.retain_grad

    @property
    def retains_grad(self) -> bool:
        """Whether this non-leaf keeps its gradient."""
        return self._meta is not None and self._meta.retains and self.grad_fn is not None

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        if local.levels:
            from retrograd.autograd.levels import describe  # noqa: PLC0415 - it needs this file

            return describe(self)
        from retrograd.printing import tensor_str  # noqa: PLC0415 - printing is rarely needed to compute

        return tensor_str(self)


_getframe = sys._getframe
_new = object.__new__
_T = TypeVar("_T", bound=Tensor)


def blank(cls: type[_T], array: np.ndarray[Any, Any]) -> _T:
    """Return a handle of class `cls` on an array, without history."""
    tensor = _new(cls)
    tensor._array = array
    tensor._node = tensor._cell = tensor._meta = None
    return tensor


def wrap(array: np.ndarray[Any, Any]) -> Tensor:
    """Return a Tensor on an array, without history."""
    tensor = _new(Tensor)
    tensor._array = array
    tensor._node = tensor._cell = tensor._meta = None
    return tensor


def hold_cut(tensor: Tensor, cut: Cut) -> None:
    """Note on a tensor without history where it lost it."""
    meta = tensor._meta
    if meta is None or meta.cut is meta:
        tensor._meta = cut
    else:
        meta.cut = cut


def history(tensor: Tensor) -> Any:
    """Return the node that a tensor's cotangent goes to, brought up to date if its base was written to."""
    cell = tensor._cell
    if cell is not None and cell.rebased and tensor._meta is not None and tensor._meta.base is not None:
        from retrograd.autograd.inplace import refresh  # noqa: PLC0415 - rare, and it needs this file

        refresh(tensor)
    return tensor._node
