# Each target works in a fresh clone: it creates .venv, installs its requirements, and runs.
#     make test PYTHON=python3.12           another Python, for a new .venv
#     make test ARGS='-k sampler'           more arguments for pytest; '-m slow' runs the slow tests
#     make docs ARGS=--no-api               the site without the API reference, which takes minutes
#     make demo CONSTRAINTS=                the newest versions in the declared ranges, instead of the tested ones
#     make mmagic PYTHON=python3.11         if python3 is another version: the pins of MMagic's stack are for 3.11

PYTHON ?= python3
CONSTRAINTS ?= requirements/constraints.txt
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
MMAGIC := .venv-mmagic
# A change to any of these files installs again.
SETUP := setup.py pyproject.toml mmcm/version.py $(wildcard requirements/*.txt)

# Numeric tests: their results depend on the processor's rounding.
NUMERIC := $(addprefix tests/test_,augmentations backbones curricula denoisers distances evaluation checkpoints/test_formats models noise \
    objectives operators samplers)
# Tests of what meets MMEngine, mmcv and MMagic. Formulas do not: make test-mmagic WITH_MMAGIC=tests runs all.
WITH_MMAGIC ?= $(addprefix tests/test_,mmagic apis checkpoints cli configs datasets engine evaluation models)
# The lowest x86 instruction sets that torch, oneDNN and MKL can be limited to.
LOWEST := ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 MKL_CBWR=COMPATIBLE

.PHONY: help demo test test-portable lint bench docs coverage mmagic test-mmagic clean
.DELETE_ON_ERROR:

help:  ## Show this list.
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.installed-demo  ## Generate digits with the model that comes with the package, into outputs/demo.png.
	$(BIN)/python demo/mmagic_inference_demo.py --model-name consistency_models \
	    --model-config configs/mnist/ect-finetune_1xb32_mnist-28x28.py --label 0 1 2 3 4 5 6 7 8 9 \
	    --extra-parameters num_images=100 columns=10 --result-out-dir outputs/demo.png --force

# The tensors of the tests are too small for threads to help: one worker per core, one thread per worker.
test: $(VENV)/.installed-test  ## Run the tests; the slow ones with ARGS='-m slow', all with ARGS='-m ""'.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 $(ARGS)

test-portable: $(VENV)/.installed-test  ## Run the numeric tests without AVX instructions.
	$(LOWEST) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 $(NUMERIC) $(ARGS)

lint: $(VENV)/.installed-test  ## Check the style, the format and the types of the code.
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

bench: $(VENV)/.installed-test  ## Measure speed and memory, against diffusers, into benchmarks/results.md; some with TOPICS='start sampling'.
	$(BIN)/python benchmarks/bench.py $(TOPICS)

docs: $(VENV)/.installed-docs  ## Build the site in English and Chinese into build/site/html; warnings and dead links are errors.
	$(BIN)/python docs/build_site.py $(ARGS)

# Processes that tests start are measured, too: pytest-cov sets them up.
coverage: $(VENV)/.installed-coverage  ## Run the tests and measure which lines of mmcm/ they run; less than 90 % is an error.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --cov=mmcm --cov-report=term:skip-covered \
	    --cov-fail-under=90 $(ARGS)

mmagic: $(MMAGIC)/.installed  ## Install MMagic 1.2.0 and mmcm into .venv-mmagic; the first time, mmcv compiles for ten minutes.

# diffusers of 2023 warns about its imports, and torch 2.12 about reading its own .pt2 files.
test-mmagic: $(MMAGIC)/.installed  ## Run the tests in .venv-mmagic.
	OMP_NUM_THREADS=1 $(MMAGIC)/bin/python -m pytest -n auto --maxprocesses 8 -W ignore::FutureWarning \
	    -W 'ignore:The given buffer is not writable:UserWarning' $(WITH_MMAGIC) $(ARGS)

clean:  ## Remove the environments, build files and caches.
	rm -rf $(VENV) $(MMAGIC) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(MMAGIC)/.installed: $(SETUP) requirements/mmagic.sh
	PYTHON=$(PYTHON) requirements/mmagic.sh $(MMAGIC)
	touch $@

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-demo: EXTRAS :=
$(VENV)/.installed-test: EXTRAS := [tests,tensorboard,hub,onnx,lsun,web,completion]
$(VENV)/.installed-coverage: EXTRAS := [tests,tensorboard,hub,onnx,lsun,web,completion,coverage]
$(VENV)/.installed-docs: EXTRAS := [docs,web,lsun]
# uv does not read pip's settings, so pip's local folder of wheels is passed to it; pip is the fallback.
$(VENV)/.installed-demo $(VENV)/.installed-test $(VENV)/.installed-coverage $(VENV)/.installed-docs: $(SETUP) | $(BIN)/python
	@wheels=$${PIP_FIND_LINKS-$$($(BIN)/python -m pip config get global.find-links 2>/dev/null)}; \
	set -- $(CONSTRAINTS:%=--constraint %) --editable '.$(EXTRAS)'; \
	for place in $$wheels; do set -- --find-links "$$place" "$$@"; done; \
	if command -v uv >/dev/null && uv pip install --python $(BIN)/python "$$@"; then :; \
	else $(BIN)/python -m pip install "$$@"; fi
	@touch $@
