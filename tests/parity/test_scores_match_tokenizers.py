"""Scores of Unigram models are read bit for bit as tokenizers reads them."""

from __future__ import annotations

import json
import random
import struct

import pytest

from vecsmith.formats.tokenizer_json import UnigramModel, read_tokenizer
from vecsmith.formats.tokenizer_json.numbers import float_of

tokenizers = pytest.importorskip("tokenizers")


def _file(scores: list[str]) -> str:
    vocabulary = ", ".join(f'["t{i}", {score}]' for i, score in enumerate(scores))
    model = f'{{"type": "Unigram", "unk_id": 0, "byte_fallback": false, "vocab": [{vocabulary}]}}'
    return (
        '{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], '
        '"normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": null, '
        f'"model": {model}}}'
    )


def _theirs(scores: list[str]) -> list[float]:
    # It writes the shortest decimals that mean the same float64, so reading them loses nothing.
    written = json.loads(tokenizers.Tokenizer.from_str(_file(scores)).to_str())
    return [float(score) for _, score in written["model"]["vocab"]]


def _digits(rng: random.Random, most: int) -> str:
    return "".join(rng.choice("0123456789") for _ in range(rng.randrange(1, most)))


def _number(rng: random.Random) -> str:
    kind = rng.randrange(4)
    if kind == 0:  # a float32, as trainers write them
        return repr(struct.unpack("f", struct.pack("f", -rng.random() * 20))[0])
    if kind == 1:
        return repr(-rng.random() * 20)
    whole = "0" if rng.random() < 0.3 else rng.choice("123456789") + _digits(rng, 25)
    if kind == 2:
        return f"{rng.choice(('', '-'))}{whole}.{_digits(rng, 30)}"
    exponent = rng.choice(("", "+", "-")) + str(rng.randrange(280))
    return f"-{whole}.{_digits(rng, 22)}{rng.choice('eE')}{exponent}"


def test_any_decimal_number_is_the_float_that_tokenizers_reads() -> None:
    rng = random.Random(5)
    scores = [_number(rng) for _ in range(20_000)]
    scores += ["18446744073709551616.5", "18446744073709551615.9", "1.0e-330", "0.0e9", "4.9e-324"]
    assert [float_of(score) for score in scores] == _theirs(scores)


def test_many_of_them_are_not_the_nearest_float() -> None:
    rng = random.Random(6)
    scores = [repr(-rng.random() * 20) for _ in range(2000)]
    assert 100 < sum(float(score) != float_of(score) for score in scores) < 1000


def test_a_model_has_the_scores_of_tokenizers() -> None:
    rng = random.Random(7)
    scores = [repr(-rng.random() * 20) for _ in range(2000)]
    native = read_tokenizer(_file(scores)).native
    assert native is not None
    assert isinstance(native.model, UnigramModel)
    assert native.model.scores.tolist() == _theirs(scores)
