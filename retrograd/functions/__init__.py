"""The public functions and methods that are more than a declared op: flexible arguments, creation, indexing.

FUNCTIONS go to the module `torch`, METHODS to Tensor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retrograd.functions import creation, indexing, overloads, process, shapes

FUNCTIONS: dict[str, Callable[..., Any]] = {
    **shapes.FUNCTIONS,
    **creation.FUNCTIONS,
    **overloads.FUNCTIONS,
    **indexing.FUNCTIONS,
    **process.FUNCTIONS,
}
METHODS: dict[str, Any] = {
    **shapes.METHODS,
    **creation.METHODS,
    **overloads.FUNCTIONS,  # these are both
    **overloads.METHODS,
    **indexing.METHODS,
    **indexing.FUNCTIONS,  # likewise
}
