"""Our encoders in the real mteb, on tasks made here: no data comes from the network."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.evaluation.made_sets import MadeSets, column, worded_model
from vecsmith import StaticModel
from vecsmith._typing import FloatArray
from vecsmith.errors import HubError
from vecsmith.evaluation.baselines import RandomVectors
from vecsmith.evaluation.evaluator import evaluate
from vecsmith.evaluation.mteb import MtebEncoder, MtebScores, run_mteb
from vecsmith.results import View

mteb = pytest.importorskip("mteb", reason="mteb is not installed (extra mteb)")
datasets = pytest.importorskip("datasets")

from mteb.abstasks import AbsTaskClassification, AbsTaskRetrieval, AbsTaskSTS  # noqa: E402
from mteb.abstasks.task_metadata import TaskMetadata  # noqa: E402
from mteb.models import EncoderProtocol, ModelMeta  # noqa: E402
from mteb.types import PromptType  # noqa: E402

SETS = MadeSets()


def metadata(name: str, kind: Any, metric: str, **fields: Any) -> TaskMetadata:
    return TaskMetadata(
        name=name,
        type=kind,
        main_score=metric,
        description="Made for a test.",
        reference="https://example.org",
        dataset={"path": "none/none", "revision": "1"},
        category="t2t",
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        date=("2026-01-01", "2026-01-01"),
        dialect=[],
        domains=[],
        task_subtypes=[],
        license="cc0-1.0",
        annotations_creators="derived",
        modalities=["text"],
        sample_creation="created",
        bibtex_citation="",
        **fields,
    )


class MadePairs(AbsTaskSTS):  # type: ignore[misc, unused-ignore]
    metadata = metadata("MadePairs", "STS", "cosine_spearman")

    def load_data(self, num_proc: int | None = None, **_: Any) -> None:
        self.dataset = datasets.DatasetDict({"test": datasets.Dataset.from_list(SETS.pairs)})
        self.data_loaded = True


class MadeSearch(AbsTaskRetrieval):  # type: ignore[misc, unused-ignore]
    metadata = metadata("MadeSearch", "Retrieval", "ndcg_at_10")

    def load_data(self, num_proc: int | None = None, **_: Any) -> None:
        grades: dict[str, dict[str, int]] = {}
        for row in SETS.judgements:
            grades.setdefault(row["query_id"], {})[row["doc_id"]] = row["relevance"]
        part: Any = {
            "corpus": datasets.Dataset.from_list(SETS.documents),
            "queries": datasets.Dataset.from_list(SETS.queries),
            "relevant_docs": grades,
            "top_ranked": None,
        }
        self.dataset = {"default": {"test": part}}
        self.data_loaded = True


class MadeMood(AbsTaskClassification):  # type: ignore[misc, unused-ignore]
    metadata = metadata("MadeMood", "Classification", "accuracy")
    n_experiments = 2

    def load_data(self, num_proc: int | None = None, **_: Any) -> None:
        rows: dict[str, Any] = {"train": [], "test": []}
        for row in SETS.labelled:
            rows[row["split"]].append({"text": row["text"], "label": row["label"]})
        split = {name: datasets.Dataset.from_list(part) for name, part in rows.items()}
        self.dataset = datasets.DatasetDict(split)
        self.data_loaded = True


TASKS = (MadePairs, MadeSearch, MadeMood)


def scores_of(model: Any, task: Any) -> dict[str, Any]:
    result = mteb.evaluate(model, task, cache=None, co2_tracker=False, show_progress_bar=False)
    (scores,) = result.task_results[0].scores["test"]
    return dict(scores)


@pytest.fixture(scope="module")
def model() -> StaticModel:
    return worded_model(card={"license": "mit", "language": ["en", "ko"], "base_model": "a/b"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SETS.write(tmp_path_factory.mktemp("sets"))


@pytest.mark.parametrize("dim", [None, 8])
def test_mteb_finds_the_figures_that_evaluate_finds(
    dim: int | None, model: StaticModel, folder: Path
) -> None:
    dims = None if dim is None else [dim]
    ours = evaluate(model, folder, dims=dims, measure_speed=False)
    view = View(dim or model.dim)
    encoder = MtebEncoder(model, truncate_dim=dim)
    pairs = scores_of(encoder, MadePairs())
    figures = ours.tasks["pairs"].scores[view].figures
    assert pairs["cosine_spearman"] == pytest.approx(figures["spearman_cosine"], abs=1e-6)
    assert pairs["cosine_pearson"] == pytest.approx(figures["pearson_cosine"], abs=1e-6)
    search = scores_of(encoder, MadeSearch())
    figures = ours.tasks["search"].scores[view].figures
    assert search["ndcg_at_10"] == pytest.approx(figures["ndcg@10"], abs=5.001e-6)  # it rounds
    assert 0 < search["ndcg_at_10"] < 1


@pytest.mark.filterwarnings("ignore:The fill_missing parameter is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The `get_sentence_embedding_dimension` method:FutureWarning")
@pytest.mark.parametrize("task", TASKS)
def test_mteb_scores_a_model_as_it_scores_its_folder_in_sentence_transformers(
    task: Any, model: StaticModel, tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    model.save_pretrained(tmp_path / "model")
    theirs = scores_of(SentenceTransformer(str(tmp_path / "model"), device="cpu"), task())
    ours = scores_of(MtebEncoder(model), task())
    for metric, score in theirs.items():
        if isinstance(score, float) and not math.isnan(score):
            assert ours[metric] == pytest.approx(score, abs=1e-6), metric
    assert 0.2 < ours["main_score"] < 1


def test_the_adapter_is_an_encoder_to_mteb(model: StaticModel) -> None:
    encoder = MtebEncoder(model, name="me/words", revision="abc")
    assert isinstance(encoder, EncoderProtocol)
    assert isinstance(encoder.mteb_model_meta, ModelMeta)


def test_mteb_is_told_what_the_model_is(model: StaticModel) -> None:
    meta = MtebEncoder(model, name="me/words").mteb_model_meta
    assert meta.name == "me/words"
    assert meta.revision == getattr(model, "fingerprint", "no_revision_available")
    assert meta.embed_dim == 32
    assert meta.n_parameters == 402 * 32
    assert meta.memory_usage_mb == pytest.approx(402 * 32 * 4 / 2**20)
    assert meta.max_tokens == math.inf
    assert meta.similarity_fn_name.value == "cosine"
    assert meta.framework == ["NumPy", "Sentence Transformers", "safetensors"]
    assert meta.license == "mit"
    assert meta.languages == ["eng-Latn", "kor-Hang"]
    assert meta.adapted_from == "a/b"
    assert meta.use_instructions is False
    assert meta.training_datasets is None
    json.dumps(meta.to_dict())


def test_what_a_model_does_not_say_stays_unknown() -> None:
    meta = MtebEncoder(RandomVectors(16)).mteb_model_meta
    assert meta.name == "vecsmith/random vectors"
    assert meta.embed_dim == 16
    assert meta.n_parameters is meta.max_tokens is meta.license is meta.languages is None
    odd = worded_model(card={"license": "my own", "language": {"no": "list"}, "base_model": 3})
    assert MtebEncoder(odd).mteb_model_meta.license is None
    recipe = {"vecsmith": {"dims": [8, 16]}}
    assert MtebEncoder(worded_model(config=recipe)).mteb_model_meta.embed_dim == [8, 16, 32]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("me/words", "me/words"),
        ("words", "vecsmith/words"),
        ("/models/me/words", "vecsmith/words"),
        ("./me/words/", "vecsmith/words"),
        ("a/b/c", "vecsmith/c"),
    ],
)
def test_a_name_has_an_organization(name: str, expected: str) -> None:
    assert MtebEncoder(RandomVectors(4), name=name).mteb_model_meta.name == expected


def test_a_prefix_is_another_model_to_mteb_cache() -> None:
    encoders = [MtebEncoder(RandomVectors(16), truncate_dim=dim) for dim in (None, 8, 4)]
    names = [encoder.mteb_model_meta.experiment_name for encoder in encoders]
    assert len(set(names)) == 3
    assert names[0] is None
    assert encoders[1].mteb_model_meta.embed_dim == 8


class Recorder:
    """An encoder that keeps what it was asked."""

    def __init__(self, prompts: dict[str, str] | None = None) -> None:
        self.asked: list[tuple[str, list[str], str | None]] = []
        if prompts is not None:
            self.prompts = prompts

    def _note(self, role: str, texts: Sequence[str], prompt: str | None) -> FloatArray:
        self.asked.append((role, list(texts), prompt))
        return np.ones((len(texts), 2), dtype=np.float32)

    def encode(self, texts: Sequence[str], prompt: str | None = None) -> FloatArray:
        return self._note("text", texts, prompt)

    def encode_query(self, texts: Sequence[str], prompt: str | None = None) -> FloatArray:
        return self._note("query", texts, prompt)

    def encode_document(self, texts: Sequence[str], prompt: str | None = None) -> FloatArray:
        return self._note("document", texts, prompt)


def encode_with(encoder: MtebEncoder, role: PromptType | None) -> FloatArray:
    batches = [{"text": ["a", "b"]}, {"text": ["c"], "title": ["t"]}]
    return encoder.encode(
        batches,
        task_metadata=MadeSearch.metadata,
        hf_split="test",
        hf_subset="default",
        prompt_type=role,
        batch_size=32,
        show_progress_bar=False,
    )


PROMPTS = {
    "MadeSearch-query": "1",
    "MadeSearch": "2",
    "Retrieval-query": "3",
    "Retrieval": "4",
    "query": "5",
}


@pytest.mark.parametrize("n_missing", range(6))
def test_the_most_special_prompt_wins_as_in_mteb(n_missing: int) -> None:
    from mteb.models.abs_encoder import get_prompt_name

    prompts = dict(list(PROMPTS.items())[n_missing:])
    for role in (PromptType.query, PromptType.document, None):
        model = Recorder(prompts)
        encode_with(MtebEncoder(model), role)
        name = get_prompt_name(prompts, MadeSearch.metadata, role)
        prompt = None if name is None else prompts[name]
        assert model.asked == [(role.value if role else "text", ["a", "b", "c"], prompt)]


def test_a_model_without_prompts_gets_texts_that_have_theirs() -> None:
    model = Recorder()
    encode_with(MtebEncoder(model, prompts={"query": "q: "}), PromptType.query)
    encode_with(MtebEncoder(model, prompts={"query": "q: "}), PromptType.document)
    assert model.asked == [
        ("text", ["q: a", "q: b", "q: c"], None),
        ("document", ["a", "b", "c"], None),
    ]


def test_a_static_model_puts_its_prompts_before_queries_and_documents() -> None:
    model = worded_model(prompts={"query": "waa wab ", "passage": "wba "})
    encoder = MtebEncoder(model)
    loader = [{"text": ["wcc wcd", ""]}]

    def vectors(role: PromptType | None) -> FloatArray:
        return encoder.encode(loader, task_metadata=MadeSearch.metadata, prompt_type=role)

    assert np.array_equal(vectors(PromptType.query), model.encode(["waa wab wcc wcd", "waa wab "]))
    assert np.array_equal(vectors(PromptType.document), model.encode(["wba wcc wcd", "wba "]))
    assert np.array_equal(vectors(None), model.encode(["wcc wcd", ""]))


def test_a_prefix_is_what_the_model_gives_for_it(model: StaticModel) -> None:
    texts = column(SETS.pairs, "sentence1")
    found = MtebEncoder(model, truncate_dim=8).encode(
        [{"text": texts[:100]}, {"text": texts[100:]}], task_metadata=MadePairs.metadata
    )
    assert np.allclose(found, model.encode(texts, truncate_dim=8), atol=1e-6)
    with pytest.raises(ValueError, match="a prefix of 64 dims of vectors of 32"):
        MtebEncoder(model, truncate_dim=64).encode(
            [{"text": texts}], task_metadata=MadePairs.metadata
        )


@pytest.mark.parametrize("kind", ["cosine", "dot", "euclidean", "manhattan"])
def test_similarities_are_the_models_own(kind: Any) -> None:
    model = worded_model(similarity=kind, normalize=False)
    a = model.encode([*column(SETS.queries, "text")[:10], ""])
    b = model.encode(column(SETS.documents, "text")[:11])
    encoder = MtebEncoder(model)
    assert np.allclose(np.asarray(encoder.similarity(a, b)), model.similarity(a, b), atol=1e-5)
    pairwise = np.asarray(encoder.similarity_pairwise(a, b))
    assert np.allclose(pairwise, model.similarity_pairwise(a, b), atol=1e-5)


def test_what_cannot_be_encoded_is_refused() -> None:
    with pytest.raises(TypeError, match="the model is of type dict, expected an object with"):
        MtebEncoder({})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="truncate_dim is 0, expected at least 1"):
        MtebEncoder(RandomVectors(4), truncate_dim=0)
    with pytest.raises(ValueError, match=r"MadeSearch gives \['image'\], expected text"):
        MtebEncoder(RandomVectors(4)).encode([{"image": [0]}], task_metadata=MadeSearch.metadata)


def test_a_run_records_scores_by_task_and_type(
    model: StaticModel, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    found = run_mteb(
        model, [MadePairs(), MadeSearch(), MadeMood()], name="me/words", cache=tmp_path / "cache"
    )
    assert capfd.readouterr().err == ""  # no bar was asked for
    assert found["model"] == "me/words"
    assert found["benchmark"] is None
    for task in TASKS:
        scores = scores_of(MtebEncoder(model), task())
        name = task.metadata.name
        assert found["tasks"][name] == pytest.approx(scores["main_score"], abs=1e-9)
        details = found["details"][name]
        assert details["scores"]["test"][0]["main_score"] == scores["main_score"]
        assert found["types"][task.metadata.type] == found["tasks"][name]
    assert found["averages"]["tasks"] == pytest.approx(np.mean(list(found["tasks"].values())))
    assert json.loads(json.dumps(found)) == found


class Counting(RandomVectors):
    """Random vectors that count the calls."""

    n_calls = 0

    def encode(self, texts: Sequence[str]) -> FloatArray:
        type(self).n_calls += 1
        return super().encode(texts)


def test_a_second_run_reads_what_the_first_found(tmp_path: Path) -> None:
    def run(**options: Any) -> MtebScores:
        return run_mteb(Counting(8), MadePairs(), cache=tmp_path, **options)

    Counting.n_calls = 0
    first = run()
    assert Counting.n_calls == 2
    # mteb writes six places
    assert run()["tasks"] == pytest.approx(first["tasks"], abs=1e-6)
    assert Counting.n_calls == 2
    assert run(truncate_dim=4)["tasks"] != first["tasks"]
    assert Counting.n_calls == 4


def worded_without_fingerprint(**attributes: Any) -> Any:
    class Words:
        def __init__(self) -> None:
            vars(self).update(attributes)

        def encode(self, texts: Sequence[str]) -> Any:
            return worded_model().encode(texts)

    return Words()


def test_scores_of_a_model_without_fingerprint_are_not_kept(tmp_path: Path) -> None:
    for attributes in ({}, {"fingerprint": None}, {"fingerprint": ""}):
        found = run_mteb(worded_without_fingerprint(**attributes), MadeMood(), cache=tmp_path)
        assert found["revision"] == "no_revision_available"
    assert not list(tmp_path.rglob("*.json"))
    with pytest.raises(TypeError, match="the fingerprint of Words is of type int, expected a str"):
        MtebEncoder(worded_without_fingerprint(fingerprint=3))


@pytest.mark.filterwarnings("ignore:The task '.*' is superseded by:UserWarning")
def test_data_that_cannot_be_fetched_is_named_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    for name in ("STS12", "MTEB(eng, v2)"):
        with pytest.raises(HubError, match=r"could not be fetched: .*; mteb's tasks live on the"):
            run_mteb(RandomVectors(4), name, cache=tmp_path)


class GoneTask(AbsTaskSTS):  # type: ignore[misc, unused-ignore]
    metadata = metadata("GoneTask", "STS", "cosine_spearman")

    def load_data(self, num_proc: int | None = None, **_: Any) -> None:
        raise datasets.exceptions.DatasetNotFoundError("no such data on the Hub")


class PrivateTask(GoneTask):
    metadata = metadata("PrivateTask", "STS", "cosine_spearman", is_public=False)


def test_public_data_that_are_gone_end_the_run(tmp_path: Path) -> None:
    with pytest.raises(HubError, match=r"GoneTask \(none/none\) .*: no such data on the Hub;"):
        run_mteb(RandomVectors(4), GoneTask(), cache=tmp_path)


@pytest.mark.filterwarnings("ignore:Dataset for private task 'PrivateTask' not found:UserWarning")
def test_private_data_are_named_and_passed_over(tmp_path: Path) -> None:
    found = run_mteb(RandomVectors(4), [PrivateTask(), MadePairs()], cache=tmp_path)
    assert found["failed"] == {"PrivateTask": "no such data on the Hub"}
    assert list(found["tasks"]) == ["MadePairs"]


class NoScore(MadePairs):
    """All its pairs are alike to people: no correlation."""

    metadata = metadata("NoScore", "STS", "cosine_spearman")

    def load_data(self, num_proc: int | None = None, **_: Any) -> None:
        pairs = [{**row, "score": 1.0} for row in SETS.pairs]
        self.dataset = datasets.DatasetDict({"test": datasets.Dataset.from_list(pairs)})
        self.data_loaded = True


@pytest.mark.filterwarnings("ignore:An input array is constant")
def test_a_score_that_is_no_number_is_a_failure(model: StaticModel, tmp_path: Path) -> None:
    found = run_mteb(model, [NoScore(), MadePairs()], cache=tmp_path)
    assert found["failed"] == {"NoScore": "its cosine_spearman is not a number"}
    assert list(found["tasks"]) == ["MadePairs"]
    assert found["averages"]["tasks"] == found["tasks"]["MadePairs"]


@pytest.mark.filterwarnings("ignore:Dataset for private task 'PrivateTask' not found:UserWarning")
def test_a_run_without_any_score_has_no_means_and_is_plain_json(tmp_path: Path) -> None:
    found = run_mteb(RandomVectors(4), PrivateTask(), cache=tmp_path)
    assert (found["tasks"], found["types"]) == ({}, {})
    assert found["averages"] == {"tasks": None, "types": None}
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_an_unknown_name_is_named_with_a_near_one() -> None:
    with pytest.raises(ValueError, match=r"is called 'STS21' .*Did you mean"):
        run_mteb(RandomVectors(4), "STS21")
    with pytest.raises(ValueError, match="the list of tasks is empty"):
        run_mteb(RandomVectors(4), [])


def test_the_adapter_is_imported_without_mteb() -> None:
    code = "import sys, vecsmith.evaluation.mteb; print('mteb' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
