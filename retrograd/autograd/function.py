"""Function: ops whose forward and backward the user writes.

    class Cube(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, ct):
            (x,) = ctx.saved_tensors
            return 3 * x * x * ct

    y = Cube.apply(x)

`ctx` is the node itself, as in torch.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.autograd.dispatch import as_view
from retrograd.autograd.graph import AccumulateGrad, Cotangents, Node, Output
from retrograd.autograd.inplace import rebase
from retrograd.autograd.modes import enable_grad, local, no_grad
from retrograd.autograd.saved import Kept
from retrograd.autograd.views import cut_here
from retrograd.ops.helpers import as_array, unbroadcast
from retrograd.tensor import Tensor, history, hold_cut, wrap


class FunctionCtx:
    """What forward and backward share: saved tensors, flags, and any attribute the user sets."""

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors (or None) for backward; their versions are checked there."""
        for i, tensor in enumerate(tensors):
            if tensor is not None and not isinstance(tensor, Tensor):
                raise TypeError(
                    f"save_for_backward can only save variables, but argument {i} is of type "
                    f"{type(tensor).__name__}"
                )
        self.to_save = tensors

    def save_for_forward(self, *tensors: Any) -> None:
        """Keep tensors for `jvp`."""
        self.saved_for_forward = tensors

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Say that forward wrote to these inputs; they must be returned."""
        self.dirty_tensors = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Say that these outputs have no gradient."""
        self.non_differentiable = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Give backward zeros for cotangents that nobody asked for (the default), or None."""
        self.materialize_grads = value

    def mark_shared_storage(self, *pairs: Any) -> None:
        """Do nothing but warn; kept for old programs."""
        warnings.warn(
            "mark_shared_storage is deprecated. Tensors with shared storages are automatically tracked. "
            "Note that "
            "calls to `set_()` are not tracked",
            FutureWarning,
            stacklevel=2,
        )


class BackwardCFunction(Node, FunctionCtx):
    """The node of a custom Function; `ctx` in its forward and backward."""

    __slots__ = ("__dict__",)
    runs_without = True

    _forward_cls: Any
    saved: tuple[Kept | None, ...]
    outputs: list[tuple[tuple[int, ...], Any]]
    input_metas: list[tuple[tuple[int, ...], Any] | None]
    output_count: int
    places: list[int]
    plain_outputs: dict[int, tuple[tuple[int, ...], Any]]
    result_numbers: dict[int, int]

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """The tensors given to `save_for_backward`."""
        if "saved" not in self.__dict__:
            return tuple(self.__dict__.get("to_save", ()))
        return tuple(
            None if s is None else s.unpack(self, self._result_edge(i)) for i, s in enumerate(self.saved)
        )

    @property
    def saved_variables(self) -> tuple[Any, ...]:
        """The old name of `saved_tensors`."""
        warnings.warn(
            "'saved_variables' is deprecated; use 'saved_tensors'", DeprecationWarning, stacklevel=2
        )
        return self.saved_tensors

    @property
    def _raw_saved_tensors(self) -> tuple[Any, ...]:
        from retrograd.autograd.raw_saved import OfFunction  # noqa: PLC0415 - rare

        return tuple(
            None if s is None else OfFunction(self, s, self._result_edge(i)) for i, s in enumerate(self.saved)
        )

    def _result_edge(self, i: int) -> Any:
        number = self.result_numbers.get(i)
        if number is None or len(self.outputs) == 1:
            return self
        return Output(self, number, len(self.outputs))

    def pullback(self, ct: Any, keep: bool) -> tuple[Any, ...]:
        with no_grad():
            cts = self._call([None if c is None else wrap(as_array(c)) for c in self._parts(ct)])
        if not keep:
            self._free()
        return tuple(None if c is None else c._array for c in cts)

    def pullback_recorded(self, ct: Any, keep: bool) -> tuple[Any, ...]:
        with enable_grad():
            cts = self._call(list(self._parts(ct)))
        if not keep:
            self._free()
        return tuple(cts)

    def _parts(self, ct: Any) -> tuple[Any, ...]:
        if ct is None:
            return (None,) * len(self.outputs)
        return tuple(ct) if isinstance(ct, Cotangents) else (ct,)

    def _free(self) -> None:
        for saved in self.saved:
            if saved is not None:
                saved.free()

    def _call(self, cts: list[Any]) -> list[Any]:
        """Run the user's backward; check what it returns, and keep the parts that belong to edges."""
        function = self._forward_cls
        given: list[Any] = [None] * self.output_count
        for place, ct, (shape, dtype) in zip(self.places, cts, self.outputs, strict=True):
            if ct is None and self.materialize_grads:
                ct = wrap(np.zeros(shape, dtype))
            given[place] = ct
        if self.materialize_grads:
            for place, (shape, dtype) in self.plain_outputs.items():
                given[place] = wrap(np.zeros(shape, dtype))
        returned = _backward_of(function)(self, *given)
        returned = list(returned) if isinstance(returned, tuple) else [returned]
        return self._checked(returned)

    def _checked(self, returned: list[Any]) -> list[Any]:
        name, expected = self.name(), len(self.input_metas)
        if len(returned) > expected and all(r is None for r in returned[expected:]):
            returned = returned[:expected]
        if len(returned) != expected:
            raise RuntimeError(
                f"function {name} returned an incorrect number of gradients (expected {expected}, got "
                f"{len(returned)})"
            )
        cts = []
        for i, (ct, meta) in enumerate(zip(returned, self.input_metas, strict=True)):
            if ct is not None and not isinstance(ct, Tensor):
                raise RuntimeError(f"expected Variable or None (got {type(ct).__name__})")
            if meta is None:
                if ct is not None:
                    raise RuntimeError(
                        f"function {name} returned a gradient different than None at position {i + 1}, but "
                        f"the "
                        "corresponding forward input was not a Variable"
                    )
                continue
            cts.append(None if ct is None else self._fitted(ct, meta, i))
        return cts

    def _fitted(self, ct: Tensor, meta: tuple[tuple[int, ...], Any], i: int) -> Tensor:
        shape, dtype = meta
        if ct._array.shape != shape:
            try:
                fits = np.broadcast_shapes(shape, ct._array.shape) == ct._array.shape
            except ValueError:
                fits = False
            if not fits:
                raise RuntimeError(
                    f"Function {self.name()} returned an invalid gradient at index {i} - got "
                    f"{list(ct.shape)} but "
                    f"expected shape compatible with {list(shape)}\n[forward was called at {self.where()}]"
                )
            ct = unbroadcast(ct, shape)
        return ct if ct._array.dtype == dtype else ct.to(dtypes.OF_NUMPY[dtype])


