# One target per task of CI or a person; each target sets up what it needs.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
TILE_DATA_DIR ?= ../shared/data
export TILE_DATA_DIR
export UV_PYTHON_DOWNLOADS := never
# uv from the PATH, else installed into build/uv.
UV := $(shell command -v uv || echo build/uv/bin/uv)
VENV := .venv/bin
# Committed files name the images of releases, also if this shell compiles pipelines for a cluster.
FOR_RELEASE := env -u TILEPIPE_IMAGE_REGISTRY -u TILEPIPE_IMAGE_TAG -u TILEPIPE_SETTINGS
COMPILED := .venv/compiled.lock
SAMPLE := build/sample
LOWEST := build/lowest
# All but those of files that are not Python, of speed and accuracy, and of whole clusters.
LOWEST_TESTS := $(filter-out accuracy bench browser chaos conftest.py e2e examples images manifests support test_%.py,$(notdir $(wildcard tests/[a-z]*)))
VERSION := $(shell sed -n 's/^VERSION = "\(.*\)"/\1/p' components/shared/version.py)
ENGINE ?= docker
REGISTRY ?= ghcr.io/tilepipe
IMAGE_FLAGS ?=
RECIPE ?= finetune
PARTS ?=
FAULTS ?=
EXAMPLES ?= 2000
FUZZ_SECONDS ?= 60
SOAK_SECONDS ?= 3600
NAME ?=

.PHONY: help setup browser postgres faketime run test lint types layers pipelines step unit coverage lowest bench accuracy examples screenshots docs e2e fuzz chaos soak audit sbom images clean

help: ## Print all targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

build/uv/bin/uv:
	@echo "installing uv into build/uv"
	@$(PYTHON) -m venv build/uv && build/uv/bin/pip install --quiet uv

# Bytecode is compiled when .venv was made or uv.lock changed: with PYTHONDONTWRITEBYTECODE, which is usual in CI, each
# process would compile TensorFlow and MLflow again. The copy of uv.lock vanishes with .venv.
setup: $(if $(filter build/uv/bin/uv,$(UV)),build/uv/bin/uv) ## Make .venv from uv.lock
	@compile=; cmp -s uv.lock $(COMPILED) || { compile=--compile-bytecode; echo "installing the packages of uv.lock into .venv; this takes minutes"; }; \
	  $(UV) sync --quiet --frozen --extra data --extra train --extra cli $$compile; \
	  [ -z "$$compile" ] || cp uv.lock $(COMPILED)

browser: # Install Debian's Chromium for tests that open pages; on other systems those tests skip and say why
	@if ! command -v chromium >/dev/null && command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	  echo "installing Chromium"; apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium >/dev/null; fi

postgres: # Install Debian's PostgreSQL for a test that starts a server of its own; on other systems it skips and says why
	@if ! command -v initdb >/dev/null && [ -z "$$(ls -d /usr/lib/postgresql/*/bin/initdb 2>/dev/null)" ] \
	    && command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	  echo "installing PostgreSQL"; mkdir -p /etc/postgresql-common/createcluster.d; \
	  echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.d/tilepipe.conf; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends postgresql >/dev/null; fi

faketime: # Install Debian's libfaketime for faults that set clocks wrong; on other systems they are not injected
	@if [ -z "$$(ls -d /usr/lib/*/faketime/libfaketimeMT.so.1 2>/dev/null)" ] && command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends libfaketime >/dev/null; fi

run: setup ## Train on a synthetic sample with the compiled pipeline, on this machine
	@[ -f $(SAMPLE)/catalog.json ] || $(VENV)/tilepipe sample $(SAMPLE) --tiles-per-class 200
	@$(VENV)/tilepipe run train_classifier --config pipelines/train_classifier/configs/sample.yaml data_source=$(SAMPLE)/catalog.json

test: lint types layers unit ## Run everything that CI checks

lint: setup ## Check style, naming, docstrings and banned imports
	@$(VENV)/ruff check . && $(VENV)/ruff format --check .

types: setup ## Check types (mypy --strict)
	@$(VENV)/mypy

layers: setup ## Check which package may import which
	@$(VENV)/lint-imports --no-cache

unit: setup browser postgres ## Run the tests in parallel
	@$(FOR_RELEASE) $(VENV)/pytest -n 2 --dist worksteal

# pytest-cov is put beside .venv, which stays as uv.lock has it. Steps that run in processes of their own are not counted.
coverage: setup browser ## Measure which lines the tests run; writes build/coverage/html
	@$(UV) pip install --quiet --no-deps --python $(VENV)/python --target build/coverage/packages pytest-cov==7.1.0 coverage==7.17.5
	@PYTHONPATH=build/coverage/packages COVERAGE_FILE=build/coverage/data $(FOR_RELEASE) $(VENV)/pytest -n 2 --dist worksteal \
	  --cov=tilepipe.components --cov=tilepipe.pipelines --cov-report=html:build/coverage/html --cov-report=term:skip-covered

