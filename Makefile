# Everything sets itself up in .venv from requirements.lock; Python 3.11+ and make are all that is needed.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

COVERAGE := build/coverage

# Where this is set, each of the hundreds of processes that tests start would compile the whole package again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help venv demo check test test-full fuzz failures figures kube lint bench docs lock clean
help:
	@echo "make demo       simulate a small cluster, analyse it, and print the path of the report"
	@echo "make check      before every commit: lint, types, layers and the fast tests (under 90 seconds)"
	@echo "make test       what CI runs: all tests but the slow ones; coverage in $(COVERAGE)"
	@echo "make test-full  the slow tests as well"
	@echo "make fuzz       20,000 damaged inputs through the command line, 500 of them as processes (about an hour)"
	@echo "make failures   damaged inputs, crash points, chaos and a soak; figures and docs/failure-modes.md (hours)"
	@echo "make figures    print what those runs have found so far: how much was tried, and how much survived"
	@echo "make kube       deploy/kubernetes on real pods: TILEGC_KUBECONFIG or TILEGC_KUBE_BIN (tests/support/kube.py)"
	@echo "make lint       ruff, mypy --strict, import-linter"
	@echo "make bench      benchmarks against named peers: table, JSON in benchmarks/results, docs/figures/benchmarks.png"
	@echo "make docs       the documentation as a web site in build/docs; warnings are errors"
	@echo "make venv       set up .venv and nothing else"
	@echo "make lock       update requirements.lock"

venv: $(READY)
$(READY): pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock --editable '.[test]'
	@touch $@

demo: venv
	$(BIN)/tilegc demo demo

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

check: lint
	$(BIN)/python -m pytest -q -m "not slow and not long" -n 2 --dist loadfile

# Coverage is that of the packages' own tests, without whole runs; kernels that Numba compiles are not counted. Whole
# runs follow even where one of these tests fails.
test: lint
	@mkdir -p $(COVERAGE)
	@$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile --ignore=tests/integration --ignore=tests/property \
		--cov --cov-report=xml:$(COVERAGE)/coverage.xml --cov-report=html:$(COVERAGE)/html --cov-report=term; \
	packages=$$?; \
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile tests/integration tests/property && exit $$packages

test-full: lint
	$(BIN)/python -m pytest

fuzz: venv
	$(BIN)/python -m tests.fuzz.harness --cases 20000 --processes 500

failures: venv
	$(BIN)/python -m tests.faults.document --measure

figures: venv
	@$(BIN)/python -m tests.faults.figures

kube: venv
	@$(BIN)/python -c 'import sys; from tests.support import kube; sys.exit(kube.missing() and f"make kube: {kube.missing()}")'
	$(BIN)/python -m pytest -s tests/integration/test_pods.py

bench: venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock --editable '.[bench]'
	$(BIN)/python -m benchmarks --figure docs/figures/benchmarks.png

docs: venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock --editable '.[docs]'
	$(BIN)/python -m sphinx -W --keep-going -q -c docs -d build/doctrees . build/docs
	@echo "build/docs/index.html"

lock: venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --output-file requirements.lock

clean:
	rm -rf $(VENV) build demo
