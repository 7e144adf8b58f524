"""Shapes against modules made by transformers from the same config, and against printed counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecsmith.errors import FormatError
from vecsmith.formats.safetensors import write_tensors
from vecsmith.planning.accounting.families import FAMILIES
from vecsmith.planning.accounting.shapes import ModelShape

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.planning.accounting.decoders import CONFIGS, config_of, decoder_of, pythia, shape_of  # noqa: E402

every_decoder = pytest.mark.parametrize("name", CONFIGS)

# Ziarko et al. 2024 tune these; counts equal the model cards': layers, width, heads, rows, then
# parameters in all, of the backbone, of it without embeddings, of the embedding, of biases
PYTHIA = {
    "14m": (6, 128, 4, 50304, 14_067_712, 7_628_800, 1_189_888, 6_438_912, 8_576),
    "31m": (6, 256, 8, 50304, 30_494_720, 17_616_896, 4_739_072, 12_877_824, 17_152),
    "70m": (6, 512, 8, 50304, 70_426_624, 44_670_976, 18_915_328, 25_755_648, 34_304),
    "160m": (12, 768, 12, 50304, 162_322_944, 123_689_472, 85_056_000, 38_633_472, 102_144),
    "410m": (24, 1024, 16, 50304, 405_334_016, 353_822_720, 302_311_424, 51_511_296, 271_360),
    "1b": (16, 2048, 8, 50304, 1_011_781_632, 908_759_040, 805_736_448, 103_022_592, 362_496),
    "1.4b": (
        *(24, 2048, 16, 50304),
        *(1_414_647_808, 1_311_625_216, 1_208_602_624, 103_022_592, 542_720),
    ),
    "2.8b": (
        *(32, 2560, 32, 50304),
        *(2_775_208_960, 2_646_430_720, 2_517_652_480, 128_778_240, 903_680),
    ),
    "6.9b": (
        *(32, 4096, 32, 50432),
        *(6_857_302_016, 6_650_732_544, 6_444_163_072, 206_569_472, 1_445_888),
    ),
    "12b": (
        *(36, 5120, 40, 50688),
        *(11_846_072_320, 11_586_549_760, 11_327_027_200, 259_522_560, 2_032_640),
    ),
}


@pytest.mark.parametrize("size", PYTHIA)
def test_every_pythia_has_the_counts_of_its_model_card(size: str) -> None:
    n_layers, dim, n_heads, rows, total, backbone, inner, embedding, biases = PYTHIA[size]
    shape = pythia(n_layers, dim, n_heads, rows)
    assert shape.n_total == total
    assert shape.n_backbone == backbone
    assert shape.n_non_embedding == inner
    assert shape.n_embedding == embedding
    assert shape.n_bias == biases


@pytest.mark.parametrize("size", PYTHIA)
def test_the_closed_forms_of_gpt_neox_hold(size: str) -> None:
    n_layers, dim, n_heads, rows, *_ = PYTHIA[size]
    shape = pythia(n_layers, dim, n_heads, rows)
    assert shape.n_non_embedding == n_layers * (12 * dim**2 + 13 * dim) + 2 * dim
    assert shape.n_bias == n_layers * 11 * dim + dim
    for rank in (8, 32, 128, 512, 2048):
        assert shape.n_lora(rank) == 16 * rank * dim * n_layers
    for frozen in range(n_layers):
        active = (n_layers - frozen) * (12 * dim**2 + 13 * dim) + 2 * dim
        assert shape.n_active(frozen) == active


@every_decoder
def test_a_shape_counts_what_the_module_holds(name: str) -> None:
    model, shape = decoder_of(name), shape_of(name)
    sizes = {key: value.numel() for key, value in model.named_parameters()}
    assert shape.n_backbone == sum(sizes.values())
    assert shape.n_embedding == model.get_input_embeddings().weight.numel()
    assert shape.n_bias == sum(size for key, size in sizes.items() if key.endswith(".bias"))
    assert shape.embedding_dim == model.get_input_embeddings().embedding_dim


@every_decoder
def test_its_total_is_that_of_the_module_with_its_head(name: str) -> None:
    from transformers import AutoModelForCausalLM

    make: Any = AutoModelForCausalLM
    model = make.from_config(config_of(name))
    assert shape_of(name).n_total == sum(value.numel() for value in model.parameters())


@every_decoder
def test_its_linear_layers_are_those_of_a_block_one_by_one(name: str) -> None:
    model, shape = decoder_of(name), shape_of(name)
    blocks = next(one for one in model.modules() if isinstance(one, torch.nn.ModuleList))
    assert len(blocks) == shape.n_layers
    for linear in shape.block_linears:
        module = blocks[0].get_submodule(linear.name)
        assert sorted(module.weight.shape) == sorted((linear.n_in, linear.n_out))
        assert (module.bias is not None) == linear.bias
    for norm in shape.block_norms:
        module = blocks[0].get_submodule(norm.name)
        assert sum(each.numel() for each in module.parameters()) == norm.n_weights + norm.n_biases
    assert shape.n_block == sum(each.numel() for each in blocks[0].parameters())


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@every_decoder
def test_adapters_are_counted_as_peft_makes_them(name: str) -> None:
    peft = pytest.importorskip("peft")
    shape = shape_of(name)
    leaves = [linear.name.split(".")[-1] for linear in shape.block_linears]
    settings = peft.LoraConfig(r=3, target_modules=leaves, fan_in_fan_out=name == "gpt2")
    tuned = peft.get_peft_model(decoder_of(name), settings)
    assert shape.n_lora(3) == tuned.get_nb_trainable_parameters()[0]


def test_every_known_family_is_compared_with_its_module() -> None:
    assert {family for family, _ in CONFIGS.values()} == set(FAMILIES)


def test_fields_that_a_config_leaves_out_mean_what_transformers_takes_them_for() -> None:
    # as in the older config.json of JackFram/llama-68m: neither key and value heads nor head_dim
    short = {
        "model_type": "llama",
        "vocab_size": 32000,
        "hidden_size": 768,
        "num_hidden_layers": 2,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
    }
    assert ModelShape.from_config(short).n_total == 68_030_208
    bloom = {"model_type": "bloom", "vocab_size": 250880, "n_embed": 1024, "n_layer": 24}
    assert ModelShape.from_config({**bloom, "num_attention_heads": 16}).n_total == 559_214_592


@pytest.mark.parametrize("frozen", [-1, 3, 99])
def test_freezing_leaves_at_least_one_block(frozen: int) -> None:
    with pytest.raises(ValueError, match=rf"^{frozen} frozen blocks of 3, expected 0 to 2"):
        shape_of("llama").n_active(frozen)


def test_a_rank_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="rank is 0, expected 1 or more"):
        shape_of("llama").n_lora(0)


def test_an_unknown_family_names_those_that_are_known() -> None:
    with pytest.raises(FormatError, match=r"model_type 'bert', expected one of bloom, gemma, .*"):
        ModelShape.from_config({"model_type": "bert"})


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("hidden_size", None, "hidden_size is None, expected a whole number from 1"),
        ("hidden_size", -4, "hidden_size is -4"),
        ("hidden_size", 10**40, "expected a whole number from 1 to 2147483647"),
        ("hidden_size", True, "hidden_size is True"),
        ("hidden_size", "32", "hidden_size is '32'"),
        ("hidden_size", 34, "a width of 34 and 4 heads, expected a multiple"),
        ("num_key_value_heads", 3, "4 heads and num_key_value_heads 3, expected a divisor"),
        ("tie_word_embeddings", "no", "tie_word_embeddings is 'no', expected true or false"),
        ("model_type", ["llama"], r"model_type \['llama'\], expected one of"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(field: str, value: Any, said: str) -> None:
    config = {**config_of("llama").to_dict(), "head_dim": None, field: value}
    with pytest.raises(FormatError, match=rf"^here: .*{said}"):
        ModelShape.from_config(config, source="here")


@pytest.mark.parametrize("name", ["gpt_neox", "llama", "gpt2", "opt, as opt-350m", "gpt_neo"])
def test_a_saved_model_is_known_from_its_folder(tmp_path: Path, name: str) -> None:
    from transformers import AutoModelForCausalLM

    make: Any = AutoModelForCausalLM
    make.from_config(config_of(name)).save_pretrained(tmp_path / "whole")
    decoder_of(name).save_pretrained(tmp_path / "backbone", max_shard_size=20_000)
    assert (tmp_path / "backbone" / "model.safetensors.index.json").is_file()
    for folder in ("whole", "backbone"):
        assert ModelShape.from_folder(tmp_path / folder) == shape_of(name)


def test_a_sentence_transformer_is_known_from_its_first_module(tmp_path: Path) -> None:
    decoder_of("llama").save_pretrained(tmp_path / "0_Transformer")
    modules = [{"idx": 0, "path": "0_Transformer"}, {"idx": 1, "path": "1_Pooling"}]
    (tmp_path / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    assert ModelShape.from_folder(tmp_path) == shape_of("llama")


def test_masks_that_older_versions_saved_are_no_parameters(tmp_path: Path) -> None:
    folder = _saved(tmp_path)
    tensors = _tensors(folder)
    tensors["layers.0.attention.bias"] = np.ones((1, 1, 8, 8), dtype=np.float32)
    tensors["layers.0.attention.masked_bias"] = np.zeros(1, dtype=np.float32)
    tensors["layers.0.attention.rotary_emb.inv_freq"] = np.zeros(4, dtype=np.float32)
    _write(folder, tensors)
    assert ModelShape.from_folder(folder) == shape_of("gpt_neox")


def test_a_folder_whose_tensors_tell_another_count_is_refused(tmp_path: Path) -> None:
    folder = _saved(tmp_path)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["intermediate_size"] = 128
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    truth, lie = shape_of("gpt_neox").n_backbone, shape_of("gpt_neox", intermediate_size=128)
    said = f"have {truth:,} parameters without a head, expected {lie.n_backbone:,} from config.json"
    with pytest.raises(FormatError, match=said):
        ModelShape.from_folder(folder)


def test_a_folder_without_safetensors_is_refused(tmp_path: Path) -> None:
    folder = _saved(tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(FormatError, match=r"no model\.safetensors, expected one to check"):
        ModelShape.from_folder(folder)


@pytest.mark.parametrize("inside", ["../elsewhere", "/etc", 7])
def test_a_folder_that_points_outside_itself_is_refused(tmp_path: Path, inside: Any) -> None:
    (tmp_path / "modules.json").write_text(json.dumps([{"path": inside}]), encoding="utf-8")
    with pytest.raises(FormatError, match="expected one with a path inside"):
        ModelShape.from_folder(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config_of("llama").to_dict()))
    index = {"weight_map": {"a": inside}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(FormatError, match="expected a file beside it"):
        ModelShape.from_folder(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{", '"llama"', '{"model_type": "llama"}', "\x00"])
def test_a_broken_config_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(FormatError, match=r"config\.json"):
        ModelShape.from_folder(tmp_path)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"no config\.json, expected a folder that holds a model"):
        ModelShape.from_folder(tmp_path / "nowhere")


def _saved(tmp_path: Path) -> Path:
    decoder_of("gpt_neox").save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def _tensors(folder: Path) -> dict[str, Any]:
    from safetensors.numpy import load_file

    return load_file(folder / "model.safetensors")


def _write(folder: Path, tensors: dict[str, Any]) -> None:
    with (folder / "model.safetensors").open("wb") as file:
        write_tensors(file, tensors)
