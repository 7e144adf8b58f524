"""Written transformers, opened by sentence-transformers and by ourselves."""

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
from tests.transformer.test_teacher import as_sentence_transformer
from vecsmith.formats.model_card import read_front_matter
from vecsmith.transformer.loading import load_model
from vecsmith.transformer.saving import check_encoder_folder, save_encoder
from vecsmith.transformer.source import find_teacher
from vecsmith.transformer.text_encoder import TextEncoder

WORDS = "the quick brown fox jumps over a lazy dog it is dangerous to go alone take this".split()
TEXTS = [" ".join(WORDS[:n]) for n in range(1, 17)]
# transformers gives the tiny tokenizers of other families other tokens than their own file does
ALIKE = ("bert", "xlm-roberta", "modernbert", "qwen", "llama")


def peer_of(folder: Path, **settings: Any) -> Any:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    return sentence_transformers.SentenceTransformer(str(folder), device="cpu", **settings)


def trained(folder: Path) -> Any:
    """The transformer in `folder` with all of its weights changed."""
    model = load_model(find_teacher(folder), "float32", False, False)
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    return save_teacher(tmp_path / "bert", "bert")


def with_modules(folder: Path, *, normalize: bool = True) -> Path:
    """A Dense with Tanh to 12 dims and perhaps a Normalize behind the mean."""
    dense = {"in_features": 16, "out_features": 12, "bias": True,
             "activation_function": "torch.nn.modules.activation.Tanh"}  # fmt: skip
    pooling = {"embedding_dimension": 16, "pooling_mode": "mean"}
    end = [("Normalize", dict[str, object]())] if normalize else []
    as_sentence_transformer(folder, ("Pooling", pooling), ("Dense", dense), *end)
    torch.manual_seed(1)
    weights = {"linear.weight": torch.randn(12, 16) / 4, "linear.bias": torch.randn(12) / 4}
    save_file(weights, folder / "2_Dense" / "model.safetensors")
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_a_written_transformer_gives_the_vectors_of_the_one_in_memory(
    family: str, tmp_path: Path
) -> None:
    source = find_teacher(save_teacher(tmp_path / "base", family))
    model = trained(source.folder)
    save_encoder(model, source, tmp_path / "out")
    encoder = TextEncoder.from_pretrained(tmp_path / "out")
    ids = [encoder._tokenizer.encode(text).ids for text in TEXTS]
    for vector, row in zip(encoder.encode(TEXTS), ids, strict=True):
        with torch.no_grad():
            states = model(input_ids=torch.tensor([row])).last_hidden_state[0]
        np.testing.assert_allclose(vector, states.mean(dim=0).numpy(), atol=1e-5)
    if family in ALIKE:
        theirs = peer_of(tmp_path / "out").encode(TEXTS)
        np.testing.assert_allclose(encoder.encode(TEXTS), theirs, atol=1e-5)


@pytest.mark.parametrize("mode", ["cls", "mean", "last"])
def test_pooling_may_be_chosen_anew(mode: str, bert: Path, tmp_path: Path) -> None:
    source = find_teacher(with_modules(bert))
    save_encoder(trained(bert), source, tmp_path / "out", pooling=mode, normalize=False)
    found = TextEncoder.from_pretrained(tmp_path / "out").encode(TEXTS)
    np.testing.assert_allclose(found, peer_of(tmp_path / "out").encode(TEXTS), atol=1e-5)
    pooler = peer_of(tmp_path / "out")[1]
    assert pooler.get_config_dict()["pooling_mode"] in (mode, f"{mode}token")
    assert np.abs(np.linalg.norm(found, axis=1) - 1).max() > 1e-2


def test_trained_modules_prompts_and_lengths_are_written(bert: Path, tmp_path: Path) -> None:
    source = find_teacher(with_modules(bert))
    torch.manual_seed(2)
    dense = {"linear.weight": torch.randn(12, 16), "linear.bias": torch.randn(12)}
    save_encoder(
        trained(bert),
        source,
        tmp_path / "out",
        dense=[dense],
        max_length=8,
        prompts={"query": "take this ", "document": ""},
    )
    encoder, peer = TextEncoder.from_pretrained(tmp_path / "out"), peer_of(tmp_path / "out")
    assert (encoder.dim, encoder.max_length, peer.max_seq_length) == (12, 8, 8)
    for method in ("encode", "encode_query", "encode_document"):
        found, theirs = (getattr(each, method)(TEXTS) for each in (encoder, peer))
        np.testing.assert_allclose(found, theirs, atol=1e-5)
    stored = load_file(tmp_path / "out" / "2_Dense" / "model.safetensors")
    torch.testing.assert_close(stored["linear.weight"], dense["linear.weight"])


