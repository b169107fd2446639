"""Optimizers as array functions: one update formula, run over all parameters of a group at once.

Parameters of one group and dtype that have taken the same number of steps form a cohort. A cohort's state
lies in one
flat array per buffer, of which the tensors in `optimizer.state` are views. Small parameters are gathered into
a flat
array, updated together and scattered back; large ones are updated where they lie. Either way the formula sees
flat
arrays, in blocks that stay in the second-level cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import is_not
from typing import Any, ClassVar

import numpy as np

from retrograd import dtypes
from retrograd.autograd.modes import enable_grad, local, modes
from retrograd.autograd.where import here
from retrograd.optim.kernels import Kernels, is_worth
from retrograd.optim.optimizer import Optimizer
from retrograd.tensor import Tensor, wrap

BLOCK = 2**15  # elements: a block of six float32 arrays takes 768 KiB
DIRECT = 2**13  # elements from which gathering a parameter costs more than a call per operation on it

_NARROW = (dtypes.float16.np, dtypes.bfloat16.np)


class FlatOptimizer(Optimizer):
    """An optimizer given by a formula on arrays.

    A subclass names its state in `layout`, computes a step's numbers in `prepare`, and defines `update`;
    `update_` is
    the same in place, where a faster way is known.
    """

    scalars: ClassVar[dict[str, float]] = {"step": 0.0}
    """State that is one number per parameter: name and initial value; `prepare` advances it."""

    update_: Any = None
    """(numbers, scratch, p, g, *buffers) -> None: update p and the buffers in place, leave g as it is."""

    _cohorts: list[list[Cohort]] | None = None

    def layout(self, group: dict[str, Any]) -> tuple[str, ...]:
        """Return the names of a parameter's state, in order."""
        raise NotImplementedError

    def prepare(self, group: dict[str, Any], scalars: dict[str, Any], fresh: bool) -> Any:
        """Advance the scalars to this step and return what `update` needs; `fresh` at the first step."""
        raise NotImplementedError

    def update(self, numbers: Any, p: Any, g: Any, *buffers: Any) -> tuple[Any, ...]:
        """Return the new p and buffers. This is the definition: it takes arrays and Tensors."""
        raise NotImplementedError

    def probe(self, group: dict[str, Any], scalars: dict[str, Any]) -> list[Any]:
        """Return what `update` would need at the next step, as it is and with another learning rate."""
        other = {**group, "lr": group["lr"] * 1.25 + 1e-3}  # any will do
        return [self.prepare(g, dict(scalars), False) for g in (group, other)]

    def initial(self, group: dict[str, Any], name: str) -> float:
        """Return what a state buffer is filled with at first."""
        del group
        return self.scalars.get(name, 0.0)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            for name, default in self.defaults.items():
                group.setdefault(name, default)
        self._cohorts = None

    def step(self, closure: Any = None) -> Any:
        """Update every parameter that has a gradient.

        Args:
            closure: computes the loss and its gradients anew, and returns the loss.
        """
        loss = None if closure is None else self._evaluate(closure)
        if modes.special and local.tracer is not None:
            local.tracer.steps.take(self)
            return loss
        if self._cohorts is None or len(self._cohorts) != len(self.param_groups):
            self._cohorts = [[] for _ in self.param_groups]
        place = here()
        for i, group in enumerate(self.param_groups):
            if group.get("differentiable"):
                self._step_recorded(group)
                continue
            for cohort, grads in self._ready(i, group):
                numbers = self.prepare(plain_numbers(group), cohort.scalars, cohort.fresh)
                with np.errstate(all="ignore"):
                    cohort.step(self, numbers, grads, group)
                cohort.finish(place)
        return loss

    # ---- cohorts ----

    def _ready(self, i: int, group: dict[str, Any]) -> list[tuple[Cohort, list[Any]]]:
        """Return the cohorts that have gradients, and these, after bringing the cohorts up to date."""
        cohorts = self._cohorts[i]  # type: ignore[index]
        layout = self.layout(group)
        if sum(len(c.params) for c in cohorts) == len(group["params"]) and all(
            c.current(self, layout) for c in cohorts
        ):
            found = [(c, c.grads()) for c in cohorts]
            if all(grads is None or (c.started and len(grads) == len(c.params)) for c, grads in found):
                return [(c, grads) for c, grads in found if grads is not None]
        cohorts[:] = self._form(group, layout, cohorts)
        return [(c, grads) for c in cohorts if (grads := c.grads()) is not None]

    def _form(self, group: dict[str, Any], layout: tuple[str, ...], old: list[Cohort]) -> list[Cohort]:
        """Divide the group's parameters into cohorts, alike in dtype, scalars and presence of a gradient.

        Parameters that were in different cohorts stay apart, so that a pattern of missing gradients that
        comes again
        and again divides them once.
        """
        before = {p: number for number, cohort in enumerate(old) for p in cohort.params}
        divided: dict[Any, list[Any]] = {}
        for param in dict.fromkeys(group["params"]):
            state = self.state.get(param) or {}
            values = tuple(state[n].item() if n in state else None for n in layout if n in self.scalars)
            started = all(state.get(name) is not None for name in layout) and bool(layout)
            key = (param.dtype, param.grad is None, started, values, before.get(param))
            divided.setdefault(key, []).append(param)
        made = []
        for (_, absent, started, values, _), params in divided.items():
            if absent and not started:
                made.append(Cohort(params))
            else:
                names = [n for n in layout if n in self.scalars]
                scalars = (
                    dict(zip(names, values, strict=True))
                    if started
                    else {n: self.initial(group, n) for n in names}
                )
                made.append(Cohort(params, self, group, layout, scalars, fresh=not started))
        return made

    # ---- the recorded step ----

    def _step_recorded(self, group: dict[str, Any]) -> None:
        """Update with Tensors, one parameter at a time, so that the step can be differentiated."""
        layout = self.layout(group)
        with enable_grad():
            for param in group["params"]:
                grad = param.grad
                if grad is None:
                    continue
                state = self.state[param] if layout else {}
                fresh = any(state.get(name) is None for name in layout)
                for name in layout:
                    if state.get(name) is None:
                        state[name] = _filled(param, self.initial(group, name), name in self.scalars)
                scalars = {n: state[n].item() for n in layout if n in self.scalars}
                numbers = self.prepare(group, scalars, fresh)
                buffers = [n for n in layout if n not in self.scalars]
                new, *updated = self.update(numbers, param, grad, *(state[n] for n in buffers))
                param.copy_(new)
                for name, value in zip(buffers, updated, strict=True):
                    state[name] = value
                for name, number in scalars.items():
                    state[name]._array[...] = number


