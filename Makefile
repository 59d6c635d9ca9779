# One virtual environment in .venv, made on first use and left alone until pyproject.toml changes.

# Any Python from 3.11 on:  make test PYTHON=python3.12
PYTHON ?= python3

# PyTorch goes in first, as one known release: left to itself, pip takes the newest torch with several
# gigabytes of CUDA packages, even where a smaller build of this release is at hand. To choose another:
#   make demo TORCH="torch --index-url https://download.pytorch.org/whl/cpu"
TORCH ?= torch==2.13.0

VENV  := .venv
PY    := $(VENV)/bin/python
READY := $(VENV)/.ready
DEMO  := runs/demo

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Jupyter finds this environment's kernel before one of the same name in the home folder.
export JUPYTER_PREFER_ENV_PATH := 1
# Without this a kernel warns that the debugger may miss breakpoints in frozen modules.
export PYDEVD_DISABLE_FILE_VALIDATION := 1

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help install demo test lint lab app page bench gpu export address student slides docs

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

install: $(READY) ## create .venv and install everything into it

demo: $(READY) ## execute the tour: runs/demo/tour.ipynb, tour.html and results.txt
	@rm -f $(DEMO)/results.txt
	@ADREC_NB_RUNS="$(CURDIR)/$(DEMO)" $(PY) tests/run_notebook.py nbs/course/00_tour.ipynb $(DEMO)/tour
	@cat $(DEMO)/results.txt

test: $(READY) ## run every notebook and everything in tests/
	@$(PY) -m pytest

lint: $(READY) ## check the style of notebooks, modules and tests
	@$(PY) -m ruff check nbs adrec_nb tests teach

lab: $(READY) ## open the notebooks in JupyterLab
	@$(PY) -m jupyterlab nbs

bench: $(READY) ## time the naive way against the fast way on this machine
	@$(PY) -m adrec_nb.cli bench

gpu: $(READY) ## test and time everything on a GPU: runs/gpu.json; MINUTES=9 DATA=file ONLY=times
	@$(PY) tests/gpu.py $(if $(MINUTES),--minutes $(MINUTES)) $(if $(DATA),--data "$(DATA)") \
	  $(if $(ONLY),--only $(ONLY))

app: $(READY) ## serve the explorers as a page on this machine, with two small runs of a made world
	@$(VENV)/bin/adrec-nb app

page: $(READY) ## write the same explorers as one file that needs no kernel: runs/page.html
	@mkdir -p runs
	@$(VENV)/bin/adrec-nb page -o runs/page.html

export: $(READY) ## write adrec_nb/ from the notebooks, then clean the notebooks
	@$(VENV)/bin/nbdev_export
	@$(VENV)/bin/nbdev_clean

student: $(READY) ## write the students' notebooks, without solutions: runs/student
	@$(PY) teach/student.py runs/student

slides: $(READY) ## write the slides of each teaching plan and the handout: runs/slides
	@$(PY) teach/slides.py runs/slides

docs: $(VENV)/.ready-docs ## build the site, course to reference, and follow its links: runs/site
	@$(PY) teach/web/build.py runs/site

address: $(READY) ## write links and Colab cells as settings.ini has them; a move: USER=x REPO=y TAG=z
	@$(PY) tests/address.py $(if $(filter command line,$(origin USER)),--user $(USER)) \
	  $(if $(REPO),--repo $(REPO)) $(if $(TAG),--tag $(TAG))

# The stamp is written last: an install that was interrupted is taken up again by the next make.
$(READY): $(PY) pyproject.toml
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(PY) -m pip install $(TORCH)
	$(PY) -m pip install -e '.[dev]'
	@touch $@

# What only the site needs goes into the same environment, once.
$(VENV)/.ready-docs: $(READY)
	$(PY) -m pip install -e '.[docs]'
	@touch $@

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "adrec_nb needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) --version 2>&1)." >&2; \
	  echo "Name another one:  make $(or $(MAKECMDGOALS),install) PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
