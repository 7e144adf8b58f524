from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from vecsmith.errors import FormatError
from vecsmith.planning.accounting.flops import cost_per_token
from vecsmith.planning.catalogue.models import load_catalogue
from vecsmith.planning.cells import (
    Cell,
    RecipeSettings,
    bytes_of,
    frozen_of_fraction,
)
from vecsmith.planning.choosing.presets import load_preset
from vecsmith.planning.grid import Grid, filtered
from vecsmith.planning.inputs import Limits, Settings
from vecsmith.planning.outline import outline, workload
from vecsmith.results.tuning import Tuning

GRID: dict[str, Any] = {
    "grid": {"name": "two", "models": ["small", "large"], "budgets": [1e10, 4e10], "seeds": [0]},
    "methods": {"full": True, "bias": True, "freeze": ["1/3", "2/3"], "lora": [8, 32]},
    "learning_rates": {"full": 1e-3, "freeze": 1e-3, "bias": 1e-2, "lora": 2e-3},
}
LAYERS = {"small": 6, "large": 24}


def changed(**tables: Any) -> dict[str, Any]:
    return {**GRID, **tables}


def test_a_grid_is_every_model_with_every_method_on_every_budget() -> None:
    cells = Grid.from_plain(GRID).cells(LAYERS)
    assert len(cells) == len(set(cells)) == 2 * 2 * 6
    assert {str(cell.tuning) for cell in cells if cell.model == "small"} == {
        "full", "bias", "freeze 2", "freeze 4", "lora 8", "lora 32",
    }  # fmt: skip
    assert {str(cell.tuning) for cell in cells if cell.model == "large"} >= {
        "freeze 8",
        "freeze 16",
    }


def test_shares_may_be_left_out_where_they_are_no_whole_number_of_blocks() -> None:
    methods = {"freeze": ["0", "1/6", "2/4", "1/8", "7/8"], "freeze_whole": True}
    cells = Grid.from_plain(changed(methods=methods)).cells(LAYERS)
    frozen = {
        name: sorted({cell.tuning.frozen_blocks for cell in cells if cell.model == name})
        for name in LAYERS
    }
    assert frozen == {"small": [0, 1], "large": [0, 3, 4, 12, 21]}


def test_the_grid_of_the_paper_has_its_models_budgets_ranks_and_shares() -> None:
    path = Path(__file__).parents[2] / "recipes" / "ziarko2024-grid.toml"
    entries = {entry.name: entry for entry in load_catalogue()}
    grid = Grid.open(path)
    shapes = {model.name: entries[model.name].shape for model in grid.models}
    cells = grid.cells({name: shape.n_layers for name, shape in shapes.items()})
    assert len({cell.flops for cell in cells}) == 6
    assert sum({cell.flops for cell in cells}) == pytest.approx(2.0075e18, rel=1e-3)
    assert {cell.tuning.rank for cell in cells if cell.tuning.rank} == {8, 32, 128, 512, 2048}
    assert {cell.tuning.alpha for cell in cells if cell.tuning.rank} == {8.0}
    frozen: dict[str, set[int]] = {}
    for cell in cells:
        if cell.tuning.method == "freeze":
            frozen.setdefault(cell.model.removeprefix("EleutherAI/pythia-"), set()).add(
                cell.tuning.frozen_blocks
            )
        if cell.tuning.method in ("full", "freeze"):  # a tenth of the peak of pre-training
            peak = entries[cell.model].peak_lr
            assert peak is not None
            assert cell.lr == pytest.approx(peak / 10)
    settings = Settings.of_preset(load_preset(), precision="float32")
    assert settings.differing(grid.settings.plain()) == []
    assert frozen["14m"] == set(range(6))
    assert frozen["160m"] == {0, 2, 4, 6, 8, 10}
    assert frozen["1b"] == {0, 2, 4, 6, 8, 10, 12, 14}
    assert frozen["1.4b"] == {*range(0, 24, 4), *range(0, 24, 3)}
    assert frozen["2.8b"] == set(range(0, 32, 4))


