# `make help` lists what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo up test check format crd lock train-demo-models check-demo-models chaos fuzz-api cluster-deps cluster-up cluster-down e2e bench-latency bench-queue bench-fairness bench-api bench-planner bench-operator prove-queue clean distclean

BIN := .venv/bin
CLUSTER := PYTHONPATH=tests $(BIN)/python -m cluster

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  \033[1m%-20s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Make .venv from the lock file; quick when nothing changed
	@scripts/setup

demo: setup ## Start the whole service, make pictures and a video under out/, stop it
	$(BIN)/modelpool demo --out out

up: setup ## Run the example pool on http://127.0.0.1:8080 until Ctrl-C
	$(BIN)/modelpool up -f examples/studio.yaml

test: setup ## Run the unit and integration tests, in a process a core; PYTEST="-k name" to choose, "-n 0" for one process
	@scripts/test $(PYTEST)

check: setup ## Check format, lint, types, imports and generated files, as CI does
	@scripts/check

format: setup ## Format, and mend what the linter can mend
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

crd: setup ## Write the CustomResourceDefinition anew from the core models, and the chart's table of values
	@$(BIN)/python scripts/crd.py
	@$(BIN)/python scripts/chart_admission.py
	@$(BIN)/python scripts/chart_readme.py

lock: setup ## Resolve the dependencies anew; UPGRADE="--upgrade" for the latest
	@$(BIN)/python scripts/lock.py $(UPGRADE)

train-demo-models: setup ## Train the demo models (about 90 minutes on 2 cores; resumable)
	$(BIN)/python -m modelpool_training train

check-demo-models: setup ## Measure how well the demo models obey their prompts
	$(BIN)/python -m modelpool_training check

chaos: setup ## Kill worker, API, operator and Redis with kill -9 under 200 jobs, on the example pool and its real models, too
	CHAOS=1 scripts/test tests/integration/local/test_kill_nine.py -n 0 $(PYTEST)

fuzz-api: setup ## Send the API what nobody would: schemathesis over its OpenAPI document; FUZZ=N examples an operation
	FUZZ_EXAMPLES=$(or $(FUZZ),200) scripts/test tests/integration/api/test_schema.py -n 0 $(PYTEST)

cluster-deps: setup ## Install what the test cluster needs, build its programs (10 minutes once)
	@$(CLUSTER) deps

cluster-up: setup ## Start a Kubernetes cluster with seven pretended GPUs; prints its KUBECONFIG
	@$(CLUSTER) up

cluster-down: setup ## End the test cluster, or what a failed start left of it
	@$(CLUSTER) down

e2e: setup ## Run all scenarios on the test cluster, or on that of E2E_KUBECONFIG; PYTEST="-k name" to choose
	@scripts/e2e $(PYTEST)

bench-latency: setup ## Measure the overhead per job and the time to a result at 70 % load
	PYTHONPATH=tests $(BIN)/python tests/bench/latency.py

bench-queue: setup ## Compare the queue with arq, taskiq-redis and docket; BENCH="--help" for choices
	PYTHONPATH=tests $(BIN)/python -m bench.queueing.compare $(BENCH)

bench-fairness: setup ## Show who waits how long beside a heavy user, in the queue and in plain FIFO
	PYTHONPATH=tests $(BIN)/python -m bench.queueing.fairness $(BENCH)

bench-api: setup ## Compare letting a job in with a bare route and with arq; BENCH="--help" for choices
	PYTHONPATH=tests $(BIN)/python -m bench.admission.compare $(BENCH)

bench-planner: setup ## Time plan() on small and large pools
	PYTHONPATH=tests $(BIN)/python tests/bench/planner.py

bench-operator: setup ## Measure the operator with 200 pools on a real API server; BENCH="--help" for choices
	PYTHONPATH=tests $(BIN)/python -m bench.operating.measure $(BENCH)

prove-queue: setup ## Drive the queue and its model with 10,000 random examples on Redis 6.2 and 7; QUEUE_EXAMPLES=N
	PYTHONPATH=tests $(BIN)/python tests/bench/prove_queue.py

clean: ## Remove what runs and tools left behind; keep .venv
	rm -rf out run build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -path ./.venv -prune -o -type d -name __pycache__ -print0 | xargs -0 rm -rf

distclean: clean ## Remove .venv too
	rm -rf .venv
