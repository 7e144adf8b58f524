from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.formats.builders import checkpoint_of, word_piece
from vecsmith.formats.model_card import read_front_matter, render_card

CARD: dict[str, Any] = {
    "license": "apache-2.0",
    "base_model": "org/teacher",
    "language": ["en", "no"],
    "datasets": ["a/b"],
}


def card_text(**changes: Any) -> str:
    fields = {"card": CARD, **changes}
    return render_card(checkpoint_of(word_piece(), **fields), model_name="small model")


def read(tmp_path: Path, text: str) -> dict[str, Any]:
    (tmp_path / "README.md").write_bytes(text.encode("utf-8", "surrogateescape"))
    return read_front_matter(tmp_path / "README.md")


def test_front_matter_is_what_yaml_reads_in_it(tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    card = {**CARD, "metrics": ["a: b", "#c", "- d", "yes", "1.5", "", "ü\n'\""], "n": 3, "x": True}
    text = card_text(card=card)
    expected = yaml.safe_load(text.split("---\n")[1])
    assert expected["library_name"] == "model2vec"
    assert expected["model_name"] == "small model"
    assert expected["base_model"] == "org/teacher"
    assert expected["language"] == ["en", "no"]  # the code of Norwegian is no "false"
    assert expected["metrics"] == card["metrics"]
    assert {"sentence-transformers", "static-embeddings", "model2vec"} <= set(expected["tags"])
    assert read(tmp_path, text) == expected


def test_model2vec_and_the_hub_read_the_front_matter(tmp_path: Path) -> None:
    package = pytest.importorskip("huggingface_hub")
    (tmp_path / "README.md").write_text(card_text(), encoding="utf-8")
    data = package.ModelCard.load(tmp_path / "README.md").data.to_dict()
    assert data["license"] == "apache-2.0"
    assert data["base_model"] == "org/teacher"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("# Title\n", {}),
        ("---\nlicense: mit\n", {}),  # never closed
        ("---\nlicense: mit\n---\n# x", {"license": "mit"}),
        ("\ufeff---\r\nlicense: mit\r\n---\r\n", {"license": "mit"}),
        ("---\na: 'it''s'\nb: \"x\\ny\"\nc: 1\nd: 1.5\ne: true\nf: null\n---\n", None),
        ("---\nlanguage: [en, 'de']\ntags:\n  - x\n  - y\nn:\n- z\n---\n", None),
        ("---\na: mit # why\n# note\n\nb: c#d\n---\n", {"a": "mit", "b": "c#d"}),
        ("---\nmodel-index:\n- name: x\n  results: []\nlicense: mit\n---\n", {"license": "mit"}),
        ("---\nnested:\n  a: b\nlicense: mit\n---\n", {"license": "mit"}),
        ("---\ntext: |\n  a: b\n  c\nlicense: mit\n---\n", {"license": "mit"}),
        ("---\na: &anchor x\nb: *anchor\nc: !tag x\nd: e\n---\n", {"d": "e"}),
        ("---\na: [\n---\n", {"a": "["}),
        ("---\n: x\n- y\n{}\nlicense: mit\n---\n", {"license": "mit"}),
        ("---\na: \"\nb: '\n---\n", {"a": '"', "b": "'"}),
        ("---\na: " + "[" * 100_000 + "\n---\n", None),
        ("---\na: " + "9" * 100_000 + "\n---\n", None),
        ("---\nb\udcff: \udcff\n---\n", {}),
    ],
)
def test_a_card_never_keeps_a_model_from_loading(
    tmp_path: Path, text: str, expected: dict[str, Any] | None
) -> None:
    found = read(tmp_path, text)
    if expected is None and len(text) < 1000:
        yaml = pytest.importorskip("yaml")
        expected = yaml.safe_load(text.split("---\n")[1])
    if expected is not None:
        assert found == expected


def test_no_card_is_an_empty_one(tmp_path: Path) -> None:
    assert read_front_matter(tmp_path / "README.md") == {}
    assert read_front_matter(tmp_path) == {}


def test_the_licence_is_the_teachers_or_left_open() -> None:
    assert "apache-2.0, inherited from the model it was made from" in card_text()
    text = card_text(card={})
    assert "license:" not in text
    assert "Not known" in text
    assert "mit" not in text.split()


def test_only_a_hub_id_is_linked() -> None:
    assert "[org/teacher](https://huggingface.co/org/teacher)" in card_text()
    assert "made from ./mine:" in card_text(card={"base_model": "./mine"})


def test_the_recipe_is_told_whole() -> None:
    recipe = {
        "format": 1,
        "teacher": {"name": "org/teacher", "revision": "abc"},
        "settings": {"dim": 256, "pooling": "mean", "weights": None},
        "versions": {"torch": "2.13.0"},
        "measured": {"stsb": 0.81},
        "dims": [64, 128],
    }
    text = card_text(config={"vecsmith": recipe})
    for row in (
        "| teacher.name | org/teacher |",
        "| settings.dim | 256 |",
        "| settings.weights | null |",
        "| versions.torch | 2.13.0 |",
        "| measured.stsb | 0.81 |",
        "| dims | [64, 128] |",
    ):
        assert row in text
    assert "| format |" not in text
    assert "Not recorded." in card_text()


def test_hostile_names_stay_inside_their_place() -> None:
    name = 'x"""\n---\n# evil | `rm`'
    text = render_card(
        checkpoint_of(word_piece(), prompts={name: name}, config={"vecsmith": {name: name}}),
        model_name=name,
    )
    lines = text.splitlines()
    assert lines.count("---") == 2
    assert sum(line.startswith("# ") for line in lines) == 1
    assert 'from_pretrained("x\\"\\"\\"\\n---\\n# evil | `rm`")' in text
