# Two lines for a newcomer: `make up` and `make test`. Everything else is for developers.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
FAULTS := tests/e2e/local/test_faults.py tests/e2e/fleet/test_hosts_running.py tests/e2e/fleet/test_hosts_kraft.py
CHANGES := tests/e2e/local/test_changes_one_by_one.py tests/e2e/local/test_preview_equals_what_happens.py tests/e2e/fleet/test_hosts_changes.py
DATACENTERS := tests/e2e/local/test_two_datacenters.py tests/e2e/local/test_two_datacenters_active.py tests/e2e/local/test_three_datacenters.py tests/e2e/local/test_three_datacenters_passive.py tests/e2e/fleet/test_hosts_two_datacenters.py tests/e2e/fleet/test_hosts_far_apart.py

.PHONY: up down test check fast kafka cloud fleet docs bench soak clean

up: $(VENV)/.local
	$(BIN)/kdeploy up local

down: $(VENV)/.local
	$(BIN)/kdeploy down local

test: check
	$(BIN)/python -m tests

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PATH="$(abspath $(BIN)):$$PATH" ansible-lint --offline --profile production -q kdeploy/playbooks

fast: $(VENV)/.dev
	$(BIN)/pytest -m "not kafka and not fleet and not cloud"

# Real Kafka as local processes: all that `make test` has, without its limit of time.
kafka: $(VENV)/.dev
	$(BIN)/pytest -v -m kafka

# A real Pulumi engine on an emulated AWS; where instances are hosts, as root.
cloud: $(VENV)/.dev
	$(BIN)/pytest -v -m cloud

docs: $(VENV)/.dev
	$(BIN)/python docs/generate.py

# Every row of the fault tables and of the table of changes, and of what is killed in a failover between two datacenters;
# writes docs/evidence.json after each fault, and then its page.
soak: $(VENV)/.dev
	KDEPLOY_SOAK=1 $(BIN)/pytest -v -m "kafka or fleet" $(FAULTS) $(CHANGES) $(DATACENTERS); \
	code=$$?; $(BIN)/python docs/generate.py && exit $$code

# Real hosts, booted on this machine as root: bare to verified, changed under load, broken and mended.
fleet: $(VENV)/.dev
	$(BIN)/pytest -v -m fleet

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.local: $(VENV)/bin/python pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[local]'
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV)
