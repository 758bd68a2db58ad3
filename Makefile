# The only list of commands: CI, the pre-commit hook and the README call these targets. `make help` prints them.

PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
ARGS ?=

VENV := .venv
WORKSHOP := .venv-workshop
TOOLS := .tools
# Not compiled ahead: what is imported compiles itself once, the rest (seconds, and minutes of torch) never has to.
PIP_INSTALL := -m pip install --disable-pip-version-check --quiet --quiet --no-compile

# promtool from `make tools` is found before the system's, by tests too.
export PATH := $(CURDIR)/$(TOOLS)/bin:$(PATH)
export PIP_NO_INPUT := 1

.DEFAULT_GOAL := help
.PHONY: help serve test test-models workshop check format lock tools hook clean ceiling bench compare generation
.DELETE_ON_ERROR:

help: ## Print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

serve: $(VENV)/runtime.stamp ## Start the server (HOST=127.0.0.1 PORT=8000)
	@SHOAL_HOST='$(HOST)' SHOAL_PORT='$(PORT)' exec $(VENV)/bin/python -m service

test: $(VENV)/test.stamp ## Test all but the workshop (ARGS='-k name' goes to pytest)
	$(VENV)/bin/python -m pytest tests --ignore=tests/models $(ARGS)

test-models: $(WORKSHOP)/workshop.stamp ## Test the workshop, models/; installs torch
	$(WORKSHOP)/bin/python -m pytest tests/models $(ARGS)

workshop: $(WORKSHOP)/workshop.stamp ## Install the workshop: torch, transformers, optimum (then .venv-workshop/bin/python -m models)

ceiling: $(VENV)/test.stamp ## The raw limit of this machine: the models' passes with no server around them
	$(VENV)/bin/python -m load_tests.ceiling $(ARGS)

bench: $(VENV)/test.stamp ## The server under load, as shares of that limit; wants wrk (ARGS='short --seconds 5')
	$(VENV)/bin/python -m load_tests.bench $(ARGS)

compare: $(VENV)/test.stamp ## Ours beside other servers on the same model; installs them (ARGS='--only NAME --rounds 1')
	TORCH='$(or $(TORCH),$(TORCH_CPU))' $(VENV)/bin/python -m load_tests.compare $(ARGS)

generation: $(VENV)/test.stamp ## Summaries of ours beside other engines on the same weights; installs them (ARGS='--clients 8 --rounds 1')
	TORCH='$(or $(TORCH),$(TORCH_CPU))' $(VENV)/bin/python -m load_tests.generation $(ARGS)

check: $(VENV)/test.stamp ## Lint, formatting, types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy .

format: $(VENV)/test.stamp ## Put the code into the shape that `make check` asks for
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

# --- Environments -------------------------------------------------------------------------------------------------
# A stamp a lock: nothing is installed twice. The three locks agree on every version, so one environment can take two.

