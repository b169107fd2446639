"""What a failed gradient check says: torch's first lines, then the numbers and what they look like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from retrograd.autograd.jacobians import Array
from retrograd.tensor import Tensor, wrap


class GradcheckError(RuntimeError):
    """A gradient check failed; raised by `gradcheck` and `gradgradcheck`."""


GradcheckError.__module__ = "torch.autograd.gradcheck"  # a traceback prints as torch's

NOT_REENTRANT = (
    "Backward is not reentrant, i.e., running backward with same input and grad_output multiple times gives "
    "different values, although analytical gradient matches numerical gradient.The tolerance for "
    "nondeterminism was {tolerance}."
)
UNDEFINED_REFUSED = (
    'Expected backward function to handle undefined output grads. Please look at "Notes about undefined '
    "output "
    'gradients" in "tools/autograd/derivatives.yaml"'
)
UNDEFINED_NOT_ZERO = (
    "Expected all input grads to be undefined or zero when all output grads are undefined or zero. "
    "Please look at "
    '"Notes about undefined output gradients" in "tools/autograd/derivatives.yaml"'
)


class Place:
    """Which Jacobian is looked at: of which output with respect to which input, and of what part."""

    def __init__(self, output: int, given: int, complex_part: str = "", *, forward: bool = False) -> None:
        self.output = output
        self.given = given
        self.complex_part = complex_part
        self.forward = forward

    def title(self) -> str:
        """Return the first line of the mismatch."""
        part = ""
        if self.complex_part:
            what = "inputs" if self.forward else "outputs"
            name = {"imag": "imaginary", "real": "real"}[self.complex_part]
            part = f"While considering the {name} part of complex {what} only, "
        mode = "Jacobian computed with forward mode mismatch" if self.forward else "Jacobian mismatch"
        return f"{part}{mode} for output {self.output} with respect to input {self.given},\n"


def allowed(numerical: Any, atol: float, rtol: float) -> Any:
    """Return how far the analytical value may be from the numerical one."""
    return atol + rtol * np.abs(numerical)


def agree(analytical: Any, numerical: Any, atol: float, rtol: float) -> bool:
    """Return whether all elements agree; NaN agrees with nothing."""
    with np.errstate(all="ignore"):
        return bool(np.all(np.abs(analytical - numerical) <= allowed(numerical, atol, rtol)))


def mismatch(
    place: Place,
    analytical: Array,
    numerical: Array,
    inputs: Sequence[Any],
    given: Tensor,
    shape: Any,
    options: Any,
) -> str:
    """Return the text for two Jacobians that disagree."""
    return f"{place.title()}numerical:{wrap(numerical)!r}\nanalytical:{wrap(analytical)!r}\n\n" + details(
        analytical, numerical, inputs, given, shape, options
    )


def fast_mismatch(
    place: Place, numbers: tuple[complex, complex], jacobians: tuple[Array, Array], inputs: Sequence[Any],
    given: Tensor, shape: Any, options: Any,
) -> str:  # fmt: skip
    """Return the text for two directional derivatives that disagree: with the Jacobians, computed for it."""
    analytical, numerical = jacobians
    agrees = agree(analytical, numerical, options.atol, options.rtol)
    note = (
        "Element by element they agree within the tolerance: fast_mode=False would pass.\n" if agrees else ""
    )
    return (
        f"{place.title()}numerical:{numbers[1]}\nanalytical:{numbers[0]}\n\n"
        "The above quantities are the Jacobians' products with two random unit vectors (fast mode). The "
        "Jacobians:\n\n"
        f"Numerical:\n {wrap(numerical)!r}\nAnalytical:\n{wrap(analytical)!r}\n\n"
        f"The max per-element difference (slow mode) is: {np.max(np.abs(analytical - numerical))}.\n{note}"
        + details(analytical, numerical, inputs, given, shape, options)
    )


def details(
    analytical: Array, numerical: Array, inputs: Sequence[Any], given: Tensor, shape: Any, options: Any
) -> str:
    """Return the worst element, the tolerance and step, what the difference looks like, and the inputs."""
    with np.errstate(all="ignore"):
        excess = np.abs(analytical - numerical) - allowed(numerical, options.atol, options.rtol)
    worst = np.unravel_index(np.argmax(np.where(np.isnan(excess), np.inf, excess)), excess.shape)
    a, n = analytical[worst].item(), numerical[worst].item()
    place_in = tuple(int(k) for k in np.unravel_index(worst[0], given._array.shape))
    place_out = tuple(int(k) for k in np.unravel_index(worst[1], shape))
    lines = [
        f"[worst element: input {place_in}, output {place_out}: numerical {n}, analytical {a}",
        f" difference {abs(a - n)}, allowed {allowed(n, options.atol, options.rtol)}:",
        f" atol {options.atol} + rtol {options.rtol} * |numerical|; step eps {options.eps}",
        *(f" {hint}" for hint in _hints(analytical, numerical, options)),
        f" inputs: {', '.join(_shown(x) for x in inputs)}]",
    ]
    return "\n".join(lines)


def _hints(analytical: Array, numerical: Array, options: Any) -> list[str]:
    """Return what the analytical values look like, if they look like something."""

    def same(a: Any, b: Any) -> bool:
        return agree(a, b, options.atol, options.rtol)

    if not np.any(analytical):
        return ["the analytical values are all zero: no gradient comes back from this output to this input"]
    if not (np.all(np.isfinite(analytical)) and np.all(np.isfinite(numerical))):
        return []
    found = []
    if same(-analytical, numerical):
        found.append("the analytical values have the wrong sign")
    conj = np.conj(analytical)
    if np.iscomplexobj(analytical) and (same(conj, numerical) or same(-conj, numerical)):
        found.append("a complex conjugation is missing, or one too many")
    if analytical.shape[0] == analytical.shape[1] and same(analytical.T, numerical):
        found.append("the analytical values are the numerical ones transposed")
    if found:
        return found
    scale = np.vdot(numerical, analytical) / np.vdot(numerical, numerical) if np.any(numerical) else 0.0
    if scale and same(analytical / scale, numerical):
        shown = f"{scale.real:.4g}" if abs(np.imag(scale)) < 1e-4 * abs(scale) else f"({scale:.4g})"
        return [f"the analytical values are {shown} times the numerical ones"]
    with np.errstate(all="ignore"):
        wrong = int(
            np.sum(~(np.abs(analytical - numerical) <= allowed(numerical, options.atol, options.rtol)))
        )
    return [f"{wrong} of {analytical.size} elements disagree"]


def _shown(value: Any) -> str:
    """Return an input for the report: whole if it is small."""
    if not isinstance(value, Tensor):
        return repr(value)
    if value._array.size <= 20:
        return f"{value._array.tolist()} ({value.dtype})"
    return f"a tensor of shape {tuple(value._array.shape)} ({value.dtype})"
