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

.PHONY: docs
docs: install ## build the site into build/site, links checked
	$(BIN)/python -m docs.reference
	$(BIN)/zensical build --strict --clean

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

.PHONY: bench-peers
bench-peers: install ## speed beside other engines, into benchmarks/results/ (hours)
	$(BIN)/python -m benchmarks.peers prepare --cache runs/peers
	$(BIN)/python -m benchmarks.peers run --cache runs/peers

.PHONY: bench-accuracy
bench-accuracy: install ## accuracy of graph families on rendered characters, into benchmarks/results/ (hours; resumable)
	test -d runs/glyphs || $(BIN)/rgp-train glyphs runs/glyphs --side 16 --per-family 2
	$(BIN)/python -m benchmarks.accuracy runs/glyphs

.PHONY: bench-kernel
bench-kernel: install ## measure the native kernel on random graphs beside dense, into benchmarks/results/
	$(BIN)/python -m benchmarks.native_kernel

.PHONY: bench-types
bench-types: ## measure how fast this CPU multiplies in each numeric type (x86 with AVX-512)
	@mkdir -p build && g++ -std=c++20 -O2 -march=sapphirerapids benchmarks/instruction_rates.cpp -o build/instruction_rates
	build/instruction_rates

.PHONY: bench-serve
bench-serve: install ## the service beside its peers, overloaded, restarted, soaked, into benchmarks/results/ (an hour)
	test -d runs/resnet50 || { $(BIN)/python -m benchmarks.untrained resnet50 random:64_16 -o runs/resnet50.pth; \
	  $(BIN)/rgp-compile runs/resnet50.pth -o runs/resnet50; }
	test -d runs/demo/bundle || $(MAKE) demo
	for part in peers overload restarts bits; do \
	  $(BIN)/python -m benchmarks.serving $$part runs/resnet50 --cache runs/serving || failed=1; done; \
	$(BIN)/python -m benchmarks.serving soak runs/demo/bundle --cache runs/serving || failed=1; exit $${failed:-0}

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
lock: .uv/bin/uv ## write requirements.lock and docker/locks anew (newest versions that fit)
	$(UV) pip compile --quiet --upgrade pyproject.toml --extra all --extra dev --extra docs --python-version 3.11 --universal \
	  --generate-hashes --no-emit-index-url --no-annotate --no-header -o requirements.lock
	common="--quiet --python-version 3.11 --universal -c requirements.lock --generate-hashes --no-emit-index-url --no-annotate --no-header"; \
	echo setuptools | $(UV) pip compile - $$common -o docker/locks/build.lock; \
	$(UV) pip compile pyproject.toml --extra serve --extra cpu --extra otel $$common -o docker/locks/serve.lock; \
	$(UV) pip compile pyproject.toml --extra serve --extra gpu --extra otel $$common -o docker/locks/serve-gpu.lock; \
	$(UV) pip compile pyproject.toml --extra train --extra graph --extra compile --extra cpu --extra client $$common -o docker/locks/train.lock

.PHONY: clean
clean: ## remove what was built, installed and run
	rm -rf .venv .uv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .cache runs