class Cohort:
    """Parameters that are updated together, and their state.

    Made without an optimizer it holds parameters that have not had a gradient yet.
    """

    def __init__(
        self, params: list[Any], optimizer: FlatOptimizer | None = None, group: Any = None,
        layout: tuple[str, ...] = (), scalars: dict[str, Any] | None = None, fresh: bool = True,
    ) -> None:  # fmt: skip
        self.params = params
        self.started = optimizer is not None
        self.layout = layout
        self.fresh = fresh
        self.scalars = scalars or {}
        self.arrays = [p._array for p in params]
        if optimizer is not None:
            self._lay_out(optimizer, group)
            self._divide()

    def _lay_out(self, optimizer: FlatOptimizer, group: Any) -> None:
        """Put the state into flat arrays, large parameters last, and make its tensors views of them."""
        self.order = sorted(range(len(self.params)), key=lambda i: _is_large(self.arrays[i]))
        kind = self.arrays[0].dtype
        sizes = [a.size for a in self.arrays]
        offsets = np.zeros(len(sizes) + 1, np.int64)
        offsets[1:] = np.cumsum([sizes[i] for i in self.order])
        self.starts = {i: int(offsets[k]) for k, i in enumerate(self.order)}
        self.flat_scalars = {n: np.full(len(self.params), v, np.float32) for n, v in self.scalars.items()}
        if self.params:  # as the tensors in the state have them: in float32
            self.scalars = {n: flat.item(0) for n, flat in self.flat_scalars.items()}
        names = [n for n in self.layout if n not in self.scalars]
        self.real = np.dtype(f"f{kind.itemsize // 2}") if kind.kind == "c" else kind
        self.buffers = {n: np.empty(int(offsets[-1]), kind) for n in names}
        for name, buffer in self.buffers.items():
            _real(buffer, self.real)[...] = optimizer.initial(group, name)
        self.states = [optimizer.state[p] for p in self.params] if self.layout else []
        self.expected: list[Any] = []
        for i, state in enumerate(self.states):
            for name in self.layout:
                if name in self.scalars:
                    view = self.flat_scalars[name][i : i + 1].reshape(())
                else:
                    start = self.starts[i]
                    view = self.buffers[name][start : start + sizes[i]].reshape(self.arrays[i].shape)
                tensor = state.get(name)
                if tensor is None:
                    tensor = state[name] = wrap(view)
                else:
                    view[...] = tensor._array
                    tensor._array = view
                self.expected.append(tensor)

    def _divide(self) -> None:
        """Cut the work into blocks, and make the scratch memory for one."""
        kind = self.arrays[0].dtype
        small = [i for i in self.order if not _is_large(self.arrays[i])]
        self.large = [i for i in self.order if _is_large(self.arrays[i])]
        self.small = small
        flat = [_real(b, self.real) for b in self.buffers.values()]
        total = sum(self.arrays[i].size for i in small)
        self.gathered_p, self.gathered_g = np.empty(total, kind), np.empty(total, kind)
        most = max([total, *(self.arrays[i].size for i in self.large)]) * (
            kind.itemsize // self.real.itemsize
        )
        self.scratch = np.empty((2, min(BLOCK, most)), self.real)
        p, g = _real(self.gathered_p, self.real), _real(self.gathered_g, self.real)
        self.small_blocks = list(self._blocks(p, flat, 0, g))
        self.back = [
            (
                self.arrays[i],
                self.gathered_p[self.starts[i] : self.starts[i] + self.arrays[i].size].reshape(
                    self.arrays[i].shape
                ),
            )
            for i in small
        ]
        self.large_blocks = []
        factor = kind.itemsize // self.real.itemsize
        for i in self.large:
            array = _real(self.arrays[i].reshape(-1), self.real)
            self.large_blocks.append(list(self._blocks(array, flat, self.starts[i] * factor)))
        self.kernels = Kernels()
        self.small_whole = (p, g, *(b[: p.size] for b in flat))
        self.wholes = {}
        for i in self.large:
            array, start = _real(self.arrays[i].reshape(-1), self.real), self.starts[i] * factor
            self.wholes[i] = (array, *(b[start : start + array.size] for b in flat))
        self.small_arrays = [self.arrays[i] for i in small]

    def _blocks(self, p: Any, flat: list[Any], at: int, g: Any = None) -> Iterator[tuple[Any, ...]]:
        """Yield (slice, scratch, p, g, buffers) for each block; the parameter's state begins at `at`."""
        for start in range(0, p.size, BLOCK):
            part = slice(start, min(start + BLOCK, p.size))
            scratch = self.scratch[:, : part.stop - start]
            state = [b[at + part.start : at + part.stop] for b in flat]
            yield part, (scratch[0], scratch[1]), p[part], None if g is None else g[part], state

    def current(self, optimizer: FlatOptimizer, layout: tuple[str, ...]) -> bool:
        """Whether parameters and state are still the ones that this cohort was made for."""
        if not self.started:
            return True
        if self.layout != layout:
            return False
        for param, array in zip(self.params, self.arrays, strict=True):
            if param._array is not array:
                return False
        return self.has_state(optimizer)

    def has_state(self, optimizer: FlatOptimizer) -> bool:
        """Whether the state in the optimizer is still the one that this cohort has laid out."""
        layout = self.layout
        if not layout:
            return True
        if (
            len(optimizer.state) < len(self.states)
            or optimizer.state.get(self.params[0]) is not self.states[0]
        ):
            return False
        actual = [state.get(name) for state in self.states for name in layout]
        if any(map(is_not, actual, self.expected)):
            return False
        return all(self.flat_scalars[name].item(0) == value for name, value in self.scalars.items())

    def grads(self) -> list[Any] | None:
        """Return the gradients' arrays, without the missing ones; None if all are missing."""
        found = [grad._array for p in self.params if (grad := p.grad) is not None]
        return found or None

    def step(self, optimizer: FlatOptimizer, numbers: Any, grads: list[Any], group: dict[str, Any]) -> None:
        """Update all parameters from their gradients."""

        def kernel(arrays: tuple[Any, ...]) -> Any:
            if not is_worth(arrays[0]):
                return None

            def make() -> Any:
                from retrograd.optim.kernel import Kernel  # noqa: PLC0415 - with the first large parameter

                return Kernel(optimizer, numbers, optimizer.probe(plain_numbers(group), self.scalars), arrays)

            return self.kernels.find(arrays[0].size, make, numbers)

        run = optimizer.update_
        if run is None or self.arrays[0].dtype in _NARROW:
            run = _Definition(optimizer)
        if self.small:
            np.concatenate([grads[i] for i in self.small], axis=None, out=self.gathered_g, casting="unsafe")
            np.concatenate(self.small_arrays, axis=None, out=self.gathered_p)
            found = kernel(self.small_whole)
            if found is not None:
                found(*self.small_whole)
            else:
                for _, scratch, p, g, state in self.small_blocks:
                    run(numbers, scratch, p, g, *state)
            for array, updated in self.back:
                array[...] = updated
        for i, blocks in zip(self.large, self.large_blocks, strict=True):
            grad = _real(np.ascontiguousarray(grads[i], self.arrays[i].dtype).reshape(-1), self.real)
            whole, *buffers = self.wholes[i]
            found = kernel((whole, grad, *buffers))
            if found is not None:
                found(whole, grad, *buffers)
                continue
            for part, scratch, p, _, state in blocks:
                run(numbers, scratch, p, grad[part], *state)

    def finish(self, place: tuple[Any, int]) -> None:
        """Store the scalars, and count a write to every parameter, made at `place` in the user's program."""
        self.fresh = False
        self.store()
        self.count_write(place)

    def store(self) -> None:
        """Write the scalars where the tensors in the optimizer's state see them."""
        for name, flat in self.flat_scalars.items():
            flat.fill(self.scalars[name])
            self.scalars[name] = flat.item(0)

    def count_write(self, place: tuple[Any, int]) -> None:
        """Count a write to every parameter, made at `place` in the user's program."""
        code, lasti = place
        for param in self.params:
            cell = param._cell or param._version_cell()
            cell.count += 1
            cell.code, cell.lasti = code, lasti


