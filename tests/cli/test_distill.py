from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.running import Run, load
from vecsmith import StaticModel

pytest.importorskip("torch", reason="torch is not installed (extra distill)")
pytest.importorskip("transformers", reason="transformers is not installed (extra distill)")

from tests.distillation.teachers import save_teacher
from vecsmith.distillation import distill


@pytest.fixture(scope="module")
def tiny_teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_teacher(tmp_path_factory.mktemp("teacher") / "bert", "bert")


def test_the_command_makes_the_model_the_function_makes(
    call: Run, tmp_path: Path, tiny_teacher: Path
) -> None:
    options = ("--weighting", "zipf", "--sif", "0.01", "--dtype", "float16")
    done = call("distill", tiny_teacher, "--dim", "8", "--out", "model", *options)
    assert done.returncode == 0, done.stderr
    assert "teacher bert from folder" in done.stderr
    assert "tokens x 8 float16" in done.stdout
    model = StaticModel.from_pretrained(tmp_path / "model")
    expected = distill(tiny_teacher, dim=8, weighting="zipf", sif_coefficient=0.01, dtype="float16")
    texts = ["the quick brown fox", "daft zebras jump", ""]
    np.testing.assert_allclose(model.encode(texts), expected.encode(texts), atol=2e-3)

    (tmp_path / "texts.txt").write_text("\n".join(texts[:2]))
    assert call("encode", "model", "texts.txt", "--out", "vectors.npy").returncode == 0
    np.testing.assert_array_equal(load(tmp_path / "vectors.npy"), model.encode(texts[:2]))
    facts = json.loads(call("info", "model", "--json").stdout)
    assert facts["recipe"]["settings"]["sif_coefficient"] == 0.01
    assert facts["recipe"]["teacher"]["found"] == "folder"


def test_words_that_are_skipped_are_reported(call: Run, tmp_path: Path, tiny_teacher: Path) -> None:
    (tmp_path / "words.txt").write_text("zebrafish\t12\nNew York\nzebrafish\n\n")
    done = call(
        *("distill", tiny_teacher, "--dim", "none", "--out", "model", "--vocabulary", "words.txt")
    )
    assert done.returncode == 0, done.stderr
    assert "vocabulary: 3 items given, 1 words and 1 multiword items added" in done.stdout
    assert "skipped 1, given twice: 'zebrafish'" in done.stdout
    model = StaticModel.from_pretrained(tmp_path / "model")
    assert model.dim == 16
    assert model.tokenizer.encode("a zebrafish").tokens[-1] == "zebrafish"


def test_json_reports_the_recipe(call: Run, tmp_path: Path, tiny_teacher: Path) -> None:
    done = call("distill", tiny_teacher, "--dim", "0.9", "--out", "model", "--json", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    assert result["out"] == "model"
    assert 1 <= result["dim"] < 16
    assert 0.9 <= result["explained_variance"] <= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("absent/folder/name", "--out", "m"), "absent/folder/name"),
        (("TEACHER", "--out", "absent/m"), "no folder absent"),
        (("TEACHER", "--out", "full"), "diary.txt, which would be lost"),
        (("TEACHER", "--out", "words.txt"), "is a file, expected a folder"),
        (("TEACHER", "--out", "m", "--vocabulary", "absent.txt"), "--vocabulary absent.txt"),
        (("TEACHER", "--out", "m", "--vocabulary-mode", "word"), "needs a vocabulary"),
        (("TEACHER", "--out", "m", "--dim", "4096"), "4096"),
        (("package:no-such-package-here", "--out", "m"), "no-such-package-here"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    call: Run, tmp_path: Path, tiny_teacher: Path, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "words.txt").write_text("zebra\n")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "diary.txt").touch()
    before = sorted(tmp_path.iterdir())
    given = [str(tiny_teacher) if part == "TEACHER" else part for part in arguments]
    done = call("distill", *given)
    errors = [line for line in done.stderr.splitlines() if line.startswith("vecsmith: error: ")]
    assert (done.returncode, done.stdout) == (1, "")
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in done.stderr
    assert sorted(tmp_path.iterdir()) == before
