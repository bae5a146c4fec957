.DEFAULT_GOAL := help
.PHONY: help install test slow lint format types wheel ci clean

PYTHON ?= python

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install:  ## install visionkit from this clone, with the test tools
	$(PYTHON) -m pip install -e '.[test]'

test:  ## run the tests
	$(PYTHON) -m pytest

slow:  ## run the slow tests
	$(PYTHON) -m pytest -m slow

lint:  ## check style and format
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

format:  ## mend style and format
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

types:  ## check types
	$(PYTHON) -m mypy

wheel:  ## build the wheel into dist/
	$(PYTHON) -m pip wheel --no-deps --wheel-dir dist .

ci:  ## run everything in fresh environments
	.ci/run

clean:  ## remove what building and testing leave behind
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
