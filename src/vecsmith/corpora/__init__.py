"""Texts and pairs to train on: streams of rows from files, folders, data sets and memory."""

from vecsmith.corpora.corpus import Corpus, open_corpus
from vecsmith.corpora.decontamination import (
    ContaminatedText,
    ContaminationReport,
    Decontaminator,
    decontaminated,
)
from vecsmith.corpora.pairs import PairCorpus, PairRows, open_pairs
from vecsmith.corpora.rows import Limits, Position, Rows
from vecsmith.corpora.texts import CorpusReport, TextCorpus, texts_of

__all__ = [
    "ContaminatedText",
    "ContaminationReport",
    "Corpus",
    "CorpusReport",
    "Decontaminator",
    "Limits",
    "PairCorpus",
    "PairRows",
    "Position",
    "Rows",
    "TextCorpus",
    "decontaminated",
    "open_corpus",
    "open_pairs",
    "texts_of",
]
