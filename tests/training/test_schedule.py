"""Learning rates over time, against transformers' schedules and by hand."""

from __future__ import annotations

import pytest
import torch

from vecsmith.training.schedule import Schedule


def test_linear_decay_after_the_warm_up_is_the_trainers() -> None:
    transformers = pytest.importorskip("transformers")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
    peer = transformers.get_linear_schedule_with_warmup(optimizer, 10, 100)
    ours = Schedule(peak=0.2, n_steps=100, n_warmup=10)
    for step in range(100):
        optimizer.step()
        if step >= 10:  # theirs rises from 0, so its first step does nothing; ours from peak / 10
            assert ours.rate(step) == pytest.approx(peer.get_last_lr()[0], abs=1e-12)
        peer.step()
    assert ours.rate(0) == pytest.approx(0.02)
    assert ours.rate(9) == ours.rate(10) == pytest.approx(0.2)


def test_cosine_and_constant_have_their_known_values() -> None:
    cosine = Schedule(peak=1.0, n_steps=11, n_warmup=1, decay="cosine", floor=0.1)
    assert cosine.rate(1) == pytest.approx(1.0)
    assert cosine.rate(6) == pytest.approx(0.55)
    assert cosine.rate(11) == cosine.rate(99) == pytest.approx(0.1)
    assert {Schedule(peak=0.3, n_steps=5, decay="constant").rate(s) for s in range(9)} == {0.3}


def test_figures_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="learning rate is -1"):
        Schedule(peak=-1.0, n_steps=5)
    with pytest.raises(ValueError, match="6 steps of warm-up do not fit 5"):
        Schedule(peak=1.0, n_steps=5, n_warmup=6)
    with pytest.raises(ValueError, match="decay is 'step'"):
        Schedule(peak=1.0, n_steps=5, decay="step")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="floor is 2"):
        Schedule(peak=1.0, n_steps=5, floor=2.0)
