"""What a model is held against: words counted, and vectors that mean nothing."""

from vecsmith.evaluation.baselines.lexical import Bm25, Tfidf
from vecsmith.evaluation.baselines.random_vectors import RandomVectors

__all__ = ["Bm25", "RandomVectors", "Tfidf"]
