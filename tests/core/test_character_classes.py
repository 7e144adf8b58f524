"""The engine's character classes against the library they are measured from."""

import random
import re
from pathlib import Path

import generate_classes as generator
import pytest
from _unicode_probing import CODE_POINTS, TOKENIZERS_VERSION

tokenizers = pytest.importorskip("tokenizers", reason="the classes follow `tokenizers`")

if tokenizers.__version__ != TOKENIZERS_VERSION:
    pytest.skip(
        f"the classes follow tokenizers {TOKENIZERS_VERSION}, "
        f"installed is {tokenizers.__version__}",
        allow_module_level=True,
    )

ROOT = Path(__file__).parents[2]


def stored_bits() -> dict[int, int]:
    """The traits of each code point in the checked-in table."""
    text = generator.TABLE_PATH.read_text(encoding="ascii")
    arrays = re.findall(r"\[\] = \{(.*?)\}", text, re.DOTALL)
    pages, classes, traits = (
        [int(number.rstrip("U"), 0) for number in values.replace("\n", "").split(",") if number]
        for values in arrays
    )
    size = generator.PAGE_SIZE
    return {c: traits[classes[pages[c // size] * size + c % size]] for c in CODE_POINTS}


BITS = stored_bits()


def stored(*names: str) -> frozenset[int]:
    """The code points that the table gives any of these traits."""
    mask = sum(1 << generator.TRAITS.index(name) for name in names)
    return frozenset(c for c, bits in BITS.items() if bits & mask)


@pytest.mark.parametrize("union", generator.UNIONS)
def test_letters_and_their_like_are_those_of_regular_expressions(union: str) -> None:
    parts = [name for name in generator.CATEGORIES if name[0] == union]
    assert stored(*parts) == generator.matches(rf"\p{{{union}}}")


@pytest.mark.parametrize(
    ("pattern", "trait"),
    [(r"\s", "space"), (r"\w", "regex_word"), (r"\p{Lu}", "Lu"), (r"\p{Han}", "Han")],
)
def test_spaces_words_capitals_and_han_are_those_of_regular_expressions(
    pattern: str, trait: str
) -> None:
    assert stored(trait) == generator.matches(pattern)


def test_the_other_traits_are_those_of_the_pre_tokenizers() -> None:
    from tokenizers import pre_tokenizers

    pre_tokenizer_of = {
        "plain_word": (pre_tokenizers.Whitespace(), 1),
        "numeric": (pre_tokenizers.Digits(individual_digits=True), 3),
        "isolated": (pre_tokenizers.Punctuation(), 3),
    }
    sample = random.Random(7).sample(CODE_POINTS, 20_000) + list(range(0x3100))
    for trait, (pre_tokenizer, n_pieces) in pre_tokenizer_of.items():
        held = stored(trait)
        for c in sample:
            pieces = pre_tokenizer.pre_tokenize_str(f"a{chr(c)}b")
            assert (len(pieces) == n_pieces) == (c in held), (trait, hex(c))


def test_the_bits_have_the_order_of_the_header() -> None:
    header = (ROOT / "cpp" / "include" / "vecsmith" / "character_classes.hpp").read_text()
    places = [int(place) for place in re.findall(r"= 1ULL << (\d+),", header)]
    assert places == list(range(len(generator.TRAITS)))
