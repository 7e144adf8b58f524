"""The pairs that models from nothing are trained on: public sets, without what is evaluated.

One rule: every trainer reads the same clean files, so the evaluation sets are looked for once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vecsmith.corpora import Decontaminator, PairCorpus, open_pairs
from vecsmith.evaluation.scoring import columns_of
from vecsmith.evaluation.tasks.finder import find_tasks
from vecsmith.evaluation.tasks.suites import EXCLUDED, GROUPS, Suite

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """What is trained on and scored in a language.

    Attributes:
        name: As shown.
        folders: Of the sets that are scored.
        test: Which of them count in the end, on their test rows.
        dev: Which of them, and of others, settings are chosen by, on their dev rows.
        pairs: The sets of pairs in a folder of public sets, by name.
        more_texts: Texts that the tokenizer is learnt from besides the pairs'.
        vocabulary: Tokens of the tokenizer.
        n_steps: Steps of every contender: about one pass over the pairs in batches of 2,048, of
            which those of small sets are smaller.
    """

    name: str
    folders: tuple[str, ...]
    test: Suite
    dev: Suite
    pairs: Callable[[Path], dict[str, PairCorpus]]
    more_texts: Callable[[Path], Iterable[str]]
    vocabulary: int
    n_steps: int


def korean_pairs(public: Path) -> dict[str, PairCorpus]:
    """Korean pairs, and English ones with their Korean translations.

    The rows of `kornli_xnli` that are its dev split stay out: settings are chosen by them.
    """
    pairs = {
        "tldr_en_ko": open_pairs(public / "tldr/en_ko.parquet"),
        "chatbot_ko": open_pairs(public / "chatbot_ko/pairs.parquet"),
        "kornli_xnli": open_pairs(public / "kornli_xnli/triplets.parquet", where={"split": "test"}),
        "tydiqa_ko": open_pairs(question_paragraphs(public / "tydiqa_train", "ko")),
        "tatoeba_ko": open_pairs(public / "tatoeba/pairs.parquet", where={"lang": "kor"}),
        "korsts": open_pairs(public / "korsts/data.parquet", where={"split": "train"}),
    }
    groups = pq.read_table(public / "parakqc/data.parquet", columns=["text", "group"])
    for place, paraphrases in enumerate(one_pair_a_group(groups.to_pylist()), start=1):
        pairs[f"parakqc_{place}"] = open_pairs(paraphrases)
    return pairs


def english_pairs(public: Path) -> dict[str, PairCorpus]:
    """English pairs: titles and abstracts, questions and answers, paraphrases, entailment."""
    entailed: dict[str, Any] = {"where": {"label": "entailment", "split": "train"}}
    return {
        "papers": open_pairs(public / "papers/pairs.parquet"),
        "medquad": open_pairs(public / "medquad/pairs.parquet", where={"split": "train"}),
        "tldr": open_pairs(public / "tldr/commands.parquet"),
        "asset": open_pairs(public / "asset/pairs.parquet", where={"split": "train"}),
        "wiki_split": open_pairs(public / "wiki_split/pairs.parquet", split="all"),
        "pawsx": open_pairs(
            public / "pawsx/data.parquet",
            where={"lang": "en", "label": 1},
            roles=["sentence1", "sentence2"],
        ),
        "xnli": open_pairs(public / "xnli/triplets.parquet", split="all", where={"lang": "en"}),
        "rte": open_pairs(public / "rte/nli.parquet", roles=["premise", "hypothesis"], **entailed),
        "tydiqa_en": open_pairs(question_paragraphs(public / "tydiqa_train", "en")),
    }


def question_paragraphs(folder: Path, language: str) -> list[Pair]:
    """Questions of a retrieval set in one language, each with its relevant text."""
    of_language = [("lang", "=", language)]
    corpus = pq.read_table(folder / "corpus.parquet", filters=of_language).to_pylist()
    queries = pq.read_table(folder / "queries.parquet", filters=of_language).to_pylist()
    texts = {row["id"]: row["text"] for row in corpus}
    questions = {row["id"]: row["text"] for row in queries}
    return [
        (questions[row["query_id"]], texts[row["doc_id"]])
        for row in pq.read_table(folder / "qrels.parquet").to_pylist()
        if row["relevance"] > 0 and row["query_id"] in questions and row["doc_id"] in texts
    ]


def one_pair_a_group(rows: Iterable[Mapping[str, Any]]) -> list[list[Pair]]:
    """Pairs of texts that mean the same, in lists that have one pair of each group.

    A batch is of one list, so that no paraphrase of a text is among its negatives.
    """
    members: dict[Any, list[str]] = {}
    for row in rows:
        members.setdefault(row["group"], []).append(row["text"])
    lists: list[list[Pair]] = []
    for texts in members.values():
        for place in range(len(texts) // 2):
            if place == len(lists):
                lists.append([])
            lists[place].append((texts[2 * place], texts[2 * place + 1]))
    return lists


def _film_reviews(public: Path) -> Iterator[str]:
    """Training texts of nsmc, without their labels: the tokenizer alone sees them."""
    table = pq.read_table(public / "nsmc/data.parquet", filters=[("split", "=", "train")])
    yield from table["text"].to_pylist()


LANGUAGES = {
    "ko": Language(
        name="Korean",
        folders=("korsts", "klue_nli", "nsmc", "kornli_xnli"),
        test=Suite(name="korean", tasks=("korsts", "klue_nli", "nsmc")),
        dev=Suite(name="korean dev", tasks=("korsts", "nsmc", "kornli_xnli/nli")),
        pairs=korean_pairs,
        more_texts=_film_reviews,
        vocabulary=32_000,
        n_steps=32,
    ),
    "en": Language(
        name="English",
        folders=tuple(
            dict.fromkeys(name.partition("[")[0] for names in GROUPS.values() for name in names)
        ),
        test=Suite(
            name="groups",
            tasks=tuple(name for names in GROUPS.values() for name in names),
            exclude=EXCLUDED,
        ),
        dev=Suite(
            name="groups dev",
            tasks=tuple(name for names in GROUPS.values() for name in names),
            exclude=EXCLUDED,
        ),
        pairs=english_pairs,
        more_texts=lambda _: (),
        vocabulary=32_000,
        n_steps=83,
    ),
}


def evaluation_texts(language: Language, public: Path) -> Iterator[str]:
    """Every text that is scored on dev or on test rows; not what classifiers are fitted on."""
    sources = find_tasks([public / folder for folder in language.folders])
    looks: tuple[tuple[Suite, Literal["test", "dev"]], ...] = (
        (language.test, "test"),
        (language.test, "dev"),
        (language.dev, "dev"),
    )
    for suite, split in looks:
        for source in suite.select(sources):
            for task in source.load(split, None):
                for column, texts in columns_of(task).items():
                    if column not in ("train", "tuning first", "tuning second"):
                        yield from texts.texts


def clean_pairs(language: Language, public: Path, folder: Path) -> dict[str, Any]:
    """Writes the pairs that may be trained on, a parquet file a set; what was left out, by set."""
    facts = folder / "facts.json"
    if not facts.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        decontaminator = Decontaminator(evaluation_texts(language, public))
        sets = {
            name: _write_clean(corpus, decontaminator, folder / f"{name}.parquet")
            for name, corpus in language.pairs(public).items()
        }
        examples = [
            {"text": each.text, "evaluation_text": each.evaluation_text, "equal": each.is_equal}
            for each in decontaminator.report.examples
        ]
        found = {"sets": sets, "line": decontaminator.report.line(), "examples": examples}
        facts.write_text(json.dumps(found, ensure_ascii=False, indent=1), encoding="utf-8")
    found = json.loads(facts.read_text(encoding="utf-8"))
    return dict(found)


def _write_clean(corpus: PairCorpus, decontaminator: Decontaminator, path: Path) -> dict[str, int]:
    counts = {"pairs": 0, "equal": 0, "near": 0, "incomplete": 0, "kept": 0}
    columns: dict[str, list[Any]] = {role: [] for role in corpus.roles}
    for rows in corpus.read():
        texts = {role: [text or "" for text in own] for role, own in rows.texts.items()}
        kinds = np.stack([decontaminator.matches(own) for own in texts.values()])
        is_whole = np.all([[bool(text.strip()) for text in own] for own in texts.values()], axis=0)
        is_whole &= [a != b for a, b in zip(texts["anchor"], texts["positive"], strict=True)]
        is_equal, is_clean = (kinds == 1).any(axis=0), (kinds == 0).all(axis=0)
        counts["pairs"] += len(rows)
        counts["equal"] += int(is_equal.sum())
        counts["near"] += int((~is_clean & ~is_equal).sum())
        counts["incomplete"] += int((is_clean & ~is_whole).sum())
        kept = np.flatnonzero(is_clean & is_whole).tolist()
        for role, own in texts.items():
            columns[role] += [own[i] for i in kept]
        if rows.scores is not None:
            columns["score"] += [float(rows.scores[i]) for i in kept]
    counts["kept"] = len(columns["anchor"])
    pq.write_table(pa.table(columns), path, compression="zstd")
    return counts


def texts_of_pairs(files: Iterable[Path]) -> Iterator[str]:
    """Every text of the clean pairs."""
    for path in files:
        for rows in open_pairs(path).read():
            for own in rows.texts.values():
                yield from (text for text in own if text)
