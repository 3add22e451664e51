# Two commands on a fresh machine: `make run` and `make test`. The rest is for those who work on Greenlane.
# the first that is there: 3.11, with which the figures were taken, or a newer one
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test test-engines check format lock bench accuracy clean

$(VENV)/run.ok: requirements.lock pyproject.toml
	@test -x $(BIN)/python || test -n "$(PYTHON)" || { echo "Python 3.11 or newer was not found; say which: make PYTHON=..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/dev.ok: requirements-dev.lock $(VENV)/run.ok
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	touch $@

run: $(VENV)/run.ok ## serve on 127.0.0.1:8080
	$(BIN)/greenlane serve

test: $(VENV)/dev.ok ## the whole suite that needs no engine
	$(BIN)/python -m pytest

test-engines: $(VENV)/dev.ok ## the tests before vLLM, transformers serve, mlx-lm (installed once; GREENLANE_ENGINES: where), PostgreSQL and NVML
	PYTHON=$(PYTHON) tests/engines/install.sh
	$(BIN)/python -m pytest --durations=5 tests/postgres tests/nvml tests/engines

check: $(VENV)/dev.ok ## format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/dev.ok
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/run.ok ## Greenlane beside nginx and vllm-router on one core: benchmarks/report.md (BENCH=--quick: a short run)
	$(BIN)/python -m benchmarks run $(BENCH)

MEASUREMENTS ?= ../shared/carbon/measured_ml_energy_v3.csv
accuracy: $(VENV)/dev.ok ## fits the estimates to MEASUREMENTS anew and writes docs/accuracy.md; fails where a goal is missed
	$(BIN)/python -m pytest tests/accuracy
	$(BIN)/python -m benchmarks.accuracy $(MEASUREMENTS) --write

clean:
	rm -rf $(VENV) build dist *.egg-info

lock: ## remakes both lock files from the .in files
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" requirements.in -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" requirements-dev.in -o requirements-dev.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" tests/conformance/tools.in -o tests/conformance/tools.lock
