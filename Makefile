# The one entry for people and CI. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
BIN := .venv/bin
# uv ignores pip's settings, so hand it the index that this machine's pip was told to use, if any.
PIP_INDEX := $(or $(PIP_INDEX_URL),$(shell $(PYTHON) -m pip config get global.index-url 2>/dev/null))
UV := $(if $(PIP_INDEX),UV_DEFAULT_INDEX=$${UV_DEFAULT_INDEX:-$(PIP_INDEX)}) .uv/bin/uv

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

# uv keeps one unpacked copy of each package per machine and links it into every environment, so a
# second clone downloads and unpacks nothing. Bytecode is compiled now: where Python may not write it later
# (PYTHONDONTWRITEBYTECODE), importing torch takes 10 s instead of 3 in every process.
.uv/bin/uv: bootstrap.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "rgp needs Python 3.11 or newer, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv .uv
	.uv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r bootstrap.lock
	@touch $@

.venv/.installed: .uv/bin/uv requirements.lock pyproject.toml setup.py $(wildcard compile/kernels/*.h compile/kernels/*.cpp)
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv
	$(UV) pip sync --python .venv --require-hashes --compile-bytecode requirements.lock
	$(UV) pip install --quiet --python .venv --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: install
install: .venv/.installed ## make .venv from the lock file

.PHONY: demo
demo: install ## train on digits, compile, serve, classify over HTTP, print one table
	$(BIN)/python -m benchmarks.demo

.PHONY: test
test: install ## the whole test suite but the slow tests
	$(BIN)/pytest -m "not slow" -n 2

.PHONY: test-slow
test-slow: install ## the slow tests
	$(BIN)/pytest -m slow

.PHONY: sanitize
sanitize: install ## the native kernels under sanitizers and emulation, ten minutes
	$(BIN)/python -m tests.compile.kernels.sanitize --long

.PHONY: lint
lint: install ## style, imports, formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: types
types: install ## mypy, strict, code and tests
	$(BIN)/mypy

.PHONY: fmt
fmt: install ## rewrite in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: bench
bench: install ## measure dense against compiled on larger networks, into benchmarks/results/
	$(BIN)/python -m benchmarks.stock_lowerings

.PHONY: bench-kernel
bench-kernel: install ## measure the native kernel on random graphs beside dense, into benchmarks/results/
	$(BIN)/python -m benchmarks.native_kernel

.PHONY: bench-graphs
bench-graphs: install ## search graphs beside the published ones and the bound, into benchmarks/results/
	$(BIN)/python -m benchmarks.graph_search

.PHONY: study
study: install ## train recipes and graphs on digits, five seeds each, into benchmarks/results/ (1 to 2 hours)
	$(BIN)/python -m benchmarks.recipes

.PHONY: bench-train
bench-train: install ## measure training steps, masked and decomposed beside dense, into benchmarks/results/
	$(BIN)/python -m benchmarks.train_step

.PHONY: library
library: install ## search the graphs that ship again, keep what is better
	$(BIN)/python -m benchmarks.build_library

.PHONY: wheel
wheel: install ## build the wheel and compare its files with the tree
	$(BIN)/python -m build --quiet --no-isolation --outdir dist .
	$(BIN)/python -m tests.check_wheel dist

.PHONY: lock
lock: .uv/bin/uv ## write requirements.lock anew (newest versions that fit)
	$(UV) pip compile --quiet --upgrade pyproject.toml --extra all --extra dev --python-version 3.11 --universal \
	  --generate-hashes --no-emit-index-url --no-annotate --no-header -o requirements.lock

.PHONY: clean
clean: ## remove what was built, installed and run
	rm -rf .venv .uv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis runs
