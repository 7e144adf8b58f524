"""From a teacher to a static model: the whole story, and the settings that tell it.

Each token of the vocabulary goes through the teacher once, on its own; the vectors are reduced to
`dim` dimensions and weighted; the tokenizer and the table are the student.
"""

from __future__ import annotations

import importlib.metadata
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vecsmith._extras import require
from vecsmith._progress import progress_bar
from vecsmith._typing import PathLike, TableDtype
from vecsmith.distillation.reduction import check_dim, reduce
from vecsmith.distillation.source import (
    TeacherSettings,
    TeacherSource,
    describe,
    find_teacher,
    read_settings,
    weights_digest,
)
from vecsmith.distillation.teacher import ComputeDtype, Pooling, Teacher, read_frame
from vecsmith.distillation.vocabulary import (
    StudentVocabulary,
    VocabularyMode,
    build_vocabulary,
)
from vecsmith.distillation.weighting import (
    CountSource,
    Weighting,
    count_probabilities,
    place_words,
    rank_probabilities,
    token_counts,
    token_weights,
)
from vecsmith.distillation.words import WordSource, read_words
from vecsmith.formats.checkpoint import Checkpoint
from vecsmith.model import StaticModel
from vecsmith.quantization import quantize_rows

logger = logging.getLogger(__name__)

_WEIGHTINGS = ("zipf", "sif", "none")
# chosen on dev splits, see recipes/distill_defaults.py and the distillation guide
_COEFFICIENTS = {"zipf": 2e-4, "sif": 1e-3, "model2vec": 1e-4}
_WHITENING = 0.25
_N_SPECIALS = 2
# BERT's placeholders, which no text holds
UNUSED_TOKENS = r"\[unused\d+\]"


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillSettings:
    """Everything that decides what a distillation gives; kept in the model's recipe.

    Attributes:
        dim: Dimensions, a share of variance to keep, or None for the teacher's own.
        vocabulary_mode: "subword", "word" or "both".
        pooling: How token states become a vector; None for the teacher's own way.
        weighting: "zipf" by rank, "sif" by counts, "none".
        sif_coefficient: a of the weight a / (a + p).
        whitening: Power of whitening, 0 for none.
        remove_components: Strongest components left out.
        token_remove_pattern: Teacher tokens whose beginning matches this are left out.
        dtype: Of the table.
        compute_dtype: Of the teacher's forward pass.
        device: Torch device.
        batch_tokens: Most token ids in one forward pass.
        prompt: Text the teacher reads before each token, or None.
        prompt_name: Name of one of the teacher's prompts, or None.
        language: Language of the "wordfreq" counts.
        compatible: "model2vec" to do all as model2vec 0.10.0 does.
    """

    dim: int | float | None = 256
    vocabulary_mode: VocabularyMode = "subword"
    pooling: Pooling | None = None
    weighting: Weighting = "zipf"
    sif_coefficient: float = _COEFFICIENTS["zipf"]
    whitening: float = _WHITENING
    remove_components: int = 0
    token_remove_pattern: str | None = UNUSED_TOKENS
    dtype: TableDtype = "float32"
    compute_dtype: ComputeDtype = "auto"
    device: str = "cpu"
    batch_tokens: int = 2048
    prompt: str | None = None
    prompt_name: str | None = None
    language: str = "en"
    compatible: Literal["model2vec"] | None = None

    def __post_init__(self) -> None:
        """Refuses values that no run could follow."""
        if self.dim is not None:
            check_dim(self.dim, 2**31)
        _check_choice("vocabulary_mode", self.vocabulary_mode, ("subword", "word", "both"))
        _check_choice("pooling", self.pooling, (None, "balanced", "mean", "cls", "last", "pooler"))
        _check_choice("weighting", self.weighting, _WEIGHTINGS)
        _check_choice("dtype", self.dtype, ("float32", "float16", "int8"))
        _check_choice("compute_dtype", self.compute_dtype, ("auto", "float32", "bfloat16"))
        _check_choice("compatible", self.compatible, (None, "model2vec"))
        if self.compatible and (self.whitening or self.remove_components):
            raise ValueError(
                f"compatible {self.compatible!r} with whitening {self.whitening:g} and "
                f"remove_components {self.remove_components}, expected neither: it has none"
            )
        if not 0 < self.sif_coefficient < 1:
            raise ValueError(
                f"sif_coefficient {self.sif_coefficient}, expected a number between 0 and 1"
            )
        if not 0 <= self.whitening <= 1:
            raise ValueError(f"whitening {self.whitening}, expected a power from 0 to 1")
        if self.remove_components < 0:
            raise ValueError(f"remove_components {self.remove_components}, expected 0 or more")
        if self.batch_tokens < 1:
            raise ValueError(f"batch_tokens {self.batch_tokens}, expected 1 or more")


