"""Models in fewer bytes: numbers of fewer bits, smaller vocabularies, rows that tokens share.

One rule: every function takes a `Checkpoint` and gives another; what it costs is measured by the
caller, on the caller's own sets.
"""

from vecsmith.compression.clustering import cluster
from vecsmith.compression.pruning import prune
from vecsmith.compression.rounding import quantize_rows, with_dtype

__all__ = ["cluster", "prune", "quantize_rows", "with_dtype"]
