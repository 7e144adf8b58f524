"""Which weights of a transformer a run trains: all, the last blocks, the biases, or adapters."""

from vecsmith.training.tuning.applying import TunedWeights, apply_tuning, count_weights
from vecsmith.training.tuning.merging import merged_adapters

__all__ = ["TunedWeights", "apply_tuning", "count_weights", "merged_adapters"]
