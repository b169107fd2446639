"""Fit the polynomials of retrograd/native/maths and write coefficients.py there.

Run: python tools/maths_coefficients.py    (needs mpmath; says what error each polynomial has)

A least-squares fit of the relative error at Chebyshev's nodes is near the minimax polynomial. The
coefficients are rounded to the format one after the other, the most significant one first, and those that
are left are fitted again each time, so that they make good for the rounding.
"""

from __future__ import annotations

import itertools
import math
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import mpmath
import numpy as np
from mpmath import mp, mpf

mp.dps = 50
TARGET = Path(__file__).resolve().parent.parent / "retrograd" / "native" / "maths" / "coefficients.py"
HEADER = """\"\"\"Coefficients by width of the number; written by tools/maths_coefficients.py.\"\"\"

from __future__ import annotations

# fmt: off
# ruff: noqa: ERA001 - what stands above a table is the formula that it is for
"""

Function = Callable[[mpf], mpf]


@dataclass
class Fit:
    """A polynomial to find: sum of c[k] * x**powers[k] near `function`, whose relative error counts."""

    function: Function
    interval: tuple[float, float]
    powers: Mapping[int, range]  # by width of the number
    says: str
    fixed: Mapping[int, object] = field(default_factory=dict)  # exact coefficients, which are not written
    weight: Function | None = None  # what the error is relative to, if not the function


def rows(numbers: Iterable[object], indent: int) -> str:
    """Return the numbers as lines of source."""
    margin = " " * indent
    return (
        textwrap.fill(
            ", ".join(map(str, numbers)) + ",", 110, initial_indent=margin, subsequent_indent=margin
        )
        + "\n"
    )


def rounded(value: mpf, bits: int) -> float:
    """Return the nearest number of the format."""
    nearest = float(value)
    if bits == 64:
        return nearest
    candidates = [
        np.float32(nearest),
        *(np.nextafter(np.float32(nearest), np.float32(s * np.inf)) for s in (-1, 1)),
    ]
    return float(min(candidates, key=lambda c: abs(mpf(float(c)) - value)))


def nodes(interval: tuple[float, float], count: int, powers: range) -> list[mpf]:
    """Return Chebyshev's nodes; of x**2 where only every second power counts."""
    low, high = (mpf(end) for end in interval)
    squared = powers.step == 2
    low, high = (low**2, high**2) if squared else (low, high)
    angles = [mp.pi * (2 * k + 1) / (2 * count) for k in range(count)]
    spread = [(low + high) / 2 + (high - low) / 2 * mp.cos(angle) for angle in angles]
    return [mp.sqrt(z) for z in spread] if squared else [z or mpf(10) ** -20 for z in spread]


def solve(fit: Fit, bits: int) -> tuple[list[float], mpf]:
    """Return the rounded coefficients and the largest relative error of the polynomial with them."""
    powers = fit.powers[bits]
    known: dict[int, mpf] = {p: mpf(c) for p, c in fit.fixed.items()}
    places = nodes(fit.interval, 3 * len(powers) + 4, powers)
    values = [fit.function(x) for x in places]
    scales = [1 / (fit.weight(x) if fit.weight else y) for x, y in zip(places, values, strict=True)]
    todo = list(powers)
    while todo:
        matrix = mp.matrix([[s * x**p for p in todo] for x, s in zip(places, scales, strict=True)])
        rest = [
            s * (y - sum(c * x**p for p, c in known.items()))
            for x, y, s in zip(places, values, scales, strict=True)
        ]
        best, _ = mp.qr_solve(matrix, mp.matrix(rest))
        known[todo[0]] = mpf(rounded(best[0], bits))
        todo.pop(0)
    dense = nodes(fit.interval, 401, powers)
    error = max(
        abs((sum(c * x**p for p, c in known.items()) - fit.function(x)) / (fit.weight or fit.function)(x))
        for x in dense
    )
    return [float(known[p]) for p in powers], error


def scaled_erfc(t: mpf, pole: float) -> mpf:
    x = pole * (1 + t) / (1 - t)
    return mp.exp(x * x) * mp.erfc(x) * (x + pole)


