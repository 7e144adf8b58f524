"""Who encodes, in how many threads and batches, changes nothing in the result."""

from __future__ import annotations

import multiprocessing
import os
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection

import numpy as np
import pytest

from tests.parity import hostile_text as hostile
from tests.parity.vectors import VectorCase, case_checkpoint
from vecsmith.model import StaticModel


@pytest.fixture(scope="module")
def model() -> StaticModel:
    return StaticModel(case_checkpoint(VectorCase(dim=100)))


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return hostile.generated_texts(seed=9, count=1500)


def test_eight_threads_with_different_limits_get_what_one_gets(
    model: StaticModel, texts: list[str]
) -> None:
    limits = [None, 1, 2, 3, 5, 8, 64, 512]
    alone = [model.encode(texts, max_length=limit, n_threads=1) for limit in limits]

    def encode_often(index: int) -> int:
        wrong = 0
        for turn in range(6):
            n_threads = (1, 2, None)[turn % 3]
            found = model.encode(texts, max_length=limits[index], n_threads=n_threads)
            wrong += not np.array_equal(found, alone[index])
        return wrong

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(encode_often, range(8))) == [0] * 8


def test_eight_threads_may_tokenize_and_encode_single_texts_at_once(
    model: StaticModel, texts: list[str]
) -> None:
    some = texts[:200]
    ids, vectors = model.tokenize(some), model.encode(some)

    def one_by_one(_: int) -> bool:
        return all(
            model.tokenize([text]) == [wanted] and np.array_equal(model.encode(text), vector)
            for text, wanted, vector in zip(some, ids, vectors, strict=True)
        )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one_by_one, range(8)))


@pytest.mark.parametrize("batch_size", [1, 2, 7, 255, 256, 257, 1024, 10**9])
@pytest.mark.parametrize("n_threads", [1, 2, 3, 16])
def test_batches_and_threads_change_nothing(
    model: StaticModel, texts: list[str], batch_size: int, n_threads: int
) -> None:
    found = model.encode(texts, batch_size=batch_size, n_threads=n_threads)
    np.testing.assert_array_equal(found, model.encode(texts, n_threads=1))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_encodes_after_its_parent_did(model: StaticModel, texts: list[str]) -> None:
    expected = model.encode(texts)  # starts whatever threads the parent will have
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_send_vectors, args=(model, texts, theirs))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork with threads is the point here
        child.start()
    theirs.close()
    try:
        assert ours.poll(300), "the child hangs"
        np.testing.assert_array_equal(ours.recv(), expected)
    finally:
        child.kill()
        child.join()


def _send_vectors(model: StaticModel, texts: list[str], pipe: Connection) -> None:
    pipe.send(model.encode(texts))
    sys.stdout.flush()


def test_other_python_threads_run_while_the_engine_encodes(model: StaticModel) -> None:
    long = ["some words to encode " * 200_000] * 4
    with ThreadPoolExecutor(1) as pool:
        encoding = pool.submit(model.encode, long, n_threads=1)
        turns = 0
        while not encoding.done():
            turns += 1
        assert encoding.result().shape == (4, 100)
    assert turns > 1000
