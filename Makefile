# Everything a person or a machine does with this project. `make` alone lists it.
# Nothing here needs more than python3, git, make and, for `make test`, PostgreSQL's programs.

.DEFAULT_GOAL := help
.SUFFIXES:
MAKEFLAGS += --no-print-directory

PY := .venv/bin/python

.PHONY: help setup setup-base demo run test test-sqlite test-postgres lint format bench chaos screenshots lock hooks clean

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## make .venv with everything for development (PYTHON=path, USE_PIP=1)
	@scripts/setup dev

setup-base:
	@scripts/setup base

demo: setup-base ## show the product on example data (PORT=8001, ONCE=1 ends by itself, JSON=path keeps the result)
	@$(PY) manage.py demo $(if $(ONCE),--once) $(if $(JSON),--json "$(JSON)") $(if $(PORT),--port "$(PORT)")

run: setup-base ## run the site: web process and workers, until Ctrl-C
	@$(PY) manage.py run_site

test: ## run every check and every test, on SQLite and on PostgreSQL
	@scripts/setup dev || { echo "0 passed, 1 failed, 0 skipped"; exit 1; }
	@$(PY) -m scripts.check

test-sqlite: setup ## run the tests on SQLite (ARGS="tests/unit -k lease")
	@$(PY) -m scripts.check --only pytest-sqlite -- $(ARGS)

test-postgres: setup ## run the tests on a throw-away PostgreSQL (ARGS=...)
	@$(PY) -m scripts.check --only pytest-postgres -- $(ARGS)

lint: setup ## check format, style, types, import map and migrations; no tests
	@$(PY) -m scripts.check --only ruff-format ruff mypy imports migrations django-check

format: setup ## put the code into the one format, and fix what can be fixed safely
	@.venv/bin/ruff check --quiet --fix-only .
	@.venv/bin/ruff format .

bench: setup ## measure, beside a PostgreSQL that really writes to disk (JSON=path keeps the figures)
	@$(PY) -m scripts.throwaway_postgres run --durable -- $(PY) -m tests.benchmarks $(if $(JSON),--json "$(JSON)")

chaos: setup ## kill workers and databases and look for lost work; wants the machine to itself
	@$(PY) -m scripts.throwaway_postgres run --durable -- $(PY) -m pytest -m chaos $(ARGS)

screenshots: setup ## take pictures of the pages into screenshots/ (DIR=path)
	@SCREENSHOT_DIR="$(abspath $(or $(DIR),screenshots))" $(PY) -m pytest -m browser $(ARGS)

lock: setup ## compile requirements/*.in into exact pins (UPGRADE=1 takes newer versions)
	@scripts/lock $(if $(UPGRADE),--upgrade)

hooks: setup ## check style before every commit in this clone
	@.venv/bin/pre-commit install

clean: ## remove what tools made, but neither .venv nor anybody's data
	@rm -rf reports screenshots .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +
