"""Bad arguments raise what the declaration says, and are left as they were."""

from __future__ import annotations

import pytest
from ops.argument_checks import check_error

import retrograd.ops.table  # noqa: F401 - fills TABLE
from retrograd.ops.declare import TABLE


@pytest.mark.parametrize("name", [name for name, op in TABLE.items() if op.errors is not None])
def test_raises_as_declared(name):
    op = TABLE[name]
    for sample in op.errors():
        check_error(op, sample)