def test_truncate_dim_gives_the_prefixes_that_the_encoder_gives(bert: Path, tmp_path: Path) -> None:
    source = find_teacher(with_modules(bert))
    save_encoder(trained(bert), source, tmp_path / "out", dims=[12, 6, 3])
    whole = TextEncoder.from_pretrained(tmp_path / "out").encode(TEXTS)
    for d in (3, 6, 12):
        peer = peer_of(tmp_path / "out", truncate_dim=d)
        np.testing.assert_allclose(peer.encode(TEXTS), whole[:, :d], atol=1e-5)
        prefix = TextEncoder.from_pretrained(tmp_path / "out", dim=d).encode(TEXTS)
        theirs = peer.encode(TEXTS, normalize_embeddings=True)
        np.testing.assert_allclose(prefix, theirs, atol=1e-5)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["vecsmith"]["matryoshka_dims"] == [3, 6, 12]
    settings = json.loads((tmp_path / "out" / "config_sentence_transformers.json").read_text())
    assert "truncate_dim" not in settings


def test_the_same_weights_are_written_as_the_same_bytes(bert: Path, tmp_path: Path) -> None:
    source = find_teacher(bert)
    for name in ("one", "two"):
        torch.manual_seed(ord(name[0]))  # a pooler that no file has is made up at random
        model = load_model(source, "float32", False, False)
        save_encoder(model, source, tmp_path / name)
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two")]
    assert files[0] == files[1]


def test_a_pooler_that_no_file_has_is_not_written(bert: Path, tmp_path: Path) -> None:
    stored = load_file(bert / "model.safetensors")
    kept = {name: tensor for name, tensor in stored.items() if not name.startswith("pooler.")}
    assert len(kept) < len(stored)
    save_file(kept, bert / "model.safetensors", metadata={"format": "pt"})
    source = find_teacher(bert)
    save_encoder(load_model(source, "float32", False, False), source, tmp_path / "out")
    with safe_open(tmp_path / "out" / "model.safetensors", framework="pt") as file:
        assert set(file.keys()) == set(kept)


def test_the_card_tells_base_licence_prefixes_and_data(bert: Path, tmp_path: Path) -> None:
    (bert / "README.md").write_text("---\nlicense: apache-2.0\nlanguage: en\n---\n# Base\n")
    data = [{"name": "questions", "pairs": 12, "license": "cc-by-4.0", "left_out": {}}]
    save_encoder(
        trained(bert),
        find_teacher(bert),
        tmp_path / "nested",
        dims=[16, 8],
        layers=[1, 2],
        provenance={"data": data, "recipe": {"steps": 7}},
    )
    front = read_front_matter(tmp_path / "nested" / "README.md")
    assert (front["license"], front["base_model"], front["language"]) == (
        "apache-2.0",
        "bert",
        "en",
    )
    assert front["model_name"] == "nested"
    assert "matryoshka" in front["tags"]
    text = (tmp_path / "nested" / "README.md").read_text(encoding="utf-8")
    assert "| prefixes that it was trained to be good at | 8, 16 |" in text
    assert "vecsmith compress nested --layers 1 --dim 8" in text
    assert "cc-by-4.0" in text
    assert "| recipe.steps | 7 |" in text


def test_a_model_written_here_is_replaced_and_no_other(bert: Path, tmp_path: Path) -> None:
    source, model = find_teacher(bert), trained(bert)
    save_encoder(model, source, tmp_path / "out", dims=[16])
    save_encoder(model, source, tmp_path / "out", dims=[16, 4])
    assert TextEncoder.from_pretrained(tmp_path / "out").dim == 16
    other = save_teacher(tmp_path / "other", "mpnet")
    before = (other / "model.safetensors").read_bytes()
    for folder, message in ((other, "another model"), (bert, "folder of the model itself")):
        with pytest.raises((FileExistsError, ValueError), match=message):
            save_encoder(model, source, folder)
    assert (other / "model.safetensors").read_bytes() == before
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"thesis\.txt"):
        check_encoder_folder(tmp_path / "out")


