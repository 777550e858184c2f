# One folder, .venv, holds everything that is installed; nothing outside the checkout is touched
# (save by `make peers`, which installs outside peers for the integration tests with apt and npm).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PEERS := tests/integration/peers/node_modules/.installed

.DEFAULT_GOAL := help
.PHONY: acceptance help setup fmt lint test integration campaigns replays storm fault-matrix planted campaign-kill \
	campaign-kill-http campaign-kill-mqtt campaign-power campaign-uml fuzz bad-inputs check demo \
	states asyncapi openapi schemathesis bench bench-mqtt bench-cbsp bench-core bench-enquiries bench-http \
	bench-smpp bench-smsc bench-telling lock peers clean

help: ## print these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

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

test: setup ## the tests that need nothing from outside (seven minutes on two cores)
	$(BIN)/pytest --numprocesses auto --dist worksteal --cov --cov-report=term --cov-fail-under=90
	$(BIN)/coverage report --include='cbgateway/domain/*,cbgateway/codec/*' --fail-under=100

integration: setup peers ## tests against outside peers: tshark, npm smpp, Kannel, mosquitto, Chromium, osmo-bsc (root)
	$(BIN)/pytest -m integration --numprocesses 2 --dist loadfile

# Campaigns: the same arguments, the same run; docs/guarantees.md says what each of them proves.
SEEDS ?= 100
KILLS ?= 20
HTTP_KILLS ?= 10
MQTT_KILLS ?= 8
KILL_OPTIONS ?=
IMAGES ?= 200
CUTS ?= 20
N ?= 3000
FUZZ_OPTIONS ?=
PLANTS := acknowledge-before-commit forget-in-flight reuse-serial update-without-replacing cancel-waits

campaigns: storm fault-matrix planted campaign-kill campaign-kill-http campaign-kill-mqtt campaign-power fuzz ## all that run in minutes

storm: setup ## simulate everything under faults: SEEDS=n, or SEED=n for one
	$(BIN)/python -m tests.storm $(if $(SEED),--seed $(SEED),--seeds $(SEEDS))

fault-matrix: setup ## every fault of the simulated SMSC against the gateway: SEED=n
	$(BIN)/python -m tests.storm.matrix $(if $(SEED),--seed $(SEED))

planted: setup ## plant known faults; a storm has to find each
	for name in $(PLANTS); do \
		$(BIN)/python -m tests.storm --seeds 26 --plant $$name 2>/dev/null || exit 1; done

campaign-kill: setup ## kill -9 the real processes: KILLS=10000 KILL_OPTIONS="--fork --jobs 4"
	$(BIN)/python -m tests.campaigns.kill --kills $(KILLS) $(KILL_OPTIONS)

campaign-kill-http: setup ## kill -9 around HTTP intake: HTTP_KILLS=n
	$(BIN)/python -m tests.campaigns.kill_http --kills $(HTTP_KILLS) $(KILL_OPTIONS)

campaign-kill-mqtt: setup peers ## kill -9 gateway and mosquitto around MQTT intake: MQTT_KILLS=n
	$(BIN)/python -m tests.campaigns.kill_mqtt --kills $(MQTT_KILLS) $(KILL_OPTIONS)

campaign-power: setup ## cut the power under the store, in process: IMAGES=n
	for how in full normal off; do \
		$(BIN)/python -m tests.campaigns.power --images $(IMAGES) --synchronous $$how || exit 1; done

campaign-uml: setup ## cut the power of a whole machine (User-mode Linux, root): CUTS=n
	command -v linux.uml >/dev/null || { apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq user-mode-linux e2fsprogs gcc; }
	$(BIN)/python -m tests.campaigns.uml --cuts $(CUTS)

fuzz: setup ## feed every decoder N bad inputs: N=1000000 FUZZ_OPTIONS="--engine atheris"
	$(BIN)/python -m tests.fuzz.run --inputs $(N) $(FUZZ_OPTIONS)

