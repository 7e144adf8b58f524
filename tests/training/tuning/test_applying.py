from __future__ import annotations

import copy
import importlib.util
from typing import Any

import pytest

pytest.importorskip("torch", reason="torch is not installed (extra train)")
pytest.importorskip("transformers", reason="transformers is not installed (extra distill)")

import torch

from tests.training.tuning.decoders import DIM, FAMILIES, N_LAYERS, WIDE, decoder
from vecsmith.results.tuning import Tuning
from vecsmith.training.tuning import apply_tuning, count_weights, merged_adapters

needs_peft = pytest.mark.skipif(
    importlib.util.find_spec("peft") is None, reason="peft is not installed (extra train)"
)
IDS = torch.tensor([[5, 9, 40, 77, 3, 12], [8, 8, 100, 41, 6, 0]])
MASK = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0]])


def lora(rank: int = 4, alpha: float = 0.0) -> Tuning:
    return Tuning(method="lora", rank=rank, alpha=alpha)


def states_of(model: Any) -> torch.Tensor:
    states: torch.Tensor = model(input_ids=IDS, attention_mask=MASK).last_hidden_state
    return states


def trained_names(model: Any) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def with_random_adapters(model: Any) -> None:
    """As after some steps: neither factor is zero any more."""
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.3)


@pytest.mark.parametrize(
    ("tuning", "expected"),
    [
        (Tuning(), None),
        # the closed forms of Ziarko et al. 2024 for GPT-NeoX, of L blocks of width d
        (Tuning(method="freeze"), 3 * (12 * DIM**2 + 13 * DIM) + 2 * DIM),
        (Tuning(method="freeze", frozen_blocks=2), 12 * DIM**2 + 13 * DIM + 2 * DIM),
        (Tuning(method="freeze", frozen_blocks=3), 2 * DIM),
        (Tuning(method="bias"), N_LAYERS * 11 * DIM + DIM),
        pytest.param(lora(8), 16 * 8 * DIM * N_LAYERS, marks=needs_peft),
    ],
    ids=str,
)
def test_as_many_numbers_are_trained_as_the_closed_forms_for_gpt_neox_say(
    tuning: Tuning, expected: int | None
) -> None:
    model = decoder("gpt_neox")
    whole = sum(parameter.numel() for parameter in model.parameters())
    apply_tuning(model, tuning)
    found = count_weights(model)
    assert found.n_trained == (whole if expected is None else expected)
    added = found.n_trained if tuning.method == "lora" else 0
    assert found.n_trained + found.n_frozen == whole + added