ERFC_POLE = 2
HALF_LN2 = math.log(2) / 2 * 1.001
FITS: dict[str, Fit] = {
    "EXP": Fit(
        mp.exp,
        (-HALF_LN2, HALF_LN2),
        {32: range(2, 7), 64: range(2, 12)},
        "exp(r) = 1 + r + r^2 (c0 + c1 r + ...), |r| <= ln(2)/2",
        {0: 1, 1: 1},
    ),
    "SINH": Fit(
        mp.sinh,
        (0, HALF_LN2),
        {32: range(3, 8, 2), 64: range(3, 12, 2)},
        "sinh(r) = r + r^3 (c0 + c1 r^2 + ...), |r| <= ln(2)/2",
        {1: 1},
    ),
    "COSH": Fit(
        mp.cosh,
        (0, HALF_LN2),
        {32: range(2, 7, 2), 64: range(2, 11, 2)},
        "cosh(r) = 1 + r^2 (c0 + c1 r^2 + ...), |r| <= ln(2)/2",
        {0: 1},
    ),
    "LOG1P": Fit(
        mp.log1p,
        (-0.25, 0.5),
        {32: range(3, 11), 64: range(3, 21)},
        "log(1 + r) = r - r^2/2 + r^3 (c0 + c1 r + ...), -1/4 <= r <= 1/2",
        {1: 1, 2: -0.5},
    ),
    "LOG2_1P": Fit(
        lambda r: mp.log1p(r) / mp.log(2),
        (-0.25, 0.5),
        {32: range(2, 11), 64: range(2, 21)},
        "log2(1 + r) = log2(e) r + r^2 (c0 + c1 r + ...), -1/4 <= r <= 1/2",
        {1: 1 / mp.log(2)},
    ),
    "LOG10_1P": Fit(
        lambda r: mp.log1p(r) / mp.log(10),
        (-0.25, 0.5),
        {32: range(2, 11), 64: range(2, 21)},
        "log10(1 + r) = log10(e) r + r^2 (c0 + c1 r + ...), -1/4 <= r <= 1/2",
        {1: 1 / mp.log(10)},
    ),
    "SIN": Fit(
        mp.sin,
        (0, 0.79),
        {32: range(3, 8, 2), 64: range(3, 14, 2)},
        "sin(r) = r + r^3 (c0 + c1 r^2 + ...), |r| <= pi/4",
        {1: 1},
    ),
    "COS": Fit(
        mp.cos,
        (0, 0.79),
        {32: range(4, 9, 2), 64: range(4, 15, 2)},
        "cos(r) = 1 - r^2/2 + r^4 (c0 + c1 r^2 + ...), |r| <= pi/4",
        {0: 1, 2: -0.5},
    ),
    "TAN": Fit(
        mp.tan,
        (0, 0.79),
        {32: range(3, 16, 2), 64: range(3, 32, 2)},
        "tan(r) = r + r^3 (c0 + c1 r^2 + ...), |r| <= pi/4",
        {1: 1},
    ),
    "ATAN": Fit(
        mp.atan,
        (0, 1),
        {32: range(3, 20, 2), 64: range(3, 42, 2)},
        "arctan(x) = x + x^3 (c0 + c1 x^2 + ...), |x| <= 1",
        {1: 1},
    ),
    "ASIN": Fit(
        mp.asin,
        (0, 0.55),
        {32: range(3, 12, 2), 64: range(3, 28, 2)},
        "arcsin(x) = x + x^3 (c0 + c1 x^2 + ...), |x| <= 0.55",
        {1: 1},
    ),
    "CBRT": Fit(
        lambda m: 1 / mp.cbrt(m),
        (0.375, 3),
        {32: range(5), 64: range(5)},
        "m^(-1/3) = c0 + c1 m + ..., 3/8 <= m <= 3: where the iteration starts",
    ),
    "ATANH": Fit(
        lambda s: 2 * mp.atanh(s),
        (0, 0.2),
        {32: range(5, 10, 2), 64: range(5, 24, 2)},
        "log of (1 + s) / (1 - s) = 2 s + 2/3 s^3 + s^5 (c0 + c1 s^2 + ...), |s| <= 1/5",
        {1: 2, 3: mpf(2) / 3},
    ),
    "ERF": Fit(
        lambda x: mp.erf(x) - x,
        (0, 1),
        {32: range(1, 14, 2), 64: range(1, 26, 2)},
        "erf(x) = x + x (c0 + c1 x^2 + ...), |x| <= 1",
        weight=mp.erf,
    ),
    "ERF_EXPONENT": Fit(
        lambda x: -mp.log(mp.erfc(x)),
        (1, 6),
        {32: range(8), 64: range(17)},
        "erf(x) = 1 - exp(-(c0 + c1 x + ...)), 1 <= x <= 6",
        weight=lambda x: 1 / mp.erfc(x),
    ),
    "ERFC": Fit(
        lambda t: scaled_erfc(t, ERFC_POLE),
        ((0.5 - ERFC_POLE) / (0.5 + ERFC_POLE), (28 - ERFC_POLE) / (28 + ERFC_POLE)),
        {32: range(11), 64: range(23)},
        f"exp(x^2) erfc(x) = (c0 + c1 t + ...) / (x + {ERFC_POLE}), x >= 1/2, "
        f"t = (x - {ERFC_POLE}) / (x + {ERFC_POLE})",
    ),
}


