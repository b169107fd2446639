"""One compiled form of a function: guards, inputs, the program and what is done with its outputs, as code.

The code of a call is straight-line, written for the plan: it answers MISS where a guard fails, before
anything has been done.
"""

from __future__ import annotations

import itertools
import linecache
import logging
import sys
import threading
from collections.abc import Iterable
from typing import Any

import numpy as np

from retrograd import devices, dtypes, native
from retrograd.arrays.vocabulary import function_of
from retrograd.autograd.dispatch import as_view, mark_inference
from retrograd.autograd.graph import AccumulateGrad
from retrograd.autograd.modes import local, modes, process
from retrograd.compiler.guards import Guards
from retrograd.compiler.plan import Plan, Reference, Result, Source
from retrograd.compiler.tracer import Captured, hooks_of
from retrograd.compiler.trees import Arguments
from retrograd.tensor import Tensor, history

log = logging.getLogger("retrograd.compiler")
MISS = object()
"""What a call gives where a guard fails."""


class Rebinding:
    """The captured tensors' arrays as they were last seen, and what must hold of arrays that replace them."""

    def __init__(self, captured: list[Captured], updated: Iterable[int]) -> None:
        self.captured = captured
        self.updated = set(updated)
        self.held: list[Any] = [None] * len(captured)
        self.owners: set[int] = set()
        self.in_order = [False]  # whether all lie in memory in C order

    def check(self, *arrays: Any) -> bool:
        """Whether these arrays may take the captured tensors' places; remember them if so."""
        for captured, array in zip(self.captured, arrays, strict=True):
            if (
                array.__class__ is not np.ndarray
                or array.shape != captured.shape
                or array.dtype != captured.dtype
                or (captured.is_laid and array.strides != captured.strides)
            ):
                return False
        if any(not arrays[i].flags.writeable for i in self.updated) or self._clash(arrays):
            return False
        self.held[:] = arrays
        self.owners = {id(owner(arrays[i])) for i in self.updated}
        self.in_order[0] = all(a.flags.c_contiguous for a in arrays)
        return True

    def _clash(self, arrays: tuple[Any, ...]) -> bool:
        """Whether memory that is written to is also that of another input."""
        bounds = sorted(
            (*np.lib.array_utils.byte_bounds(a), i) for i, a in enumerate(arrays) if self.updated and a.size
        )
        reach, last = -1, -1
        for low, high, i in bounds:
            if low < reach and (i in self.updated or last in self.updated):
                return any(
                    _share(arrays[i], other) for i in self.updated for j, other in enumerate(arrays) if i != j
                )
            if high > reach:
                reach, last = high, i
        return False

    def apart(self, array: Any) -> bool:
        """Whether an argument's memory is none that is written to."""
        return not any(np.may_share_memory(array, self.held[i]) for i in self.updated)


def _share(a: Any, b: Any) -> bool:
    """Whether two arrays have elements in common; also where that takes long to tell."""
    try:
        return np.shares_memory(a, b, max_work=10_000)  # type: ignore[arg-type] # any number will do
    except np.exceptions.TooHardError:
        return True


def owner(array: Any) -> Any:
    """Return the object whose memory an array shows."""
    return array if array.base is None else array.base


