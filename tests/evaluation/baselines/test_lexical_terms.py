"""Text of any language -> terms."""

from __future__ import annotations

import re
import unicodedata

import pytest
import Stemmer
from hypothesis import given
from hypothesis import strategies as st

from vecsmith.evaluation.baselines.terms import TermSplitter

plain = TermSplitter(None)


def test_words_are_runs_of_letters_and_digits_in_lower_case() -> None:
    assert plain("The cat, the DOG_house & 42nd street's e-mail!") == (
        "the cat the dog house 42nd street s e mail".split()
    )


def test_a_combining_mark_belongs_to_its_word() -> None:
    # the standard library's \w leaves out vowel signs: "हिन्दी" would fall into four pieces
    assert len(re.findall(r"\w+", "हिन्दी")) > 1
    assert plain("हिन्दी में") == ["हिन्दी", "में"]
    assert plain("مُحَمَّد") == ["مُحَمَّد"]
    assert plain("தமிழ்") == ["தமிழ்"]


def test_forms_of_a_letter_are_one_letter() -> None:
    decomposed = unicodedata.normalize("NFD", "Überraschung Việt Nam")
    assert plain(decomposed) == plain("überraschung việt nam")
    assert plain("ＡＢＣ １２３ ﬁne") == ["abc", "123", "fine"]
    assert plain("ｶﾀｶﾅ") == plain("カタカナ")


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("东京都", "东 京 都 东京 京都"),
        ("食べる", "食 べ る 食べ べる"),
        ("고양이", "고 양 이 고양 양이"),
        ("猫", "猫"),
        ("ที่", "ที่"),
        ("ที่นี่", "ที่ นี่ ที่นี่"),  # two letters with their marks, not six code points
    ],
)
def test_a_script_without_spaces_gives_characters_and_pairs(text: str, terms: str) -> None:
    for language in (None, "en", "zh", "ja", "ko", "th"):
        assert TermSplitter(language)(text) == terms.split()


def test_runs_of_different_scripts_are_split_apart() -> None:
    assert plain("iPhone用ケース2個") == "iphone 用 ケ ー ス 用ケ ケー ース 2 個".split()
    assert plain("東京 大阪") == "東 京 東京 大 阪 大阪".split()


@pytest.mark.parametrize(
    ("codes", "algorithm", "word"),
    [
        ("en eng en-US en_GB", "english", "running"),
        ("de deu", "german", "häuser"),
        ("ru rus", "russian", "собаками"),
        ("fr fra", "french", "continuellement"),
        ("hi hin", "hindi", "लड़कियाँ"),
        ("ar ara arb", "arabic", "الكتاب"),
        ("nb nob no nor", "norwegian", "husene"),
        ("el ell", "greek", "γάτες"),
    ],
)
def test_words_are_stemmed_as_snowball_does(codes: str, algorithm: str, word: str) -> None:
    word = unicodedata.normalize("NFKC", word)
    stem = Stemmer.Stemmer(algorithm).stemWord(word)
    assert stem != word
    for code in codes.split():
        assert TermSplitter(code)(word) == [stem]
    assert plain(word) == [word]


def test_a_language_without_a_stemmer_keeps_its_words() -> None:
    for code in ("sw", "vi", "tlh", ""):
        assert TermSplitter(code)("running dogs") == ["running", "dogs"]


def test_the_turkish_capital_of_the_dotted_i_has_a_dot() -> None:
    assert TermSplitter("tr")("İSTANBUL IRMAK") == TermSplitter("tr")("istanbul ırmak")
    assert TermSplitter("en")("ISTANBUL") == TermSplitter("en")("istanbul")


@given(st.text())
def test_any_text_has_terms_that_are_words_in_themselves(text: str) -> None:
    terms = plain(text)
    assert all(terms)
    assert not any(unicodedata.category(c)[0] in "ZCP" for term in terms for c in term)
    assert plain(text) == terms
    assert plain(f"{text} {text}") == terms + terms


@given(st.text(alphabet="ab c_é한漢กั\u0301\u200d9", max_size=20))
def test_a_space_separates(text: str) -> None:
    assert plain(f"{text} {text}") == 2 * plain(text)


def test_a_very_long_word_is_a_term() -> None:
    assert TermSplitter("en")("a" * 1_000_000) == ["a" * 1_000_000]
    assert len(TermSplitter("zh")("漢" * 10_000)) == 19_999
