"""The coefficients in the source are what the script in tools/ computes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from retrograd.native.maths import coefficients

pytest.importorskip("mpmath")
SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "maths_coefficients.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("maths_coefficients", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize("name", ["EXP", "LOG1P", "SIN", "ASIN"])
def test_polynomials_can_be_computed_again(name, script):
    for bits in (32, 64):
        found, error = script.solve(script.FITS[name], bits)
        assert tuple(found) == getattr(coefficients, name)[bits]
        assert error < 2.0 ** (-24 if bits == 32 else -53)


def test_parts_add_up(script):
    for name, (value, count, _, _) in script.PARTS.items():
        for bits, digits in ((32, 24), (64, 53)):
            parts = getattr(coefficients, name)[bits]
            assert len(parts) == count
            assert abs(sum(map(script.mpf, parts)) / value - 1) < 2.0 ** (-16 - digits)


def test_nothing_else_is_in_the_file(script):
    names = {name for name in vars(coefficients) if name.isupper()}
    assert names == {*script.FITS, *script.PARTS, *script.PIECES, "TWO_OVER_PI"}
