"""A whole evaluation on small sets: what it finds, keeps, skips and refuses."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

import vecsmith
from tests.evaluation.conftest import write_rows
from vecsmith import StaticModel, evaluate
from vecsmith.evaluation import Bm25, RandomVectors, Tfidf, contender
from vecsmith.formats.checkpoint import Checkpoint
from vecsmith.results import EvalResult, View


class Counting:
    """The tiny model, counting the texts it is given."""

    def __init__(self, model: StaticModel, fingerprint: str = "counting") -> None:
        self.model = model
        self.fingerprint = fingerprint
        self.n_texts = 0

    def encode(self, texts: Sequence[str], /) -> Any:
        self.n_texts += len(texts)
        return self.model.encode(texts)


def figures(result: EvalResult) -> dict[str, dict[str, dict[str, float]]]:
    return {
        name: {str(view): dict(scores.figures) for view, scores in task.scores.items()}
        for name, task in result.tasks.items()
    }


def test_the_figures_are_those_of_the_vectors(tiny_model: StaticModel, small_sets: Path) -> None:
    result = evaluate(tiny_model, small_sets, dims=[16, 4], measure_speed=False)
    assert list(result.tasks) == ["mood", "pairs", "search"]
    source = next(s for s in vecsmith.evaluation.tasks.find_tasks(small_sets) if s.set == "pairs")
    (task,) = source.load("test")
    pairs: Any = task.data
    for dim in (16, 4):
        a, b = (tiny_model.encode(texts, truncate_dim=dim) for texts in (pairs.first, pairs.second))
        expected = spearmanr((a * b).sum(1), pairs.scores).statistic
        found = result.tasks["pairs"].scores[View(dim)].figures["spearman_cosine"]
        assert found == pytest.approx(expected, abs=1e-6)
    assert result.tasks["pairs"].n_items == 40
    assert result.tasks["mood"].score() == 1.0  # the last word says it


def test_any_object_with_encode_will_do(tiny_model: StaticModel, small_sets: Path) -> None:
    class Lists:
        def encode(self, texts: Sequence[str], /) -> Any:
            return tiny_model.encode(texts).tolist()

    ours = evaluate(tiny_model, small_sets, measure_speed=False)
    lists = evaluate(Lists(), small_sets, measure_speed=False)
    assert lists.model == "Lists"
    assert figures(lists) == figures(ours)


def test_a_run_is_read_back_and_not_run_again(
    tiny_model: StaticModel, small_sets: Path, tmp_path: Path
) -> None:
    model = Counting(tiny_model)
    first = evaluate(model, small_sets, out=tmp_path / "run", measure_speed=False)
    assert model.n_texts > 0
    n_texts = model.n_texts
    again = evaluate(model, small_sets, out=tmp_path / "run", measure_speed=False)
    assert model.n_texts == n_texts
    opened = EvalResult.open(tmp_path / "run")
    assert figures(first) == figures(again) == figures(opened)
    for name, task in opened.tasks.items():
        assert (task.scores[task.main_view].items == first.tasks[name].scores[View(16)].items).all()


def test_what_has_changed_is_run_again(
    tiny_model: StaticModel, small_sets: Path, tmp_path: Path
) -> None:
    def n_encoded(model: Counting, **options: Any) -> int:
        before = model.n_texts
        evaluate(model, small_sets, out=tmp_path / "run", measure_speed=False, **options)
        return model.n_texts - before

    model = Counting(tiny_model)
    whole = n_encoded(model)
    assert n_encoded(model) == 0
    assert n_encoded(model, dims=[8]) == whole  # other views
    model.fingerprint = "another"
    assert n_encoded(model, dims=[8], restart=True) == whole  # other weights
    assert n_encoded(model, dims=[8]) == 0
    assert n_encoded(model, dims=[8], restart=True) == whole  # asked for
    model.fingerprint = ""
    assert n_encoded(model, dims=[8], restart=True) == whole  # unknown weights: nothing is reused
    assert n_encoded(model, dims=[8]) == whole


def test_another_models_run_is_refused_before_anything_is_scored(
    tiny_model: StaticModel, small_sets: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    first = evaluate(Counting(tiny_model), small_sets, out=run, measure_speed=False)
    other = Counting(tiny_model, "distilled again")
    with pytest.raises(
        FileExistsError, match=r"Counting \(fingerprint counting\), expected the sa"
    ):
        evaluate(other, small_sets, out=run, measure_speed=False)
    assert other.n_texts == 0
    assert figures(EvalResult.open(run)) == figures(first)
    with pytest.raises(ValueError, match="restart is True and out is None"):
        evaluate(other, small_sets, restart=True)


def test_what_a_result_no_longer_holds_is_named(
    tiny_model: StaticModel, small_sets: Path, tmp_path: Path
) -> None:
    def dropped(tasks: Path, **options: Any) -> tuple[str, ...]:
        out = tmp_path / "run"
        return evaluate(tiny_model, tasks, out=out, measure_speed=False, **options).dropped

    assert dropped(small_sets, baselines={"bm25": Bm25()}) == ()
    assert dropped(small_sets / "pairs", dims=[4]) == ("mood", "search", "baseline bm25")
    assert dropped(small_sets) == ()


def test_an_interrupted_run_goes_on_where_it_stopped(
    tiny_model: StaticModel, small_sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Counting(tiny_model)
    run = contender.VectorContender.run

    def interrupted(self: Any, task: Any, tell: Any) -> Any:
        if task.name == "search":
            raise KeyboardInterrupt
        return run(self, task, tell)

    with monkeypatch.context() as patch:
        patch.setattr(contender.VectorContender, "run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            evaluate(model, small_sets, out=tmp_path / "run", measure_speed=False)
    n_texts = model.n_texts
    result = evaluate(model, small_sets, out=tmp_path / "run", measure_speed=False)
    alone = evaluate(Counting(tiny_model), small_sets / "search", measure_speed=False)
    only_search = Counting(tiny_model)
    evaluate(only_search, small_sets / "search", measure_speed=False)
    assert model.n_texts - n_texts == only_search.n_texts
    assert figures(result)["search"] == figures(alone)["search"]


def test_baselines_are_run_on_the_tasks_they_can(
    tiny_model: StaticModel, small_sets: Path, tmp_path: Path
) -> None:
    baselines: dict[str, Any] = {"whole": tiny_model, "bm25": Bm25(), "tfidf": Tfidf()}
    baselines["random"] = RandomVectors(8)
    result = evaluate(
        tiny_model,
        small_sets,
        dims=[4],
        baselines=baselines,
        out=tmp_path / "run",
        measure_speed=False,
    )
    assert result.baselines["whole"].tasks["pairs"].main_view == View(16)
    assert set(result.baselines["bm25"].tasks) == {"mood", "search"}
    assert result.baselines["bm25"].tasks["search"].main_view == View(0, "text")
    # queries are cut from their documents
    assert result.baselines["bm25"].tasks["search"].score() > 0.7
    assert result.baselines["tfidf"].tasks["mood"].score() == 1.0
    assert result.baselines["random"].tasks["search"].score() < 0.5
    opened = EvalResult.open(tmp_path / "run")
    assert {name: figures(other) for name, other in opened.baselines.items()} == {
        name: figures(other) for name, other in result.baselines.items()
    }


def test_speed_and_size_are_measured_beside_the_quality(
    tiny_model: StaticModel, small_sets: Path
) -> None:
    class Slow:
        n_bytes = 5

        def encode(self, texts: Sequence[str], /) -> Any:
            time.sleep(2e-5 * len(texts))
            return tiny_model.encode(texts)

    result = evaluate(tiny_model, small_sets, baselines={"slow": Slow()})
    slow = result.baselines["slow"].speed
    assert slow.texts_per_second is not None
    assert 0 < slow.texts_per_second < 50_000
    assert slow.n_texts == result.speed.n_texts > 0
    assert slow.model_bytes == 5
    checkpoint = tiny_model.checkpoint
    assert result.speed.model_bytes == checkpoint.table.nbytes


def test_dev_reads_no_test_row(tiny_model: StaticModel, small_sets: Path) -> None:
    result = evaluate(tiny_model, small_sets, split="dev", measure_speed=False)
    assert result.tasks["pairs"].split == "dev"
    assert result.tasks["mood"].n_items < 20  # a part of train
    assert "search" not in result.tasks
    assert "search" in result.settings["skipped"]


def test_every_precision_of_every_prefix_is_scored(
    tiny_model: StaticModel, small_sets: Path
) -> None:
    result = evaluate(
        tiny_model,
        small_sets / "search",
        dims=[4, 16],
        precisions=["float32", "int8", "binary"],
        measure_speed=False,
    )
    assert [str(view) for view in result.tasks["search"].scores] == [
        "16 float32", "16 int8", "16 binary", "4 float32", "4 int8", "4 binary",
    ]  # fmt: skip
    scores = [result.tasks["search"].score(view) for view in result.tasks["search"].scores]
    assert scores[0] >= scores[-1]


def test_empty_documents_are_scored_and_counted(tiny_model: StaticModel, small_sets: Path) -> None:
    result = evaluate(tiny_model, small_sets / "search", measure_speed=False)
    assert result.tasks["search"].counts["empty texts"] == 1
    assert result.tasks["search"].n_items == 20


def test_more_dims_than_there_are_are_refused(tiny_model: StaticModel, small_sets: Path) -> None:
    with pytest.raises(ValueError, match=r"dims \[32, 16\] of StaticModel, which has 16"):
        evaluate(tiny_model, small_sets, dims=[16, 32], measure_speed=False)


def test_what_is_no_encoder_is_refused(small_sets: Path) -> None:
    with pytest.raises(TypeError, match=r"of type int, expected an object with encode\(texts\)"):
        evaluate(3, small_sets)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"is 'minilm', .* StaticModel.from_pretrained\('minilm'\)"):
        evaluate("minilm", small_sets)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precisions": ["int4"]}, r"precisions is \['int4'\], expected some of"),
        ({"precisions": "int8"}, "precisions is 'int8', expected some of"),
        ({"dims": []}, r"dims is \[\], expected prefix lengths of 1 or more"),
        ({"dims": 64}, "dims is 64, expected"),
        ({"dims": "64"}, "dims is '64', expected"),
        ({"dims": [0]}, r"dims is \[0\], expected"),
    ],
)
def test_views_that_are_none_are_refused(
    tiny_model: StaticModel, small_sets: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(tiny_model, small_sets, **options)


def test_baselines_without_names_are_refused(tiny_model: StaticModel, small_sets: Path) -> None:
    with pytest.raises(TypeError, match=r"of type list, expected models by name, as in \{"):
        evaluate(tiny_model, small_sets, baselines=[Bm25()])  # type: ignore[arg-type]


def test_two_of_one_name_are_refused(tiny_model: StaticModel, small_sets: Path) -> None:
    with pytest.raises(ValueError, match="two models are called 'tiny'"):
        evaluate(tiny_model, small_sets, name="tiny", baselines={"tiny": RandomVectors(4)})


def test_a_task_keeps_under_what_it_was_scored(
    tiny_model: StaticModel, small_sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = evaluate(tiny_model, small_sets, out=tmp_path / "run", measure_speed=False)
    monkeypatch.setattr("vecsmith.evaluation.evaluator.machine", lambda: {"cpu": "another"})
    again = evaluate(tiny_model, small_sets, out=tmp_path / "run", measure_speed=False)
    assert again.machine == {"cpu": "another"}
    for name, task in again.tasks.items():
        assert task.machine == first.machine
        assert task.date == first.tasks[name].date
        assert task.versions["numpy"] == np.__version__
        assert task.fingerprint == tiny_model.fingerprint
    assert again.run != first.run


def test_nothing_to_score_is_said_with_the_reasons(tiny_model: StaticModel, tmp_path: Path) -> None:
    write_rows(tmp_path / "plain" / "corpus.jsonl", [{"text": "the cat"}])
    with pytest.raises(ValueError, match=r"nothing to score in .*plain"):
        evaluate(tiny_model, tmp_path)


def test_a_changed_table_has_another_fingerprint(tiny_checkpoint: Checkpoint) -> None:
    from dataclasses import replace

    table = tiny_checkpoint.rows.copy()
    table[5, 3] = np.nextafter(table[5, 3], 9, dtype=np.float32)
    changed = StaticModel(replace(tiny_checkpoint, table=table))
    same = StaticModel(replace(tiny_checkpoint, table=tiny_checkpoint.rows.copy()))
    fingerprints = {StaticModel(tiny_checkpoint).fingerprint, same.fingerprint}
    assert len(fingerprints) == 1
    assert changed.fingerprint not in fingerprints
