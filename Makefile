PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: help env check test run reports clean
help: ## List the targets.
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

env: $(VENV)/installed ## Make the environment.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt torch
	$(BIN)/pip install -q -c constraints.txt -e '.[test,check]'
	touch $@

check: env ## Style and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check compress
	$(BIN)/mypy --strict -p compress

browser: # The report's tests open it in headless Chromium.
	@command -v chromedriver >/dev/null || { apt-get update -q && apt-get install -y -q chromium chromium-driver; }

test: env browser ## The whole suite.
	$(BIN)/python -m pytest

run: env ## The main job.
	$(BIN)/squeeze-compress run pipelines/squeezenet.yaml

clean: ## Remove the environment and what runs left.
	rm -rf $(VENV) out
