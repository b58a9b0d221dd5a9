# The two commands of the README. Each makes what it needs: a machine with
# Python >= 3.11, make and gcc will do.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: demo test check format bench faults clean

demo: $(VENV)/.ready  ## start the simulated microscope with the whole system
	$(BIN)/scopeside demo $(ARGS)

test: $(VENV)/.ready-dev  ## everything that CI runs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest $(ARGS)

faults: $(VENV)/.ready-dev  ## kill processes twenty times each, compare results
	$(BIN)/python -m pytest tests/faults --kills 20 $(ARGS)

bench: $(VENV)/.ready-dev  ## the whole path, measured; prints a table
	$(BIN)/python bench/throughput.py $(ARGS)

format: $(VENV)/.ready-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "scopeside needs Python 3.11 or newer; say which: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.ready: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[formats]'
	@touch $@

$(VENV)/.ready-dev: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/.ready
