# Each target makes what it needs and is quick the second time.

PYTHON ?= python3
ARGS ?=
# Of the tests: at once, each with servers of its own. What ARGS picks runs in one process, as --pdb and -x want it.
JOBS ?= $(if $(strip $(ARGS)),0,2)
BENCH ?= $(filter-out __init__ harness report,$(basename $(notdir $(wildcard tests/benchmarks/*.py)))) \
	$(patsubst tests/benchmarks/%/__main__.py,%,$(wildcard tests/benchmarks/*/__main__.py))

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
UV := .uv/bin/uv
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test lint bench lock clean

help: ## Show this list
	@awk -F':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Make .venv with everything in it

demo: $(INSTALLED) ## Watch a drift being caught and answered; ARGS=--exit ends after the story
	$(BIN)/rlhf-monitor demo $(ARGS)

test: $(INSTALLED) ## Run the tests that lint does not, JOBS=2 at a time; ARGS goes to pytest and makes it JOBS=0, one process
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder \
		$(if $(strip $(ARGS)),$(ARGS),--ignore=tests/architecture)

lint: $(INSTALLED) ## Check style, types, import layers, sizes and documentation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -q tests/architecture

bench: $(INSTALLED) ## Run the benchmarks; BENCH=throughput runs one, ARGS goes to each
	@set -e; for name in $(BENCH); do echo "== $$name"; $(BIN)/python -m tests.benchmarks.$$name $(ARGS); done

lock: $(UV) ## Write requirements.lock anew, with the newest versions that pyproject.toml admits
	$(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --all-extras pyproject.toml \
		--no-annotate --custom-compile-command 'make lock' --output-file requirements.lock

clean: ## Remove everything the other targets made
	rm -rf $(VENV) .uv .kafka .kubernetes .oidc .s3 .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is wanted; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv .uv || { echo "$(PYTHON) cannot make virtual environments (on Debian: apt-get install python3-venv)" >&2; exit 1; }
	.uv/bin/python -m pip install --quiet --disable-pip-version-check uv

# The stamp is newer than the two files only once an installation has succeeded.
$(INSTALLED): pyproject.toml requirements.lock | $(UV)
	@test -x $(BIN)/python || $(UV) venv --quiet --no-python-downloads --python .uv/bin/python $(VENV)
	$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python \
		--constraints requirements.lock --editable '.[dev]'
	@touch $@
