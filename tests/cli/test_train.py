from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed (extra train)")
pytest.importorskip("scipy", reason="scipy is not installed (extra eval)")

from tests.cli.running import Run, leftovers
from tests.training.toy_runs import graded_pairs, word_pairs
from vecsmith import StaticModel
from vecsmith.formats import write_checkpoint
from vecsmith.formats.checkpoint import Checkpoint
from vecsmith.results import EvalResult
from vecsmith.tokenizer import Tokenizer
from vecsmith.training import read_curve, train_static

FAST = ("--batch-size", "32", "--lr", "0.02", "--quiet")


@pytest.fixture
def folder(tmp_path: Path, tiny_checkpoint: Checkpoint) -> Path:
    """A model, pairs, a tokenizer and a folder of sets."""
    write_checkpoint(tmp_path / "mini", tiny_checkpoint)
    (tmp_path / "tokenizer.json").write_text(tiny_checkpoint.tokenizer_json, encoding="utf-8")
    write_rows(tmp_path / "pairs.jsonl", word_pairs(300))
    (tmp_path / "dev" / "alike").mkdir(parents=True)
    lines = [
        json.dumps({"sentence1": a, "sentence2": b, "score": score, "split": split})
        for split in ("dev", "test")
        for a, b, score in graded_pairs(40, seed=len(split))
    ]
    (tmp_path / "dev" / "alike" / "data.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


def write_rows(path: Path, rows: list[tuple[str, str]]) -> None:
    lines = [json.dumps({"anchor": a, "positive": b}) + "\n" for a, b in rows]
    path.write_text("".join(lines), encoding="utf-8")


def test_a_model_is_tuned_on_pairs_and_chosen_on_dev(call: Run, folder: Path) -> None:
    done = call(
        *("train", "static", "--init", "mini", "--pairs", "pairs.jsonl", "--eval", "dev/"),
        *("--out", "tuned", "--steps", "8", "--evaluate-every", "2", "--batch-size", "32"),
    )
    assert done.returncode == 0, done.stderr
    assert "8 of 8 steps on 300 pairs" in done.stdout
    assert "pairs.jsonl: 300 of 300 rows" in done.stderr
    assert "pairs.jsonl: anchor=anchor, positive=positive; info_nce" in done.stderr
    assert re.search(r"dev score -?[\d.]+ at the start, -?[\d.]+ in the end \(\+", done.stdout)
    assert "600 texts are in the evaluation sets (0 equal, 0 nearly" in done.stderr
    model = StaticModel.from_pretrained(folder / "tuned")
    run = folder / "tuned.run"
    curve = read_curve(run / "curve.json")
    assert [each.step for each in curve.evaluations] == [0, 2, 4, 6, 8]
    scored = EvalResult.open(run / "scores")
    assert scored.average("families") == max(each.score for each in curve.evaluations)
    assert {task.split for task in scored.tasks.values()} == {"dev"}
    assert (run / "curve.svg").exists() == (run / "curve.png").exists()
    left = {path.name for path in run.iterdir()} - {"curve.svg", "curve.png"}
    assert left == {"curve.json", "lock", "run.json", "scores"}
    card = (folder / "tuned" / "README.md").read_text(encoding="utf-8")
    low, high = scored.interval("alike")
    value = 100 * scored.tasks["alike"].score()
    assert f"| alike | spearman_cosine | 40 | {value:.1f} ({100 * low:.1f} to" in card
    assert "| pairs.jsonl | 300 | not known |  |" in card
    assert model.checkpoint.config["vecsmith"]["scores"][0]["high"] == high


def test_the_command_makes_the_model_the_function_makes(call: Run, folder: Path) -> None:
    done = call(
        *("train", "static", "--init", "mini", "--pairs", "pairs.jsonl", "--out", "tuned", *FAST),
        *("--epochs", "2", "--dims", "16,4", "--temperature", "0.1", "--seed", "3"),
        *("--directions", "one_way", "--ema", "0.5", "--token-weights", "--token-dropout", "0.1"),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    expected = train_static(
        init=folder / "mini",
        pairs=folder / "pairs.jsonl",
        batch_size=32,
        lr=0.02,
        epochs=2,
        dims=[16, 4],
        temperature=0.1,
        seed=3,
        directions="one_way",
        ema=0.5,
        token_weights=True,
        token_dropout=0.1,
    )
    found = StaticModel.from_pretrained(folder / "tuned")
    texts = ["hello cat", "the dog sat on the mat 17"]
    np.testing.assert_array_equal(found.encode(texts), expected.encode(texts))


def test_a_model_comes_from_nothing_with_a_tokenizer_given_or_trained(
    call: Run, folder: Path
) -> None:
    common = ("--pairs", "*.jsonl", "--dim", "12", "--steps", "2", *FAST)
    done = call("train", "static", "--tokenizer", "tokenizer.json", "--out", "given", *common)
    assert done.returncode == 0, done.stderr
    assert StaticModel.from_pretrained(folder / "given").dim == 12
    trained = ("--train-tokenizer", "wordpiece", "--vocabulary", "90")
    done = call("train", "static", *trained, "--out", "trained", "--json", *common)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    model = StaticModel.from_pretrained(folder / "trained")
    assert result["vocabulary"] == model.vocab_size <= 90
    assert model.tokenizer.is_native
    assert (result["dim"], result["steps"]["done"]) == (12, 2)


def test_texts_of_the_sets_are_taken_out_of_the_pairs(call: Run, folder: Path) -> None:
    scored = [(first, second) for first, second, _ in graded_pairs(40, seed=3)]
    write_rows(folder / "pairs.jsonl", [*word_pairs(100), *scored])
    common = ("train", "static", "--init", "mini", "--pairs", "pairs.jsonl", "--steps", "1")
    done = call(*common, "--eval", "dev", "--out", "clean", "--json", "--batch-size", "16")
    assert json.loads(done.stdout)["data"][0]["left_out"] == {"contaminated": 40}
    assert "80 of 280 texts are in the evaluation sets (80 equal" in done.stderr
    kept = call(
        *(*common, "--eval", "dev", "--keep-contaminated", "--out", "kept", "--json"),
        *("--batch-size", "16"),
    )
    assert json.loads(kept.stdout)["data"][0]["left_out"] == {}
    other = call(*common, "--decontaminate", "dev", "--out", "other", "--json", *FAST)
    assert json.loads(other.stdout)["data"][0]["pairs"] == 100


def test_sets_have_names_losses_roles_and_mined_negatives(call: Run, folder: Path) -> None:
    lines = [f"{a},{b},{score}\n" for a, b, score in graded_pairs(60)]
    (folder / "graded.csv").write_text("sentence1,sentence2,score\n" + "".join(lines))
    done = call(
        *("train", "static", "--init", "mini", "--out", "tuned", "--steps", "4", *FAST),
        *("--pairs", "qa=pairs.jsonl", "--pairs", "sts=graded.csv"),
        *("--loss", "sts=score_regression", "--mine", "2", "--json"),
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)["data"]
    assert [each["name"] for each in facts] == ["qa", "sts"]
    recipe = StaticModel.from_pretrained(folder / "tuned").checkpoint.config["vecsmith"]["recipe"]
    assert recipe["loss"]["sts"].startswith("matryoshka(score_regression")
    assert recipe["loss"]["qa"].startswith("matryoshka(info_nce")
    assert not (folder / "tuned.run" / "mining").exists()


def test_a_teacher_guides_by_name(call: Run, folder: Path) -> None:
    done = call(
        *("train", "static", "--init", "mini", "--out", "tuned", "--pairs", "pairs.jsonl"),
        *("--steps", "2", "--loss", "guided_info_nce", "--teacher", "./mini", *FAST),
    )
    assert done.returncode == 0, done.stderr


def test_a_run_that_was_interrupted_goes_on(
    call: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vecsmith.training.student import Student

    common = ("train", "static", "--init", "mini", "--pairs", "pairs.jsonl", "--steps", "9", *FAST)
    assert call(*common, "--out", "whole").returncode == 0
    step, n_steps = Student.step, 0

    def interrupted_step(self: Student, *arguments: object) -> object:
        nonlocal n_steps
        n_steps += 1
        if n_steps == 6:
            raise KeyboardInterrupt
        return step(self, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Student, "step", interrupted_step)
        done = call(*common, "--out", "tuned", "--checkpoint-every", "2")
    assert done.returncode == 130
    assert "the same command goes on" in done.stderr
    assert not (folder / "tuned").exists()
    other = call(*common, "--out", "tuned", "--seed", "9")
    assert (other.returncode, "seed was 0, is 9" in other.stderr) == (1, True)
    assert call(*common, "--out", "tuned").returncode == 0
    found, expected = (StaticModel.from_pretrained(folder / name) for name in ("tuned", "whole"))
    np.testing.assert_array_equal(found.encode(["hello cat"]), expected.encode(["hello cat"]))
    # a finished run does not stand in the way of the next one
    assert call(*common, "--out", "tuned", "--seed", "9").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--pairs", "absent.jsonl", "--init", "mini"), 1, "absent.jsonl"),
        (("--pairs", "pairs.jsonl"), 1, "neither --init nor --tokenizer"),
        (("--pairs", "pairs.jsonl", "--init", "absent"), 1, "absent"),
        (("--pairs", "pairs.jsonl", "--init", "mini", "--dims", "99"), 1, "at most 16"),
        (("--pairs", "pairs.jsonl", "--init", "mini", "--dims", "a"), 2, "--dims 'a'"),
        (("--pairs", "pairs.jsonl", "--init", "mini", "--loss", "no"), 1, "loss 'no'"),
        (("--pairs", "pairs.jsonl", "--init", "mini", "--loss", "x=cosent"), 1, "no such set"),
        (("--pairs", "pairs.jsonl", "--init", "mini", "--eval", "absent"), 1, "no such folder"),
        (("--pairs", "pairs.jsonl", "--init", "mini", "--preset", "best"), 1, "preset 'best'"),
        (("--pairs", "pairs.jsonl", "--init", "mini", "--dim", "8"), 2, "without --init"),
        (("--pairs", "pairs.jsonl", "--tokenizer", "tokenizer.json", "--mine", "2"), 2, "--mine"),
        (("--pairs", "pairs.jsonl", "--init", "mini", "--ema", "-1"), 1, "--ema -1.0, expected"),
        (("--pairs", "pairs.jsonl", "--init", "mini", "--max-length", "-1"), 1, "--max-length -1"),
        (("--pairs", "pairs.jsonl", "--init", "mini", "--loss", "cosent"), 1, "name it in --roles"),
        (("--pairs", "empty.jsonl", "--init", "mini"), 1, "empty.jsonl"),
        (("--pairs", "broken.jsonl", "--init", "mini"), 1, "broken.jsonl: line 1"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_model(
    call: Run, folder: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    (folder / "empty.jsonl").touch()
    (folder / "broken.jsonl").write_text('{"anchor": "a", "positive"')
    done = call("train", "static", *arguments, "--out", "tuned", *FAST)
    assert (done.returncode, done.stdout) == (code, "")
    errors = [line for line in done.stderr.splitlines() if line]
    assert len(errors) == 1
    assert message in errors[0]
    assert not (folder / "tuned").exists()
    assert leftovers(folder) == []


def test_the_model_begun_with_is_never_replaced(call: Run, folder: Path) -> None:
    before = StaticModel.from_pretrained(folder / "mini").checkpoint.rows
    done = call(
        *("train", "static", "--init", "mini", "--pairs", "pairs.jsonl", "--out", "./mini", *FAST)
    )
    assert (done.returncode, "--out mini: the folder of --init" in done.stderr) == (1, True)
    after = StaticModel.from_pretrained(folder / "mini").checkpoint.rows
    np.testing.assert_array_equal(before, after)


def test_a_run_of_few_steps_is_told_in_options(call: Run, folder: Path) -> None:
    done = call("train", "static", "--init", "mini", "--pairs", "pairs.jsonl", "--out", "tuned")
    assert done.returncode == 0, done.stderr
    assert "make 1 steps, expected 50 or more to learn from: try --epochs 50" in done.stderr


def test_broken_bytes_are_mended_and_blank_rows_counted(call: Run, folder: Path) -> None:
    good = "".join(f"{a}\t{b}\n" for a, b in word_pairs(40)).encode()
    (folder / "pairs.tsv").write_bytes(
        b"anchor\tpositive\n" + good + b"hello \xff cat\tthe dog\n" + b"\tthe mat\nsat\tsat\n"
    )
    done = call(
        *("train", "static", "--init", "mini", "--pairs", "pairs.tsv", "--out", "tuned"),
        *("--steps", "1", "--json", *FAST),
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)["data"][0]
    assert facts["pairs"] == 41
    assert sum(facts["left_out"].values()) == 2


def test_a_tokenizer_is_trained_from_the_command_line(call: Run, tmp_path: Path) -> None:
    texts = [f"우리는 서울에서 만났다 {i % 7}" for i in range(60)]
    (tmp_path / "ko.txt").write_text("\n".join(texts), encoding="utf-8")
    done = call("train", "tokenizer", "ko.txt", "--vocabulary", "80", "--out", "tokenizer.json")
    assert done.returncode == 0, done.stderr
    assert "wordpiece, native" in done.stdout
    made = Tokenizer((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    assert "서울에서" in made.encode("우리는 서울에서").tokens
    facts = call("train", "tokenizer", "ko.txt", "--out", "bpe.json", "--family", "bpe", "--json")
    assert json.loads(facts.stdout)["unknown_share"] == 0.0
    lost = call("train", "tokenizer", "absent.txt", "--out", "t.json")
    assert (lost.returncode, "absent.txt" in lost.stderr) == (1, True)
    assert call("train", "tokenizer", "ko.txt", "--out", "no/t.json").returncode == 1
