"""Bad arguments raise what the declaration says, and are left as they were."""

from __future__ import annotations

import pytest
from ops.argument_checks import check_error

import retrograd as torch
import retrograd.ops.table  # fills TABLE
from retrograd.ops.declare import TABLE


@pytest.mark.parametrize("name", [name for name, op in TABLE.items() if op.errors is not None])
def test_raises_as_declared(name):
    op = TABLE[name]
    for sample in op.errors():
        check_error(op, sample)


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"])
def test_a_loss_of_shapes_that_do_not_fit_says_so_in_torchs_words(name):
    x, y = torch.ones(8, 2), torch.ones(8, 5)
    loss = getattr(torch.nn.functional, name)
    text = r"The size of tensor a \(2\) must match the size of tensor b \(5\) at non-singleton dimension 1"
    with (
        pytest.warns(UserWarning, match="different to the input size"),
        pytest.raises(RuntimeError, match=text),
    ):
        loss(x, y)
