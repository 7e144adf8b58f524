"""Estimates of memory against what torch really keeps."""

from __future__ import annotations

from typing import Any

import pytest

from vecsmith.planning.accounting.memory import Memory, estimate_memory, working_bytes
from vecsmith.planning.accounting.shapes import ModelShape
from vecsmith.results.tuning import Tuning

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.planning.accounting.decoders import CONFIGS, decoder_of, pythia, shape_of, tunings  # noqa: E402
from vecsmith.training.tuning import apply_tuning  # noqa: E402

every_decoder = pytest.mark.parametrize("name", CONFIGS)
N_PAIRS, LENGTH = 6, 24


@pytest.mark.parametrize("name", ["gpt_neox", "qwen2", "gpt2", "opt, as opt-350m"])
def test_weights_gradients_and_moments_are_those_of_a_step_of_adamw(name: str) -> None:
    for tuning in tunings():
        model = decoder_of(name)
        apply_tuning(model, tuning)
        trained = [value for value in model.parameters() if value.requires_grad]
        optimizer = torch.optim.AdamW(trained, fused=True)
        for value in trained:
            value.grad = torch.zeros_like(value)
        optimizer.step()
        # each tensor has a clock of one number beside its moments
        moments = [
            each for state in optimizer.state.values() for each in state.values() if each.dim()
        ]
        memory = _memory(shape_of(name), tuning)
        assert memory.weights == sum(value.nbytes for value in model.parameters())
        assert memory.gradients == sum(value.nbytes for value in trained)
        assert memory.optimizer == sum(each.nbytes for each in moments), str(tuning)


@every_decoder
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_activations_are_what_autograd_keeps_and_little_more(name: str, precision: str) -> None:
    shape = shape_of(name)
    for tuning in tunings():
        if tuning.method == "bias" and not shape.n_bias:
            continue
        model = decoder_of(name)
        apply_tuning(model, tuning)
        kept = _kept_bytes(model, precision)
        estimate = _memory(shape, tuning, precision=precision)
        copies = estimate.weights - _memory(shape, tuning).weights  # autograd keeps these too
        # gradients on their way are no part of what is kept
        working = 2 * N_PAIRS * LENGTH * working_bytes(shape, 2 if copies else 4)
        ratio = (estimate.activations - working + copies) / kept
        assert 0.96 < ratio < 1.2, f"{tuning}: {ratio:.3f}"


@pytest.mark.parametrize(
    ("precision", "checkpointing"), [("bfloat16", False), ("float32", False), ("float32", True)]
)
def test_the_total_is_just_above_the_peak_of_a_whole_step(
    precision: str, checkpointing: bool
) -> None:
    sizes: dict[str, Any] = {"hidden_size": 256, "num_hidden_layers": 6, "intermediate_size": 1024}
    peak = _peak_bytes(sizes, n_pairs=64, precision=precision, checkpointing=checkpointing)
    estimate = estimate_memory(
        shape_of("gpt_neox", **sizes),
        Tuning(),
        batch_size=64,
        length=LENGTH,
        precision=precision,
        gradient_checkpointing=checkpointing,
        attention="eager",
    )
    assert 1 <= estimate.total / peak < 1.35


def test_the_embedding_is_most_of_what_the_smallest_pythia_trains() -> None:
    shape = pythia(6, 128, 4)
    whole, blocks = _memory(shape, Tuning()), _memory(shape, Tuning(method="freeze"))
    assert 1 - blocks.gradients / whole.gradients == pytest.approx(0.844, abs=0.0005)
    assert whole.gradients == 4 * 7_628_800
    assert whole.optimizer == 8 * 7_628_800


def test_what_is_held_at_a_time_decides_activations_and_the_batch_decides_vectors() -> None:
    shape = pythia(6, 512, 8)
    whole = _memory(shape, Tuning(), batch_size=1024)
    half = _memory(shape, Tuning(), batch_size=1024, mini_batch=512)
    assert 2 * half.activations == whole.activations
    assert half.cached_vectors == whole.cached_vectors
    # 2 n vectors of d floats and their gradients, and three tables of n * n scores
    assert whole.cached_vectors == 4 * (2 * 2 * 1024 * 512 + 3 * 1024**2)
    more = _memory(shape, Tuning(), batch_size=1024, mini_batch=4096)
    assert more == whole


