"""`vecsmith index` as a user runs it."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.cli.indexing import cosines, documents, write_rows
from tests.cli.running import Run, leftovers, write_lines
from vecsmith import StaticModel
from vecsmith.cli import _gathering
from vecsmith.cli.index import recall_words
from vecsmith.retrieval import text_index
from vecsmith.retrieval.index import AdaptiveIndex
from vecsmith.retrieval.text_index import TextIndex
from vecsmith.retrieval.texts import TextStoreWriter

TEXTS = documents(300)
# drawn for each save
_IDENTITY = rb'"identity": "[0-9a-f]{32}"'


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> Path:
    """An index of 300 texts with ids; to be copied before it is changed."""
    from vecsmith.cli import main

    folder = tmp_path_factory.mktemp("made")
    write_rows(folder / "texts.jsonl", TEXTS, [f"doc-{i}" for i in range(300)])
    code = main(["index", str(model_folder), str(folder / "texts.jsonl"), "--id-column", "id",
                 "--out", str(folder / "index"), "--quiet"])  # fmt: skip
    assert code == 0
    return folder / "index"


@pytest.fixture
def index(made: Path, tmp_path: Path) -> Path:
    """The index, to be changed."""
    return Path(shutil.copytree(made, tmp_path / "index"))


def found(index: Path, model: StaticModel, query: str, k: int = 5) -> list[tuple[object, str]]:
    opened = TextIndex.open(index)
    _, hits = opened.search(model.encode_query([query]), k, exact=True)
    return [(hit.id, hit.text) for hit in hits[0]]


def test_every_vector_of_the_index_is_the_models_of_its_text(
    made: Path, model: StaticModel
) -> None:
    opened = TextIndex.open(made, verify=True)
    numbers = opened.vectors.ids
    assert opened.texts.texts(numbers) == TEXTS
    assert opened.texts.names(numbers) == [f"doc-{i}" for i in range(300)]
    stored = opened.vectors.vectors(numbers)
    np.testing.assert_allclose(stored, model.encode_document(TEXTS), atol=1e-6)


def test_the_folder_opens_as_an_index_of_vectors_too(made: Path, model: StaticModel) -> None:
    hits = AdaptiveIndex.open(made).search(model.encode(["hello cat"]), k=3, exact=True)
    expected = np.sort(cosines(model, "hello cat", TEXTS))[::-1][:3]
    np.testing.assert_allclose(hits.scores[0], expected, atol=1e-6)


def test_what_is_said_of_a_new_index(call: Run, model_folder: Path, tmp_path: Path) -> None:
    texts = write_rows(tmp_path / "texts.jsonl", [*TEXTS[:50], "", None, "  "])
    done = call("index", model_folder, texts, "--out", "new/")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("new: 50 texts, 3 without text, 16 dims float32, ")
    assert leftovers(tmp_path) == []
    assert TextIndex.open(tmp_path / "new").texts.names([49]) == [49]


def test_json_says_what_was_indexed(call: Run, model_folder: Path, tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(TEXTS[:40]))
    done = call("index", model_folder, texts, "--out", "new", "--dtype", "int8", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert (facts["texts"], facts["dim"], facts["dtype"], facts["blank"]) == (40, 16, "int8", 0)
    assert facts["bytes"] == sum(
        p.stat().st_size for p in (tmp_path / "new").rglob("*") if p.is_file()
    )


def test_texts_added_are_found_and_numbered_on(
    call: Run, model_folder: Path, model: StaticModel, tmp_path: Path
) -> None:
    write_rows(tmp_path / "a.jsonl", TEXTS[:60])
    write_rows(tmp_path / "b.jsonl", ["zebra", *TEXTS[60:70]])
    assert call("index", model_folder, "a.jsonl", "--out", "index").returncode == 0
    done = call("index", "index", "--add", "b.jsonl")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "index: 11 texts added, 71 in all\n"
    everything = [*TEXTS[:60], "zebra", *TEXTS[60:70]]
    opened = TextIndex.open(tmp_path / "index", verify=True)
    assert opened.texts.texts(range(71)) == everything
    _, hits = opened.search(model.encode_query(["mat on cat"]), 71)
    assert sorted(hit.number for hit in hits[0]) == list(range(71))
    assert leftovers(tmp_path) == []


def test_a_text_added_under_a_known_id_takes_the_place_of_the_old_one(
    call: Run, index: Path, model: StaticModel, tmp_path: Path
) -> None:
    old = TEXTS[7]
    texts = write_rows(tmp_path / "new.jsonl", ["hello hello 猫", "mat mat"], ["doc-7", "fresh"])
    done = call("index", index, "--add", texts, "--id-column", "id")
    assert done.returncode == 0, done.stderr
    assert "2 texts added, 1 replaced, 301 in all" in done.stdout
    assert found(index, model, "hello hello 猫", 1) == [("doc-7", "hello hello 猫")]
    opened = TextIndex.open(index, verify=True)
    assert len(opened.find(["doc-7"])[0]) == 1
    assert list(opened.texts).count(old) == TEXTS.count(old) - 1


def test_deleted_texts_are_not_found_and_not_on_the_disk(
    call: Run, model_folder: Path, model: StaticModel, tmp_path: Path
) -> None:
    texts = [*TEXTS[:50], "hello secretword"]
    write_rows(tmp_path / "t.jsonl", texts, range(100, 151))
    assert call("index", model_folder, "t.jsonl", "--id-column", "id", "--out", "i").returncode == 0
    (tmp_path / "gone.txt").write_text("150\n101\n999\n")
    done = call("index", "i", "--delete", "gone.txt")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "i: 2 texts deleted, 1 id was not there ('999'), 49 left\n"
    ids = [hit for hit, _ in found(tmp_path / "i", model, "hello secretword", 100)]
    assert sorted(map(str, ids)) == sorted(str(100 + i) for i in range(50) if i != 1)
    for path in (tmp_path / "i").rglob("*"):
        assert not path.is_file() or b"secretword" not in path.read_bytes()


def test_ids_none_of_which_is_there_are_refused(call: Run, index: Path, tmp_path: Path) -> None:
    (tmp_path / "gone.txt").write_text("nope\nneither\n")
    done = call("index", index, "--delete", "gone.txt")
    assert done.returncode == 1
    assert "gone.txt: 2 ids, 'nope', 'neither', of which" in done.stderr
    assert leftovers(tmp_path) == []


def test_an_interrupted_run_goes_on_and_gives_the_same_files(
    call: Run, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows(tmp_path / "t.jsonl", TEXTS, [f"n{i}" for i in range(300)])
    arguments = ("index", model_folder, "t.jsonl", "--id-column", "id", "--out")
    monkeypatch.setattr(_gathering, "_ROWS_OF_STATIC", 70)
    assert call(*arguments, "whole").returncode == 0
    encode, calls = StaticModel.encode_document, []

    def interrupted(self: StaticModel, *texts: object, **options: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return encode(self, *texts, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(StaticModel, "encode_document", interrupted)
        done = call(*arguments, "parts")
    assert done.returncode == 130
    assert "the same command goes on from here" in done.stderr
    assert not (tmp_path / "parts").exists()
    done = call(*arguments, "parts")
    assert done.returncode == 0, done.stderr
    assert "going on after 140 texts" in done.stderr
    assert leftovers(tmp_path) == []
    whole, parts = (
        {p.relative_to(tmp_path / name): re.sub(_IDENTITY, b"", p.read_bytes())
             for p in (tmp_path / name).rglob("*") if p.is_file()}
        for name in ("whole", "parts")
    )  # fmt: skip
    assert whole == parts


KILLED = """
import os, signal, sys
from vecsmith.cli import _gathering, main
from vecsmith._resume import PartialFolder
_gathering._SECONDS_AT_RISK, _gathering._ROWS_OF_STATIC = -1.0, 50
write, calls = PartialFolder.write_journal, []
def killed(self, *arguments, **options):
    write(self, *arguments, **options)
    calls.append(1)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
