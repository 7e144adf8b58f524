"""A suite chooses among whatever sets there are; a group counts only when it is whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from vecsmith.evaluation.tasks import TaskSource, find_tasks
from vecsmith.evaluation.tasks.languages import _BY_LONG, is_of, language_pair, languages_in
from vecsmith.evaluation.tasks.suites import (
    GROUPS,
    SUITES,
    Suite,
    complete_groups,
    find_suite,
)

STS = {"sentence1": "a", "sentence2": "b", "score": 1.0}


@pytest.fixture
def sets(tmp_path: Path, of_any_size: None) -> Path:
    """Sets in several languages, in one of which the language is not known."""
    rows: Mapping[str, list[dict[str, Any]]] = {
        "ours": [STS],
        "german": [STS],
        "many": [STS | {"lang": lang} for lang in ("en-US", "ko", "deu")],
        "pages": [{"anchor": "cat", "positive": "고양이"}],
        "bible": [{"anchor": "cat", "positive": "x", "lang": lang} for lang in ("kor", "fra")],
        "stsb": [STS],
        "sts12": [STS | {"stsb_split": split} for split in ("train", "dev", "test", "")],
        "notes": [{"text": "a"}],
    }
    for name, each in rows.items():
        (tmp_path / name).mkdir()
        lines = "".join(json.dumps(row) + "\n" for row in each)
        (tmp_path / name / "data.jsonl").write_text(lines, encoding="utf-8")
    (tmp_path / "german" / "task.toml").write_text('language = "de"', encoding="utf-8")
    settings = 'kind = "bitext"\nlanguage = "en-ko"'
    (tmp_path / "pages" / "task.toml").write_text(settings, encoding="utf-8")
    return tmp_path


def names(sources: list[TaskSource]) -> list[str]:
    return [task.name for source in sources for task in source.load()]


@pytest.mark.parametrize(
    ("suite", "expected"),
    [
        ("english", ["many[en-US]", "sts12", "stsb"]),
        (
            "multilingual",
            ["bible[fra]", "bible[kor]", "german", "many[deu]", "many[ko]", "pages"],
        ),
        ("korean", ["bible[kor]", "many[ko]", "pages"]),
        ("groups", ["sts12", "stsb"]),
    ],
)
def test_a_suite_chooses_tasks_of_any_folder(sets: Path, suite: str, expected: list[str]) -> None:
    assert names(find_suite(suite).select(find_tasks(sets))) == expected


def test_a_suite_of_a_language_is_a_line(sets: Path) -> None:
    german = Suite(name="german", languages=("de",))
    assert names(german.select(find_tasks(sets))) == ["german", "many[deu]"]
    chosen = Suite(name="two", tasks=("ours", "many[ko]"))
    assert names(chosen.select(find_tasks(sets))) == ["many[ko]", "ours"]


def test_languages_asked_for_narrow_a_suite(sets: Path) -> None:
    sources = find_suite("multilingual").select(find_tasks(sets))
    assert [task.name for source in sources for task in source.load(languages=["ko"])] == [
        "bible[kor]",
        "many[ko]",
        "pages",
    ]


def test_a_set_whose_language_is_not_known_is_skipped_with_the_reason(sets: Path) -> None:
    (source,) = (s for s in SUITES["english"].select(find_tasks(sets)) if s.set == "ours")
    assert source.kind is None
    assert source.why_skipped() == (
        'its language is not known; say it in task.toml, as in language = "en"'
    )
    assert [source.set for source in SUITES["groups"].select(find_tasks(sets))] == ["sts12", "stsb"]


@pytest.mark.parametrize("suite", ["groups", "english"])
def test_pairs_of_stsb_train_and_dev_are_left_out_of_sts(sets: Path, suite: str) -> None:
    tasks = {
        task.name: task
        for source in find_suite(suite).select(find_tasks(sets))
        for task in source.load()
    }
    assert tasks["sts12"].counts["pairs"] == 2
    assert tasks["sts12"].exclude == {"stsb_split": ("dev", "train")}
    assert tasks["stsb"].exclude == {}


def test_a_suite_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="suite is 'french', expected one of groups, english, mul"):
        find_suite("french")


@dataclass(frozen=True)
class Hashed:
    """A task as far as groups go."""

    name: str
    data_hash: str


def group_tasks() -> list[Hashed]:
    """A task of each name in the groups, asking what counts."""
    return [Hashed(name, each) for hashes in GROUPS.values() for name, each in hashes.items()]


def test_groups_are_complete_when_every_task_is_there() -> None:
    assert complete_groups(group_tasks()) == {name: tuple(tasks) for name, tasks in GROUPS.items()}
    assert complete_groups([]) == {}


@pytest.mark.parametrize(
    ("name", "change", "left"),
    [
        ("cr", {"data_hash": "0" * 32}, {"STS", "RET"}),
        ("xquad[en]", {"name": "xquad[de]"}, {"STS", "CLS"}),
        ("med", {"name": "medicine"}, {"STS", "CLS"}),
    ],
)
def test_a_group_with_a_task_amiss_is_not_quoted(
    name: str, change: dict[str, Any], left: set[str]
) -> None:
    tasks = [replace(task, **change) if task.name == name else task for task in group_tasks()]
    assert complete_groups(tasks).keys() == left


@pytest.mark.parametrize(
    ("name", "change", "left"),
    [
        ("sts13", {"exclude": {}}, {"RET", "CLS"}),
        ("sts13", {"exclude": {"stsb_split": ("train",)}}, {"RET", "CLS"}),
        ("sts14", {"include": {"subset": ("headlines",)}}, {"RET", "CLS"}),
        ("stsb", {"metric": "pearson_cosine"}, {"RET", "CLS"}),
    ],
)
def test_a_group_is_not_quoted_over_other_rows_or_metrics(
    shared_data: Path, name: str, change: dict[str, Any], left: set[str]
) -> None:
    pytest.importorskip("pyarrow", reason="needs pyarrow (extra eval)")
    (source,) = find_suite("groups").select(find_tasks(shared_data / name))
    (right,) = source.load()
    changed = replace(source, settings=replace(source.settings, **change))
    (wrong,) = changed.load()
    others: list[Any] = [task for task in group_tasks() if task.name != name]
    assert complete_groups([*others, right]).keys() == GROUPS.keys()
    assert complete_groups([*others, wrong]).keys() == left


def test_a_group_is_not_quoted_over_dev_or_over_other_sets_of_its_names(
    shared_data: Path, sets: Path
) -> None:
    pytest.importorskip("pyarrow", reason="needs pyarrow (extra eval)")
    (source,) = find_tasks(shared_data / "stsb")
    (dev,) = source.load("dev")
    own = next(source for source in find_tasks(sets) if source.set == "stsb")
    (other,) = own.load()
    for task in (dev, other):
        tasks: list[Any] = [each for each in group_tasks() if each.name != "stsb"]
        assert complete_groups([*tasks, task]).keys() == {"RET", "CLS"}


def test_the_groups_suite_of_the_shared_sets_is_whole(shared_data: Path) -> None:
    pytest.importorskip("pyarrow", reason="needs pyarrow (extra eval)")
    for suite in ("groups", "english"):
        sources = find_suite(suite).select(find_tasks(shared_data))
        tasks = [task for source in sources for task in source.load()]
        assert complete_groups(tasks).keys() == {"STS", "RET", "CLS"}
        assert {languages_in(str(task.language)) for task in tasks} == {("en",)}
    pairs = {task.name: task.counts["pairs"] for task in tasks if task.name.startswith("sts1")}
    assert pairs == {"sts12": 1735, "sts13": 822, "sts14": 1705, "sts15": 1324}


def test_english_and_multilingual_are_all_the_shared_tasks(shared_data: Path) -> None:
    pytest.importorskip("pyarrow", reason="needs pyarrow (extra eval)")
    found = find_tasks(shared_data)
    english, multilingual, korean = (
        [
            f"{source.set}[{code}]" if source.by_language else source.set
            for source in SUITES[suite].select(found)
            for code in source.chosen or ()
        ]
        for suite in ("english", "multilingual", "korean")
    )
    everything = [
        f"{source.set}[{code}]" if source.by_language else source.set
        for source in found
        for code in source.languages()
    ]
    assert sorted(english + multilingual) == sorted(everything)
    assert (len(english), len(multilingual)) == (33, 178)
    assert set(korean) <= set(multilingual)
    assert names(SUITES["korean"].select(found)) == korean
    assert {"tatoeba[kor]", "pawsx[ko]", "tldr/en_ko", "korsts"} <= set(korean)


@pytest.mark.parametrize(
    ("code", "languages"),
    [
        ("ko", ("ko",)),
        ("kor", ("ko",)),
        ("cmn", ("zh",)),
        ("zh-CN", ("zh",)),
        ("zh_tw", ("zh",)),
        ("pt-br", ("pt",)),
        ("en-GB", ("en",)),
        ("en-ko", ("en", "ko")),
        ("eng-kor", ("en", "ko")),
        ("KO", ("ko",)),
        ("tlh", ("tlh",)),
        ("sr-Latn", ("sr",)),
    ],
)
def test_codes_mean_languages(code: str, languages: tuple[str, ...]) -> None:
    assert languages_in(code) == languages


def test_codes_of_three_letters_are_those_of_langcodes() -> None:
    langcodes: Any = pytest.importorskip("langcodes", reason="needs langcodes (of extra freq)")
    differ = {
        code
        for code in _BY_LONG
        if langcodes.standardize_tag(code, macro=True) != languages_in(code)[0]
    }
    # what stands for several languages, where CLDR picks one
    assert differ == {"bih", "hbs", "pbt", "tgl", "twi"}


@pytest.mark.parametrize(
    ("name", "pair"),
    [
        ("en_ko", "en-ko"),
        ("eng-kor", "eng-kor"),
        ("ko-ko", None),
        ("kor-ko", None),
        ("pt_br", None),
        ("data", None),
        ("qa_pairs", None),
        ("en_ko_x", None),
    ],
)
def test_names_of_two_codes_are_pairs(name: str, pair: str | None) -> None:
    assert language_pair(name) == pair


def test_a_pair_is_of_both_its_languages_but_english_counts_only_alone() -> None:
    assert is_of("en-ko", ["ko"])
    assert is_of("en-ko", ["kor-eng"])
    assert not is_of("en-ko", ["en"])
    assert not is_of("en-ko", ["ja", "en-ja"])
    assert is_of("ja-ko", ["ja"])
    assert is_of("ja-ko", ["ko"])
    assert is_of("en", ["en"])
    assert not is_of("ko", [])


def test_choosing_on_dev_reads_no_test_pair_of_another_set(shared_data: Path) -> None:
    sources = SUITES["groups"].select(find_tasks(shared_data))
    scored = {task.name: task.split for source in sources for task in source.load("dev")}
    assert scored == {
        "stsb": "dev",
        "scifact": "train",
        "trecqa": "dev",
        "banking77": "train",
        "cr": "train",
        "hwu64": "dev",
        "sst2": "dev",
        "subj": "train",
        "sts12": "train",
    }
