# Two commands matter: `make demo` and `make test`. Both set everything up first.
# Needed on the machine: Python 3.11 or newer with pip, make, and a network to a package index (once).

PYTHON ?= python3
BIN := .venv/bin
UV := .cache/uv/bin/uv
PYTEST := $(BIN)/python -m pytest
# Three at a time, for some wait; those of a file, and all that start Ray, one after another.
WORKERS := -n 3 --dist loadscope --no-loadscope-reorder
MAKEFLAGS += --no-print-directory

.DEFAULT_GOAL := help
.PHONY: help setup demo test check soak golden bench dash lock clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

setup: .venv/.ready  ## .venv with the locked packages and .venv/bin/twin, kernels compiled

.venv/.ready: requirements.lock pyproject.toml .ci/setup .ci/uv.lock
	@PYTHON="$(PYTHON)" sh .ci/setup
	@touch $@

demo: setup  ## the default scenario: 1 million subscribers, one day, a summary and a report
	@$(BIN)/twin run city_day

test: setup  ## all tests but the benchmarks and the long suites
	@$(PYTEST) $(WORKERS) -m "not bench and not soak"

check: setup  ## format, lint, types, import contracts, repository rules, quick tests
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/pyright --warnings
	@$(BIN)/lint-imports
	@$(PYTEST) -m "not slow and not soak and not bench" $(wildcard $(addprefix tests/,unit property audit equivalence golden))

soak: setup  ## the long suites: many seeds, many shuffles; takes hours
	@HYPOTHESIS_PROFILE=soak $(PYTEST) --timeout 0 -m "soak"

golden: setup  ## write anew what is generated and committed: the JSON Schema of the scenario file, the page of state
	@$(PYTEST) tests/unit/test_schema_scenario.py tests/unit/test_state_page.py --regenerate

bench: setup  ## measure speed, memory and start time, beside other engines
	@$(BIN)/twin bench

dash: setup  ## the dashboard over runs/, on this machine only
	@$(BIN)/twin dashboard

# Takes newer versions only where a bound in pyproject.toml asks for them; `make lock UPGRADE=1` takes all.
COMPILE := UV_SYSTEM_CERTS=1 $(UV) pip compile -q --python-version 3.11 --universal --generate-hashes \
  --no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make lock" \
  $(if $(UPGRADE),--upgrade)

lock: .venv/.ready  ## requirements.lock and .ci/uv.lock anew, from pyproject.toml
	@$(COMPILE) pyproject.toml --all-extras --group dev -o requirements.lock
	@$(COMPILE) tests/bench/peers/requirements.in -o tests/bench/peers/requirements.lock
	@echo 'uv>=0.13' | $(COMPILE) - -o .ci/uv.lock

clean:  ## remove what can be made again; keeps .venv and runs/
	@rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache .benchmarks
	@find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