def test_the_grid_of_the_paper_has_the_steps_of_its_table() -> None:
    path = Path(__file__).parents[2] / "recipes" / "ziarko2024-grid.toml"
    shapes = {entry.name: entry.shape for entry in load_catalogue()}
    grid = Grid.open(path)
    found = {}
    for cell in grid.cells({name: shape.n_layers for name, shape in shapes.items()}):
        if cell.tuning.method == "full":
            cost = cost_per_token(shapes[cell.model], cell.tuning)
            load = workload(
                cell, cost_per_token=cost, batch_size=grid.settings.batch_size,
                n_pairs=200_000_000, tokens_per_pair=78.0,
            )  # fmt: skip
            found[cell.model.removeprefix("EleutherAI/pythia-"), cell.flops] = load
    for (size, flops), steps in {
        ("14m", 1.5e15): 2631, ("31m", 1.5e15): 660, ("70m", 6e15): 662, ("160m", 2.4e16): 589,
        ("410m", 1.5e15): 10, ("1b", 9.6e16): 249, ("1.4b", 3.8e17): 656, ("2.8b", 9.6e16): 80,
    }.items():  # fmt: skip
        assert abs(found[size, flops].steps - steps) <= 1
    # below one epoch is ruled out for the two smallest at the largest budgets
    too_long = {key for key, load in found.items() if load.epochs > 1}
    assert too_long == {("14m", 3.8e17), ("14m", 1.5e18), ("31m", 1.5e18)}


def test_small_budgets_come_first() -> None:
    flops = [cell.flops for cell in Grid.from_plain(GRID).cells(LAYERS)]
    assert flops == sorted(flops)


def test_shares_that_freeze_equally_many_blocks_are_one_cell() -> None:
    grid = Grid.from_plain(changed(methods={"freeze": ["1/3", "1/2", "2/3", 1]}))
    assert len(grid.cells({"small": 2, "large": 2})) == 2 * 2


@pytest.mark.parametrize(("share", "n_layers", "blocks"), [
    (Fraction(1, 3), 6, 2),
    (Fraction(1, 3), 4, 1),
    (Fraction(2, 3), 4, 3),
    (Fraction(1, 2), 3, 2),
    (Fraction(5, 6), 24, 20),
    (Fraction(7, 8), 16, 14),
    (Fraction(0), 6, 0),
    (Fraction(2, 3), 1, 0),
])  # fmt: skip
def test_a_share_of_the_blocks_is_the_nearest_number_that_leaves_one(
    share: Fraction, n_layers: int, blocks: int
) -> None:
    assert frozen_of_fraction(share, n_layers) == blocks


def test_a_rate_of_the_method_goes_before_one_of_the_model() -> None:
    rates = {"small": 1e-4, "large": 3e-5, "lora": 1e-3, "bias": {"small": 5e-3, "large": 6e-3}}
    cells = Grid.from_plain(changed(learning_rates=rates)).cells(LAYERS)
    found = {(cell.model, cell.tuning.method): cell.lr for cell in cells}
    assert found["small", "full"] == found["small", "freeze"] == 1e-4
    assert found["large", "full"] == 3e-5
    assert found["small", "lora"] == found["large", "lora"] == 1e-3
    assert (found["small", "bias"], found["large", "bias"]) == (5e-3, 6e-3)


def test_several_rates_are_a_cell_each() -> None:
    rates = {**GRID["learning_rates"], "lora": [1e-4, 1e-3, 1e-2]}
    cells = Grid.from_plain(changed(learning_rates=rates)).cells(LAYERS)
    assert len(cells) == 2 * 2 * (4 + 2 * 3)


def test_single_cells_stand_beside_the_grid() -> None:
    single = {"model": "large", "method": "freeze", "frozen": "1/2", "flops": 1e10, "seeds": [1, 2]}
    cells = Grid.from_plain(changed(cells=[single])).cells(LAYERS)
    assert len(cells) == 24 + 2
    assert {cell.seed for cell in cells if cell.tuning.frozen_blocks == 12} == {1, 2}


def test_a_rate_that_nobody_gave_is_asked_for() -> None:
    with pytest.raises(ValueError, match=r"no learning rate for method 'bias' of 'small'"):
        Grid.from_plain(changed(learning_rates={"full": 1e-3})).cells(LAYERS)


