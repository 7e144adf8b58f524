"""What `import vecsmith` loads: numpy and the engine, nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest

NOT_LOADED = (
    *("torch", "transformers", "sentence_transformers", "model2vec"),
    *("tokenizers", "safetensors", "huggingface_hub", "typer", "rich", "pydantic"),
    *("pyarrow", "scipy", "matplotlib", "wordfreq", "importlib.metadata"),
)


def modules_loaded_by(code: str) -> set[str]:
    """Names in sys.modules after the code has run in a fresh interpreter."""
    script = f"import sys\n{code}\nprint('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    return set(done.stdout.split())


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    # numpy first: what it loads by itself is not ours to count.
    return modules_loaded_by("import vecsmith") - modules_loaded_by("import numpy")


@pytest.mark.parametrize("module", NOT_LOADED)
def test_importing_the_package_does_not_load(module: str, loaded: set[str]) -> None:
    assert module not in loaded


def test_importing_the_package_loads_the_model_and_the_engine(loaded: set[str]) -> None:
    assert {"vecsmith", "vecsmith._core", "vecsmith.model"} <= loaded


def test_the_command_line_answers_help_without_loading_torch() -> None:
    loaded = modules_loaded_by("import vecsmith.cli")
    assert not {"torch", "transformers", "tokenizers", "matplotlib"} & loaded
