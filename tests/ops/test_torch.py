"""Every op gives what torch gives: values, dtypes, shapes and gradients, in every dtype that torch takes."""

from __future__ import annotations

import pytest
from ops.convert import describe
from ops.oracle import (
    NO_COUNTERPART,
    TRIED,
    check_against_torch,
    may_refuse,
    odd_samples,
    without_counterpart,
)

import retrograd.ops.table  # noqa: F401 - fills TABLE
from retrograd import dtypes
from retrograd.ops.declare import TABLE

PUBLIC = [name for name, op in TABLE.items() if op.places and name not in NO_COUNTERPART]


def test_only_listed_ops_have_no_counterpart(torch_or_skip):
    assert sorted(without_counterpart(torch_or_skip)) == sorted(NO_COUNTERPART)


@pytest.mark.parametrize("name", PUBLIC)
def test_equals_torch(name, torch_or_skip):
    op = TABLE[name]
    for sample in op.samples():
        taken = [dtype.name for dtype in TRIED if check_against_torch(op, sample, torch_or_skip, dtype)]
        assert taken or may_refuse(op), f"torch refuses the sample {describe(sample)}"


@pytest.mark.parametrize("name", PUBLIC)
def test_equals_torch_at_the_edges(name, torch_or_skip):
    op = TABLE[name]
    for sample in op.samples():
        for odd in odd_samples(op, sample):
            check_against_torch(op, odd, torch_or_skip, dtypes.float32, at_edges=True)
