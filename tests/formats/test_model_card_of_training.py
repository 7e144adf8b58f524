from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from vecsmith.formats.checkpoint import Checkpoint
from vecsmith.formats.model_card import render_card

SCORES = [
    {
        "name": "alike|not",
        "metric": "spearman_cosine",
        "items": 1500,
        "score": 0.81451,
        "low": 0.79,
        "high": 0.832,
        "dims": {"8": 0.5},
    },
    {"name": "mean", "metric": "mean", "items": None, "score": 0.5, "low": 0.4, "high": 0.6},
]
DATA = [
    {"name": "qa", "pairs": 90, "of": 100, "left_out": {"no tokens": 10}, "license": "cc0-1.0"},
    {"name": "own", "pairs": 5, "of": 5, "left_out": {}, "license": None},
]


def card_of(checkpoint: Checkpoint, **block: Any) -> str:
    return render_card(replace(checkpoint, config={"vecsmith": block}), model_name="tuned")


def test_scores_and_data_are_tables_and_no_settings(tiny_checkpoint: Checkpoint) -> None:
    card = card_of(tiny_checkpoint, scores=SCORES, data=DATA, recipe={"method": "train_static"})
    assert "| scored on | metric | rows | 16 dims (95 % interval) | 8 |" in card
    assert "| alike\\|not | spearman_cosine | 1500 | 81.5 (79.0 to 83.2) | 50.0 |" in card
    assert "| mean | mean |  | 50.0 (40.0 to 60.0) |  |" in card
    assert "| qa | 90 | cc0-1.0 | 10 no tokens |" in card
    assert "| own | 5 | not known |  |" in card
    assert "| recipe.method | train_static |" in card
    assert "| scores |" not in card
    assert "the data it was trained on has terms of its own" in card


def test_a_card_without_them_has_no_such_tables(tiny_checkpoint: Checkpoint) -> None:
    card = card_of(tiny_checkpoint, recipe={"method": "distill"})
    assert "## Scores" not in card
    assert "## Data" not in card
    assert "terms of its own" not in card


@pytest.mark.parametrize(
    "broken",
    [3, "text", {"a": 1}, [1, None, []], [{}], [{"dims": [1], "left_out": 5, "score": "x"}]],
)
def test_whatever_a_file_says_there_a_card_is_written(
    tiny_checkpoint: Checkpoint, broken: Any
) -> None:
    assert "# tuned" in card_of(tiny_checkpoint, scores=broken, data=broken)
