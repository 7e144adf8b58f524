from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="torch is not installed (extra train)")
pytest.importorskip("transformers", reason="transformers is not installed (extra distill)")

from tests.execution.toy_sweeps import EVERY_STEP, sweep_killed_at_random, toy_grid, toy_sweep
from tests.training.toy_runs import in_child, word_pairs
from vecsmith.execution import running
from vecsmith.execution.heldout import HeldOut, HeldOutTexts
from vecsmith.execution.sweeping import SweepPlan, plan_sweep, sweep
from vecsmith.execution.trained import share_tokens
from vecsmith.results.tuning_runs import TuningRun, differing_settings
from vecsmith.training.pair_sources import UnpromptedMatcher

ONE_METHOD: dict[str, Any] = {"methods": {"full": True}, "learning_rates": {"full": 1e-3}}
PROMPTS = {"query": "query: ", "document": "passage: "}


@pytest.fixture(scope="module")
def whole(neox: Path, tmp_path_factory: pytest.TempPathFactory) -> TuningRun:
    """The record of one cell that nobody interrupts."""
    (run,) = toy_sweep(tmp_path_factory.mktemp("whole"), neox, tables=ONE_METHOD)
    return run


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


def changed(place: Path, name: str, **values: Any) -> None:
    """Sets values in a JSON file of a model."""
    found = json.loads((place / name).read_text()) if (place / name).exists() else {}
    (place / name).write_text(json.dumps({**found, **values}), encoding="utf-8")


def key_in(out: Path, model: Path) -> str:
    (task,) = planned(out, model).tasks
    return task.key


@pytest.mark.parametrize(("name", "values"), [
    ("config.json", {"rotary_pct": 0.5}),
    ("config.json", {"hidden_act": "relu"}),
    ("config_sentence_transformers.json", {"prompts": PROMPTS}),
    ("config_sentence_transformers.json", {"default_prompt_name": "query", "prompts": PROMPTS}),
    ("tokenizer_config.json", {"model_max_length": 11}),
])  # fmt: skip
def test_a_base_that_computes_otherwise_with_the_same_weights_has_another_key(
    tmp_path: Path, neox: Path, name: str, values: dict[str, Any]
) -> None:
    other = copy_of(neox, tmp_path / "neox")
    before = key_in(tmp_path / "out", other)
    changed(other, name, **values)
    assert key_in(tmp_path / "out", other) != before


def test_a_base_whose_modules_differ_has_another_key(tmp_path: Path, neox: Path) -> None:
    body = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
    pooling = {"idx": 1, "name": "1", "path": "1_Pooling", "type": "x.models.Pooling"}
    normalize = {"idx": 2, "name": "2", "path": "2_Normalize", "type": "x.models.Normalize"}
    keys = []
    for i, modules in enumerate(([body, pooling], [body, pooling, normalize])):
        for mode in ("cls", "mean"):
            place = copy_of(neox, tmp_path / f"{i}-{mode}")
            (place / "modules.json").write_text(json.dumps(modules))
            (place / "1_Pooling").mkdir()
            changed(place, "1_Pooling/config.json", **{f"pooling_mode_{mode}_tokens": True})
            keys.append(key_in(tmp_path / "out", place))
    assert len(set(keys)) == 4


def test_a_base_that_lies_elsewhere_or_tells_another_past_has_the_same_key(
    tmp_path: Path, neox: Path
) -> None:
    other = copy_of(neox, tmp_path / "elsewhere" / "other name")
    changed(other, "config.json", transformers_version="4.0", _name_or_path="/somewhere")
    changed(other, "config.json", vecsmith={"recipe": {"seconds": 3.5}})
    plain = copy_of(neox, tmp_path / "plain")
    changed(plain, "config.json", vecsmith={})
    assert key_in(tmp_path / "out", other) == key_in(tmp_path / "out", plain)


def test_one_model_under_two_names_is_refused(tmp_path: Path, neox: Path) -> None:
    twin = copy_of(neox, tmp_path / "twin")
    with pytest.raises(ValueError, match=r"neox and twin are the same model, expected .* once"):
        planned(tmp_path / "out", neox, twin)


def test_models_with_one_tokenizer_and_different_prompts_are_all_run(
    tmp_path: Path, neox: Path
) -> None:
    prompted = copy_of(neox, tmp_path / "prompted", PROMPTS)
    plain, other = toy_sweep(tmp_path / "out", neox, prompted, tables=ONE_METHOD)
    assert (plain.status, other.status) == ("done", "done")
    assert plain.tokens / plain.pairs < other.tokens / other.pairs  # prompts are tokens too


