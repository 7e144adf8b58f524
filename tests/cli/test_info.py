from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.cli.running import Run
from vecsmith.formats import write_checkpoint
from vecsmith.formats.checkpoint import Checkpoint


def test_json_says_what_the_model_is(
    run: Run, model_folder: Path, tiny_checkpoint: Checkpoint
) -> None:
    done = run("info", model_folder, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    facts = json.loads(done.stdout)
    rows = len(tiny_checkpoint.table)
    assert facts["dim"] == 16
    assert facts["vocabulary"] == rows
    assert facts["table"]["rows"] == rows
    assert facts["table"]["dtype"] == "float32"
    assert facts["table"]["bytes"] == rows * 16 * 4
    assert (facts["normalize"], facts["unknown"], facts["max_length"]) == (True, "drop", None)
    assert facts["tokenizer"] == {
        "family": "wordpiece",
        "engine": "native",
        "fallback_reason": None,
    }


def test_people_are_told_prompts_licence_and_recipe(
    run: Run, tmp_path: Path, tiny_checkpoint: Checkpoint
) -> None:
    recipe = {"settings": {"dim": 16, "weighting": "zipf"}, "explained_variance": 0.5}
    checkpoint = replace(
        tiny_checkpoint,
        table=tiny_checkpoint.rows.astype(np.float16),
        prompts={"query": "search: "},
        max_length=64,
        card={"license": "apache-2.0", "base_model": "some/teacher"},
        config={"vecsmith": {"recipe": recipe}},
    )
    write_checkpoint(tmp_path / "model", checkpoint)
    done = run("info", "model")
    assert (done.returncode, done.stderr) == (0, "")
    for words in (
        "float16",
        "64 tokens",
        "search:",
        "apache-2.0",
        "some/teacher",
        "weighting zipf",
    ):
        assert words in done.stdout


def test_a_tokenizer_that_is_not_native_is_said_and_why(
    run: Run, tmp_path: Path, tiny_checkpoint: Checkpoint
) -> None:
    tokenizer = json.loads(tiny_checkpoint.tokenizer_json)
    tokenizer["pre_tokenizer"] = {"type": "UnicodeScripts"}
    checkpoint = replace(tiny_checkpoint, tokenizer_json=json.dumps(tokenizer))
    write_checkpoint(tmp_path / "model", checkpoint)
    facts = json.loads(run("info", "model", "--json").stdout)
    assert facts["tokenizer"]["engine"] == "tokenizers"
    assert facts["tokenizer"]["fallback_reason"]
    assert facts["tokenizer"]["fallback_reason"] in " ".join(run("info", "model").stdout.split())


def test_escape_sequences_of_a_model_never_reach_the_terminal(
    run: Run, tmp_path: Path, tiny_checkpoint: Checkpoint
) -> None:
    checkpoint = replace(tiny_checkpoint, prompts={"query": "\x1b[2J\x07 [red]x[/red] :smile:"})
    write_checkpoint(tmp_path / "model", checkpoint)
    done = run("info", "model")
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert "\x07" not in done.stdout
    assert "[red]x[/red] :smile:" in done.stdout


def test_quiet_prints_nothing(run: Run, model_folder: Path) -> None:
    done = run("info", model_folder, "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