def test_a_failed_write_leaves_the_old_model(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, model = find_teacher(bert), trained(bert)
    save_encoder(model, source, tmp_path / "out")
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir() if p.is_file()}

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(model), "save_pretrained", full)
    with pytest.raises(OSError, match="nothing was written"):
        save_encoder(model, source, tmp_path / "out")
    assert before == {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir() if p.is_file()}
    assert {p.name for p in tmp_path.iterdir()} == {"bert", "out"}


def test_the_encoder_of_a_model_with_a_decoder_is_written_alone(tmp_path: Path) -> None:
    base = save_teacher(tmp_path / "base", "xlm-roberta")
    size = json.loads((base / "config.json").read_text())["vocab_size"]
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=size, d_model=16, d_kv=8, d_ff=32, num_layers=3, num_heads=2, pad_token_id=1
    )
    transformers.T5Model(config).save_pretrained(base)
    source = find_teacher(base)
    model = trained(base)
    save_encoder(model, source, tmp_path / "out")
    save_encoder(model, source, tmp_path / "small", n_layers=2, dim=4)
    for name, layers in (("out", 3), ("small", 2)):
        with safe_open(tmp_path / name / "model.safetensors", framework="pt") as file:
            assert not any("decoder" in key for key in file.keys())  # noqa: SIM118
        encoder = TextEncoder.from_pretrained(tmp_path / name)
        assert encoder.teacher.n_layers == layers
        # as sentence-transformers opens it, whose tokens of this tiny vocabulary are others
        theirs: Any = transformers.T5EncoderModel.from_pretrained(tmp_path / name)
        theirs.eval()
        ids = torch.tensor([encoder._tokenizer.encode(TEXTS[5]).ids])
        with torch.no_grad():
            expected = theirs(input_ids=ids).last_hidden_state[0].mean(dim=0).numpy()
        found = encoder.encode(TEXTS[5])
        np.testing.assert_allclose(found, expected[: encoder.dim], atol=1e-5)
    whole = TextEncoder.from_pretrained(tmp_path / "out").encode(TEXTS[5])
    ids = torch.tensor([encoder._tokenizer.encode(TEXTS[5]).ids])
    with torch.no_grad():
        expected = model(input_ids=ids).last_hidden_state[0].mean(dim=0).numpy()
    np.testing.assert_allclose(whole, expected, atol=1e-5)
    again = TextEncoder.from_pretrained(tmp_path / "out", n_layers=2, dim=4)
    small = TextEncoder.from_pretrained(tmp_path / "small")
    np.testing.assert_allclose(small.encode(TEXTS), again.encode(TEXTS), atol=1e-6)


def test_a_static_model_is_not_seen_in_a_written_transformer(bert: Path, tmp_path: Path) -> None:
    from vecsmith.errors import FormatError
    from vecsmith.formats import check_replaceable
    from vecsmith.model import StaticModel

    save_encoder(trained(bert), find_teacher(bert), tmp_path / "out")
    with pytest.raises(FormatError, match="not a static model"):
        StaticModel.from_pretrained(tmp_path / "out")
    with pytest.raises(FileExistsError):
        check_replaceable(tmp_path / "out")


@pytest.mark.parametrize("role", ["eos_token", "bos_token"])
def test_a_base_without_a_padding_token_encodes_many_texts_in_sentence_transformers(
    tmp_path: Path, role: str
) -> None:
    pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    from sentence_transformers import SentenceTransformer

    base = save_teacher(tmp_path / "base", "gpt-neox")
    path = base / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config.pop("pad_token", None)
    config[role] = next(iter(json.loads((base / "tokenizer.json").read_text())["model"]["vocab"]))
    path.write_text(json.dumps(config), encoding="utf-8")
    source = find_teacher(base)
    save_encoder(trained(base), source, tmp_path / "out")
    texts = ["a", "the long way round", "two words"]
    theirs = SentenceTransformer(str(tmp_path / "out"), device="cpu").encode(texts)
    ours = TextEncoder.from_pretrained(tmp_path / "out").encode(texts)
    np.testing.assert_allclose(theirs, ours, atol=1e-5)
