"""x[index] and x[index] = value: values, views, gradients and texts, against NumPy and torch."""

from __future__ import annotations

import random
import warnings

import numpy as np
import pytest

import retrograd as rg

E = Ellipsis


def _x(*shape):
    return rg.arange(float(np.prod(shape))).reshape(shape)


# ---- golden cases ----


@pytest.mark.parametrize(
    ("index", "values", "node"),
    [
        (1, [3, 4, 5], "SelectBackward0"),
        (-1, [3, 4, 5], "SelectBackward0"),
        (slice(0, 1), [[0, 1, 2]], "SliceBackward0"),
        ((slice(None), 1), [1, 4], "SelectBackward0"),
        ((0, 2), 2, "SelectBackward0"),
        ((E, -1), [2, 5], "SelectBackward0"),
        (None, [[[0, 1, 2], [3, 4, 5]]], "UnsqueezeBackward0"),
        (E, [[0, 1, 2], [3, 4, 5]], "AliasBackward0"),
        ([1, 0, 1], [[3, 4, 5], [0, 1, 2], [3, 4, 5]], "IndexBackward0"),
        (([1, 0], [2, 2]), [5, 2], "IndexBackward0"),
        ((slice(None), [2, 0]), [[2, 0], [5, 3]], "IndexBackward0"),
        ([True, False], [[0, 1, 2]], "IndexBackward0"),
        ((slice(None), slice(None, None, 2)), [[0, 2], [3, 5]], "SliceBackward0"),
    ],
)
def test_an_index_gives_these_elements_and_this_node(index, values, node):
    x = _x(2, 3).requires_grad_()
    found = x[index]
    assert found.tolist() == values
    assert found.grad_fn.name() == node


@pytest.mark.parametrize("index", [0, slice(0, 1), (slice(None), 1), None, E, (0, 1), (E, None, 0)])
def test_basic_indices_are_views(index):
    x = _x(2, 3)
    x[index].fill_(-1)
    want = np.arange(6.0).reshape(2, 3)
    want[index] = -1
    np.testing.assert_array_equal(x.numpy(), want)


def test_indices_by_tensors_are_copies():
    x = _x(2, 3)
    x[rg.tensor([0])].fill_(-1)
    x[x > 1].fill_(-1)
    assert x.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("index", "kind", "text"),
    [
        (5, IndexError, "index 5 is out of bounds for dimension 0 with size 2"),
        ((0, 3), IndexError, "index 3 is out of bounds for dimension 1 with size 3"),
        ((0, 0, 0), IndexError, "too many indices for tensor of dimension 2"),
        (slice(None, None, -1), ValueError, "step must be greater than zero"),
        (
            1.0,
            IndexError,
            "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid",
        ),
        (rg.tensor([0.5]), IndexError, "tensors used as indices must be long, int, byte or bool tensors"),
        (rg.tensor([7]), IndexError, "index 7 is out of bounds for dimension 0 with size 2"),
        (
            rg.tensor([True]),
            IndexError,
            "The shape of the mask [1] at index 0 does not match the shape of the indexed",
        ),
        (([0, 1], [0, 1, 2]), IndexError, "could not be broadcast together with shapes [2], [3]"),
    ],
)
def test_a_wrong_index_says_so(index, kind, text):
    with pytest.raises(kind) as caught:
        _x(2, 3)[index]
    assert text in str(caught.value)


def test_a_scalar_has_no_index():
    with pytest.raises(IndexError, match="invalid index of a 0-dim tensor"):
        rg.tensor(1.0)[0]


