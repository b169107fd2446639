"""No op writes to what it is given, or minds how it lies in memory or which numbers it holds."""

from __future__ import annotations

import pytest
from ops.argument_checks import check_layouts, check_shapes, check_specials, check_untouched

import retrograd.ops.table  # noqa: F401 - fills TABLE
from retrograd.ops.declare import TABLE


@pytest.mark.parametrize("name", TABLE)
def test_arguments_and_cotangents_are_left_alone(name):
    for sample in TABLE[name].samples():
        check_untouched(TABLE[name], sample)


@pytest.mark.parametrize("name", TABLE)
def test_layout_does_not_matter(name):
    for sample in TABLE[name].samples():
        check_layouts(TABLE[name], sample)


@pytest.mark.parametrize("name", TABLE)
def test_nan_and_infinity_pass_through(name):
    for sample in TABLE[name].samples():
        check_specials(TABLE[name], sample)


@pytest.mark.parametrize("name", [name for name, op in TABLE.items() if op.family == "pointwise"])
def test_no_dimensions_and_no_elements(name):
    for sample in TABLE[name].samples():
        check_shapes(TABLE[name], sample)