PARTS: dict[str, tuple[mpf, int, dict[int, int], str]] = {
    "LN2": (mp.log(2), 2, {32: 16, 64: 42}, "ln(2); the first part times an exponent is exact"),
    "LOG10_2": (mp.log10(2), 2, {32: 16, 64: 42}, "log10(2); the first part times an exponent is exact"),
    "LOG2_E": (1 / mp.log(2), 2, {32: 24, 64: 53}, "log2(e)"),
    "LOG10_E": (1 / mp.log(10), 2, {32: 24, 64: 53}, "log10(e)"),
    "TWO_THIRDS": (mpf(2) / 3, 2, {32: 24, 64: 53}, "2/3"),
    "HALF_PI": (mp.pi / 2, 3, {32: 24, 64: 53}, "pi/2"),
}
"""Constants in positive parts that add up to them: how many, and the bits of the first ones by width."""


def in_parts(name: str, value: mpf, count: int, precision: dict[int, int], says: str) -> str:
    lines = [f"\n# {says}\n{name}: dict[int, tuple[float, ...]] = {{\n"]
    for bits, digits in precision.items():
        parts, rest = [], value
        for place in range(count):
            exponent = int(mp.floor(mp.log(abs(rest), 2))) + 1
            unit = mpf(2) ** (exponent - digits)
            part = float(mp.floor(rest / unit) * unit) if place < count - 1 else rounded(rest, bits)
            parts.append(part)
            rest -= mpf(part)
        lines.append(f"    {bits}: ({', '.join(map(repr, parts))}),\n")
    return "".join([*lines, "}\n"])


PIECES: dict[str, tuple[Function, float, str]] = {
    "TANH_PIECES": (mp.tanh, 9.1, "tanh"),
    "ERF_PIECES": (mp.erf, 3.95, "erf"),
}
"""Odd functions in float32, by polynomials on two intervals per binade, and from where on they are 1."""


def in_pieces(name: str, function: Function, top: float, says: str) -> str:
    """Return the centres and the coefficients of degrees 0 to 6, sixteen of each.

    The first interval is [0, 1/8]; there c0 stands for x, which is not in the table.
    """
    edges = [0.0, *(2.0**k * m for k in range(-3, 6) for m in (1, 1.5))]
    pieces, errors = [], []
    for low, high in itertools.pairwise(edges):
        if low >= top:
            pieces.append((0.0, 1.0, *[0.0] * 6))
            continue
        centre = (low + min(high, top)) / 2 if low else 0.0
        centre = rounded(mpf(centre), 32)
        piece = Fit(
            lambda d, centre=centre: function(centre + d) - (0 if centre else d),
            (low - centre, min(high, top) - centre),
            {32: range(7) if low else range(1, 7)},
            says,
            weight=lambda d, centre=centre: function(centre + d),
        )
        found, error = solve(piece, 32)
        pieces.append((centre, *(found if low else (0.0, *found))))
        errors.append(error)
    print(
        f"{name:13} float32  {len(errors):2} intervals     "
        f"error {mpmath.nstr(max(errors) * 2**24, 3)} half ulp"
    )
    head = f"{says}(x) = c0 + c1 (x - centre) + ... + c6 (x - centre)^6: centres, c0, c1, ... by interval"
    lines = [f"\n# {head}\n{name}: tuple[tuple[float, ...], ...] = (\n"]
    lines.extend(f"    (\n{rows(column, 8)}    ),\n" for column in zip(*pieces[:16], strict=True))
    return "".join([*lines, ")\n"])


def two_over_pi() -> str:
    """Return the bits of 2/pi that the reduction of any float64 asks for, in words, the least one first."""
    words = 19
    with mp.workprec(64 * words + 64):
        number = int(mp.floor(2 / mp.pi * mpf(2) ** (64 * words)))
    lines = [rows((f"0x{number >> 64 * k & 2**64 - 1:016x}" for k in range(words)), 4)]
    return "".join(
        [
            "\n# 2/pi = TWO_OVER_PI / 2^1216, in words of 64 bits, the least one first\n",
            "TWO_OVER_PI: tuple[int, ...] = (\n",
            *lines,
            ")\n",
        ]
    )


def written(name: str, fit: Fit) -> str:
    lines = [f"\n# {fit.says}\n{name}: dict[int, tuple[float, ...]] = {{\n"]
    for bits in fit.powers:
        coefficients, error = solve(fit, bits)
        unit = mpf(2) ** (-24 if bits == 32 else -53)
        print(
            f"{name:13} float{bits}  {len(coefficients):2} coefficients  "
            f"error {mpmath.nstr(error / unit, 3)} half ulp"
        )
        lines.append(f"    {bits}: (\n{rows(coefficients, 8)}    ),\n")
    return "".join([*lines, "}\n"])


if __name__ == "__main__":
    only = sys.argv[1:]
    texts = [written(name, fit) for name, fit in FITS.items() if not only or name in only]
    if not only:
        texts += [in_parts(name, *constant) for name, constant in PARTS.items()]
        texts += [in_pieces(name, *piece) for name, piece in PIECES.items()]
        texts.append(two_over_pi())
        TARGET.write_text(HEADER + "".join(texts), encoding="utf-8")
