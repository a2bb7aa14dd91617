# Everything a newcomer needs: `make demo` and `make test` set up a virtual environment by themselves.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-long check bench format clean

demo: $(READY)
	$(RUN)/python -m examples.flights

test: $(READY)
	$(RUN)/pytest -n 2

test-long: $(READY)
	$(RUN)/pytest -n 2 -m long

check: $(READY) .cache/path/millpond
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy -p millpond.log -p millpond.state -p millpond.streams
	$(RUN)/lint-imports

bench: $(READY)
	$(RUN)/python -m bench

format: $(READY)
	$(RUN)/ruff check --fix .
	$(RUN)/ruff format .

clean:
	rm -rf $(VENV) .cache data

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN)/pip install --quiet --disable-pip-version-check -e '.[dev,examples]'
	touch $@

# mypy and import-linter see the repository root as the package `millpond` through this link.
.cache/path/millpond:
	mkdir -p .cache/path
	ln -s ../.. $@
