# Development tasks; `make help` lists them. Everything is installed into .venv.

PYTHON ?= python3
BIN := .venv/bin
MANAGE := DEBUG=on $(BIN)/python manage.py
NEWEST_PYTHON ?= python3.13
AGENT_MODEL ?= local
# Print the output of parallel targets one after the other, if this make supports it.
IN_ORDER := $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)
ADDRESS ?= 127.0.0.1
PORT ?= 8000

.DEFAULT_GOAL := help
.PHONY: help install run test test-sqlite test-postgres test-pgbouncer test-newest check bench lock

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

install: .venv/installed ## Install the product's dependencies
.venv/installed: requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement requirements.txt
	@touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement requirements-dev.txt
	@touch $@

run: .venv/installed ## Set everything up and serve on http://127.0.0.1:8000
	@$(MANAGE) migrate --verbosity 0
	@$(MANAGE) load_demo --if-empty
	@DEBUG=on AGENT_MODEL=$(AGENT_MODEL) $(BIN)/python -m config.dev_server $(ADDRESS) $(PORT)

test: .venv/installed-dev ## Run the tests on SQLite and PostgreSQL in parallel
	@echo "Running the tests on two databases; their output follows when they are done."
	@$(MAKE) --no-print-directory --jobs=2 $(IN_ORDER) test-sqlite test-postgres

test-sqlite test-postgres: test-%: .venv/installed-dev
	TEST_DATABASE=$* $(BIN)/python -m pytest

test-pgbouncer: .venv/installed-dev ## Run the heaviest readers and writers through PgBouncer
	TEST_DATABASE=pgbouncer $(BIN)/python -m pytest tests/concurrency tests/agents_app/web \
		tests/agents_app/runs tests/sessions_app/cleanup tests/sessions_app/management

test-newest: ## Run the tests with the newest Django, on NEWEST_PYTHON
	$(NEWEST_PYTHON) -m venv .venv-newest
	.venv-newest/bin/python -m pip install --quiet --no-deps --require-hashes --requirement requirements.txt
	.venv-newest/bin/python -m pip install --quiet --no-deps --require-hashes --requirement requirements-dev.txt
	.venv-newest/bin/python -m pip install --quiet --upgrade 'Django<7'
	TEST_DATABASE=sqlite .venv-newest/bin/python -m pytest
	TEST_DATABASE=postgres .venv-newest/bin/python -m pytest

check: .venv/installed-dev ## Lint, types, migrations, deployment settings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(MANAGE) makemigrations --check --dry-run
	DEBUG=off SECRET_KEY=$$($(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(50))') \
		ALLOWED_HOSTS=chat.example.org \
		$(BIN)/python manage.py check --deploy --fail-level INFO

bench: .venv/installed-dev ## Measure cleanups, streams, pages and the first token, as ratios
	$(BIN)/python -m tests.bench

lock: .venv/installed-dev ## Update the requirements files
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate pyproject.toml --output-file requirements.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --group dev --constraint requirements.txt \
		--output-file requirements-dev.txt
