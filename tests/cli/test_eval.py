"""`vecsmith eval` as a user runs it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.cli.running import Run
from vecsmith import StaticModel, evaluate
from vecsmith.results import EvalResult

WORDS = "hello world the a cat dog sat on mat play".split()


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    """Two sets: pairs in csv, labelled texts in jsonl; and one of plain text."""
    folder = tmp_path / "my-tasks"
    generator = np.random.default_rng(0)
    pairs = ["sentence1,sentence2,score"]
    pairs += [
        f"{' '.join(generator.choice(WORDS, 4))},{' '.join(generator.choice(WORDS, 4))},{i % 5}"
        for i in range(50)
    ]
    (folder / "pairs").mkdir(parents=True)
    (folder / "pairs" / "data.csv").write_text("\n".join(pairs) + "\n")
    rows = [
        {"text": f"the {('cat', 'dog')[i % 2]}", "label": str(i % 2),
         "split": "train" if i < 30 else "test"}
        for i in range(40)
    ]  # fmt: skip
    (folder / "mood").mkdir()
    (folder / "mood" / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "plain").mkdir()
    (folder / "plain" / "corpus.jsonl").write_text('{"text": "the cat"}\n')
    return folder


def test_a_run_is_printed_as_a_table_and_written(
    run: Run, model_folder: Path, tasks: Path, tmp_path: Path
) -> None:
    done = run(
        *("eval", model_folder, "--tasks", tasks, "--dims", "16,4", "--baseline", "random"),
        *("--out", "runs/tiny"),
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"pairs +50 pairs +-?[\d.]+ ±[\d.]+ +-?[\d.]+ ±", done.stdout)
    assert re.search(r"mood +10 texts +100.0", done.stdout)
    assert re.search(r"tiny: .*model 6.0 kB, index of a million vectors 64.0 MB", done.stdout)
    assert "left out: plain: plain text" in done.stderr
    assert "compare runs with: vecsmith compare runs/tiny OTHER" in done.stderr
    assert (tmp_path / "runs" / "tiny" / "result.json").is_file()


def test_json_holds_the_figures_of_the_python_api(
    run: Run, model_folder: Path, tasks: Path
) -> None:
    done = run("eval", model_folder, "--tasks", tasks, "--precisions", "float32,binary", "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    result = evaluate(
        StaticModel.from_pretrained(model_folder), tasks, precisions=["float32", "binary"]
    )
    assert record["fingerprint"] == result.fingerprint
    for name, task in result.tasks.items():
        for view, scores in task.scores.items():
            found = record["tasks"][name]["views"][str(view)]
            assert found == pytest.approx(dict(scores.figures))
    assert record["index_bytes_of_a_million"] == {"16 float32": 64_000_000, "16 binary": 2_000_000}
    assert record["retention"] == {}
    assert record["settings"]["skipped"] == {"plain": result.settings["skipped"]["plain"]}


def test_json_holds_what_the_model_keeps_of_each_baseline(
    run: Run, model_folder: Path, tasks: Path
) -> None:
    done = run(
        *("eval", model_folder, "--tasks", tasks, "--dims", "8,4,8", "--baseline", "random"),
        *("--baseline", "tfidf", "--json"),
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["settings"]["dims"] == [8, 4]
    assert list(record["retention"]) == ["random", "tfidf"]
    for name, kept in record["retention"].items():
        ours, theirs = (
            each["tasks"]["mood"]["views"] for each in (record, record["baselines"][name])
        )
        share = ours["8 float32"]["accuracy"] / next(iter(theirs.values()))["accuracy"]
        assert kept["tasks"]["mood"]["value"] == pytest.approx(share)
        assert kept["tasks"]["mood"]["low"] <= share <= kept["tasks"]["mood"]["high"]
    assert record["retention"]["tfidf"]["left_out"] == {"pairs": "not scored"}
    assert record["baselines"]["tfidf"]["index_bytes_of_a_million"] == {}


def test_models_of_one_short_name_get_their_whole_names(
    run: Run, model_folder: Path, tasks: Path, tmp_path: Path
) -> None:
    for place, dim in (("A", 8), ("B", 4)):
        StaticModel.from_pretrained(model_folder, truncate_dim=dim).save_pretrained(
            tmp_path / place / "tiny"
        )
    shutil.copytree(model_folder, tmp_path / "tiny")
    two = ("--tasks", tasks, "--baseline", "A/tiny")
    done = run(
        *("eval", "tiny", *two, "--baseline", "B/tiny", "--baseline", "random"),
        *("--out", "run", "--json"),
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    found = {name: list(each["index_bytes_of_a_million"]) for name, each in
             record["baselines"].items()}  # fmt: skip
    assert found == {
        "A/tiny": ["8 float32"],
        "B/tiny": ["4 float32"],
        "random": found["random"],
    }
    assert record["model"] == "tiny"
    opened = EvalResult.open(tmp_path / "run")
    assert [opened.baselines[name].views[0].dim for name in ("A/tiny", "B/tiny")] == [8, 4]
    named = json.loads(run("eval", "tiny", *two, "--name", "ours", "--json").stdout)
    assert (named["model"], list(named["baselines"])) == ("ours", ["tiny"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tiny", "--baseline", "./tiny/"], "./tiny/ is given twice"),
        (["tiny", "--baseline", "bm25", "--baseline", "BM25"], "BM25 is given twice"),
        (["tiny", "--baseline", "random", "--name", "random"], "a baseline is called random too"),
        (["tiny", "--dims", "16,0"], "--dims '16,0', expected prefix lengths of 1 or more"),
        (["tiny", "--dims", ""], "--dims '', expected prefix lengths of 1 or more"),
        (["tiny", "--dims", "8,64"], "--dims 64 of tiny, which has 16, expected at most 16"),
        (["tiny", "--precisions", "int8,"], "--precisions '', expected some of float32"),
        (
            ["bm25", "--dims", "8"],
            "bm25 ranks words and has no vectors, expected it without --dims",
        ),
        (["bm25", "--precisions", "float32"], "expected it without --precisions"),
    ],
)
def test_mistakes_of_usage_are_told_before_anything_is_scored(
    call: Run, model_folder: Path, tasks: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "tiny").symlink_to(model_folder)
    done = call("eval", *arguments, "--tasks", tasks, "--out", "run")
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_second_run_reads_the_first(
    run: Run, model_folder: Path, tasks: Path, tmp_path: Path
) -> None:
    first = run("eval", model_folder, "--tasks", tasks, "--out", "run")
    # a file that is written anew is another one
    written = {path.name: path.stat().st_ino for path in (tmp_path / "run" / "tasks").iterdir()}
    second = run("eval", model_folder, "--tasks", tasks, "--out", "run")
    tables = [done.stdout.split("\ntiny: ")[0] for done in (first, second)]
    assert tables[0] == tables[1]
    again = {path.name: path.stat().st_ino for path in (tmp_path / "run" / "tasks").iterdir()}
    assert written == again


def test_another_models_run_folder_is_refused_in_one_line_unless_it_is_restarted(
    run: Run, call: Run, model_folder: Path, tasks: Path, tmp_path: Path
) -> None:
    model = StaticModel.from_pretrained(model_folder, truncate_dim=8)
    model.save_pretrained(tmp_path / "other")
    to_run = ("--out", "run", "--tasks")
    assert run("eval", model_folder, *to_run, tasks).returncode == 0
    refused = call("eval", "other", *to_run, tasks)
    assert refused.returncode == 1
    assert "run: holds a run of tiny (fingerprint " in refused.stderr
    assert "choose another folder, or pass --restart" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    fewer = call("eval", str(model_folder), *to_run, tasks / "mood")
    assert "no longer in the result: pairs; ask for them again" in fewer.stderr
    assert run("eval", "other", *to_run, tasks, "--restart").returncode == 0
    assert EvalResult.open(tmp_path / "run").model == "other"
    alone = call("eval", "other", "--tasks", tasks, "--restart")
    assert alone.returncode == 2
    assert "--restart gives up the run in a folder, expected --out" in alone.stderr


def test_quiet_prints_nothing(run: Run, model_folder: Path, tasks: Path) -> None:
    done = run("eval", model_folder, "--tasks", tasks, "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tasks", "nowhere"], "nowhere: no such folder"),
        (["--tasks", "my-tasks", "--dims", "16,x"], "'16,x', expected prefix lengths"),
        (["--tasks", "my-tasks", "--dims", "64"], "which has 16, expected at most 16"),
        (["--tasks", "my-tasks", "--precisions", "int4"], "'int4', expected some of float32"),
        (["--tasks", "my-tasks", "--suite", "french"], "suite is 'french', expected one of groups"),
        (["--tasks", "my-tasks", "--baseline", "gone"], "gone"),
        ([], "give either --tasks FOLDER or --mteb NAME"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    run: Run, model_folder: Path, tasks: Path, arguments: list[str], message: str
) -> None:
    done = run("eval", model_folder, *arguments)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_a_broken_set_is_named_by_file_and_row(run: Run, model_folder: Path, tasks: Path) -> None:
    path = tasks / "pairs" / "data.csv"
    path.write_text("sentence1,sentence2,score\nthe cat,a dog,1\na dog,the cat,near\n")
    done = run("eval", model_folder, "--tasks", tasks)
    assert done.returncode == 1
    assert "data.csv" in done.stderr
    assert "row 2" in done.stderr
    assert "'near'" in done.stderr
