# What one does with this repository. `make` lists it.
# Everything that is built or installed lies in the cache, outside the repository: REGATTA_CACHE moves it.

CACHE := $(or $(REGATTA_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/regatta)
VENV := $(CACHE)/venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3 python3.15 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
CLUSTER := $(BIN)/python -m tests.cluster
PYTEST := $(BIN)/python -m pytest --durations=15 $(PYTEST_ARGS)

# Changes with whatever decides what is installed; the checkout counts, for the project is installed from where it lies.
PINS := constraints.txt runtime_images/operator/requirements-build.txt pyproject.toml
INSTALLED := $(VENV)/.installed-$(shell { pwd; cat $(PINS); } | cksum | tr ' ' -)

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help venv check test bench bench-feed scale demo observe images chart-docs sbom cluster-up cluster-down cluster-status pins clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-16s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

venv: $(INSTALLED)  ## make the Python environment, with pinned versions, in the cache

$(INSTALLED): $(PINS)
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or later is on PATH: install one, or name it: make PYTHON=..."; exit 1; }
	@echo "making the Python environment in $(VENV)"
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || test -x $(BIN)/pip || { \
	  echo "$(PYTHON) lacks its venv module"; \
	  test "$$(id -u)" = 0 && apt-get update -qq && apt-get install -qq -y --no-install-recommends python3-venv \
	  || { echo "install it, on Debian with: sudo apt-get install python3-venv"; exit 1; }; }
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && test -x $(BIN)/pip \
	  || $(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/pip install --quiet --no-deps --requirement constraints.txt \
	  --requirement runtime_images/operator/requirements-build.txt
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@rm -f $(VENV)/.installed-*
	@touch $@

check: venv  ## run the fast checks: lint, types, contracts, generated files, chart
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m regatta.api.crd --check
	$(BIN)/python -m charts.dashboards --check
	$(CLUSTER) helm lint --strict charts/regatta

ifdef K
test: check  ## run all tests, those on a real cluster too; K=expression runs a part (pytest's -k)
	$(PYTEST) -k '$(K)'
else
test: check
	$(PYTEST) --numprocesses auto --maxprocesses 4 --dist loadfile --ignore=tests/cluster --ignore=tests/scale
	$(CLUSTER) up --images
	$(PYTEST) tests/cluster tests/scale
endif

bench: venv  ## measure the operator against a bare client on the same API server
	$(BIN)/python -m tests.bench $(ARGS)

scale: venv  ## measure a large job's restart, five times, and scrapes of 10,000 jobs on fake nodes
	REGATTA_SCALE_ROUNDS=5 REGATTA_SCALE_JOBS=10000 $(PYTEST) --capture=no tests/scale $(ARGS)

bench-feed: venv  ## measure the feed against torch's DataLoader on one CPU (ARGS="--tensorflow PYTHON" adds tf.data; --dali, --ffcv)
	$(BIN)/python -m tests.bench.feed $(ARGS)

chaos: venv  ## break everything around running jobs (ARGS="--seed 7 --minutes 5 --jobs 50")
	$(BIN)/python -m tests.chaos $(ARGS)

demo: venv  ## bring up a cluster, install Regatta and train the example to its end
	$(BIN)/python -m tests.demo $(ARGS)

observe: venv  ## train an example under Prometheus, and draw the dashboards from its data (ARGS="--seconds 180")
	$(BIN)/python -m tests.observe $(ARGS)

images: venv  ## build the images that changed, and give them to the running nodes
	$(CLUSTER) images $(ARGS)

chart-docs: venv  ## write the chart's README from its values
	"$$($(BIN)/python -c 'from tests.cluster.tool import api; print(api.helm_docs_path())')" \
	  --chart-search-root charts/regatta --log-level error

sbom: venv  ## write a bill of materials for each image (ARGS="--base IMAGE@DIGEST")
	$(BIN)/python tests/sbom.py dist/sbom $(ARGS)

cluster-up: venv  ## bring up a real Kubernetes with the images on it (ARGS="--nodes 3")
	$(CLUSTER) up --images $(ARGS)

cluster-down: venv  ## end the cluster and remove every trace of it
	$(CLUSTER) down

cluster-status: venv  ## show what runs, and how to reach it
	@$(CLUSTER) status

.PHONY: dashboards
dashboards: venv  ## write the chart's Grafana dashboards anew, and the pictures of docs/dashboards.md
	$(BIN)/python -m charts.dashboards
	$(BIN)/python -m tests.dashboards.pictures

pins: venv  ## pin the newest versions of everything that is installed
	$(BIN)/python tests/pins.py

clean: venv  ## end the cluster, and remove what tools left in the repository (the cache stays)
	$(CLUSTER) down
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist
