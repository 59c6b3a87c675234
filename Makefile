# `make search` and `make test` are all the set-up there is. `make` alone lists the targets.
PYTHON ?= python3
BIN := .venv/bin
export OMP_NUM_THREADS ?= 1
SEARCH_ARGS ?=
TEST_ARGS ?=
# One more than the cores of the smallest machine: many tests wait for an engine or a terminal.
WORKERS ?= 3

.DEFAULT_GOAL := help
.PHONY: help search test check format clean

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 12

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -e .
	@touch $@

.venv/installed-dev: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -e '.[dev]'
	@touch .venv/installed $@

search: .venv/installed ## search on the bundled digits and watch it (SEARCH_ARGS="--name first")
	$(BIN)/darts-tui search $(SEARCH_ARGS)

test: .venv/installed-dev ## the whole test suite (TEST_ARGS="-m 'not slow'" for the quick part)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(TEST_ARGS)

check: .venv/installed-dev ## format, lint, types and import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/installed-dev ## bring the sources into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## remove the virtual environment and caches; runs stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
