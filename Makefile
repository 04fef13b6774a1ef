# Every task is one word; `make` alone lists them. Nothing is needed beforehand but Python >= 3.11 with its venv module.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo test quick hunt bench ledger score reference format lock clean

help:  ## list the tasks
	@sed -nE 's/^([a-z]+):.*## (.*)/\1\t\2/p' Makefile | expand -t 10

demo: .venv/ready  ## a minute with simulated machines: readings in, moments out
	@$(BIN)/canary demo $(ARGS)

test: .venv/ready-test  ## everything: style, types, tests
	@.ci/provide mosquitto mosquitto_sub dbus-daemon strace
	@[ "$$(id -u)" != 0 ] || .ci/provide systemd-nspawn mmdebstrap  # the service's own test; without root it is skipped
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest $(ARGS)

quick: .venv/ready-test  ## for every save: style, types and the tests that need no other process
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/pytest -q -x -m "not slow" $(ARGS)

hunt: .venv/ready-test  ## the properties, on ever new examples, until one of them fails
	@.ci/provide mosquitto dbus-daemon strace
	@while HUNT=1 $(BIN)/pytest -q -x -m examples $(ARGS); do :; done

bench: .venv/ready-test  ## measured figures beside the budgets
	@.ci/provide mosquitto
	@cd tests && ../$(BIN)/python -m bench $(ARGS)

score: .venv/ready-test  ## the diagnosis on recorded data in ../shared, as shipped, blind
	@$(BIN)/python ../shared/data/diagnosis/score.py ../shared/data/diagnosis --plugin tests.yardstick:make --blind --affine 7 $(ARGS)

reference: .venv/ready-test  ## renew the schemas and config/README.md from the types
	@$(BIN)/python -m gateway.config.schema > config/hub.schema.json
	@$(BIN)/python -m gateway.config.reference config/README.md
	@$(BIN)/python -c 'import pathlib, gateway.moments as m; pathlib.Path("config/moment.schema.json").write_bytes(m.schema())'
	@$(BIN)/python -m gateway.asyncapi > config/asyncapi.json

ledger: .venv/ready-test  ## the outage ledger: 10,000 moments through every failure; what is lost, what is told twice
	@.ci/provide mosquitto
	@cd tests && ../$(BIN)/python -m ledger $(ARGS)

format: .venv/ready-test  ## lay the code out
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: .venv/ready-test  ## renew requirements*.lock from the ranges in pyproject.toml
	@.ci/lock

clean:  ## remove what was made here
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# The tested versions, by hash; the project itself on top, editable.
.venv/ready: pyproject.toml requirements.lock
	@.ci/venv "$(PYTHON)" requirements.lock
	@touch $@

.venv/ready-test: pyproject.toml requirements-test.lock
	@.ci/venv "$(PYTHON)" requirements-test.lock
	@touch $@ .venv/ready
