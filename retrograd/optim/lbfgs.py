"""L-BFGS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from retrograd.optim.line_search import strong_wolfe
from retrograd.optim.optimizer import Optimizer, ParamsT
from retrograd.tensor import Tensor, wrap


class LBFGS(Optimizer):
    """A quasi-Newton method that keeps the last `history_size` steps in place of the Hessian.

    Args:
        params: one group of parameters.
        lr: the length of a step in units of the quasi-Newton step.
        max_iter: the iterations of one call of `step`.
        max_eval: the evaluations of one call of `step`; a quarter more than iterations if None.
        tolerance_grad: stop when no element of the gradient is larger.
        tolerance_change: stop when parameters or loss change by less.
        history_size: how many steps are kept.
        line_search_fn: None, or 'strong_wolfe'.

    Source: J. Nocedal (1980); J. Nocedal, S. Wright, Numerical Optimization (2006), algorithms 7.4 and 7.5.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Any = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        if isinstance(lr, Tensor) and lr._array.size != 1:
            raise ValueError("Tensor lr must be 1-element")
        if not lr >= 0.0:
            raise ValueError(f"Invalid learning rate: {lr}")
        if max_eval is None:
            max_eval = max_iter * 5 // 4
        super().__init__(params, {
            "lr": lr, "max_iter": max_iter, "max_eval": max_eval, "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change, "history_size": history_size, "line_search_fn":
            line_search_fn,
        })  # fmt: skip
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        self._params = self.param_groups[0]["params"]

    # ---- parameters and gradients as vectors ----

    def _gradient(self) -> Any:
        parts = []
        for param in self._params:
            grad = np.zeros_like(param._array) if param.grad is None else param.grad._array
            flat = np.ascontiguousarray(grad).reshape(-1)
            parts.append(flat.view(flat.real.dtype) if flat.dtype.kind == "c" else flat)
        return np.concatenate(parts)

    def _move(self, start: list[Any] | None, length: float, direction: Any) -> None:
        """Put the parameters at start + length * direction; from where they are if `start` is None."""
        at = 0
        for i, param in enumerate(self._params):
            array = param._array
            real = array.real.dtype
            count = array.size * (2 if array.dtype.kind == "c" else 1)
            part = direction[at : at + count]
            step = (part * part.dtype.type(length)).astype(real, copy=False)
            step = step.view(array.dtype).reshape(array.shape)
            np.add(array if start is None else start[i], step, out=array)
            param._version_cell().bump()
            at += count

    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        """Take up to `max_iter` quasi-Newton steps.

        Args:
            closure: computes the loss and its gradients anew, and returns the loss.
        """
        group = self.param_groups[0]
        state = self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first = self._evaluate(closure)
        loss = float(first.item())
        state["func_evals"] += 1
        gradient = self._gradient()
        if np.abs(gradient).max() <= group["tolerance_grad"]:
            return first
        with np.errstate(all="ignore"):
            self._iterate(closure, group, state, _History(state, group["history_size"]), loss, gradient)
        return first

    def _iterate(
        self,
        closure: Any,
        group: dict[str, Any],
        state: dict[str, Any],
        history: _History,
        loss: float,
        gradient: Any,
    ) -> None:
        lr = group["lr"].item() if isinstance(group["lr"], Tensor) else group["lr"]
        evaluations = 1
        iteration = 0
        while iteration < group["max_iter"]:
            iteration += 1
            state["n_iter"] += 1
            direction = history.direction(gradient, state["n_iter"] == 1)
            before, history.gradient, history.loss = loss, gradient.copy(), loss
            length = min(1.0, 1.0 / float(np.abs(gradient).sum())) * lr if state["n_iter"] == 1 else lr
            history.length = length
            slope = float(gradient @ direction)
            if slope > -group["tolerance_change"]:
                break
            used = 0
            if group["line_search_fn"] is not None:
                if group["line_search_fn"] != "strong_wolfe":
                    raise RuntimeError("only 'strong_wolfe' is supported")
                loss, gradient, length, used = self._search(closure, length, direction, loss, gradient, slope)
                history.length = length
            else:
                self._move(None, length, direction)
                if iteration != group["max_iter"]:
                    loss = float(self._evaluate(closure).item())
                    gradient = self._gradient()
                    used = 1
            evaluations += used
            state["func_evals"] += used
            if (
                iteration == group["max_iter"]
                or evaluations >= group["max_eval"]
                or np.abs(gradient).max() <= group["tolerance_grad"]
                or np.abs(direction * length).max() <= group["tolerance_change"]
                or abs(loss - before) < group["tolerance_change"]
            ):
                break
        history.store(state)

    def _search(
        self, closure: Any, length: float, direction: Any, loss: float, gradient: Any, slope: float
    ) -> tuple[float, Any, float, int]:
        start = [param._array.copy() for param in self._params]

        def evaluate(t: float) -> tuple[float, Any]:
            self._move(start, t, direction)
            return float(self._evaluate(closure).item()), self._gradient()

        found = strong_wolfe(evaluate, length, direction, loss, gradient, slope)
        self._move(start, found[2], direction)
        return found


