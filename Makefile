# `make demo` and `make test` need nothing but Python >= 3.11 and make: both set `.venv` up by themselves.

PYTHON ?= python3
BIN := .venv/bin
ROOMS := workflows activities workers starter tests benchmarks examples

.PHONY: demo test test-tools check bench chaos evidence rehearse fmt lock clean

demo: .venv/.ready  ## all three operations on real pictures and real speech, through the whole machinery
	$(BIN)/stillmotion demo

# Four processes on two cores: most tests wait for a server. A file stays whole, so that its stack is started once.
test: .venv/.ready  ## the suite
	$(BIN)/pytest -n 4 --dist loadfile --no-loadscope-reorder -m "not tools" $(PYTEST)

test-tools: .venv/.ready  ## tests that need a browser, Node, root, Prometheus or docker-compose (skipped without), and some long ones
	$(BIN)/pytest -n 2 --dist loadfile -m tools $(PYTEST)

check: .venv/.bench  ## format, lint, types, rooms; the types of the benchmarks too, so with their libraries
	$(BIN)/ruff format --check $(ROOMS)
	$(BIN)/ruff check $(ROOMS)
	$(BIN)/basedpyright
	$(BIN)/lint-imports

bench: .venv/.bench  ## what each part costs, as ratios with goals: ONLY= some of them, SCALE= a share of the full size
	$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY)) $(if $(SCALE),--scale $(SCALE)) \
		--json bench-output/figures.json --table bench-output/figures.md --plot bench-output/figures.svg

GENERATIONS ?= 100
chaos: .venv/.ready  ## kills and faults under load, then everything is counted: SEED=, GENERATIONS=, BREAK= a guard
	$(BIN)/python -m tests.chaos --generations $(GENERATIONS) $(if $(SEED),--seed $(SEED)) $(if $(BREAK),--without $(BREAK))

evidence: .venv/.ready  ## every promise about money and faults in its long form, a line each: ONLY= a beginning of its name
	$(BIN)/python -m tests.evidence $(if $(ONLY),--only $(ONLY))

rehearse: .venv/.ready  ## the operators' handbook, docs/operators.md, executed; last, what this machine could not run
	$(BIN)/python -m tests.documents.rehearsal

fmt: .venv/.ready  ## format and mend what can be mended
	$(BIN)/ruff check --fix --quiet $(ROOMS) || true
	$(BIN)/ruff format $(ROOMS)

lock:  ## the lock files, from pyproject.toml; needs uv
	uv pip compile -q --universal --generate-hashes --python-version 3.11 --custom-compile-command "make lock" \
		--extra embedded --extra dev pyproject.toml -o requirements.lock
	uv pip compile -q --universal --generate-hashes --python-version 3.11 --custom-compile-command "make lock" \
		--extra api --extra sandbox pyproject.toml -o deploy/requirements.lock
	uv pip compile -q --universal --generate-hashes --python-version 3.11 --custom-compile-command "make lock" \
		--extra embedded --extra dev --extra bench pyproject.toml -o benchmarks/requirements.lock

.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; this is $$($(PYTHON) --version). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing into .venv (a minute, once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# A superset of requirements.lock: the peer, and what draws the plot.
.venv/.bench: .venv/.ready benchmarks/requirements.lock
	@echo "Installing what the benchmarks need beside it"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r benchmarks/requirements.lock
	@touch $@

clean:  ## everything that was made here: environment, stacks, videos
	rm -rf .venv .stillmotion .stillmotion-demo demo-output bench-output .pytest_cache .ruff_cache .hypothesis .import_linter_cache
