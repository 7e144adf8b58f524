"""Our models in MTEB's benchmarks; importing this imports nothing of mteb, using it does."""

from vecsmith.evaluation.mteb.encoder import MtebEncoder
from vecsmith.evaluation.mteb.run import MtebScores, run_mteb

__all__ = ["MtebEncoder", "MtebScores", "run_mteb"]
