# The environment lies in $(VENV); everything is installed in the versions of constraints.txt.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/ready

.DEFAULT_GOAL := help
.PHONY: help env browser run test check reports clean

help: ## List the targets.
	@sed -nE 's/^([a-z]+):.*## (.*)/\1\t\2/p' Makefile | expand -t 10

env: $(READY) ## Make the environment, or bring it up to date.
# The mark is made last: an installation that failed is begun anew.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,check]'
	@touch $@

browser: # The report's tests open it in headless Chromium; root on Debian can install it here and now.
	@command -v chromedriver >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  apt-get -q update && apt-get -q install -y --no-install-recommends chromium chromium-driver; } || \
	  { echo 'The tests need Chromium and its driver; on Debian: apt-get install chromium chromium-driver'; exit 1; }

run: env ## The main job: SqueezeNet v1.1 under 500,000 bytes, from what is installed alone.
	$(BIN)/squeeze-compress run pipelines/squeezenet.yaml

test: env browser ## The whole suite.
	$(BIN)/python -m pytest

check: env ## Style and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict -p compress

reports: env ## Run every ready pipeline whose data is there, and keep its report in reports/.
	@for pipeline in pipelines/*.yaml; do \
	  for path in $$(sed -nE 's/^ +path: +([^ ]+).*/\1/p' $$pipeline); do \
	    [ -e $$path ] || { echo "$$pipeline: left out, there is no $$path"; continue 2; }; \
	  done; \
	  name=$$(basename $$pipeline .yaml); echo "$$pipeline:"; \
	  $(BIN)/squeeze-compress run $$pipeline --out out/$$name || exit; \
	  mkdir -p reports/$$name && cp out/$$name/report.html out/$$name/report.json reports/$$name/ || exit; \
	done

clean: ## Remove the environment and what runs left.
	rm -rf $(VENV) out
