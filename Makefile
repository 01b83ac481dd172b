# fedstudy. `make help` lists what there is.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
TEST_WORKERS ?= 2

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.PHONY: study
study: $(INSTALLED) ## Install, run studies/quickstart.yaml and print the comparison
	$(PY) -m flows run studies/quickstart.yaml

.PHONY: test
test: $(INSTALLED) ## Run the whole test suite, slow tests included
	$(PY) -m pytest -n $(TEST_WORKERS) --dist loadgroup

.PHONY: test-quick
test-quick: $(INSTALLED) ## Run the tests that take less than a few seconds
	$(PY) -m pytest -n $(TEST_WORKERS) --dist loadgroup -m "not slow"

.PHONY: check
check: lint types test ## The whole gate: format, lint, types, layer rule, tests

.PHONY: lint
lint: $(INSTALLED) ## Check format and lint
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .

.PHONY: types
types: $(INSTALLED) ## Check types
	$(PY) -m mypy

.PHONY: format
format: $(INSTALLED) ## Format, and mend what lint can mend
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

.PHONY: ui
ui: $(INSTALLED) ## Serve the MLflow UI on http://127.0.0.1:5000
	$(PY) -m flows ui

.PHONY: benchmark
benchmark: $(INSTALLED) ## Measure against a plain PyTorch loop; ARGS="--rival plain flower" adds a peer
	$(PY) -m benchmarks $(ARGS)

.PHONY: install
install: $(INSTALLED) ## Make .venv from the lock; does nothing where it is up to date

# The environment is made again only when the lock changed. requirements-cuda.lock only pins what a CUDA build of
# torch asks for; a CPU build asks for none of it.
$(INSTALLED): requirements.lock requirements-cuda.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 ..."; exit 1; }
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.lock -c requirements-cuda.lock
	@touch $@

UV_COMPILE := $(VENV)/bin/uv pip compile --universal --python-version 3.11 --no-annotate --no-header --quiet
CUDA := ^(nvidia-|cuda-|triton)

.PHONY: lock
lock: ## Resolve requirements*.in anew into requirements.lock (keeps what is locked and still fits)
	$(PY) -m pip install --quiet uv
	cat requirements.lock requirements-cuda.lock > $(VENV)/all.lock
	$(UV_COMPILE) requirements.in requirements-dev.in -o $(VENV)/all.lock
	{ echo "# Made by \`make lock\` from requirements.in and requirements-dev.in."; grep -vE '$(CUDA)' $(VENV)/all.lock; } > requirements.lock
	{ echo "# Made by \`make lock\`: versions for what a CUDA build of torch pulls in."; grep -E '$(CUDA)' $(VENV)/all.lock; } > requirements-cuda.lock

.PHONY: clean
clean: ## Remove what studies left behind (var/)
	rm -rf var
