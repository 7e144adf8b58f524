"""A broken folder is a FormatError, or still a model; never anything else."""

from __future__ import annotations

import json
import random
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.formats.builders import checkpoint_of, unigram, word_piece
from vecsmith import StaticModel
from vecsmith.errors import FormatError
from vecsmith.formats import open_checkpoint, write_checkpoint

FILES = (
    "config.json",
    "config_sentence_transformers.json",
    "model.safetensors",
    "modules.json",
    "README.md",
    "tokenizer.json",
)
WRONG: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 0.5, 1e308, -(2**70), 2**31, 2**64, "", "x", "\x00", "../x"),
    *([], {}, [[]], [None], {"a": 1}, [{"a": {}}], ["x"] * 50, "9" * 5000),
)


@pytest.fixture(params=["wordpiece", "unigram", "sentence-transformers"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    root = unigram() if request.param == "unigram" else word_piece()
    prompts = {"query": "a "}
    checkpoint = checkpoint_of(
        root, dtype="int8", weights=True, mapping=True, prompts=prompts, max_length=9
    )
    write_checkpoint(tmp_path / "m", checkpoint)
    if request.param == "sentence-transformers":
        (tmp_path / "m" / "config.json").unlink()
    return tmp_path / "m"


def still_fine_or_refused(folder: Path) -> bool:
    """Whether the folder is refused; anything but a FormatError gets out."""
    try:
        checkpoint = open_checkpoint(folder)
    except FormatError as error:
        message = str(error)
    else:
        # what is accepted must also be usable, unless the package tokenizers has to and refuses it
        with suppress(FormatError):
            StaticModel(checkpoint).encode(["hello world", "zebra", ""])
        return False
    assert str(folder) in message
    assert "\n" not in message
    assert len(message) < 1000
    return True


def is_read(folder: Path, name: str) -> bool:
    """Whether the file is there and says something in this layout."""
    alone = not (folder / "config.json").exists()
    return (folder / name).exists() and (alone or name != "modules.json")


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_anywhere_is_refused_or_whole_enough(folder: Path, name: str) -> None:
    path = folder / name
    if not is_read(folder, name):
        pytest.skip("not read in this layout")
    whole = path.read_bytes()
    cuts = {0, 1, len(whole) - 1, *range(0, len(whole), max(1, len(whole) // 60))}
    refused = []
    for cut in sorted(cuts):
        path.write_bytes(whole[:cut])
        refused.append(still_fine_or_refused(folder))
    if name == "README.md":
        assert not any(refused)
    else:
        assert all(refused[:-1])  # only a last end of line may be missed


@pytest.mark.parametrize("name", FILES)
def test_flipped_bits_are_refused_or_harmless(folder: Path, name: str) -> None:
    path = folder / name
    if not is_read(folder, name):
        pytest.skip("not read in this layout")
    whole = path.read_bytes()
    generator = random.Random(1)
    for _ in range(150):
        broken = bytearray(whole)
        for _ in range(generator.randint(1, 4)):
            broken[generator.randrange(len(broken))] ^= 1 << generator.randrange(8)
        path.write_bytes(broken)
        still_fine_or_refused(folder)


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".json")])
def test_values_of_any_type_in_any_place_are_refused_or_harmless(folder: Path, name: str) -> None:
    path = folder / name
    if not is_read(folder, name):
        pytest.skip("not read in this layout")
    whole = json.loads(path.read_text(encoding="utf-8"))
    generator = random.Random(2)
    n_refused = 0
    for place in places(whole):
        for wrong in generator.sample(WRONG, 4):
            path.write_text(json.dumps(replaced(whole, place, wrong)), encoding="utf-8")
            n_refused += still_fine_or_refused(folder)
        path.write_text(json.dumps(replaced(whole, place, DROPPED)), encoding="utf-8")
        n_refused += still_fine_or_refused(folder)
    assert n_refused > 0


def test_values_of_any_type_in_the_header_of_the_tensors(folder: Path) -> None:
    path = folder / "model.safetensors"
    data = path.read_bytes()
    n_header = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + n_header])
    for place in places(header):
        for wrong in (*WRONG, DROPPED):
            text = json.dumps(replaced(header, place, wrong)).encode()
            path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + n_header :])
            still_fine_or_refused(folder)


def test_no_claim_makes_a_huge_allocation(folder: Path) -> None:
    path = folder / "model.safetensors"
    data = path.read_bytes()
    n_header = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + n_header])
    header["embeddings"]["shape"] = [2**40, 2**20]
    text = json.dumps(header).encode()
    claims = [
        len(text).to_bytes(8, "little") + text + data[8 + n_header :],
        (2**62).to_bytes(8, "little") + data[8:],
        (99_000_000).to_bytes(8, "little") + data[8:],
    ]
    tracemalloc.start()
    try:
        for claim in claims:
            path.write_bytes(claim)
            assert still_fine_or_refused(folder)
        path.write_bytes(data)
        tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        if isinstance(tokenizer["model"]["vocab"], dict):
            tokenizer["model"]["vocab"]["hello"] = 2**31 - 1
            (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
            assert still_fine_or_refused(folder)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 2**20


DROPPED = object()


def places(value: Any, prefix: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to values inside `value`; of long lists and objects only some."""
    yield prefix
    items: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    for key, inner in items if len(items) <= 20 else items[:: len(items) // 5]:
        yield from places(inner, (*prefix, key))


def replaced(value: Any, place: tuple[Any, ...], wrong: Any) -> Any:
    """A copy of `value` with `wrong` at `place`, or with nothing there."""
    if not place:
        return None if wrong is DROPPED else wrong
    copy = dict(value) if isinstance(value, dict) else list(value)
    if len(place) == 1 and wrong is DROPPED:
        del copy[place[0]]
    else:
        copy[place[0]] = replaced(value[place[0]], place[1:], wrong)
    return copy