def _backward_of(function: Any) -> Callable[..., Any]:
    own, vjp = function.backward, function.vjp
    if own is not Function.backward and vjp is not Function.vjp:
        raise RuntimeError(
            "Implementing both 'backward' and 'vjp' for a custom Function is not allowed. You should only "
            "implement one of them."
        )
    return vjp if own is Function.backward and vjp is not Function.vjp else own  # type: ignore[no-any-return]


class FunctionMeta(type):
    """Gives each Function class its node class, `NAMEBackward`."""

    def __init__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> None:
        cls._backward_cls = type(
            f"{name}Backward",
            (BackwardCFunction,),
            {"_forward_cls": cls, "__slots__": (), "__module__": "torch.autograd.function"},
        )
        super().__init__(name, bases, body)


class Function(metaclass=FunctionMeta):
    """Base of ops with a user's own forward and backward. See the module's docstring for the form.

    Raises:
        NotImplementedError: forward, or at backward time backward, is missing.
        RuntimeError: backward returns the wrong number of gradients, or one of the wrong shape.
    """

    _backward_cls: Any
    generate_vmap_rule = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        warnings.warn(
            f"{type(self)} should not be instantiated. Methods on autograd functions are all static, so "
            f"you should "
            "invoke them on the class itself. Instantiating an autograd function will raise an error in a "
            "future "
            "version of PyTorch.",
            DeprecationWarning,
            stacklevel=2,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(
            "Legacy autograd function with non-static forward method is deprecated. Please use new-style "
            "autograd function with static forward method. (Example: "
            "https://pytorch.org/docs/stable/autograd.html#torch.autograd.Function)"
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the outputs: `forward(ctx, *args)`, or `forward(*args)` if `setup_context` is defined."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """Save what backward needs, after a forward without ctx."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Return one gradient per argument of forward; None for those that have none."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function to use "
            "it with backward mode AD."
        )

    @staticmethod
    def vjp(ctx: Any, *grad_outputs: Any) -> Any:
        """Another name of `backward`."""
        raise NotImplementedError

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        """Return the outputs' tangents."""
        raise NotImplementedError(
            "You must implement the jvp function for custom autograd.Function to use it with forward mode AD."
        )

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run the function and record it."""
        if local.levels:
            from retrograd.autograd.function_levels import apply_inside  # noqa: PLC0415 - rare; it needs this file

            return apply_inside(cls, args, kwargs)
        return cls._run(*args, **kwargs)

    @classmethod
    def _run(cls, *args: Any, **kwargs: Any) -> Any:
        node = cls._backward_cls()
        node.stamp()
        needs = tuple(isinstance(a, Tensor) and history(a) is not None for a in args)
        recording = local.grad and any(needs)
        node.needs_input_grad = needs
        node.materialize_grads = True
        node.edges = tuple(history(a) for a in args if isinstance(a, Tensor))
        node.input_metas = [(a._array.shape, a._array.dtype) if isinstance(a, Tensor) else None for a in args]
        with no_grad():
            if cls.setup_context is Function.setup_context:
                output = cls.forward(node, *args, **kwargs)
            else:
                output = cls.forward(*args, **kwargs)
                cls.setup_context(node, args, output)
        return _finish(node, args, output, recording)


def _finish(node: Any, args: tuple[Any, ...], output: Any, recording: bool) -> Any:
    """Hang the outputs on the node."""
    single = not isinstance(output, (tuple, list))
    outputs = [output] if single else list(output)
    dirty = [id(t) for t in node.__dict__.get("dirty_tensors", ())]
    _count_writes(node.__dict__.get("dirty_tensors", ()), recording)
    if not set(dirty) <= {id(o) for o in outputs}:
        raise RuntimeError(
            "Some elements marked as dirty during the forward method were not returned as output. The inputs "
            "that are modified inplace must all be outputs of the Function."
        )
    plain = {id(t) for t in node.__dict__.get("non_differentiable", ())}
    inputs = {id(a): a for a in args if isinstance(a, Tensor)}
    given = list(outputs)
    for i, tensor in enumerate(outputs):
        if isinstance(tensor, Tensor) and id(tensor) in inputs and id(tensor) not in dirty:
            outputs[i] = _alias(tensor)
    places = [
        i for i, t in enumerate(outputs)
        if isinstance(t, Tensor) and id(given[i]) not in plain and t.dtype.category >= dtypes.FLOATING
    ]  # fmt: skip
    node.output_count, node.places = len(outputs), places
    node.outputs = [(outputs[i]._array.shape, outputs[i]._array.dtype) for i in places]
    node.plain_outputs = {
        i: (t._array.shape, t._array.dtype)
        for i, t in enumerate(outputs)
        if isinstance(t, Tensor) and i not in places
    }
    node.saved, node.result_numbers = (), {}
    if recording:
        _save(node, given, places)
        views = sum(isinstance(t, Tensor) and t._is_view() for t in outputs)
        for number, i in enumerate(places):
            edge = node if len(places) == 1 else Output(node, number, len(places))
            _hang(outputs[i], edge, id(given[i]) in dirty, args, several=views > 1)
        source = next((e for e in node.edges if e is not None), None)
        for i in node.plain_outputs:
            if outputs[i]._node is None:
                hold_cut(outputs[i], cut_here("function", type(node)._forward_cls.__name__, source))
    node.__dict__.pop("to_save", None)
    node.__dict__.pop("dirty_tensors", None)
    return outputs[0] if single else tuple(outputs)


def _count_writes(tensors: tuple[Tensor, ...], recording: bool) -> None:
    """Count the write that `mark_dirty` tells of; refuse one to a leaf."""
    for tensor in tensors:
        if recording and type(tensor._node) is AccumulateGrad:
            raise RuntimeError("a leaf Variable that requires grad has been used in an in-place operation.")
        tensor._version_cell().bump()


def _alias(tensor: Tensor) -> Tensor:
    made = wrap(tensor._array.view())
    as_view(made, tensor)
    made._facts().origin = "function"
    return made


def _save(node: Any, outputs: list[Any], places: list[int]) -> None:
    numbers = {id(outputs[i]): n for n, i in enumerate(places)}
    saved: list[Kept | None] = []
    for k, tensor in enumerate(node.__dict__.get("to_save", ())):
        if tensor is None:
            saved.append(None)
            continue
        if tensor.is_inference():
            from retrograd.autograd.record import INFERENCE_SAVED  # noqa: PLC0415 - failing path only

            raise RuntimeError(INFERENCE_SAVED)
        is_result = id(tensor) in numbers and history(tensor) is None
        if is_result:
            node.result_numbers[k] = numbers[id(tensor)]
        saved.append(Kept(tensor, is_result=is_result))
    node.saved = tuple(saved)


def _hang(tensor: Tensor, edge: Any, is_dirty: bool, args: tuple[Any, ...], *, several: bool) -> None:
    if is_dirty:
        rebase(tensor, edge)
        return
    meta = tensor._meta
    if meta is not None and meta.base is not None and meta.origin in (None, "no_grad"):
        if any(isinstance(a, Tensor) and a._root() is meta.base for a in args):
            meta.origin = "multi" if several else "function"
        else:
            tensor._meta = None
    tensor._node = edge


class InplaceFunction(Function):
    """A Function with an `inplace` flag; kept for old programs."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace


def once_differentiable(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a backward that cannot be differentiated again: its results refuse a second backward."""

    @functools.wraps(function)
    def decorated(ctx: Any, *cts: Any) -> Any:
        with no_grad():
            returned = function(ctx, *cts)
        if not local.grad or not any(isinstance(c, Tensor) and c.requires_grad for c in cts):
            return returned
        parts = returned if isinstance(returned, tuple) else (returned,)
        refusing = tuple(None if p is None else _Refuse.apply(p.detach().requires_grad_()) for p in parts)
        return refusing if isinstance(returned, tuple) else refusing[0]

    return decorated


class _Refuse(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Any:  # noqa: ARG004 - a Function's signature
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *cts: Any) -> Any:  # noqa: ARG004 - likewise
        raise RuntimeError(
            "trying to differentiate twice a function that was marked with @once_differentiable"
        )
