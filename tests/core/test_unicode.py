"""The engine's Unicode tables against the library they are measured from."""

import random
import re
from dataclasses import replace
from typing import Any

import generate_unicode as generator
import pytest
from _unicode_probing import CODE_POINTS, TOKENIZERS_VERSION, jamo_of

tokenizers = pytest.importorskip("tokenizers", reason="the tables follow `tokenizers`")

if tokenizers.__version__ != TOKENIZERS_VERSION:
    pytest.skip(
        f"the tables follow tokenizers {TOKENIZERS_VERSION}, installed is {tokenizers.__version__}",
        allow_module_level=True,
    )


def read_table(text: str) -> Any:
    """The table that the C++ text holds, looked up as unicode.hpp looks it up."""
    arrays = dict(re.findall(r"const [\w:]+ (k\w+)\[\] = \{\n(.*?)\n\};", text, re.DOTALL))
    pages = [int(number) for number in re.findall(r"\d+", arrays["kPages"])]
    record_of = [int(number) for number in re.findall(r"\d+", arrays["kRecordOf"])]
    pool = "".join(chr(int(number, 16)) for number in re.findall(r"0x\w+", arrays["kExpansions"]))
    records = [
        [int(number) for number in record.split(",")]
        for record in re.findall(r"\{(.*?)\}", arrays["kRecords"])
    ]
    table = generator.Table()
    for c in CODE_POINTS:
        number = record_of[pages[c // 128] * 128 + c % 128]
        if number == 0:
            continue
        flags, combining_class, size, lower_size, begin, lower_begin = records[number]
        table.properties[c] = generator.Properties(
            flags,
            combining_class,
            jamo_of(c) if size == 0xFF else pool[begin : begin + size],
            pool[lower_begin : lower_begin + lower_size],
        )
    return table


@pytest.fixture(scope="module")
def table() -> Any:
    return read_table(generator.TABLE_PATH.read_text(encoding="ascii"))


def test_the_table_says_what_the_library_does(table: Any) -> None:
    # Every script in use, and a sample of the ideographs, private use and unassigned planes.
    sampled = set(random.Random(7).sample(CODE_POINTS, 20_000))
    sampled.update(range(0x3400), range(0xA480, 0xAC00), range(0xF900, 0x13600))
    asked = sorted(sampled.union(range(0x16800, 0x1FC00)) - set(range(0xD800, 0xE000)))
    measured = generator.probe_table(asked)
    wrong = [f"U+{c:04X}" for c in asked if measured[c] != table[c]]
    assert wrong == []


def test_the_file_is_what_the_generator_writes(table: Any) -> None:
    assert generator.TABLE_PATH.read_text(encoding="ascii") == generator.render(table)


def test_the_primitives_compose_to_every_bert_normalizer(table: Any) -> None:
    assert generator.disagreements(table, 48_000, seed=11) == []


def test_every_code_point_alone_normalizes_as_the_library_does(table: Any) -> None:
    notable = [c for c in table.properties if c < 0x3400 or table[c].decomposition]
    for options in generator.EVERY_OPTIONS:
        asked = generator.bert_normalizer(options).normalize_str
        wrong = [c for c in notable if asked(chr(c)) != table.normalize(chr(c), options)]
        assert wrong == [], options


def test_the_comparison_notices_one_wrong_combining_class(table: Any) -> None:
    mark = 0x08D4  # kept by strip_accents, so its place among other marks shows
    assert table[mark].combining_class == 230
    damaged = generator.Table(table.properties | {mark: replace(table[mark], combining_class=9)})
    assert generator.disagreements(damaged, 48_000, seed=11) != []


@pytest.mark.slow
def test_the_table_equals_a_measurement_of_every_code_point(table: Any) -> None:
    assert generator.probe_table().properties == table.properties
