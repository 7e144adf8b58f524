from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="torch is not installed (extra train)")
pytest.importorskip("transformers", reason="transformers is not installed (extra distill)")
pytest.importorskip("peft", reason="peft is not installed (extra train)")

import torch

from tests.execution.toy_sweeps import (
    EVERY_STEP,
    FLOPS,
    SETTINGS,
    records_in,
    sweep_in_a_group,
    sweep_killed_at_random,
    sweeps_killed_at_random,
    toy_grid,
    toy_sweep,
)
from tests.training.test_distributed import in_two_processes
from tests.training.toy_runs import in_child, word_pairs
from tests.transformer.teachers import save_teacher
from vecsmith.errors import FormatError, RunFailed
from vecsmith.execution import running, sweeping
from vecsmith.execution.heldout import HeldOutTexts, choose_held_out
from vecsmith.execution.preparing import SweepPairs
from vecsmith.execution.sweeping import plan_sweep, sweep
from vecsmith.execution.telling import counts_of
from vecsmith.execution.workers import gpu_of
from vecsmith.results.tuning_runs import TuningRun, read_runs


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_teacher(tmp_path_factory.mktemp("bases") / "llama", "llama")


@pytest.fixture(scope="module")
def whole(neox: Path, llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep that nobody interrupts."""
    out = tmp_path_factory.mktemp("whole")
    toy_sweep(out, neox, llama)
    return out


@pytest.fixture(scope="module")
def runs(whole: Path) -> dict[tuple[str, str], TuningRun]:
    return {(run.model, str(run.tuning)): run for run in read_runs(whole)}


def test_every_cell_of_a_grid_has_a_record(runs: dict[tuple[str, str], TuningRun]) -> None:
    tunings = ("full", "bias", "freeze 1", "lora 2")
    assert set(runs) == {(model, tuning) for model in ("neox", "llama") for tuning in tunings}
    assert counts_of(runs.values()) == {"done": 7, "failed": 1, "skipped": 0}


def test_a_model_without_biases_fails_in_bias_tuning_and_the_sweep_goes_on(
    runs: dict[tuple[str, str], TuningRun],
) -> None:
    failed = runs["llama", "bias"]
    assert failed.status == "failed"
    assert "no biases" in failed.reason


def test_a_record_counts_what_was_spent(runs: dict[tuple[str, str], TuningRun]) -> None:
    run = runs["neox", "full"]
    # L (12 d^2 + 13 d) + 2 d with d = 16 and L = 2, but for an MLP of 32 instead of 64 numbers
    n = 2 * (4 * 16**2 + 4 * 16 + 2 * 16 * 32 + 32 + 16 + 4 * 16) + 2 * 16
    assert run.n_params == run.shape["n_non_embedding"] == n
    assert run.cost_per_token == 6 * n
    assert run.counted_flops == 6 * n * run.tokens
    assert run.share == 1.0
    assert run.pairs == run.steps * 8


def test_no_run_spends_more_than_its_budget_nor_a_whole_step_less(
    runs: dict[tuple[str, str], TuningRun],
) -> None:
    for run in runs.values():
        if run.status == "done":
            longest = 2 * 8 * SETTINGS["max_length"]
            assert run.counted_flops <= FLOPS
            assert run.counted_flops > FLOPS - run.cost_per_token * longest


def test_a_loss_is_that_of_a_batch_of_held_out_pairs(
    runs: dict[tuple[str, str], TuningRun],
) -> None:
    for run in runs.values():
        if run.status == "done":
            assert run.loss is not None and 0 < run.loss < 3 * math.log(8)  # noqa: PT018
            assert set(run.metrics) == {"recall@1", "mrr"}


def test_all_cells_of_a_sweep_are_comparable(runs: dict[tuple[str, str], TuningRun]) -> None:
    assert len({run.comparable_key for run in runs.values()}) == 1


def test_the_same_sweep_again_runs_nothing(
    whole: Path, neox: Path, llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.stat().st_mtime_ns for path in (whole / "records").iterdir()}
    monkeypatch.setattr(sweeping, "run_task", None)
    told: list[str] = []
    assert len(toy_sweep(whole, neox, llama, tell=told.append)) == 8
    assert told == []
    assert {path: path.stat().st_mtime_ns for path in (whole / "records").iterdir()} == before


def test_nothing_is_left_of_finished_cells_but_their_records(whole: Path) -> None:
    assert list((whole / "work").iterdir()) == []
    assert not (whole / "models").exists()


def test_cells_share_the_tokens_of_one_tokenizer(whole: Path) -> None:
    # the llama puts an end after each text, so its texts are cut at one token less
    assert len(list((whole / "tokens").iterdir())) == 2


def test_held_out_pairs_and_pairs_that_share_a_text_with_them_are_not_trained_on(
    tmp_path: Path, neox: Path
) -> None:
    pairs = word_pairs(200)
    held_out = choose_held_out(_corpus(pairs), 16)
    echoes = [(query.upper(), f"echo {i}") for i, query in enumerate(held_out.queries)]
    plan = plan_sweep(toy_grid(neox), [*pairs, *echoes], tmp_path, manner=running.Manner())
    texts = HeldOutTexts(plan.pairs.held_out)
    kept = [pair for pair in (*pairs, *echoes) if not texts.matches(pair).any()]
    assert plan.tasks[0].tokens.n_pairs == len(kept) < len(pairs)


def test_a_sweep_killed_five_times_ends_with_the_records_of_one_that_was_not(
    tmp_path: Path, whole: Path, neox: Path, llama: Path
) -> None:
    models = [neox, llama]
    assert in_child(sweeps_killed_at_random, tmp_path, models, 5) == 0
    toy_sweep(tmp_path, *models)
    assert records_in(tmp_path) == records_in(whole)
    assert list((tmp_path / "work").iterdir()) == []


def test_a_checkpoint_is_gone_on_with_and_not_begun_anew(
    tmp_path: Path, neox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert in_child(sweep_killed_at_random, tmp_path, [neox], 0, 4, EVERY_STEP) == -9
    (left,) = (tmp_path / "work").iterdir()
    assert (left / "run" / "checkpoint.safetensors").is_file()
    told: list[str] = []
    monkeypatch.setattr(running, "_hush", told.append)
    toy_sweep(tmp_path, neox)
    assert any(line.startswith("going on from step") for line in told)


def test_two_workers_find_what_one_finds(
    tmp_path: Path, whole: Path, neox: Path, llama: Path
) -> None:
    told: list[str] = []
    toy_sweep(tmp_path, neox, llama, workers=2, tell=told.append)
    assert records_in(tmp_path) == records_in(whole)
    assert len(told) == 8


def test_two_processes_that_share_each_step_find_what_one_finds(
    tmp_path: Path, whole: Path, neox: Path
) -> None:
    in_two_processes(sweep_in_a_group, tmp_path, [neox])
    together = {run.key: run for run in read_runs(tmp_path)}
    alone = {run.key: run for run in read_runs(whole) if run.model == "neox"}
    assert together.keys() == alone.keys()
    for key, run in together.items():
        assert (run.tokens, run.steps, run.pairs) == (
            alone[key].tokens,
            alone[key].steps,
            alone[key].pairs,
        )
        assert run.loss == pytest.approx(alone[key].loss, abs=0.02)
        assert run.timing["processes"] == 2


def test_a_loss_that_is_no_number_is_a_failed_cell_and_the_sweep_goes_on(
    tmp_path: Path, neox: Path
) -> None:
    rates = {"full": 1e30, "lora": 1e-3}
    found = toy_sweep(
        tmp_path,
        neox,
        tables={"methods": {"full": True, "lora": [2]}, "learning_rates": rates},
    )
    by_method = {run.tuning.method: run for run in found}
    assert by_method["full"].status == "failed"
    assert "expected a number: lower the rate" in by_method["full"].reason
    assert by_method["lora"].status == "done"
    assert list((tmp_path / "work").iterdir()) == []


def test_failed_cells_stay_until_they_are_to_be_tried_again(
    tmp_path: Path, neox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = {"methods": {"full": True}, "grid": {"name": "g", "models": [str(neox)],
              "budgets": [2e7]}}  # fmt: skip

    def out_of_memory(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    with monkeypatch.context() as patch:
        patch.setattr(running, "run_transformer_training", out_of_memory)
        (failed,) = toy_sweep(tmp_path, neox, tables=tables)
    assert failed.reason.startswith("out of memory: CUDA out of memory")
    assert toy_sweep(tmp_path, neox, tables=tables) == [failed]
    (again,) = toy_sweep(tmp_path, neox, tables=tables, retry_failed=True)
    assert (again.status, again.key) == ("done", failed.key)


def test_a_full_disk_stops_the_sweep_without_a_record(
    tmp_path: Path, neox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: Any, **__: Any) -> None:
        raise RunFailed("no space left on device") from OSError(28, "no space left on device")

    monkeypatch.setattr(running, "run_transformer_training", no_room)
    with pytest.raises(RunFailed, match="no space left"):
        toy_sweep(tmp_path, neox)
    assert not (tmp_path / "records").exists()


def test_a_broken_checkpoint_leaves_its_cell_open_and_the_others_done(
    tmp_path: Path, neox: Path
) -> None:
    plan = plan_sweep(toy_grid(neox), word_pairs(200), tmp_path)
    work = running.work_folder(plan.tasks[0], tmp_path, device="cpu", n_processes=1) / "run"
    work.mkdir(parents=True)
    (work / "run.json").write_text("{")
    with pytest.raises(RunFailed, match=r"1 of 4 cells could not be run.*run.json"):
        toy_sweep(tmp_path, neox)
    assert len(read_runs(tmp_path)) == 3


def test_cells_beyond_the_limits_are_skipped_until_the_limits_let_them(
    tmp_path: Path, neox: Path
) -> None:
    tables = {"methods": {"full": True}, "grid": {"name": "g", "models": [str(neox)],
              "budgets": [3e7]}}  # fmt: skip
    strict = {"min_steps": 200, "min_warmup_steps": 0, "max_epochs": 9}
    (skipped,) = toy_sweep(tmp_path, neox, tables={**tables, "limits": strict})
    assert skipped.status == "skipped"
    assert "expected 200 or more" in skipped.reason
    (done,) = toy_sweep(tmp_path, neox, tables=tables)
    assert (done.status, done.key) == ("done", skipped.key)
    assert toy_sweep(tmp_path, neox, tables={**tables, "limits": strict}) == [done]


def test_kept_models_open_in_sentence_transformers_and_give_the_loss_again(
    tmp_path: Path, neox: Path
) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    tables = {"methods": {"lora": [2]}}
    (run,) = toy_sweep(tmp_path, neox, tables=tables, keep_models=True)
    (folder,) = (tmp_path / "models").iterdir()
    model = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    model.max_seq_length = SETTINGS["max_length"]
    prepared = SweepPairs(word_pairs(200), tmp_path, toy_grid(neox).settings)
    pairs = [list(prepared.held_out.queries), list(prepared.held_out.documents)]
    queries, documents = (
        torch.nn.functional.normalize(
            torch.from_numpy(model.encode(texts, batch_size=1)).double(), dim=1
        )
        for texts in pairs
    )
    losses = []
    for start in (0, 8):
        logits = queries[start : start + 8] @ documents[start : start + 8].T / 0.05
        own, entropy = torch.arange(8), torch.nn.functional.cross_entropy
        losses.append(float(entropy(logits, own) + entropy(logits.T, own)) / 2)
    assert run.loss == pytest.approx(sum(losses) / 2, abs=1e-4)


def test_another_seed_and_another_rate_are_other_cells_of_the_same_recipe(
    tmp_path: Path, neox: Path
) -> None:
    cells = [{"model": "neox", "method": "full", "flops": 2e7, "seeds": [0, 1], "lr": [1e-3, 1e-4]}]
    plan = plan_sweep(toy_grid(neox, methods={}, cells=cells), word_pairs(200), tmp_path)
    assert len({task.key for task in plan.tasks}) == 4


def test_the_record_of_another_set_of_pairs_is_another_record(tmp_path: Path, neox: Path) -> None:
    keys = [
        {task.key for task in plan_sweep(toy_grid(neox), pairs, tmp_path).tasks}
        for pairs in (word_pairs(200), word_pairs(201))
    ]
    assert keys[0].isdisjoint(keys[1])


@pytest.mark.parametrize(("pairs", "words"), [
    ([("one", "two")] * 20, "at most half|share no text"),
    (word_pairs(20), "at most half"),
    ([(a, b, 0.5) for a, b in word_pairs(50)], "column of scores"),
])  # fmt: skip
def test_pairs_that_no_sweep_can_be_run_on_are_refused(
    tmp_path: Path, neox: Path, pairs: Any, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        sweep(toy_grid(neox), pairs, tmp_path, device="cpu")


def test_a_model_that_lies_about_its_shape_is_refused_before_anything_is_run(
    tmp_path: Path,
) -> None:
    folder = save_teacher(tmp_path / "liar", "gpt-neox")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 7}))
    with pytest.raises(FormatError):
        toy_sweep(tmp_path / "out", folder)
    assert not (tmp_path / "out" / "records").exists()


def test_no_workers_are_refused(tmp_path: Path, neox: Path) -> None:
    with pytest.raises(ValueError, match="workers is 0"):
        toy_sweep(tmp_path, neox, workers=0)


@pytest.mark.parametrize(("device", "number", "seen", "own"), [
    ("cpu", 3, None, None),
    ("cuda", 1, None, "1"),
    ("cuda", 4, None, "0"),
    ("cuda", 1, "6,7", "7"),
    ("cuda:2", 1, None, None),
])  # fmt: skip
def test_each_worker_sees_one_of_several_cuda_devices_in_turn(
    monkeypatch: pytest.MonkeyPatch, device: str, number: int, seen: str | None, own: str | None
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    if seen is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", seen)
    assert gpu_of(device, number) == own


def _corpus(pairs: list[tuple[str, str]]) -> Any:
    from vecsmith.corpora import open_pairs

    return open_pairs(pairs)
