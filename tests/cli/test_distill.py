from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.running import Run, load
from vecsmith import StaticModel

pytest.importorskip("torch", reason="torch is not installed (extra distill)")
pytest.importorskip("transformers", reason="transformers is not installed (extra distill)")

from tests.transformer.teachers import save_teacher
from vecsmith.distillation import PolishSettings, distill


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


def test_a_table_is_fitted_to_texts_from_a_file(
    call: Run, tmp_path: Path, tiny_teacher: Path
) -> None:
    texts = [f"the {a} fox is {b}" for a in ("quick", "brown", "small") for b in ("alone", "it")]
    lines = [*texts, "", texts[0], "never scored"]
    (tmp_path / "texts.txt").write_text("\n".join(lines), encoding="utf-8")
    done = call("distill", tiny_teacher, "--dim", "4", "--out", "model", "--texts", "texts.txt")
    assert done.returncode == 0, done.stderr
    assert "no texts" not in done.stderr
    assert "texts: 7 of 9 read by the teacher" in done.stdout
    assert "left out: 1 empty, 1 repeated" in done.stdout
    model = StaticModel.from_pretrained(tmp_path / "model")
    expected = distill(tiny_teacher, dim=4, texts=tmp_path / "texts.txt")
    np.testing.assert_array_equal(model.encode(texts), expected.encode(texts))
    assert not (tmp_path / "model.work").exists()


def test_without_texts_the_command_says_what_they_would_add(call: Run, tiny_teacher: Path) -> None:
    done = call("distill", tiny_teacher, "--dim", "4", "--out", "model")
    assert "no texts: the table is made of the tokens alone; with texts" in done.stderr


def test_texts_of_evaluation_sets_are_taken_out_and_shown(
    call: Run, tmp_path: Path, tiny_teacher: Path
) -> None:
    (tmp_path / "sets" / "pairs").mkdir(parents=True)
    rows = ["sentence1\tsentence2\tscore\tsplit"]
    rows += [f"the quick fox {i} goes\tit is small {i} and alone\t{i % 5}\tdev" for i in range(12)]
    (tmp_path / "sets" / "pairs" / "data.tsv").write_text("\n".join(rows), encoding="utf-8")
    texts = ["the QUICK fox 3 goes!", "take the brown dog", "it is dangerous to go"]
    (tmp_path / "texts.txt").write_text("\n".join(texts), encoding="utf-8")
    done = call(
        *("distill", tiny_teacher, "--dim", "2", "--out", "model", "--texts", "texts.txt"),
        *("--decontaminate", "sets", "--work", "kept", "--json"),
    )
    assert done.returncode == 0, done.stderr
    assert "1 of 3 texts are in the evaluation sets (1 equal, 0 nearly" in done.stderr
    assert "'the QUICK fox 3 goes!' is equal to 'the quick fox 3 goes'" in done.stderr
    result = json.loads(done.stdout)
    assert result["texts"]["n_used"] == 2
    assert result["texts"]["left_out"]["in_evaluation_sets"] == 1
    assert result["texts"]["compared_with_evaluation_texts"] == 24
    assert (tmp_path / "kept" / "pass" / "pass.json").is_file()


