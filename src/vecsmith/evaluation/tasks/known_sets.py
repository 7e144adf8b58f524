"""Languages of well-known public sets, which their files do not tell.

The one rule: a set counts as known by its name and its kind; a `task.toml` comes first.
"""

from __future__ import annotations

from vecsmith.results import Kind

_BY_LANGUAGE: dict[str, dict[Kind, str]] = {
    "en": {
        "similarity": "biosses sick sickr sts12 sts13 sts14 sts15 sts16 stsb",
        "retrieval": "arguana asset cranfield fiqa med medquad nfcorpus papers_retrieval quora "
        "scidocs scifact trecqa wiki_split",
        "classification": "ag_news banking77 cr hwu64 imdb movie_reviews mpqa mr snips sst2 sst5 "
        "subj trec tweet_emoji tweet_irony tweet_offensive",
        "pair-classification": "mnli mrpc qqp rte snli",
    },
    "ja": {"similarity": "jsts", "pair-classification": "jnli"},
    "ko": {
        "similarity": "klue_sts korsts",
        "classification": "nsmc",
        "pair-classification": "klue_nli kornli_xnli",
        "triplets": "kornli_xnli",
        "clustering": "parakqc",
    },
}
_LANGUAGE_OF = {
    (name, kind): language
    for language, kinds in _BY_LANGUAGE.items()
    for kind, names in kinds.items()
    for name in names.split()
}


def known_language(name: str, kind: Kind) -> str | None:
    """Language of a public set by its folder's name, or None.

    Args:
        name: Of the folder, in any case, with - or _.
        kind: What the set asks.
    """
    return _LANGUAGE_OF.get((name.lower().replace("-", "_"), kind))