@pytest.mark.parametrize("where", ["measure", "TuningRun.save"])
@pytest.mark.parametrize("keep_models", [False, True])
def test_a_finished_training_is_not_done_again_when_what_follows_is_cut_short(
    tmp_path: Path,
    neox: Path,
    whole: TuningRun,
    where: str,
    keep_models: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options: dict[str, Any] = {"tables": ONE_METHOD, "keep_models": keep_models}
    with monkeypatch.context() as patch:
        patch.setattr(f"vecsmith.execution.running.{where}", _cut_short)
        with pytest.raises(KeyboardInterrupt):
            toy_sweep(tmp_path, neox, **options)
    assert not list((tmp_path / "records").glob("*"))
    monkeypatch.setattr(running, "run_transformer_training", None)
    (run,) = toy_sweep(tmp_path, neox, **options)
    assert run == whole
    assert len(list((tmp_path / "models").glob("*/model.safetensors"))) == keep_models


def test_a_finished_training_whose_model_is_broken_is_done_again(
    tmp_path: Path, neox: Path, whole: TuningRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(running, "measure", _cut_short)
        with pytest.raises(KeyboardInterrupt):
            toy_sweep(tmp_path, neox, tables=ONE_METHOD)
    (config,) = (tmp_path / "work").glob("*/model/config.json")
    config.write_text('{"vecsmith": ')
    (run,) = toy_sweep(tmp_path, neox, tables=ONE_METHOD)
    assert run == whole


def test_a_sweep_whose_folder_was_moved_goes_on(
    tmp_path: Path, neox: Path, whole: TuningRun
) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    assert in_child(sweep_killed_at_random, before, [neox], 0, 4, EVERY_STEP) == -9
    (link,) = before.glob("work/*/run/store")
    assert link.is_symlink()
    before.rename(after)
    (link,) = after.glob("work/*/run/store")
    assert link.resolve(strict=True).is_relative_to(after)
    assert whole in toy_sweep(after, neox)
    # and one that an absolute link of old has left dangling
    link.parent.mkdir(parents=True)
    link.symlink_to(before / "tokens" / "gone")
    (store,) = (after / "tokens").iterdir()
    share_tokens(store, link)
    assert link.resolve(strict=True) == store.resolve()


def test_pairs_that_were_copied_are_the_same_pairs(
    tmp_path: Path, neox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "pairs.jsonl", tmp_path / "mounted" / "rows.jsonl"
    there.parent.mkdir()
    rows = [json.dumps({"anchor": query, "positive": text}) for query, text in word_pairs(200)]
    for place in (here, there):
        place.write_text("\n".join(rows), encoding="utf-8")
    os.utime(there, (1, 1))
    grid = toy_grid(neox, **ONE_METHOD)
    options: dict[str, Any] = {"device": "cpu", "threads": 1}
    (run,) = sweep(grid, here, tmp_path / "out", **options)
    (task,) = planned(tmp_path / "elsewhere", neox, pairs=there).tasks
    assert task.facts["settings"] == run.settings
    with monkeypatch.context() as patch:
        patch.setattr(running, "run_transformer_training", None)
        assert sweep(grid, there, tmp_path / "out", **options) == [run]
    there.write_text("\n".join([*rows, rows[0]]), encoding="utf-8")
    (longer,) = sweep(grid, there, tmp_path / "out", **options)
    assert longer.key != run.key
    assert differing_settings(longer, run)[0].startswith("pairs")


def test_a_cell_begun_on_pairs_that_were_then_copied_is_run_on_the_copy(
    tmp_path: Path, neox: Path
) -> None:
    grid, files = toy_grid(neox, **ONE_METHOD), [tmp_path / name for name in ("a.jsonl", "b.jsonl")]
    for file in files:
        rows = [json.dumps({"anchor": one, "positive": two}) for one, two in word_pairs(200)]
        file.write_text("\n".join(rows), encoding="utf-8")
    work = []
    for file in files:
        plan = plan_sweep(grid, file, tmp_path / "out")
        work.append(running.work_folder(plan.tasks[0], plan.out, device="cpu", n_processes=1))
    assert work[0] != work[1]  # a checkpoint knows which file it was made of
    assert work[0].name.split("-")[0] == work[1].name.split("-")[0]


def test_held_out_pairs_of_an_earlier_version_are_chosen_again(tmp_path: Path, neox: Path) -> None:
    before = planned(tmp_path, neox).tasks[0].facts
    (path,) = (tmp_path / "pairs").iterdir()
    values = json.loads(path.read_text())
    del values["content"]
    path.write_text(json.dumps({**values, "version": 1}))
    assert planned(tmp_path, neox).tasks[0].facts == before
    assert json.loads(path.read_text())["content"] == before["settings"]["pairs"]


def _cut_short(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt
