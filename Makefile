# make demo: set up, render a small real dataset, and a picture of it.   make test: set up, and run all checks.
PYTHON ?= python3.11
VENV := .venv
RUN := $(VENV)/bin/
PIP := $(RUN)pip install --quiet --disable-pip-version-check

.PHONY: setup browser demo docs test test-fast lint lock bench fuzz faults clean

setup: $(VENV)/ready
	@$(RUN)identbox doctor --install

# A browser for the tests of `identbox explore`, where apt-get may install one; without it they are skipped.
browser: setup
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
		&& timeout 120 apt-get install -y -qq --no-install-recommends chromium >/dev/null 2>&1; } || true

# Where the files are known, nothing is installed that has not the hash of the lock.
LOCK := $(if $(filter Linux-x86_64,$(shell uname -s)-$(shell uname -m)),requirements.lock)

$(VENV)/ready: pyproject.toml constraints.txt requirements.lock .ci/torch-cpu.lock
	@command -v $(PYTHON) >/dev/null || { echo "expected $(PYTHON), got none; install Python 3.11, or: make PYTHON=PATH"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "type: sudo apt-get install -y python3.11-venv"; exit 1; }
	@$(if $(LOCK),$(PIP) --no-deps --require-hashes --requirement .ci/torch-cpu.lock 2>/dev/null || true)
	$(if $(LOCK),$(PIP) --no-deps --require-hashes --requirement $(LOCK))
	$(PIP) --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: setup
	$(RUN)identbox render --n 30 --val 5 --test 5 --out demo
	$(RUN)identbox check demo
	@echo "look at demo/gallery.png and demo/README.md"

# The documentation with the API reference, into site/. A broken link or a missing docstring is an error.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(RUN)mkdocs build --strict
	@echo "open site/index.html"

lint: setup
	$(RUN)ruff check .
	$(RUN)ruff format --check .
	$(RUN)mypy
	$(RUN)lint-imports

# Compiled modules are kept, also where the environment says otherwise: hundreds of tests start the command line.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(RUN)python -m pytest

# Three processes of one thread each on two cores: some tests wait, for a lease or a killed process.
test: lint browser
	$(PYTEST) -n 3 --dist loadfile --no-loadscope-reorder

# Everything but the slow tests, which train or render for longer: half the time.
test-fast: lint browser
	$(PYTEST) -n 3 --dist loadfile --no-loadscope-reorder -m "not slow"

# Ten thousand cases of bad input, and two hundred processes killed: long.
fuzz: setup
	FUZZ=10000 $(RUN)python -m pytest tests/fuzz -s

faults: setup
	$(RUN)python tests/faults.py --kills 200
	$(RUN)python tests/cluster_faults.py --images 400

bench: setup
	$(RUN)python tests/benchmarks/render_speed.py
	$(RUN)python tests/benchmarks/latents_speed.py
	$(RUN)python tests/benchmarks/mixing_speed.py
	$(RUN)python tests/benchmarks/step_speed.py
	$(RUN)python tests/benchmarks/explore_speed.py

# The lock anew, after a change of constraints.txt or of the dependencies.
lock: setup
	$(RUN)pip install --quiet --dry-run --ignore-installed --report lock.json --constraint constraints.txt '.[dev]'
	$(RUN)python .ci/lock.py lock.json > lock.new && mv lock.new requirements.lock && rm lock.json

clean:
	rm -rf $(VENV) demo dist site
