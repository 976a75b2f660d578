# A fresh machine needs python3 (3.11 or newer), its venv module and make; everything else is set up here.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/ready
NODE   := tests/node/node_modules/ready
JUNIT  := tests/schemas/junit-10.xsd
PURE   := */model/*,*/knowledge/*,*/diagnosis/*,*/reporting/*

.PHONY: demo test coverage lint format score docs gallery bench golden clean

demo: $(READY)  ## Check a mail setup against servers that this machine starts itself.
	$(BIN)/pytest --profile=demo
	@echo "The report: reports/demo/report.html"

test: $(READY) $(NODE) $(JUNIT)  ## The project's own tests; no network beyond loopback.
	$(BIN)/pytest tests -n 2 $(ARGS)

# After `make test ARGS=--cov`, which takes half as long again.
coverage:  ## Which lines those tests have run: of all 95 %, and where code only thinks every one.
	$(BIN)/coverage report --fail-under=95
	$(BIN)/coverage report --fail-under=100 --include="$(PURE)"

lint: $(READY)  ## Style, format and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

score: $(READY)  ## How many failures that others met are named; ARGS may be --blind or --admin, and -v.
	$(BIN)/python tests/corpus/score.py $(ARGS)

docs: $(READY)  ## Write what is generated in docs/ anew: from the knowledge, the lab and the tables of a profile.
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/generate_faults.py
	$(BIN)/python docs/generate_schema.py
	$(BIN)/python docs/generate_profile.py

gallery: $(READY)  ## Take the pictures of docs/gallery/ anew, where Chromium is installed.
	$(BIN)/python docs/gallery/make.py

bench: $(READY)  ## How long a run takes, and what 1,000 profiles cost; looked at, never asserted.
	$(BIN)/python tests/bench.py

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

# Others' programs that the tests check ours with; without npm those tests are skipped, and say so.
$(NODE): tests/node/package-lock.json
	@if command -v npm >/dev/null; then \
	  cd tests/node && npm ci --no-audit --no-fund --loglevel=error && touch node_modules/ready; \
	else echo "npm is not installed: the tests that need it will be skipped"; fi

# Jenkins' schema, as pytest's source package has it; without a registry its test is skipped, and says so.
$(JUNIT): tests/schemas/fetch.py | $(READY)
	@$(BIN)/python tests/schemas/fetch.py $@ || echo "no registry can be reached: the test that needs junit-10.xsd will be skipped"

golden: $(READY)  ## Write the golden files of the reports anew; read the difference before you keep it.
	UPDATE_GOLDEN=1 $(BIN)/pytest tests/test_reporting_formats.py -k golden

clean:
	rm -rf $(VENV) $(JUNIT) tests/node/node_modules .pytest_cache .mypy_cache .ruff_cache .coverage* dist build