def _check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} {value!r}, expected one of {list(choices)}")


def distill(
    teacher: PathLike,
    *,
    dim: int | float | None = 256,
    vocabulary: WordSource | None = None,
    vocabulary_mode: VocabularyMode | None = None,
    pooling: Pooling | None = None,
    weighting: Weighting | None = None,
    sif_coefficient: float | None = None,
    counts: CountSource | None = None,
    language: str = "en",
    whitening: float | None = None,
    remove_components: int = 0,
    token_remove_pattern: str | None = UNUSED_TOKENS,
    dtype: TableDtype = "float32",
    compute_dtype: ComputeDtype = "auto",
    batch_tokens: int = 2048,
    device: str = "cpu",
    prompt: str | None = None,
    prompt_name: str | None = None,
    revision: str | None = None,
    token: str | None = None,
    trust_remote_code: bool = False,
    compatible: Literal["model2vec"] | None = None,
    pca_dims: int | float | None = None,
    show_progress_bar: bool | None = None,
) -> StaticModel:
    """A static model that gives a text nearly the vector its `teacher` would, far faster.

    Each token of the vocabulary goes through the teacher once; the vectors are reduced to `dim`
    dimensions and weighted by how rare the token is. No text is needed.

    Example:
        >>> model = distill("sentence-transformers/all-MiniLM-L6-v2", dim=256)  # doctest: +SKIP
        >>> model.encode("It's dangerous to go alone!").shape  # doctest: +SKIP
        (256,)

    Args:
        teacher: A folder, a Hub id (local copies first), or "package:NAME" for an installed
            package that carries weights.
        dim: Dimensions of the student; a share of variance to keep, between 0 and 1; None for
            the teacher's own, not rotated.
        vocabulary: Words of your own, several words allowed in one: a sequence, a mapping to
            counts, or a UTF-8 file with one item a line, optionally followed by a tab and a count.
        vocabulary_mode: "subword" for the teacher's tokens, "word" for your words alone, "both";
            None takes "both" if there is a vocabulary.
        pooling: How the teacher's states become one vector: "balanced" (the first state and the
            token's own, in the measure that both vary equally), "mean", "cls", "last", "pooler";
            None for the teacher's own way, and "balanced" where that is the mean.
        weighting: "zipf" takes a token's frequency from its rank, "sif" from `counts`, "none"
            weighs all alike; None takes "sif" if there are counts.
        sif_coefficient: a of the weight a / (a + p) of a token with probability p; None takes
            2e-4 with "zipf" and 1e-3 with "sif".
        counts: Where frequencies come from: texts, a file of texts, words with counts (a mapping
            or a `.tsv` file), or "wordfreq".
        language: Language of the "wordfreq" list.
        whitening: Power: component k is divided by its standard deviation to this power, 0 to 1;
            None takes 0.25 where there are components.
        remove_components: How many of the strongest components are left out.
        token_remove_pattern: Teacher tokens whose beginning matches are left out.
        dtype: Of the stored table.
        compute_dtype: Of the teacher's pass; "auto" takes bfloat16 where the device is fast at it.
        batch_tokens: Most token ids in one pass.
        device: Torch device of the teacher.
        prompt: Text the teacher reads before each token.
        prompt_name: One of the teacher's own prompts.
        revision: Branch, tag or commit of a Hub id.
        token: Access token for the Hub.
        trust_remote_code: Whether code in the teacher's folder may run.
        compatible: "model2vec" gives the vectors of model2vec 0.10.0, with its defaults.
        pca_dims: Another spelling of `dim`.
        show_progress_bar: None shows one on a terminal.

    Raises:
        ValueError: If an argument does not fit the others or the teacher.
        FormatError: If a file is missing or broken.
        HubError: If the teacher could not be fetched.
        MissingExtraError: If torch or another part of the extra `distill` is missing.
    """
    if weighting is None:
        weighting = "zipf" if counts is None else "sif"
    if sif_coefficient is None:
        sif_coefficient = _COEFFICIENTS.get("model2vec" if compatible else weighting, 1e-3)
    dim = _choose_dim(dim, pca_dims)
    if whitening is None:
        whitening = 0.0 if compatible or dim is None else _WHITENING
    settings = DistillSettings(
        dim=dim,
        vocabulary_mode=vocabulary_mode or ("subword" if vocabulary is None else "both"),
        pooling=pooling,
        weighting=weighting,
        sif_coefficient=sif_coefficient,
        whitening=whitening,
        remove_components=remove_components,
        token_remove_pattern=token_remove_pattern,
        dtype=dtype,
        compute_dtype=compute_dtype,
        batch_tokens=batch_tokens,
        device=device,
        prompt=prompt,
        prompt_name=prompt_name,
        language=language,
        compatible=compatible,
    )
    return StaticModel(
        distill_checkpoint(
            teacher,
            settings,
            vocabulary=vocabulary,
            counts=counts,
            revision=revision,
            token=token,
            trust_remote_code=trust_remote_code,
            show_progress_bar=show_progress_bar,
        )
    )


