"""From a teacher to a static model, in one call.

Without texts each token of the vocabulary goes through the teacher once, on its own; the vectors
are reduced to `dim` dimensions and weighted. With texts the teacher reads them, and the table is
fitted to its vectors of them. The tokenizer and the table are the student.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from vecsmith._extras import require
from vecsmith._typing import PathLike, TableDtype
from vecsmith.corpora.decontamination import Decontaminator
from vecsmith.distillation.checkpoints import WITHOUT_TEXTS, distill_checkpoint
from vecsmith.distillation.regression.settings import RegressionSettings
from vecsmith.distillation.settings import (
    DEFAULT_COEFFICIENTS,
    DEFAULT_WHITENING,
    UNUSED_TOKENS,
    DistillSettings,
    Objective,
    PolishSettings,
    TextSettings,
    TokenlearnSettings,
)
from vecsmith.distillation.text_source import TextSource, TextsToRead
from vecsmith.distillation.vocabulary import VocabularyMode
from vecsmith.distillation.weighting import CountSource, Weighting
from vecsmith.distillation.words import WordSource
from vecsmith.model import StaticModel
from vecsmith.transformer.teacher import ComputeDtype, Pooling

__all__ = [
    "UNUSED_TOKENS",
    "WITHOUT_TEXTS",
    "DistillSettings",
    "distill",
    "distill_checkpoint",
]


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
    texts: TextSource | None = None,
    text_column: str | None = None,
    evaluation_texts: Iterable[str] | Decontaminator | None = None,
    objective: Objective = "regression",
    regression: RegressionSettings | None = None,
    tokenlearn: TokenlearnSettings | None = None,
    pairs: Any = None,
    pair_roles: Mapping[str, str] | Sequence[str] | None = None,
    polish: PolishSettings | None = None,
    lexical_dims: int = 0,
    lexical_scale: float = 0.5,
    max_length: int | None = None,
    work: PathLike | None = None,
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

    Without texts each token of the vocabulary goes through the teacher once; the vectors are
    reduced to `dim` dimensions and weighted by how rare the token is. With `texts` the teacher
    reads them all, and the table is fitted to its vectors of them, which keeps more of it.

    Example:
        >>> model = distill(  # doctest: +SKIP
        ...     "sentence-transformers/all-MiniLM-L6-v2", texts="corpus.parquet", dim=256
        ... )
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
            2e-4 with "zipf" and 1e-3 with "sif" and with texts.
        counts: Where frequencies come from: texts, a file of texts, words with counts (a mapping
            or a `.tsv` file), or "wordfreq".
        language: Language of the "wordfreq" list.
        whitening: Power: component k is divided by its standard deviation to this power, 0 to 1;
            None takes 0.25 where there are components, and with texts that of `regression`.
        remove_components: How many of the strongest components are left out; 0 with texts.
        texts: What the teacher reads: a file (parquet, jsonl, csv, tsv, txt, Arrow), a folder or
            glob of them, a Hub data set, a `datasets` or Arrow object, or a sequence of texts.
            Texts that come again, and empty ones, are left out and counted.
        text_column: Which column holds the texts; None for "text" or the only one that does.
        evaluation_texts: Texts that are taken out of `texts` and `pairs`, and with them what is
            nearly one.
        objective: "regression" solves for the table; "cosine", "mse" and "contrastive" learn it
            step by step as tokenlearn does, to compare with.
        regression: Constants of the regression.
        tokenlearn: How the other objectives learn.
        pairs: Texts that belong together, on which the table of the regression is polished: as
            `vecsmith.training.train_static` takes them. With `texts` only.
        pair_roles: Columns of the pairs by role, or in order; None to tell them by their names.
        polish: How it is polished.
        lexical_dims: Dimensions of a lexical tail after the others: for retrieval, where exact
            words count; a prefix of `dim` dimensions is the model without it. 0 for none.
        lexical_scale: Length of a row's tail over that of the row.
        max_length: Tokens of a text that the teacher reads, specials included; None for 128, or
            fewer where the teacher has no room for as many.
        work: Folder in which what the teacher says is kept, so that a run that was stopped goes on
            where it was, and other settings can be tried without another reading. About 2 bytes
            for each number of a text's vector and 4 for each token. None for a folder of the
            system's for temporary files, gone at the end.
        token_remove_pattern: Teacher tokens whose beginning matches are left out.
        dtype: Of the stored table.
        compute_dtype: Of the teacher's pass; "auto" takes bfloat16 where the device is fast at it.
        batch_tokens: Most token ids in one pass.
        device: Torch device of the teacher.
        prompt: Text the teacher reads before each token and each text.
        prompt_name: One of the teacher's own prompts.
        revision: Branch, tag or commit of a Hub id.
        token: Access token for the Hub.
        trust_remote_code: Whether code in the teacher's folder may run.
        compatible: "model2vec" gives the vectors of model2vec 0.10.0, with its defaults.
        pca_dims: Another spelling of `dim`.
        show_progress_bar: None shows one on a terminal.

    Raises:
        ValueError: If an argument does not fit the others or the teacher.
        FormatError: If a file is missing or broken, or `work` is of another distillation.
        HubError: If the teacher could not be fetched.
        MissingExtraError: If torch or another part of the extra `distill` is missing.
        OSError: If there is no room left to write to; what is in `work` is gone on with.
    """
    dim = _choose_dim(dim, pca_dims)
    how = None
    if texts is not None:
        how = _text_settings(
            TextSettings(
                objective=objective,
                max_length=128 if max_length is None else max_length,
                regression=regression or RegressionSettings(),
                tokenlearn=tokenlearn or TokenlearnSettings(),
                polish=None if pairs is None else polish or PolishSettings(),
            ),
            weighting=weighting,
            sif_coefficient=sif_coefficient,
            whitening=whitening,
        )
        coefficient = how.regression.sif_coefficient
        weighting = weighting or ("none" if coefficient is None else "sif")
        sif_coefficient, whitening = coefficient, how.regression.whitening
    if weighting is None:
        weighting = "zipf" if counts is None else "sif"
    if sif_coefficient is None:
        sif_coefficient = DEFAULT_COEFFICIENTS.get("model2vec" if compatible else weighting, 1e-3)
    if whitening is None:
        whitening = 0.0 if compatible or dim is None else DEFAULT_WHITENING
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
        texts=how,
        lexical_dims=lexical_dims,
        lexical_scale=lexical_scale,
    )
    _check_pairs(texts, pairs, pair_roles, polish)
    to_read = to_polish = None
    if texts is not None:
        to_read = TextsToRead(texts, column=text_column, evaluation_texts=evaluation_texts)
    elif any(option is not None for option in (text_column, evaluation_texts, max_length, work)):
        raise ValueError(
            "text_column, evaluation_texts, max_length or work without texts, expected texts"
        )
    if to_read is not None and pairs is not None:
        require("torch", extra="distill", purpose="polish a table on pairs")
        from vecsmith.distillation.pair_source import PairsToPolish

        to_polish = PairsToPolish(pairs, roles=pair_roles, cleaner=to_read.cleaner)
    return StaticModel(
        distill_checkpoint(
            teacher,
            settings,
            vocabulary=vocabulary,
            counts=counts,
            texts=to_read,
            pairs=to_polish,
            work=work,
            revision=revision,
            token=token,
            trust_remote_code=trust_remote_code,
            show_progress_bar=show_progress_bar,
        )
    )


