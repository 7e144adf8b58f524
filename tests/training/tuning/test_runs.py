from __future__ import annotations

import importlib.util
import json
import math
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed (extra train)")
pytest.importorskip("transformers", reason="transformers is not installed (extra distill)")

import tokenizers
import torch
import transformers
from safetensors.torch import load_file

from tests.training.test_distributed import in_two_processes
from tests.training.toy_runs import ProbeScore, word_pairs
from tests.training.toy_transformers import first_batch, gradients_of, opened, run_of_adapters
from tests.training.tuning.decoders import DIM, FAMILIES, save_decoder
from vecsmith.results.tuning import Tuning
from vecsmith.training import info_nce
from vecsmith.training.losses import BOTH_WAYS
from vecsmith.training.schedule import Schedule
from vecsmith.training.settings import TransformerSettings
from vecsmith.training.transformer import run_transformer_training, train_transformer
from vecsmith.training.transformer_base import open_base
from vecsmith.training.transformer_result import TrainedTransformer
from vecsmith.training.transformer_student import TransformerStudent
from vecsmith.transformer.teacher import Frame
from vecsmith.transformer.text_encoder import TextEncoder

needs_peft = pytest.mark.skipif(
    importlib.util.find_spec("peft") is None, reason="peft is not installed (extra train)"
)
LORA = Tuning(method="lora", rank=4)
METHODS = [
    Tuning(),
    Tuning(method="freeze", frozen_blocks=1),
    Tuning(method="bias"),
    pytest.param(LORA, marks=needs_peft),
]
SHORT: dict[str, Any] = {
    "batch_size": 16,
    "dims": [DIM],
    "lr": 1e-3,
    "precision": "float32",
    "device": "cpu",
}


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made: dict[str, Path] = {}

    def folder(family: str) -> Path:
        if family not in made:
            made[family] = save_decoder(tmp_path_factory.mktemp("base") / family, family)
        return made[family]

    return folder


def run(
    base: Path, out: Path, pairs: list[tuple[str, str]], **changes: Any
) -> tuple[TrainedTransformer, Any]:
    """A finished run, and the transformer in memory that it trained."""
    pooling = changes.pop("pooling", None)
    settings = TransformerSettings().with_given({**SHORT, **changes})
    start = open_base(base, settings, pooling=pooling)
    done = run_transformer_training(pairs, start, settings, out=out, tell=lambda line: None)
    return done, start.encoder


