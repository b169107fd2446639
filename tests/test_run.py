"""`retrograd run` and `info`: programs written for torch run unmodified, with their own exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import retrograd
from retrograd import notebook, run

ROOT = Path(retrograd.__file__).resolve().parent.parent


def retro(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command in a fresh process."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-m", "retrograd", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path},
    )


@pytest.fixture
def script(tmp_path: Path) -> Any:
    def write(text: str) -> Path:
        path = tmp_path / "program.py"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def book(tmp_path: Path) -> Any:
    def write(*cells: str) -> Path:
        path = tmp_path / "book.ipynb"
        made = [
            {"cell_type": "code", "source": cell, "metadata": {}, "outputs": ["stale"], "execution_count": 9}
            for cell in cells
        ]
        text: dict[str, Any] = {"cell_type": "markdown", "source": ["# A title"], "metadata": {}}
        path.write_text(
            json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [text, *made]})
        )
        return path

    return write


def executed(path: Path, *options: str) -> tuple[int, list[list[dict[str, Any]]]]:
    """Run a notebook in this process; return the status and the outputs of its code cells."""
    out = path.with_name("executed.ipynb")
    status = run.main(["run", str(path), "--out", str(out), *options])
    cells = json.loads(out.read_text(encoding="utf-8"))["cells"]
    return status, [cell["outputs"] for cell in cells if cell["cell_type"] == "code"]


# Scripts


def test_torch_is_retrograd_module_for_module(script: Any) -> None:
    done = retro(
        "run",
        script(
            "import torch, torch.nn as nn, torch.nn.functional as F, sys\n"
            "from torch.utils.data import DataLoader\n"
            "from torch import optim\n"
            "import retrograd, retrograd.nn.functional, retrograd.utils.data\n"
            "assert torch is retrograd and nn is retrograd.nn and F is retrograd.nn.functional\n"
            "assert DataLoader is retrograd.utils.data.DataLoader and optim is retrograd.optim\n"
            "assert sys.modules['torch.nn'] is sys.modules['retrograd.nn']\n"
            "assert torch.nn.__spec__.name == 'retrograd.nn' == torch.nn.__name__\n"
            "print('same')\n"
        ),
    )
    assert (done.stdout, done.stderr, done.returncode) == ("same\n", "", 0)


def test_the_script_owns_argv_name_and_path(script: Any, tmp_path: Path) -> None:
    (tmp_path / "neighbour.py").write_text("value = 7\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    path = script(
        "import sys, neighbour\n"
        "print(__name__, sys.argv[1:], sys.argv[0] == __file__, neighbour.value)\n"
        "print(sys.modules['__main__'].__dict__ is globals())\n"
        "print(sys.path[0], any('elsewhere' in entry for entry in sys.path))\n"
    )
    done = retro("run", path, "--epochs", "3", "--out", "x", "--help", "--", cwd=elsewhere)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "__main__ ['--epochs', '3', '--out', 'x', '--help', '--'] True 7",
        "True",
        f"{tmp_path} False",
    ]


def test_the_script_does_not_inherit_future_imports(script: Any) -> None:
    done = retro("run", script("def f(x: int): ...\nprint(f.__annotations__['x'] is int)\n"))
    assert done.stdout == "True\n"


@pytest.mark.parametrize(
    ("line", "status", "message"),
    [("pass", 0, ""), ("sys.exit()", 0, ""), ("sys.exit(3)", 3, ""), ("sys.exit('why')", 1, "why\n")],
)
def test_exit_status_is_the_scripts(script: Any, line: str, status: int, message: str) -> None:
    done = retro("run", script(f"import sys\n{line}\n"))
    assert (done.returncode, done.stderr) == (status, message)


def test_an_uncaught_exception_shows_the_scripts_frames_only(script: Any) -> None:
    path = script("import torch.nn as nn\n\ndef build():\n    return nn.Linear(2, 'two')\n\nbuild()\n")
    done = retro("run", path)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert [line.split(",")[0] for line in lines if line.startswith("  File")] == [f'  File "{path}"'] * 2
    assert "line 6, in <module>" in done.stderr
    assert "line 4, in build" in done.stderr
    assert "run.py" not in done.stderr
    assert "run.py" in retro("run", "--traceback", path).stderr


def test_a_cause_is_limited_to_the_scripts_frames_too(script: Any) -> None:
    path = script(
        "import torch\n"
        "try:\n    torch.nn.Linear(2, 'two')\n"
        "except Exception as e:\n    raise RuntimeError('later') from e\n"
    )
    done = retro("run", path)
    assert "direct cause" in done.stderr
    assert done.stderr.endswith("RuntimeError: later\n")
    files = [line.split(",")[0] for line in done.stderr.splitlines() if line.startswith("  File")]
    assert files == [f'  File "{path}"'] * 2
    assert "retrograd" in retro("run", "--traceback", path).stderr


def test_a_syntax_error_points_into_the_script(script: Any) -> None:
    path = script("x = 1\ny = (\n")
    done = retro("run", path)
    assert done.returncode == 1
    assert f'File "{path}", line 2' in done.stderr
    assert "SyntaxError" in done.stderr
    assert "run.py" not in done.stderr


def test_the_scripts_own_excepthook_is_called(script: Any) -> None:
    done = retro(
        "run",
        script("import sys\nsys.excepthook = lambda t, e, tb: print('mine:', e)\nraise KeyError('k')\n"),
    )
    assert (done.stdout, done.stderr, done.returncode) == ("mine: 'k'\n", "", 1)


def test_an_interrupt_is_status_130(script: Any) -> None:
    done = retro("run", script("raise KeyboardInterrupt\n"))
    assert done.returncode == 130
    assert done.stderr.endswith("KeyboardInterrupt\n")


def test_a_module_shown_by_its_parent_under_another_path_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    import string

    monkeypatch.setattr(retrograd, "shown_here", string, raising=False)
    assert run._counterpart("torch.shown_here") is string


def test_a_module_that_retrograd_lacks_is_named(script: Any) -> None:
    done = retro(
        "run",
        script(
            "try:\n"
            "    import torch.no_such_thing.at_all\n"
            "except ModuleNotFoundError as error:\n"
            "    print(error, '|', error.name)\n"
        ),
    )
    assert "retrograd.no_such_thing" in done.stdout
    assert done.stdout.endswith("| torch.no_such_thing\n")


def test_an_import_that_fails_inside_a_module_is_not_blamed_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> Any:
        raise ModuleNotFoundError("No module named 'elsewhere'", name="elsewhere")

    monkeypatch.setattr(run.importlib, "import_module", broken)
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'elsewhere'$"):
        run._counterpart("torch.nn")


@pytest.mark.parametrize("name", ["absent.py", "absent.ipynb", "."])
def test_a_file_that_cannot_be_opened(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["run", str(tmp_path / name)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("retrograd run: can't open file")
    assert err.count("\n") == 1


def test_running_leaves_the_process_as_it_was(script: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = ModuleType("torch")
    monkeypatch.setitem(sys.modules, "torch", real)
    before = sys.argv, list(sys.path), sys.modules["__main__"], list(sys.meta_path)
    assert run.main(["run", str(script("import torch.nn, retrograd\nassert torch is retrograd\n"))]) == 0
    assert (sys.argv, list(sys.path), sys.modules["__main__"], list(sys.meta_path)) == before
    assert sys.modules["torch"] is real


# Notebooks


def test_a_notebook_runs_in_one_namespace_and_records(book: Any, capsys: pytest.CaptureFixture[str]) -> None:
    path = book(
        "import torch\nx = torch.ones(2)\nprint(x.sum().item())",
        "import sys\nprint('a')\nprint('b', file=sys.stderr)\nx.shape[0] + 40",
        "_ + Out[2]",
        "",
        "None",
        "x.shape[0];",
    )
    status, outputs = executed(path)
    assert status == 0
    assert outputs == [
        [{"output_type": "stream", "name": "stdout", "text": ["2.0\n"]}],
        [
            {"output_type": "stream", "name": "stdout", "text": ["a\n"]},
            {"output_type": "stream", "name": "stderr", "text": ["b\n"]},
            {
                "output_type": "execute_result",
                "execution_count": 2,
                "data": {"text/plain": "42"},
                "metadata": {},
            },
        ],
        [
            {
                "output_type": "execute_result",
                "execution_count": 3,
                "data": {"text/plain": "84"},
                "metadata": {},
            }
        ],
        [],
        [],
        [],
    ]
    out, err = capsys.readouterr()
    assert out == "2.0\na\nOut[2]: 42\nOut[3]: 84\n"
    assert err == "b\n"


def test_execution_counts_and_other_cells_are_kept(book: Any) -> None:
    path = book("1", "", "2")
    executed(path)
    cells = json.loads(path.with_name("executed.ipynb").read_text())["cells"]
    assert [cell.get("execution_count") for cell in cells] == [None, 1, None, 2]
    assert cells[0] == json.loads(path.read_text())["cells"][0]


def test_an_exception_is_recorded_and_stops(book: Any, capsys: pytest.CaptureFixture[str]) -> None:
    status, outputs = executed(book("print('before')", "def f():\n    return 1 / 0\nf()", "print('after')"))
    assert status == 1
    assert len(outputs[1]) == 1
    error = outputs[1][0]
    assert (error["output_type"], error["ename"], error["evalue"]) == (
        "error",
        "ZeroDivisionError",
        "division by zero",
    )
    assert error["traceback"][0] == "Traceback (most recent call last):"
    assert "    return 1 / 0" in error["traceback"]
    assert [line for line in error["traceback"] if line.startswith("  File")] == [
        '  File "book.ipynb, cell 2", line 3, in <module>',
        '  File "book.ipynb, cell 2", line 2, in f',
    ]
    assert outputs[2] == []
    assert "after" not in capsys.readouterr().out


def test_allow_errors_goes_on(book: Any) -> None:
    status, outputs = executed(book("1 / 0", "print('after')"), "--allow-errors")
    assert status == 1
    assert outputs[1][0]["text"] == ["after\n"]


def test_an_interrupt_stops_even_so(book: Any) -> None:
    status, outputs = executed(book("raise KeyboardInterrupt", "print('after')"), "--allow-errors")
    assert (status, outputs[1]) == (1, [])


def test_magics_and_commands_are_skipped_with_a_notice(book: Any, capsys: pytest.CaptureFixture[str]) -> None:
    status, outputs = executed(
        book(
            "%matplotlib inline\n!pip install torch\nif True:\n    %time pass\nx = 3",
            "%%bash\nexit 1",
            "%%time\nprint(x)",
            "text = '''\n%kept\n!kept\n'''\nprint(len(text.split()))",
        )
    )
    assert status == 0
    assert [o["text"] for o in outputs[2] if o["name"] == "stdout"] == [["3\n"]]
    assert outputs[3][0]["text"] == ["2\n"]
    err = capsys.readouterr().err
    for skipped in ("%matplotlib inline", "!pip install torch", "%time pass", "%%bash", "%%time"):
        assert repr(skipped) in err
    assert "kept" not in err


def test_line_numbers_survive_a_skipped_line(book: Any) -> None:
    _, outputs = executed(book("%magic\n\n1 / 0"))
    assert any("line 3" in line for line in outputs[0][-1]["traceback"])


def test_sys_exit_in_a_notebook_ends_it_with_that_status_and_saves(book: Any, tmp_path: Path) -> None:
    out = tmp_path / "out.ipynb"
    done = retro("run", "--out", out, book("print('x')", "raise SystemExit(5)", "print('y')"))
    assert (done.returncode, done.stdout) == (5, "x\n")
    assert json.loads(out.read_text())["cells"][1]["outputs"][0]["text"] == ["x\n"]


def test_a_notebook_runs_in_its_own_folder_with_arguments(book: Any, tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("here")
    path = book("import sys\nprint(open('data.txt').read(), sys.argv[1:], __name__)")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = retro("run", path, "--out", "saved.ipynb", "-n", "4", cwd=elsewhere)
    assert done.stdout == "here ['-n', '4'] __main__\n"
    assert (elsewhere / "saved.ipynb").exists()


def test_display_shows_a_value_in_mid_cell(book: Any, capsys: pytest.CaptureFixture[str]) -> None:
    _, outputs = executed(book("display(1, 'two')\nprint('end')"))
    assert [o["output_type"] for o in outputs[0]] == ["display_data", "display_data", "stream"]
    assert capsys.readouterr().out == "1\n'two'\nend\n"


def test_figures_are_kept(book: Any) -> None:
    pytest.importorskip("matplotlib")
    _, outputs = executed(book("import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()", "1"))
    kinds = [sorted(o["data"]) for o in outputs[0] if o["output_type"] == "display_data"]
    assert kinds == [["image/png", "text/plain"]]
    assert [o["output_type"] for o in outputs[1]] == ["execute_result"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"nbformat": 3, "cells": []}', '{"nbformat": 4, "cells": 1}']
)
def test_a_file_that_is_no_notebook(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "book.ipynb"
    path.write_text(text)
    assert run.main(["run", str(path)]) == 2
    assert "is not a notebook of format 4" in capsys.readouterr().err


def test_source_may_be_a_list_of_lines(book: Any) -> None:
    path = book("")
    cells = json.loads(path.read_text())
    cells["cells"][1]["source"] = ["a = 1\n", "a + 1"]
    path.write_text(json.dumps(cells))
    assert executed(path)[1][0][0]["data"] == {"text/plain": "2"}


def test_python_is_left_alone_when_it_parses() -> None:
    source = "x = 7\ny = (x\n% 4)"
    assert notebook.python_of(source) == source


# info


def test_info_names_what_is_installed() -> None:
    done = retro("info")
    assert (done.returncode, done.stderr) == (0, "")
    facts = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert list(facts) == [
        "retrograd",
        "python",
        "numpy",
        "ml_dtypes",
        "llvmlite",
        "threads",
        "blas",
        "compiler",
    ]
    assert facts["python"].startswith(".".join(map(str, sys.version_info[:3])))
    assert "cores" in facts["threads"]


def test_info_without_the_optional_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("llvmlite", "threadpoolctl"):
        monkeypatch.setitem(sys.modules, name, None)
    text = run.describe()
    assert "pip install threadpoolctl" in text
    assert "pip install llvmlite" in text
    assert run._version("surely-not-a-package") == "not installed"


def test_importing_retrograd_does_not_import_the_command() -> None:
    code = "import retrograd, sys; print({'retrograd.run', 'retrograd.notebook'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "set()\n"


def test_no_command_is_an_error_with_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        run.main([])
    assert error.value.code == 2
    assert "usage: retrograd" in capsys.readouterr().err
