"""An incomplete or contradictory declaration is refused at once, with what is missing by name."""

from __future__ import annotations

import numpy as np
import pytest

from retrograd.errors import DeclarationError
from retrograd.ops.declare import TABLE, Array, Operand, declare, sample

COMPLETE = {
    "family": "general", "node": "TwiceBackward0", "jvp": "linear", "batch": lambda *a: None,
    "samples": lambda: [sample(np.ones(2))],
}  # fmt: skip


def twice(input: Array, other: Operand, scale: float = 2.0) -> Array:
    """Multiply by a number."""
    return input * scale


def undescribed(input: Array, other: Operand, scale: float = 2.0) -> Array:
    return input * scale


RULES = {"input": lambda ct, scale: ct * scale}
REFUSED = [
    (undescribed, {}, RULES, "a docstring"),
    (twice, {"node": None}, RULES, "node=: the name of its graph node"),
    (twice, {"jvp": None}, RULES, "jvp=: the forward rule"),
    (twice, {"batch": None}, RULES, "batch=: the batching rule"),
    (twice, {"samples": None}, RULES, "samples=: arguments to test it with"),
    (twice, {}, {"scale": lambda ct: ct}, r"a tensor parameter for the rule 'scale' \(has \['input'"),
    (twice, {}, {"input": lambda ct, weight: ct}, r"a meaning for \['weight'\] .*\(known: .*scale"),
    (twice, {}, {"input": lambda ct, scale_shape: ct}, r"a meaning for \['scale_shape'\]"),
    (twice, {}, {"input": lambda ct, other_size: ct}, r"a meaning for \['other_size'\]"),
    (twice, {}, {"input": lambda scale: scale}, "the parameter 'ct' in the rule of 'input'"),
    (twice, {"jvp": {"other": lambda t: t}}, RULES, r"forward rules for \['input', 'other'\]"),
    (twice, {"name": "add"}, RULES, r"a name of its own \(add is declared twice\)"),
]  # fmt: skip


@pytest.fixture
def table():
    before = dict(TABLE)
    yield
    TABLE.clear()
    TABLE.update(before)


@pytest.mark.parametrize(("definition", "changed", "rules", "message"), REFUSED)
@pytest.mark.usefixtures("table")
def test_what_is_missing_is_named(definition, changed, rules, message):
    before = set(TABLE)
    with pytest.raises(DeclarationError, match=message):
        declare(definition, rules=rules, **{**COMPLETE, **changed})
    assert set(TABLE) == before


@pytest.mark.usefixtures("table")
def test_a_complete_declaration_knows_what_its_rules_need():
    rules = {"input": lambda ct, other_shape, result, scale: ct, "other": lambda ct, input_dtype: ct}
    op = declare(twice, rules=rules, **COMPLETE)
    assert TABLE["twice"] is op
    assert op.needs == {"input": ("ct", "other_shape", "result", "scale"), "other": ("ct", "input_dtype")}
    assert [p.kind for p in op.parameters] == ["tensor", "operand", "static"]
    assert [p.is_required for p in op.parameters] == [True, True, False]
