"""The `retrograd` command: run programs written for torch, unmodified, and say what this installation is.

    retrograd run train.py --epochs 3
    retrograd run tutorial.ipynb --out executed.ipynb
    retrograd info

Inside a program that is run this way `torch` means retrograd: `import torch.nn as nn` gives the very module
that `import retrograd.nn` gives. Nothing here is imported by `import retrograd`.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import os
import platform
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import retrograd
from retrograd import notebook

ROOM = Path(__file__).parent  # frames of files in here are not the script's
UNUSABLE_FILE = 2  # exit status, as Python's own
INTERRUPTED = 130  # exit status by convention: 128 + SIGINT


class _Alias(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds `torch.x.y` by handing out the module object of `retrograd.x.y`."""

    def find_spec(
        self, fullname: str, path: Any = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "torch" and not fullname.startswith("torch."):
            return None
        module = _counterpart(fullname)
        return importlib.machinery.ModuleSpec(
            fullname, self, origin=getattr(module, "__file__", None), is_package=hasattr(module, "__path__")
        )

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module = _counterpart(spec.name)
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Run nothing, the module is loaded; give it back its spec, which the import system has replaced."""
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state


def _counterpart(fullname: str) -> ModuleType:
    """Return retrograd's module of a torch name: the file of that path, or what a package shows there."""
    name = "retrograd" + fullname.removeprefix("torch")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name + ".").startswith(error.name + "."):
            raise  # the module is there; something that it imports is not
    parent, _, child = fullname.rpartition(".")
    shown = getattr(_counterpart(parent), child, None)
    if isinstance(shown, ModuleType):
        return shown
    raise ModuleNotFoundError(
        f"No module named {name!r} (asked for as {fullname!r}): retrograd lacks it", name=fullname
    )


@contextmanager
def torch_means_retrograd() -> Iterator[None]:
    """Let `import torch` and every `import torch.x.y` give retrograd's modules.

    Example:
        >>> import retrograd
        >>> with torch_means_retrograd():
        ...     import torch.autograd
        ...     torch is retrograd
        True
    """
    finder = _Alias()
    hidden = {
        name: sys.modules.pop(name)
        for name in list(sys.modules)
        if name == "torch" or name.startswith("torch.")
    }
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name == "torch" or name.startswith("torch.")]:
            del sys.modules[name]
        sys.modules.update(hidden)


