# Each target works from a fresh clone: it makes .venv, installs what it needs, and does its job.
#     make test PYTHON=python3.12           another Python, for a .venv that is yet to be made
#     make test ARGS='-k sampler'           more arguments for pytest; '-m slow' runs the slow tests
#     make demo CONSTRAINTS=                the newest versions that fit, in place of the tested ones
#     make mmagic PYTHON=python3.11         where python3 is another version: those of MMagic's stack are for 3.11

PYTHON ?= python3
CONSTRAINTS ?= requirements/constraints.txt
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
MMAGIC := .venv-mmagic
# What an install depends on; a change to any of these installs again.
SETUP := setup.py pyproject.toml mmcm/version.py $(wildcard requirements/*.txt)

# Tests of numbers, which processors round in different ways.
NUMERIC := $(addprefix tests/test_,backbones curricula denoisers distances evaluation checkpoints/test_formats models noise \
    objectives operators samplers)
# The lowest instruction sets of x86 that torch, oneDNN and MKL can be held to.
LOWEST := ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 MKL_CBWR=COMPATIBLE

.PHONY: help demo test test-portable lint mmagic test-mmagic clean
.DELETE_ON_ERROR:

help:  ## Show this list.
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.installed-demo  ## Draw digits with the model that ships, into outputs/demo.png.
	$(BIN)/python demo/mmagic_inference_demo.py --model-name consistency_models \
	    --model-config configs/digits/cd_1xb32_digits-8x8.py --label 0 1 2 3 4 5 6 7 8 9 \
	    --extra-parameters num_images=100 columns=10 --result-out-dir outputs/demo.png --force

# The tensors of the tests are too small for threads to help, so the cores share out the tests: one thread per worker.
test: $(VENV)/.installed-test  ## Run the tests; those that take long with ARGS='-m slow', all with ARGS='-m ""'.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 $(ARGS)

test-portable: $(VENV)/.installed-test  ## Run the numeric tests as on a processor without AVX, one thread each.
	$(LOWEST) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 $(NUMERIC) $(ARGS)

lint: $(VENV)/.installed-test  ## Check the style, the format and the types of the code.
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

mmagic: $(MMAGIC)/.installed  ## Install MMagic 1.2.0 and mmcm into .venv-mmagic; the first time mmcv compiles, ten minutes.

# Its diffusers, of 2023, warns of what it imports, and its torch of how it reads the .pt2 files that it writes.
test-mmagic: $(MMAGIC)/.installed  ## Run the tests there.
	OMP_NUM_THREADS=1 $(MMAGIC)/bin/python -m pytest -n auto --maxprocesses 8 -W ignore::FutureWarning \
	    -W 'ignore:The given buffer is not writable:UserWarning' $(ARGS)

clean:  ## Remove the environments and what the build and the tools leave behind.
	rm -rf $(VENV) $(MMAGIC) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(MMAGIC)/.installed: $(SETUP) requirements/mmagic.sh
	PYTHON=$(PYTHON) requirements/mmagic.sh $(MMAGIC)
	touch $@

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-demo: EXTRAS :=
$(VENV)/.installed-test: EXTRAS := [tests,tensorboard,hub,onnx,lsun,web,completion]
# uv reads none of pip's settings, so it is given pip's local folder of wheels; where that is not enough, pip takes over.
$(VENV)/.installed-demo $(VENV)/.installed-test: $(SETUP) | $(BIN)/python
	@wheels=$${PIP_FIND_LINKS-$$($(BIN)/python -m pip config get global.find-links 2>/dev/null)}; \
	set -- $(CONSTRAINTS:%=--constraint %) --editable '.$(EXTRAS)'; \
	for place in $$wheels; do set -- --find-links "$$place" "$$@"; done; \
	if command -v uv >/dev/null && uv pip install --python $(BIN)/python "$$@"; then :; \
	else $(BIN)/python -m pip install "$$@"; fi
	@touch $@
