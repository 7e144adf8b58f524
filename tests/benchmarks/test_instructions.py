"""Instructions are counted by what is there, and counted processes answer rightly."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tokenizers")

import json

from benchmarks._encode_models import DIM, write_folder
from benchmarks._encode_texts import Kind
from benchmarks._record import commit
from benchmarks.instructions import (
    COUNTERS,
    ROOT,
    RUNS,
    Job,
    RightAnswers,
    comparable,
    kept_cases,
    usable_counter,
)
from tests.parity.families import family_json

HARDWARE, VALGRIND = COUNTERS
WORDS = "the cat sat on a mat with the dog and played hello world".split()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    settings = json.loads(family_json("GPT-2", WORDS * 9, vocab_size=300))
    n_rows = 1 + max(
        *settings["model"]["vocab"].values(), *(token["id"] for token in settings["added_tokens"])
    )
    table = np.random.default_rng(0).standard_normal((n_rows, DIM), dtype=np.float32)
    write_folder(tmp_path / "model", settings, table)
    return tmp_path / "model"


@pytest.fixture
def job(tmp_path: Path) -> Job:
    draw = random.Random(0)
    texts = [" ".join(draw.choices(WORDS, k=draw.randint(1, 30))) for _ in range(400)]
    kind = Kind(name="words", source="drawn", warm=texts[:200], timed=texts[200:])
    return Job(tmp_path / "job", kind, 5_000, 4_000)


def run(job: Job, folder: Path, name: str) -> None:
    library, steps = RUNS[name]
    script = str(ROOT / "benchmarks" / "_counted.py")
    texts = str(job.folder / "texts.json")
    command = [sys.executable, script, library, str(folder), texts, str(job.answer(name))]
    source = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    subprocess.run([*command, *steps], check=True, env={**os.environ, "PYTHONPATH": source})


@pytest.mark.parametrize("name", ["warm", "once", "twice", "ids"])
def test_a_counted_process_answers_as_tokenizers_and_numpy_do(
    job: Job, folder: Path, name: str
) -> None:
    run(job, folder, name)
    worst, other_ids = RightAnswers(folder).check(job, name)
    assert worst < 1e-6
    assert other_ids == 0


def test_a_wrong_answer_is_found(job: Job, folder: Path) -> None:
    for name, dtype in (("once", np.float32), ("ids", np.uint32)):
        run(job, folder, name)
        wrong = np.fromfile(job.answer(name), dtype=dtype)
        wrong[7] += 1
        wrong.tofile(job.answer(name))
    right = RightAnswers(folder)
    assert right.check(job, "once")[0] > 0.5
    assert right.check(job, "ids")[1] == 1


def test_texts_that_warm_are_repeated_until_there_are_enough(job: Job) -> None:
    material = json.loads((job.folder / "texts.json").read_text(encoding="utf-8"))
    assert material["warm"] == job.warm
    assert material["warm_rounds"] * sum(len(text.encode()) for text in job.warm) >= 5_000
    assert job.n_bytes == sum(len(text.encode()) for text in job.timed) >= 4_000


def test_counts_are_read_from_what_perf_and_valgrind_report() -> None:
    report = "# started on Mon Nov 23\n\n1234567,,instructions:u,1002003,100.00,,\n"
    assert HARDWARE.read(report) == 1234567
    two_kinds = "12,,cpu_core/instructions:u/,9,100.00,,\n30,,cpu_atom/instructions:u/,9,100.00,,\n"
    assert HARDWARE.read(two_kinds) == 42
    assert HARDWARE.read("<not supported>,,instructions:u,0,100.00,,\n") is None
    assert VALGRIND.read("==7834== \n==7834== I   refs:      946,793,062\n") == 946793062
    assert VALGRIND.read("") is None


def test_processes_that_did_not_start_alike_are_told_by_their_counts() -> None:
    assert comparable({"unseen": 100, "ids": 60, "seen": 102})
    assert not comparable({"unseen": 100, "ids": -450, "seen": 90})
    assert not comparable({"unseen": 100, "ids": 60, "seen": 590})


def test_counting_some_models_anew_keeps_the_others_of_the_same_commit(tmp_path: Path) -> None:
    record = tmp_path / "instructions.json"
    assert kept_cases(record, ["a"], "valgrind") == []
    cases = [{"model": "a"}, {"model": "b"}]
    found = {"counter": "valgrind", "commit": commit(), "cases": cases}
    record.write_text(json.dumps(found), encoding="utf-8")
    assert kept_cases(record, ["a"], "valgrind") == [{"model": "b"}]
    assert kept_cases(record, None, "valgrind") == []
    assert kept_cases(record, ["a"], "hardware counters") == []
    record.write_text(json.dumps({**found, "commit": "another"}), encoding="utf-8")
    assert kept_cases(record, ["a"], "valgrind") == []


def test_twice_the_loop_takes_twice_the_instructions() -> None:
    counter = usable_counter()
    if counter is None:
        pytest.skip("no hardware counters and no valgrind")

    def counted(rounds: int) -> int:
        loop = f"i=0; while [ $i -lt {rounds} ]; do i=$((i+1)); done"
        found = counter.count(["sh", "-c", loop], dict(os.environ))
        assert found is not None
        return found

    start, once, twice = counted(1000), counted(11_000), counted(21_000)
    assert once - start > 10_000
    assert (twice - once) / (once - start) == pytest.approx(1, rel=0.02)


def test_a_command_that_fails_is_not_counted() -> None:
    counter = usable_counter()
    if counter is None:
        pytest.skip("no hardware counters and no valgrind")
    with pytest.raises(subprocess.CalledProcessError):
        counter.count(["false"], dict(os.environ))
