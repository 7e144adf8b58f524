"""Nearest vectors: exact search, and indexes that find candidates by short prefixes."""

from vecsmith.retrieval.exact import Similarity, search
from vecsmith.retrieval.index import AdaptiveIndex, Hits
from vecsmith.retrieval.plan import SearchPlan, Stage
from vecsmith.retrieval.text_index import TextIndex

__all__ = ["AdaptiveIndex", "Hits", "SearchPlan", "Similarity", "Stage", "TextIndex", "search"]
