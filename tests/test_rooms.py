"""Rooms import only rooms below them, inside functions and for types too; start-up loads only NumPy."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "retrograd"

FACTS = {"devices", "dtypes", "errors"}
TAPE = {"autograd.graph", "autograd.modes", "autograd.views", "autograd.where"}  # what a tensor is made with
BELOW = {"arrays", "hooks", "native", "ops", "printing", "return_types", "startup", "tensor"}  # the engine
ENGINE = FACTS | TAPE | {"arrays", "autograd", "hooks", "ops", "printing", "public", "return_types", "tensor"}
USERS = ENGINE | {"functions", "random"}
WHOLE = USERS | {"retrograd"}  # what is written as a user's program would be; loaded when first asked for

# What each room may import. A room is a file or a folder of the package, and may always import itself; a file
# with a row of its own is a room apart from its folder.
# The package's own __init__ gathers the public names of all rooms; "retrograd" as a target is that gathering.
MAY_IMPORT: dict[str, set[str]] = {
    # Facts: they know nothing of tensors.
    "errors": set(),
    "dtypes": {"errors"},
    "devices": {"errors"},
    "startup": set(),
    "later": set(),
    "random": {"dtypes", "errors"},
    "printing": FACTS,
    "return_types": {"errors"},
    # Mathematics: it knows neither tensors nor the engine.
    "ops": {"dtypes", "errors"},
    "arrays": {"dtypes", "errors", "ops"},
    "native": {"arrays", "dtypes", "errors", "ops", "startup"},
    "numpy_api": {"errors", "ops"},
    # The tape, the tensor on it, and the engine that records and runs it.
    "autograd.where": set(),
    "autograd.modes": {"autograd.views", "errors", "ops"},
    "autograd.graph": {"autograd.where", "errors", "ops"},
    "autograd.views": {"autograd.where"},
    "hooks": {"autograd.graph", "errors"},
    "interop": FACTS | {"numpy_api"},
    "tensor": FACTS | TAPE | {"hooks", "interop", "printing"},
    "autograd": FACTS | TAPE | BELOW,
    # What users call: the ops' functions, and those that are more than an op.
    "public": FACTS | {"autograd", "ops", "tensor"},
    "functions": ENGINE | {"native", "random"},
    # Rooms of users, loaded when they are asked for.
    "fft": USERS,
    "amp": {"tensor"},
    "backends": set(),
    "cuda": {"amp"},
    "version": {"retrograd"},
    "func": USERS,
    "linalg": USERS,
    "nn.parameter": FACTS | {"tensor"},
    "nn": USERS | {"nn.parameter"},
    "optim": USERS | {"native", "startup"},
    "optim.swa_utils": USERS | {"nn", "optim"},
    "compiler": USERS | {"native", "nn", "optim"},
    "profiler": USERS,
    "serialization": FACTS | {"nn.parameter", "tensor"},
    "show": USERS,
    "signal": USERS,
    "special": USERS,
    "testing": USERS,
    "utils": USERS,
    "distributions": WHOLE,
    "functional": WHOLE,
    "masked": WHOLE,
    "sparse": WHOLE,
    "distributed": WHOLE | {"nn", "optim", "utils"},
    "_tensor_str": {"printing"},
    "notebook": set(),
    "run": {"retrograd", "notebook"},
    "__main__": {"run"},
}
# Circles that are meant, and why. Such an import stands inside a function: it runs when both rooms are there.
LATE: dict[str, dict[str, str]] = {
    "autograd.graph": {
        "hooks": "a node has methods that register hooks",
        "autograd": "a node's public face is only needed when it is asked for",
    },
    "nn": {"compiler": "Module.compile() compiles a module in place"},
    "hooks": {"tensor": "a hook is registered on a tensor or on its node"},
    "interop": {"tensor": "what NumPy hands over becomes a tensor"},
    "tensor": {"autograd": "backward() and in-place writes start the engine"},
    "autograd": {"retrograd": "gradcheck checks batched gradients with vmap, which is built on the engine"},
}
COMMAND = {"run", "notebook", "__main__"}  # what `import retrograd` must not load
# What may be imported at import, besides the standard library; the rest is imported where it is used.
AT_START = {"numpy", "ml_dtypes", "retrograd"}


def room_of(dotted: str, rooms: Collection[str]) -> str:
    """Return the narrowest room of the table that a module lies in, else its top folder or file."""
    parts = dotted.split(".")
    names = [".".join(parts[:end]) for end in range(len(parts), 0, -1)]
    return next((name for name in names if name in rooms), parts[0])


def dotted_name(path: Path, package: Path) -> str:
    return ".".join(path.relative_to(package).with_suffix("").parts)


def targets(node: ast.AST, path: Path, package: Path) -> Iterator[str]:
    """Yield the dotted names that an import statement may load; relative ones are made absolute."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        here = ("retrograd", *path.relative_to(package).parent.parts)
        base = ".".join(here[: len(here) - node.level + 1]) if node.level else ""
        module = ".".join(part for part in (base, node.module) if part)
        yield from (f"{module}.{alias.name}" for alias in node.names)


