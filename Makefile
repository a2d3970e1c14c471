# Two commands to remember: `make demo` and `make test`. `make help` lists the others: a target's line there is the text
# behind its `##`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
FLAVOURS := build/flavours

.DEFAULT_GOAL := help
# Where it is set, each of the hundreds of processes that the tests start would compile every module anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install demo up down test test-fast documents long flavours check docs reference dashboards containers docker env bench bench-gpu check-gpu bench-peers browser vendor fuzz soak simulation lock

help:  ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP)  ## Install everything into .venv, at the versions of requirements.lock

# What is not compiled here, each of the processes that a stack or the tests start at once would compile for itself.
$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q -j 0 api benchmarks cli shared worker
	@touch $@

demo: install  ## Start everything, predict 200 digits, stop again
	$(BIN)/darkroom demo

up: install  ## Start everything on this machine and leave it running
	$(BIN)/darkroom up --detach

down: install  ## Stop it
	$(BIN)/darkroom down

# In five processes, more than the tests need cores: much of their time is waiting. Three begin with a stack each and two
# with what needs torch, then all take the rest; tests/conftest.py says who has what and in which order.
test: install  ## Every test but those of containers and the long ones, on real servers
	$(BIN)/pytest --numprocesses 5 --dist loadgroup --no-loadscope-reorder

# Without the few that are marked slow, which take much of the time. Each process begins with a quarter of the tests
# and takes from another's when it is done: those of a folder stay together, and what they import or start with them.
test-fast: install  ## Tests of single modules, those with a real server too: under a minute
	$(BIN)/pytest --numprocesses 4 --dist worksteal -m "not slow" tests/unit tests/component

documents: install  ## The shell blocks of README and quickstart, run as they stand on stacks of their own: two minutes
	$(BIN)/pytest tests/documents

# What takes a minute of a core or more a test.
long: install  ## Forty seconds of the soak, the GPU benchmark without a GPU: three minutes
	$(BIN)/pytest tests/long

# The images and docker-compose.yml, built and run without Docker: as root on Linux, 7 minutes.
containers: install  ## The images and docker-compose.yml without Docker (root on Linux, 7 minutes)
	$(BIN)/pytest tests/containers --timeout 1800

# The same on a real Docker engine, this machine's or one of its own: as root on Debian, 20 GB of disk, 15 minutes.
docker: install  ## The same on a real Docker engine (root on Debian, 15 minutes)
	$(BIN)/pytest tests/docker --timeout 3000

browser: install  ## The console in a real Chromium, on a stack of its own
	$(BIN)/pytest tests/browser

# In an environment of its own, before whose packages those of .venv are found: torch is not installed once more.
flavours: install  ## Every framework, the models' guides and the examples, in an environment of its own (700 MB, 5 minutes)
	$(BIN)/python -m venv --without-pip $(FLAVOURS)
	@echo "import site; site.addsitedir('$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')')" \
		> $$($(FLAVOURS)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/project.pth
	$(BIN)/python -m pip --python $(FLAVOURS)/bin/python install --quiet --disable-pip-version-check --requirement tests/flavours/requirements.txt
	$(BIN)/python -m pip --python $(FLAVOURS)/bin/python install --quiet --disable-pip-version-check --no-deps rapidocr
	@printf '#!/bin/sh\nexec %s/bin/python -m cli.main "$$@"\n' $(CURDIR)/$(FLAVOURS) > $(FLAVOURS)/bin/darkroom && chmod +x $(FLAVOURS)/bin/darkroom
	PYTHONPATH=. $(FLAVOURS)/bin/python -m pytest tests/unit/worker/models/flavours tests/unit/test_darkroom_contract.py tests/flavours

# Writes .env where there is none. Containers read deploy/ as other users, who can't read a clone made under umask 077.
env: .env  ## Write .env with random passwords for docker-compose.yml, where there is none yet
	@[ ! -d deploy ] || find deploy \( -type d ! -perm -055 -o -type f ! -perm -044 \) -exec chmod a+rX {} +

.env:
	@umask 077; $(PYTHON) -c 'import re, secrets; print(re.sub(r"^([A-Z_]+)=$$", lambda blank: blank[0] + ("darkroom:" if blank[1] == "FLOWER_BASIC_AUTH" else "") + secrets.token_hex(20), open(".env.example").read(), flags=re.M), end="")' > $@
	@echo "Wrote .env; Flower's and Grafana's logins are in it."

# Ten minutes of random faults under load against a stack of its own, then a check of everything that was promised.
soak: install  ## Ten minutes of random faults under load (SOAK='--seed 7 --seconds 60')
	$(BIN)/python -m tests.soak $(SOAK)

# The protocol simulation, which `make test` runs for six seconds, for ten minutes.
simulation: install  ## The queue's protocol under a random scheduler for ten minutes
	$(BIN)/pytest tests/integration/test_protocol.py --simulation-seconds 600 --timeout 0

# Atheris for ten minutes on each parser of untrusted bytes (FUZZ="zip --seconds 60": one parser, shorter).
fuzz: install  ## Fuzz each parser of untrusted bytes for ten minutes (FUZZ='zip --seconds 60')
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement tests/fuzz/requirements.txt
	$(BIN)/python -m tests.fuzz $(FUZZ)

check: install  ## Format, lint, types, import contracts, documents, known vulnerabilities
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m docs.generate --check
	$(BIN)/python -m deploy.grafana.generate --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	$(BIN)/python .ci/audit.py

# The pages of docs/reference that are generated from the code.
reference: install  ## Regenerate the generated pages of docs/reference
	$(BIN)/python -m docs.generate

# Grafana's dashboards, which are JSON, from the code beside them.
dashboards: install  ## Regenerate deploy/grafana/dashboards
	$(BIN)/python -m deploy.grafana.generate

docs: install  ## Build the documents as a site, in build/docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

bench: install  ## Run every benchmark; `python -m benchmarks --help` says how to run one
	$(BIN)/python -m benchmarks

bench-gpu: install  ## Measure one GPU, bare and through Darkroom: 8 minutes (BENCH_GPU='--only resnet50')
	$(BIN)/python -W ignore -m benchmarks.gpu $(BENCH_GPU)

check-gpu: install  ## All that only a GPU can tell: its tests, then bench-gpu in steps: 12 minutes (CHECK_GPU='--only tests')
	$(BIN)/python -m benchmarks.gpu.checks $(CHECK_GPU)

bench-peers: install  ## Darkroom beside Mosec, LitServe and others: 20 minutes (BENCH_PEERS='--only mosec --rounds 1')
	$(BIN)/python -W ignore -m benchmarks.peers $(BENCH_PEERS)

# The console's libraries, as npm has them; nothing else of the console is built.
vendor: install  ## Fetch the console's libraries from npm into api/console/web/vendor
	$(BIN)/python -m api.console.vendor

# Pins every dependency; the file names no package index, so any mirror can be used.
lock: install  ## Regenerate requirements.lock from pyproject.toml
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-emit-index-url --no-emit-find-links --no-annotate --no-header --output-file requirements.lock pyproject.toml
