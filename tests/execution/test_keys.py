from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="torch is not installed (extra train)")
pytest.importorskip("transformers", reason="transformers is not installed (extra distill)")

from tests.execution.toy_sweeps import toy_grid, toy_sweep
from tests.training.toy_runs import word_pairs
from tests.transformer.teachers import save_teacher
from vecsmith.execution.heldout import HeldOut, HeldOutTexts
from vecsmith.execution.sweeping import SweepPlan, plan_sweep
from vecsmith.training.pair_sources import UnpromptedMatcher

ONE_METHOD: dict[str, Any] = {"methods": {"full": True}, "learning_rates": {"full": 1e-3}}
PROMPTS = {"query": "query: ", "document": "passage: "}


@pytest.fixture(scope="module")
def neox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_teacher(tmp_path_factory.mktemp("bases") / "neox", "gpt-neox")


def copy_of(base: Path, place: Path, prompts: dict[str, str] | None = None) -> Path:
    """The same model in another folder, with prompts if any are given."""
    shutil.copytree(base, place)
    if prompts is not None:
        path = place / "config_sentence_transformers.json"
        path.write_text(json.dumps({"prompts": prompts}), encoding="utf-8")
    return place


def planned(out: Path, *models: Path, pairs: Any = None) -> SweepPlan:
    return plan_sweep(toy_grid(*models, **ONE_METHOD), pairs or word_pairs(200), out)


def test_a_base_with_prompts_is_trained_on_the_pairs_that_one_without_is(
    tmp_path: Path, neox: Path
) -> None:
    prompted = copy_of(neox, tmp_path / "prompted", PROMPTS)
    (plain,) = planned(tmp_path / "plain", neox).tasks
    (other,) = planned(tmp_path / "other", prompted).tasks
    assert plain.tokens.n_pairs == 200 - 16  # no two of these pairs share a text
    assert other.tokens.n_pairs == plain.tokens.n_pairs
    (run,) = toy_sweep(tmp_path / "other", prompted, tables=ONE_METHOD)
    assert run.status == "done"  # the run itself takes these tokens for its own


@pytest.mark.parametrize("prompts", [
    ["search: ", "search: document: "],
    ["search: document: ", "search: "],
    ["query: ", "search: "],
])  # fmt: skip
def test_a_held_out_text_is_known_behind_every_prompt_and_behind_none(prompts: list[str]) -> None:
    held_out = HeldOut(queries=("document: one",), documents=("query: two",))
    matcher = UnpromptedMatcher(HeldOutTexts(held_out), prompts)
    texts = ["search: document: one", "query: two", "search: document: two", "one", ""]
    assert matcher.matches(texts).tolist() == [1, 1, 0, 0, 0]


def test_a_matcher_without_prompts_is_another_than_the_bare_one_only_if_there_are_some() -> None:
    bare = HeldOutTexts(HeldOut(queries=("a",), documents=("b",)))
    found = [UnpromptedMatcher(bare, prompts).fingerprint for prompts in ([], [""], ["q: "])]
    assert found[:2] == [bare.fingerprint] * 2
    assert found[2] != bare.fingerprint
    assert UnpromptedMatcher(bare, ["p: "]).fingerprint != found[2]
