"""`vecsmith compare` as a user runs it, on runs of small models."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.cli.running import Run
from tests.reporting.html_checks import take_apart
from vecsmith import StaticModel, evaluate
from vecsmith.formats import write_checkpoint
from vecsmith.formats.checkpoint import Checkpoint
from vecsmith.results import EvalResult, View

_WORDS = "hello world cat dog sat mat play zebra".split()
_N_QUERIES = 24


def write_rows(path: Path, rows: Sequence[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Checkpoint) -> Path:
    """Two sets, and runs of two models on them: the second has the rows of half its words mixed."""
    folder = tmp_path_factory.mktemp("compare")
    draw = np.random.default_rng(0)
    texts = [" ".join(draw.choice(_WORDS, 5)) for _ in range(40)]
    search = folder / "sets" / "search"
    documents: list[dict[str, object]] = [
        {"id": f"d{i}", "title": "", "text": text} for i, text in enumerate(texts)
    ]
    documents[3]["text"] = f"<script>alert('x')</script> {texts[3]}"
    write_rows(search / "corpus.jsonl", documents)
    # the last query has no relevant document: it is asked, but no item
    asked = [*(f"q{i} {' '.join(texts[i].split()[:3])}" for i in range(_N_QUERIES)), "zebra dog"]
    write_rows(
        search / "queries.jsonl", [{"id": f"q{i}", "text": text} for i, text in enumerate(asked)]
    )
    judged = [(i, 1.0) for i in range(_N_QUERIES)] + [(_N_QUERIES, 0.0)]
    write_rows(
        search / "qrels.jsonl",
        [
            {"query_id": f"q{i}", "doc_id": f"d{i}", "relevance": grade, "split": "test"}
            for i, grade in judged
        ],
    )
    pairs = [
        {"sentence1": texts[i], "sentence2": texts[(i + 1) % 40], "score": float(i % 6)}
        for i in range(40)
    ]
    write_rows(folder / "sets" / "pairs" / "data.jsonl", pairs)
    table = tiny_checkpoint.rows.copy()
    table[::2] = table[::2][::-1]
    table[1::3] = 0
    for name, checkpoint in (
        ("good", tiny_checkpoint),
        ("poor", replace(tiny_checkpoint, table=table)),
    ):
        write_checkpoint(folder / name, checkpoint)
        model = StaticModel.from_pretrained(folder / name)
        evaluate(
            model, folder / "sets", dims=[16, 8], name=name, out=folder / "runs" / name,
            precisions=("float32", "int8"),
        )  # fmt: skip
    return folder


def runs(folder: Path) -> tuple[Path, Path]:
    return folder / "runs" / "good", folder / "runs" / "poor"


def test_the_verdict_and_every_task_are_printed(call: Run, folder: Path) -> None:
    done = call("compare", *runs(folder))
    assert (done.returncode, done.stderr) == (0, "")
    first = done.stdout.splitlines()[0]
    assert "A (good)" in first
    assert "B (poor)" in first
    assert "A  good (16 float32)" in done.stdout
    assert f"{_N_QUERIES} queries" in done.stdout
    assert "40 pairs" in done.stdout


def test_json_holds_the_numbers_of_the_python_api(call: Run, folder: Path) -> None:
    done = call("compare", *runs(folder), "--json")
    assert done.returncode == 0
    facts = json.loads(done.stdout)
    good, poor = map(EvalResult.open, runs(folder))
    scores = facts["summary"][0]["scores"]
    assert [score["value"] for score in scores] == pytest.approx([good.average(), poor.average()])
    assert (scores[0]["low"], scores[0]["high"]) == pytest.approx(good.interval())
    assert [contender["name"] for contender in facts["contenders"]] == ["good", "poor"]
    assert {row["name"] for row in facts["tasks"]} == {"pairs", "search"}


def test_another_size_is_compared_on_request(call: Run, folder: Path) -> None:
    done = call("compare", *runs(folder), "--view", "8 int8,16", "--json")
    facts = json.loads(done.stdout)
    good, poor = map(EvalResult.open, runs(folder))
    values = [score["value"] for score in facts["summary"][0]["scores"]]
    assert values == pytest.approx([good.average(view=View(8, "int8")), poor.average()])


def test_the_page_shows_what_both_models_return(call: Run, folder: Path, tmp_path: Path) -> None:
    done = call("compare", *runs(folder), "--html", "report.html", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    page = take_apart((tmp_path / "report.html").read_text())
    assert page.problems == []
    assert "judged relevant" in page.words
    good, poor = (EvalResult.open(path).tasks["search"] for path in runs(folder))
    gains = good.scores_of().items - poor.scores_of().items
    item = int(np.argmax(gains))
    query = page.words.index(f"q{item} ")
    after = page.words[query : query + 200]
    assert f"good: {100 * good.scores_of().items[item]:.1f}" in after
    assert "script" not in {tag for tag, _ in page.tags}


def test_relevant_documents_are_marked_where_the_model_found_them(
    call: Run, folder: Path, tmp_path: Path
) -> None:
    done = call("compare", *runs(folder), "--html", "r.html", "--queries", "Q5 ", "-q")
    assert done.returncode == 0
    page = take_apart((tmp_path / "r.html").read_text())
    neighbors = EvalResult.open(runs(folder)[0]).tasks["search"].neighbors
    assert neighbors is not None
    rank = neighbors[5, :5].tolist().index(5) + 1  # the text was found
    start = page.words.index("A good:", page.words.index("What the models return"))
    before = page.words[start : page.words.index("✓ relevant", start)]
    assert before.rstrip().endswith(str(rank))


def test_markdown_comes_with_its_pictures_beside_it(
    call: Run, folder: Path, tmp_path: Path
) -> None:
    done = call("compare", *runs(folder), "--markdown", "report.md", "--quiet")
    assert done.returncode == 0
    text = (tmp_path / "report.md").read_text()
    pictures = sorted(path.name for path in tmp_path.glob("*.png"))
    assert {"report-dims.png", "report-bytes.png"} <= set(pictures)
    for name in pictures:
        assert f"]({name})" in text
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    call("compare", *runs(folder), "--markdown", "plain.md", "--no-pictures", "--quiet")
    assert "![" not in (tmp_path / "plain.md").read_text()
    assert sorted(path.name for path in tmp_path.glob("*.png")) == pictures


def test_the_same_runs_give_the_same_files(call: Run, folder: Path, tmp_path: Path) -> None:
    for name in ("one.html", "two.html"):
        assert call("compare", *runs(folder), "--html", name, "-q").returncode == 0
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()


def test_a_page_says_why_texts_are_missing(call: Run, folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(folder / "sets", moved)
    corpus = moved / "search" / "corpus.jsonl"
    corpus.write_text(corpus.read_text().replace("zebra", "horse"))
    done = call("compare", *runs(folder), "--tasks", moved, "--html", "r.html", "-q")
    assert done.returncode == 0
    assert "or its texts differ" in take_apart((tmp_path / "r.html").read_text()).words
    done = call("compare", *runs(folder), "--tasks", tmp_path / "no", "--html", "r.html", "-q")
    assert done.returncode == 0
    words = take_apart((tmp_path / "r.html").read_text()).words
    assert "could not be read back" in words
    assert "no such folder" in words


def test_one_run_shows_what_its_baseline_returns(call: Run, folder: Path, tmp_path: Path) -> None:
    good, poor = map(EvalResult.open, runs(folder))
    replace(good, baselines={"by another name": poor}).save(tmp_path / "both")
    done = call("compare", "both", "--html", "r.html")
    assert done.returncode == 0, done.stderr
    assert "B  poor (16 float32, baseline)" in done.stdout
    assert "judged relevant" in take_apart((tmp_path / "r.html").read_text()).words


def test_words_that_no_query_has_are_said_to_be_missing(call: Run, folder: Path) -> None:
    done = call("compare", *runs(folder), "--queries", "unheard of")
    assert done.returncode == 0
    assert "No query of search has these words: unheard of." in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--view", "many"], 2, "'many', expected dims such as 64"),
        (["--view", "16 float8"], 2, "'16 float8', expected dims such as 64"),
        (["--view", "16,8,4"], 2, "3 sizes for 2 runs, expected one, or one for each"),
        (["--view", "12"], 1, "was not scored under 12 float32, expected one of: 16 float32, 16"),
        (
            ["--reference", "teacher"],
            1,
            "no model is called 'teacher', expected one of: good, poor",
        ),
        (["--html", "no/where.html"], 2, "no such folder"),
        (["--markdown", "."], 2, "is a folder, expected the name of a file"),
    ],
)
def test_mistakes_are_one_line(
    call: Run, folder: Path, arguments: list[str], code: int, words: str
) -> None:
    done = call("compare", *runs(folder), *arguments)
    assert done.returncode == code
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_what_is_no_run_is_an_error(call: Run, folder: Path, tmp_path: Path) -> None:
    done = call("compare", runs(folder)[0], tmp_path)
    assert done.returncode == 1
    assert str(tmp_path) in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_one_run_without_baselines_has_nothing_to_be_held_against(call: Run, folder: Path) -> None:
    done = call("compare", runs(folder)[0])
    assert done.returncode == 1
    assert "one run, good, and it has no baselines, expected another run" in done.stderr


def test_one_run_against_itself_is_said_to_be_so_unless_sizes_differ(
    call: Run, folder: Path
) -> None:
    good, _ = runs(folder)
    done = call("compare", good, good)
    assert "A and B are the same run at the same size" in " ".join(done.stdout.split())
    done = call("compare", good, good, "--view", "16,8")
    assert done.returncode == 0, done.stderr
    assert "same run" not in done.stdout
    assert "A  good (16 float32)" in done.stdout
    assert "B  good (8 float32)" in done.stdout


def test_retention_and_sets_left_out_are_printed_too(
    call: Run, folder: Path, tmp_path: Path
) -> None:
    good, poor = map(EvalResult.open, runs(folder))
    skipped = {"papers": "material to train on", "plain": "nothing is asked of it"}
    replace(good, settings={**good.settings, "skipped": skipped}).save(tmp_path / "with")
    done = call("compare", "with", runs(folder)[1], "--reference", "poor")
    assert done.returncode == 0, done.stderr
    kept = good.retention(poor).of("sets").value
    line = next(x for x in done.stdout.splitlines() if x.startswith("mean over all sets"))
    assert f"{100 * (kept or 0):.1f} %" in line
    assert "Left out (--html or --json say why): papers, plain" in done.stdout.splitlines()
