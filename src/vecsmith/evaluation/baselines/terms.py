"""Text of any language -> terms: what the baselines that match words count.

The one rule: what is done to a letter depends on the letter, not on what language a text is said to
be in; the language only chooses the stemmer.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from vecsmith._extras import require
from vecsmith.evaluation.tasks.languages import languages_in

_RULES: Final = "1"  # changes when terms do

# Snowball's algorithm by ISO 639-1 code.
_STEMMERS: Final = {
    "ar": "arabic",
    "ca": "catalan",
    "cs": "czech",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "eo": "esperanto",
    "es": "spanish",
    "et": "estonian",
    "eu": "basque",
    "fa": "persian",
    "fi": "finnish",
    "fr": "french",
    "ga": "irish",
    "hi": "hindi",
    "hu": "hungarian",
    "hy": "armenian",
    "id": "indonesian",
    "it": "italian",
    "lt": "lithuanian",
    "nb": "norwegian",
    "ne": "nepali",
    "nl": "dutch",
    "nn": "norwegian",
    "no": "norwegian",
    "pl": "polish",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sr": "serbian",
    "st": "sesotho",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
    "yi": "yiddish",
}

# Scripts that put no space between words (Thai and Lao; Burmese; Khmer; Han with its iteration
# marks, kana and bopomofo), and Hangul, where a word carries its particles.
_UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
    "\u3005-\u3007\u3040-\u312f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\uac00-\ud7a3\U00020000-\U000323af"
)
_ASCII_WORD: Final = re.compile("[a-z0-9]+")
_DOTTED_I: Final = str.maketrans("İI", "iı")
_LONGEST_STEMMED: Final = 64  # longer "words" are addresses and keys


class TermSplitter:
    """Splits texts of one language into terms.

    Compatibility forms of letters are made plain (NFKC), everything is lower-cased, and words are
    runs of letters, digits and combining marks. A word is stemmed where Snowball has the language.
    In a run of a script without spaces the terms are its characters, each with its marks, and its
    pairs of neighbours; Hangul counts as such a script. There are no stop words.

    Chosen on train and dev splits (nDCG@10 of BM25 / TF-IDF). Stemming: scifact .668/.651 ->
    .696/.685, trecqa .512/.464 -> .552/.510, tydiqa English .757/.747 -> .780/.766. Stop words on
    top, scikit-learn's 318: BM25 gains .006 in the mean and TF-IDF loses .008, so none. Korean,
    tydiqa: words .417/.409, pairs .671/.659, characters and pairs .683/.673, triples .556/.556;
    Japanese and Chinese dev pairs (jsts, stsb) agree.

    Args:
        language: ISO 639-1 or 639-3 code, as in "de", "deu" or "pt-BR"; None if unknown: nothing
            is stemmed then.
    """

    def __init__(self, language: str | None) -> None:
        code = "" if language is None else languages_in(language)[0]
        self._stem = _stemmer(code)
        self._has_dotted_i = code in ("tr", "az")
        self._known: dict[str, list[str]] = {}

    def __call__(self, text: str) -> list[str]:
        """The terms of a text, in its order, repeated ones repeated."""
        if self._has_dotted_i:
            text = text.translate(_DOTTED_I)
        if text.isascii():
            words = _ASCII_WORD.findall(text.lower())
        else:
            words = _patterns().word.findall(
                unicodedata.normalize("NFKC", text).lower().replace("_", " ")
            )
        terms: list[str] = []
        for word in words:
            known = self._known.get(word)
            terms += self._learn(word) if known is None else known
        return terms

    def _learn(self, word: str) -> list[str]:
        if word.isascii() or not _patterns().unspaced.search(word):
            self._known[word] = [self._stemmed(word)]
            return self._known[word]
        terms: list[str] = []  # not remembered: a clause seldom comes twice
        for run in _patterns().run.findall(word):
            if _patterns().unspaced.match(run):
                terms += _characters_and_pairs(run)
            else:
                terms.append(self._stemmed(run))
        return terms

    def _stemmed(self, word: str) -> str:
        if self._stem is None or len(word) > _LONGEST_STEMMED:
            return word
        stem: str = self._stem(word)
        return stem


def splitter_versions() -> dict[str, str | None]:
    """What terms depend on besides the text and its language, by name."""
    return {
        "terms": _RULES,
        "Unicode": unicodedata.unidata_version,
        "PyStemmer": installed_version("PyStemmer"),
    }


def installed_version(distribution: str) -> str | None:
    """Version of an installed distribution, None if it is not there."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _stemmer(code: str) -> Any:
    if code not in _STEMMERS:
        return None
    stemmers = require("Stemmer", extra="eval", purpose="find the stems of words")
    algorithm = _STEMMERS[code]
    # older versions have fewer languages
    return stemmers.Stemmer(algorithm).stemWord if algorithm in stemmers.algorithms() else None


def _characters_and_pairs(run: str) -> list[str]:
    characters: list[str] = _patterns().character.findall(run)
    pairs = map(str.__add__, characters, characters[1:])
    return [*characters, *pairs]


class _Patterns:
    """Regular expressions that know every combining mark, which `\\w` leaves out."""

    def __init__(self) -> None:
        marks = _marks()
        self.word = re.compile(rf"[\w{marks}]+")
        self.unspaced = re.compile(f"[{_UNSPACED}]")
        self.run = re.compile(f"(?:[{_UNSPACED}][{marks}]*)+|[^{_UNSPACED}]+")
        self.character = re.compile(f".[{marks}]*")


@cache
def _patterns() -> _Patterns:
    return _Patterns()  # made when the first text needs it: a look at all of Unicode


def _marks() -> str:
    """All combining marks, as ranges of a character class."""
    ranges: list[list[int]] = []
    for point in range(sys.maxunicode + 1):
        if unicodedata.category(chr(point)).startswith("M"):
            if ranges and ranges[-1][1] == point - 1:
                ranges[-1][1] = point
            else:
                ranges.append([point, point])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)