def test_filters_of_one_name_add_up_and_of_two_names_cut_down() -> None:
    cells = Grid.from_plain(GRID).cells(LAYERS)
    assert len(filtered(cells, ["method=lora", "method=bias"])) == 2 * 2 * 3
    assert len(filtered(cells, ["method=lora", "flops=1e10"])) == 2 * 2
    assert len(filtered(cells, ["tuning=lora 8", "model=small", "seed=0"])) == 2
    with pytest.raises(ValueError, match="expected model="):
        filtered(cells, ["lora"])
    with pytest.raises(ValueError, match="expected a number"):
        filtered(cells, ["flops=much"])


@pytest.mark.parametrize(("tables", "words"), [
    ({"grids": {}}, "field 'grids' is unknown"),
    ({"settings": {"batchsize": 64}}, "field 'batchsize' is unknown"),
    ({"settings": {"batch_size": "64"}}, "batch_size is '64'"),
    ({"settings": {"pooling": "sum"}}, "pooling 'sum'"),
    ({"settings": {"held_out_pairs": 100}}, "held_out_pairs 100 and batches of 1024"),
    ({"limits": {"steps": 5}}, "field 'steps' is unknown"),
    ({"limits": {"memory": "much"}}, "says no memory"),
    ({"methods": {"lora": [0]}}, "rank 0"),
    ({"methods": {"lora": 8}}, "expected an array"),
    ({"methods": {"freeze": ["1/0"]}}, "expected a share"),
    ({"methods": {"freeze": ["3/2"]}}, "expected a share"),
    ({"methods": {"freeze": ["1e-20000000"]}}, "expected a share"),  # takes Fraction a minute
    ({"methods": {"freeze": [10**400]}}, "freeze is 1000.*expected a whole number of 64 bits"),
    ({"learning_rates": {"full": 10**400}}, "full is 1000.*expected a whole number of 64 bits"),
    ({"limits": {"min_steps": 10**400}}, "min_steps is 1000.*of 64 bits"),
    ({"methods": {"prefix": True}}, "field 'prefix' is unknown"),
    ({"methods": {}}, "no cells"),
    ({"learning_rates": {"full": "fast"}}, "expected a rate"),
    ({"learning_rates": {"full": -1.0}}, "expected a number above 0"),
    ({"learning_rates": {"medium": 1e-3}}, "field 'medium' is unknown"),
    ({"grid": {**GRID["grid"], "budgets": [0]}}, "expected a number above 0"),
    ({"grid": {**GRID["grid"], "seeds": [-1]}}, "expected whole numbers"),
    ({"grid": {**GRID["grid"], "seeds": list(range(10**5))}}, "expected at most 1,000,000"),
    ({"grid": {**GRID["grid"], "models": ["a", "a"]}}, "two models are called 'a'"),
    ({"cells": [{"model": "medium", "method": "full", "flops": 1e9}]}, "model is 'medium'"),
    ({"cells": [{"model": "small", "method": "full", "flops": 1e9, "rank": 8}]}, "rank with"),
    ({"cells": [{"model": "small", "method": "freeze", "flops": 1e9}]}, "expected frozen"),
])  # fmt: skip
def test_a_grid_that_makes_no_sense_is_refused(tables: dict[str, Any], words: str) -> None:
    with pytest.raises(FormatError, match=words):
        Grid.from_plain(changed(**tables))


def test_a_file_that_is_no_toml_is_refused_by_name_and_place(tmp_path: Path) -> None:
    path = tmp_path / "grid.toml"
    path.write_text("[grid\n")
    with pytest.raises(FormatError, match=r"grid.toml: .*line 1"):
        Grid.open(path)


def test_a_number_of_thousands_of_digits_is_refused_however_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "grid.toml"
    for number in ("0x" + "f" * 8000, "9" * 8000, "0b" + "1" * 65):
        path.write_text(f'[grid]\nname = "g"\nmodels = ["small"]\nbudgets = [{number}]\n')
        with pytest.raises(FormatError, match=r"grid\.toml: .*(64 bits|plain TOML)"):
            Grid.open(path)


def test_a_folder_beside_the_grid_is_taken_for_the_model_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "models" / "tiny").mkdir(parents=True)
    path = tmp_path / "grid.toml"
    path.write_text(
        '[grid]\nname = "g"\nmodels = ["models/tiny", "owner/large"]\nbudgets = [1e9]\n'
        "[methods]\nfull = true\n[learning_rates]\nfull = 1e-3\n"
        '[settings]\nbatch_size = 8\nheld_out_pairs = 16\n[limits]\nmemory = "4 GiB"\n'
    )
    grid = Grid.open(path)
    assert [model.name for model in grid.models] == ["tiny", "owner/large"]
    assert grid.models[0].reference == str((tmp_path / "models" / "tiny").resolve())
    assert grid.models[1].reference == "owner/large"
    assert grid.limits.memory == 4 * 2**30
    assert grid.settings == RecipeSettings(batch_size=8, held_out_pairs=16)