bad-inputs: setup ## try the catalogue of bad inputs, and count them
	$(BIN)/pytest -q --numprocesses auto tests/conformance

schemathesis: setup ## ask everything of the OpenAPI document for half a minute; no 5xx
	$(BIN)/python -m tests.openapi.run

check: lint test integration campaigns schemathesis ## everything that a change must pass

demo: setup ## replay the outage of 25 October 2021 against three simulated carriers
	$(BIN)/cbgateway demo --keep build/demo

replays: setup ## replay five real incidents, and write their scores into docs/replays.md
	$(BIN)/python benchmarks/replays.py

states: setup ## draw docs/states.md from the transition tables
	$(BIN)/python tests/house/states.py

acceptance: setup ## draw docs/acceptance.md from the tests
	$(BIN)/python -m tests.house.acceptance

asyncapi: setup ## write docs/asyncapi.json from the code that reads and writes the messages
	$(BIN)/cbgateway mqtt asyncapi >docs/asyncapi.json

openapi: setup ## write docs/openapi.json from the routes
	$(BIN)/cbgateway api openapi >docs/openapi.json

bench: setup ## measure, side by side with a peer
	$(BIN)/python benchmarks/run.py

bench-mqtt: setup peers ## measure intake over MQTT: receipts a second, and how long each takes
	$(BIN)/python benchmarks/bench_mqtt.py

bench-smsc: setup ## measure how fast the simulated SMSC answers
	$(BIN)/python benchmarks/bench_smsc.py

bench-core: setup ## measure the durable core: acceptance, start-up, a million recipients
	$(BIN)/python benchmarks/core.py

bench-http: setup ## measure intake over HTTP beside a bare server
	$(BIN)/python benchmarks/bench_http.py

bench-enquiries: setup ## measure answers to 200 questions a second beside a bulletin: OPTIONS=...
	$(BIN)/python benchmarks/bench_enquiries.py $(OPTIONS)

bench-smpp: setup peers ## measure bulk short messages beside npm smpp and smpplib: OPTIONS=...
	$(BIN)/python benchmarks/bench_smpp.py $(OPTIONS)

bench-telling: setup ## measure from an approval to briefing, page, feed and retained state
	$(BIN)/python benchmarks/bench_telling.py

bench-cbsp: setup ## measure one bulletin to 1, 100, 500 and 1,000 controllers
	$(BIN)/python benchmarks/bench_cbsp.py

lock: ## write requirements.lock anew (needs uv)
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-header --no-annotate --no-emit-index-url \
		--quiet --output-file requirements.lock

peers: $(PEERS) ## install the outside peers with apt and npm

# The stations need nothing but their programs; where a service manager would start them, say
# `systemctl disable --now osmo-bsc osmo-bts-virtual`, since the tests start their own.
$(PEERS): tests/integration/peers/package-lock.json Makefile
	need=; command -v tshark >/dev/null || need=tshark; command -v npm >/dev/null || need="$$need nodejs npm"; \
	command -v osmo-bsc >/dev/null || need="$$need osmo-bsc"; \
	command -v osmo-bts-virtual >/dev/null || need="$$need osmo-bts"; \
	command -v ip >/dev/null || need="$$need iproute2"; \
	command -v mosquitto_sub >/dev/null || need="$$need mosquitto mosquitto-clients"; \
	command -v curl >/dev/null || need="$$need curl"; \
	command -v jq >/dev/null || need="$$need jq"; \
	command -v openssl >/dev/null || need="$$need openssl"; \
	command -v chromium >/dev/null || need="$$need chromium"; \
	command -v bearerbox >/dev/null || need="$$need kannel"; \
	[ -z "$$need" ] || { apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq --no-install-recommends $$need; }
	npm ci --prefix tests/integration/peers --silent --no-audit --no-fund
	touch $@

clean: ## remove what the targets above have made
	rm -rf $(VENV) tests/integration/peers/node_modules build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
