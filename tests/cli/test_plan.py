"""`vecsmith plan` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.running import Run
from tests.planning.laws.synthetic import sweep
from vecsmith import StaticModel, evaluate
from vecsmith.planning import Budget, Plan, find_accelerator, fit_laws, make_plan


def test_a_plan_says_what_to_do_why_and_what_it_costs(call: Run) -> None:
    done = call("plan", "--flops", "1e17")
    assert done.returncode == 0, done.stderr
    for said in (
        "LoRA, rank 128",
        "above 9.06e16",
        "no loss is predicted",
        "Time on a100-80gb",
        "assumed",
        "Refused:",
        "printed",
    ):
        assert said in done.stdout
    assert done.stderr == ""


def test_json_is_the_plan_of_the_python_api(call: Run) -> None:
    done = call("plan", "--flops", "1e17", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(json.dumps(make_plan(Budget(flops=1e17)).plain()))


def test_hours_of_a_gpu_with_memory_pairs_and_queries(call: Run, tmp_path: Path) -> None:
    out, html = tmp_path / "plan.json", tmp_path / "plan.html"
    done = call(
        "plan", "--gpu-hours", "8", "--gpu", "a100", "--memory", "40GB", "--pairs", "5e6",
        "--queries-per-month", "1e8", "--out", out, "--html", html, "--quiet",
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    plan = Plan.open(out)
    assert plan.budget.flops == pytest.approx(8 * 3600 * 312e12 * 0.2)
    assert (plan.limits.memory, plan.data.pairs) == (40e9, 5_000_000)
    assert plan.serving is not None
    assert plan.serving.queries_per_month == 1e8
    assert [row.mfu for row in plan.spending] == [0.05, 0.2, 0.4]
    page = html.read_text(encoding="utf-8")
    assert plan.chosen.model in page
    assert 'src="http' not in page


def test_money_at_a_price_is_hours(call: Run) -> None:
    done = call(
        "plan", "--money", "20", "--price-per-hour", "2.5", "--gpu", "h100", "--mfu", "0.3",
        "--carbon-intensity", "300", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    peak = find_accelerator("h100").peak_flops["bfloat16"]
    assert found["budget"]["flops"] == pytest.approx(8 * 3600 * peak * 0.3)
    (row,) = found["spending"]
    assert row["money"] == pytest.approx(20)
    assert row["co2_kg"] == pytest.approx(8 * 0.7 * 0.3)


def test_options_of_the_recipe_reach_the_plan(call: Run) -> None:
    done = call(
        "plan", "--flops", "1e16", "--batch-size", "256", "--max-length", "64", "--lr",
        "full=3e-4", "--methods", "full,lora", "--ranks", "16", "--model", "*pythia-[13]*m",
        "--min-steps", "500", "--tokens-per-pair", "40", "--precision", "float32", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert (found["batch_size"], found["max_length"], found["precision"]) == (256, 64, "float32")
    assert found["learning_rate"] == 3e-4
    assert found["data"]["tokens_per_pair"] == 40
    assert {each["model"] for each in found["ranked"]} <= {
        f"EleutherAI/pythia-{size}m" for size in (14, 31, 160)
    }
    assert {each["tuning"]["rank"] for each in found["ranked"]} == {0, 16}
    marks = {each["name"]: each["mark"] for each in found["constants"]}
    assert marks["batch_size"] == marks["learning_rate_full"] == "given"


def test_pairs_of_a_file_are_counted_and_so_are_their_tokens(call: Run, tmp_path: Path) -> None:
    """A tokenizer of whole words makes as many tokens as there are words."""
    pytest.importorskip("torch")
    words = [1 + i % 3 for i in range(300)]
    lines = [json.dumps({"anchor": "a b", "positive": "c " * n}) for n in words]
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines), encoding="utf-8")
    decoder = write_decoder(tmp_path / "decoder")
    done = call(
        "plan", "--flops", "1e12", "--pairs", "pairs.jsonl", "--batch-size", "1", "--min-steps",
        "50", "--max-epochs", "1e9", "--size-rule", "smallest", "--tokenizer", decoder, "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)["data"]
    assert data["pairs"] == 300
    assert data["tokens_per_pair"] == pytest.approx(2 + np.mean(words))
    lengths = np.array([2] * 300 + words)
    assert data["length"] == pytest.approx((lengths**2).sum() / lengths.sum())


def write_decoder(folder: Path) -> Path:
    """The files of a decoder that a tokenizer is read from."""
    folder.mkdir()
    model = {
        "type": "WordLevel",
        "vocab": {"[UNK]": 0, "a": 1, "b": 2, "c": 3},
        "unk_token": "[UNK]",
    }
    tokenizer: dict[str, Any] = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
        "normalizer": None, "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None,
        "decoder": None, "model": model,
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    (folder / "config.json").write_text('{"model_type": "gpt_neox"}', encoding="utf-8")
    (folder / "model.safetensors").write_bytes(b"\x02\x00\x00\x00\x00\x00\x00\x00{}")
    return folder


def test_a_static_model_stands_beside_the_plan_with_its_score_or_without(
    call: Run, tmp_path: Path, model_folder: Path, model: StaticModel
) -> None:
    folder = tmp_path / "tasks" / "pairs"
    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    words = "hello world the a cat dog sat on mat play".split()
    lines = ["sentence1,sentence2,score"]
    for _ in range(100):
        a, b = draw.choice(words, 3), draw.choice(words, 3)
        lines.append(f"{' '.join(a)},{' '.join(b)},{len(set(a) & set(b))}")
    (folder / "data.csv").write_text("\n".join(lines) + "\n")
    found = [
        evaluate(model, folder.parent, measure_speed=False, out=tmp_path / name, dims=[dim])
        for name, dim in (("own", 16), ("tuned", 2))
    ]
    use = ("--flops", "1e17", "--queries-per-month", "1e6", "--static", model_folder, "--json")
    alone = call("plan", *use)
    assert alone.returncode == 0, alone.stderr
    (static,) = json.loads(alone.stdout)["statics"]
    assert (static["verdict"], static["dim"], static["score"]) == ("not comparable", 16, None)
    assert static["serving"]["query_flops"] == 14 * 16
    assert "not comparable" in " ".join(json.loads(alone.stdout)["explanation"])
    beside = call(
        "plan", *use, "--static-eval", tmp_path / "own", "--tuned-eval", tmp_path / "tuned"
    )
    assert beside.returncode == 0, beside.stderr
    (static,) = json.loads(beside.stdout)["statics"]
    scores = [next(iter(each.tasks.values())).score(None) for each in found]
    assert [static["score"], static["tuned_score"]] == pytest.approx(scores)
    assert static["low"] <= scores[0] - scores[1] <= static["high"]
    assert static["verdict"] in ("better", "worse", "no difference shown")
    assert static["n_items"] == 100


def test_laws_decide_where_they_are_given(call: Run, tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    fit_laws(sweep(budgets=(1.5e15, 2.4e16, 3.8e17)), "hoffmann", n_bootstrap=20).save(
        tmp_path / "laws.json"
    )
    done = call(
        "plan", "--flops", "1e17", "--laws", tmp_path / "laws.json", "--model", "*pythia*",
        "--pairs", "1e9", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    loss = found["predicted_loss"]
    assert loss["low"] < loss["loss"] < loss["high"]
    assert found["evidence"].startswith("laws (hoffmann)")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "no budget, expected one of"),
        (("--flops", "1e17", "--gpu-hours", "8"), "--flops and --gpu-hours"),
        (("--gpu-hours", "8"), "without --gpu"),
        (("--money", "8", "--gpu", "a100"), "without --price-per-hour"),
        (("--flops", "1e17", "--mfu", "20"), "--mfu 20"),
        (("--flops", "1e17", "--mfu", "0.2", "--calibrate"), "--mfu and --calibrate"),
        (("--flops", "1e17", "--memory", "much"), "says no memory"),
        (("--flops", "1e17", "--memory", "40"), "40 bytes, expected those of a GPU"),
        (("--flops", "1e17", "--lr", "lora"), "expected NAME=VALUE"),
        (("--flops", "1e17", "--lr", "lora=-1"), "a rate above 0"),
        (("--flops", "1e17", "--lr", "foo=1"), "expected one of full, freeze, bias, lora"),
        (("--flops", "1e17", "--ranks", "a"), "expected a whole number"),
        (("--flops", "1e17", "--model", "nobody/*"), "none of"),
        (("--flops", "1e17", "--gpus", "0"), "--gpus 0"),
        (("--flops", "1e17", "--pairs", "5e6", "--tokenizer", "m"), "--tokenizer without"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_refused(
    call: Run, options: tuple[str, ...], said: str
) -> None:
    done = call("plan", *options)
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--flops", "1e12"), "fits a budget of 1e12 FLOP"),
        (("--flops", "-1"), "flops is -1"),
        (("--flops", "1e17", "--gpu", "abacus"), "accelerator 'abacus'"),
        (("--flops", "1e17", "--methods", "magic"), "method 'magic'"),
        (("--flops", "1e17", "--laws", "nowhere.json"), "nowhere.json"),
        (("--flops", "1e17", "--catalogue", "nowhere.toml"), "nowhere.toml"),
    ],
)
def test_work_that_cannot_be_done_ends_in_one_line(
    call: Run, options: tuple[str, ...], said: str
) -> None:
    done = call("plan", *options)
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
