# Everything a newcomer types. `make demo` and `make test` set themselves up; both are quick when nothing changed.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv/bin
STAMP  := .build/setup.stamp
BUILT  := .build/contracts.stamp
# Several processes share the cores: one thread each, and none spins while it waits.
QUIET  := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive TOKENIZERS_PARALLELISM=false

.PHONY: setup demo test lint unit contract integration lock clean

setup: $(STAMP) $(BUILT)

.venv/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "PDFed needs Python 3.11: install it, or run make PYTHON=/path/to/python3.11"; exit 1; }
	@command -v npm >/dev/null || { echo "PDFed needs Node 20 with npm: install it and run make again"; exit 1; }
	$(PYTHON) -m venv .venv

# torch first and exactly: an open range would fetch the CUDA builds.
$(STAMP): .venv/pyvenv.cfg requirements.lock package.json package-lock.json ape-config.yaml setup/toolchain.py setup/solc.js
	$(VENV)/pip install --quiet --disable-pip-version-check "$$(grep '^torch==' requirements.lock)"
	$(VENV)/pip install --quiet --disable-pip-version-check -r requirements.lock
	npm install --ignore-scripts --no-save --no-audit --no-fund --loglevel=error
	$(VENV)/python setup/toolchain.py
	@mkdir -p $(@D) && touch $@

# All of them whenever one changed: Ape alone would leave those as they were that import the changed one.
$(BUILT): $(STAMP) $(wildcard contracts/*.sol contracts/test/*.sol)
	$(VENV)/ape compile --force > .build/compile.log 2>&1 || { cat .build/compile.log; exit 1; }
	@touch $@

demo: setup
	$(VENV)/ape run demo

test: setup lint contract unit integration

lint: setup
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy

# Ape's pytest plugin would start a chain in every process: these tests start their own.
contract: setup
	$(QUIET) $(VENV)/pytest tests/contract

unit: setup
	$(QUIET) $(VENV)/pytest -p no:ape_test tests/unit -n 2

integration: setup
	$(QUIET) $(VENV)/pytest -p no:ape_test tests/integration -n 2 --dist loadfile

lock:
	$(VENV)/pip freeze > requirements.lock

clean:
	rm -rf .venv node_modules .build .pdfed contracts/.cache