PartialFolder.write_journal = killed
main(sys.argv[1:])
"""


def test_a_run_killed_by_the_system_goes_on(
    call: Run, environment: dict[str, str], model_folder: Path, model: StaticModel, tmp_path: Path
) -> None:
    write_rows(tmp_path / "t.jsonl", TEXTS)
    arguments = ["index", str(model_folder), "t.jsonl", "--out", "index"]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments], cwd=tmp_path, env=environment, timeout=300,
        capture_output=True,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "index").exists()
    done = call(*arguments)
    assert done.returncode == 0, done.stderr
    assert "going on after 150 texts" in done.stderr
    opened = TextIndex.open(tmp_path / "index", verify=True)
    assert list(opened.texts) == TEXTS
    np.testing.assert_allclose(
        opened.vectors.vectors(opened.vectors.ids), model.encode(TEXTS), atol=1e-6
    )


@pytest.mark.parametrize("moment", ["adopt", "save"])
def test_an_addition_killed_while_it_is_written_is_finished_by_the_same_command(
    call: Run, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    from vecsmith.retrieval.texts import TextStore

    kinds = {"adopt": TextStore, "save": AdaptiveIndex}
    write_rows(tmp_path / "new.jsonl", ["hello 猫 猫", "mat"], ["doc-3", "other"])

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(kinds[moment], moment, killed)
        done = call("index", index, "--add", "new.jsonl", "--id-column", "id")
    assert done.returncode == 130
    assert len(TextIndex.open(index, verify=True)) == 300  # as it was
    refused = call("index", index, "--delete", "new.jsonl")
    assert "unfinished run, expected it to end" in refused.stderr
    done = call("index", index, "--add", "new.jsonl", "--id-column", "id")
    assert done.returncode == 0, done.stderr
    opened = TextIndex.open(index, verify=True)
    assert len(opened) == 301
    assert [opened.texts.texts(n) for n in opened.find(["doc-3", "other"])] == [
        ["hello 猫 猫"], ["mat"],
    ]  # fmt: skip
    assert leftovers(tmp_path) == []


def test_an_unfinished_run_of_other_texts_is_refused_until_restarted(
    call: Run, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows(tmp_path / "t.jsonl", TEXTS[:100])
    monkeypatch.setattr(_gathering, "_ROWS_OF_STATIC", 30)
    with monkeypatch.context() as patch:
        patch.setattr(
            _gathering.Gathering,
            "_check_unchanged",
            lambda self: (_ for _ in ()).throw(OSError(28, "x")),
        )
        assert call("index", model_folder, "t.jsonl", "--out", "i").returncode == 1
    write_rows(tmp_path / "t.jsonl", TEXTS[:99])
    done = call("index", model_folder, "t.jsonl", "--out", "i")
    assert done.returncode == 1
    assert "input fingerprint was" in done.stderr
    assert call("index", model_folder, "t.jsonl", "--out", "i", "--restart").returncode == 0
    assert len(TextIndex.open(tmp_path / "i")) == 99


def test_the_texts_of_an_index_are_indexed_anew_by_another_model(
    call: Run, model: StaticModel, index: Path, tmp_path: Path
) -> None:
    (tmp_path / "gone.txt").write_text("doc-0\ndoc-299\n")
    assert call("index", index, "--delete", "gone.txt").returncode == 0
    StaticModel.from_pretrained(str(model.checkpoint.source), truncate_dim=8).save_pretrained(
        tmp_path / "shorter"
    )
    done = call("index", "shorter", index, "--out", "new")
    assert done.returncode == 0, done.stderr
    opened = TextIndex.open(tmp_path / "new", verify=True)
    assert opened.vectors.dim == 8
    assert list(opened.texts) == TEXTS[1:299]
    assert opened.texts.names([0, 297]) == ["doc-1", "doc-298"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["t.jsonl"], "expected TEXTS and --out FOLDER"),
        (["t.jsonl", "--out", "x", "--add", "t.jsonl"], "--add and --delete change an index"),
    ],
)
def test_a_command_that_is_neither_is_a_usage_error(
    call: Run, model_folder: Path, arguments: list[str], message: str
) -> None:
    done = call("index", model_folder, *arguments)
    assert done.returncode == 2
    assert message in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["t.jsonl", "--out", "full"], "full holds mine, expected a new folder or an empty one"),
        (["t.jsonl", "--out", "t.jsonl"], "t.jsonl is a file, expected a new folder"),
        (["empty.jsonl", "--out", "x"], "no rows, expected some with the column 'text'"),
        (["odd.jsonl", "--out", "x"], "expected one named 'text'; name yours with --text-column"),
        (["cut.jsonl", "--out", "x"], "cut.jsonl: line 2: expecting ',' delimiter at column 13, "),
        (["t.jsonl", "--out", "no/such"], "no folder no"),
        (["absent.jsonl", "--out", "x"], "no such file, expected a file; check its name"),
        (["t.jsonl", "--out", "x", "--id-column", "nope"], "name another with --id-column"),
        (["t.jsonl", "--out", "x", "--dims", "64"], "which has 16, expected at most 16"),
        (["twice.jsonl", "--out", "x", "--id-column", "id"], "texts 0 and 1 are both called 'a'"),
        (["mixed.jsonl", "--out", "x", "--id-column", "id"], "line 2: the id 'id' is a number"),
        (["blank.jsonl", "--out", "x"], "blank.jsonl: no text, expected one or more"),
        (["-", "--out", "x"], "expected a file"),
    ],
)
def test_what_cannot_be_indexed_is_told_in_one_line_and_leaves_nothing(
    call: Run, model_folder: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    write_rows(tmp_path / "t.jsonl", TEXTS[:5])
    write_rows(tmp_path / "twice.jsonl", TEXTS[:2], ["a", "a"])
    write_rows(tmp_path / "mixed.jsonl", TEXTS[:2], ["a", 7])
    write_rows(tmp_path / "blank.jsonl", ["", " "])
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "odd.jsonl").write_text('{"a": "b", "c": "d"}\n')
    (tmp_path / "cut.jsonl").write_text('{"text": "a"}\n{"text": "b"\n')
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    done = call("index", model_folder, *arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert leftovers(tmp_path) == []
    assert not (tmp_path / "x").exists()


def test_adding_texts_without_ids_to_an_index_with_ids_is_refused(
    call: Run, index: Path, tmp_path: Path
) -> None:
    write_rows(tmp_path / "new.jsonl", ["hello"])
    done = call("index", index, "--add", "new.jsonl")
    assert done.returncode == 1
    assert "new.jsonl has no ids, expected strings as ids" in done.stderr
    assert leftovers(tmp_path) == []


def test_two_additions_at_once_are_refused(call: Run, index: Path, tmp_path: Path) -> None:
    from vecsmith._resume import PartialFolder

    write_rows(tmp_path / "new.jsonl", ["hello"], ["a"])
    with PartialFolder(index):
        done = call("index", index, "--add", "new.jsonl", "--id-column", "id")
    assert done.returncode == 1
    assert "another process is writing it" in done.stderr


def test_an_addition_of_many_rounds_is_the_one_of_one_round(
    call: Run, index: Path, model: StaticModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = documents(50, seed=8)
    write_rows(tmp_path / "new.jsonl", new, [f"doc-{i}" for i in range(280, 330)])
    monkeypatch.setattr(text_index, "_BYTES_AT_A_TIME", 4 * 16 * 7)  # seven rows
    save, calls = AdaptiveIndex.save, []

    def killed(self: AdaptiveIndex, folder: Path) -> None:
        save(self, folder)
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(AdaptiveIndex, "save", killed)
        arguments = ("index", index, "--add", "new.jsonl", "--id-column", "id")
        assert call(*arguments).returncode == 130
    done = call(*arguments)
    assert done.returncode == 0, done.stderr
    opened = TextIndex.open(index, verify=True)
    assert len(opened) == 330
    everything = dict(zip([f"doc-{i}" for i in range(330)], [*TEXTS[:280], *new], strict=True))
    numbers = opened.vectors.ids
    assert dict(zip(opened.texts.names(numbers), opened.texts.texts(numbers), strict=True)) == (
        everything
    )
    np.testing.assert_allclose(
        opened.vectors.vectors(numbers), model.encode(opened.texts.texts(numbers)), atol=1e-6
    )


def test_searches_are_tuned_to_questions_that_are_given(
    call: Run, model_folder: Path, tmp_path: Path
) -> None:
    write_rows(tmp_path / "t.jsonl", TEXTS)
    (tmp_path / "questions.txt").write_text("\n".join(dict.fromkeys(documents(120, seed=4))))
    done = call(
        *("index", model_folder, "t.jsonl", "--out", "i", "--queries", "questions.txt"),
        *("--recall", "0.9", "-k", "3", "--dims", "8,4", "--json"),
    )
    assert done.returncode == 0, done.stderr
    plan = AdaptiveIndex.open(tmp_path / "i").plan
    assert plan.k == 3
    assert {stage.dim for stage in plan.stages} <= {16, 8, 4}
    recall = json.loads(done.stdout)["recall"]
    assert recall is None or recall["n_queries"] < 120


def test_prompts_for_queries_and_documents_are_put_before_them(
    call: Run, model: StaticModel, tmp_path: Path
) -> None:
    prompts = {"query": "hello ", "document": "mat mat "}
    prompted = StaticModel(replace(model.checkpoint, prompts=prompts))
    prompted.save_pretrained(tmp_path / "prompted")
    write_rows(tmp_path / "t.jsonl", TEXTS[:60])
    assert call("index", "prompted", "t.jsonl", "--out", "i").returncode == 0
    done = call("search", "i", "cat sat", "-k", "60", "--exact", "--json")
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads(done.stdout)["queries"]
    rows = model.encode([f"mat mat {text}" for text in TEXTS[:60]]).astype(np.float64)
    asked = model.encode("hello cat sat").astype(np.float64)
    expected = rows @ asked / np.linalg.norm(rows, axis=1) / np.linalg.norm(asked)
    for hit in answer["hits"]:
        assert hit["score"] == pytest.approx(expected[hit["id"]], abs=1e-5)


def test_a_full_disk_is_told_and_the_run_goes_on_when_there_is_room(
    environment: dict[str, str], call: Run, model_folder: Path, tmp_path: Path
) -> None:
    texts = documents(3000, seed=2)
    write_rows(tmp_path / "t.jsonl", texts)
    program = (
        "import resource, sys\n"
        "from vecsmith.cli import _gathering, main\n"
        "_gathering._SECONDS_AT_RISK, _gathering._ROWS_OF_STATIC = -1.0, 500\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    arguments = ["index", str(model_folder), "t.jsonl", "--out", "i"]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=tmp_path, env=environment, timeout=300,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.strip() == "vecsmith: error: file too large"  # this test's full disk
    again = call(*arguments)
    assert again.returncode == 0, again.stderr
    assert "going on after 1 500 texts" in again.stderr
    assert list(TextIndex.open(tmp_path / "i", verify=True).texts) == texts


@pytest.mark.parametrize("how", ["hnsw", "ivf"])
def test_searches_may_begin_with_faiss(
    call: Run, model_folder: Path, tmp_path: Path, how: str
) -> None:
    pytest.importorskip("faiss")
    write_rows(tmp_path / "t.jsonl", documents(2000, seed=3))
    done = call("index", model_folder, "t.jsonl", "--out", "i", "--approximate", how, "--json")
    assert done.returncode == 0, done.stderr
    found = call("search", "i", "hello cat", "-k", "5", "--json")
    exact = call("search", "i", "hello cat", "-k", "5", "--exact", "--json")
    ours, best = (json.loads(each.stdout)["queries"][0]["hits"] for each in (found, exact))
    assert ours[0]["score"] == pytest.approx(best[0]["score"], abs=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--recall", "1.5"], "--recall 1.5, expected above 0 and at most 1"),
        (["--recall", "0"], "--recall 0, expected above 0"),
        (["--recall", "nan"], "--recall nan, expected above 0"),
        (["--approximate", "hnsw"], r"vecsmith\[index\]"),
        (["--queries", "one.txt"], "1 question, expected some hundreds"),
    ],
)
def test_what_would_fail_in_the_end_is_refused_before_a_text_is_encoded(
    call: Run, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    options: list[str], message: str,
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, "faiss", None)
    monkeypatch.setattr(_gathering.Gathering, "finish", lambda _: pytest.fail("texts are encoded"))
    write_rows(tmp_path / "t.jsonl", TEXTS[:5])
    (tmp_path / "one.txt").write_text("hello cat\n")
    done = call("index", model_folder, "t.jsonl", "--out", "i", *options)
    assert done.returncode != 0
    assert re.search(message, done.stderr), done.stderr
    assert leftovers(tmp_path) == []


def test_texts_of_another_writer_are_not_taken_for_those_of_an_unfinished_addition(
    call: Run, index: Path, model: StaticModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows(tmp_path / "more.jsonl", ["hello mat", "cat dog"], ["m0", "m1"])
    arguments = ("index", index, "--add", "more.jsonl", "--id-column", "id")

    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(TextIndex, "add", interrupted)
        assert call(*arguments).returncode != 0
    # meanwhile somebody adds as many by the class
    with TextStoreWriter(tmp_path / "theirs", name_kind="str") as writer:
        writer.append(["dog dog", "mat mat"], ["t0", "t1"])
        theirs = writer.commit()
    vectors = np.asarray(model.encode(["dog dog", "mat mat"]), np.float32)
    TextIndex.open(index).add(theirs, vectors, np.arange(2))
    done = call(*arguments)
    assert done.returncode == 0, done.stderr
    opened = TextIndex.open(index, verify=True)
    assert len(opened) == len(TEXTS) + 4
    for name, text in {"m0": "hello mat", "m1": "cat dog", "t0": "dog dog"}.items():
        ((number,),) = opened.find([name])
        assert opened.texts[number] == text
        stored, fresh = opened.vectors.vectors([number])[0], np.asarray(model.encode(text))
        np.testing.assert_allclose(stored, fresh, atol=1e-5)


def test_a_recall_below_what_was_asked_is_told() -> None:
    recall = {"achieved": 0.97, "low": 0.96, "high": 0.98, "n_queries": 500, "asked": 0.99}
    assert "0.99 asked; less than asked: give other" in recall_words(recall)
    assert recall_words({**recall, "asked": 0.97}).endswith("0.97 asked")


def test_ids_that_are_not_in_the_index_are_counted_and_the_first_of_them_named(
    call: Run, index: Path, tmp_path: Path
) -> None:
    write_lines(tmp_path / "gone.txt", [f"no-{i}" for i in range(7)])
    done = call("index", index, "--delete", "gone.txt")
    assert done.returncode == 1
    assert "gone.txt: 7 ids, 'no-0', 'no-1', 'no-2', 'no-3', 'no-4' and 2 more, " in done.stderr
    assert "expected ids of its 300 texts" in done.stderr
    write_lines(tmp_path / "gone.txt", ["no"])
    assert "gone.txt: 1 id, 'no', of which" in call("index", index, "--delete", "gone.txt").stderr
    write_lines(tmp_path / "gone.txt", ["doc-3", *(f"no-{i}" for i in range(7))])
    done = call("index", index, "--delete", "gone.txt")
    assert done.stdout == (
        f"{index}: 1 text deleted, 7 ids were not there ('no-0', 'no-1', 'no-2', 'no-3', 'no-4' "
        "and 2 more), 299 left\n"
    )
    write_lines(tmp_path / "gone.txt", ["doc-4", "no"])
    told = json.loads(call("index", index, "--delete", "gone.txt", "--json").stdout)["delete"]
    assert (told["deleted"], told["not_in_index"], told["absent_ids"]) == (1, 1, ["no"])


def test_a_text_that_does_not_fit_for_its_id_is_told_the_option(
    call: Run, index: Path, model_folder: Path, tmp_path: Path
) -> None:
    write_rows(tmp_path / "one.jsonl", ["a cat"], [7])
    assert call("index", model_folder, "one.jsonl", "--out", "numbered").stdout.startswith(
        "numbered: 1 text, 16 dims"
    )
    for target, arguments, told in [
        (index, [], "has no ids, expected strings as ids as"),
        (index, [], "name the column of ids with --id-column"),
        (index, ["--id-column", "id"], "name a column of strings with --id-column"),
        ("numbered", ["--id-column", "id"], "leave --id-column out, its texts are numbered on"),
    ]:
        done = call("index", target, "--add", "one.jsonl", *arguments)
        assert (done.returncode, told in done.stderr) == (1, True), done.stderr
    assert "--id-column where its texts have ids" in " ".join(
        call("index", "--help").stdout.replace("│", " ").split()
    )


def test_an_index_that_is_there_is_refused_before_the_texts_are_looked_for(
    call: Run, index: Path, model_folder: Path
) -> None:
    done = call("index", model_folder, "absent.jsonl", "--out", index)
    assert done.returncode == 1
    assert f"{index} is an index already, expected a new folder; add texts to it" in done.stderr