%/created.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "Shoal needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || true)."; \
	    echo "Name another one: make $(or $(MAKECMDGOALS),serve) PYTHON=python3.12"; exit 1; } >&2
	@$(PYTHON) -m venv --clear $* || { \
	    echo "No virtual environment could be made. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@touch $@

$(VENV)/runtime.stamp: requirements/runtime.txt | $(VENV)/created.stamp
	@echo "Installing what the server needs into $(VENV)"
	@$(VENV)/bin/python $(PIP_INSTALL) --require-hashes -r $<
	@touch $@

$(VENV)/test.stamp: requirements/test.txt | $(VENV)/created.stamp
	@echo "Installing what the tests need into $(VENV)"
	@$(VENV)/bin/python $(PIP_INSTALL) --require-hashes -r $<
	@touch $@

# torch is in no lock: which build is right (CPU, CUDA, ROCm; each with other hashes and dependencies) depends on the
# machine, and a lock from the package index would bring gigabytes of CUDA to all. So the lock comes first, with
# --no-deps as torch is still missing, then exactly this torch, whose own dependencies are then there, pinned: the CPU
# build from where PyTorch publishes it, which uv knows; where that cannot be reached, one that pip finds without an
# index. Another build: make workshop TORCH='torch==2.13.0 --index-url URL'. `pip check` proves that nothing is missing.
TORCH ?=
UV := $(or $(shell command -v uv 2>/dev/null),$(TOOLS)/uv/bin/uv)
TORCH_CPU := torch==2.13.0

$(WORKSHOP)/workshop.stamp: requirements/workshop.txt | $(WORKSHOP)/created.stamp $(if $(TORCH),,$(UV))
	@echo "Installing the workshop into $(WORKSHOP), torch and all: a few minutes"
	@$(WORKSHOP)/bin/python $(PIP_INSTALL) --require-hashes --no-deps -r $<
ifneq ($(strip $(TORCH)),)
	@$(WORKSHOP)/bin/python $(PIP_INSTALL) $(TORCH)
else
	@$(UV) pip install --quiet --python $(WORKSHOP)/bin/python --no-deps --torch-backend=cpu $(TORCH_CPU) 2>/dev/null \
	    || $(WORKSHOP)/bin/python $(PIP_INSTALL) --no-index --no-deps $(TORCH_CPU) \
	    || { echo "torch's CPU build could not be fetched, and pip finds none here." >&2; \
	         echo "Name a build: make workshop TORCH='torch==2.13.0 --index-url URL'" >&2; exit 1; }
endif
	@$(WORKSHOP)/bin/python -m pip check
	@touch $@

# --- Locks --------------------------------------------------------------------------------------------------------
# Widest first: the others take their versions from it. `make lock LOCK_FLAGS=--upgrade` raises versions.

LOCK_FLAGS ?=
COMPILE = $(UV) pip compile pyproject.toml --quiet --universal --python-version 3.11 --fork-strategy fewest \
    --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' $(LOCK_FLAGS)

lock: $(UV) ## Write requirements/*.txt anew from pyproject.toml (LOCK_FLAGS=--upgrade raises versions)
	$(COMPILE) --extra workshop --no-emit-package torch -o requirements/workshop.txt
	$(COMPILE) --extra test -c requirements/workshop.txt -o requirements/test.txt
	$(COMPILE) -c requirements/workshop.txt -o requirements/runtime.txt

$(TOOLS)/uv/bin/uv: | $(TOOLS)/uv/created.stamp
	@$(TOOLS)/uv/bin/python $(PIP_INSTALL) uv

# --- Tools --------------------------------------------------------------------------------------------------------

tools: $(TOOLS)/bin/promtool ## Fetch promtool, which tests of metrics and of deploy/ use where it is

# Unpacked, not installed: the Debian package would start a Prometheus here. Elsewhere those tests are skipped.
$(TOOLS)/bin/promtool:
	@mkdir -p $(TOOLS)/bin $(TOOLS)/deb
	@set -e; found=$$(PATH=$${PATH#*:} command -v promtool || true); \
	if [ -n "$$found" ]; then ln -s "$$found" $@; \
	elif command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then \
	    cd $(TOOLS)/deb; apt-get download -qq prometheus 2>/dev/null || { apt-get update -qq && apt-get download -qq prometheus; }; \
	    dpkg-deb --fsys-tarfile prometheus_*.deb | tar -xf - ./usr/bin/promtool; \
	    mv usr/bin/promtool ../bin/promtool; cd ..; rm -r deb; bin/promtool --version | head -n 1; \
	else echo "No promtool here and no apt-get to fetch it: install it, or its tests are skipped."; fi

hook: ## Let git run `make check` before each commit
	@printf '#!/bin/sh\nexec make check\n' > "$$(git rev-parse --git-path hooks)/pre-commit"
	@chmod +x "$$(git rev-parse --git-path hooks)/pre-commit"

clean: ## Remove environments, tools and caches
	rm -rf $(VENV) $(WORKSHOP) $(TOOLS) .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
