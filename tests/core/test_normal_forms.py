"""The tables of the normal forms against the library they are measured from."""

import random
from dataclasses import replace
from functools import cache

import generate_normal_forms as generator
import pytest
from _unicode_probing import TOKENIZERS_VERSION

tokenizers = pytest.importorskip("tokenizers", reason="the tables follow `tokenizers`")

if tokenizers.__version__ != TOKENIZERS_VERSION:
    pytest.skip(
        f"the tables follow tokenizers {TOKENIZERS_VERSION}, installed is {tokenizers.__version__}",
        allow_module_level=True,
    )


@cache
def measured() -> generator.Forms:
    # where decompositions, marks and Hangul are; the slow test below asks about all
    points = [*range(0x3400), *range(0xA000, 0xD800), *range(0xF900, 0x12000)]
    points += [*range(0x16A00, 0x17000), *range(0x1BC00, 0x1BD00), *range(0x1D000, 0x1F300)]
    return generator.probe_forms([*points, *range(0x2F800, 0x2FA20)])


def test_the_primitives_compose_to_every_normal_form() -> None:
    assert generator.disagreements(measured(), 30_000, seed=3) == []


def test_the_comparison_notices_one_pair_that_is_missing() -> None:
    forms = measured()
    pairs = {halves: composite for halves, composite in forms.pairs.items() if composite != "é"}
    damaged = replace(forms, pairs=pairs)
    assert damaged.normalize("e\u0301", "NFC") != tokenizers.normalizers.NFC().normalize_str(
        "e\u0301"
    )
    assert forms.normalize("e\u0301", "NFC") == "é"


def test_what_lies_between_two_characters_outside_a_set_normalizes_alone() -> None:
    forms = measured()
    rng = random.Random(6)
    pools = generator.adversarial_pools(forms)
    for form in generator.FORMS:
        members = forms.members(form)
        for _ in range(4_000):
            text = generator.adversarial_text(pools, rng)
            cuts = [i for i, c in enumerate(text) if ord(c) not in members]
            parts = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
            normal = [forms.normalize(part, form) for part in parts]
            assert forms.normalize(text, form) == "".join(normal)


@pytest.mark.slow
def test_the_files_are_what_the_generator_writes() -> None:
    for path, text in generator.tables(generator.probe_forms()).items():
        assert path.read_text(encoding="ascii") == text
