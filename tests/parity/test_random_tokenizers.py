"""Tokenizers of random parts give the reference ids: nothing is lost between the parts."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.parity.comparison import Tally, compare
from tests.parity.random_tokenizers import random_tokenizer, random_tokenizer_texts
from vecsmith.tokenizer import Tokenizer


@pytest.mark.parametrize("first", range(0, 400, 50))
def test_ids_and_strings_of_random_tokenizers_are_the_reference_ones(first: int) -> None:
    total = Tally()
    reasons: Counter[str] = Counter()
    for seed in range(first, first + 50):
        text = random_tokenizer(seed)
        engine = Tokenizer(text)
        if not engine.is_native:
            reasons[str(engine.fallback_reason)] += 1
            continue
        tally = compare(random_tokenizer_texts(seed, 60), text, engine)
        tally.examples = [f"seed {seed}: {example}" for example in tally.examples]
        total.add(tally)
    assert total.differences == 0, "\n".join(total.examples)
    # where few were compared, the engine has lost something that it could do
    assert sum(reasons.values()) <= 25, reasons