def test_steps_are_those_of_the_table_for_pythia_14m_at_the_smallest_budget() -> None:
    # 1.5e15 FLOP, 6 N with N = 1,189,888, 78 tokens a pair, batches of 1024: 2,631 steps
    cell = Cell(model="pythia-14m", tuning=Tuning(), flops=1.5e15, seed=0, lr=1e-4)
    load = workload(
        cell, cost_per_token=6 * 1_189_888, batch_size=1024, n_pairs=200_000_000, tokens_per_pair=78
    )
    assert load.steps == 2630  # the table rounds 2630.5 up; the half step is not run
    assert load.refusal(Limits(), warmup=0.1) == ""


def test_cells_too_short_or_too_long_say_so() -> None:
    cell = Cell(model="m", tuning=Tuning(), flops=1e9, seed=0, lr=1e-4)
    load = workload(cell, cost_per_token=1e4, batch_size=10, n_pairs=500, tokens_per_pair=100)
    assert (load.tokens, load.steps, load.epochs) == (100_000, 100, 2.0)
    assert "about 100 steps" in load.refusal(Limits(), warmup=0.1)
    assert "5.0 steps of warm-up" in load.refusal(Limits(min_steps=50), warmup=0.05)
    assert "about 2 epochs" in load.refusal(Limits(min_steps=50), warmup=0.1)
    assert load.refusal(Limits(min_steps=50, max_epochs=2), warmup=0.0) == ""


@pytest.mark.parametrize(("text", "n_bytes"), [
    ("40GB", 40e9), ("4 GiB", 2**32), ("512MiB", 2**29), ("1e9", 1e9), ("2 tb", 2e12), ("7B", 7),
])  # fmt: skip
def test_memory_is_read_in_decimal_and_in_binary_units(text: str, n_bytes: float) -> None:
    assert bytes_of(text) == n_bytes


def test_a_grid_is_outlined_without_a_file_of_its_models() -> None:
    grid = Grid.open(Path(__file__).parents[2] / "recipes" / "ziarko2024-grid.toml")
    cells = outline(grid, only=["method=full"], n_pairs=200e6, tokens_per_pair=78.0)
    assert len(cells) == 8 * 6
    assert sum("epochs" in cell.refusal for cell in cells) == 3
    smallest = next(cell for cell in cells if cell.cell.model.endswith("14m"))
    assert smallest.load is not None
    assert smallest.load.tokens == math.floor(1.5e15 / (6 * 1_189_888))


def test_cells_that_do_not_fit_into_memory_say_what_they_take() -> None:
    values = {
        "grid": {"name": "g", "models": ["EleutherAI/pythia-1.4b"], "budgets": [1.5e18]},
        "methods": {"full": True, "lora": [8]},
        "learning_rates": {"full": 1e-4, "lora": 1e-3},
        "settings": {"mini_batch": 64, "gradient_checkpointing": True},
        "limits": {"memory": "16GB"},
    }
    full, lora = outline(Grid.from_plain(values), n_pairs=200e6, tokens_per_pair=78.0)
    # 1.3e9 parameters in float32, as much again for gradients and twice that for moments: 21 GB
    assert "GB of memory, expected at most 16 GB" in full.refusal
    assert lora.refusal == ""


def test_a_model_that_nobody_knows_is_not_outlined() -> None:
    with pytest.raises(ValueError, match="'small' is no folder and not in the catalogue"):
        outline(Grid.from_plain(GRID))


def test_bias_tuning_of_a_model_without_biases_is_outlined_as_what_cannot_be() -> None:
    values = {
        "grid": {"name": "g", "models": ["HuggingFaceTB/SmolLM2-135M"], "budgets": [1e18]},
        "methods": {"bias": True},
        "learning_rates": {"bias": 1e-3},
    }
    (cell,) = outline(Grid.from_plain(values))
    assert cell.load is None
    assert "no biases" in cell.refusal
