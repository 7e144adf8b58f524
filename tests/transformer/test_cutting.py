"""Transformers cut in depth and width, against the states that the whole ones go through."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests.transformer.teachers import FAMILIES, save_teacher
from tests.transformer.test_saving import ALIKE, TEXTS, peer_of, with_modules
from vecsmith.errors import FormatError
from vecsmith.transformer.cutting import Nesting, cut, read_nesting
from vecsmith.transformer.depth import final_norm, first_layers
from vecsmith.transformer.loading import load_model
from vecsmith.transformer.saving import save_encoder
from vecsmith.transformer.source import find_teacher
from vecsmith.transformer.text_encoder import TextEncoder

N_LAYERS = 4
IDS = torch.tensor([[7, 8, 9, 10, 11], [12, 13, 14, 6, 6]])
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("deep")
    return {name: save_teacher(root / name, name, n_layers=N_LAYERS) for name in FAMILIES}


def states_after(model: Any, layer: int) -> torch.Tensor:
    """What comes out of a layer, by a hook, through the final normalisation if there is one."""
    layers = next(
        module
        for module in model.modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == N_LAYERS
    )
    seen: list[Any] = []
    hook = layers[layer - 1].register_forward_hook(lambda *args: seen.append(args[2]))
    with torch.no_grad():
        model(input_ids=IDS, attention_mask=MASK)
    hook.remove()
    states = seen[0][0] if isinstance(seen[0], tuple) else seen[0]
    names = ("norm", "final_norm", "final_layer_norm")
    norm = next((getattr(model, name) for name in names if hasattr(model, name)), None)
    with torch.no_grad():
        found: torch.Tensor = states if norm is None else norm(states)
    return found


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("n_layers", [1, 3, 4])
def test_a_cut_model_gives_the_states_of_the_whole_one_after_its_last_layer(
    family: str, n_layers: int, folders: dict[str, Path]
) -> None:
    model = transformers.AutoModel.from_pretrained(folders[family]).eval()
    shallow = first_layers(model, n_layers)
    with torch.no_grad():
        found = shallow(input_ids=IDS, attention_mask=MASK).last_hidden_state
    real = MASK.bool()
    torch.testing.assert_close(found[real], states_after(model, n_layers)[real])
    assert model.config.num_hidden_layers == N_LAYERS
    assert len(list(shallow.parameters())) < len(list(model.parameters())) or n_layers == N_LAYERS
    mine = {p.data_ptr() for p in model.parameters()}
    assert {p.data_ptr() for p in shallow.parameters()} <= mine  # not copied


@pytest.mark.parametrize("family", FAMILIES)
def test_the_final_normalisation_is_the_one_behind_the_last_layer(
    family: str, folders: dict[str, Path]
) -> None:
    model = transformers.AutoModel.from_pretrained(folders[family]).eval()
    names = ("norm", "final_norm", "final_layer_norm")
    expected = next((getattr(model, name) for name in names if hasattr(model, name)), None)
    assert (expected is None) == (family in ("bert", "mpnet", "xlm-roberta"))
    assert final_norm(model) is expected
    assert final_norm(model.train()) is expected
    assert model.training


@pytest.mark.parametrize("family", FAMILIES)
def test_a_cut_folder_gives_the_vectors_of_running_the_whole_model_to_that_layer(
    family: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    cut(folders[family], tmp_path / "small", n_layers=2, dim=6)
    small = TextEncoder.from_pretrained(tmp_path / "small")
    asked = TextEncoder.from_pretrained(folders[family], n_layers=2, dim=6)
    np.testing.assert_allclose(small.encode(TEXTS), asked.encode(TEXTS), atol=1e-6)
    model = transformers.AutoModel.from_pretrained(folders[family]).eval()
    states = states_after(model, 2)[0].mean(dim=0)[:6]
    teacher = TextEncoder.from_pretrained(tmp_path / "small").teacher
    found = teacher.embed_padded([IDS[0].tolist()])[0]
    np.testing.assert_allclose(found, states.numpy(), atol=1e-6)
    if family in ALIKE:
        theirs = peer_of(tmp_path / "small").encode(TEXTS)
        np.testing.assert_allclose(small.encode(TEXTS), theirs, atol=1e-5)


def test_a_cut_folder_is_smaller_and_holds_the_very_weights(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    cut(folders["bert"], tmp_path / "small", n_layers=1)
    whole = load_file(folders["bert"] / "model.safetensors")
    small = load_file(tmp_path / "small" / "model.safetensors")
    gone = {
        name for name in whole if name.startswith(tuple(f"encoder.layer.{i}." for i in (1, 2, 3)))
    }
    assert len(gone) == 3 * 16
    assert set(small) == set(whole) - gone
    for name, tensor in small.items():
        torch.testing.assert_close(tensor, whole[name], rtol=0, atol=0)
    sizes = [
        (f / "model.safetensors").stat().st_size for f in (folders["bert"], tmp_path / "small")
    ]
    assert sizes[0] - sizes[1] > 4 * sum(whole[name].numel() for name in gone)
    config = json.loads((tmp_path / "small" / "config.json").read_text())
    assert config["num_hidden_layers"] == 1


def test_unit_vectors_are_cut_before_they_are_brought_to_unit_length(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    base = with_modules(save_teacher(tmp_path / "base", "bert"))
    whole = TextEncoder.from_pretrained(base).encode(TEXTS)
    expected = whole[:, :5] / np.linalg.norm(whole[:, :5], axis=1, keepdims=True)
    cut(base, tmp_path / "small", dim=5)
    peer = peer_of(tmp_path / "small")
    np.testing.assert_allclose(peer.encode(TEXTS), expected, atol=1e-5)
    assert peer.get_embedding_dimension() == 5
    cut(tmp_path / "small", tmp_path / "smaller", dim=2)
    modules = json.loads((tmp_path / "smaller" / "modules.json").read_text())
    kinds = [module["type"].rsplit(".", 1)[1] for module in modules]
    assert kinds == ["Transformer", "Pooling", "Dense", "Dense", "Normalize"]
    expected = whole[:, :2] / np.linalg.norm(whole[:, :2], axis=1, keepdims=True)
    for encoder in (
        TextEncoder.from_pretrained(tmp_path / "smaller"),
        peer_of(tmp_path / "smaller"),
    ):
        np.testing.assert_allclose(encoder.encode(TEXTS), expected, atol=1e-5)


def test_weights_of_half_the_width_stay_so(tmp_path: Path) -> None:
    for dtype in (torch.float16, torch.bfloat16):
        base = save_teacher(tmp_path / f"{dtype}", "qwen", n_layers=3)
        transformers.AutoModel.from_pretrained(base, dtype=dtype).save_pretrained(base)
        cut(base, tmp_path / "small", n_layers=2)
        with safe_open(tmp_path / "small" / "model.safetensors", framework="pt") as file:
            assert {file.get_tensor(name).dtype for name in file.keys()} == {dtype}  # noqa: SIM118
        found = TextEncoder.from_pretrained(tmp_path / "small").encode(TEXTS)
        asked = TextEncoder.from_pretrained(base, n_layers=2).encode(TEXTS)
        np.testing.assert_allclose(found, asked, atol=1e-6)


def test_a_model_that_repeats_one_layer_repeats_it_less(tmp_path: Path) -> None:
    config = transformers.AlbertConfig(
        vocab_size=60,
        embedding_size=8,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
    )
    torch.manual_seed(0)
    model: Any = transformers.AlbertModel(config)
    model.eval()
    with torch.no_grad():
        states = model(input_ids=IDS, output_hidden_states=True).hidden_states
        found = first_layers(model, 2)(input_ids=IDS).last_hidden_state
    torch.testing.assert_close(found, states[2])
    assert final_norm(model) is None


def test_a_final_normalisation_behind_a_change_of_shape_is_found() -> None:
    config = transformers.GPT2Config(
        vocab_size=60, n_embd=16, n_layer=3, n_head=2, bos_token_id=0, eos_token_id=0
    )
    torch.manual_seed(0)
    model: Any = transformers.GPT2Model(config)
    model.eval()
    norm: Any = final_norm(model)
    assert norm is model.ln_f
    with torch.no_grad():
        states = model(input_ids=IDS, output_hidden_states=True).hidden_states[2]
        found = first_layers(model, 2)(input_ids=IDS).last_hidden_state
        torch.testing.assert_close(found, norm(states))


def test_what_was_recorded_is_told_of_what_is_left(tmp_path: Path) -> None:
    source = find_teacher(save_teacher(tmp_path / "base", "bert", n_layers=N_LAYERS))
    model = load_model(source, "float32", False, False)
    known = {"recipe": {"steps": 3}, "scores": [{"name": "sts", "score": 0.8}]}
    save_encoder(
        model, source, tmp_path / "nested", dims=[16, 8, 4], layers=[1, 2, 3, 4], provenance=known
    )
    nested = find_teacher(tmp_path / "nested")
    assert read_nesting(nested) == Nesting(layers=(1, 2, 3, 4), dims=(4, 8, 16))
    cut(tmp_path / "nested", tmp_path / "small", n_layers=2, dim=8)
    ours = json.loads((tmp_path / "small" / "config.json").read_text())["vecsmith"]
    assert ours["cut"] == {"of": "nested", "layers": "2 of 4", "dim": 8}
    assert (ours["layers"], ours["matryoshka_dims"]) == ([1, 2], [4, 8])
    assert ours["recipe"] == {"steps": 3}
    assert "scores" not in ours
    assert "| cut.layers | 2 of 4 |" in (tmp_path / "small" / "README.md").read_text()


def test_prefixes_and_depths_of_one_model_have_fingerprints_of_their_own(
    folders: dict[str, Path],
) -> None:
    asked: list[dict[str, Any]] = [{}, {"n_layers": 2}, {"n_layers": 3}, {"dim": 2}, {"dim": 3}]
    prints = [TextEncoder.from_pretrained(folders["bert"], **each).fingerprint for each in asked]
    assert len(set(prints)) == len(asked)


def test_the_packaged_model_cut_in_half_is_its_third_layer(
    teacher_folder: Path, tmp_path: Path
) -> None:
    cut(teacher_folder, tmp_path / "half", n_layers=3, dim=96)
    peer = peer_of(tmp_path / "half")
    half = TextEncoder.from_pretrained(tmp_path / "half")
    found = half.encode(TEXTS)
    np.testing.assert_allclose(found, peer.encode(TEXTS), atol=1e-5)
    whole = peer_of(teacher_folder)
    features = whole.preprocess(TEXTS[-1:])
    inputs = {key: features[key] for key in ("input_ids", "attention_mask")}
    with torch.no_grad():
        states = whole[0].auto_model(**inputs, output_hidden_states=True).hidden_states[3][0]
    vector = states.mean(dim=0)[:96].numpy()
    np.testing.assert_allclose(found[-1], vector / np.linalg.norm(vector), atol=1e-5)
    sizes = [(f / "model.safetensors").stat().st_size for f in (teacher_folder, tmp_path / "half")]
    # three of six layers of 1.77 million float32 numbers; the table of words stays
    assert sizes[0] - sizes[1] == pytest.approx(3 * 1_774_464 * 4, rel=0.01)


@pytest.mark.parametrize(("options", "message"), [
    ({}, "nothing is to be cut"),
    ({"n_layers": 5}, "n_layers is 5, expected 1 to 4"),
    ({"n_layers": 0}, "n_layers is 0, expected 1 to 4"),
    ({"dim": 17}, "dim is 17, expected 1 to 16"),
    ({"dim": 0}, "dim is 0, expected 1 to 16"),
])  # fmt: skip
def test_what_a_model_has_not_cannot_be_cut(
    options: dict[str, Any], message: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        cut(folders["bert"], tmp_path / "small", **options)
    assert not (tmp_path / "small").exists()
    if options:
        with pytest.raises(ValueError, match=message):
            TextEncoder.from_pretrained(folders["bert"], **options)


def test_broken_files_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    base = with_modules(save_teacher(tmp_path / "base", "bert"))
    weights = base / "2_Dense" / "model.safetensors"
    whole = weights.read_bytes()
    for broken in (whole[:40], whole[:8] + b"x" * 50, b""):
        weights.write_bytes(broken)
        with pytest.raises(FormatError):
            cut(base, tmp_path / "small", dim=3)
    save_file({"other": torch.zeros(2)}, weights)
    with pytest.raises(FormatError, match=r"expected linear\.weight"):
        cut(base, tmp_path / "small", dim=3)
    weights.write_bytes(whole)
    config = json.loads((base / "config.json").read_text())
    config["vecsmith"] = {"layers": [1, "two", 2**40], "matryoshka_dims": "all", "cut": 3}
    (base / "config.json").write_text(json.dumps(config))
    assert read_nesting(find_teacher(base)) == Nesting(layers=(1,), dims=())
    cut(base, tmp_path / "small", dim=3)
    assert TextEncoder.from_pretrained(tmp_path / "small").dim == 3