def _check_pairs(texts: Any, pairs: Any, roles: Any, polish: PolishSettings | None) -> None:
    """Raises ValueError for pairs without texts, and for what is said of pairs without them."""
    if pairs is not None and texts is None:
        raise ValueError(
            "pairs without texts, expected texts for the teacher to read: pairs polish a table "
            "that was fitted to them; without texts, train the model afterwards: "
            "train_static(init=model, pairs=pairs), or vecsmith train static --init MODEL"
        )
    if pairs is None and (roles is not None or polish is not None):
        raise ValueError("pair_roles or polish without pairs, expected pairs")


def _text_settings(
    how: TextSettings,
    *,
    weighting: Weighting | None,
    sif_coefficient: float | None,
    whitening: float | None,
) -> TextSettings:
    """`how` with what was asked for by the names that a distillation without texts has too."""
    regression = how.regression
    if weighting == "none":
        regression = replace(regression, sif_coefficient=None)
    elif sif_coefficient is not None:
        regression = replace(regression, sif_coefficient=sif_coefficient)
    if whitening is not None:
        regression = replace(regression, whitening=whitening)
    return replace(how, regression=regression)


def _choose_dim(dim: int | float | None, pca_dims: int | float | None) -> int | float | None:
    if pca_dims is None:
        return dim
    if dim not in (256, pca_dims):
        raise ValueError(f"dim {dim} and pca_dims {pca_dims} mean the same, expected only dim")
    return pca_dims