def distill_checkpoint(
    teacher: PathLike,
    settings: DistillSettings,
    *,
    vocabulary: WordSource | None = None,
    counts: CountSource | None = None,
    revision: str | None = None,
    token: str | None = None,
    trust_remote_code: bool = False,
    show_progress_bar: bool | None = None,
) -> Checkpoint:
    """The student of a `teacher` as plain values; `distill` describes the arguments and errors."""
    started = time.perf_counter()
    _check_together(settings, vocabulary, counts)
    words = [] if vocabulary is None else read_words(vocabulary)
    source = find_teacher(teacher, revision=revision, token=token)
    logger.info(describe(source))
    said = read_settings(source, trust_remote_code=trust_remote_code)
    settings = replace(settings, prompt=_choose_prompt(said, settings))
    model = Teacher(
        source,
        frame=read_frame(said.tokenizer_json, settings.prompt),
        device=settings.device,
        compute_dtype="float32" if _is_exact(settings) else settings.compute_dtype,
        pooling=settings.pooling or ("mean" if settings.compatible else None),
        use_modules=settings.compatible is None,
        trust_remote_code=trust_remote_code,
    )
    student = build_vocabulary(
        said.tokenizer_json,
        words,
        mode=settings.vocabulary_mode,
        token_remove_pattern=settings.token_remove_pattern,
        special=said.special,
        n_rows=model.n_rows,
        max_tokens=said.max_tokens - _N_SPECIALS,
        as_model2vec=settings.compatible is not None,
        source=str(source.folder / "tokenizer.json"),
    )
    if student.report.n_given:
        logger.info("vocabulary: %s", student.report)
    if settings.dim is not None:  # before the long pass, not after it
        check_dim(settings.dim, model.dim - settings.remove_components, len(student.tokens))
    n_tokens = len(student.tokens)
    with progress_bar("tokens", total=n_tokens, show=show_progress_bar is not False) as advance:
        vectors = model.embed(
            student.sequences, batch_tokens=settings.batch_tokens, advance=advance
        )
    used = {"compute_dtype": model.compute_dtype, "pooling": model.pooling}
    del model  # its memory is free before the reduction asks for some
    table, explained = _make_table(vectors, student, settings, counts)
    stored, weights = quantize_rows(table, settings.dtype)
    recipe = {
        "settings": asdict(settings) | used,
        "teacher": {
            "name": source.name,
            "found": source.found,
            "revision": source.revision,
            "dim": vectors.shape[1],
            "sha256": weights_digest(source),
            "license": said.card.get("license"),
        },
        "vocabulary": {
            "n_tokens": n_tokens,
            "n_teacher_tokens": student.n_teacher,
            "report": asdict(student.report),
        },
        "counts": _describe_counts(counts),
        "explained_variance": round(explained, 6),
        "versions": _versions(),
        "seconds": round(time.perf_counter() - started, 3),
    }
    return Checkpoint(
        table=stored,
        weights=weights,
        tokenizer_json=student.tokenizer_json,
        normalize=True,
        unknown="drop",
        max_length=None,
        config={
            "tokenizer_name": source.name,
            "apply_pca": settings.dim,
            "sif_coefficient": (None if settings.weighting == "none" else settings.sif_coefficient),
            "pooling": used["pooling"],
            "vecsmith": {"recipe": _plain(recipe)},
        },
        card=_plain(_card(source, said.card)),
    )


def _check_together(
    settings: DistillSettings, vocabulary: WordSource | None, counts: CountSource | None
) -> None:
    """Raises ValueError for settings that need, or do not use, what is given with them."""
    if settings.weighting == "sif" and counts is None:
        raise ValueError(
            "weighting 'sif' needs counts, expected texts, a file, words with counts or 'wordfreq'"
        )
    if counts is not None and settings.weighting != "sif":
        raise ValueError(f"weighting {settings.weighting!r} uses no counts, expected 'sif'")
    if settings.vocabulary_mode != "subword" and vocabulary is None:
        raise ValueError(
            f"vocabulary_mode {settings.vocabulary_mode!r} needs a vocabulary, expected words"
        )
    if settings.vocabulary_mode == "subword" and vocabulary is not None:
        raise ValueError("vocabulary_mode 'subword' uses no vocabulary, expected 'both' or 'word'")


