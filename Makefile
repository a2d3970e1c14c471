# Two commands to remember: `make demo` and `make test`. `make help` lists the others: a target's line there is the text
# behind its `##`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo up down test check docs reference containers docker env bench fuzz soak simulation lock

help:  ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP)  ## Everything into .venv, as requirements.lock says

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: install  ## Start everything, predict 200 digits, stop again
	$(BIN)/darkroom demo

up: install  ## Start everything on this machine and leave it running
	$(BIN)/darkroom up --detach

down: install  ## Stop it
	$(BIN)/darkroom down

# In two processes: one has the running stack, the other the one that is broken, then all the rest.
test: install  ## Unit, integration and acceptance tests, on real servers
	$(BIN)/pytest --numprocesses 2 --dist loadgroup

# The images and docker-compose.yml, built and run without Docker: as root on Linux, 7 minutes.
containers: install  ## The images and docker-compose.yml without Docker (root on Linux, 7 minutes)
	$(BIN)/pytest tests/containers --timeout 1800

# The same on a real Docker engine, this machine's or one of its own: as root on Debian, 20 GB of disk, 15 minutes.
docker: install  ## The same on a real Docker engine (root on Debian, 15 minutes)
	$(BIN)/pytest tests/docker --timeout 3000

# Secrets for docker-compose.yml, where there are none yet. Containers read what lies in deploy/ as users of their own,
# who see nothing of a clone that was made under umask 077.
env: .env  ## Passwords for docker-compose.yml, where there are none yet
	@[ ! -d deploy ] || find deploy \( -type d ! -perm -055 -o -type f ! -perm -044 \) -exec chmod a+rX {} +

.env:
	@umask 077; $(PYTHON) -c 'import re, secrets; print(re.sub(r"^([A-Z_]+)=$$", lambda blank: blank[0] + ("darkroom:" if blank[1] == "FLOWER_BASIC_AUTH" else "") + secrets.token_hex(20), open(".env.example").read(), flags=re.M), end="")' > $@
	@echo "Wrote .env; Flower's login is in it."

# Ten minutes of random faults under load against a stack of its own, then the reckoning; SOAK='--seed 7 --seconds 60'.
soak: install  ## Ten minutes of random faults under load (SOAK='--seed 7 --seconds 60')
	$(BIN)/python -m tests.soak $(SOAK)

# The protocol simulation for ten minutes instead of half of one.
simulation: install  ## The queue's protocol under a random scheduler for ten minutes
	$(BIN)/pytest tests/integration/test_protocol.py --simulation-seconds 600 --timeout 0

# Atheris for ten minutes on each reader of strangers' bytes (FUZZ="zip --seconds 60": on one, shorter).
fuzz: install  ## Fuzz the readers of strangers' bytes for ten minutes each (FUZZ='zip --seconds 60')
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement tests/fuzz/requirements.txt
	$(BIN)/python -m tests.fuzz $(FUZZ)

check: install  ## Format, lint, types, import contracts, documents, known vulnerabilities
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m docs.generate --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	$(BIN)/python .ci/audit.py

# The pages of docs/reference that are made from what the code says.
reference: install  ## Write the generated pages of docs/reference anew
	$(BIN)/python -m docs.generate

docs: install  ## The documents as a site, in build/docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

bench: install  ## Every benchmark; benchmarks/__main__.py says how to run one
	$(BIN)/python -m benchmarks

# Pins every dependency; the file names no index, so any mirror serves.
lock: install  ## Write requirements.lock anew from pyproject.toml
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-emit-index-url --no-emit-find-links --no-annotate --no-header --output-file requirements.lock pyproject.toml