@pytest.mark.parametrize("tuning", METHODS, ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_moves_what_its_method_says_and_leaves_the_bits_of_all_else(
    tmp_path: Path, folder_of: Any, family: str, tuning: Tuning
) -> None:
    base = folder_of(family)
    if family == "llama" and tuning.method == "bias":
        with pytest.raises(ValueError, match="is a bias"):
            run(base, tmp_path / "out", word_pairs(40), steps=3, tuning=tuning)
        return
    _, encoder = run(base, tmp_path / "out", word_pairs(40), steps=3, tuning=tuning)
    before, after = (load_file(each / "model.safetensors") for each in (base, tmp_path / "out"))
    assert before.keys() == after.keys()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {name for name in before if is_moved(name, before[name], tuning)}
    # what is written gives the vectors of what was trained, adapters and all
    ids = torch.tensor([[5, 9, 40, 77, 3]])
    written = transformers.AutoModel.from_pretrained(tmp_path / "out").eval()
    states = written(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
    with torch.no_grad():
        own = encoder.eval()(ids, torch.ones_like(ids))
    torch.testing.assert_close(own, states.mean(1), rtol=1e-4, atol=1e-5)


def is_moved(name: str, tensor: torch.Tensor, tuning: Tuning) -> bool:
    """Whether a tensor of that name in a file is one that the method trains."""
    blocks = [int(part) for part in name.split(".") if part.isdigit()]
    if tuning.method == "freeze":
        is_table = any(part in name for part in ("embed", "wte", "wpe"))
        return not is_table and (not blocks or blocks[0] >= tuning.frozen_blocks)
    if tuning.method == "bias":
        return name.endswith(".bias")
    if tuning.method == "lora":
        return bool(blocks) and tensor.ndim == 2
    return True


@needs_peft
@pytest.mark.parametrize("family", ["gpt_neox", "gpt2"])
def test_sentence_transformers_opens_merged_adapters_and_gives_the_same_vectors(
    tmp_path: Path, folder_of: Any, family: str
) -> None:
    pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    from sentence_transformers import SentenceTransformer

    pairs = word_pairs(40)
    done, _ = run(folder_of(family), tmp_path / "out", pairs, steps=3, tuning=LORA)
    assert not list((tmp_path / "out").glob("adapter*"))
    texts = [pair[0] for pair in pairs[:6]]
    theirs = SentenceTransformer(str(tmp_path / "out"), device="cpu").encode(texts)
    np.testing.assert_allclose(theirs, done.encoder.encode(texts), atol=2e-5)


@pytest.mark.parametrize("tuning", METHODS, ids=str)
def test_a_gradient_cache_finds_the_gradients_of_the_whole_batch_in_what_is_trained(
    tmp_path: Path, folder_of: Any, tuning: Tuning
) -> None:
    loss = partial(info_nce, temperature=0.05, directions=BOTH_WAYS)
    found = []
    for mini_batch in (0, 8):
        base, settings = opened(
            folder_of("gpt_neox"), tuning=tuning, mini_batch=mini_batch, batch_size=24
        )
        for name, parameter in base.encoder.named_parameters():
            if "lora_B" in name:  # else the first factors have no gradient yet
                torch.nn.init.normal_(parameter, std=0.1, generator=torch.manual_seed(1))
        batch = first_batch(base, settings, word_pairs(24), tmp_path / f"run-{mini_batch}")
        found.append(gradients_of(base, settings, batch, loss))
        trained = {n for n, p in base.encoder.named_parameters() if p.requires_grad}
        assert found[-1].keys() == trained
    largest = max(float(gradient.abs().max()) for gradient in found[0].values())
    for name, gradient in found[0].items():
        assert float((found[1][name] - gradient).abs().max()) < 1e-6 * max(1.0, largest), name


@needs_peft
def test_a_checkpoint_holds_what_is_trained_and_nothing_else(folder_of: Any) -> None:
    base, settings = opened(folder_of("gpt_neox"), tuning=LORA)
    student = TransformerStudent(base.encoder, settings, frame=Frame())
    names = {name.removeprefix("model.") for name in student.state_tensors()}
    assert names == {name for name, p in base.encoder.named_parameters() if "lora_" in name}
    assert set(student.model_tensors()) == names


@pytest.mark.parametrize("tuning", [METHODS[1], METHODS[3]], ids=str)
def test_a_run_that_is_stopped_goes_on_to_the_same_bits(
    tmp_path: Path, folder_of: Any, tuning: Tuning
) -> None:
    class Stopping(ProbeScore):
        def __call__(self, encoder: Any) -> float:
            if self._n_calls == 2:
                raise KeyboardInterrupt
            return super().__call__(encoder)

    def go(out: Path, score: ProbeScore) -> None:
        train_transformer(
            folder_of("gpt_neox"),
            pairs=word_pairs(80),
            out=out,
            tuning=tuning,
            tokens=2500,
            score=score,
            evaluate_every=2,
            checkpoint_every=1,
            **SHORT,
        )

    go(tmp_path / "whole", ProbeScore())
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "parts", Stopping())
    stored = load_file(tmp_path / "parts.run" / "checkpoint.safetensors")
    assert any("adam" in name for name in stored)
    go(tmp_path / "parts", ProbeScore())
    whole, parts = (load_file(tmp_path / n / "model.safetensors") for n in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    recipes = [
        json.loads((tmp_path / name / "config.json").read_text())["vecsmith"]["recipe"]
        for name in ("whole", "parts")
    ]
    assert recipes[0]["tokens_seen"] == recipes[1]["tokens_seen"] > 0


def test_a_run_reads_as_many_tokens_as_whole_steps_can_and_no_more(
    tmp_path: Path, folder_of: Any
) -> None:
    base, pairs = folder_of("gpt_neox"), word_pairs(100)
    limit = 2900
    done, _ = run(base, tmp_path / "a", pairs, tokens=limit)
    assert done.n_tokens <= limit
    longer, _ = run(base, tmp_path / "b", pairs, steps=done.n_steps + 1)
    assert longer.n_tokens > limit
    same, _ = run(base, tmp_path / "c", pairs, steps=done.n_steps)
    assert same.n_tokens == done.n_tokens
    exact, _ = run(base, tmp_path / "d", pairs, tokens=longer.n_tokens)
    assert (exact.n_steps, exact.n_tokens) == (longer.n_steps, longer.n_tokens)


def test_tokens_of_an_epoch_are_those_of_the_tokenizer_cut_and_without_padding(
    tmp_path: Path, folder_of: Any
) -> None:
    base, pairs = folder_of("gpt_neox"), word_pairs(48)
    reader = tokenizers.Tokenizer.from_file(str(base / "tokenizer.json"))
    lengths = [len(reader.encode(text).ids) for pair in pairs for text in pair]
    assert max(lengths) > 20
    done, _ = run(base, tmp_path / "out", pairs, epochs=1, max_length=20)
    assert done.n_tokens == sum(min(length, 20) for length in lengths)
    assert (done.n_pairs, done.n_steps) == (48, 3)
    recipe = done.provenance["recipe"]
    assert (recipe["tokens_seen"], recipe["pairs_seen"]) == (done.n_tokens, 48)


def test_specials_count_as_tokens(tmp_path: Path, folder_of: Any) -> None:
    from tests.transformer.teachers import save_teacher

    base, pairs = save_teacher(tmp_path / "bert", "bert"), word_pairs(32)
    reader = tokenizers.Tokenizer.from_file(str(base / "tokenizer.json"))
    n_tokens = sum(len(reader.encode(text).ids) for pair in pairs for text in pair)
    done, _ = run(base, tmp_path / "out", pairs, tokens=n_tokens)
    assert (done.n_steps, done.n_tokens) == (2, n_tokens)
    short, _ = run(base, tmp_path / "less", pairs, tokens=n_tokens - 1)
    assert short.n_steps == 1


def test_the_rates_know_how_many_steps_the_tokens_make(tmp_path: Path, folder_of: Any) -> None:
    done, _ = run(
        folder_of("gpt_neox"),
        tmp_path / "out",
        word_pairs(100),
        tokens=9000,
        schedule="cosine",
        warmup=0.1,
        final_lr=0.1,
    )
    n = done.n_steps
    rates = [point.lr for point in done.fitted.state.curve.points]
    assert len(rates) == n >= 15
    n_warm = math.ceil(0.1 * n)
    # a cosine from the peak to a tenth of it, as in Ziarko et al. 2024, section 4.1
    expected = [
        1e-3 * (step + 1) / n_warm
        if step < n_warm
        else 1e-3 * (0.1 + 0.45 * (1 + math.cos(math.pi * (step - n_warm) / (n - n_warm))))
        for step in range(n)
    ]
    np.testing.assert_allclose(rates, expected, rtol=1e-12)
    assert all(later <= earlier for earlier, later in pairwise(rates[n_warm:]))
    assert Schedule(peak=1e-3, n_steps=n, decay="cosine", floor=0.1).rate(n) == pytest.approx(1e-4)


def test_tokens_for_less_than_a_step_are_refused(tmp_path: Path, folder_of: Any) -> None:
    with pytest.raises(ValueError, match="tokens 100: the first step of 16 pairs takes more"):
        run(folder_of("gpt_neox"), tmp_path / "out", word_pairs(40), tokens=100)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"tokens": 100, "steps": 3}, ValueError, "expected one of them"),
        ({"tokens": 0}, ValueError, "tokens 0, expected 1 or more tokens"),
        ({"tokens": 1.5}, ValueError, "expected a whole number"),
        ({"tuning": "lora"}, TypeError, "'lora', expected a Tuning"),
        ({"final_lr": 1.5}, ValueError, "final_lr 1.5, expected a share"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    given: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        TransformerSettings().with_given(given)


def test_a_run_of_another_tuning_in_the_same_folder_is_refused(
    tmp_path: Path, folder_of: Any
) -> None:
    def stop(encoder: Any) -> float:
        raise KeyboardInterrupt

    base, pairs = folder_of("gpt_neox"), word_pairs(40)
    with pytest.raises(KeyboardInterrupt):
        train_transformer(base, pairs=pairs, out=tmp_path / "out", steps=4, score=stop, **SHORT)
    with pytest.raises(ValueError, match=r"tuning.method was full, is bias"):
        train_transformer(
            base,
            pairs=pairs,
            out=tmp_path / "out",
            steps=4,
            score=stop,
            tuning=Tuning(method="bias"),
            **SHORT,
        )


@needs_peft
def test_adapters_learn_with_everything_else_that_a_run_can_be_told(
    tmp_path: Path, folder_of: Any
) -> None:
    done, _ = run(
        folder_of("gpt_neox"),
        tmp_path / "out",
        word_pairs(64),
        tuning=LORA,
        epochs=6,
        lr=1e-2,
        precision="bfloat16",
        gradient_checkpointing=True,
        mini_batch=16,
        max_length=24,
    )
    points = done.fitted.state.curve.points
    losses = [sum(point.loss.values()) for point in points]
    assert np.mean(losses[-4:]) < 0.7 * np.mean(losses[:4])
    assert isinstance(done.encoder, TextEncoder)


@needs_peft
def test_adapters_of_two_processes_are_those_of_one(tmp_path: Path, folder_of: Any) -> None:
    base = folder_of("gpt_neox")
    in_two_processes(run_of_adapters, tmp_path / "two", base, LORA.rank)
    run_of_adapters(tmp_path / "one", base, LORA.rank)
    start, one, two = (
        load_file(folder / "model.safetensors")
        for folder in (base, tmp_path / "one", tmp_path / "two")
    )
    for name, tensor in start.items():
        torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=1e-5)
        assert torch.equal(two[name], tensor) == (not is_moved(name, tensor, LORA))