def test_writing_records_and_cuts_the_old_value_off():
    x = rg.ones(3, requires_grad=True)
    v = rg.tensor(2.0, requires_grad=True)
    y = x * 1
    y[1] = v * 3
    assert y.grad_fn.name() == "torch::autograd::CopySlices" or "CopySlices" in y.grad_fn.name()
    (y * rg.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert x.grad.tolist() == [1, 0, 100]
    assert v.grad.item() == 30


def test_repeated_positions_add_their_gradients():
    x = rg.ones(3, requires_grad=True)
    x[rg.tensor([0, 0, 1])].sum().backward()
    assert x.grad.tolist() == [2, 1, 0]


def test_writing_counts_as_one_version():
    x = rg.zeros(3)
    before = x._version
    x[0] = 1.0
    x[x > 0] = 2.0
    assert x._version == before + 2
    assert x.tolist() == [2, 0, 0]


@pytest.mark.parametrize(
    ("index", "value", "kind", "text"),
    [
        (0, "a", TypeError, "can't assign a str to a torch.FloatTensor"),
        (0, [1, 2, 3], TypeError, "can't assign a list to a torch.FloatTensor"),
        (0, 1j, RuntimeError, "value cannot be converted to type float without overflow"),
        (5, 1.0, IndexError, "index 5 is out of bounds for dimension 0 with size 2"),
        ([0, 1], rg.ones(2, 4), RuntimeError, "value tensor of shape [2, 4] cannot be broadcast"),
        ([0, 1], rg.ones(3, dtype=rg.float64), RuntimeError, "source and destination dtypes match"),
    ],
)  # fmt: skip
def test_a_wrong_write_says_so_and_changes_nothing(index, value, kind, text):
    x = _x(2, 3)
    with pytest.raises(kind) as caught:
        x[index] = value
    assert text in str(caught.value)
    assert x.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_leaf_that_requires_grad_is_not_written_to():
    x = rg.ones(3, requires_grad=True)
    with pytest.raises(
        RuntimeError, match="a view of a leaf Variable that requires grad is being used in an in-place"
    ):
        x[0] = 2.0
    assert x.tolist() == [1, 1, 1]


# ---- against torch, at random ----


def _item(rnd, n):
    kind = rnd.randrange(9)
    if kind == 0:
        return rnd.randint(-n, n - 1) if n else None
    if kind == 1:
        return slice(rnd.choice([None, rnd.randint(-n, n)]), rnd.choice([None, rnd.randint(-n, n + 2)]),
                     rnd.choice([None, 1, 2]))  # fmt: skip
    if kind == 2:
        return None
    if kind == 3:
        return E
    if kind == 4:
        return rnd.choice([True, False])
    if kind == 5:
        return [rnd.randint(-n, n - 1) for _ in range(rnd.randint(0, 3))] if n else None
    if kind == 6:
        return (
            np.array([rnd.randint(-n, n - 1) for _ in range(2)]).reshape(rnd.choice([(2,), (2, 1)]))
            if n
            else None
        )
    if kind == 7:
        return np.array([rnd.random() < 0.5 for _ in range(n)])
    return slice(None)


def _outcome(library, shape, items, value):
    """Read (value None) or write at an index and run backward; return everything that must agree."""
    x = library.arange(float(np.prod(shape))).reshape(shape).requires_grad_()
    index = tuple(library.tensor(i.tolist()) if isinstance(i, np.ndarray) else i for i in items)
    try:
        if value is None:
            y = x[index]
        else:
            y = x * 1
            y[index] = library.tensor(value) if isinstance(value, np.ndarray) else value
        weights = library.arange(float(y.numel())).reshape(y.shape) + 1
        (y * weights).sum().backward()
    except (IndexError, RuntimeError) as error:
        return type(error), None, None
    return None, y.detach().numpy(), x.grad.numpy()


@pytest.mark.parametrize("seed", range(8))
def test_random_indices_agree_with_torch(torch_or_skip, seed):
    rnd = random.Random(seed)
    warnings.simplefilter("ignore")
    compared = 0
    for _ in range(120):
        shape = tuple(rnd.randint(1, 4) for _ in range(rnd.randint(1, 3)))
        items = [_item(rnd, n) for n in shape[: rnd.randint(1, 3)]]
        if sum(i is E for i in items) > 1:
            continue
        value = rnd.choice([None, None, 5.5, np.arange(shape[-1], dtype=np.float32)])
        ours, theirs = (_outcome(library, shape, items, value) for library in (rg, torch_or_skip))
        assert (ours[0] is None) == (theirs[0] is None), (shape, items, value, ours, theirs)
        if ours[0] is None:
            compared += 1
            for a, b in zip(ours[1:], theirs[1:], strict=True):
                assert a.shape == b.shape, (shape, items, value)
                np.testing.assert_array_equal(a, b, err_msg=str((shape, items, value)))
    assert compared > 40


@pytest.mark.parametrize("seed", range(4))
def test_writes_through_chains_of_views_agree_with_torch(torch_or_skip, seed):
    """Take random views of views, write into the last, and compare the base."""
    rnd = random.Random(seed)
    moves = [
        lambda t: t[0], lambda t: t[:, 0] if t.dim() > 1 else t[:1], lambda t: t[1:],
        lambda t: t.transpose(0, -1),
        lambda t: t.permute(*range(t.dim())[::-1]), lambda t: t.unsqueeze(0), lambda t: t.squeeze(),
        lambda t: t.diagonal() if t.dim() > 1 else t, lambda t: t.view(-1) if t.is_contiguous() else t,
        lambda t: t.unfold(0, 1, 1), lambda t: t.narrow(0, 0, 1), lambda t: t.select(-1, 0),
        lambda t: t.mT if t.dim() > 1 else t,
        lambda t: t.flatten(), lambda t: t.reshape(-1, 1), lambda t: t.movedim(0, -1), lambda t: t.detach(),
    ]  # fmt: skip
    for _ in range(60):
        chain = [rnd.choice(moves) for _ in range(rnd.randint(1, 4))]
        bases = []
        for library in (rg, torch_or_skip):
            base = library.arange(24.0).reshape(2, 3, 4)
            view = base
            try:
                for move in chain:
                    view = move(view)
                view.mul_(-3)
                bases.append((base.numpy(), tuple(view.shape), base._version))
            except (IndexError, RuntimeError, TypeError) as error:
                bases.append(type(error))
        if isinstance(bases[1], type):
            assert bases[0] is bases[1]
            continue
        np.testing.assert_array_equal(bases[0][0], bases[1][0])
        assert bases[0][1:] == bases[1][1:]
