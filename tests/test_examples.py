"""The demo learns what it says it learns, and leaves what it says it leaves."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

import retrograd

ROOT = Path(retrograd.__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> tuple[str, Path]:
    for package in ("sklearn", "tqdm", "matplotlib"):
        pytest.importorskip(package)
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "digits.py"],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "HOME": str(folder)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, folder / "out"


def test_reads_97_in_100_digits_also_after_reloading(demo: tuple[str, Path]) -> None:
    text, _ = demo
    trained = float(re.search(r"trained in .*: ([\d.]+)% of the test digits", text)[1])
    before, after = map(float, re.search(r"reads ([\d.]+)% .* and ([\d.]+)% with the saved", text).groups())
    assert trained >= 97
    assert after == trained
    assert before < 50


def test_leaves_the_files_it_names(demo: tuple[str, Path]) -> None:
    text, out = demo
    names = re.findall(r"^  out/(\S+)$", text, re.MULTILINE)
    assert sorted(names) == sorted(path.name for path in out.iterdir())
    for name in ("digits_curves.png", "digits_confusion.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    drawn = {element.text for element in ET.parse(out / "digits_graph.svg").iter() if element.text}
    assert {"conv1.weight", "conv2.bias", "linear.weight", "result"} <= drawn


def test_weights_are_readable_by_others(demo: tuple[str, Path]) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    weights = safetensors.load_file(demo[1] / "digits.safetensors")
    assert weights["linear.weight"].shape == (10, 512)
    assert sum(array.size for array in weights.values()) == 9930
