from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed (extra train)")
pytest.importorskip("transformers", reason="transformers is not installed (extra distill)")

import torch
import transformers

from tests.training.toy_transformers import opened
from tests.transformer.teachers import FAMILIES, TEXTS, save_teacher
from vecsmith.training.bag import Bag
from vecsmith.training.token_groups import token_groups
from vecsmith.training.transformer_base import TextReading
from vecsmith.training.transformer_encoder import TransformerEncoder
from vecsmith.transformer.loading import quiet_loading
from vecsmith.transformer.source import find_teacher
from vecsmith.transformer.text_encoder import TextEncoder

WORDS = [*TEXTS[:7], "go", "the dog", "naïve 猫 한국어 문장"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("families")
    return {family: save_teacher(root / family, family) for family in FAMILIES}


def vectors_of(
    folder: Path, texts: list[str], n_texts: int = 32, layers: Any = None, **options: Any
) -> torch.Tensor:
    """Vectors by way of the training's own path: store's tokens, frame, groups, encoder."""
    base, settings = opened(folder, max_length=0)
    encoder = TransformerEncoder.from_source(find_teacher(folder), **options).eval()
    reading = TextReading.of(base.said, settings, encoder)
    bag = Bag(*reading.tokenizer.encode_batch(texts, max_length=reading.max_length))
    groups = token_groups([bag], reading.frame, n_texts=n_texts, n_positions=encoder.n_positions)
    above = () if layers is None else (len(layers),)
    vectors = torch.empty(*above, len(texts), encoder.dim)
    with torch.no_grad():
        for group in groups:
            ids, mask = torch.from_numpy(group.ids), torch.from_numpy(group.mask)
            vectors[..., group.places, :] = encoder(ids, mask, layers)
    return vectors


@pytest.mark.parametrize("family", FAMILIES)
def test_untrained_vectors_are_those_of_the_encoder_of_texts_in_groups_of_any_size(
    folders: dict[str, Path], family: str
) -> None:
    expected = TextEncoder.from_pretrained(folders[family]).encode(WORDS)
    for n_texts in (3, 32):
        found = vectors_of(folders[family], WORDS, n_texts)
        np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_vectors_after_a_layer_are_those_of_the_model_loaded_with_so_many_layers(
    folders: dict[str, Path], family: str
) -> None:
    # transformers builds the shallow one itself, so a norm after the last layer counts there too
    text = "the quick brown fox"
    base, _ = opened(folders[family])
    own = TextReading.of(base.said, opened(folders[family])[1], base.encoder)
    inner = own.tokenizer.encode(text).ids
    ids = torch.tensor([[*own.frame.before, *inner, *own.frame.after]])
    both = vectors_of(folders[family], [text], layers=(1, 2))
    for layer, found in zip((1, 2), both, strict=True):
        config = transformers.AutoConfig.from_pretrained(folders[family])
        config.num_hidden_layers = layer
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[:layer]
        with quiet_loading(transformers):
            shallow = transformers.AutoModel.from_pretrained(folders[family], config=config).eval()
        with torch.no_grad():
            states = shallow(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        np.testing.assert_allclose(found[0], states[0].mean(0), atol=1e-5)
    assert not torch.allclose(both[0], both[1], atol=1e-3)


@pytest.mark.parametrize("mode", ["mean", "cls", "last"])
def test_each_pooling_is_that_of_sentence_transformers(folders: dict[str, Path], mode: Any) -> None:
    pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    body = Transformer(str(folders["bert"]))
    named = "lasttoken" if mode == "last" else mode
    theirs = SentenceTransformer(
        modules=[body, Pooling(16, pooling_mode=named)],
        device="cpu",
    )
    found = vectors_of(folders["bert"], WORDS, pooling=mode)
    np.testing.assert_allclose(found, theirs.encode(WORDS), atol=2e-5)


def test_dropout_is_set_everywhere_or_nowhere(folders: dict[str, Path]) -> None:
    ids = torch.arange(8, 20).reshape(2, 6)
    for family in FAMILIES:
        for share in (0.0, 0.5):
            encoder = TransformerEncoder.from_source(find_teacher(folders[family]), dropout=share)
            encoder.train()
            runs = [encoder(ids, torch.ones_like(ids)) for _ in range(2)]
            if share == 0.0:
                assert torch.equal(*runs), family
            elif family not in ("qwen", "llama"):  # these drop at attention alone, or not at all
                assert not torch.equal(*runs), family


@pytest.mark.parametrize("family", [each for each in FAMILIES if each != "mpnet"])
def test_gradients_are_the_same_with_activations_computed_again(
    folders: dict[str, Path], family: str
) -> None:
    ids = torch.arange(8, 20).reshape(2, 6)
    found = []
    for is_checkpointed in (False, True):
        encoder = TransformerEncoder.from_source(
            find_teacher(folders[family]), gradient_checkpointing=is_checkpointed, dropout=0.0
        ).train()
        vectors = encoder(ids, torch.ones_like(ids), (1, 2))
        (vectors * torch.linspace(-1, 1, vectors.numel()).view_as(vectors)).sum().backward()
        found.append({n: p.grad for n, p in encoder.named_parameters() if p.grad is not None})
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, atol=1e-6, rtol=1e-5)


def test_a_model_that_cannot_compute_activations_again_says_so(folders: dict[str, Path]) -> None:
    source = find_teacher(folders["mpnet"])
    with pytest.raises(ValueError, match="gradient_checkpointing with mpnet: a MPNetModel has"):
        TransformerEncoder.from_source(source, gradient_checkpointing=True)


def test_a_layer_that_is_not_there_is_refused(folders: dict[str, Path]) -> None:
    encoder = TransformerEncoder.from_source(find_teacher(folders["bert"]))
    ids = torch.ones(1, 3, dtype=torch.long)
    with pytest.raises(ValueError, match=r"layers \[3\], expected some of the model's 1 to 2"):
        encoder(ids, ids, (3,))
