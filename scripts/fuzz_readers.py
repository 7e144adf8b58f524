"""Broken model files, guided by coverage: each is refused with a FormatError, or can be used.

    python scripts/fuzz_readers.py TARGET [options of libFuzzer, such as -max_total_time=20]

TARGET is "tokenizer" (tokenizer.json, and the engine built of what it says), "tensors" (the header
and bytes of model.safetensors) or "config" (config.json and its siblings). Needs the package
`atheris`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

try:
    import atheris
except ImportError:
    sys.exit("fuzz_readers: the package atheris is not installed, expected it: pip install atheris")

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

with atheris.instrument_imports(include=["vecsmith"]):
    from tests.formats.builders import checkpoint_of, unigram, word_piece
    from tests.formats.test_bad_files import DROPPED, WRONG, places, replaced
    from tests.parity.random_tokenizers import random_tokenizer
    from vecsmith import StaticModel
    from vecsmith.errors import FormatError
    from vecsmith.formats import open_checkpoint, write_checkpoint
    from vecsmith.tokenizer import Tokenizer

TEXTS = ["hello world", "x\u0301 字\x00 ▁a1.", "", " "]
JSON_FILES = ("config.json", "config_sentence_transformers.json", "modules.json")


def fuzz_tokenizer(content: bytes) -> None:
    """Raises where a broken tokenizer.json is neither refused nor usable."""
    given = atheris.FuzzedDataProvider(content)
    root = _injured(json.loads(given.PickValueInList(_SEEDS)), given)
    text = json.dumps(root, ensure_ascii=given.ConsumeBool())
    text = _overwritten(text.encode(), given).decode("utf-8", "replace")
    try:
        tokenizer = Tokenizer(text)
        tokenizer.encode_batch(TEXTS, n_threads=1)
        tokenizer.normalize(TEXTS[1])
    except FormatError:
        return


def fuzz_tensors(content: bytes) -> None:
    """Raises where a broken model.safetensors is neither refused nor usable."""
    given = atheris.FuzzedDataProvider(content)
    whole = _FILES["model.safetensors"]
    n_header = int.from_bytes(whole[:8], "little")
    header = _injured(json.loads(whole[8 : 8 + n_header]), given)
    text = json.dumps(header).encode()
    broken = len(text).to_bytes(8, "little") + text + whole[8 + n_header :]
    _open("model.safetensors", _overwritten(broken, given))


def fuzz_config(content: bytes) -> None:
    """Raises where a broken JSON file is neither refused nor usable."""
    given = atheris.FuzzedDataProvider(content)
    name = given.PickValueInList([name for name in JSON_FILES if name in _FILES])
    root = _injured(json.loads(_FILES[name]), given)
    _open(name, _overwritten(json.dumps(root).encode(), given))


def _injured(root: Any, given: Any) -> Any:
    """The value with other values, or none, in up to three places."""
    for _ in range(given.ConsumeIntInRange(0, 3)):
        place = given.PickValueInList(list(places(root)))
        if place:
            root = replaced(root, place, given.PickValueInList([*WRONG, DROPPED]))
    return root


def _overwritten(whole: bytes, given: Any) -> bytes:
    """The bytes, or those with the rest of what is given put over some of them."""
    if given.ConsumeBool():
        return whole
    at = given.ConsumeIntInRange(0, len(whole))
    rest = bytes(given.ConsumeBytes(given.remaining_bytes()))
    return whole[:at] + rest + whole[at + len(rest) :]


def _open(name: str, content: bytes) -> None:
    path = _FOLDER / name
    path.write_bytes(content)
    try:
        StaticModel(open_checkpoint(_FOLDER)).encode(TEXTS)
    except FormatError:
        return
    finally:
        path.write_bytes(_FILES[name])


_SEEDS = [
    json.dumps(word_piece()),
    json.dumps(unigram()),
    *(random_tokenizer(seed) for seed in range(60)),
]
_TEMPORARY = TemporaryDirectory()
_FOLDER = Path(_TEMPORARY.name) / "model"
write_checkpoint(_FOLDER, checkpoint_of(word_piece(), weights=True, mapping=True))
_FILES = {path.name: path.read_bytes() for path in _FOLDER.iterdir()}
_TARGETS: dict[str, Callable[[bytes], None]] = {
    "config": fuzz_config,
    "tensors": fuzz_tensors,
    "tokenizer": fuzz_tokenizer,
}


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in _TARGETS:
        sys.exit(__doc__)
    target = _TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()
