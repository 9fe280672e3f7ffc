# Two commands matter: `make demo` and `make test`. Each sets up everything it needs in .venv first.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: setup demo test check test-slow test-mpc vectors fuzz mutation bench bench-full bench-quick compare clean help

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "privateyes needs Python 3.11 or newer; run make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[train,dev]'
	@touch $(STAMP)

setup: $(STAMP)  ## make the environment

demo: $(STAMP)  ## render synthetic eyes, train six methods, show table and page
	$(BIN)/privateyes demo

test: check  ## everything that CI runs
	$(BIN)/pytest --numprocesses=2 --dist=worksteal

check: $(STAMP)  ## style, types and the layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --config .importlinter --cache-dir .import_linter_cache

test-mpc: $(STAMP)  ## generic MPC under the real engine; installs it in a cache folder first (230 MB)
	$(BIN)/pytest -m mpc

test-slow: $(STAMP)  ## tests that take minutes
	$(BIN)/pytest -m slow

vectors: $(STAMP)  ## write vectors/*.json anew; the tests fail if that changes anything
	$(BIN)/python tools/generate_vectors.py

FUZZ_SECONDS ?= 300
fuzz: $(STAMP)  ## damaged bytes for every parser, for FUZZ_SECONDS (300); repeat a run with FUZZ_SEED
	FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/pytest tests/fuzz --capture=no --timeout=0

MUTATION ?=
mutation: $(STAMP)  ## change the protocol's code in one place at a time: does a test notice? MUTATION=src/... for a part
	$(BIN)/python tools/mutation.py $(MUTATION)

bench: $(STAMP)  ## speed and memory, side by side with plain averaging; tables, and JSON under build/bench
	$(BIN)/python benchmarks/rendering.py --json build/bench/rendering.json
	$(BIN)/python benchmarks/aggregation.py --json build/bench/aggregation.json
	$(BIN)/python benchmarks/cold_start.py --json build/bench/cold_start.json
	$(BIN)/python benchmarks/private_round.py --json build/bench/private_round.json
	$(BIN)/python benchmarks/private_round.py --model lenet --json build/bench/private_round_lenet.json
	$(BIN)/python benchmarks/private_round.py --model lenet --field wide --json build/bench/private_round_lenet_wide.json
	$(BIN)/python benchmarks/secure_average.py --json build/bench/secure_average.json
	$(BIN)/python benchmarks/large_person.py --share 0.02 --json build/bench/large_person.json
	$(BIN)/python benchmarks/chunks.py --json build/bench/chunks.json

bench-full: $(STAMP)  ## aggregation at every size: 1000 clients of 100 million parameters too
	$(BIN)/python benchmarks/aggregation.py --full --json build/bench/aggregation_full.json

bench-quick: $(STAMP)  ## a smoke test of the aggregation's benchmark
	$(BIN)/python benchmarks/aggregation.py --quick

COMPARISONS := mpiigaze_crops mpiigaze_crops_momentum synthetic_lenet synthetic_resnet synthetic_resnet_private \
  synthetic_resnet_long_rounds p00_within_person
compare: $(STAMP)  ## docs/results.md's table of errors, from the data in $PRIVATEYES_DATA; two hours on two cores
	@test -n "$$PRIVATEYES_DATA" || { echo "set PRIVATEYES_DATA to the folder of the data" >&2; exit 1; }
	$(BIN)/python examples/p00_by_days.py runs/p00_by_days.h5
	for name in $(COMPARISONS); do \
	  $(BIN)/privateyes compare examples/$$name.toml --out runs/compare-$$name --resume || exit 1; \
	done

clean:  ## remove the environment and what was built
	rm -rf .venv build *.egg-info src/*.egg-info
