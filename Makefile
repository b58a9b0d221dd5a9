# What can be made side by side is: environments take the longest.
MAKEFLAGS += --jobs=4

# The two commands of the README. Each makes what it needs: a machine with
# Python >= 3.11, make and gcc will do.
# Without compiled files each of the thousand interpreters of the tests compiles anew.
unexport PYTHONDONTWRITEBYTECODE
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# Tests that compute, and those that mostly wait for a peer of their own, share the cores;
# those that start whole engines (marked: system) come after them, two at a time.
ALL = $(BIN)/python -m pytest -n 6 --dist loadgroup \
	--no-loadscope-reorder -m "not system" && \
	$(BIN)/python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder \
	-m system --durations=15

.PHONY: demo test checks browser screenshots format bench faults faults-kills faults-long fuzz clean

demo: $(VENV)/.ready  ## start the simulated microscope with the whole system
	$(BIN)/scopeside demo $(ARGS)

test: $(VENV)/.ready-dev checks .venv-tickit .venv-py4dstem .venv-nion browser  ## everything that CI runs
	$(if $(ARGS),$(BIN)/python -m pytest $(ARGS),$(ALL))

checks: $(VENV)/.ready-dev  ## style, types, and which package may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

faults: $(VENV)/.ready-dev  ## a hundred seeded faults in whole engines, and the table
	$(BIN)/python -m tests.faults.suite $(ARGS)

faults-kills: $(VENV)/.ready-dev  ## kill processes twenty times each, compare results
	$(BIN)/python -m pytest tests/faults --kills 20 $(ARGS)

faults-long: $(VENV)/.ready-dev  ## half an hour of a movie at maximal pace: nothing grows
	$(BIN)/python -m tests.faults.suite.long $(ARGS)

fuzz: $(VENV)/.ready-dev  ## give each parser a minute of what is nearly right
	$(BIN)/python -m tests.fuzz $(ARGS)

bench: $(VENV)/.ready-dev  ## the whole path, measured; prints a table
	$(BIN)/python bench/throughput.py $(ARGS)

# The tests of the page look at it with Debian's chromium, whose packages bring no letters
# of their own. Playwright, which drives it, is told to fetch no other one.
browser:  ## install chromium, if this is a Debian and we may
	@if command -v chromium || command -v google-chrome; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get -qq -o DPkg::Lock::Timeout=300 update && \
		DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 \
			install -y --no-install-recommends chromium fonts-dejavu-core >/dev/null || \
		echo "chromium cannot be installed: the tests that look at the page are skipped"; \
	else echo "no chromium: the tests that look at the page are skipped;" \
		"on Debian: sudo apt-get install chromium fonts-dejavu-core"; fi

screenshots: $(VENV)/.ready-dev browser  ## pictures of the page, for docs/pictures
	$(BIN)/python -m tests.browser.screenshots $(ARGS)

format: $(VENV)/.ready-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .venv-tickit .venv-py4dstem .venv-nion .fuzz .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "scopeside needs Python 3.11 or newer; say which: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# A simulated detector of other people, for tests/peers/test_dectris.py. It wants an
# old cbor2, and so an environment of its own; without it those tests are skipped.
.venv-tickit:
	@$(PYTHON) -m venv $@ && $@/bin/python -m pip install --quiet \
		--disable-pip-version-check 'tickit-devices==0.4.1' 'cbor2<6' || \
		{ rm -rf $@; echo "tickit-devices cannot be installed: its tests are skipped"; }

# Other people's disk detection, for tests/peers/test_stem_disks.py and
# bench/stem_strain.py. It wants a numpy before 2; without it those are skipped.
.venv-py4dstem:
	@$(PYTHON) -m venv $@ && $@/bin/python -m pip install --quiet \
		--disable-pip-version-check 'py4DSTEM==0.14.18' || \
		{ rm -rf $@; echo "py4DSTEM cannot be installed: its tests are skipped"; }

# A simulated microscope of other people, for tests/peers/test_nion.py. It is under the
# GPL, and so in an environment of its own; without it those tests are skipped.
.venv-nion:
	@$(PYTHON) -m venv $@ && $@/bin/python -m pip install --quiet \
		--disable-pip-version-check 'nionswift-usim==5.4.2' msgpack pyzmq || \
		{ rm -rf $@; echo "nionswift-usim cannot be installed: its tests are skipped"; }

$(VENV)/.ready: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[detectors,page]'
	@touch $@

$(VENV)/.ready-dev: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/.ready