def test_the_largest_state_of_each_dimension_may_be_the_vector(
    tmp_path: Path, folder_of: Any
) -> None:
    base = folder_of("gpt_neox")
    done, _ = run(base, tmp_path / "out", word_pairs(40), steps=3, pooling="max")
    texts = ["hello cat", "the dog sat on the mat 12"]
    reader = tokenizers.Tokenizer.from_file(str(base / "tokenizer.json"))
    model = transformers.AutoModel.from_pretrained(tmp_path / "out").eval()
    expected = []
    for text in texts:
        ids = torch.tensor([reader.encode(text).ids])
        with torch.no_grad():
            expected.append(model(input_ids=ids).last_hidden_state[0].amax(0).numpy())
    np.testing.assert_allclose(done.encoder.encode(texts), np.stack(expected), atol=2e-5)
    pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    from sentence_transformers import SentenceTransformer

    theirs = SentenceTransformer(str(tmp_path / "out"), device="cpu").encode(texts)
    np.testing.assert_allclose(theirs, np.stack(expected), atol=2e-5)


def test_the_loss_of_equal_vectors_is_the_logarithm_of_their_number() -> None:
    for n in (2, 64, 1024):
        same = torch.ones(n, DIM)
        keys = torch.arange(n)
        loss = info_nce(
            same,
            same,
            query_keys=keys,
            candidate_keys=keys + n,
            temperature=0.025,
            directions=BOTH_WAYS,
        )
        assert float(loss) == pytest.approx(math.log(n), rel=1e-6)
