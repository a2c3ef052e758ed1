# Two commands: `make demo` shows a stream cut and resumed, `make test` proves the project.
# Each sets up its own environment in .venv; PYTHON chooses the interpreter (3.11 or newer).
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PYTEST_ARGS ?=

.PHONY: demo test check format clean

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

# Most tests wait for something: more of them at a time than there are processors.
test: check
	$(BIN)/python -m pytest --numprocesses=4 --dist=worksteal $(PYTEST_ARGS)

check: $(VENV)/.ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(VENV)/.ready
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf $(VENV) dist
