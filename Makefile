# Everything a newcomer needs: `make demo` and `make test` set up a virtual environment by themselves.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-long test-clients clients-table client-packages check bench bench-brokers bench-cluster bench-rebalance format clean

demo: $(READY)
	$(RUN)/python -m examples.flights

test: $(READY)
	$(RUN)/pytest -n 2 --dist worksteal

test-long: $(READY)
	$(RUN)/pytest -n 2 -m long

test-clients: $(READY) client-packages
	$(RUN)/pytest tests -m clients -n 2 --dist loadfile -rs

clients-table: $(READY) client-packages
	$(RUN)/pytest tests/clients -m clients -n 2 --dist loadfile -rs --write-table

# JavaScript and Java clients, where there is npm and Maven; the tests say what they miss.
client-packages: tests/clients/js/node_modules/.ready .cache/clients/jars/.ready

check: $(READY) .cache/path/millpond
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy -p millpond.log -p millpond.state -p millpond.streams
	$(RUN)/lint-imports

bench: $(READY)
	$(RUN)/python -m bench

# The broker beside Apache Kafka, where there is Java; about ten minutes.
bench-brokers: $(READY) client-packages
	$(RUN)/python -m bench.brokers

# Workers on a broker beside other frameworks, each in an environment of its own; takes a quarter of an hour.
bench-cluster: $(READY) client-packages
	$(RUN)/python -m bench.cluster

# What tasks do when workers come, go and are killed, with 1 GB of state; about ten minutes.
bench-rebalance: $(READY)
	$(RUN)/python -m bench.cluster.rebalance --partitions 200 --megabytes 1000

format: $(READY)
	$(RUN)/ruff check --fix .
	$(RUN)/ruff format .

clean:
	rm -rf $(VENV) .cache data

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN)/pip install --quiet --disable-pip-version-check -e '.[dev,examples]'
	touch $@

tests/clients/js/node_modules/.ready: tests/clients/js/package.json
	if command -v npm >/dev/null; then \
	  (cd tests/clients/js && npm install --no-package-lock --no-audit --no-fund --silent) && touch $@; fi

.cache/clients/jars/.ready: tests/clients/java/pom.xml
	if command -v mvn >/dev/null; then \
	  mvn -q -B -f $< dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=$(CURDIR)/$(@D) && touch $@; fi

# mypy and import-linter see the repository root as the package `millpond` through this link.
.cache/path/millpond:
	mkdir -p .cache/path
	ln -s ../.. $@
