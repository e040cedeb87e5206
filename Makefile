# Each target sets up what it needs: a virtual environment in .venv, from pyproject.toml.

# What a folder of somebody else's has in it, such as a worker.py, is nothing for what is made here.
unexport PYTHONPATH

PYTHON ?= python3
BIN := .venv/bin
BENCH := PYTHONPATH=tests/support:benchmarks/support:. $(BIN)/python
INTEROP := .venv-interop
AUDIT := .venv-audit
# Two for each CPU that is for us: most tests of programs wait.
WORKERS := $(shell $(PYTHON) -c 'import os; print(2 * len(os.sched_getaffinity(0)))' 2>/dev/null || echo auto)
BROWSER := $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)

.PHONY: demo test properties lint bench bench-lipsync bench-claims interop matrix chaos soak sizing fuzz audit
.PHONY: lock browser services clean

demo: .venv/installed  ## the whole way on this machine: out/demo.mp4 and out/demo.json
	$(BENCH) benchmarks/demo.py out

test: lint  ## all tests, a sample of each property's examples; SCRATCH=folder for what tests write
	$(if $(SCRATCH),mkdir -p $(SCRATCH))
	$(if $(BROWSER),,AVATAR_NO_BROWSER=1) $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal \
		-m "not soak" $(if $(SCRATCH),--basetemp=$(SCRATCH)/tests)

properties: .venv/installed  ## every property with all of its examples; ten minutes and more
	HYPOTHESIS_PROFILE=full $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m hypothesis

browser:  ## Chromium for the tests, on Debian and as root
	apt-get update -qq
	apt-get install -y -qq --no-install-recommends chromium

services:  ## promtool, iptables and the Redis of Debian, as root; starts none of them
	apt-get update -qq
	apt-get install -y -qq --no-install-recommends redis-server prometheus iptables iproute2 openssl

lint: .venv/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy --config-file= --strict --warn-unreachable --ignore-missing-imports --no-warn-unused-ignores \
		--no-warn-return-any --allow-untyped-decorators --explicit-package-bases art training benchmarks/lipsync

bench: .venv/installed  ## all that is speed: drawing, latencies, a flood; five minutes
	$(BENCH) benchmarks/drawing.py
	$(BENCH) benchmarks/overhead.py out
	$(BENCH) benchmarks/flood.py out
	$(BENCH) benchmarks/latency.py out
	$(BENCH) benchmarks/launch.py out
	$(BENCH) benchmarks/at_viewer.py out

bench-lipsync: .venv/installed  ## how well lips are read: a table and out/lipsync.json
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.lipsync.bench out

bench-claims: .venv/installed  ## claims from eight dispatchers against a real Redis: out/claims.json
	$(BENCH) benchmarks/claims.py out

interop: $(INTEROP)/installed  ## our agent and worker with the stock ones; needs Python 3.12
	$(INTEROP)/bin/python -m pytest tests/interop/stock_peers.py

matrix: .venv/installed  ## conversations while the network misbehaves: out/matrix.json
	@if tests/interop/newer_python >/dev/null; then $(MAKE) $(INTEROP)/installed; fi
	$(BENCH) benchmarks/matrix.py out

chaos: .venv/installed  ## all that can fail on three hosts while a face speaks: out/chaos.json; as root
	$(BENCH) benchmarks/chaos.py out

fuzz: $(AUDIT)/installed  ## noise for every parser of what others send, some seconds each
	$(AUDIT)/bin/python tests/fuzz/fuzz.py all --seconds $(or $(SECONDS),5)

audit: $(AUDIT)/installed  ## what is known against the locked dependencies; out/sbom.cdx.json
	$(AUDIT)/bin/python benchmarks/audit.py out

LOCKED := worker dispatcher localroom tracing
lock: $(AUDIT)/installed  ## requirements.lock anew, from pyproject.toml: the extras of the image
	{ echo "# What the image has of dependencies, each with its hashes: make lock"; \
	$(AUDIT)/bin/uv --no-config pip compile pyproject.toml $(LOCKED:%=--extra %) --universal \
		--python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
		--quiet; } > requirements.lock

sizing: .venv/installed  ## what a session costs in CPU and memory: out/sizing.json
	$(BENCH) benchmarks/sizing.py out

soak: .venv/installed  ## a hundred sessions, then six at once: what is left behind
	$(BENCH) benchmarks/soak.py out
	$(BIN)/python -m pytest -m soak tests/end_to_end

clean:
	rm -rf .venv $(INTEROP) $(AUDIT) out build *.egg-info

.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[all,dev]'
	touch $@

$(INTEROP)/installed: pyproject.toml tests/interop/requirements.txt
	python=$$(tests/interop/newer_python) && $$python -m venv $(INTEROP)
	$(INTEROP)/bin/python -m pip install --quiet --disable-pip-version-check \
		--requirement tests/interop/requirements.txt --editable '.[all]'
	$(INTEROP)/bin/python -m pip check
	touch $@

$(AUDIT)/installed: pyproject.toml
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[all,audit,dev]'
	touch $@