def _is_exact(settings: DistillSettings) -> bool:
    """Whether the teacher must run in float32: another library's vectors are to come out."""
    return settings.compatible is not None and settings.compute_dtype == "auto"


def _make_table(
    vectors: NDArray[np.float32],
    student: StudentVocabulary,
    settings: DistillSettings,
    counts: CountSource | None,
) -> tuple[NDArray[np.float32], float]:
    """Reduced and weighted rows, and the share of variance they keep."""
    reduction = reduce(
        vectors,
        settings.dim,
        whitening=settings.whitening,
        remove_components=settings.remove_components,
        fit_rows=_rows_to_fit(student, settings),
    )
    probabilities = _probabilities(student, settings, counts)
    weights = token_weights(settings.weighting, probabilities, settings.sif_coefficient)
    table = reduction.table * weights[:, None].astype(np.float32)
    if settings.vocabulary_mode == "word" and student.unk_id is not None:
        table[student.unk_id] = 0  # it stands for every word that is not in the vocabulary
    return table, reduction.explained


def _choose_dim(dim: int | float | None, pca_dims: int | float | None) -> int | float | None:
    if pca_dims is None:
        return dim
    if dim not in (256, pca_dims):
        raise ValueError(f"dim {dim} and pca_dims {pca_dims} mean the same, expected only dim")
    return pca_dims


def _choose_prompt(said: TeacherSettings, settings: DistillSettings) -> str | None:
    """The text before each token: as asked, else the teacher's default."""
    name = settings.prompt_name
    if settings.prompt is not None:
        if name is not None:
            raise ValueError("prompt and prompt_name are both given, expected one of them")
        return settings.prompt or None
    if name is None and settings.compatible is None:
        name = said.default_prompt_name
    if name is None:
        return None
    if name not in said.prompts:
        raise ValueError(
            f"prompt_name {name!r}, the teacher has {sorted(said.prompts)}, "
            "expected one of them, or prompt= with a text"
        )
    return said.prompts[name] or None


def _probabilities(
    student: StudentVocabulary, settings: DistillSettings, counts: CountSource | None
) -> NDArray[np.float64]:
    """Probability of each of the student's tokens."""
    n_tokens = len(student.tokens)
    if settings.compatible:
        return rank_probabilities(n_tokens)
    if settings.weighting == "sif" and counts is not None:
        tokenizers = require("tokenizers", extra="distill", purpose="count tokens")
        tokenizer = tokenizers.Tokenizer.from_str(student.tokenizer_json)
        return count_probabilities(
            token_counts(counts, tokenizer, n_tokens, language=settings.language)
        )
    word_counts = student.word_counts
    known_counts = student.known_counts
    return place_words(n_tokens, student.n_teacher, word_counts, known_counts)


def _rows_to_fit(student: StudentVocabulary, settings: DistillSettings) -> NDArray[np.bool_] | None:
    """Rows that say something about the vocabulary: all but the unknown token of a word model."""
    if settings.vocabulary_mode != "word" or student.unk_id is None:
        return None
    rows = np.ones(len(student.tokens), dtype=np.bool_)
    rows[student.unk_id] = False
    return rows


def _describe_counts(counts: CountSource | None) -> str | None:
    if counts is None:
        return None
    if isinstance(counts, Mapping):
        return f"{len(counts)} words with counts"
    if isinstance(counts, str) or not isinstance(counts, Iterable):
        return Path(counts).name  # where it lay is nobody's business
    return "texts"


def _versions() -> dict[str, str]:
    found = {}
    for package in ("vecsmith", "torch", "transformers", "tokenizers", "numpy"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue  # run from a source tree
    return found


def _card(source: TeacherSource, card: Mapping[str, Any]) -> dict[str, Any]:
    """Front matter of the student's card: what it inherits from the teacher."""
    inherited = {
        key: card[key]
        for key in ("license", "license_name", "license_link", "language")
        if key in card
    }
    name = None if source.found == "folder" and "/" not in source.name else source.name
    return ({"base_model": name} if name else {}) | inherited


def _plain(value: Any) -> Any:
    """`value` in the kinds that JSON has."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)