# An environment of its own, never from uv.lock. Old versions may use what newer ones of their own dependencies deprecate.
lowest: setup ## Run the tests of steps and pipelines with the lowest versions that pyproject.toml allows
	@$(UV) venv --quiet --clear --python $(VENV)/python $(LOWEST)
	@VIRTUAL_ENV=$(LOWEST) $(UV) pip install --quiet --resolution lowest-direct --group dev -e '.[data,train,cli]'
	@$(FOR_RELEASE) $(LOWEST)/bin/pytest -n 2 --dist worksteal -W ignore::DeprecationWarning -W ignore::FutureWarning $(addprefix tests/,$(LOWEST_TESTS))

pipelines: setup ## Rewrite what derives from config.py: signatures, committed YAML, tables in the READMEs
	@$(VENV)/python -m tilepipe.pipelines.cli.compilation.signatures && $(FOR_RELEASE) $(VENV)/tilepipe compile && $(VENV)/tilepipe docs

step: setup ## Write the skeleton of a new step (NAME=sharpen)
	@$(VENV)/python -m tests.support.step_skeleton $(NAME)

bench: setup ## Measure speed and memory (only some: PARTS="pack training"; beside another checkout: BASELINE=FOLDER PARTS=whole_run); writes build/bench.json
	@BASELINE=$(BASELINE) $(VENV)/python -m tests.bench $(PARTS)

accuracy: setup ## Train on real EuroSAT (RECIPE=finetune, scratch or quick); writes build/accuracy-RECIPE.json
	@RECIPE=$(RECIPE) $(VENV)/python -m tests.accuracy

examples: setup ## Run pipelines/examples on small data
	@$(VENV)/pytest -m examples tests/examples

screenshots: run browser ## Take the README's picture of a report again
	@$(VENV)/python -m tests.support.screenshots

# Sphinx has an environment of its own. Its sources are the Markdown files where they are; warnings, as of broken links, fail.
docs: $(if $(filter build/uv/bin/uv,$(UV)),build/uv/bin/uv) ## Build the documentation site into build/site
	@$(UV) venv --quiet --clear --python $(PYTHON) build/docs
	@VIRTUAL_ENV=build/docs $(UV) pip install --quiet --require-hashes -r .github/site/requirements.txt
	@PYTHONDONTWRITEBYTECODE=1 build/docs/bin/sphinx-build -q -E -W --keep-going -c .github/site -d build/docs/doctrees . build/site
	@! grep -rl '[“”]' --include=*.html build/site  # JSON that is copied from a page must stay JSON
	@echo "the site is in build/site: open build/site/index.html"

e2e: setup browser ## Test on a real Kubeflow (KFP_ENDPOINT); writes build/e2e.json
	@$(VENV)/pytest -m e2e tests/e2e -p no:xdist

# atheris is put beside .venv, which stays as uv.lock has it; not every Python and system has a wheel of it.
fuzz: setup ## Feed each parser EXAMPLES new hostile inputs per test, then fuzz it by coverage for FUZZ_SECONDS (0: not)
	@FUZZ_EXAMPLES=$(EXAMPLES) $(VENV)/pytest tests/fuzz
	@if [ $(FUZZ_SECONDS) != 0 ]; then \
	  if $(UV) pip install --quiet --no-deps --only-binary atheris --python $(VENV)/python --target build/fuzz/packages atheris==3.0.0; then \
	    PYTHONPATH=build/fuzz/packages FUZZ_SECONDS=$(FUZZ_SECONDS) $(VENV)/python -W ignore -m tests.fuzz.coverage_guided; \
	  else echo "atheris has no wheel for this Python: nothing is fuzzed by coverage"; fi; fi

chaos: setup faketime ## Inject faults (FAULTS="s3.* train.kill", CHAOS_TIMES=3, CHAOS_SEED=0); resumes; writes build/chaos.json
	@$(VENV)/python -W ignore -m tests.chaos $(FAULTS)

soak: setup ## Train, ingest and pack for an hour (SOAK_SECONDS=3600) on failing servers, and look for leaks; writes build/soak.json
	@SOAK_SECONDS=$(SOAK_SECONDS) $(VENV)/python -W ignore -m tests.chaos.soak

audit: setup ## Look for known vulnerabilities in uv.lock; .github/advisories.toml explains exceptions
	@$(VENV)/python -m tests.support.audit $(UV)

sbom: setup ## Write bills of materials (CycloneDX) of the images and the command line to build/sbom
	@$(VENV)/python -m tests.support.sbom $(UV)

images: ## Build the four images (ENGINE=docker, REGISTRY=..., IMAGE_FLAGS='--build-arg ACCELERATOR=cpu')
	@for image in data train mlflow minio; do \
	  $(ENGINE) build $(IMAGE_FLAGS) --build-arg VERSION=$(VERSION) --build-arg REVISION="$$(git rev-parse --short HEAD)" \
	    -f images/$$image/Dockerfile -t $(REGISTRY)/$$image:$(VERSION) .; done

clean: ## Remove everything that the targets made
	@rm -rf build runs .venv .mypy_cache .ruff_cache .pytest_cache
