# make run: set up and open the app · make test: set up and test · make lint · make bench · make screenshots · make clean
# make engine: the engine's environment alone; VLLM=0.33.0 or VLLM=path/to/wheel makes another beside it
# make renew: the newest versions into constraints.txt and engine/constraints-cpu.txt, then the tests
PYTHON ?= python3
# What is started again and again shall not be compiled anew each time.
unexport PYTHONDONTWRITEBYTECODE
# Tests with a real engine run one after the other; those without one run beside them, and wait more than they compute.
WORKERS ?= -n 3 --no-loadscope-reorder
BIN := .venv/bin
SETUP = $(PYTHON) -m scripts.setup

.PHONY: help run test test-models lint bench screenshots engine renew clean

help:
	@head -3 Makefile | cut -c3-

run:
	@$(SETUP) run
	@$(BIN)/python app.py

test:
	@$(SETUP) test
	$(BIN)/python -m pytest $(WORKERS) $(ARGS)

# A twin of each architecture of the catalog under the real vLLM; afterwards docs/models.md says what was found.
test-models:
	@$(SETUP) test
	rm -f .twin-rows.jsonl
	TWIN_ROWS=.twin-rows.jsonl $(BIN)/python -m pytest -n 0 -m "models or not models" tests/real/test_twins.py $(ARGS); \
	status=$$?; $(BIN)/python -m scripts.models_table .twin-rows.jsonl; exit $$status

lint:
	@$(SETUP) lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench:
	@$(SETUP) test
	$(BIN)/python -m benchmarks $(ARGS)

screenshots:
	@$(SETUP) test
	$(BIN)/python scripts/screenshots.py $(ARGS)

engine:
	@VLLM="$(VLLM)" $(SETUP) engine

renew:
	@$(PYTHON) scripts/renew.py
	@$(MAKE) test
	$(BIN)/python -m pytest -m resolve tests/project/test_package.py

clean:
	rm -rf .venv .engines .pytest_cache .mypy_cache .ruff_cache .hypothesis