def room_named(target: str, package: Path, rooms: Collection[str]) -> str | None:
    """Return the room that a dotted name lies in, or None for other packages."""
    top, *inside = target.split(".")
    if top != "retrograd":
        return None
    if inside and ((package / inside[0]).is_dir() or (package / f"{inside[0]}.py").exists()):
        return room_of(".".join(inside), rooms)
    return "retrograd"


def trespasses(
    package: Path, may_import: dict[str, set[str]], late: dict[str, dict[str, str]] | None = None
) -> list[str]:
    """List the imports that the tables do not allow."""
    found = []
    for path in sorted(package.rglob("*.py")):
        room = room_of(dotted_name(path, package), may_import)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        early = set(at_start(tree))
        for node in ast.walk(tree):
            rooms = {room_named(target, package, may_import) for target in targets(node, path, package)}
            for wanted in sorted(filter(None, rooms - {room})):
                if room == "__init__":
                    allowed = wanted not in COMMAND and "retrograd" not in may_import.get(wanted, set())
                else:
                    late_here = (late or {}).get(room, {}) if node not in early else {}
                    allowed = wanted in may_import.get(room, set()) or wanted in late_here
                if not allowed:
                    found.append(f"{path.relative_to(package)}:{node.lineno}: {room} imports {wanted}")
    return found


