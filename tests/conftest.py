"""What all tests share: seeds, one thread, torch as the oracle, and a count of the tests that missed it."""

from __future__ import annotations

import os

# Before NumPy and torch load: where cores are shared, threads that wait for each other cost too much.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import importlib  # noqa: E402
import random  # noqa: E402

import numpy as np  # noqa: E402
import pytest  # noqa: E402

NO_TORCH = "torch is not installed"


@pytest.fixture(autouse=True)
def seeded():
    """Give every test the same random numbers, whatever ran before it."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - for code under test that draws from NumPy's global generator
    importlib.import_module("retrograd").manual_seed(0)


@pytest.fixture(scope="session")
def torch_or_skip():
    """Give the installed torch, with one thread; skip the test where there is none."""
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        pytest.skip(NO_TORCH)
    torch.set_num_threads(1)
    return torch


def pytest_addoption(parser):
    parser.addoption(
        "--long", action="store_true", help="run all samples, shapes and machines, not some of each"
    )


def pytest_collection_modifyitems(config, items):
    """Leave out what is marked as long, unless it is asked for."""
    left_out = [] if config.getoption("--long") else [i for i in items if i.get_closest_marker("long")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [i for i in items if not i.get_closest_marker("long")]


@pytest.fixture
def is_long(request):
    """Whether all samples are asked for, not some of each kind."""
    return request.config.getoption("--long")


def pytest_terminal_summary(terminalreporter):
    missed = [r for r in terminalreporter.stats.get("skipped", []) if NO_TORCH in str(r.longrepr)]
    if missed:
        terminalreporter.write_line(f"{len(missed)} tests against torch were skipped: {NO_TORCH}")
