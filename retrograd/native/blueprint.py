"""What is left of a program once its code is written: the code, and how a call prepares its arrays.

Blueprints are kept on disk beside the objects (cache.py), under the digest of the program itself: a process
that builds a program for the first time need not fuse it and write its code again.
"""

from __future__ import annotations

import functools
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from retrograd.arrays import Program, Value
from retrograd.native import cache, target

if TYPE_CHECKING:
    from retrograd.native.fuse import Fused

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Blueprint:
    """A program's LLVM IR and its needs.

    `fresh` are the positions of the outputs that are new arrays, in the order in which the code takes them;
    `constants` are positions among the program's constants, or what the passes made: dtype, shape, bytes in
    hexadecimal. `has_lookups` says that the code reads indices, which may be out of range.
    """

    ir: str
    table: int
    arena: int
    runs: int
    fresh: tuple[int, ...]
    constants: tuple[Any, ...]
    has_lookups: bool

    def arrays(self, program: Program) -> tuple[Array, ...]:
        """Return the constants that the code takes."""
        given = [np.ascontiguousarray(array) for _, array in program.constants]
        return tuple(
            given[c] if isinstance(c, int) else np.frombuffer(bytes.fromhex(c[2]), c[0]).reshape(c[1])
            for c in self.constants
        )


@dataclass(frozen=True)
class Drawing:
    """A blueprint as it is drawn, with what it was drawn from."""

    blueprint: Blueprint
    program: Program
    fused: Fused
    places: dict[Value, int]
    fresh: tuple[Value, ...]


def draw(program: Program, updates: Mapping[int, int], name: str) -> Drawing:
    """Fuse a program and write its code."""
    # What does this is loaded when it is to be done: a program that is kept on disk needs none of it.
    from retrograd.native.assemble import HEAD, Assembly  # noqa: PLC0415 - see above
    from retrograd.native.fuse import Fused  # noqa: PLC0415 - see above
    from retrograd.native.passes import prepare  # noqa: PLC0415 - see above

    prepared = prepare(program)
    fused = Fused(prepared)
    made = Assembly(prepared, fused, updates, name)
    own = {id(array): i for i, (_, array) in enumerate(program.constants)}
    blueprint = Blueprint(
        ir=str(made.module),
        table=made.table,
        arena=made.arena.size + HEAD,
        runs=len(made.runs),
        fresh=tuple(prepared.outputs.index(v) for v in made.outputs),
        constants=tuple(own.get(id(a), _text(a)) for a in made.graph.constants.values()),
        has_lookups=made.has_lookups,
    )
    return Drawing(blueprint, prepared, fused, made.places, tuple(made.outputs))


def _text(array: Array) -> tuple[str, tuple[int, ...], str]:
    return array.dtype.str, array.shape, np.ascontiguousarray(array).tobytes().hex()


def recall(key: str) -> Blueprint | None:
    """Return the blueprint that is kept under a key, None if there is none."""
    disk = cache.current()
    found = disk.load(key) if disk else None
    if found is None:
        return None
    fields: dict[str, Any] = json.loads(zlib.decompress(found))
    return Blueprint(**fields | {"fresh": tuple(fields["fresh"]), "constants": tuple(fields["constants"])})


def keep(key: str, drawing: Drawing) -> None:
    """Keep a blueprint on disk, unless NumPy makes some of the calls: then it is not all there is."""
    disk = cache.current()
    if disk and drawing.blueprint.runs == 1:
        disk.store(key, zlib.compress(json.dumps(asdict(drawing.blueprint)).encode(), 1))


def fingerprint(program: Program, updates: Mapping[int, int], name: str) -> str:
    """Return the digest of all that a program's code depends on: itself, the processor, and this package."""
    here = target.host()
    constants = [
        (v, np.dtype(a.dtype).str, cache.digest([np.ascontiguousarray(a).tobytes().hex()]))
        for v, a in program.constants
    ]
    lines = [repr((i.name, i.inputs, i.params, i.outputs)) for i in program.instructions]
    rest = [repr(program.inputs), repr(constants), repr(program.outputs), repr(sorted(updates.items())), name]
    return cache.digest(["blueprint", *lines, *rest, here.triple, here.cpu, here.features, _sources()])


@functools.cache
def _sources() -> str:
    """Return what tells one state of this package's code generation from another."""
    files = sorted(Path(__file__).parent.rglob("*.py"))
    return repr([(f.name, s.st_size, s.st_mtime_ns) for f in files for s in (f.stat(),)])
