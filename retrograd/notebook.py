"""Run the code cells of a notebook (nbformat 4) in one namespace and record what they give, as Jupyter would.

Knows nothing of retrograd: the `retrograd` command supplies the namespace. What IPython adds to Python is
skipped with a notice: `%magic` lines, `!command` lines, and cells that are not Python at all.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import linecache
import re
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, TextIO

SKIPPED_LINE = re.compile(r"^\s*([%!?]\s*\S.*|\w[\w.]*\?\??\s*)$")
PYTHON_CELLS = ("%%time", "%%timeit", "%%capture", "%%prun")  # magics that wrap a cell of Python

Output = dict[str, Any]
FormatError = Callable[[BaseException], list[str]]


class _Tee:
    """A stream that shows what is written and records it as an output; in all else it is the live stream."""

    def __init__(self, live: TextIO, name: str, outputs: list[Output]) -> None:
        self.live, self.name, self.outputs = live, name, outputs

    def write(self, text: str) -> int:
        last = self.outputs[-1] if self.outputs else {}
        if last.get("name") == self.name:
            last["text"] += text
        elif text:
            self.outputs.append({"output_type": "stream", "name": self.name, "text": text})
        return self.live.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        self.write("".join(lines))

    def isatty(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.live, name)


def read(path: Path) -> dict[str, Any]:
    """Read a notebook.

    Raises:
        ValueError: when the file is not a notebook of format 4.
    """
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        cells = notebook["cells"]
        good = notebook["nbformat"] == 4 and isinstance(cells, list)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a notebook of format 4: {type(error).__name__}: {error}") from error
    if not good:
        raise ValueError(f"{path} is not a notebook of format 4; got nbformat {notebook['nbformat']}")
    return notebook  # type: ignore[no-any-return]


def write(notebook: dict[str, Any], path: Path) -> None:
    """Write a notebook as Jupyter does: text as lists of lines, so that versions compare line by line."""
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            if isinstance(output.get("text"), str):
                output["text"] = output["text"].splitlines(keepends=True)
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def execute(
    notebook: dict[str, Any],
    namespace: dict[str, Any],
    *,
    name: str,
    format_error: FormatError = lambda error: [repr(error)],
    allow_errors: bool = False,
) -> int:
    """Run the code cells in order, replacing their outputs in place; return how many raised.

    Stops at the first cell that raises unless `allow_errors`. SystemExit passes through.
    """
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    results = namespace["Out"] = {}
    failed = count = 0
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code" or not "".join(cell["source"]).strip():
            continue
        count += 1
        cell["execution_count"] = count
        outputs = cell["outputs"]
        namespace["display"] = partial(_display, outputs)
        out: Any = _Tee(sys.stdout, "stdout", outputs)
        err: Any = _Tee(sys.stderr, "stderr", outputs)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                _run_cell(
                    "".join(cell["source"]), namespace, f"{name}, cell {count}", count, outputs, results
                )
                _keep_figures(outputs)
            except SystemExit:
                raise
            except BaseException as error:  # noqa: BLE001 - a cell may raise anything; it is recorded
                failed += 1
                _record_error(error, format_error, outputs)
                if not allow_errors or isinstance(error, KeyboardInterrupt):
                    break
    return failed


def _run_cell(
    source: str,
    namespace: dict[str, Any],
    place: str,
    count: int,
    outputs: list[Output],
    results: dict[int, Any],
) -> None:
    """Run one cell; the value of a last line that is an expression becomes its result."""
    code = python_of(source, lambda what: print(f"retrograd run: {place}: skipped {what!r}", file=sys.stderr))
    linecache.cache[place] = (len(code), None, code.splitlines(keepends=True), place)  # for tracebacks
    tree = ast.parse(code, place)
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, ast.Expr) or code.rstrip().endswith(";"):
        exec(compile(tree, place, "exec", dont_inherit=True), namespace)  # noqa: S102 - the purpose
        return
    del tree.body[-1]
    exec(compile(tree, place, "exec", dont_inherit=True), namespace)  # noqa: S102
    value = eval(compile(ast.Expression(last.value), place, "eval", dont_inherit=True), namespace)  # noqa: S307
    if value is not None:
        results[count] = namespace["_"] = value
        outputs.append({"output_type": "execute_result", "execution_count": count, **_as_text(value)})
        _show(f"Out[{count}]: {outputs[-1]['data']['text/plain']}")


def python_of(source: str, notice: Callable[[str], None] = lambda _: None) -> str:
    r"""Return a cell's Python: as it is when it parses, else with IPython's lines replaced by `pass`.

    Example:
        >>> python_of("%matplotlib inline\nx = 1")
        'pass\nx = 1'
    """
    if source.lstrip().startswith("%%"):
        first, _, rest = source.lstrip().partition("\n")
        notice(first)
        return "pass\n" + rest if first.startswith(PYTHON_CELLS) else "pass"
    try:
        ast.parse(source)
    except SyntaxError:
        lines = source.split("\n")
        for number, line in enumerate(lines):
            if SKIPPED_LINE.match(line):
                notice(line.strip())
                lines[number] = line[: len(line) - len(line.lstrip())] + "pass"
        return "\n".join(lines)
    return source


def _as_text(value: Any) -> dict[str, Any]:
    return {"data": {"text/plain": repr(value)}, "metadata": {}}


def _display(outputs: list[Output], *values: Any) -> None:
    for value in values:
        outputs.append({"output_type": "display_data", **_as_text(value)})
        _show(repr(value))


def _show(text: str) -> None:
    """Print past the recording."""
    live = sys.stdout.live if isinstance(sys.stdout, _Tee) else sys.stdout
    print(text, file=live)


def _record_error(error: BaseException, format_error: FormatError, outputs: list[Output]) -> None:
    lines = format_error(error)
    live = sys.stderr.live if isinstance(sys.stderr, _Tee) else sys.stderr
    live.write("".join(lines))
    outputs.append(
        {
            "output_type": "error",
            "ename": type(error).__name__,
            "evalue": str(error),
            "traceback": "".join(lines).rstrip("\n").split("\n"),
        }
    )


def _keep_figures(outputs: list[Output]) -> None:
    """Record the figures that the cell left open, as the inline backend does, and close them."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return
    for number in pyplot.get_fignums():
        image = io.BytesIO()
        figure = pyplot.figure(number)
        figure.savefig(image, format="png", bbox_inches="tight")
        data = {"image/png": base64.b64encode(image.getvalue()).decode(), "text/plain": repr(figure)}
        outputs.append({"output_type": "display_data", "data": data, "metadata": {}})
    pyplot.close("all")
