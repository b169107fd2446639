"""vmap's way out: a function that needs the values of an element is run on one after the other."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from retrograd import random
from retrograd.autograd.levels import OpLevel, entered
from retrograd.autograd.where import library
from retrograd.errors import NotBatchableError
from retrograd.func import trees
from retrograd.ops.declare import TABLE

_NUMPY = str(Path(np.__file__).parent)
_told: set[tuple[str, int]] = set()
"""The places that a warning has named."""


class Undrawn(OpLevel):
    """A level without tensors of its own, in which random functions are refused as inside vmap."""

    randomness = "error"


class Loop:
    """Whether a call of vmap has turned out to need a loop, and the loop."""

    def __init__(self) -> None:
        self.needed = False

    def tell(self, error: NotBatchableError) -> None:
        """Take note that a loop is needed; warn, once for each line of the user's that makes it so."""
        self.needed = True
        called = [*traceback.extract_stack(), *traceback.extract_tb(error.__traceback__)]
        place = next(f for f in reversed(called) if not _is_library(f.filename))
        key = (place.filename, place.lineno or 0)
        if key in _told:
            return
        _told.add(key)
        warnings.warn(
            f"vmap: the function runs once per element of the batch, because {place.filename}:{place.lineno} "
            f"in {place.name} needs the values of one: {place.line}\n[{str(error).splitlines()[0]}]",
            UserWarning,
            stacklevel=5,
        )

    def rows(
        self,
        func: Callable[..., Any],
        leaves: list[Any],
        dims: list[int | None],
        structure: trees.Structure,
        size: int,
        randomness: str,
        kwargs: dict[str, Any],
    ) -> tuple[list[list[Any]], trees.Structure]:
        """Return the results of each element, as leaves, and their structure.

        Raises:
            ValueError: they differ in structure from one element to the other.
        """
        found: list[list[Any]] = []
        state = random.default_generator.get_state()
        made: trees.Structure | None = None
        for k in range(size):
            if randomness == "same":
                random.default_generator.set_state(state)
            row = [
                x if d is None else TABLE["select"].function(x, d, k)
                for x, d in zip(leaves, dims, strict=True)
            ]
            with entered(Undrawn()) if randomness == "error" else nullcontext():
                output = func(*trees.unflatten(row, structure), **kwargs)
            results, own = trees.flatten(output)
            if made is not None and own != made:
                raise ValueError(
                    f"vmap(fallback='loop'): element {k} has results of structure {own.brief()}, those "
                    f"before of {made.brief()}"
                )
            made = own
            found.append(results)
        assert made is not None
        return found, made


def _is_library(filename: str) -> bool:
    return library[filename] or filename.startswith((_NUMPY, "<"))
