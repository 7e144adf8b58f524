"""What the tests of execution share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def neox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny GPT-NeoX with a tokenizer."""
    from tests.transformer.teachers import save_teacher  # it needs torch, which tests may lack

    return save_teacher(tmp_path_factory.mktemp("bases") / "neox", "gpt-neox")
