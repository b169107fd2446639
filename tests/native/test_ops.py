"""Every op as machine code, forward and backward, gives what the evaluator gives."""

from __future__ import annotations

import numpy as np
import pytest
from native.programs import close

from retrograd.arrays import evaluate, trace
from retrograd.native.machine import Machine
from retrograd.ops import apply
from retrograd.ops.declare import TABLE

UNTRACED = (TypeError, ValueError, LookupError, RuntimeError, NotImplementedError)
"""What tracing raises of an op whose shape or path depends on its elements; such programs run eagerly."""


def cast(tree, dtype):
    """Return a sample's arguments with floating-point arrays in another dtype."""
    if isinstance(tree, np.ndarray) and tree.dtype == np.float64:
        return tree.astype(dtype)
    return type(tree)(cast(x, dtype) for x in tree) if isinstance(tree, (list, tuple)) else tree


def leaves(tree):
    if isinstance(tree, np.ndarray):
        yield tree
    elif isinstance(tree, (list, tuple)):
        for item in tree:
            yield from leaves(item)


def forward_and_backward(op):
    """Return a function of an op's arguments: its results, and the cotangents of what it has rules for."""
    positional = [p for p in op.parameters if not p.keyword_only]
    rest = [p.name for p in op.parameters if p.keyword_only]

    def run(*args):
        result = op(*args[: len(positional)], **dict(zip(rest, args[len(positional) :], strict=True)))
        outputs = list(result) if isinstance(result, (tuple, list)) else [result]
        if op.rules and not op.outputs:
            ct = np.cos(np.arange(result.size)).reshape(result.shape).astype(result.dtype)
            for found in apply.vjp(op, list(args), ct, result):
                outputs += list(found) if isinstance(found, (tuple, list)) else [found]
        return tuple(x for x in outputs if x is not None)

    return run


def case(op, sample, dtype):
    """Return a sample as a program, its inputs and what it gives; None if it cannot be traced."""
    try:
        args = [cast(a, dtype) for a in apply.bind(op, list(sample.args), dict(sample.kwargs))]
        given = list({id(a): a for a in leaves(args)}.values())
        program = trace(forward_and_backward(op), *args)
        return program, given, evaluate(program, *given)
    except UNTRACED:
        return None


def compared(name, samples):
    """Compare samples of an op, each in a dtype; return how many could be."""
    count = 0
    for sample, dtype in samples:
        found = case(TABLE[name], sample, dtype)
        if found is None:
            continue
        program, given, wanted = found
        for f, w in zip(Machine(program, {}, name)(*given), wanted, strict=True):
            close(f, w, dtype is np.float32)
        count += 1
    return count


@pytest.mark.parametrize("name", sorted(TABLE))
@pytest.mark.filterwarnings("ignore")
def test_an_op_gives_what_the_evaluator_gives(name, is_long):
    samples = list(TABLE[name].samples())
    first = [(samples[0], np.float64)] if is_long else []  # tests/compiler has some of each op in float64
    if not compared(name, [*first, (samples[-1], np.float32)]):
        pytest.skip("its shape or its path depends on elements, or its samples are no arrays")
