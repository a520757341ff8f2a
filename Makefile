# Keepwell: `make run` and `make test` each work alone on a fresh machine with Python 3.11 or newer.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

VENV ?= .venv
PORT ?= 8000
HOST ?= 127.0.0.1
PY := $(VENV)/bin/python
RUN_READY := $(VENV)/.ready-train
DEV_READY := $(VENV)/.ready-dev
AUDIT := $(VENV)/audit
AUDIT_READY := $(AUDIT)/.ready
PROJECT := pyproject.toml requirements/install.py requirements/build.txt requirements/uv.txt

.PHONY: help setup run test check audit bench openapi lock clean

help: ## Show what there is to do
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(DEV_READY) ## Virtual environment with everything, from the hash-locked requirements

run: $(RUN_READY) ## Fetch a real purchase log, train, serve on 127.0.0.1:8000 (PORT=...)
	@exec $(PY) examples/cdnow/run.py --host $(HOST) --port $(PORT)

test: $(DEV_READY) ## Every test (PYTEST="-k name" to choose)
	$(PY) -m pytest $(PYTEST)

check: $(DEV_READY) ## Format, lint, types, dependency rule, Dockerfile, lock in sync
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/mypy --explicit-package-bases requirements
	$(VENV)/bin/mypy examples
	$(VENV)/bin/lint-imports
	$(VENV)/bin/hadolint Dockerfile
	$(PY) -m requirements.check

audit: $(DEV_READY) $(AUDIT_READY) ## Licences, and known vulnerabilities (asks the package index)
	$(PY) -m requirements.licences
	$(AUDIT)/bin/python -m requirements.audit

bench: $(DEV_READY) ## Print the benchmark tables
	$(PY) -m benchmarks

openapi: $(DEV_READY) ## Write openapi/openapi.json
	$(VENV)/bin/keepwell openapi

lock: $(DEV_READY) ## Resolve pyproject.toml into requirements/*.txt (LOCK=--upgrade for newer)
	$(PY) -m requirements.lock $(LOCK)
	$(PY) -m requirements.check

clean: ## Remove the virtual environment and caches; models and data stay
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(RUN_READY): $(PY) $(PROJECT) requirements/train.txt
	@$(PY) requirements/install.py train
	@touch $@

$(DEV_READY): $(PY) $(PROJECT) requirements/dev.txt
	@$(PY) requirements/install.py dev
	@touch $@ $(RUN_READY)

$(AUDIT_READY): $(PY) requirements/audit.txt
	@$(PY) -m venv $(AUDIT)
	@$(AUDIT)/bin/python -m pip install --quiet --require-hashes -r requirements/audit.txt
	@touch $@

# Version managers leave names on the path that do not run: ask each whether it does.
$(PY):
	@for python in $(PYTHON) python3.11 python3.12 python3.13 python3 python; do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "making $(VENV) with $$("$$python" -V)"; \
	    "$$python" -m venv $(VENV) && exit 0; \
	    echo "$$python cannot make a virtual environment: install its venv and pip" >&2; \
	    rm -rf $(VENV); exit 1; \
	  fi; \
	done; \
	echo "Keepwell needs Python 3.11 or newer on the path" >&2; exit 1
