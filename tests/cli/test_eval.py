"""`vecsmith eval` as a user runs it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.cli.running import Run
from vecsmith import StaticModel, evaluate

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
    assert record["settings"]["skipped"] == {"plain": result.settings["skipped"]["plain"]}


def test_a_second_run_reads_the_first(
    run: Run, model_folder: Path, tasks: Path, tmp_path: Path
) -> None:
    first = run("eval", model_folder, "--tasks", tasks, "--out", "run")
    written = {
        path.name: path.stat().st_mtime_ns for path in (tmp_path / "run" / "tasks").iterdir()
    }
    second = run("eval", model_folder, "--tasks", tasks, "--out", "run")
    tables = [done.stdout.split("\ntiny: ")[0] for done in (first, second)]
    assert tables[0] == tables[1]
    again = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run" / "tasks").iterdir()}
    assert written == again


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
