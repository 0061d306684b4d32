# The environment is in $(VENV), results are in $(OUT). Packages have the versions of constraints.txt; torch comes from
# the package index TORCH_INDEX, if set.
PYTHON ?= python3
VENV ?= .venv
OUT ?= out
BIN = $(VENV)/bin
READY = $(VENV)/ready

.DEFAULT_GOAL := help
.PHONY: help env browser arm run test check reports bench wasm docs ci clean

help: ## List the targets.
	@sed -nE 's/^([a-z]+):.*## (.*)/\1\t\2/p' Makefile | expand -t 10
	@echo 'Variables: PYTHON ($(PYTHON)), VENV, the environment ($(VENV)), OUT, results ($(OUT)),'
	@echo '  TORCH_INDEX, package index of torch ($(or $(TORCH_INDEX),the usual one)).'

env: $(READY) ## Create or update the environment.
# The stamp is written last, so that a failed installation starts over.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is required; choose one with: make PYTHON=python3.12")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(TORCH_INDEX:%=--index-url %) torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,check]'
	@touch $@

browser: ## Check for Chromium and chromedriver; install them as root on Debian.
	@any() { for name; do command -v "$$name" >/dev/null && return; done; return 1; }; \
	there() { any chromium chromium-browser google-chrome google-chrome-stable && \
	  any chromedriver chromium.chromedriver; }; \
	there || { [ "$$(id -u)" = 0 ] && any apt-get && apt-get -q update && \
	  DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends chromium chromium-driver && there; } || { \
	  echo 'The tests open the report in Chromium. Install Chromium and chromedriver, and put both on the PATH.'; \
	  echo 'Debian: apt-get install chromium chromium-driver; elsewhere: Google Chrome and chromedriver.'; exit 1; } >&2

arm: ## Install what examples/cortex-m needs, as root on Debian; without it, its tests are skipped.
	@tools() { command -v arm-none-eabi-gcc && command -v qemu-system-arm; }; tools >/dev/null || { \
	  [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get -q update && \
	  DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends gcc-arm-none-eabi \
	    libnewlib-arm-none-eabi qemu-system-arm; } || \
	  echo 'No Arm compiler or no QEMU: the tests of examples/cortex-m are skipped.' >&2

run: env ## The main job: SqueezeNet v1.1 below 500,000 bytes, with installed photos only.
	$(BIN)/squeeze-compress run pipelines/squeezenet.yaml --out $(OUT)/squeezenet

# One process per core, one thread each. Tests of one file share expensive fixtures, so they run in one process.
test: env browser arm ## The whole test suite.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

check: env ## Style and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict -p compress -p benchmarks -p documentation

reports: env ## Run every built-in pipeline whose data exists, and keep its report in reports/.
	@for pipeline in pipelines/*.yaml; do \
	  for path in $$(sed -nE 's/^ +path: +([^#]+).*/\1/p' $$pipeline | tr -d '[],'); do \
	    [ -e $$path ] || { echo "$$pipeline: skipped, $$path does not exist"; continue 2; }; \
	  done; \
	  name=$$(basename $$pipeline .yaml); echo "$$pipeline:"; \
	  $(BIN)/squeeze-compress run $$pipeline --out $(OUT)/$$name --cache $(OUT)/cache || exit; \
	  mkdir -p reports/$$name && cp $(addprefix $(OUT)/$$name/,report.html report.json outcomes.json) reports/$$name/ || exit; \
	done

bench: env ## Benchmarks: NNCodec, codecs, 100,000 damaged files, killed runs, training speed, start-up, ResNets, the runtime in C and in the browser.
	$(BIN)/python -m benchmarks.rate_accuracy --out $(OUT)
	$(BIN)/python -m benchmarks.codecs --out $(OUT)
	$(BIN)/python -m benchmarks.fuzz --out $(OUT)
	$(BIN)/python -m benchmarks.crash_recovery
	$(BIN)/python -m benchmarks.training_speed
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.scale
	$(BIN)/python -m benchmarks.runtime --out $(OUT)
	$(BIN)/python -m benchmarks.web_page --out $(OUT)

wasm: env ## Build the WebAssembly modules, after a change in runtime/c or runtime/wasm.
	PYTHON=$(BIN)/python sh runtime/wasm/build.sh web compress/export/web_page/squeeze.wasm
	PYTHON=$(BIN)/python sh runtime/wasm/build.sh streams compress/codecs/streams.wasm

docs: env ## The documentation site; warnings and broken links are errors.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	$(BIN)/python -m documentation --out $(OUT)/docs

ci: env ## Example of a model gate for other teams, see docs/ci.md; not the CI of this project.
	$(BIN)/squeeze-compress run docs/ci/pipeline.yaml --out $(OUT)/ci --cache $(OUT)/ci/cache
	accepted=$(OUT)/ci/accepted.sqz; [ -e $$accepted ] || accepted=embedded; \
	  $(BIN)/squeeze-compress compare $$accepted $(OUT)/ci/model.sqz --data samples --limit 100 --cache $(OUT)/ci/cache \
	    --min-agreement 0.75 --max-divergence 0.1 --json > $(OUT)/ci/comparison.json
	cp $(OUT)/ci/model.sqz $(OUT)/ci/accepted.sqz

clean: ## Remove the environment, results and caches.
	rm -rf $(VENV) $(OUT) build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find benchmarks compress documentation tests -name __pycache__ -prune -exec rm -rf {} +
