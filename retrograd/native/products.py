"""Matrix products as steps: what their operands' views mean as strides."""

from __future__ import annotations

from retrograd.arrays import Value
from retrograd.native.affine import Affine, Index, Var, broadcast, of, strides
from retrograd.native.gemm import Product as Spec
from retrograd.native.graph import Graph, Load
from retrograd.native.kernels import Product


def element(shape: tuple[int, ...]) -> Index:
    """Return the index of an element of an array, a variable for each dimension that is not 1."""
    return tuple(Affine() if n == 1 else of(Var(i)) for i, n in enumerate(shape))


def operand(graph: Graph, value: Value, index: Index, step: int) -> Load:
    """Return where an operand's element lies."""
    node = graph.reach(value, index, step)
    assert isinstance(node, Load), f"{value} is to be in memory"
    return node


def describe(graph: Graph, step: Product, number: int) -> tuple[Spec, Load, Load]:
    """Return a product's sizes and strides, and where its operands begin."""
    x, y = step.instruction.inputs
    (made,) = step.instruction.outputs
    rank = len(made.shape)
    index = element(made.shape)
    inner = of(Var(rank)) if x.shape[-1] != 1 else Affine()
    left = operand(graph, x, (*broadcast(index[:-2], x.shape[:-2]), index[-2], inner), number)
    right = operand(graph, y, (*broadcast(index[:-2], y.shape[:-2]), inner, index[-1]), number)

    def factor(node: Load, dim: int) -> int:
        return next((f for v, f in node.at.terms if v == Var(dim)), 0)

    own = strides(made.shape)
    spec = Spec(
        m=made.shape[-2],
        n=made.shape[-1],
        k=x.shape[-1],
        dtype=made.dtype,
        a_strides=(factor(left, rank - 2), factor(left, rank)),
        b_strides=(factor(right, rank), factor(right, rank - 1)),
        c_row=made.shape[-1],
        batch=tuple((made.shape[d], factor(left, d), factor(right, d), own[d]) for d in range(rank - 2)),
    )
    return spec, left, right