class _History:
    """The last steps and changes of the gradient, kept between calls in torch's form."""

    def __init__(self, state: dict[str, Any], size: int) -> None:
        self.size = size
        self.changes = [t._array for t in state.get("old_dirs") or []]
        self.steps = [t._array for t in state.get("old_stps") or []]
        self.inverse = [t._array[()] for t in state.get("ro") or []]
        scale = state.get("H_diag", 1)
        self.scale: Any = scale._array[()] if isinstance(scale, Tensor) else scale
        self.last: Any = state["d"]._array if state.get("d") is not None else None
        self.length: Any = state.get("t")
        self.gradient: Any = (
            state["prev_flat_grad"]._array if state.get("prev_flat_grad") is not None else None
        )
        self.loss = state.get("prev_loss")
        self.alphas: list[Any] = [None] * size

    def direction(self, gradient: Any, start: bool) -> Any:
        """Return the quasi-Newton direction, after taking in the last step."""
        if start:
            self.changes, self.steps, self.inverse, self.scale = [], [], [], 1
            self.last = -gradient
            return self.last
        change, step = gradient - self.gradient, self.last * self.last.dtype.type(self.length)
        product = change @ step
        if product > 1e-10:  # keeps the approximation positive definite
            if len(self.changes) == self.size:
                for kept in (self.changes, self.steps, self.inverse):
                    kept.pop(0)
            self.changes.append(change)
            self.steps.append(step)
            self.inverse.append(1.0 / product)
            self.scale = product / (change @ change)
        q = -gradient
        for i in reversed(range(len(self.changes))):
            self.alphas[i] = (self.steps[i] @ q) * self.inverse[i]
            q = q - self.alphas[i] * self.changes[i]
        q = q * q.dtype.type(self.scale)
        for i in range(len(self.changes)):
            beta = (self.changes[i] @ q) * self.inverse[i]
            q = q + self.steps[i] * (self.alphas[i] - beta)
        self.last = q
        return q

    def store(self, state: dict[str, Any]) -> None:
        """Put the history into the optimizer's state."""
        state["al"] = [None if a is None else wrap(np.asarray(a)) for a in self.alphas]
        state["d"] = wrap(self.last)
        state["t"] = self.length
        state["old_dirs"] = [wrap(a) for a in self.changes]
        state["old_stps"] = [wrap(a) for a in self.steps]
        state["ro"] = [wrap(np.asarray(a)) for a in self.inverse]
        state["H_diag"] = self.scale if isinstance(self.scale, int) else wrap(np.asarray(self.scale))
        state["prev_flat_grad"] = None if self.gradient is None else wrap(self.gradient)
        state["prev_loss"] = self.loss
