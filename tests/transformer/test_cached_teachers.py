"""A teacher in the Hub's cache is taken only if all is there that says how it pools."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from vecsmith.transformer import source
from vecsmith.transformer.source import find_teacher

SHA = "0" * 40
NAME = "org/teacher"


@pytest.fixture
def snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cached snapshot with config and weights, and a Hub that is out of reach."""
    repository = tmp_path / "hub" / "models--org--teacher"
    folder = repository / "snapshots" / SHA
    folder.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(SHA)
    (folder / "config.json").write_text('{"model_type": "bert"}')
    (folder / "model.safetensors").write_bytes(b"weights")
    fetch = source._fetch

    def fetch_from_here(name: str, **options: object) -> Path | None:
        if options["local_files_only"]:
            return folder
        return fetch("org/nowhere", revision=None, token=None, local_files_only=False)

    monkeypatch.setattr(source, "_fetch", fetch_from_here)
    return folder


def test_what_transformers_alone_has_cached_is_not_taken_in_silence(
    snapshot: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert find_teacher(NAME).folder == snapshot
    assert "perhaps not its pooling" in caplog.text


def test_a_repository_known_to_have_no_modules_is_whole(
    snapshot: Path, caplog: pytest.LogCaptureFixture
) -> None:
    absent = snapshot.parents[1] / ".no_exist" / SHA
    absent.mkdir(parents=True)
    (absent / "modules.json").touch()
    with caplog.at_level(logging.WARNING):
        assert find_teacher(NAME).found == "hub cache"
    assert not caplog.text


def test_modules_whose_folders_are_missing_are_not_whole(snapshot: Path) -> None:
    kinds = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, path) in enumerate(kinds.items())
    ]
    (snapshot / "modules.json").write_text(json.dumps(modules))
    assert not source._is_whole(snapshot)
    (snapshot / "1_Pooling").mkdir()
    assert source._is_whole(snapshot)


def test_a_missing_shard_sends_to_the_hub_again(snapshot: Path) -> None:
    (snapshot / "model.safetensors").rename(snapshot / "model-00001-of-00002.safetensors")
    names = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    index = {"weight_map": dict(zip("ab", names, strict=True))}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(index))
    assert not source._is_whole(snapshot)
