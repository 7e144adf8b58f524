from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is not installed (extra train)")
pytest.importorskip("transformers", reason="transformers is not installed (extra distill)")

from tests.transformer.teachers import save_teacher
from vecsmith.transformer import digests
from vecsmith.transformer.source import find_teacher, weights_digest


def test_the_hash_of_weights_follows_their_file_and_reads_it_once_while_it_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = find_teacher(save_teacher(tmp_path / "neox", "gpt-neox"))
    (path,) = teacher.folder.rglob("*.safetensors")
    read, digest_of = list[object](), digests._read

    def counted(paths: object) -> str:
        read.append(paths)
        return digest_of(paths)  # type: ignore[arg-type]

    monkeypatch.setattr(digests, "_read", counted)
    first = hashlib.sha256(path.read_bytes()).hexdigest()
    assert [weights_digest(teacher) for _ in range(2)] == [first, first]
    assert len(read) == 2  # too new to know that it stays
    monkeypatch.setattr(digests, "_SETTLED_SECONDS", -1.0)
    assert [weights_digest(teacher) for _ in range(3)] == [first] * 3
    assert len(read) == 3
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.with_name("new").write_bytes(content)
    path.with_name("new").replace(path)  # of the same size
    assert weights_digest(teacher) == hashlib.sha256(content).hexdigest() != first
    assert len(read) == 4
