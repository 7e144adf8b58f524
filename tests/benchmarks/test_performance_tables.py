"""Tables of speed are what the records say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from _performance_tables import instructions_table, other_peers_table
from readme_numbers import RECORDS, RESULTS, ROOT, main, tables


def test_tables_in_the_documents_are_the_committed_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["readme_numbers.py", "--check"])
    assert main() == 0


def test_every_record_of_encoding_has_its_table_in_docs_performance() -> None:
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    for name in RECORDS:
        assert f"<!-- numbers: {name} -->\n{tables(name)}<!-- /numbers -->" in text


def counted() -> dict[str, Any]:
    case = {
        "model": "WordPiece, English",
        "kind": "zh",
        "bytes": 1000,
        "tokens": 250,
        "instructions": {"unseen": 20_000, "ids": 5_000, "seen": 18_000},
        "model2vec": {"bytes": 100, "tokens": 25, "instructions": 100_000},
    }
    return {
        "counter": "valgrind",
        "forced_kernels": "avx2",
        "machine": {"cpu": "A processor", "load_average": 0.5},
        "cases": [case],
    }


def test_instructions_are_told_by_the_byte_and_by_the_token() -> None:
    row, end = (instructions_table(counted()).splitlines()[i] for i in (2, 4))
    assert row == (
        "| WordPiece, English: Chinese | 1,000 | 250 | 20.0 | 25 % | 18.0 | 80 | 1,000 | 50 |"
    )
    assert end == "Counted by valgrind, kernels forced to AVX2. A processor, load average 0.5."


def test_where_nothing_could_be_counted_the_page_says_so() -> None:
    found = {**counted(), "counter": None, "cases": []}
    assert "could not be counted" in instructions_table(found)


def test_a_peer_that_was_passed_over_is_named_below_the_table() -> None:
    found = json.loads((RESULTS / "other_peers.json").read_text(encoding="utf-8"))
    absent = {**found, "not_installed": {"fastText": "no module named fasttext"}}
    assert "Not installed: fastText." in other_peers_table(absent)
    assert "Not installed: fastText." not in other_peers_table({**found, "not_installed": {}})
