"""`vecsmith dims` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.running import Run
from vecsmith import StaticModel, evaluate
from vecsmith.evaluation.dims import quality_by_dim

WORDS = "hello world the a cat dog sat on mat play".split()


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    """One set of graded pairs that agree with the whole vectors of the tiny model or not."""
    folder = tmp_path / "tasks" / "pairs"
    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    lines = ["sentence1,sentence2,score"]
    for _ in range(200):
        a, b = draw.choice(WORDS, 3), draw.choice(WORDS, 3)
        lines.append(f"{' '.join(a)},{' '.join(b)},{len(set(a) & set(b))}")
    (folder / "data.csv").write_text("\n".join(lines) + "\n")
    return folder.parent


def test_dims_prints_what_each_prefix_keeps_and_the_smallest(
    call: Run, model_folder: Path, tasks: Path
) -> None:
    done = call("dims", model_folder, "--tasks", tasks, "--keep", "0.2")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    rows = [line.split() for line in lines if line[:1].isdigit()]
    assert [row[:2] for row in rows] == [["16", "64"], ["8", "32"]]
    assert "kept: % of the score of 16 dims (paired 95 % interval)" in done.stdout
    assert "smallest prefix that keeps 20 %: 8 dims (at least " in done.stdout


def test_json_holds_the_figures_of_the_python_api(
    call: Run, model_folder: Path, tasks: Path
) -> None:
    done = call("dims", model_folder, "--tasks", tasks, "--dims", "4,12", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    model = StaticModel.from_pretrained(model_folder)
    result = evaluate(model, tasks, dims=[16, 12, 4], measure_speed=False)
    expected = quality_by_dim(result, keep=0.95)
    assert found["smallest"] == expected.smallest.view.dim
    assert [prefix["dim"] for prefix in found["prefixes"]] == [16, 12, 4]
    for one, other in zip(found["prefixes"], expected.prefixes, strict=True):
        assert one["kept"]["low"] == pytest.approx(other.kept.low)
        assert one["score"] == pytest.approx(other.score)


def test_where_no_prefix_is_enough_all_dims_are_advised(
    call: Run, model_folder: Path, tasks: Path
) -> None:
    done = call("dims", model_folder, "--tasks", tasks, "--dims", "1", "--keep", "0.999")
    assert done.returncode == 0, done.stderr
    assert "no shorter prefix is known to keep 99.9 %: take all 16 dims" in done.stdout


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_picture_is_written(
    call: Run, model_folder: Path, tasks: Path, tmp_path: Path, suffix: str
) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / f"kept{suffix}"
    done = call("dims", model_folder, "--tasks", tasks, "--plot", path, "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    magic = {".png": b"\x89PNG", ".svg": b"<?xml"}
    assert path.read_bytes().startswith(magic[suffix])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--keep", "95"], "--keep 95, expected a share between 0 and 1"),
        (["--dims", "32"], "which has 16, expected at most 16"),
        (["--plot", "x.pdf"], "expected a name that ends in .png or .svg"),
        (["--plot", "no/such/x.png"], "no folder no/such"),
        (["--plot", "folder.png"], "is a folder, expected a file"),
        (["--dims", "a"], "expected prefix lengths"),
    ],
)
def test_what_cannot_be_asked_is_a_usage_error(
    call: Run, model_folder: Path, tasks: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "folder.png").mkdir(exist_ok=True)
    done = call("dims", model_folder, "--tasks", tasks, *arguments)
    assert done.returncode == 2
    assert message in done.stderr


def test_a_run_folder_that_is_a_file_is_refused_before_a_text_is_encoded(
    call: Run, model_folder: Path, tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("mine")

    def encode(*_: object, **__: object) -> None:
        pytest.fail("a text was encoded")

    monkeypatch.setattr(StaticModel, "encode", encode)
    done = call("dims", model_folder, "--tasks", tasks, "--out", "file")
    assert done.returncode == 1
    assert "file: is a file, expected" in done.stderr
    assert (tmp_path / "file").read_text() == "mine"


def test_an_average_that_is_not_there_is_an_error_in_one_line(
    call: Run, model_folder: Path, tasks: Path
) -> None:
    done = call("dims", model_folder, "--tasks", tasks, "--over", "retrieval")
    assert done.returncode == 1
    assert "no average or task is called 'retrieval'" in done.stderr


def test_a_ranking_of_words_has_no_dims(call: Run, tasks: Path) -> None:
    done = call("dims", "bm25", "--tasks", tasks)
    assert done.returncode == 2
    assert "bm25 ranks words and has no vectors" in done.stderr


def test_a_transformer_is_asked_for_the_prefixes_it_was_trained_for(
    call: Run, tasks: Path, tmp_path: Path
) -> None:
    pytest.importorskip("transformers")
    from tests.transformer.teachers import save_teacher

    folder = save_teacher(tmp_path / "nested", "bert")
    config = json.loads((folder / "config.json").read_text())
    config["vecsmith"] = {"matryoshka_dims": [3, 6, 12]}
    (folder / "config.json").write_text(json.dumps(config))
    done = call("dims", folder, "--tasks", tasks, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["prefixes"]
    dims = [prefix["dim"] for prefix in found]
    assert dims[1:] == [dim for dim in (12, 6, 3) if dim < dims[0]]
    assert len(dims) > 2
