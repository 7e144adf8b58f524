"""All calls of a process together use no more threads than there are cores."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from vecsmith import StaticModel
from vecsmith._encoding import threads
from vecsmith._encoding.threads import granted_threads
from vecsmith.formats import Checkpoint


@pytest.fixture(autouse=True)
def _four_cores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(threads, "default_threads", lambda: 4)
    assert threads._n_busy == 0
    yield
    assert threads._n_busy == 0


def test_a_call_gets_the_cores_that_are_not_busy_and_one_at_least() -> None:
    with granted_threads(None) as first:
        with granted_threads(None) as second, granted_threads(None) as third:
            assert (first, second, third) == (4, 1, 1)
        with granted_threads(None) as later:
            assert later == 1
    with granted_threads(3), granted_threads(None) as rest:
        assert rest == 1
    with granted_threads(1), granted_threads(None) as rest:
        assert rest == 3


def test_a_number_that_is_asked_for_is_given() -> None:
    with granted_threads(7) as first, granted_threads(2) as second:
        assert (first, second) == (7, 2)
        with granted_threads(None) as third:
            assert third == 1


def test_threads_come_back_when_a_call_fails(tiny_checkpoint: Checkpoint) -> None:
    with pytest.raises(TypeError, match="text 1"):
        StaticModel(tiny_checkpoint).encode(["a", None])  # type: ignore[list-item]
    with pytest.raises(KeyError), granted_threads(None):
        raise KeyError
    with granted_threads(None) as n:
        assert n == 4


def test_calls_at_once_use_as_many_threads_as_cores_and_give_the_same_bits(
    tiny_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = StaticModel(tiny_checkpoint)
    texts = ["the cat sat on the mat and played"] * 6000
    expected = model.encode(texts, n_threads=1)
    most: list[int] = []
    monkeypatch.setattr(model._encoder, "_write", _watching(model._encoder._write, most))
    results = [np.empty_like(expected) for _ in range(6)]
    callers = [
        threading.Thread(target=model.encode, args=(texts,), kwargs={"out": out}) for out in results
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    for out in results:
        np.testing.assert_array_equal(out, expected)
    assert max(most) <= 4 + len(callers) - 1


def _watching(write: Callable[..., object], most: list[int]) -> Callable[..., object]:
    def watched(*args: object) -> object:
        most.append(threads._n_busy)
        return write(*args)

    return watched


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of forking beside threads
def test_a_child_that_is_forked_in_the_middle_of_calls_has_all_cores_and_right_vectors(
    tiny_checkpoint: Checkpoint,
) -> None:
    model = StaticModel(tiny_checkpoint)
    texts = ["the cat sat", "on the mat"] * 3000
    expected = model.encode(texts, n_threads=1)
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            model.encode(texts)

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    try:
        for _ in range(5):
            child = os.fork()
            if child == 0:
                with granted_threads(None) as n:
                    is_free = n == 4
                os._exit(0 if is_free and np.array_equal(model.encode(texts), expected) else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        stop.set()
        for worker in workers:
            worker.join()
