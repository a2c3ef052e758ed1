# Two commands: `make demo` shows a stream cut and resumed, `make test` proves the project.
# Each sets up its own environment in .venv; PYTHON chooses the interpreter (3.11 or newer).
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PYTEST_ARGS ?=

.PHONY: demo demo-web test run-tests check lint types drivers simulate mutants bench bench-quick format clean

$(VENV)/.ready: pyproject.toml requirements-dev.txt
	$(PYTHON) -c 'import sys; sys.exit("resumable-stream needs Python 3.11 or newer; run: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

$(VENV)/.demo:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

demo: $(VENV)/.demo
	$(BIN)/resumable-stream demo

$(VENV)/.demo-web: $(VENV)/.demo
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[web]"
	touch $@

demo-web: $(VENV)/.demo-web
	$(BIN)/resumable-stream demo --web

# The types are checked while the tests run.
test: lint
	$(MAKE) --no-print-directory --jobs=2 types run-tests

# Most tests wait for something: more of them at a time than there are processors. They start hundreds
# of programs: without bytecode, each of these would compile the library again.
run-tests: $(VENV)/.ready
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses=7 --dist=worksteal $(PYTEST_ARGS)

check: lint types

lint: $(VENV)/.ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.ready
	$(BIN)/mypy

# The backends' tests, with the lowest and the newest client libraries that pyproject.toml allows.
drivers: $(VENV)/.ready
	PYTHONPATH=tests $(BIN)/python -m driver_versions

# One seed is shown in all detail; a range such as 0-200000 is searched for seeds that fail.
SEEDS ?= 0-10000
simulate: $(VENV)/.ready
	PYTHONPATH=tests $(BIN)/python -m simulation $(SEEDS)

# Breaks the core in one way after another, and tells how many seeds it takes to notice.
mutants: $(VENV)/.ready
	PYTHONPATH=tests $(BIN)/python -m simulation.mutants

# Everything, beside the peers; then the documents are written anew. Leave the machine alone meanwhile.
bench: $(VENV)/.ready
	PYTHONPATH=tests $(BIN)/python -m benchmarks run
	PYTHONPATH=tests $(BIN)/python -m benchmarks render

# The working tree against a commit, in about a minute.
BASE ?= HEAD
bench-quick: $(VENV)/.ready
	PYTHONPATH=tests $(BIN)/python -m benchmarks quick $(BASE)

format: $(VENV)/.ready
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf $(VENV) dist
