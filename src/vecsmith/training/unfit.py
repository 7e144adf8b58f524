"""What is told apart from other mistakes: a run that no other try would make possible."""

from __future__ import annotations


class UnfitRun(ValueError):
    """What is asked for cannot be done with this model and these pairs, whoever asks again."""