def at_start(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield the statements that run at import: not those in functions, nor those for types only."""
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            todo.extend(node.orelse)
            continue
        if isinstance(node, ast.stmt):
            yield node
        todo.extend(ast.iter_child_nodes(node))


def heavy_imports(package: Path) -> list[str]:
    found = []
    for path in sorted(package.rglob("*.py")):
        for node in at_start(ast.parse(path.read_text(encoding="utf-8"))):
            for target in targets(node, path, package):
                top = target.split(".")[0]
                if top not in AT_START and top not in sys.stdlib_module_names:
                    found.append(
                        f"{path.relative_to(package)}:{node.lineno}: imports {target} at import time"
                    )
    return found


def test_rooms_import_only_rooms_below() -> None:
    found = trespasses(PACKAGE, MAY_IMPORT, LATE)
    assert not found, "\n" + "\n".join(found)


def test_every_room_is_in_the_table() -> None:
    rooms = {room_of(dotted_name(path, PACKAGE), MAY_IMPORT) for path in PACKAGE.rglob("*.py")} - {"__init__"}
    unknown = sorted(rooms - set(MAY_IMPORT))
    assert not unknown, f"say in MAY_IMPORT what these may import: {unknown}"


def test_the_table_has_a_bottom() -> None:
    """No two rooms may import each other, over however many steps."""
    left = {room: allowed & set(MAY_IMPORT) - {room} for room, allowed in MAY_IMPORT.items()}
    while ready := {room for room, allowed in left.items() if not allowed & set(left)}:
        for room in ready:
            del left[room]
    assert not left, f"these form a circle: {sorted(left)}"


def test_import_loads_numpy_and_the_standard_library_only() -> None:
    found = heavy_imports(PACKAGE)
    assert not found, "\n" + "\n".join(found)


def test_import_loads_no_room_that_waits_until_it_is_asked_for() -> None:
    late = ["arrays", "compiler", "distributions", "func", "native", "nn", "optim", "show", "sparse", "utils"]
    program = f"import retrograd, sys; print([r for r in {late} if 'retrograd.' + r in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, cwd=PACKAGE.parent, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("threshold", [(700, 10, 10), (0, 10, 10), (123, 4, 5)])
def test_import_leaves_the_garbage_collector_as_it_was(threshold: tuple[int, int, int]) -> None:
    program = (
        f"import gc; gc.set_threshold(*{threshold}); import retrograd; "
        f"assert gc.get_threshold() == {threshold} and gc.isenabled(), gc.get_threshold()"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=PACKAGE.parent)


PLANTED = {
    "import retrograd.tensor": "tensor",
    "from retrograd import tensor": "tensor",
    "from retrograd.tensor import Tensor": "tensor",
    "from ..tensor import Tensor": "tensor",
    "from .. import tensor": "tensor",
    "def f():\n    from retrograd import tensor": "tensor",
    "from retrograd import Tensor": "retrograd",
    "import retrograd": "retrograd",
}


@pytest.fixture
def house(tmp_path: Path) -> Path:
    package = tmp_path / "retrograd"
    (package / "ops").mkdir(parents=True)
    for name in ("__init__.py", "tensor.py", "errors.py", "ops/__init__.py"):
        (package / name).write_text("")
    return package


@pytest.mark.parametrize("text", PLANTED)
def test_a_planted_trespass_is_seen(text: str, house: Path) -> None:
    (house / "ops" / "planted.py").write_text(text)
    (found,) = trespasses(house, {"ops": {"errors"}})
    assert found.endswith(f"ops imports {PLANTED[text]}")


@pytest.mark.parametrize(
    "text",
    ["from retrograd import errors", "from . import planted", "import numpy", "from ..errors import x"],
)
def test_what_is_allowed_is_let_through(text: str, house: Path) -> None:
    (house / "ops" / "planted.py").write_text(text)
    assert trespasses(house, {"ops": {"errors"}}) == []


def test_a_file_with_a_row_of_its_own_is_a_room_apart(house: Path) -> None:
    (house / "ops" / "planted.py").write_text("from retrograd import tensor")
    (house / "ops" / "plain.py").write_text("from retrograd.ops import planted")
    assert trespasses(house, {"ops": {"ops.planted"}, "ops.planted": {"tensor"}}) == []
    (found,) = trespasses(house, {"ops": set(), "ops.planted": {"tensor"}})
    assert "plain.py" in found


def test_a_late_import_is_let_through_inside_a_function_only(house: Path) -> None:
    late = {"ops": {"tensor": "why"}}
    (house / "ops" / "planted.py").write_text("def f():\n    from retrograd import tensor")
    assert trespasses(house, {"ops": set()}, late) == []
    (house / "ops" / "planted.py").write_text("from retrograd import tensor")
    assert len(trespasses(house, {"ops": set()}, late)) == 1


def test_importing_the_command_from_the_package_is_seen(house: Path) -> None:
    (house / "run.py").write_text("")
    (house / "__init__.py").write_text("from retrograd import run, tensor")
    assert len(trespasses(house, {})) == 1


def test_gathering_what_imports_the_gathering_is_seen(house: Path) -> None:
    (house / "__init__.py").write_text("from retrograd import tensor")
    assert trespasses(house, {"tensor": set()}) == []
    assert len(trespasses(house, {"tensor": {"retrograd"}})) == 1


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("import matplotlib", 1),
        ("try:\n    import llvmlite\nexcept ImportError:\n    pass", 1),
        ("class A:\n    import scipy.linalg", 1),
        ("def f():\n    import matplotlib", 0),
        ("if TYPE_CHECKING:\n    import matplotlib", 0),
        ("import os, numpy as np, ml_dtypes", 0),
    ],
)
def test_a_planted_heavy_import_is_seen(text: str, count: int, house: Path) -> None:
    (house / "ops" / "planted.py").write_text(text)
    assert len(heavy_imports(house)) == count
