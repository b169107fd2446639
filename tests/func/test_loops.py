"""Which ops go through a batch one element after the other: few, each for a reason."""

from __future__ import annotations

import numpy as np
import pytest
from func.op_checks import check_vmap

import retrograd.ops.table  # noqa: F401 - fills TABLE
from retrograd.autograd import batch_rules
from retrograd.ops import batching
from retrograd.ops.declare import TABLE

LOOPING = {
    # What is written or read depends on values.
        "masked_scatter": "values", "put_masked": "values", "unread": "values",
    "index": "masks of each element's own", "accumulate": "masks of each element's own",
    "linalg_lstsq": "its residuals are empty or not, by rank",
    # An algorithm that is itself a loop over examples.
    "ctc": "a loop over time", "ctc_slope": "a loop over time", "histc": "one histogram per element",
    "multi_margin_loss": "a reduction over examples",
    "fractional_max_pool": "windows drawn per example",
    # Arguments that are usually shared: a loop only where each element has its own.
    "bucketize": "boundaries of each element's own", "isin": "sets of each element's own",
    "masked_fill": "a value of each element's own", "index_select": "positions of each 0-dim element's own",
    "index_add": "positions of each element's own",
    "index_copy": "positions of each element's own", "index_fill": "positions of each element's own",
    "embedding_ct": "frequencies of each element's own", "weighted_rows": "frequencies of each element's own",
    "cross_entropy": "weights of each element's own",
    "nll_loss": "weights of each element's own",
    # 0-dim elements, which have dimension 0 in name only.
    "gather": "0-dim", "put_along": "0-dim", "sort": "0-dim", "topk": "0-dim", "kthvalue": "0-dim",
    "squeeze": "0-dim", "unsqueeze": "0-dim", "transpose": "0-dim", "flip": "0-dim",
}  # fmt: skip


@pytest.fixture
def loops(monkeypatch):
    """Note the names of the ops that loop."""
    found = set()
    loop = batching.loop

    def noted(op, *rest):
        found.add(op.name)
        return loop(op, *rest)

    for op in TABLE.values():
        if op.batch is loop:
            monkeypatch.setattr(op, "batch", noted)
    for name, rule in batch_rules.RULES.items():
        if rule is loop:
            monkeypatch.setitem(batch_rules.RULES, name, noted)
    monkeypatch.setattr(batching, "loop", noted)
    return found


def test_only_known_ops_loop(loops):
    for op in list(TABLE.values()):
        for sample in op.samples():
            check_vmap(op, sample)
    assert loops - set(LOOPING) == set(), "no reason is known for these"
    assert set(LOOPING) - loops == set(), "these do not loop any more"


def test_a_loop_is_noted(loops, monkeypatch):
    monkeypatch.setattr(TABLE["sin"], "batch", batching.loop)
    check_vmap(TABLE["sin"], next(iter(TABLE["sin"].samples())))
    assert "sin" in loops


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("places", [(0,), (1,), (0, 1), (1, 2), (0, 2), (0, 1, 2)])
@pytest.mark.parametrize("own", [(True, True), (True, False), (False, True), (False, False)])
def test_positions_of_all_kinds(places, rank, own):
    rng = np.random.default_rng(0)
    size, shape, width = 5, (3, 4, 2), (2, 3)[:rank]
    x = rng.normal(size=(size, *shape))
    indices = [rng.integers(-shape[p], shape[p], (size, *width)) for p in places]
    varying = [i == 0 and own[1] for i in range(len(places))]
    given = [i if v else i[0] for i, v in zip(indices, varying, strict=True)]
    at = [0 if v else None for v in varying]

    def each(k):
        return [i[k] if v else i for i, v in zip(given, varying, strict=True)]

    xs, dim = (x, 0) if own[0] else (x[0], None)
    if dim is None and not any(varying):
        return
    rows = [x[k] if own[0] else x[0] for k in range(size)]
    read, add, put = (TABLE[n] for n in ("index_many", "accumulate_many", "index_put"))
    expected = np.stack([read.definition(r, each(k), places) for k, r in enumerate(rows)])
    np.testing.assert_array_equal(read.batch(read, size, (xs, given, places), (dim, at, None)), expected)
    expected_sum = np.stack([add.definition(v, shape, each(k), places) for k, v in enumerate(expected)])
    found = add.batch(add, size, (expected, shape, given, places), (0, None, at, None))
    np.testing.assert_allclose(found, expected_sum)
    for values, value_dim in ((expected, 0), (expected[0], None), (2.0, None), (expected[:, ..., :1], 0)):
        for accumulate in (False, True) if np.ndim(values) == expected.ndim else (True,):
            each_value = [values[k] if value_dim == 0 else values for k in range(size)]
            expected_put = np.stack(
                [put.definition(r, each(k), each_value[k], places, accumulate) for k, r in enumerate(rows)]
            )
            args = (xs, given, values, places, accumulate)
            found = put.batch(put, size, args, (dim, at, value_dim, None, None))
            np.testing.assert_allclose(found, expected_put)