def test_a_run_begins_anew_only_when_asked_to(
    call: Run, tmp_path: Path, tiny_teacher: Path
) -> None:
    command = ("distill", tiny_teacher, "--dim", "2", "--out", "model", "--texts", "texts.txt")
    (tmp_path / "texts.txt").write_text("the fox\nthe dog\nit is\n")
    assert call(*command, "--work", "kept").returncode == 0
    (tmp_path / "texts.txt").write_text("the fox\nthe dog\nalone\n")
    refused = call(*command, "--work", "kept")
    assert refused.returncode == 1
    assert "shard 0 is of other texts" in refused.stderr
    assert call(*command, "--work", "kept", "--restart").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--decontaminate", "sets"), "--decontaminate without --texts"),
        (("--work", "kept"), "--work without --texts"),
        (("--objective", "cosine"), "--objective without --texts"),
        (("--restart",), "--restart without --texts"),
        (("--max-length", "9"), "max_length or work without texts"),
        (("--pairs", "pairs.tsv"), "--pairs without --texts, expected texts"),
        (("--texts", "words.txt", "--polish-steps", "9"), "--polish-steps without --pairs"),
        (("--texts", "words.txt", "--pair-roles", "a,b"), "--pair-roles without --pairs"),
        (("--texts", "words.txt", "--pairs", "absent.tsv"), "absent.tsv"),
        (("--lexical-scale", "0.3"), "--lexical-scale without --lexical-dims"),
        (("--lexical-dims", "8", "--lexical-scale", "-1"), "lexical_scale -1"),
        (("--texts", "absent.txt"), "absent.txt"),
        (("--texts", "words.txt", "--text-column", "body"), "column 'body' is absent"),
        (("--texts", "words.txt", "--counts", "words.txt"), "counts with texts"),
    ],
)
def test_what_is_asked_of_texts_must_fit(
    call: Run, tmp_path: Path, tiny_teacher: Path, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "words.txt").write_text("the fox\nthe dog\n")
    done = call("distill", tiny_teacher, "--dim", "2", "--out", "model", *arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert not (tmp_path / "model").exists()


def test_broken_bytes_are_mended_and_counted(call: Run, tmp_path: Path, tiny_teacher: Path) -> None:
    (tmp_path / "texts.txt").write_bytes(b"the fox\nthe \xff dog\nit is alone\n")
    done = call(
        *("distill", tiny_teacher, "--dim", "2", "--out", "model", "--texts", "texts.txt", "--json")
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["texts"]["n_with_broken_characters"] == 1


def test_a_fitted_table_is_polished_on_pairs_and_gets_a_lexical_tail(
    call: Run, tmp_path: Path, tiny_teacher: Path
) -> None:
    texts = [f"the {a} fox is {b}" for a in ("quick", "brown", "small") for b in ("alone", "it")]
    (tmp_path / "texts.txt").write_text("\n".join(texts), encoding="utf-8")
    rows = [
        "reply\task",
        "the dog\tquick dog",
        "fox\tsmall fox",
        "alone\tit is alone",
        "same\tsame",
    ]
    (tmp_path / "pairs.tsv").write_text("\n".join(rows), encoding="utf-8")
    done = call(
        *("distill", tiny_teacher, "--dim", "4", "--out", "model", "--texts", "texts.txt"),
        *("--pairs", "pairs.tsv", "--pair-roles", "anchor=ask,positive=reply"),
        *("--polish-steps", "3", "--lexical-dims", "8", "--lexical-scale", "0.25"),
    )
    assert done.returncode == 0, done.stderr
    assert "pairs.tsv: polished on 3 of 4; left out: 1 anchor equal to positive" in done.stdout
    assert "tokens x 12 float32" in done.stdout
    model = StaticModel.from_pretrained(tmp_path / "model")
    expected = distill(
        tiny_teacher,
        dim=4,
        texts=tmp_path / "texts.txt",
        pairs=tmp_path / "pairs.tsv",
        pair_roles={"anchor": "ask", "positive": "reply"},
        polish=PolishSettings(n_steps=3),
        lexical_dims=8,
        lexical_scale=0.25,
    )
    np.testing.assert_array_equal(model.encode(texts), expected.encode(texts))
    assert not (tmp_path / "model.work").exists()


def test_what_is_kept_is_told_when_a_run_stops_and_when_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.transformer.teachers import save_teacher
    from vecsmith.cli import main
    from vecsmith.distillation import from_texts

    teacher = save_teacher(tmp_path / "teacher", "bert")
    (tmp_path / "texts.txt").write_text("the quick brown fox\na dog is small\ntake it\n")
    command = ["distill", str(teacher), "--texts", str(tmp_path / "texts.txt"), "--dim", "2",
               "--out", str(tmp_path / "model")]  # fmt: skip

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(from_texts, "fit_table", interrupted)
        assert main(command) == 130
    assert f"kept in {tmp_path / 'model.work'}, the same command goes on" in capsys.readouterr().err
    assert main(command) == 0
    assert "going on: the teacher has read 3 texts already" in capsys.readouterr().err
