# Each target makes its own environment; nothing has to be installed first but Python >= 3.11.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUNS := data/paper/runs.parquet
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: demo test test-slow bench clean

demo: $(VENV)/.installed
	$(BIN)/scalefit check $(RUNS)
	mkdir -p demo
	$(BIN)/scalefit fit $(RUNS) --out demo/fit.json
	$(BIN)/scalefit predict demo/fit.json --params 100B
	$(BIN)/scalefit crossval $(RUNS) --mode zero-shot --where series=base

test: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2

test-slow: $(VENV)/.installed
	$(BIN)/pytest -n 2 -m slow

bench: $(VENV)/.installed
	$(BIN)/python benchmarks/run.py --out benchmarks/results.json

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[plot,test,bench]"
	touch $@

clean:
	rm -rf $(VENV) demo
