"""How good a model is: tasks, metrics, and what comes of running one on the other."""

from vecsmith.evaluation.baselines import Bm25, RandomVectors, Tfidf
from vecsmith.evaluation.dims import quality_by_dim
from vecsmith.evaluation.embedding_cache import EmbeddingCache
from vecsmith.evaluation.evaluator import evaluate

__all__ = ["Bm25", "EmbeddingCache", "RandomVectors", "Tfidf", "evaluate", "quality_by_dim"]
