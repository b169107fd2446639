"""Families of ops: what follows from being pointwise, a reduction, ... stands here, and in no rule.

pointwise    each element of the result depends on the elements at the same place (after broadcasting). The
             family gives promotion, broadcasting and its adjoint, batching; the forward rule is the reverse
             rule itself, for the derivative is diagonal and a diagonal matrix is its own transpose.
reduction    dimensions `dim` are reduced away. The family gives batching.
movement     elements are moved, not changed; often a view. Linear: the forward rule is the op itself.
linear       linear in each tensor operand: the forward rule is the op itself with the tangent in the
             operand's place.
composite    written with other ops' NumPy functions, and run on Tensors: it has no rule or node of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from retrograd.ops import batching
from retrograd.ops.declare import Op, Promotion, declare

Definition = Callable[..., Any]
Declared = Callable[..., Any]
"""An Op. Called a function here, since a type checker then knows it before it has seen the declaration: a
rule may call the op that it belongs to, or one declared further down.
"""


SINGLE = 2**16
"""Likewise for one call."""
SEVERAL = 2**13
"""Elements from which a kernel beats several calls of NumPy (benchmarks/kernels.py)."""
WHOLE_ROWS = 2**12
"""Likewise for the many calls of a normalisation or a loss."""
SERIES = 2**10
"""Likewise for what takes NumPy a polynomial or more (the error function)."""
REDUCED = 2**15
"""Likewise for one call that reduces."""


def _split(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Separate a family's options into rules (by parameter name) and settings of `declare`."""
    rules = {k: v for k, v in options.items() if k not in _SETTINGS}
    return rules, {k: v for k, v in options.items() if k in _SETTINGS}


_SETTINGS = {
    "node", "jvp", "batch", "samples", "errors", "promote", "outputs", "differentiable_outputs",
    "holomorphic", "view", "exact", "kinds", "inplace", "out", "name", "kernel", "primitive", "places",
    "aliases", "numpy", "torch_name", "large", "guard",
}  # fmt: skip


def pointwise(**options: Any) -> Callable[[Definition], Declared]:
    """Declare a pointwise op: rules by parameter name, and the settings of `declare`."""
    rules, settings = _split(options)
    settings.setdefault("promote", "same")
    settings.setdefault("jvp", "rules")
    settings.setdefault("batch", batching.pointwise)
    settings.setdefault("inplace", True)
    settings.setdefault("large", SINGLE if _is_one_call(settings.get("numpy")) else SEVERAL)

    def made(definition: Definition) -> Op:
        return declare(definition, family="pointwise", rules=rules, exact=False, **settings)

    return made


def _is_one_call(numpy: Any) -> bool:
    """Whether an op is one of NumPy's loops over elements."""
    return any(isinstance(f, np.ufunc) for f in (numpy if isinstance(numpy, dict) else (numpy,)))


def comparison(**options: Any) -> Callable[[Definition], Declared]:
    """Declare a pointwise op whose result is bool or otherwise has no derivative."""
    options.setdefault("promote", "bool")
    return pointwise(**options)


def reduction(**options: Any) -> Callable[[Definition], Declared]:
    """Declare an op that reduces the dimensions in its parameter `dim` (all of them when None)."""
    rules, settings = _split(options)
    settings.setdefault("large", REDUCED)
    settings.setdefault("batch", batching.reduction)
    settings.setdefault("promote", "match")

    def made(definition: Definition) -> Op:
        return declare(definition, family="reduction", rules=rules, **settings)

    return made


def movement(**options: Any) -> Callable[[Definition], Declared]:
    """Declare an op that moves elements; `view=True` where the result shares the input's memory."""
    rules, settings = _split(options)
    settings.setdefault("jvp", "linear")
    promote: Promotion = settings.pop("promote", "none")

    def made(definition: Definition) -> Op:
        return declare(definition, family="movement", rules=rules, promote=promote, **settings)

    return made


def linear(**options: Any) -> Callable[[Definition], Declared]:
    """Declare an op that is linear in each of its tensor operands."""
    rules, settings = _split(options)
    settings.setdefault("jvp", "linear")
    settings.setdefault("promote", "match")

    def made(definition: Definition) -> Op:
        return declare(definition, family="linear", rules=rules, **settings)

    return made


def general(**options: Any) -> Callable[[Definition], Declared]:
    """Declare an op of no family: everything must be said."""
    rules, settings = _split(options)

    def made(definition: Definition) -> Op:
        return declare(definition, family="general", rules=rules, **settings)

    return made


def composite(**options: Any) -> Callable[[Definition], Declared]:
    """Declare a function written with NumPy functions that other ops answer: it needs no rule of its own."""
    rules, settings = _split(options)
    if rules:
        raise TypeError(f"a composite has no rules of its own; got rules for {sorted(rules)}")
    settings.setdefault("batch", "composite")

    def made(definition: Definition) -> Op:
        return declare(definition, family="composite", **settings)

    return made