class _Definition:
    """Runs an optimizer's `update` in place; 16-bit floats are widened to float32 for it."""

    def __init__(self, optimizer: FlatOptimizer) -> None:
        self.update = optimizer.update

    def __call__(self, numbers: Any, scratch: Any, p: Any, g: Any, *buffers: Any) -> None:
        del scratch
        given = (p, g, *buffers)
        if p.dtype in _NARROW:
            given = tuple(a.astype(np.float32) for a in given)
        for target, value in zip((p, *buffers), self.update(numbers, *given), strict=True):
            target[...] = value


def _is_large(array: Any) -> bool:
    return bool(array.size >= DIRECT and array.flags.c_contiguous)


def _real(array: Any, real: np.dtype[Any]) -> Any:
    """Return a flat complex array as the flat array of its parts; others as they are."""
    return array if array.dtype == real else array.view(real)


def _filled(param: Any, value: float, scalar: bool) -> Tensor:
    return wrap(np.full((), value, np.float32) if scalar else np.full(param.shape, value, param._array.dtype))


def plain_numbers(group: dict[str, Any]) -> dict[str, Any]:
    """Return the group with Python numbers for the options that are tensors."""
    if type(group["lr"]) is not Tensor and not any(type(b) is Tensor for b in group.get("betas", ())):
        return group
    return {k: _number(v) for k, v in group.items() if k != "params"}


def _number(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.item()
    return tuple(_number(v) for v in value) if isinstance(value, tuple) else value
