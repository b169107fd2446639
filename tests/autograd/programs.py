"""Programs that are run with torch and with retrograd, and must be seen to do the same.

A program is a function of the library. What it returns (tensors, nodes, numbers, texts, what `caught` caught,
nested at will) is compared: numbers closely, texts of errors by their beginning, which ours may go on after.
"""

from __future__ import annotations

import builtins
import re
import warnings
from typing import Any, NamedTuple

import numpy as np

import retrograd


class Caught(NamedTuple):
    """An exception: the builtin class that it belongs to, and its text."""

    kind: str
    text: str


class Seen(NamedTuple):
    """A tensor: what can be asked of it without knowing which library made it."""

    dtype: str
    requires_grad: bool
    numbers: Any


def caught(call):
    """Return the exception that `call()` raises; 'nothing' if it does not."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is compared
        return _as_caught(error)
    return "nothing"


def _as_caught(error):
    kind = next(c.__name__ for c in type(error).__mro__ if hasattr(builtins, c.__name__))
    return Caught(kind, re.sub(r"0x[0-9a-f]+", "0x", str(error)))


def warned(call):
    """Return the warnings that `call()` gives, each as (class, text)."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        call()
    return [Caught(w.category.__name__, str(w.message).partition(" (Triggered internally")[0]) for w in found]


def seen(value: Any) -> Any:
    """Return what a program returned in a form that does not depend on the library."""
    if hasattr(value, "requires_grad") and hasattr(value, "detach"):
        kind = str(value.dtype).removeprefix("torch.").removeprefix("retrograd.")
        plain = value.detach()
        if kind in ("bfloat16", "float16"):
            plain = plain.float()
        return Seen(kind, value.requires_grad, np.array(plain.resolve_conj().numpy()))
    if isinstance(value, (Caught, Seen)):
        return value
    if isinstance(value, BaseException):
        return _as_caught(value)
    if isinstance(value, dict):
        return {key: seen(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [seen(v) for v in value]
    if hasattr(value, "next_functions"):
        return f"node {value.name()}"
    return value


def differences(expected: Any, found: Any, place: str = "result") -> list[str]:
    """Return where two observations differ, in words."""
    if isinstance(expected, Caught) and isinstance(found, Caught):
        if expected.kind != found.kind or not found.text.strip().startswith(expected.text.strip()):
            return [
                f"{place}: expected {expected.kind}: {expected.text!r}\n   got {found.kind}: {found.text!r}"
            ]
        return []
    if isinstance(expected, Seen) and isinstance(found, Seen):
        return _tensor_differences(expected, found, place)
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = enumerate(zip(expected, found, strict=True))
        return [text for i, (a, b) in pairs for text in differences(a, b, f"{place}[{i}]")]
    if isinstance(expected, dict) and isinstance(found, dict) and list(expected) == list(found):
        return [text for k in expected for text in differences(expected[k], found[k], f"{place}[{k!r}]")]
    if isinstance(expected, float) and isinstance(found, float):
        return (
            []
            if np.isclose(expected, found, rtol=1e-5, equal_nan=True)
            else [f"{place}: {expected} != {found}"]
        )
    same = type(expected) is type(found) and expected == found
    return [] if same else [f"{place}: expected {expected!r}\n   got {found!r}"]


def _tensor_differences(expected: Seen, found: Seen, place: str) -> list[str]:
    if expected[:2] != found[:2] or expected.numbers.shape != found.numbers.shape:
        return [f"{place}: expected {expected}\n   got {found}"]
    if not np.allclose(expected.numbers, found.numbers, rtol=1e-5, atol=1e-7, equal_nan=True):
        return [f"{place}: expected {expected.numbers}\n   got {found.numbers}"]
    return []


def same(program):
    """Make a program into a test that runs it with both libraries."""

    def test(torch_or_skip):
        expected = seen(program(torch_or_skip))
        assert expected is not None, "a program returns what is to be compared"
        found = differences(expected, seen(program(retrograd)))
        assert not found, "\n".join(found)

    test.__name__, test.__doc__, test.__module__ = program.__name__, program.__doc__, program.__module__
    return test
