"""The recipe of models from nothing: its pairs, and that the guide says what the record says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is not installed (extra train)")
pytest.importorskip("pyarrow")
pytest.importorskip("sklearn", reason="scikit-learn is not installed (extra eval)")

from recipes._from_nothing_sets import clean_pairs, one_pair_a_group, question_paragraphs
from recipes.from_nothing import GUIDE, RECORD, parsed, table, with_tables

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def test_no_list_of_paraphrases_has_two_pairs_of_one_group() -> None:
    rows = [{"text": f"{group}{place}", "group": group} for place in range(5) for group in "abc"]
    assert one_pair_a_group(rows) == [
        [("a0", "a1"), ("b0", "b1"), ("c0", "c1")],
        [("a2", "a3"), ("b2", "b3"), ("c2", "c3")],
    ]


def test_values_of_a_trial_are_json_or_else_text() -> None:
    changes = parsed(["lr=0.1", "betas=[0.0,0.999]", "directions=one_way", "token_weights=true"])
    assert changes == {
        "lr": 0.1,
        "betas": [0.0, 0.999],
        "directions": "one_way",
        "token_weights": True,
    }


def test_the_guides_tables_are_those_of_the_record() -> None:
    if not RECORD.is_file():
        pytest.skip("no record has been made")
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    guide = GUIDE.read_text(encoding="utf-8")
    assert with_tables(guide, record) == guide
    assert table(record["languages"]["ko"]) in guide


@pytest.mark.skipif(not SHARED.is_dir(), reason="the public sets are not beside the repository")
def test_questions_are_paired_with_paragraphs_of_their_language() -> None:
    pairs = question_paragraphs(SHARED / "tydiqa_train", "ko")
    assert len(pairs) == 1616
    assert all(any("가" <= letter <= "힣" for letter in question) for question, _ in pairs)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the public sets are not beside the repository")
def test_no_korean_pair_has_a_text_that_is_scored(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    from recipes._from_nothing_sets import LANGUAGES

    found = clean_pairs(LANGUAGES["ko"], SHARED, tmp_path)
    for counts in found["sets"].values():
        left_out = counts["equal"] + counts["near"] + counts["incomplete"]
        assert counts["kept"] + left_out == counts["pairs"]
    scored = pq.read_table(SHARED / "korsts" / "data.parquet").to_pylist()
    scored_texts = {
        row[side]
        for row in scored
        if row["split"] != "train"
        for side in ("sentence1", "sentence2")
    }
    kept = pq.read_table(tmp_path / "korsts.parquet").to_pylist()
    assert len(kept) == found["sets"]["korsts"]["kept"] > 4000
    assert not any({row["anchor"], row["positive"]} & scored_texts for row in kept)
