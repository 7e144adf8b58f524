from __future__ import annotations

import json
import math
from dataclasses import fields

import pytest

pytest.importorskip("torch", reason="torch is not installed (extra train)")

from vecsmith.training import PRESETS, TrainSettings
from vecsmith.training.presets import find_preset
from vecsmith.training.schedule import Schedule


def test_the_published_recipe_has_the_trainers_own_values_where_it_names_none() -> None:
    transformers = pytest.importorskip("transformers")
    values = {field.name: field.default for field in fields(transformers.TrainingArguments)}
    recipe = PRESETS["static-retrieval-mrl"]
    assert recipe.betas == (values["adam_beta1"], values["adam_beta2"])
    assert recipe.eps == values["adam_epsilon"]
    assert recipe.weight_decay == values["weight_decay"]
    assert recipe.clip_norm == values["max_grad_norm"]
    assert recipe.schedule == str(getattr(values["lr_scheduler_type"], "value", "linear"))


def test_the_published_recipe_is_what_its_script_says() -> None:
    recipe = PRESETS["static-retrieval-mrl"]
    assert (recipe.dim, recipe.dims) == (1024, (1024, 512, 256, 128, 64, 32))
    assert (recipe.batch_size, recipe.epochs, recipe.lr, recipe.warmup) == (2048, 1, 0.2, 0.1)
    assert (1 / recipe.temperature, recipe.directions) == (20, "one_way")  # of the loss's own scale
    assert (recipe.start, recipe.start_scale, recipe.precision) == ("random", 1.0, "bfloat16")
    assert (recipe.normalize, recipe.unknown, recipe.sampling) == (False, "keep", "proportional")


def test_what_a_run_starts_from_chooses_ours() -> None:
    assert find_preset(None, has_model=True) is PRESETS["from-model"]
    assert find_preset(None, has_model=False) is PRESETS["from-nothing"]
    own = TrainSettings(lr=1.0)
    assert find_preset(own, has_model=True) is own
    assert find_preset("static-retrieval-mrl", has_model=True).dim == 1024


def test_none_leaves_a_setting_as_it_is_and_others_are_taken() -> None:
    before = PRESETS["static-retrieval-mrl"]
    after = before.with_given({"lr": 0.1, "dims": [64, 32], "clip_norm": 0, "ema": None})
    assert (after.lr, after.dims, after.clip_norm) == (0.1, (64, 32), 0)
    assert after.with_given({"lr": 0.2, "dims": before.dims, "clip_norm": 1.0}) == before
    with pytest.raises(TypeError, match="no setting is called 'rate'"):
        before.with_given({"rate": 1})


@pytest.mark.parametrize("preset", PRESETS)
def test_settings_are_json_and_come_back(preset: str) -> None:
    settings = PRESETS[preset]
    plain = json.loads(json.dumps(settings.plain()))
    assert TrainSettings().with_given(plain) == settings


def test_the_schedule_is_that_of_transformers_but_for_its_first_step() -> None:
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    n_steps, n_warmup = 40, 8
    schedule = Schedule(peak=0.2, n_steps=n_steps, n_warmup=n_warmup, decay="linear")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
    theirs = transformers.get_linear_schedule_with_warmup(optimizer, n_warmup, n_steps)
    for step in range(n_steps):
        # theirs begins with a step at rate 0: ours is one ahead while the rate rises
        expected = theirs.get_last_lr()[0]
        ours = schedule.rate(step - 1 if 0 < step <= n_warmup else step)
        assert step == 0 or math.isclose(ours, expected)
        optimizer.step()
        theirs.step()
