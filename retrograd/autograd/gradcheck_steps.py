"""The single checks that gradcheck is made of. Each raises GradcheckError."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from retrograd.autograd.gradcheck_report import (
    NOT_REENTRANT,
    GradcheckError,
    Place,
    agree,
    fast_mismatch,
    mismatch,
)
from retrograd.autograd.jacobians import (
    UNITS,
    Array,
    analytical,
    as_tuple,
    difference,
    differences,
    directions,
    is_differentiable,
    numerical,
    pull,
    push,
    pushed,
)
from retrograd.tensor import Tensor, wrap

SEED = 53  # random directions and cotangents are the same in every run; users' generators are not touched


@dataclass(frozen=True)
class Options:
    """What a check is asked for; see `gradcheck`."""

    eps: float
    atol: float
    rtol: float
    nondet_tol: float
    check_grad_dtypes: bool
    fast_mode: bool


class Check:
    """A function, its inputs, and what it gave for them."""

    def __init__(self, function: Callable[..., Any], inputs: tuple[Any, ...], options: Options) -> None:
        self.function = function
        self.inputs = inputs
        self.options = options
        self.given = {i: x for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad}
        found = as_tuple(function(*inputs))
        for output in found:
            if not isinstance(output, Tensor):
                raise TypeError(
                    f"gradcheck: the function must return a tensor or a sequence of tensors; got "
                    f"{type(output).__name__}"
                )
        self.outputs = {k: o for k, o in enumerate(found) if o.requires_grad}
        self.constant = [k for k, o in enumerate(found) if is_differentiable(o) and not o.requires_grad]

    def again(self) -> list[Tensor]:
        """Call the function on the inputs as they are now, and return the differentiable outputs."""
        found = as_tuple(self.function(*self.inputs))
        return [found[k] for k in self.outputs]

    # ---- no output depends on the inputs ----

    def nothing_moves(self) -> None:
        """Check that the outputs, none of which requires grad, do not depend on the inputs."""

        def constants() -> list[Tensor]:
            found = as_tuple(self.function(*self.inputs))
            return [found[k] for k in self.constant]

        like = constants()
        for x in self.given.values():
            for unit in (UNITS[d] for d in directions(x)):
                if any(np.any(d) for d in differences(constants, like, x, unit, self.options.eps)):
                    raise GradcheckError("Numerical gradient for function expected to be zero")

    # ---- backward against finite differences ----

    def backward(self) -> None:
        """Compare all Jacobians, element by element."""
        like = list(self.outputs.values())
        expected = {i: numerical(self.again, like, x, self.options.eps) for i, x in self.given.items()}
        for part in ("imag", "real"):
            for at, (k, output) in enumerate(self.outputs.items()):
                if part not in directions(output):
                    continue
                found = self._analytical(output, part)
                for (i, x), array in zip(self.given.items(), found, strict=True):
                    self._compare(self._place(k, i, output, part), array, expected[i][at][part], x, output)
                self._reentrant(found, self._analytical(output, part))

    def _place(self, k: int, i: int, output: Tensor, part: str) -> Place:
        return Place(k, i, part if output.dtype.is_complex else "")

    def _analytical(self, output: Tensor, part: str) -> list[Array]:
        found = analytical(output, list(self.given.values()), part)
        if not found.right_sizes:
            raise GradcheckError("Analytical gradient has incorrect size")
        if self.options.check_grad_dtypes and not found.right_types:
            raise GradcheckError("Gradient has dtype mismatch")
        return found.arrays

    def _reentrant(self, first: list[Array], second: list[Array]) -> None:
        tolerance = self.options.nondet_tol
        apart = max(
            (float(np.max(np.abs(a - b), initial=0.0)) for a, b in zip(first, second, strict=True)), default=0
        )
        if apart > tolerance:
            raise GradcheckError(
                f"{NOT_REENTRANT.format(tolerance=tolerance)}\n\n"
                f"[two passes differ by up to {apart}; if that is meant, pass nondet_tol]"
            )

    def _compare(self, place: Place, found: Array, expected: Array, x: Tensor, output: Tensor) -> None:
        if not agree(found, expected, self.options.atol, self.options.rtol):
            shape = output._array.shape
            raise GradcheckError(mismatch(place, found, expected, self.inputs, x, shape, self.options))

    # ---- the same with two random unit vectors instead of all elements ----

    def fast_backward(self) -> None:
        """Compare the Jacobians' products with a direction of the input and a cotangent of the output."""
        rng = np.random.default_rng(SEED)
        for i, x in self.given.items():
            u = _unit_vector(rng, x)
            moves = {
                d: difference(self.again, x, (UNITS[d] * u).astype(x._array.dtype), self.options.eps)
                for d in directions(x)
            }
            for at, (k, output) in enumerate(self.outputs.items()):
                v = _unit_vector(rng, output)
                for part in directions(output):
                    parts = {d: float(np.vdot(v, getattr(move[at], part))) for d, move in moves.items()}
                    self._fast_compare(self._place(k, i, output, part), x, output, part, u, v, parts)

    def _fast_compare(
        self, place: Place, x: Tensor, output: Tensor, part: str, u: Array, v: Array, parts: dict[str, float]
    ) -> None:
        ct = (UNITS[part] * v).astype(output._array.dtype)
        found, second = (_product(pull(output, [x], ct)[0], x, u) for _ in range(2))
        expected = _number(parts)
        options = self.options
        # The largest difference that a deviation within the tolerance in every element can make here.
        atol = options.atol * float(np.sum(np.abs(u)) * np.sum(np.abs(v)))
        if not agree(found, expected, atol, options.rtol):
            at = list(self.outputs).index(place.output)
            slow = analytical(output, [x], part).arrays[0]
            like = list(self.outputs.values())
            jacobians = slow, numerical(self.again, like, x, options.eps)[at][part]
            raise GradcheckError(
                fast_mismatch(
                    place, (found, expected), jacobians, self.inputs, x, output._array.shape, options
                )
            )
        self._reentrant([np.asarray(found)], [np.asarray(second)])

    # ---- forward mode against finite differences ----

    def forward(self) -> None:
        """Compare the tangents along every element of every input; with `fast_mode` along one direction."""
        rng = np.random.default_rng(SEED)
        like = list(self.outputs.values())
        for i, x in self.given.items():
            u = _unit_vector(rng, x)
            for d in directions(x):
                unit, eps = UNITS[d], self.options.eps
                if self.options.fast_mode:
                    along = (unit * u).astype(x._array.dtype)
                    tangents = push(self.function, self.inputs, i, wrap(along))
                    found = [tangents[k]._array.reshape(1, -1) for k in self.outputs]
                    expected = [a.reshape(1, -1) for a in difference(self.again, x, along, eps)]
                else:
                    found = pushed(self.function, self.inputs, i, unit, self.outputs)
                    expected = differences(self.again, like, x, unit, eps)
                part = d if x.dtype.is_complex else ""
                for k, a, b in zip(self.outputs, found, expected, strict=True):
                    given = wrap(np.zeros(1)) if self.options.fast_mode else x
                    self._compare(Place(k, i, part, forward=True), a, b, given, self.outputs[k])


def _unit_vector(rng: np.random.Generator, like: Tensor) -> Array:
    """Return a random real array of an input's shape and length 1."""
    drawn = np.asarray(rng.standard_normal(like._array.shape))
    return drawn / (np.linalg.norm(drawn) or 1.0)


def _product(gradient: Tensor | None, x: Tensor, u: Array) -> complex:
    """Return the product of a direction with a gradient, its real and its imaginary part."""
    array = np.zeros(x._array.shape, x._array.dtype) if gradient is None else gradient._array
    return _number({d: float(np.vdot(u, getattr(array, d))) for d in directions(x)})


def _number(parts: dict[str, float]) -> complex:
    return complex(parts["real"], parts["imag"]) if "imag" in parts else parts["real"]
