# One folder, .venv, holds everything that is installed; nothing outside the checkout is touched
# (save by `make peers`, which installs outside peers for the integration tests with apt and npm).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PEERS := tests/integration/peers/node_modules/.installed

.DEFAULT_GOAL := help
.PHONY: help setup fmt lint test integration check demo states bench lock peers clean

help: ## print these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## create .venv with the locked packages and this project

# The environment is made without its own pip: Debian ships ensurepip in a package of its own,
# and the pip that is there can install into another environment.
$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv --clear --without-pip $(VENV)
	$(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check \
		--require-hashes --requirement requirements.lock
	$(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check \
		--no-deps --no-build-isolation --editable .
	touch $@

fmt: setup ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix --quiet . || true

lint: setup ## ruff, codespell, mypy, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell
	$(BIN)/mypy
	$(BIN)/lint-imports

test: setup ## the tests that need nothing from outside (under a minute)
	$(BIN)/pytest --cov --cov-report=term --cov-fail-under=90
	$(BIN)/coverage report --include='cbgateway/domain/*,cbgateway/codec/*' --fail-under=100

integration: setup peers ## tests against outside peers: tshark, npm smpp
	$(BIN)/pytest -m integration

check: lint test integration ## everything that a change must pass

demo: setup ## replay the outage of 25 October 2021 against three simulated carriers
	$(BIN)/cbgateway demo

states: setup ## draw docs/states.md from the transition tables
	$(BIN)/python tests/house/states.py

bench: setup ## measure, side by side with a peer
	$(BIN)/python benchmarks/run.py

lock: ## write requirements.lock anew (needs uv)
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-header --no-annotate --no-emit-index-url \
		--quiet --output-file requirements.lock

peers: $(PEERS) ## install the outside peers with apt and npm

$(PEERS): tests/integration/peers/package-lock.json
	command -v tshark >/dev/null && command -v npm >/dev/null || { apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq --no-install-recommends tshark nodejs npm; }
	npm ci --prefix tests/integration/peers --silent --no-audit --no-fund
	touch $@

clean: ## remove what the targets above have made
	rm -rf $(VENV) tests/integration/peers/node_modules build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
