# One command for each thing one does here; `make check` before every commit.
PYTHON ?= $(if $(wildcard .venv/bin/python),.venv/bin/python,python3)

.PHONY: check format lint types test bless new-rule wheel

check: format lint types test

format:
	$(PYTHON) -m ruff format

lint:
	$(PYTHON) -m ruff check

types:
	$(PYTHON) -m mypy

test:
	$(PYTHON) -m pytest -q

# Accept what the rules say now: the snapshots of messages, and the table in the README.
bless:
	$(PYTHON) -m pytest -q tests/test_messages.py --snapshot-update
	$(PYTHON) -m nnlint.catalogue

# make new-rule CODE=NN205 NAME=missing-zero-grad
new-rule:
	$(PYTHON) scripts/new_rule.py $(CODE) $(NAME)

# Build the wheel and try it from another folder.
wheel:
	PYTHON="$(PYTHON)" scripts/try_wheel
