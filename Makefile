# Every target works on a fresh clone and does nothing twice. Knobs, all optional:
#   PYTHON=python3.12    TORCH=torch==2.13.0    PIP_ARGS="--find-links wheels"    PYTEST_ARGS="-k encode"
.DEFAULT_GOAL := test
.DELETE_ON_ERROR:
.PHONY: demo test check check-native bench scoreboard parity fix stub clean
SHELL := /bin/sh
MAKEFLAGS += --no-print-directory

VENV := .venv
PEERS := .venv-peers
DISTIL_PEER := .venv-distill
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
  $$p -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
# pip prefers a CPU-only build (2.13.0+cpu) to the plain one wherever it is shown both.
TORCH ?= torch==2.13.0
PIP_INSTALL = -m pip install -qq --disable-pip-version-check $(PIP_ARGS)
INSTALL = $(PIP_INSTALL) -c constraints.txt
BUILD_TOOLS := cmake nanobind ninja scikit-build-core
ENGINE := CMakeLists.txt $(shell find cpp/include cpp/src cpp/bindings -name '*.[chi]*' -type f 2>/dev/null)
PRESET = cmake --preset $(1) --log-level=WARNING && cmake --build --preset $(1) -- --quiet
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

demo: $(VENV)/.demo
	$(VENV)/bin/vecsmith demo

test: $(VENV)/.dev
	$(call PRESET,default)
	ctest --preset default
	$(VENV)/bin/python -m pytest -n auto --dist worksteal $(PYTEST_ARGS)

check: $(VENV)/.dev
	ruff check .
	ruff format --check .
	mypy
	$(VENV)/bin/python scripts/check_tree.py
	$(VENV)/bin/python -m pytest -q tests/test_layers.py

check-native: $(VENV)/.dev
	scripts/check-native

bench: $(PEERS)/.made $(PEERS)/.others $(DISTIL_PEER)/.made
	$(PEERS)/bin/python benchmarks/encode.py --out benchmarks/results $(BENCH_ARGS)
	$(PEERS)/bin/python benchmarks/other_peers.py --out benchmarks/results $(BENCH_OTHER_ARGS)
	$(PEERS)/bin/python benchmarks/instructions.py --out benchmarks/results $(BENCH_INSTRUCTIONS_ARGS)
	$(PEERS)/bin/python benchmarks/roofline.py --out benchmarks/results $(BENCH_ROOFLINE_ARGS)
	$(PEERS)/bin/python benchmarks/adversarial.py --out benchmarks/results $(BENCH_ADVERSARIAL_ARGS)
	$(PEERS)/bin/python benchmarks/train_static.py --out benchmarks/results $(BENCH_TRAIN_ARGS)
	$(PEERS)/bin/python benchmarks/distill.py --peer-python $(DISTIL_PEER)/bin/python $(BENCH_DISTILL_ARGS)

# The sets are in ../shared/data or in SCOREBOARD_ARGS="--data FOLDER".
scoreboard: $(VENV)/.dev
	$(VENV)/bin/python benchmarks/scoreboard.py $(SCOREBOARD_ARGS)

parity: $(VENV)/.dev
	$(VENV)/bin/python scripts/parity.py $(PARITY_ARGS)

fix: $(VENV)/.dev
	ruff check --fix .
	ruff format .
	if command -v clang-format >/dev/null; then find cpp -name '*.[ch]pp' -exec clang-format -i {} +; fi

stub: $(VENV)/.dev
	$(VENV)/bin/python -m nanobind.stubgen -q -m vecsmith._core -o src/vecsmith/_core.pyi

clean:
	rm -rf $(VENV) $(PEERS) $(DISTIL_PEER) build dist demo .mypy_cache .pytest_cache .ruff_cache .hypothesis

# A virtual environment with a current pip.
define NEW_VENV
@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or newer with venv found: make PYTHON=/path/to/python3" >&2; exit 2; }
@echo "setting up $(1) with $(PYTHON)"
@$(PYTHON) -m venv $(1)
@$(1)/bin/python $(PIP_INSTALL) --upgrade 'pip>=25.1'
endef

$(VENV)/.python: constraints.txt
	$(call NEW_VENV,$(VENV))
	@$(VENV)/bin/python $(INSTALL) $(BUILD_TOOLS)
	@touch $@

$(VENV)/.demo: $(VENV)/.python pyproject.toml $(ENGINE)
	@echo "installing vecsmith[demo] (a few minutes the first time)"
	@$(VENV)/bin/python $(INSTALL) --no-build-isolation $(TORCH) -e '.[demo]'
	@touch $@

$(VENV)/.dev: $(VENV)/.python pyproject.toml $(ENGINE)
	@echo "installing vecsmith[all,demo] and the development tools (a few minutes the first time)"
	@$(VENV)/bin/python $(INSTALL) --no-build-isolation $(TORCH) -e '.[all,demo]' --group dev
	@touch $@ $(VENV)/.demo

$(PEERS)/.made: benchmarks/peers.txt constraints.txt pyproject.toml $(ENGINE)
	$(call NEW_VENV,$(PEERS))
	@echo "installing the peers (a few minutes the first time)"
	@$(PEERS)/bin/python $(INSTALL) $(BUILD_TOOLS)
	@$(PEERS)/bin/python $(INSTALL) --no-build-isolation -Cbuild-dir=build/peers -r benchmarks/peers.txt -e .
	@touch $@

# Each by itself: the benchmark says which it had to do without.
$(PEERS)/.others: benchmarks/peers-other.txt $(PEERS)/.made
	@grep -v '^#' benchmarks/peers-other.txt | while read -r peer; do \
	  $(PEERS)/bin/python $(INSTALL) "$$peer" || echo "$$peer does not install here and is passed over"; done
	@touch $@

# The peer's own pins, and ours for all that they leave open.
$(DISTIL_PEER)/.made: benchmarks/peers-distill.txt constraints.txt
	$(call NEW_VENV,$(DISTIL_PEER))
	@echo "installing the distillation peer (a few minutes the first time)"
	@grep -v -e '^huggingface_hub==' -e '^tokenizers==' -e '^transformers==' constraints.txt >$(DISTIL_PEER)/constraints.txt
	@$(DISTIL_PEER)/bin/python $(PIP_INSTALL) -c $(DISTIL_PEER)/constraints.txt -r benchmarks/peers-distill.txt
	@touch $@
