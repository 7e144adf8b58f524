"""Folders of model2vec, and our own, which are model2vec folders with a `vecsmith` key.

One rule: a folder means here what it means to model2vec 0.10; only the `vecsmith` key of
config.json says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecsmith._files import read_text
from vecsmith.errors import FormatError
from vecsmith.formats.checkpoint import Checkpoint, UnknownPolicy
from vecsmith.formats.json_fields import object_of, parse_object
from vecsmith.formats.layout import (
    CARD_FILE,
    CONFIG_FILE,
    INT4_FILE,
    SETTINGS_FILE,
    TABLE,
    TENSORS_FILE,
    TOKENIZER_FILE,
)
from vecsmith.formats.model_card import read_front_matter
from vecsmith.formats.safetensors import TensorFile
from vecsmith.formats.sentence_transformers import read_settings
from vecsmith.formats.table import (
    check_lengths,
    read_int4_table,
    read_mapping,
    read_table,
    read_weights,
)
from vecsmith.formats.tokenizer_json import TokenizerSettings, read_tokenizer, without_truncation

# What model2vec takes where config.json is silent; null there means no limit.
DEFAULT_MAX_LENGTH = 512
# What a folder of ours needs of its reader. The lower is written wherever it will do.
PORTABLE_FORMAT = 1
INT4_FORMAT = 2


def read_model2vec(folder: Path) -> Checkpoint:
    """The model in `folder`, its table mapped from the file.

    Raises:
        FormatError: If a file is missing, broken or does not fit the others.
    """
    is_int4 = (folder / INT4_FILE).is_file() and not (folder / TENSORS_FILE).is_file()
    tensors_file = INT4_FILE if is_int4 else TENSORS_FILE
    for name in (CONFIG_FILE, tensors_file, TOKENIZER_FILE):
        if not (folder / name).is_file():
            raise FormatError(
                f"{folder}: no {name}, expected {CONFIG_FILE}, {TENSORS_FILE} and {TOKENIZER_FILE}"
            )
    source = str(folder / CONFIG_FILE)
    config = dict(parse_object(read_text(source), source=source))
    ours = object_of(config, "vecsmith", source=source) if "vecsmith" in config else None
    unknown = "drop" if ours is None else _unknown(ours, source=source)
    tensors = TensorFile(folder / tensors_file)
    table = read_int4_table(tensors) if is_int4 else read_table(tensors, TABLE)
    weights = read_weights(tensors)
    mapping = read_mapping(tensors, n_rows=len(table))
    tokenizer_path = str(folder / TOKENIZER_FILE)
    tokenizer_json = read_text(tokenizer_path)
    settings = read_tokenizer(tokenizer_json, source=tokenizer_path)
    check_lengths(
        table, weights, mapping, settings, tensors=str(tensors.path), tokenizer=tokenizer_path
    )
    if ours is None and settings.truncation_max_length is not None:
        # model2vec sets its own truncation, which always keeps the left end
        tokenizer_json = without_truncation(tokenizer_json, source=tokenizer_path)
    checkpoint = Checkpoint(
        table=table,
        tokenizer_json=tokenizer_json,
        weights=None if _are_ones(weights, settings, unknown) else weights,
        mapping=mapping,
        normalize=_normalize(config, source=source),
        unknown=unknown,
        max_length=_max_length(config, source=source),
        config=config,
        card=read_front_matter(folder / CARD_FILE),
        layout="model2vec" if ours is None else "vecsmith",
        source=str(folder),
    )
    if (folder / SETTINGS_FILE).is_file():
        prompts, default_prompt_name, similarity = read_settings(folder / SETTINGS_FILE)
        checkpoint = replace(
            checkpoint,
            prompts=prompts,
            default_prompt_name=default_prompt_name,
            similarity=similarity,
        )
    return checkpoint


def _are_ones(
    weights: NDArray[np.float32] | None, settings: TokenizerSettings, unknown: UnknownPolicy
) -> bool:
    """Whether `weights` change nothing: all are 1, but for the token that is left out."""
    if weights is None:
        return False
    differ = np.flatnonzero(weights != 1)
    return (unknown == "drop" and differ.tolist() in ([], [settings.unk_id])) or not len(differ)


def _normalize(config: Mapping[str, Any], *, source: str) -> bool:
    value = config.get("normalize")
    if value is None:  # model2vec's own default
        return False
    if not isinstance(value, bool):
        raise FormatError(f"{source}.normalize: {value!r:.60}, expected true, false or null")
    return value


def _max_length(config: Mapping[str, Any], *, source: str) -> int | None:
    value = config.get("max_length", DEFAULT_MAX_LENGTH)
    if value is None:
        return None
    if type(value) is not int or not 1 <= value < 2**31:
        raise FormatError(
            f"{source}.max_length: {value!r:.60}, expected a whole number from 1, or null"
        )
    return value


def _unknown(ours: Mapping[str, Any], *, source: str) -> UnknownPolicy:
    version = ours.get("format", PORTABLE_FORMAT)
    if type(version) is not int or version < 1:
        raise FormatError(f"{source}.vecsmith.format: {version!r:.60}, expected 1 or 2")
    if version > INT4_FORMAT:
        raise FormatError(
            f"{source}.vecsmith.format: {version}, expected at most {INT4_FORMAT}: "
            "the model was written by a newer version, upgrade vecsmith"
        )
    value = ours.get("unknown", "drop")
    if value == "drop":
        return "drop"
    if value == "keep":
        return "keep"
    raise FormatError(f"{source}.vecsmith.unknown: {value!r:.60}, expected 'drop' or 'keep'")
