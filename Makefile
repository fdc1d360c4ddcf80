# Two commands are all a newcomer needs: `make demo` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
UV     := $(shell command -v uv 2>/dev/null)
TOOL   := $(VENV)/.tool-installed
DEV    := $(VENV)/.dev-installed
WAREHOUSE := $(VENV)/.warehouse-installed
PEERS  := $(VENV)/.peers-installed

.PHONY: help demo test test-slow test-all test-warehouse torture lint type fmt cov check bench bench-quick bench-full \
  bench-check bench-baseline sandbox docs lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-15s %s\n", $$1, $$2}'

demo: $(TOOL) ## 5,000 messy customers through check, import, read back and export
	@$(BIN)/crm-pipeline demo

test: $(DEV) ## the tests that fit into some five minutes
	@$(BIN)/python -m pytest -q -n 2 -m "not slow" --hypothesis-profile=quick

test-slow: $(DEV) ## the tests that `make test` leaves out
	@$(BIN)/python -m pytest -q -m slow

test-all: $(DEV) ## all tests, slow ones too
	@$(BIN)/python -m pytest -q -n 2

test-warehouse: $(WAREHOUSE) ## sources against a real Postgres and an S3 service
	@CRM_PIPELINE_TEST_WAREHOUSE=1 $(BIN)/python -m pytest -q tests/warehouse

torture: $(DEV) ## the long proofs, and docs/proof.md; N=20 for a short form of each
	@$(BIN)/python tests/prove.py $(if $(N),--n $(N),--write)

lint: $(DEV) ## ruff: rules and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

type: $(DEV) ## mypy --strict
	@$(BIN)/mypy

fmt: $(DEV) ## format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

cov: $(DEV) ## branch coverage of the vocabulary and the core: 100 %
	@$(BIN)/python -m pytest -q -m "not slow" --cov --cov-report= tests/test_*.py tests/sources
	@$(BIN)/python -m coverage report --fail-under=100 \
	  --include="$$($(BIN)/python tests/core_files.py)"

check: lint type test ## what CI runs, without the demo

bench: $(DEV) ## measure, and compare with other ways to do it
	@$(BIN)/python benchmarks/run.py

bench-quick: $(DEV) ## the same with few rows, to see that it runs
	@$(BIN)/python benchmarks/run.py --quick

bench-full: $(PEERS) ## all peers, ten million rows, and docs/benchmarks.md
	@$(BIN)/python benchmarks/run.py --full

bench-check: $(DEV) ## fail where something became slower; QUICK=1 for a minute
	@$(BIN)/python benchmarks/check.py $(if $(QUICK),--quick)

bench-baseline: $(DEV) ## make what is measured now the baseline of bench-check
	@$(BIN)/python benchmarks/check.py --write

docs: $(DEV) ## write the generated parts of docs/
	@$(BIN)/python docs/generate.py
	@$(BIN)/python docs/protocol.py

sandbox: $(TOOL) ## serve the simulator of the API on port 8765
	@$(BIN)/crm-pipeline sandbox

lock: ## choose new versions for constraints.txt (needs uv)
	@uv pip compile -q --universal --no-header --no-annotate --no-emit-index-url \
	  --no-emit-find-links --upgrade --all-extras --python-version 3.11 \
	  pyproject.toml -o constraints.txt

clean: ## remove what was built and measured
	@rm -rf $(VENV) .crm-pipeline .mypy_cache .ruff_cache .hypothesis .coverage build dist

$(VENV)/.made: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..."; exit 1; }
ifdef UV
	@$(UV) venv -q --allow-existing --python $(PYTHON) $(VENV)
else
	@$(PYTHON) -m venv $(VENV) \
	  || { echo "Python's venv module is missing (Debian, Ubuntu: apt install python3-venv)"; exit 1; }
	@$(BIN)/python -m pip install -q --disable-pip-version-check --upgrade 'pip>=25'
endif
	@touch $@

ifdef UV
INSTALL = $(UV) pip install -q --python $(BIN)/python -c constraints.txt -e
else
INSTALL = $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e
endif

$(TOOL): $(VENV)/.made
	@echo "installing crm-pipeline into $(VENV) (once)"
	@$(INSTALL) .
	@touch $@

$(DEV): $(VENV)/.made
	@echo "installing crm-pipeline and its test tools into $(VENV) (once)"
	@$(INSTALL) '.[dev,bench,dask]'
	@touch $(TOOL) $@

$(WAREHOUSE): $(DEV)
	@echo "installing drivers, Postgres and an S3 service for the tests (once)"
	@$(INSTALL) '.[dev,bench,dask,warehouse-test]'
	@touch $@

$(PEERS): $(DEV)
	@echo "installing what the tool is compared with (once, some 500 MB)"
	@$(INSTALL) '.[dev,bench,bench-peers,dask]'
	@touch $@