@every_decoder
def test_training_less_or_checkpointing_never_needs_more(name: str) -> None:
    shape = shape_of(name)
    full = _memory(shape, Tuning())
    totals = [_memory(shape, Tuning(method="freeze", frozen_blocks=k)).total for k in range(3)]
    assert [full.total, *totals] == sorted([full.total, *totals], reverse=True)
    for tuning in (Tuning(), Tuning(method="lora", rank=3)):
        plain = estimate_memory(shape, tuning, batch_size=64, length=64)
        checked = estimate_memory(
            shape, tuning, batch_size=64, length=64, gradient_checkpointing=True
        )
        assert checked.activations < plain.activations
        eager = estimate_memory(shape, tuning, batch_size=64, length=64, attention="eager")
        assert eager.activations > plain.activations


def test_the_parts_add_up_to_the_total() -> None:
    memory = _memory(pythia(6, 512, 8), Tuning(method="lora", rank=8))
    parts = (memory.weights, memory.gradients, memory.optimizer, memory.activations)
    assert memory.total == sum(parts) + memory.cached_vectors


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"batch_size": 0}, "batch_size is 0, expected 1 or more"),
        ({"mini_batch": 0}, "mini_batch is 0, expected 1 or more"),
        ({"length": -1}, "length is -1, expected 1 or more"),
        ({"precision": "float8"}, "precision 'float8', expected 'float32' or 'bfloat16'"),
        ({"attention": "flash"}, "attention 'flash', expected 'fused' or 'eager'"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        estimate_memory(pythia(6, 128, 4), Tuning(), **{"batch_size": 4, "length": 8, **given})


def test_biases_that_are_not_there_cannot_be_tuned() -> None:
    with pytest.raises(ValueError, match="has no biases"):
        _memory(shape_of("llama"), Tuning(method="bias"))


def _memory(
    shape: ModelShape,
    tuning: Tuning,
    *,
    batch_size: int = N_PAIRS,
    mini_batch: int | None = None,
    precision: str = "float32",
) -> Memory:
    return estimate_memory(
        shape,
        tuning,
        batch_size=batch_size,
        mini_batch=mini_batch,
        length=LENGTH,
        precision=precision,
        attention="eager",
    )


def _kept_bytes(model: Any, precision: str) -> int:
    """Bytes of different storages that a forward pass leaves for the backward pass."""
    own = {value.untyped_storage().data_ptr() for value in model.parameters()}
    kept: dict[int, Any] = {}

    def keep(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage  # held, so that no address is used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        states = _states(model, N_PAIRS, precision)
    n_bytes = sum(int(storage.nbytes()) for storage in kept.values())
    assert states.requires_grad
    return n_bytes


def _states(model: Any, n_pairs: int, precision: str) -> Any:
    ids = torch.randint(2, 50, (2 * n_pairs, LENGTH))
    mask = torch.ones_like(ids)
    mask[:, -1] = 0
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"):
        return model(input_ids=ids, attention_mask=mask).last_hidden_state


def _peak_bytes(sizes: dict[str, Any], *, n_pairs: int, precision: str, checkpointing: bool) -> int:
    """Peak of a step of symmetric InfoNCE by torch's tracker, on tensors without numbers."""
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.distributed._tools.mem_tracker import MemTracker
    from torch.nn.functional import cross_entropy, normalize

    with FakeTensorMode():
        model = decoder_of("gpt_neox", **sizes)
        if checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": False})
        optimizer = torch.optim.AdamW(model.parameters(), fused=True)
        tracker = MemTracker()
        tracker.track_external(model, optimizer)
        for _ in range(2):  # the moments are made by the first step
            tracker.reset_mod_stats()
            with tracker:
                vectors = _states(model, n_pairs, precision).float().mean(1)
                left, right = (normalize(side, dim=-1) for side in vectors.chunk(2))
                scores, own = left @ right.T * 40, torch.arange(n_pairs)
                loss = (cross_entropy(scores, own) + cross_entropy(scores.T, own)) / 2
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                optimizer.zero_grad()
        peaks = tracker.get_tracker_snapshot("peak")
    return int(next(found["Total"] for device, found in peaks.items() if device.type == "cpu"))
