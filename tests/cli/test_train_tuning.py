from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is not installed (extra train)")
pytest.importorskip("transformers", reason="transformers is not installed (extra distill)")

from tests.cli.running import Run, leftovers
from tests.training.toy_runs import word_pairs
from tests.training.tuning.decoders import DIM, N_LAYERS, save_decoder
from vecsmith.transformer.text_encoder import TextEncoder

ASKED = ("train", "transformer", "--base", "lm", "--pairs", "pairs.jsonl", "--out", "new")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A language model and pairs."""
    save_decoder(tmp_path / "lm", "gpt_neox")
    rows = [json.dumps({"anchor": a, "positive": b}) + "\n" for a, b in word_pairs(100)]
    (tmp_path / "pairs.jsonl").write_text("".join(rows), encoding="utf-8")
    return tmp_path


@pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="peft is not installed")
def test_a_language_model_becomes_an_embedder_by_adapters_within_a_number_of_tokens(
    call: Run, folder: Path
) -> None:
    done = call(
        *ASKED,
        *("--tuning", "lora", "--rank", "4", "--tokens", "3000", "--batch-size", "16"),
        *("--schedule", "cosine", "--final-lr", "0.1", "--pooling", "max", "--device", "cpu"),
        "--json",
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["weights"]["trained"] == 16 * 4 * DIM * N_LAYERS
    assert 2000 < facts["tokens"] <= 3000
    settings = facts["settings"]
    expected = {"method": "lora", "frozen_blocks": 0, "rank": 4, "alpha": 8.0}
    assert (settings["tuning"], settings["tokens"]) == (expected, 3000)
    assert settings["final_lr"] == 0.1
    pooling = json.loads((folder / "new" / "1_Pooling" / "config.json").read_text())
    assert [name for name, value in pooling.items() if value is True] == [
        "pooling_mode_max_tokens",
        "include_prompt",
    ]
    assert TextEncoder.from_pretrained(folder / "new").dim == DIM
    assert leftovers(folder) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--tuning", "lora"), "--tuning lora without --rank, expected one"),
        (("--rank", "8"), "--rank 8, expected it with --tuning lora"),
        (("--tuning", "full", "--rank", "8"), "--rank 8 with --tuning full, expected it"),
        (("--tuning", "freeze"), "--tuning freeze without --frozen-blocks"),
        (("--tuning", "freeze", "--frozen-blocks", "9"), "--frozen-blocks 9, expected 0 to 3"),
        (("--tuning", "lora", "--rank", "-2"), "rank is -2, expected 0 or more"),
        (("--tokens", "20"), "--tokens 20: the first step of 128 pairs takes more"),
        (("--tokens", "0"), "--tokens 0, expected 1 or more tokens"),
    ],
)
def test_mistakes_are_told_in_the_words_of_the_command(
    call: Run, folder: Path, options: tuple[str, ...], message: str
) -> None:
    done = call(*ASKED, "--device", "cpu", *options)
    assert done.returncode != 0
    assert message in " ".join(done.stderr.split())
    assert not (folder / "new").exists()


def test_a_model_without_biases_says_what_else_there_is(call: Run, folder: Path) -> None:
    save_decoder(folder / "llama", "llama")
    done = call(*ASKED, "--base", "llama", "--tuning", "bias", "--device", "cpu")
    assert done.returncode != 0
    assert "--tuning bias: none of the 29 weights of this LlamaModel is a bias" in done.stderr
    assert "or --tuning full, freeze or lora" in done.stderr