class Entry:
    """One trace of a function, ready to be called."""

    def __init__(
        self, plan: Plan, arguments: Arguments, guards: Guards, name: str, key: tuple[Any, ...]
    ) -> None:
        self.plan = plan
        self.key = key
        self.name = name
        self.number = 1  # among the function's
        self.guards = guards
        self.executable = native.build(plan.program, plan.updates, name=name)
        self.count = itertools.count()
        self.lock = threading.Lock()
        self.arguments = arguments
        self.floats = dict(arguments.floats)
        self._input_names: list[str] = []
        self._draw_lines: list[str] = []
        self._order: list[tuple[str, tuple[int, ...]]] = []  # inputs that must lie in C order, to be quick
        self._can_be_quick = True
        self._names: dict[str, Any] = {}
        self.source = self._write()
        filename = f"<retrograd compiled {name}>"
        linecache.cache[filename] = (len(self.source), None, self.source.splitlines(keepends=True), filename)
        exec(compile(self.source, filename, "exec"), self._names)  # noqa: S102 - our own text, written above
        self.run = self._names["run"]
        self._forget()

    @property
    def hits(self) -> int:
        """How often the entry has been used."""
        return int(repr(self.count)[6:-1])

    def _forget(self) -> None:
        """Hold the arguments of the traced call no longer."""
        given = {id(t) for _, t in self.arguments.tensors}
        plan = self.plan
        sources = [s.what for s in plan.sources if isinstance(s.what, Captured)]
        changed = [c for c, _ in (*plan.writes, *plan.rebound, *plan.grads)]
        inputs = plan.pair.inputs if plan.pair else []
        references = [r.found for r in plan.references if isinstance(r.found, Captured)]
        for captured in (*sources, *plan.seen, *changed, *inputs, *references):
            if id(captured.tensor) in given:
                captured.tensor = captured.node = captured.meta = captured.cell = None
        for result in plan.results:
            if isinstance(result.view_of, Captured) and id(result.view_of.tensor) in given:
                result.view_of.tensor = None
        self.arguments.tensors.clear()

    def unlock(self) -> None:
        """Take a new lock."""
        self.lock = self._names["lock"] = threading.Lock()

    def _log_use(self) -> None:
        log.debug("form %d of %s is used", self.number, self.name)

    def missed(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """Return the guard that a call does not pass: the line at which its code answers MISS."""
        last = 0

        def follow(frame: Any, event: str, _: Any) -> Any:
            nonlocal last
            if frame.f_code is self.run.__code__ and event == "line":
                last = frame.f_lineno
            return follow

        before = sys.gettrace()
        sys.settrace(follow)
        try:
            result = self.run(args, kwargs)
        finally:
            sys.settrace(before)
        return self.source.splitlines()[last - 1].strip() if result is MISS else ""

    # ---- the code of a call ----

    def _name(self, prefix: str, value: Any) -> str:
        name = f"{prefix}{len(self._names)}"
        self._names[name] = value
        return name

    def _write(self) -> str:
        places = {id(t): place for place, t in self.arguments.tensors}
        self._names.update(
            MISS=MISS, Tensor=Tensor, new=object.__new__, E=self.executable, lock=self.lock, entry=self,
            owner=owner, ndarray=np.ndarray, **self.arguments.names,
        )  # fmt: skip
        body = [*self.arguments.lines]
        body += [f"if not ({c}): return MISS" for c in self.plan.given.conditions]
        floats = self._name("dtype", dtypes.default.float)
        self._names.update(default=dtypes.default, chosen=devices.chosen)
        body.append(f"if default.float is not {floats} or chosen.device is not None: return MISS")
        body += self.guards.lines(self._name)
        inputs, more = self._inputs(places)
        body += more
        body += self._run_lines(inputs)
        text = "\n".join(f"    {line}" for line in body)
        return f"def run(args, kwargs):\n{text}\n"

    def _inputs(self, places: dict[int, str]) -> tuple[list[str], list[str]]:
        """Return the expressions of the program's inputs, and the lines that fetch and check them."""
        plan = self.plan
        lines: list[str] = []
        inputs = self._input_names
        fixed: list[Captured] = []
        fixed_names: list[str] = []
        fixed_updated: list[int] = []
        loose: list[str] = []
        loose_updated: list[str] = []
        updated = set(plan.updates.values())
        for i, source in enumerate(plan.sources):
            name = f"i{i}"
            inputs.append(name)
            if source.kind == "tensor" and id(source.what.tensor) not in places:
                tensor = self._name("t", source.what.tensor)
                lines.append(f"{name} = {tensor}._array")
                lines += self._node_guard(tensor, source.what)
                if i in updated:
                    fixed_updated.append(len(fixed))
                fixed.append(source.what)
                fixed_names.append(name)
            elif source.kind in ("tensor", "grad"):
                lines += self._loose(name, source, places)
                (loose_updated if i in updated else loose).append(name)
                in_order = np.empty(source.value.shape, source.value.dtype).strides
                seen = source.what if source.kind == "tensor" else plan.grad_types[id(source.what.node)]
                if not seen.is_laid:
                    self._order.append((name, in_order))
                elif seen.strides != in_order:
                    self._can_be_quick = False
            elif source.kind == "array":
                inputs[-1] = self._name("c", source.what)
                self._can_be_quick &= source.what.flags.c_contiguous
            elif source.kind == "draw":
                drawn = self._name("d", source.what)
                self._draw_lines.append(f"{name} = {drawn}()")
            else:
                inputs[-1] = self._name("n", source.what)
        for k, captured in enumerate(plan.seen):
            name = f"s{k}"
            if id(captured.tensor) in places:
                lines += self._loose(name, Source("tensor", captured, captured.input), places)
            else:
                tensor = self._name("t", captured.tensor)
                lines += [f"{name} = {tensor}._array", *self._node_guard(tensor, captured)]
                fixed.append(captured)
                fixed_names.append(name)
        lines += self._grad_presence()
        self.rebinding = Rebinding(fixed, fixed_updated)
        if fixed:
            held = self._name("h", self.rebinding.held)
            check = self._name("h", self.rebinding.check)
            same = " and ".join(f"{n} is {held}[{k}]" for k, n in enumerate(fixed_names))
            lines.append(f"if not ({same}) and not {check}({', '.join(fixed_names)}): return MISS")
        self._names["rebinding"] = self.rebinding
        if fixed_updated:
            for name in (*loose, *loose_updated):
                lines.append(
                    f"if id(owner({name})) in rebinding.owners and not rebinding.apart({name}): return MISS"
                )
        for name in loose_updated:
            others = [n for n in inputs if n != name and n.startswith("i") and n not in fixed_names]
            self._names["share"] = np.may_share_memory
            lines.append(f"if not {name}.flags.writeable: return MISS")
            lines += [f"if share({name}, {other}): return MISS" for other in others]
        return inputs, lines

    def _node_guard(self, tensor: str, captured: Captured) -> list[str]:
        if captured.is_leaf:
            node = self._name("l", captured.node)
            self._names["hooks_of"] = hooks_of
            hooked = f"{node}.extras is not None or {node}.post"
            changed = f"hooks_of({node}) != {captured.hooks}"
            return [
                f"if {tensor}._node is not {node}: return MISS",
                f"if ({changed} if {hooked} else {bool(captured.hooks)}): return MISS",
            ]
        if captured.node is None:
            return [f"if {tensor}._node is not None: return MISS"]
        return [f"if {tensor}._node is None: return MISS"]

    def _loose(self, name: str, source: Any, places: dict[int, str]) -> list[str]:
        """Return the lines for an input whose array is another one at every call."""
        captured: Captured = source.what
        if source.kind == "grad":
            leaf = self._name("g", captured.node)
            grad = self.plan.grad_types[id(captured.node)]
            lines = [
                f"{name}_t = {leaf}.grad",
                f"if {name}_t is None or {name}_t._node is not None: return MISS",
                f"{name} = {name}_t._array",
            ]
            captured = grad
        else:
            place = places[id(captured.tensor)]
            lines = [f"{name} = {place}._array"]
            if captured.is_leaf:
                lines.append(f"if {place}._node.__class__ is not AccumulateGrad: return MISS")
                self._names["AccumulateGrad"] = AccumulateGrad
            elif captured.node is None:
                lines.append(f"if {place}._node is not None: return MISS")
            else:
                lines.append(
                    f"if {place}._node is None or {place}._node.__class__ is AccumulateGrad: return MISS"
                )
                self._names["AccumulateGrad"] = AccumulateGrad
        shape, kind = self._name("s", captured.shape), self._name("s", captured.dtype)
        laid = f" or {name}.strides != {self._name('s', captured.strides)}" if captured.is_laid else ""
        lines.append(
            f"if {name}.__class__ is not ndarray or {name}.shape != {shape} or "
            f"{name}.dtype is not {kind}{laid}: return MISS"
        )
        return lines

    def _grad_presence(self) -> list[str]:
        lines = []
        for captured, is_there in self.plan.needs_grads:
            if not is_there:
                leaf = self._name("g", captured.node)
                lines.append(f"if {leaf}.grad is not None: return MISS")
        return lines

    def _call(self, inputs: list[str]) -> str:
        """Return the expression that runs the program: without its own checks where ours say the same."""
        checked = f"E({', '.join(inputs)})"
        quick = getattr(self.executable, "run", None)
        if quick is None or not self._can_be_quick:
            return checked
        self._names["R"], self._names["in_order"] = quick, self.rebinding.in_order
        conditions = ["in_order[0]"] if self.rebinding.captured else []
        conditions += [f"{name}.strides == {self._name('s', strides)}" for name, strides in self._order]
        quickly = f"R(({''.join(f'{i}, ' for i in inputs)}))"
        return f"{quickly} if {' and '.join(conditions)} else {checked}" if conditions else quickly

    def _run_lines(self, inputs: list[str]) -> list[str]:
        plan = self.plan
        lines: list[str] = []
        sites = [self._name("site", s) for s in plan.sites]
        lines += [f"if not {s}.is_current(): return MISS" for s in sites]
        self._names["count"] = self.count.__next__
        lines.append("count()")
        if log.isEnabledFor(logging.DEBUG):
            self._names["used"] = self._log_use
            lines.append("used()")
        is_shared = plan.updates or sites or plan.given.inputs or plan.grads or plan.rebound
        lines.append("with lock:" if is_shared else "if True:")
        inner: list[str] = []
        for k, site in enumerate(sites):
            undo = "; ".join(f"{s}.undo()" for s in reversed(sites[:k]))
            inner.append(f"if not {site}.advance(): {undo + '; ' if undo else ''}return MISS")
        inner += self._draw_lines
        inner += [
            f"{self._name('n', a)}[()] = {text}" for (text, _), (a, _) in self.plan.given.inputs.items()
        ]
        call = self._call(inputs)
        count = len(plan.program.outputs)
        unpack = f"{', '.join(f'o{i}' for i in range(count))}, = {call}" if count else call
        if sites:
            undo = "; ".join(f"{s}.undo()" for s in reversed(sites))
            inner += ["try:", f"    {unpack}", "except BaseException:", f"    {undo}", "    raise"]
        else:
            inner.append(unpack)
        inner += self._effects()
        inner += [f"{s}.finish()" for s in sites]
        lines += [f"    {line}" for line in inner]
        lines.append(f"return {self._tree(plan.tree)}")
        return lines

    def _effects(self) -> list[str]:
        """Return the lines that make the results and change what the function changed."""
        plan = self.plan
        lines: list[str] = []
        places = {id(t): place for place, t in self.arguments.tensors}
        for captured, count in plan.writes:
            if captured.tensor is None:
                continue
            tensor = places.get(id(captured.tensor)) or self._name("w", captured.tensor)
            lines.append(f"cell = {tensor}._cell or {tensor}._version_cell()")
            lines.append(f"cell.count += {count}; cell.code = None")
        for i, result in enumerate(plan.results):
            lines += self._result(i, result, places)
        lines += self._history(places)
        for captured, output in plan.rebound:
            if captured.tensor is None:
                continue
            tensor = places.get(id(captured.tensor)) or self._name("w", captured.tensor)
            lines.append(f"{tensor}._array = o{output}")
            if captured.is_leaf:
                lines.append(f"{self._name('g', captured.node)}._array = o{output}")
        for captured, grad in plan.grads:
            leaf = self._name("g", captured.node)
            lines.append(f"{leaf}.grad = {self._expression(grad)}")
        return lines

    def _history(self, places: dict[int, str]) -> list[str]:
        """Return the line that hangs the results on a node that runs the backward program."""
        plan = self.plan
        if plan.pair is None:
            return []
        roots = sorted((r.root, i) for i, r in enumerate(plan.results) if r.root is not None)
        edges = []
        for captured in plan.pair.inputs:
            place = places.get(id(captured.tensor))
            if place is None and captured.is_leaf:
                edges.append(self._name("l", captured.node))
            else:
                self._names["history"] = history
                edges.append(f"history({place or self._name('t', captured.tensor)})")
        owners, arrays = [], []
        for i, source in enumerate(plan.sources):
            arrays.append(self._input_names[i])
            if source.kind == "tensor":
                owners.append(places.get(id(source.what.tensor)) or self._name("t", source.what.tensor))
            else:
                owners.append("None")
        first, count = plan.saved
        parts = ["".join(f"{x}, " for x in part) for part in (
            [f"r{i}" for _, i in roots], edges, arrays, owners, [f"o{k}" for k in range(first, first + count)]
        )]  # fmt: skip
        attach = self._name("attach", plan.pair.attach)
        return [f"{attach}({', '.join(f'({p})' for p in parts)})"]

    def _result(self, i: int, result: Result, places: dict[int, str]) -> list[str]:
        cls = "Tensor" if result.cls is Tensor else self._name("cls", result.cls)
        lines = [f"r{i} = new({cls})"]
        source = None
        if result.output is not None:
            array = f"o{result.output}"
        else:
            if isinstance(result.view_of, Captured):
                source = places.get(id(result.view_of.tensor)) or self._name("t", result.view_of.tensor)
                array = f"{source}._array"
            else:
                array = f"o{result.view_of}"
            if result.moves:
                array = f"{self._name('moved', _mover(result.moves))}({array})"
        lines.append(f"r{i}._array = {array}")
        lines.append(f"r{i}._node = r{i}._cell = r{i}._meta = None")
        if source is not None:
            if result.moves:
                self._names["as_view"] = as_view
                lines.append(f"as_view(r{i}, {source})")
            else:  # the same memory, detached
                lines.append(f"r{i}._cell = {source}._version_cell()")
        if result.is_leaf:
            lines.append(f"r{i}.requires_grad = True")
        if result.spent is not None:
            lines.append(f"r{i}._node = {self._name('spent', result.spent)}")
        if self.key[1]:
            self._names["mark_inference"] = mark_inference
            lines.append(f"mark_inference(r{i})")
        return lines

    def _expression(self, found: Any) -> str:
        if found is None:
            return "None"
        if isinstance(found, Captured):
            places = {id(t): place for place, t in self.arguments.tensors}
            return places.get(id(found.tensor)) or self._name("t", found.tensor)
        return f"r{found}"

    def _tree(self, tree: Any) -> str:
        """Return the expression that builds the function's result."""
        if isinstance(tree, Reference):
            return self._expression(tree.found)
        if type(tree) is dict:
            return "{" + ", ".join(f"{self._constant(k)}: {self._tree(v)}" for k, v in tree.items()) + "}"
        if isinstance(tree, (tuple, list)):
            inner = ", ".join(self._tree(v) for v in tree)
            if type(tree) is list:
                return f"[{inner}]"
            if type(tree) is tuple:
                return f"({inner},)" if tree else "()"
            return f"{self._name('cls', type(tree))}({inner if hasattr(tree, '_fields') else f'[{inner}]'})"
        return self._constant(tree)

    def _constant(self, value: Any) -> str:
        return repr(value) if value is None or type(value) in (bool, int, str) else self._name("v", value)


def _mover(moves: Any) -> Any:
    """Return the function that makes a view of an array as a traced view was made."""

    def moved(array: Any) -> Any:
        for move in moves:
            found = function_of(move.name)(array, *move.rest, **move.params)
            array = found if move.index is None else found[move.index]
        return array

    return moved


def current_key() -> tuple[Any, ...] | None:
    """Return the mode that a trace is made for: recording, inference; None where nothing can be compiled."""
    if not modes.special:
        return _PLAIN
    if local.intercepts or local.saved_hooks or process.anomaly:
        return None
    return local.grad, local.inference


_PLAIN = (True, False)
