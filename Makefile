# Lowbit. `make demo` does the main job from nothing; `make test` passes the tests from nothing. Both install what they need.
SHELL := /bin/sh
.DEFAULT_GOAL := help
LOWBIT_CACHE ?= $(HOME)/.cache/lowbit
export LOWBIT_CACHE
python = .venv/bin/python
pytest = $(python) -m pytest
rig = PYTHONPATH=operator:. $(python) -m tests.faults
lowbit = PYTHONPATH=operator $(python) -m lowbit.cli.main

.PHONY: matrix help venv lint test test-long test-unit test-report test-api faults bench bench-scale tools images cluster-up cluster-down demo demo-down generate plan hooks lock

help: ## This text
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 16

venv: ## The development virtualenv, from the committed lock
	@hack/venv.sh

lint: venv ## ruff, mypy (strict) and the arrows between the rooms
	.venv/bin/ruff format --check operator tests images hack
	.venv/bin/ruff check operator tests images hack
	.venv/bin/mypy
	PYTHONPATH=operator .venv/bin/lint-imports --no-cache

test-unit: venv ## The pure rooms; the loop at the desk
	$(pytest) tests/unit tests/security -q -x

tools: venv ## The cluster's programs and Debian packages
	$(python) -m hack.cluster.packages
	$(python) -m hack.cluster.build

test-api: tools ## Against a real API server
	$(pytest) tests/api -q

test-report: tools ## The report's page in a headless Chromium
	$(pytest) tests/report -q

faults: tools ## All faults, on a real API server (hours); $(FAULTS) for some: FAULTS=rollback, FAULTS="--sort views --share 10"
ifdef FAULTS
	$(rig) $(FAULTS)
else
	$(rig)
	$(rig) --sort twice
	$(rig) --sort reads
	$(rig) --sort answers
	$(rig) --sort views
	$(rig) --sort stale
	$(rig).outages
	$(rig).properties
	$(rig).states
	$(rig).bugs
endif

images: tools ## The container images
	$(python) -m images build

cluster-up: tools ## The one-node cluster
	$(python) -m hack.cluster up

cluster-down: venv ## Nothing of the cluster is left
	$(python) -m hack.cluster down

demo: venv ## From a manifest to a served model, on the cluster of KUBECONFIG or on one made here
	@$(python) -m hack.demo up

demo-down: venv ## Leaves nothing running
	@$(python) -m hack.demo down

test: venv ## All tests but those marked long, unit to end to end, from nothing
	@$(python) -m hack.test

test-long: venv ## All tests, those marked long too
	@$(python) -m hack.test --long

bench-scale: tools ## The figures at thousands of objects alone, about four hours; the ranges are checked
	PYTHONPATH=operator $(python) -m tests.bench.scale.growth
	PYTHONPATH=operator $(python) -m tests.bench.scale.wave
	PYTHONPATH=operator $(python) -m tests.bench.scale.wave --count 20
	PYTHONPATH=operator $(python) -m tests.bench.scale.writes
	PYTHONPATH=operator $(python) -m tests.bench.scale.settled --only cold change deleted leader decide
	PYTHONPATH=operator $(python) -m tests.bench.scale.settled --only rest --rest 3600 --name scale-rest-1000
	PYTHONPATH=operator $(python) -m tests.bench.scale.settled --count 250 --only cold
	PYTHONPATH=operator $(python) -m tests.bench.scale.settled --count 5000 --only cold
	PYTHONPATH=operator $(python) -m tests.bench.scale.starts
	PYTHONPATH=operator $(python) -m tests.bench.scale.wave --count 5000
	$(python) -m tests.bench.scale.plot
	$(python) -m tests.bench.page
	$(python) -m tests.bench.check

bench: images bench-scale ## The figures of docs/benchmarks.md; about nine hours, on a machine that does nothing else
	PYTHONPATH=operator $(python) -m tests.bench.idle
	PYTHONPATH=operator $(python) -m tests.bench.idle --real-time
	PYTHONPATH=operator $(python) -m tests.bench.quantize
	PYTHONPATH=operator $(python) -m tests.bench.quantize --model smollm2-135m-instruct --runs 1
	PYTHONPATH=operator $(python) -m tests.bench.evaluate
	PYTHONPATH=operator $(python) -m tests.bench.evaluate --model smollm2-135m-instruct --original --runs 3
	PYTHONPATH=operator $(python) -m tests.bench.stages --model smollm2-2layers
	PYTHONPATH=operator $(python) -m tests.bench.stages
	PYTHONPATH=operator $(python) -m tests.bench.gate
	PYTHONPATH=operator $(python) -m tests.bench.gate.power
	PYTHONPATH=operator $(python) -m tests.bench.gate.looks
	$(python) -m tests.bench.page
	$(python) -m tests.bench.check --all

matrix: images ## Tries every type of model in quantizer and engine, about 75 minutes; $(TYPES) for some: TYPES="llama phi3"
	PYTHONPATH=operator $(python) -m hack.matrix $(TYPES)
	PYTHONPATH=operator $(python) -m hack.matrix.page

generate: venv ## CRDs and the reference, from the types
	$(lowbit) crds crds
	$(lowbit) reference docs/reference

plan: venv ## What would be made of FILE, without a cluster
	@$(lowbit) plan $(FILE)

hooks: venv ## The checks of `make lint`, before each commit
	.venv/bin/pre-commit install

lock: venv ## The requirements' locks
	$(python) -m images.lock
	.venv/bin/uv pip compile --quiet --generate-hashes --no-emit-index-url --python-version 3.11 --custom-compile-command "make lock" --override requirements/overrides.in --override requirements/harness-overrides.in requirements/dev.in -o requirements/dev.txt
