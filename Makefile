# dialplane: `make run` to see it work, `make test` to check it. `make help` lists the rest.
#
#   make run DEMO=0        the server and the demo application, without the demo call
#   make run RCML_URL=...  the number 2000 asks this application
#   make run PYTHON=...    with a certain Python (3.11 or newer)
#   make test ONLY=sipp    some stages only, see .ci/test
#   make test-busy RUNS=20 LOOPS=2 ONLY=calls
VENV   ?= .venv
DEMO   ?= 1
RUNS   ?= 1
LOOPS  ?= 2
export VENV

.DEFAULT_GOAL := help
.PHONY: help run test test-busy lint coverage format worker bpf lock clean

help: ## this list
	@sed -n 's/^\([a-z][a-z%-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 22

run: ## set up what is missing, start the server with its demo application, place one call
	@.ci/setup run
	@exec $(VENV)/bin/python -m server.demo $(if $(filter 0 no off,$(DEMO)),--no-call) $(if $(RCML_URL),--rcml-url '$(RCML_URL)')

test: ## set up what is missing, run every check and test
	@.ci/setup test
	@.ci/test $(ONLY)

test-busy: ## the same beside busy loops, again and again (RUNS, LOOPS, ONLY): does it tell the truth?
	@.ci/setup test
	@exec $(VENV)/bin/python -m tests.load.busy --runs $(RUNS) --loops $(LOOPS) $(ONLY)

lint: ## style and types only
	@.ci/setup test
	@.ci/test lint

coverage: ## what the unit tests do not reach, line by line
	@.ci/setup test
	$(VENV)/bin/python -m coverage run -m pytest tests/unit
	$(VENV)/bin/python -m coverage report --skip-covered --show-missing

format: ## lay out the sources
	@.ci/setup test
	$(VENV)/bin/ruff check --quiet --fix .
	$(VENV)/bin/ruff format --quiet .
	cd media/worker && cargo fmt

worker: ## build the media worker
	cd media/worker && cargo build --release --locked

bpf: ## build the program for the kernel anew (wants clang and the headers of libbpf)
	media/worker/bpf/build

bench-%: ## a benchmark: tests/load/<name>.py, e.g. make bench-media
	@.ci/setup test
	@exec $(VENV)/bin/python -m tests.load.$*

lock: ## resolve the locked packages anew
	.ci/lock

clean: ## remove what was built and installed in the checkout, and the demo's state
	rm -rf $(VENV) dist build var .mypy_cache .ruff_cache .pytest_cache .hypothesis media/worker/target media/worker/fuzz/target
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
