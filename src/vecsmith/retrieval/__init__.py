"""Nearest vectors: exact search."""

from vecsmith.retrieval.exact import Similarity, search

__all__ = ["Similarity", "search"]
