"""Selective checkpoints: results of ops that a policy names are kept, and not computed again.

In the first run an interpreter shows each op to the policy and keeps what it wants kept. In the second run
the next kept result of an op stands in for computing it; it is recorded as if it had been computed.
"""

from __future__ import annotations

import enum
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Any

from retrograd.autograd import modes
from retrograd.autograd.dispatch import plain
from retrograd.autograd.graph import Version
from retrograd.autograd.levels import Wrapped, run_below
from retrograd.autograd.record import node_name
from retrograd.ops.aten_names import OpOverload, OpOverloadPacket, aten, of_node, prim
from retrograd.ops.declare import Op

SAC_IGNORED_OPS = {
    aten.detach.default, aten.dim.default, aten.is_contiguous.default, aten.is_contiguous.memory_format,
    aten.is_non_overlapping_and_dense.default, aten.is_strides_like_format.default, aten.numel.default,
    aten.size.default, aten.storage_offset.default, aten.stride.default, aten.sym_numel.default,
    aten.sym_size.default, aten.sym_storage_offset.default, aten.sym_stride.default, prim.device.default,
}  # fmt: skip
"""Ops that no policy is asked about."""

_AGAIN = (
    "Trying to backward an extra time. You are only allowed to backward once on any region computed under "
    "selective activation checkpoint."
)


class CheckpointPolicy(enum.Enum):
    """What a selective checkpoint does with the result of an op."""

    MUST_SAVE = 0
    PREFER_SAVE = 1
    MUST_RECOMPUTE = 2
    PREFER_RECOMPUTE = 3
    MUST_CPU_OFFLOAD = 4
    PREFER_CPU_OFFLOAD = 5


_RECOMPUTE = (CheckpointPolicy.MUST_RECOMPUTE, CheckpointPolicy.PREFER_RECOMPUTE, False)


class SelectiveCheckpointContext:
    """What a policy is told besides the op and its arguments: which run it is, and the op's result."""

    def __init__(self, *, is_recompute: bool, op_output: Any = None) -> None:
        self.is_recompute = is_recompute
        self.op_output = op_output


class _Result:
    """The kept result of an op, and whether it is as it was."""

    def __init__(self, result: Any) -> None:
        parts = result if isinstance(result, tuple) else (result,)
        cells: list[Version] = [t._version_cell() for t in parts]
        self._versions = [(cell, cell.count) for cell in cells]
        self.arrays = tuple(t._array for t in parts) if isinstance(result, tuple) else result._array

    def is_mutated(self) -> bool:
        return any(cell.count != count for cell, count in self._versions)


class _Kept:
    """What a policy decided in the first run, per op in the order of the calls: a result to keep, or None."""

    def __init__(self, policy: Callable[..., Any], *, mutable: bool) -> None:
        self.policy = policy
        self.mutable = mutable
        self.results: dict[OpOverload, deque[_Result | None]] = defaultdict(deque)
        self.used: set[OpOverload] = set()

    def decide(self, name: OpOverload, args: Sequence[Any], output: Any) -> None:
        """Ask the policy about the result of a call."""
        context = SelectiveCheckpointContext(is_recompute=False, op_output=output)
        is_kept = self.policy(context, name, *args) not in _RECOMPUTE
        self.results[name].append(_Result(output) if is_kept else None)

    def next(self, name: OpOverload) -> Any:
        """Return the arrays of the result that stands in for the next call of an op; None if it is to run.

        Raises:
            RuntimeError: the result was used by an earlier backward, or has been written to.
        """
        left = self.results[name]
        if not left and name in self.used:
            raise RuntimeError(_AGAIN)
        result = left.popleft() if left else None
        if result is None:
            return None
        self.used.add(name)
        if result.is_mutated() and not self.mutable:
            raise RuntimeError("Tensor cached during selective activation checkpoint has been mutated")
        return result.arrays


