# Everything that a user needs, from a machine with only Python 3.11, git and make: see `make help`.

CONFIG ?= configs/dynamic.yaml
SEEDS  ?= 0
PYTHON ?= python3
ARGS   ?=

name     := $(basename $(notdir $(CONFIG)))
python   := .venv/bin/python
family    = $(if $(shell grep -s 'id: envs:AdTiming' $(CONFIG)),ad_timing,campaign)
like      = $(if $(filter ad_timing,$(family)),--config $(CONFIG))

.DEFAULT_GOAL := help
.PHONY: help train evaluate robustness calibrate plan app tensorboard test bench mutants clean

help: ## one line for each command
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

train: .venv/run ## train the agents of CONFIG (default configs/dynamic.yaml) on SEEDS (default 0), several at once
	@echo "== training $(CONFIG), seeds $(SEEDS)"
	@$(python) -m train $(CONFIG) --seeds $(SEEDS) $(ARGS)

evaluate: .venv/run ## evaluate the newest run of each agent on CONFIG (trains first if there is none)
	@grep -qs '"state": "finished"' runs/$(name)/*/run.json || $(MAKE) --no-print-directory train ARGS=
	@echo "== evaluating $(CONFIG)"
	@$(python) -m evaluate $(CONFIG) $(ARGS)

robustness: .venv/run ## the agents of configs/uncertain.yaml where draws are wider, days noisier or a channel is dead
	@$(python) -m evaluate.campaign.robustness $(ARGS)

calibrate: .venv/calibrate ## a campaign of your own from the past days in DATA, a CSV file: config NAME and a report
	$(if $(DATA),,$(error make calibrate needs past days: make calibrate DATA=docs/past_days.csv NAME=mine))
	@$(python) -m evaluate.$(family).calibrate "$(DATA)" $(if $(NAME),--name "$(NAME)") $(like) $(ARGS)

plan: .venv/run ## tomorrow's split after the days in PAST, a CSV file: by RUN, or the newest run on CONFIG
	$(if $(HISTORY),$(error HISTORY is now called PAST: make plan PAST=$(HISTORY)))
	@$(python) -m evaluate.campaign.plan $(or $(RUN),$(CONFIG)) $(if $(PAST),--past "$(PAST)") $(ARGS)

app: .venv/app ## a page to try other budgets, limits and plans of your own on the trained runs
	@$(python) -m evaluate.campaign.app $(ARGS)

tensorboard: .venv/run ## TensorBoard over runs/ and reports/
	@mkdir -p runs reports
	@$(python) -m tensorboard.main --logdir_spec runs:runs,reports:reports $(ARGS)

test: .venv/dev ## lint, types, import contracts and all tests
	@echo "== lint"; $(python) -m ruff check . && $(python) -m ruff format --check .
	@echo "== types"; $(python) -m mypy
	@echo "== import contracts"; .venv/bin/lint-imports
	@echo "== tests"; $(python) -m pytest -n 2 $(ARGS)

bench: .venv/dev ## the timings, as ratios measured in one run; ARGS names sections
	@$(python) -m tests.benchmarks.bench $(ARGS)

mutants: .venv/mutants ## small faults planted in the core: which of them the tests notice (long; on every core)
	@rm -rf mutants
	@OMP_NUM_THREADS=1 .venv/bin/mutmut run $(ARGS)
	@.venv/bin/mutmut results --all true | $(python) -m tests.tools.mutants

clean: ## remove the environment and caches; runs/ and reports/ stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis mutants

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	@echo "== making a virtual environment in .venv"
	@$(PYTHON) -m venv .venv

.venv/run: requirements.txt | .venv/bin/python
	@echo "== installing what running needs (once; torch is large)"
	@$(python) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/app: requirements.txt requirements-app.txt | .venv/bin/python
	@echo "== installing what the page needs (once; torch is large)"
	@$(python) -m pip install --quiet --disable-pip-version-check -r requirements-app.txt
	@touch $@ .venv/run

.venv/calibrate: requirements.txt requirements-calibrate.txt | .venv/bin/python
	@echo "== installing what calibration needs (once; torch is large)"
	@$(python) -m pip install --quiet --disable-pip-version-check -r requirements-calibrate.txt
	@touch $@ .venv/run

.venv/dev: requirements.txt requirements-app.txt requirements-calibrate.txt requirements-dev.txt | .venv/bin/python
	@echo "== installing what testing needs (once; torch is large)"
	@$(python) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ .venv/run .venv/app .venv/calibrate

.venv/mutants: requirements.txt requirements-app.txt requirements-calibrate.txt requirements-dev.txt requirements-mutants.txt | .venv/bin/python
	@echo "== installing what mutation testing needs (once; torch is large)"
	@$(python) -m pip install --quiet --disable-pip-version-check -r requirements-mutants.txt
	@touch $@ .venv/dev .venv/run .venv/app .venv/calibrate
