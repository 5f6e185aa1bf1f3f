# Everything sets itself up in .venv from requirements.lock; Python 3.11+ and make are all that is needed.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: help venv demo test test-full kube lint bench lock clean
help:
	@echo "make demo       simulate a small cluster, run the whole chain on it, say where the report is"
	@echo "make test       lint, types, layers and tests (under 15 minutes on two cores)"
	@echo "make test-full  the long tests as well"
	@echo "make kube       deploy/kubernetes on real pods: TILEGC_KUBECONFIG or TILEGC_KUBE_BIN (tests/support/kube.py)"
	@echo "make lint       ruff, mypy --strict, import-linter"
	@echo "make bench      benchmarks against named peers: table, JSON in benchmarks/results, docs/figures/benchmarks.png"
	@echo "make venv       only the set-up"
	@echo "make lock       write requirements.lock anew"

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

test: lint
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile

test-full: lint
	$(BIN)/python -m pytest

kube: venv
	@$(BIN)/python -c 'import sys; from tests.support import kube; sys.exit(kube.missing() and f"make kube: {kube.missing()}")'
	$(BIN)/python -m pytest -s tests/integration/test_pods.py

bench: venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock --editable '.[bench]'
	$(BIN)/python -m benchmarks --figure docs/figures/benchmarks.png

lock: venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --output-file requirements.lock

clean:
	rm -rf $(VENV) demo