class _Run:
    """A context in which the ops of one run pass by."""

    def __init__(self, kept: _Kept) -> None:
        self.kept = kept

    def __enter__(self) -> None:
        modes.push(self)

    def __exit__(self, *exc: object) -> None:
        modes.pop()

    def call(self, op: Op, args: tuple[Any, ...], out: Any) -> Any:
        """Run an op, with its policy if it makes new tensors and no transform has a part in it."""
        taken = modes.pop()
        try:
            name = _name(op, args)
            if out is not None or op.view or name in SAC_IGNORED_OPS or any(map(_is_wrapped, args)):
                return run_below(op, args, out)
            return self.run(op, name, args)
        finally:
            modes.push(taken)

    def run(self, op: Op, name: OpOverload, args: tuple[Any, ...]) -> Any:
        raise NotImplementedError


class _First(_Run):
    def run(self, op: Op, name: OpOverload, args: tuple[Any, ...]) -> Any:
        result = run_below(op, args)
        self.kept.decide(name, args, result)
        return result


class _Second(_Run):
    def run(self, op: Op, name: OpOverload, args: tuple[Any, ...]) -> Any:
        known = self.kept.next(name)
        return run_below(op, args) if known is None else plain(op, args, known)


def _name(op: Op, args: tuple[Any, ...]) -> OpOverload:
    return of_node(node_name(op, args)) if op.node else OpOverload(op.torch_name)


def _is_wrapped(value: Any) -> bool:
    return isinstance(value, Wrapped) or (isinstance(value, (list, tuple)) and any(map(_is_wrapped, value)))


def create_selective_checkpoint_contexts(
    policy_fn_or_list: Any, allow_cache_entry_mutation: bool = False
) -> tuple[_First, _Second]:
    """Return the contexts of a checkpoint that keeps some results; for `checkpoint(context_fn=...)`.

    Args:
        policy_fn_or_list: ops whose results are kept (`torch.ops.aten.mm.default`), or a function of
            (context, op, *args) that returns a CheckpointPolicy; it is asked in the first run only. Views and
            writes in place are always run again.
        allow_cache_entry_mutation: do not refuse kept results that have been written to.

    Raises:
        ValueError: the list holds something else than ops.
        TypeError: it is neither a list nor a function.

    Example:
        >>> import functools
        >>> import retrograd as torch
        >>> from retrograd.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts
        >>> keep = functools.partial(create_selective_checkpoint_contexts, [torch.ops.aten.mm.default])
        >>> x = torch.ones(2, 2, requires_grad=True)
        >>> checkpoint(lambda t: (t @ t).sin(), x, use_reentrant=False, context_fn=keep).sum().backward()
        >>> x.grad[0]
        tensor([-1.6646, -1.6646])
    """
    if isinstance(policy_fn_or_list, list):
        for op in policy_fn_or_list:
            if not isinstance(op, OpOverload):
                raise ValueError(_not_an_op(op))  # noqa: TRY004 - torch's exception
        wanted = set(policy_fn_or_list)

        def policy(_context: Any, op: OpOverload, *_args: Any) -> CheckpointPolicy:
            return CheckpointPolicy.MUST_SAVE if op in wanted else CheckpointPolicy.PREFER_RECOMPUTE

    elif callable(policy_fn_or_list):
        policy = policy_fn_or_list
    else:
        raise TypeError("policy_fn_or_list must be either a function or a list of ops.")
    kept = _Kept(policy, mutable=allow_cache_entry_mutation)
    return _First(kept), _Second(kept)


def _not_an_op(op: Any) -> str:
    text = f"Expected op in `op_list` to be an OpOverload but got: {op} of type {type(op)}. "
    if isinstance(op, OpOverloadPacket):
        text += (
            "Please update the OpOverloadPacket to a specific OpOverload.For example, if you have "
            "`torch.ops.aten.mm`, change it to `torch.ops.aten.mm.default`."
        )
    return text
