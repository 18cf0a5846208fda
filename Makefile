# Everything starts here. Needs Python 3.11 or 3.12 and make; no root, no Docker, no Redis.
#
# PORT=9000 make run           another port
# PYTHON=/path/to/python make  another interpreter (for a new .venv)
# make test ARGS="-k retry"    a part of the tests, without the coverage floor

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
LOCKED := $(VENV)/.locked
INSTALLED := $(VENV)/.installed
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-header
ARGS ?=

.PHONY: help run test check lint types contracts dependencies spelling dead-code lock clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 22

run: $(INSTALLED) ## the whole system on this machine, with sample jobs; Ctrl-C ends it
	@exec $(BIN)/llm-jobs demo

check: lint types contracts dependencies spelling dead-code ## style, types, layers, spelling

test: $(INSTALLED) ## every test, with coverage
ifeq ($(strip $(ARGS)),)
	@rm -f .coverage .coverage.*
	$(BIN)/python -m pytest -n 2 --dist loadfile -p tests.coverage_floor --cov --cov-report=
else
	$(BIN)/python -m pytest $(ARGS)
endif

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy

contracts: $(INSTALLED)
	$(BIN)/lint-imports

dependencies: $(INSTALLED)
	$(BIN)/deptry .

spelling: $(INSTALLED)
	$(BIN)/codespell

dead-code: $(INSTALLED)
	$(BIN)/vulture app queues workers demo --min-confidence 80

lock: $(INSTALLED) ## the hashed requirements*.txt anew, from requirements*.in
	$(COMPILE) requirements.in -o requirements.txt
	$(COMPILE) requirements-dev.in -o requirements-dev.txt

clean: ## remove .venv and caches; var/ holds data and stays
	rm -rf $(VENV) build dist *.egg-info .coverage .coverage.* .mypy_cache .pytest_cache \
		.ruff_cache .hypothesis .import_linter_cache
	find app queues workers demo migrations tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Two stamps: a change of setup.cfg reinstalls the project alone, not what it depends on.
$(LOCKED): requirements-dev.txt
	@test -x $(BIN)/python || { \
		python=$$(sh .ci/find-python) && echo "making $(VENV) with $$python" && \
		"$$python" -m venv $(VENV); }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		-r requirements-dev.txt
	@touch $@

$(INSTALLED): $(LOCKED) setup.cfg pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@
