# Two commands on a fresh machine: `make demo` and `make test`. Both build on `make install`.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: install demo test lint bench clean

install: .venv/.installed
.venv/.installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) -e .
	@touch $@

.venv/.installed-test: .venv/.installed
	$(PIP) -e '.[test]'
	@touch $@

.venv/.installed-lint: .venv/.installed
	$(PIP) -e '.[lint]'
	@touch $@

demo: install
	$(BIN)/fusiform audit --config examples/demo.toml --out runs/demo --overwrite

test: .venv/.installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --maxprocesses=8 --dist loadfile

lint: .venv/.installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/.installed-test
	cd benchmarks && for name in startup taps render probe network pls memory expressivity dissection; do echo "== $$name"; ../$(BIN)/python $$name.py || exit 1; done

clean:
	rm -rf .venv runs
