"""Texts in mapped files, by number and by name."""

from vecsmith.retrieval.texts.store import TextStore, TextStoreWriter

__all__ = ["TextStore", "TextStoreWriter"]
