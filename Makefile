# `make demo` and `make test` are all that a fresh machine needs: each makes its own environment first.
# Needed beforehand: Linux, Python 3.11 with venv, and a package index that pip can reach.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(or $(shell command -v python3.11),python3)
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --no-input
UV_COMPILE := $(VENV)/bin/uv pip compile pyproject.toml --quiet --group build --extra plot $(UPGRADE) \
	--python-version 3.11 --python-platform x86_64-manylinux_2_28 --only-binary :all: \
	--generate-hashes --no-header --no-annotate
# many tests wait for brokers and processes, so there is one more worker than cores
WORKERS ?= $(shell echo $$(( $$(nproc) + 1 )))
# pyright comes whole in its wheel: no look for a newer one
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

# A stamp stands for one content of the locks and of pyproject.toml; other content, and the install runs again.
digest = $(shell cat $(1) pyproject.toml | sha256sum | cut -c 1-16)
CORE := $(VENV)/.core-$(call digest,requirements.lock)
DEV := $(VENV)/.dev-$(call digest,requirements.lock requirements-dev.lock)

.PHONY: help demo test check bench prove lock broker

help: ## this list
	@sed -nE 's/^([a-z]+):.*## (.*)/make \1|\2/p' Makefile | column -t -s '|'

demo: $(CORE) ## one simulated heating experiment: live view, halt, why, run.png
	$(VENV)/bin/insitu demo

test: check ## everything that `check` does, then all tests; skipped ones are listed with the reason
	$(PY) -m pytest -n $(WORKERS) $(ARGS)

check: $(DEV) ## lint, format, types, import direction
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/pyright
	$(VENV)/bin/lint-imports --no-logo

bench: $(DEV) ## speed beside the peers, as ratios of interleaved runs
	$(PY) -m benchmarks $(ARGS)

broker: $(DEV) ## a real Kafka on 127.0.0.1:9092 for trying things out (needs Java 17 and Maven; Ctrl-C ends it)
	$(PY) -m tests.broker $(ARGS)

prove: $(DEV) ## the long seeded fault tests; writes a dated file to results/
	$(PY) tests/prove.py --out results/ $(ARGS)

lock: $(DEV) ## write both locks anew (UPGRADE=--upgrade takes the newest versions)
	$(UV_COMPILE) --output-file requirements.lock
	$(UV_COMPILE) --extra dev --constraint requirements.lock --output-file requirements-dev.lock

# pip's own lock-and-hash mode; --no-build-isolation because the build back end is in the lock too
define install
	@echo "setting up $(VENV) from $(1) (once, a minute or two)"
	@$(PIP) install --quiet --require-hashes --only-binary :all: -r $(1)
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@rm -f $(VENV)/.core-* $(VENV)/.dev-*
endef

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
	  echo "insitu is locked for Python 3.11 and found $$($(PYTHON) --version 2>&1). Install python3.11 with venv" \
	    "(Debian: python3.11 python3.11-venv), or name it: make PYTHON=/path/to/python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)

# the development environment holds the same versions and more, so it serves `demo` too
$(CORE): | $(VENV)/bin/pip
	$(call install,requirements.lock)
	@touch $(CORE)

$(DEV): | $(VENV)/bin/pip
	$(call install,requirements-dev.lock)
	@touch $(CORE) $(DEV)