@contextmanager
def as_main(path: Path, argv: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Give a program its own `__main__`, sys.argv and sys.path[0], and yield the namespace it runs in."""
    module = ModuleType("__main__")
    module.__file__ = str(path)
    vars(module)["__builtins__"] = __builtins__
    before = sys.modules["__main__"], sys.argv, sys.path
    ours = (
        0 if sys.flags.safe_path else 1
    )  # how many entries of sys.path stand for the program that was started
    folder = [str(path.resolve().parent)] * ours
    sys.modules["__main__"], sys.argv, sys.path = module, list(argv), folder + sys.path[ours:]
    try:
        with torch_means_retrograd():
            yield vars(module)
    finally:
        sys.modules["__main__"], sys.argv, sys.path = before


def run_script(path: Path, arguments: Sequence[str], *, all_frames: bool = False) -> int:
    """Run a Python file as `python FILE ...` would, with torch meaning retrograd; return its exit status.

    SystemExit passes through: its code is the script's own.
    """
    with as_main(path, [str(path), *arguments]) as namespace:
        try:
            code = compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
            exec(code, namespace)  # noqa: S102 - running the file is the purpose
        except SystemExit:
            raise
        except BaseException as error:  # noqa: BLE001 - what the script did not catch ends here
            if sys.excepthook is not sys.__excepthook__:
                sys.excepthook(type(error), error, error.__traceback__)
            else:
                sys.stderr.write("".join(script_traceback(error, all_frames=all_frames)))
            return INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1
    return 0


def run_notebook(
    path: Path,
    arguments: Sequence[str],
    *,
    out: Path | None = None,
    allow_errors: bool = False,
    all_frames: bool = False,
) -> int:
    """Run the cells of a notebook in its folder, as Jupyter does; return 1 if one raised, else 0."""
    try:
        book = notebook.read(path)
    except ValueError as error:
        print(f"retrograd run: {error}", file=sys.stderr)
        return UNUSABLE_FILE
    out = out and out.resolve()
    os.environ.setdefault("MPLBACKEND", "agg")  # figures go into the outputs, not into windows
    warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")
    with as_main(path, [str(path), *arguments]) as namespace, chdir(path.resolve().parent):
        try:
            failed = notebook.execute(
                book,
                namespace,
                name=path.name,
                format_error=partial(script_traceback, all_frames=all_frames),
                allow_errors=allow_errors,
            )
        finally:
            if out:
                notebook.write(book, out)
    return 1 if failed else 0


def script_traceback(error: BaseException, *, all_frames: bool = False) -> list[str]:
    """Format a traceback without retrograd's own frames: its errors say in their text what went wrong."""
    report = traceback.TracebackException.from_exception(error)
    if not all_frames:
        _keep_script_frames(report)
    return list(report.format())


def _keep_script_frames(report: traceback.TracebackException | None) -> None:
    if report is None:
        return
    report.stack[:] = [frame for frame in report.stack if ROOM not in Path(frame.filename).parents]
    for inner in (report.__cause__, report.__context__, *(report.exceptions or ())):
        _keep_script_frames(inner)


def describe() -> str:
    """Say what is installed and what it runs on, one fact a line."""
    facts = {
        "retrograd": _version("retrograd"),
        "python": f"{platform.python_version()} ({platform.python_implementation()}, {platform.machine()})",
        "numpy": _version("numpy"),
        "ml_dtypes": _version("ml_dtypes"),
        "llvmlite": _version("llvmlite"),
        "threads": _threads(),
        "blas": _blas(),
        "compiler": _compiler(),
    }
    wide = max(map(len, facts))
    return "\n".join(f"{name:<{wide}}  {value}" for name, value in facts.items())


def _version(package: str) -> str:
    if package == "retrograd" and hasattr(retrograd, "__version__"):
        return str(retrograd.__version__)
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _threads() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    named = [
        f"{name}={os.environ[name]}"
        for name in ("RETROGRAD_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        if name in os.environ
    ]
    count = getattr(retrograd, "get_num_threads", lambda: cores)()
    return ", ".join([f"{count} on {cores} cores", *named])


def _blas() -> str:
    built: Any = np.show_config(mode="dicts")
    blas = built["Build Dependencies"]["blas"]
    text = f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()
    try:
        from threadpoolctl import threadpool_info  # noqa: PLC0415 - optional
    except ImportError:
        return f"{text} (pip install threadpoolctl to see which kernel it picked)"
    kernels = [p for p in threadpool_info() if p.get("user_api") == "blas"]
    return ", ".join(
        [text, *(f"{p.get('architecture', 'unknown')} kernel, {p['num_threads']} threads" for p in kernels)]
    )


def _compiler() -> str:
    try:
        from llvmlite import binding  # noqa: PLC0415 - optional
    except ImportError:
        return "NumPy only: pip install llvmlite for compiled kernels"
    return f"LLVM {'.'.join(map(str, binding.llvm_version_info))} for {binding.get_host_cpu_name()}"


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out a command line; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="retrograd", description="Run programs written for torch on retrograd."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    options = _run_options()
    run = commands.add_parser(
        "run",
        parents=[options],
        help="run a script or a notebook in which torch means retrograd",
        allow_abbrev=False,
    )
    run.add_argument("file", metavar="FILE", type=Path, help="a .py or .ipynb file")
    run.add_argument("args", nargs=argparse.REMAINDER, help="arguments of the program itself")
    commands.add_parser("info", help="print versions, threads, BLAS and compiler")
    given = parser.parse_args(argv)
    if given.command == "info":
        print(describe())
        return 0
    try:
        with given.file.open("rb"):
            pass
    except OSError as error:
        print(f"retrograd run: can't open file '{given.file}': {error.strerror}", file=sys.stderr)
        return UNUSABLE_FILE
    if given.file.suffix != ".ipynb":
        return run_script(given.file, given.args, all_frames=given.traceback)
    given, arguments = options.parse_known_args(given.args, given)  # a notebook's options may follow its name
    return run_notebook(
        given.file, arguments, out=given.out, allow_errors=given.allow_errors, all_frames=given.traceback
    )


def _run_options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    options.add_argument(
        "--out", metavar="FILE", type=Path, help="save the executed notebook, outputs included"
    )
    options.add_argument(
        "--allow-errors", action="store_true", help="go on after a notebook cell that raised"
    )
    options.add_argument(
        "--traceback", action="store_true", help="show retrograd's own frames in tracebacks too"
    )
    return options
