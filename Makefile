# `make search` and `make test` are all the set-up there is. `make` alone lists the targets.
PYTHON ?= python3
BIN := .venv/bin
export OMP_NUM_THREADS ?= 1
SEARCH_ARGS ?=
TEST_ARGS ?=
# One more than the cores of the smallest machine: many tests wait for an engine or a terminal.
WORKERS ?= 3

# What the suite tries in a bounded form; both targets try all of it, for up to an hour each.
FAULTS := tests/faults tests/end_to_end/test_ways_to_end.py tests/end_to_end/test_watcher_death.py \
	tests/tui/dashboard/test_long_logs.py tests/engine/runner tests/engine/run/test_new_folder.py
FUZZ := tests/fuzz tests/end_to_end/test_input_fuzz.py tests/engine/runner/test_checkpoint.py \
	tests/engine/runner/test_inbox.py tests/engine/run tests/tui/runs \
	tests/tui/dashboard/test_safety.py
IN_FULL = $(BIN)/python -m pytest --full -n $(WORKERS) --dist worksteal --timeout 3600

.DEFAULT_GOAL := help
.PHONY: help search test faults fuzz check format clean

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

faults: .venv/installed-dev ## every fault in full: 500 kills and more (TEST_ARGS="--fault-seed 7")
	$(IN_FULL) $(TEST_ARGS) $(FAULTS)

fuzz: .venv/installed-dev ## every kind of input, damaged thousands of times (TEST_ARGS as above)
	$(IN_FULL) $(TEST_ARGS) $(FUZZ)

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
