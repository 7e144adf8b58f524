"""Hard negatives: which candidates become negatives, and which must not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.pair_sets import pairs_of, random_pairs, store_of
from vecsmith.errors import FormatError
from vecsmith.training.mining import MinedPairs, mine_hard_negatives


class Angles:
    """An encoder of texts that end in a number of degrees: similarity is the cosine between."""

    fingerprint = "angles"

    def __init__(self) -> None:
        self.seen: list[str] = []

    def encode(self, texts: Sequence[str]) -> NDArray[np.float64]:
        self.seen += texts
        angles = np.radians([float(text.split()[-1]) for text in texts])
        return 3 * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def rows_of(mined: MinedPairs) -> list[tuple[Any, ...]]:
    return [row for part in mined.pairs.read() for row in zip(*part.texts.values(), strict=True)]


# positives at 10, 20, ... 80 degrees from the anchor "q 0"
FAN = [("q 0", "p 10")] + [(f"other {90 + i}", f"p {10 * i}") for i in range(2, 9)]


def negatives_of_first(mined: MinedPairs) -> list[str]:
    return list(rows_of(mined)[0][2:])


def test_the_nearest_that_are_not_right_become_negatives() -> None:
    mined = mine_hard_negatives(pairs_of(FAN), Angles(), n_negatives=3, relative_margin=None)
    assert negatives_of_first(mined) == ["p 20", "p 30", "p 40"]
    assert mined.pairs.roles == ("anchor", "positive", "negative_1", "negative_2", "negative_3")
    assert np.allclose(mined.positive_scores[0], np.cos(np.radians(10)), atol=1e-6)
    assert np.allclose(mined.negative_scores[0], np.cos(np.radians([20, 30, 40])), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # cos 10 is 0.985, of which 95 % is 0.936: cos 20 is 0.940, cos 30 is 0.866
        ({"relative_margin": 0.05}, ["p 30", "p 40"]),
        ({"relative_margin": None}, ["p 20", "p 30"]),
        # cos 40 is 0.766, cos 50 is 0.643
        ({"absolute_margin": 0.25}, ["p 50", "p 60"]),
        ({"max_score": 0.6, "relative_margin": None}, ["p 60", "p 70"]),
        ({"range_min": 2}, ["p 50", "p 60"]),
        ({"range_max": 2, "relative_margin": None}, ["p 20", "p 30"]),
    ],
)
def test_a_candidate_must_pass_what_guards_against_right_ones(
    options: dict[str, Any], expected: list[str]
) -> None:
    mined = mine_hard_negatives(pairs_of(FAN), Angles(), n_negatives=2, **options)
    assert negatives_of_first(mined) == expected


def test_of_several_positives_the_least_similar_sets_the_guard() -> None:
    rows = [("q 0", "p 10"), ("q 0", "p 45"), *FAN[1:]]
    mined = mine_hard_negatives(
        pairs_of(rows), Angles(), n_negatives=1, absolute_margin=0.0, relative_margin=None
    )
    # all nearer than 45 degrees are refused, for both rows of the anchor
    assert [row[2] for row in rows_of(mined)[:2]] == ["p 50", "p 50"]


def test_neither_the_anchor_nor_a_positive_in_another_spelling_is_a_negative() -> None:
    rows = [
        ("Why 0", "Because 10"),
        ("x 90", "why  0"),  # the anchor, as the positive of another
        ("x 91", "because 10"),  # the positive, in lower case
        ("x 92", "no 20"),
    ]
    mined = mine_hard_negatives(pairs_of(rows), Angles(), n_negatives=1, relative_margin=None)
    assert negatives_of_first(mined) == ["no 20"]
    assert mined.report.refused["known to be right"] >= 4


def test_texts_of_a_corpus_are_candidates_too() -> None:
    mined = mine_hard_negatives(
        pairs_of(FAN), Angles(), n_negatives=2, corpus=["extra 33", "extra 33", "extra 80"]
    )
    assert negatives_of_first(mined) == ["p 30", "extra 33"]


def test_rows_without_both_texts_or_all_negatives_are_left_out_and_counted() -> None:
    rows = [(None, "p 10"), ("q 1", ""), ("q 0", None), *FAN, ("lone 0", "p 85")]
    source = pairs_of(rows)
    mined = mine_hard_negatives(source, Angles(), n_negatives=3, relative_margin=0.05)
    assert mined.report.n_read == 12
    # of the last anchor all but "p 85" are nearer than its positive
    assert mined.report.skipped["missing text"] == 3
    assert mined.report.skipped["too few negatives"] >= 1
    assert 11 not in mined.numbers
    assert mined.numbers[0] == 3
    assert mined.report.n_kept == len(mined.numbers) == len(rows_of(mined))
    n_skipped = sum(mined.report.skipped.values())
    assert mined.report.n_kept + n_skipped == mined.report.n_read
    assert "3 left out: missing text" in str(mined.report)


def test_negatives_that_are_there_stay_and_mined_ones_come_after() -> None:
    rows = [(a, p, "given 5") for a, p in FAN]
    source = pairs_of(rows, "anchor", "positive", "negative_1")
    mined = mine_hard_negatives(source, Angles(), n_negatives=1)
    assert mined.pairs.roles == ("anchor", "positive", "negative_1", "negative_2")
    assert rows_of(mined)[0] == ("q 0", "p 10", "given 5", "p 30")


def test_random_negatives_are_drawn_evenly_from_those_the_guards_leave() -> None:
    counts: Counter[str] = Counter()
    for seed in range(300):
        mined = mine_hard_negatives(
            pairs_of(FAN), Angles(), n_negatives=2, strategy="random", range_max=5, seed=seed
        )
        drawn = negatives_of_first(mined)
        assert drawn == sorted(drawn)  # nearest first
        counts.update(drawn)
    # of the five nearest that are not right "p 20" is refused; of the other four two are drawn:
    # each 150 times, give or take 4 sigma
    assert set(counts) == {"p 30", "p 40", "p 50", "p 60"}
    assert all(abs(n - 150) < 4 * np.sqrt(300 * 0.5 * 0.5) for n in counts.values())
    again = mine_hard_negatives(
        pairs_of(FAN), Angles(), n_negatives=2, strategy="random", range_max=5, seed=299
    )
    assert negatives_of_first(again) == drawn


def test_queries_and_documents_go_through_their_own_methods() -> None:
    class Turned(Angles):
        def encode_query(self, texts: Sequence[str]) -> Any:
            return -super().encode(texts)

        def encode_document(self, texts: Sequence[str]) -> Any:
            return super().encode(texts)

    mined = mine_hard_negatives(pairs_of(FAN), Turned(), n_negatives=1, relative_margin=None)
    assert negatives_of_first(mined) == ["p 80"]


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(f"a {i * 7 % 360}", f"b {i * 11 % 360}") for i in range(60)]
    whole = mine_hard_negatives(pairs_of(rows), Angles(), strategy="random")
    monkeypatch.setattr("vecsmith.training.mining._BLOCK_ROWS", 7)
    monkeypatch.setattr("vecsmith.training.mining_texts._SHARD_TEXTS", 11)
    parts = mine_hard_negatives(pairs_of(rows), Angles(), strategy="random")
    assert rows_of(parts) == rows_of(whole)
    assert parts.report == whole.report


def test_vectors_kept_in_a_folder_are_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vecsmith.training.mining_texts._SHARD_TEXTS", 4)
    fresh = mine_hard_negatives(pairs_of(FAN), Angles())

    class Stopping(Angles):
        def encode(self, texts: Sequence[str]) -> Any:
            if len(self.seen) >= 8:
                raise KeyboardInterrupt
            return super().encode(texts)

    first, second, third = Stopping(), Angles(), Angles()
    with pytest.raises(KeyboardInterrupt):
        mine_hard_negatives(pairs_of(FAN), first, work=tmp_path)
    resumed = mine_hard_negatives(pairs_of(FAN), second, work=tmp_path)
    assert not set(first.seen) & set(second.seen)
    assert rows_of(resumed) == rows_of(fresh)
    mine_hard_negatives(pairs_of(FAN), third, work=tmp_path)
    assert third.seen == []
    # a file that is cut short is made again, and so are the vectors of other texts
    path = sorted(tmp_path.iterdir())[0]
    path.write_bytes(path.read_bytes()[:-3])
    assert rows_of(mine_hard_negatives(pairs_of(FAN), third, work=tmp_path)) == rows_of(fresh)
    assert len(third.seen) == 4
    mine_hard_negatives(pairs_of(FAN[1:]), third, work=tmp_path)
    assert len(third.seen) > 4


def test_vectors_of_an_encoder_without_fingerprint_are_not_kept(tmp_path: Path) -> None:
    class Nameless(Angles):
        fingerprint = ""

    with pytest.raises(ValueError, match="Nameless has no fingerprint"):
        mine_hard_negatives(pairs_of(FAN), Nameless(), work=tmp_path)


def test_mined_pairs_make_a_token_store(tmp_path: Path, tiny_tokenizer_json: str) -> None:
    mined = mine_hard_negatives(pairs_of(FAN), Angles(), n_negatives=2)
    store = store_of(tiny_tokenizer_json, tmp_path, mined.pairs)
    (source,) = store.sources
    assert source.text_roles == ("anchor", "positive", "negative_1", "negative_2")
    assert len(source) == len(mined.numbers)
    again = mine_hard_negatives(pairs_of(FAN), Angles(), n_negatives=2)
    assert again.pairs.fingerprint == mined.pairs.fingerprint
    other = mine_hard_negatives(pairs_of(FAN), Angles(), n_negatives=2, relative_margin=0.1)
    assert other.pairs.fingerprint != mined.pairs.fingerprint


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_negatives": 0}, "n_negatives is 0"),
        ({"range_min": -1}, "range_min is -1"),
        ({"range_min": 3, "range_max": 5}, "room for 3 negatives"),
        ({"strategy": "hardest"}, "strategy 'hardest'"),
        ({"max_score": -1.0}, r"no row of 8 got 3 negatives"),
    ],
)
def test_settings_that_give_nothing_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mine_hard_negatives(pairs_of(FAN), Angles(), **options)


def test_graded_pairs_and_pairs_without_texts_are_refused() -> None:
    graded = pairs_of([(a, p, 0.5) for a, p in FAN], "anchor", "positive", "score")
    with pytest.raises(ValueError, match="pairs with scores"):
        mine_hard_negatives(graded, Angles())
    with pytest.raises(ValueError, match="no row has both texts"):
        mine_hard_negatives(pairs_of([(" ", "b 1"), ("a 1", "")]), Angles())


def test_vectors_that_are_not_finite_or_too_few_are_refused() -> None:
    class Broken(Angles):
        def encode(self, texts: Sequence[str]) -> Any:
            return np.full((len(texts), 2), np.nan)

    class Short(Angles):
        def encode(self, texts: Sequence[str]) -> Any:
            return super().encode(texts)[:-1]

    with pytest.raises(ValueError, match="not finite for 8 texts, the first 'q 0'"):
        mine_hard_negatives(pairs_of(FAN), Broken())
    with pytest.raises(ValueError, match=r"gave shape \[7, 2\] for 8 texts"):
        mine_hard_negatives(pairs_of(FAN), Short())


@pytest.fixture(scope="module")
def peer(minilm_tokenizer_json: str) -> Any:
    """A static model of sentence-transformers with rows at random."""
    package = pytest.importorskip("sentence_transformers")
    pytest.importorskip("datasets")
    tokenizers = pytest.importorskip("tokenizers")
    modules = pytest.importorskip("sentence_transformers.sentence_transformer.modules")
    tokenizer = tokenizers.Tokenizer.from_str(minilm_tokenizer_json)
    rows = np.random.default_rng(0).normal(size=(30522, 48)).astype(np.float32)
    static = modules.StaticEmbedding(tokenizer, embedding_weights=rows)
    return package.SentenceTransformer(modules=[static], device="cpu")


def texts_of(folder: Path, n: int) -> list[tuple[str, str]]:
    from vecsmith.corpora import open_pairs

    part = next(open_pairs(folder / "pairs.parquet").read())
    both = zip(part.texts["anchor"][:n], part.texts["positive"][:n], strict=True)
    return [(str(anchor), str(positive)) for anchor, positive in both]


def related_pairs(n: int) -> list[tuple[str, str]]:
    """Pairs of which the positive has words of the anchor."""
    rows = random_pairs(n)
    return [(anchor, f"{anchor.split()[0]} {positive} {anchor}") for anchor, positive in rows]


@pytest.mark.parametrize("name", ["papers", "asset", "made up"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_negatives": 5, "relative_margin": 0.05},
        {"num_negatives": 4, "relative_margin": 0.05, "range_max": 30},
        {"num_negatives": 2, "absolute_margin": 0.1, "max_score": 0.5},
        {"num_negatives": 3, "range_min": 4, "range_max": 40, "relative_margin": 0.2},
        {"num_negatives": 1, "range_min": 10},
    ],
)
def test_negatives_are_those_of_sentence_transformers(
    request: pytest.FixtureRequest, peer: Any, name: str, options: dict[str, Any]
) -> None:
    from sentence_transformers.util import mine_hard_negatives as mine_as_peer

    rows = related_pairs(300)
    if name != "made up":
        rows = texts_of(request.getfixturevalue("shared_data") / name, 120)
    datasets = pytest.importorskip("datasets")
    dataset = datasets.Dataset.from_dict(
        {"anchor": [row[0] for row in rows], "positive": [row[1] for row in rows]}
    )
    theirs = mine_as_peer(
        dataset, peer, output_format="n-tuple", output_scores=True, verbose=False, **options
    )
    own = {"relative_margin": None} | options
    own["n_negatives"] = own.pop("num_negatives", 3)
    mined = mine_hard_negatives(pairs_of(rows), peer, **own)
    expected = {tuple(row[c] for c in theirs.column_names[:-1]): row["scores"] for row in theirs}
    ours = dict(zip(rows_of(mined), _scores(mined), strict=True))
    assert len(expected) > 10
    assert set(expected) <= set(ours)
    # where the nearest few do not suffice we look further, unless told how far
    assert len(ours) == len(expected) or "range_max" not in options
    for row, scores in expected.items():
        assert np.allclose(ours[row], scores, atol=1e-6)


def test_negatives_are_the_nearest_that_brute_force_leaves(
    peer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # positives that have nothing of the anchor: for most, dozens of texts are nearer
    rows = random_pairs(300)
    monkeypatch.setattr("vecsmith.training.mining._BLOCK_ROWS", 64)
    mined = mine_hard_negatives(pairs_of(rows), peer, n_negatives=2, relative_margin=0.05)
    anchors, positives = (
        np.asarray(peer.encode(list(texts)), dtype=np.float64) for texts in zip(*rows, strict=True)
    )
    anchors /= np.linalg.norm(anchors, axis=1, keepdims=True)
    positives /= np.linalg.norm(positives, axis=1, keepdims=True)
    scores = anchors @ positives.T
    ceilings = np.diag(scores) - 0.05 * abs(np.diag(scores))
    expected = []
    for i, row in enumerate(rows):
        left = [j for j in np.argsort(-scores[i]) if j != i and scores[i, j] <= ceilings[i]]
        if len(left) >= 2:
            expected.append((*row, *(rows[j][1] for j in left[:2])))
    assert rows_of(mined) == expected
    assert len(expected) > 250


def test_random_negatives_are_drawn_from_what_sentence_transformers_keeps(peer: Any) -> None:
    from sentence_transformers.util import mine_hard_negatives as mine_as_peer

    rows = related_pairs(200)
    datasets = pytest.importorskip("datasets")
    columns = dict(zip(("anchor", "positive"), map(list, zip(*rows, strict=True)), strict=True))
    options: dict[str, Any] = {"range_min": 2, "range_max": 12, "relative_margin": 0.1}
    theirs = mine_as_peer(
        datasets.Dataset.from_dict(columns), peer, num_negatives=10, verbose=False, **options
    )
    kept: dict[str, set[str]] = {}
    for row in theirs:
        kept.setdefault(row["anchor"], set()).add(row["negative"])
    drawn = mine_hard_negatives(pairs_of(rows), peer, n_negatives=3, strategy="random", **options)
    assert len(drawn.numbers) > 100
    assert all(set(row[2:]) <= kept[row[0]] for row in rows_of(drawn))


def _scores(mined: MinedPairs) -> NDArray[np.float32]:
    return np.concatenate([mined.positive_scores[:, None], mined.negative_scores], axis=1)


def test_a_file_that_is_no_table_is_an_error(tmp_path: Path) -> None:
    from vecsmith.corpora import open_pairs

    (tmp_path / "pairs.jsonl").write_text('{"anchor": "a", "positive": "b"}\n{"anchor": 3')
    with pytest.raises(FormatError, match=r"pairs\.jsonl"):
        mine_hard_negatives(open_pairs(tmp_path / "pairs.jsonl"), Angles())
