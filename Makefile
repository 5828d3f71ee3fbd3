# Two commands do everything on a machine with Python 3.11 to 3.13, git and make: `make book` and `make test`.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
READY := .venv/.ready
CHAPTER ?=
PARTS ?=
OPTIONS ?=
SETTING ?=

# A copy of MNIST beside the repository, if there is one; else Keras' cache, or its download.
ifneq ($(wildcard ../shared/data/mnist.npz),)
export VAECOURSE_DATA ?= $(abspath ../shared/data)
endif

.DEFAULT_GOAL := help
.PHONY: help book pdf notebooks colab test test-processors test-lowest execute bench audit-tests lint clean address

help:  ## Say what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' Makefile

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "no Python 3.11, 3.12 or 3.13 found; install one, or name it: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

book: $(READY)  ## Build _build/html/index.html from the committed outputs; warnings are errors
	$(BIN)/jupyter-book build . --all -W --keep-going

pdf: book  ## Print the whole book, solutions open, into _build/html/vaecourse.pdf; it needs Chromium or Chrome
	$(BIN)/python -m tools.pdf

notebooks: $(READY)  ## Write all chapters, as single files, into _build/vaecourse-notebooks.zip; the book offers the same
	$(BIN)/python -m tools.bundle

colab: $(READY)  ## Write each chapter as a single file that runs anywhere, into _build/colab; the book offers the same
	$(BIN)/python -m tools.colab

test: $(READY)  ## Run the unit tests, and every chapter in the quick budget
	$(BIN)/python -m pytest --nbval -n auto --maxprocesses 4 --dist loadscope --no-loadscope-reorder -m "not unmutated" tests book

test-processors: $(READY)  ## The numerical tests and the chapters as on other processors; or SETTING=sse41, to name one
	$(BIN)/python -m tools.processors test $(SETTING)

test-lowest: $(READY)  ## Test the module and a chapter with the lowest versions that pyproject.toml admits, in .venv-lowest, by Python 3.11
	$(BIN)/python -m tools.lowest

execute: $(READY)  ## Execute in full, in place, the chapters that are not current; or CHAPTER=elbo, or CHAPTER=all
	$(BIN)/python -m tools.execute $(CHAPTER)

bench: $(READY)  ## Measure speed and quality beside other frameworks, those that are installed; or PARTS="convolutional-32 imports"
	$(BIN)/python -m benchmarks $(PARTS)

audit-tests: $(READY)  ## Measure how reliable module and tests are, for hours; or PARTS="mutations flake bad-input faults security"
	$(BIN)/python -m tools.reliability $(PARTS) $(OPTIONS)

lint: $(READY)  ## Check code, chapters, formatting, the order of imports, and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/mypy

address: $(READY)  ## Set the address of the repository: URL=https://github.com/you/vaecourse
	$(BIN)/python -m tools.address $(URL)

clean:  ## Remove what was built; .venv stays
	rm -rf _build .pytest_cache .ruff_cache .mypy_cache .hypothesis book/chapters/output
	find . -name __pycache__ -not -path './.venv*/*' -prune -exec rm -rf {} +
