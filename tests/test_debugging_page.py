"""The examples of docs/debugging.md print what it says they print, and its session with pdb goes as shown."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import retrograd

ROOT = Path(retrograd.__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "debugging.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
@pytest.mark.filterwarnings("ignore")
def test_examples(number, tmp_path, monkeypatch, capsys):
    code, expected = BLOCKS[number]
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "train.py", "exec"), {"__name__": "example"})
    assert expected
    assert capsys.readouterr().out == expected


def test_every_example_is_run():
    assert len(BLOCKS) == PAGE.count("```python") >= 8


def test_the_table_names_tools_that_are_there():
    for name in set(re.findall(r"`graph\.(\w+)\(", PAGE)):
        assert getattr(retrograd.autograd.graph, name).__doc__


def plain(text):
    """Take line numbers of the package's files, and addresses, out of a session."""
    return re.sub(r"0x[0-9a-f]+", "0x", re.sub(r"> \S*(retrograd/\S+)\(\d+\)", r"> \1", text))


def test_the_session_with_pdb(tmp_path):
    program, session = re.search(
        r"\n((?:    with [^\n]*\n        [^\n]*\n))\n((?:    [^\n]*\n)+)", PAGE
    ).groups()
    session = re.sub(r"^    ", "", session, flags=re.MULTILINE)
    program = re.sub(r"^    ", "", program, flags=re.MULTILINE)
    start = "import retrograd as torch\nloss = torch.tensor([2.0, 3.0], requires_grad=True).log().sum()\n"
    (tmp_path / "train.py").write_text(start + program, encoding="utf-8")
    commands = re.findall(r"^\(Pdb\) (.*)$", session, re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "train.py"],
        input="\n".join([*commands, "c", ""]),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONBREAKPOINT": ""},
        cwd=tmp_path,
    )
    shown = re.sub(r"^\(Pdb\) .*\n", "(Pdb) ", session, flags=re.MULTILINE)  # pdb does not echo commands
    assert plain(done.stdout).strip().removesuffix("(Pdb)").strip() == plain(shown).strip()
