"""The examples of README.md run, and print what it says they print; what it links to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import retrograd

README = Path(retrograd.__file__).resolve().parent.parent / "README.md"
BLOCKS = re.findall(
    r"```python\n(.*?)```(?:\s*[^`]*?```text\n(.*?)```)?", README.read_text(encoding="utf-8"), re.DOTALL
)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_examples(number: int, tmp_path: Path, monkeypatch, capsys) -> None:
    code, expected = BLOCKS[number]
    monkeypatch.chdir(tmp_path)
    exec(compile(code, f"README.md, example {number}", "exec"), {"__name__": "example"})
    assert capsys.readouterr().out == expected


def test_there_are_examples_and_one_prints() -> None:
    assert len(BLOCKS) >= 2
    assert any(expected for _, expected in BLOCKS)


def test_links_to_files_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README.read_text(encoding="utf-8"))
    assert [link for link in links if not (README.parent / link).exists()] == []


def test_the_table_of_contents_is_complete() -> None:
    text = README.read_text(encoding="utf-8")
    heads = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert re.findall(r"^- \[(.+?)\]\(#(.+?)\)$", text, re.MULTILINE) == [
        (head, head.lower().replace(" ", "-")) for head in heads
    ]
