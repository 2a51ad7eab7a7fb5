# Every target says what it does after `##`; `make help` prints it. Set-up runs by itself and does nothing when the
# lock is unchanged. Work longer than a line is in scripts/.
.DEFAULT_GOAL := help
.PHONY: help setup lock protos run stop check test test-long bench docs
BIN := .venv/bin
WORKERS ?= 2
ARGS ?=

help: ## print this
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | awk -F '\t' '{ printf "make %-10s %s\n", $$1, $$2 }'

setup: ## virtual environment, locked dependencies, our packages (skipped when nothing changed)
	@scripts/setup

run: setup ## start the whole system in the foreground on embedded defaults and print what to try
	@$(BIN)/nser run $(ARGS)

stop: setup ## stop the system that `make run` started
	@$(BIN)/nser stop

test: setup ## start what the tests need and run all tests but the long ones
	@$(BIN)/python scripts/native_tests.py
	@$(BIN)/python -m pytest -n $(WORKERS) -m "not long" $(ARGS)

test-long: setup ## all tests, the long ones too
	@NSER_FUZZ_ROUNDS=400000 $(BIN)/python scripts/native_tests.py
	@$(BIN)/python -m pytest -n $(WORKERS) --timeout 3600 $(ARGS)

check: setup ## format, lint, types, import contracts, proto lint and breaking check, generated code fresh
	@scripts/check $(ARGS)

bench: setup ## run the benchmarks; tables and JSON in benchmarks/results/
	@$(BIN)/python -m benchmarks $(ARGS)

protos: setup ## generate the Python code of the contract from protos/
	@$(BIN)/python scripts/protos.py

docs: setup ## build the documentation site into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

lock: setup ## take the newest versions that resolve into requirements.lock, then install them
	@$(BIN)/python scripts/lock.py --upgrade
	@scripts/setup