@needs_peft
def test_adapters_of_grouped_queries_and_a_gate_have_the_sizes_of_the_real_layers() -> None:
    model = decoder("llama")
    apply_tuning(model, lora(4))
    # q and o: d to d; k and v: d to 2 heads of 4; gate and up: d to wide; down: wide to d
    widths = 2 * (DIM + DIM) + 2 * (DIM + DIM // 2) + 2 * (DIM + WIDE) + (WIDE + DIM)
    assert count_weights(model).n_trained == 4 * widths * N_LAYERS


@needs_peft
@pytest.mark.parametrize("family", FAMILIES)
def test_adapters_start_at_the_very_numbers_of_the_base(family: str) -> None:
    model = decoder(family)
    before = states_of(model)
    apply_tuning(model, lora())
    assert torch.equal(states_of(model), before)
    assert any(p.abs().sum() > 0 for name, p in model.named_parameters() if "lora_A" in name)


@needs_peft
@pytest.mark.parametrize("family", FAMILIES)
def test_adapters_do_what_peft_does_with_the_same_factors(family: str) -> None:
    import peft

    ours, model = decoder(family), decoder(family)
    apply_tuning(ours, lora(4, alpha=6))
    with_random_adapters(ours)
    layers = {
        name.removesuffix(".base_layer.weight")
        for name, _ in ours.named_parameters()
        if name.endswith(".base_layer.weight")
    }
    config = peft.LoraConfig(
        r=4, lora_alpha=6, target_modules=sorted(layers), fan_in_fan_out=family == "gpt2"
    )
    theirs: Any = peft.inject_adapter_in_model(config, model)
    factors = {n: p for n, p in ours.named_parameters() if "lora_" in n}
    missing = theirs.load_state_dict(factors, strict=False)
    assert not missing.unexpected_keys
    own, other = states_of(ours), states_of(theirs.eval())
    torch.testing.assert_close(own, other, rtol=1e-5, atol=1e-5)
    torch.autograd.backward([own.square().sum()])
    torch.autograd.backward([other.square().sum()])
    for name, factor in factors.items():
        expected = theirs.get_parameter(name).grad
        torch.testing.assert_close(factor.grad, expected, rtol=1e-4, atol=1e-4)


@needs_peft
@pytest.mark.parametrize("family", FAMILIES)
def test_merged_adapters_give_the_same_states_under_the_names_of_the_base(family: str) -> None:
    names = set(decoder(family).state_dict())
    model = decoder(family)
    apply_tuning(model, lora())
    with_random_adapters(model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    expected = states_of(model)
    with merged_adapters(model):
        assert set(model.state_dict()) == names
        torch.testing.assert_close(states_of(model), expected, rtol=1e-5, atol=1e-5)
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert torch.equal(states_of(model), expected)


@needs_peft
def test_adapters_come_apart_again_when_writing_fails() -> None:
    model = decoder("gpt_neox")
    apply_tuning(model, lora())
    with_random_adapters(model)
    expected = states_of(model)
    with pytest.raises(OSError, match="full"), merged_adapters(model):
        raise OSError("full")
    assert torch.equal(states_of(model), expected)


@needs_peft
def test_adapters_are_drawn_from_the_seed_and_leave_the_dice_of_others_alone() -> None:
    drawn = []
    for seed in (3, 3, 4):
        torch.manual_seed(11)
        model = decoder("gpt_neox")
        torch.manual_seed(12)
        expected = torch.get_rng_state()
        apply_tuning(model, lora(), seed=seed)
        assert torch.equal(torch.get_rng_state(), expected)
        drawn.append([p for name, p in model.named_parameters() if "lora_A" in name])
    assert all(map(torch.equal, drawn[0], drawn[1]))
    assert not any(map(torch.equal, drawn[0], drawn[2]))


@pytest.mark.parametrize("family", [*FAMILIES, "opt"])
@pytest.mark.parametrize("n_frozen", [0, 2, N_LAYERS])
def test_freezing_leaves_what_runs_before_the_first_trained_block_and_nothing_after_it(
    family: str, n_frozen: int
) -> None:
    model = decoder(family)
    apply_tuning(model, Tuning(method="freeze", frozen_blocks=n_frozen))
    trained = trained_names(model)
    for name, _ in model.named_parameters():
        parts = name.split(".")
        numbers = [int(part) for part in parts if part.isdigit()]
        if numbers:
            expected = numbers[0] >= n_frozen
        else:  # what follows the blocks, by the names that these families have
            after = {"norm", "ln_f", "final_layer_norm", "project_out"}
            expected = bool(after & set(parts))
        assert (name in trained) == expected, name
    # no gradient goes back further than the first trained block
    torch.autograd.backward([states_of(model).square().sum()])
    assert {name for name, p in model.named_parameters() if p.grad is not None} == trained


@pytest.mark.parametrize(
    ("family", "expected"), [("gpt_neox", None), ("qwen2", {"q_proj", "k_proj", "v_proj"})]
)
def test_biases_are_those_that_a_family_has(family: str, expected: set[str] | None) -> None:
    model = decoder(family)
    apply_tuning(model, Tuning(method="bias"))
    assert trained_names(model) == {n for n, p in model.named_parameters() if n.endswith(".bias")}
    if expected is not None:
        assert {name.split(".")[-2] for name in trained_names(model)} == expected


@pytest.mark.parametrize(
    ("family", "tuning", "message"),
    [
        ("llama", Tuning(method="bias"), "none of the 29 weights of this LlamaModel is a bias"),
        ("gpt_neox", Tuning(method="freeze", frozen_blocks=4), "4, expected 0 to 3, the blocks"),
        ("albert", Tuning(method="freeze", frozen_blocks=1), "AlbertModel has no list of its"),
        ("albert", lora(), "AlbertModel has no list of its blocks"),
    ],
)
def test_a_model_without_such_weights_is_refused_with_what_it_has(
    family: str, tuning: Tuning, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        apply_tuning(decoder(family), tuning)


def test_a_tuning_may_follow_another_one() -> None:
    model = decoder("gpt_neox")
    apply_tuning(model, Tuning(method="bias"))
    apply_tuning(model, Tuning())
    assert count_weights(model).n_frozen == 0
    assert copy.deepcopy(model).training is False
