"""What a saved model tells of where its texts lay: nothing but the last two names of a path."""

from __future__ import annotations

import json
from pathlib import Path

from tests.distillation.killed_polish import made_pairs
from tests.transformer.teachers import save_teacher
from vecsmith import distill
from vecsmith.corpora import Decontaminator, texts_of
from vecsmith.distillation import PolishSettings
from vecsmith.distillation.text_source import TextsToRead


def test_no_absolute_path_is_in_a_saved_folder(tmp_path: Path) -> None:
    teacher = save_teacher(tmp_path / "teacher", "bert")
    texts, pairs = made_pairs()
    corpus = tmp_path / "corpus" / "texts.txt"
    corpus.parent.mkdir()
    corpus.write_text("\n".join(texts), encoding="utf-8")
    rows = [json.dumps({"anchor": a, "positive": b}) for a, b in pairs]
    (tmp_path / "corpus" / "pairs.jsonl").write_text("\n".join(rows), encoding="utf-8")
    model = distill(
        teacher,
        texts=corpus,
        pairs=tmp_path / "corpus" / "pairs.jsonl",
        polish=PolishSettings(n_steps=1, batch_size=8, target_texts=8, dims=(4,)),
        work=tmp_path / "work",
        dim=4,
    )
    model.save_pretrained(tmp_path / "model")
    for path in (tmp_path / "model").rglob("*"):
        assert not path.is_file() or str(tmp_path).encode() not in path.read_bytes(), path.name
    config = json.loads((tmp_path / "model" / "config.json").read_text(encoding="utf-8"))
    assert config["vecsmith"]["recipe"]["texts"]["name"] == "corpus/texts.txt"
    assert config["vecsmith"]["data"][0]["name"] == "corpus/pairs.jsonl"


def test_texts_left_out_before_stay_out_and_are_counted() -> None:
    first = texts_of(["one is here", "two is there", "three too"]).leaving_out(
        Decontaminator(["One is here!"])
    )
    read = TextsToRead(first, evaluation_texts=["two is there"])
    assert list(read) == list(read) == ["three too"]
    assert read.facts()["left_out"]["in_evaluation_sets"] == 2
    assert read.facts()["n_used"] == 1
