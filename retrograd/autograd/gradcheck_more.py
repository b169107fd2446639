"""The checks of gradcheck that go beyond Jacobians: batches, and cotangents that are not there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.autograd.calls import grad
from retrograd.autograd.engine import run
from retrograd.autograd.function import BackwardCFunction
from retrograd.autograd.gradcheck_report import UNDEFINED_NOT_ZERO, UNDEFINED_REFUSED, GradcheckError, agree
from retrograd.autograd.gradcheck_steps import SEED, Check
from retrograd.autograd.graph import Cotangents, Output
from retrograd.autograd.jacobians import Array, pull, push
from retrograd.tensor import Tensor, history, wrap

# ---- batches ----


def batched_backward(check: Check) -> None:
    """Check that gradients of a batch of cotangents are the stack of the single ones."""
    rng = np.random.default_rng(SEED)
    inputs = list(check.given.values())
    for k, output in check.outputs.items():
        cts = [_normal(rng, output) for _ in range(2)]
        single = [pull(output, inputs, ct) for ct in cts]
        try:
            batch = grad(
                output,
                inputs,
                wrap(np.stack(cts)),
                retain_graph=True,
                allow_unused=True,
                is_grads_batched=True,
            )
        except RuntimeError as error:
            raise GradcheckError(_batched_failure(error)) from error
        for i, got, *rows in zip(check.given, batch, *single, strict=True):
            _same_batch(check, got, rows, f"output {k} and input {i}")


def batched_forward(check: Check) -> None:
    """Check that vmap of forward mode over a batch of tangents is the stack of the single tangents."""
    import retrograd as torch  # noqa: PLC0415 - vmap lives in a room above this one

    rng = np.random.default_rng(SEED)
    for i, x in check.given.items():
        tangents = [_normal(rng, x) for _ in range(2)]

        def tangent_of(t: Tensor, i: int = i) -> Any:
            found = push(check.function, check.inputs, i, t)
            return tuple(found[k] for k in check.outputs)

        single = [tangent_of(wrap(t)) for t in tangents]
        try:
            batch = torch.func.vmap(tangent_of)(wrap(np.stack(tangents)))
        except RuntimeError as error:
            raise GradcheckError(_batched_failure(error)) from error
        for k, got, *rows in zip(check.outputs, batch, *single, strict=True):
            _same_batch(check, got, rows, f"output {k} and input {i}, in forward mode")


def _same_batch(check: Check, got: Any, rows: list[Any], where: str) -> None:
    if got is None and all(r is None for r in rows):
        return
    expected = [np.zeros(got._array.shape[1:]) if r is None else r._array for r in rows]
    if not agree(got._array, np.stack(expected), check.options.atol, check.options.rtol):
        raise GradcheckError(
            f"While computing batched gradients, got other values than one by one, for {where}:\n"
            f"batched:{got!r}\none by one:{wrap(np.stack(expected))!r}"
        )


# ---- gradients that are not there ----


def undefined(check: Check) -> None:
    """Check that a backward whose cotangents are undefined or zero gives no gradient."""
    for missing in _missing(check):
        roots = []
        for k, output in check.outputs.items():
            if k not in missing:
                roots.append((history(output), np.zeros(output._array.shape, output._array.dtype)))
        roots += [pair for k in missing for pair in _undefined_root(check.outputs[k])]
        if not roots:
            continue
        captured: dict[Any, Any] = dict.fromkeys(history(x) for x in check.given.values())
        try:
            run(roots, True, False, captured)
        except Exception as error:
            raise GradcheckError(UNDEFINED_REFUSED) from error
        if any(ct is not None and np.any(ct) for ct in captured.values()):
            raise GradcheckError(UNDEFINED_NOT_ZERO)


def _missing(check: Check) -> Iterator[list[int]]:
    """Yield the sets of outputs to leave undefined: all, and where there are several each alone."""
    yield list(check.outputs)
    if len(check.outputs) > 1:
        yield from ([k] for k in check.outputs)


def _undefined_root(output: Tensor) -> list[tuple[Any, Any]]:
    """Return what makes backward call the output's own Function with None; an op never is."""
    node = history(output)
    count = 1
    if type(node) is Output:
        node, count = node.edges[0], node.total
    return [(node, Cotangents([None] * count))] if isinstance(node, BackwardCFunction) else []


def _batched_failure(error: Exception) -> str:
    return (
        f"While computing batched gradients, got: {error}\n\n"
        "gradcheck or gradgradcheck failed while testing batched gradient computation.\n"
        "[something in the backward pass cannot be batched; check_batched_grad=False leaves this check out]"
    )


def _normal(rng: np.random.Generator, like: Tensor) -> Array:
    drawn = np.asarray(rng.standard_normal(like._array.shape), dtype=complex)
    if like.dtype.is_complex:
        drawn = drawn + 1j * rng.standard_normal(like._array.shape)
    return (drawn if like.dtype.is_complex else drawn.real).astype(like._array.dtype)
