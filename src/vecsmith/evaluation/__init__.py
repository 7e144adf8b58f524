"""How good a model is: tasks, metrics, and what comes of running one on the other."""

from vecsmith.evaluation.embedding_cache import EmbeddingCache
from vecsmith.evaluation.evaluator import evaluate
from vecsmith.evaluation.lexical import Bm25, Tfidf
from vecsmith.evaluation.random_vectors import RandomVectors

__all__ = ["Bm25", "EmbeddingCache", "RandomVectors", "Tfidf", "evaluate"]
