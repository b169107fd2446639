"""Sparse tensors agree with torch: what they hold, print, compute, and what gradients they get."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest

import retrograd as torch

oracle = pytest.importorskip("torch")
warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")

INDICES, VALUES = [[0, 1, 1], [2, 0, 2]], [3.0, 4.0, 5.0]


def coo(t, **options):
    return t.sparse_coo_tensor(t.tensor(INDICES), t.tensor(VALUES), (2, 3), **options)


def twice(t):
    return t.sparse_coo_tensor(t.tensor([[0, 0, 1], [1, 1, 0]]), t.tensor([1.0, 2.0, 4.0]), (2, 2))


def csr(t):
    return t.tensor([[0.0, 0.0, 1.0], [2.0, 0.0, 3.0]]).to_sparse_csr()


def hybrid(t):
    return t.sparse_coo_tensor(t.tensor([[0, 1]]), t.ones(2, 3), (2, 3))


RESULTS = {
    "coo": coo,
    "twice": twice,
    "coalesced": lambda t: twice(t).coalesce(),
    "csr": csr,
    "hybrid": hybrid,
    "to_sparse": lambda t: t.eye(3).to_sparse(),
    "to_sparse_1": lambda t: t.eye(2).to_sparse(1),
    "vector": lambda t: t.tensor([0.0, 2.0]).to_sparse(),
    "number": lambda t: t.tensor(1.0).to_sparse(),
    "zeros": lambda t: t.zeros(2, 2).to_sparse(),
    "long": lambda t: t.eye(2000).to_sparse(),
    "float64": lambda t: t.eye(2, dtype=t.float64).to_sparse(),
    "int": lambda t: t.eye(2).long().to_sparse(),
    "csr float64": lambda t: t.eye(2, dtype=t.float64).to_sparse_csr(),
    "requires grad": lambda t: coo(t, requires_grad=True),
    "t": lambda t: coo(t).t(),
    "T": lambda t: coo(t).T,
    "row": lambda t: coo(t)[1],
    "rows": lambda t: list(coo(t)),
    "coo to csr": lambda t: coo(t).to_sparse_csr(),
    "csr to coo": lambda t: csr(t).to_sparse(),
    "add": lambda t: coo(t) + coo(t),
    "add dense": lambda t: t.ones(2, 3) + coo(t),
    "sub": lambda t: coo(t) - coo(t),
    "mul": lambda t: coo(t) * 2,
    "rmul": lambda t: 2 * coo(t),
    "mul dense": lambda t: coo(t) * t.full((2, 3), 2.0),
    "mul sparse": lambda t: coo(t) * coo(t),
    "div": lambda t: coo(t) / 2,
    "neg": lambda t: -coo(t),
    "sin": lambda t: coo(t).sin(),
    "relu": lambda t: (-coo(t)).relu(),
    "to": lambda t: coo(t).to(t.float64),
    "mm": lambda t: t.sparse.mm(coo(t), t.ones(3, 2)),
    "matmul": lambda t: coo(t) @ t.ones(3, 2),
    "mv": lambda t: coo(t) @ t.ones(3),
    "dense mm": lambda t: t.ones(2, 2) @ coo(t),
    "torch.mm": lambda t: t.mm(coo(t), t.ones(3, 2)),
    "spmm": lambda t: t.spmm(coo(t), t.ones(3, 2)),
    "sparse mm": lambda t: t.sparse.mm(coo(t), coo(t).t()),
    "csr mm": lambda t: csr(t) @ t.ones(3, 2),
    "csr mv": lambda t: csr(t) @ t.ones(3),
    "addmm": lambda t: t.sparse.addmm(t.ones(2, 2), coo(t), t.ones(3, 2)),
    "sum": lambda t: t.sparse.sum(coo(t)),
    "sum 0": lambda t: t.sparse.sum(coo(t), 0),
    "sum hybrid": lambda t: t.sparse.sum(hybrid(t), 1),
    "method sum": lambda t: coo(t).sum(),
    "dense": lambda t: [x.to_dense() for x in (coo(t), twice(t), csr(t), hybrid(t))],
    "facts": lambda t: [
        (
            x.size(),
            x.dim(),
            x.numel(),
            x._nnz(),
            x.is_sparse,
            x.is_sparse_csr,
            x.layout,
            x.dtype,
            x.requires_grad,
        )
        for x in (coo(t), csr(t), t.ones(2))[:2]
    ],
    "parts": lambda t: (
        coo(t)._indices(),
        coo(t)._values(),
        twice(t).coalesce().indices(),
        csr(t).crow_indices(),
    ),
}


@pytest.mark.parametrize("case", RESULTS)
def test_results_print_as_torchs(case):
    assert repr(RESULTS[case](torch)) == repr(RESULTS[case](oracle))


def gradients(t, loss):
    matrix = coo(t, requires_grad=True)
    dense = t.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], requires_grad=True)
    loss(t, matrix, dense).backward()
    stored = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 1.0]])  # torch's of a @ product is dense
    return (
        matrix.grad.to_dense().numpy() * stored
    ).tolist(), None if dense.grad is None else dense.grad.tolist()


LOSSES = {
    "mm": lambda t, s, d: t.sparse.mm(s, d).square().sum(),
    "matmul": lambda t, s, d: (s @ d).square().sum(),
    "scaled": lambda t, s, d: t.sparse.mm(s * 2, d).square().sum(),
    "dense": lambda t, s, d: (s.to_dense() ** 2).sum(),
    "sum": lambda t, s, d: t.sparse.sum(s) * 3,
}


@pytest.mark.parametrize("case", LOSSES)
def test_gradients_of_the_stored_numbers_and_of_the_dense_factor(case):
    assert gradients(torch, LOSSES[case]) == gradients(oracle, LOSSES[case])


def test_the_gradient_is_sparse():
    matrix = coo(torch, requires_grad=True)
    torch.sparse.mm(matrix, torch.ones(3, 2)).sum().backward()
    assert matrix.grad.is_sparse
    assert matrix.grad._values().tolist() == [2.0, 2.0, 2.0]


def test_gradients_flow_through_to_sparse():
    found = []
    for t in (torch, oracle):
        dense = t.tensor([[0.0, 2.0], [3.0, 0.0]], requires_grad=True)
        t.sparse.mm(dense.to_sparse(), t.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
        found.append(dense.grad.tolist())
    assert found[0] == [[0.0, 7.0], [3.0, 0.0]]
    # torch gives the gradient of every element; only those that were stored took part.
    stored = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert (np.array(found[1]) * stored).tolist() == found[0]


ERRORS = {
    "indices": lambda t: twice(t).indices(),
    "values": lambda t: twice(t).values(),
    "sparse + dense": lambda t: coo(t) + t.ones(2, 3),
    "sparse + 1": lambda t: coo(t) + 1,
    "numpy": lambda t: coo(t).numpy(),
    "item": lambda t: coo(t).item(),
    "bool": lambda t: bool(coo(t)),
    "nnz": lambda t: t.sparse_coo_tensor(t.tensor([[0, 1]]), t.tensor([1.0]), (2,)),
    "mm": lambda t: t.sparse.mm(coo(t), t.ones(2, 2)),
    "csr indices": lambda t: csr(t).indices(),
    "dense indices": lambda t: t.ones(2).indices(),
    "dense values": lambda t: t.ones(2).values(),
    "dense coalesce": lambda t: t.ones(2).coalesce(),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_are_those_of_torch(case):
    with pytest.raises(Exception) as ours:
        ERRORS[case](torch)
    with pytest.raises(Exception) as theirs:
        ERRORS[case](oracle)
    assert type(ours.value) is type(theirs.value)
    assert str(ours.value) == str(theirs.value)


UNSUPPORTED = {
    "exp": lambda s: s.exp(),
    "view": lambda s: s.view(6),
    "compare": lambda s: s == s,
    "in place": lambda s: s.mul_(2),
    "slice": lambda s: s[:, 1],
    "tolist": lambda s: s.tolist(),
    "cat": lambda s: torch.cat([s, s]),
    "setitem": lambda s: s.__setitem__(0, 1.0),
}


@pytest.mark.parametrize("case", UNSUPPORTED)
def test_what_is_not_supported_says_so(case):
    with pytest.raises(NotImplementedError, match="to_dense"):
        UNSUPPORTED[case](coo(torch))


@pytest.mark.parametrize("make", [coo, csr])
def test_copies_are_apart(make):
    for again in (copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))):
        source = make(torch)
        copied = again(source)
        assert repr(copied) == repr(source)
        copied._stored.zero_()
        assert source.to_dense().any()


def test_indices_outside_the_size_are_refused():
    with pytest.raises(RuntimeError, match="size is inconsistent with indices"):
        torch.sparse_coo_tensor([[0, 5]], [1.0, 2.0], (2,))
    with pytest.raises(RuntimeError, match="negative index"):
        torch.sparse_coo_tensor([[0, -1]], [1.0, 2.0], (2,))
    with pytest.raises(RuntimeError, match="crow_indices"):
        torch.sparse_csr_tensor([0, 2, 1], [0], [1.0], (2, 2))
