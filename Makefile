# Every target makes .venv where it is missing and installs into it what it needs, once: a stamp file per set of
# packages, renewed when pyproject.toml changes.

PYTHON ?= python3
JOBS ?= 2
VENV := .venv
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test test-long check format bench venv clean distclean

demo: $(VENV)/.has-demo
	$(VENV)/bin/python examples/digits.py

# Without torch in the environment the tests that compare with it are skipped, and counted as skipped.
test: $(VENV)/.has-test
	$(VENV)/bin/python -m pytest -n $(JOBS) -q -rfEs

# All samples, shapes and machines of the tests of compiled code, of which `make test` takes some of each kind.
test-long: $(VENV)/.has-test
	$(VENV)/bin/python -m pytest -n $(JOBS) -q -rfEs --long

check: $(VENV)/.has-dev test
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

format: $(VENV)/.has-dev
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

# Races retrograd against torch, which is not installed for you, and against JAX where that is installed.
bench: $(VENV)/.has-demo
	$(VENV)/bin/python benchmarks/race.py

venv: $(VENV)/.made

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "retrograd needs Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.has-demo: $(VENV)/.made pyproject.toml
	$(PIP) --editable '.[demo]'
	touch $@

$(VENV)/.has-test: $(VENV)/.made pyproject.toml
	$(PIP) --editable '.[demo,test]'
	touch $@

$(VENV)/.has-dev: $(VENV)/.made pyproject.toml
	$(PIP) --editable '.[demo,test,dev]'
	touch $@

clean:
	rm -rf out dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)
