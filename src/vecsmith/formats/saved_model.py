"""One folder that vecsmith, model2vec and sentence-transformers open, with the same vectors.

One rule: what the three libraries do differently is made equal in the files where it can be, and
told in the card where it cannot.

How it is made equal (checked with model2vec 0.10.0 and sentence-transformers 6.2):
- model2vec leaves the unknown token out of the mean, sentence-transformers counts it. Where it is
  left out its vector is written as zero: the sums are the same and so are unit vectors.
- model2vec cuts at 512 tokens unless config.json says otherwise, sentence-transformers at what
  tokenizer.json says: `max_length` is written in both, `null` in both for no limit.
- Older sentence-transformers take no notice of `weights`: float32 tables are written with the
  weights multiplied in. Narrower tables keep them apart, because rounding a product once more
  would change the vectors; and they always have `weights`, ones if need be, because then
  sentence-transformers computes in float32: PyTorch cannot average int8, and the length of a
  float16 zero vector is a division by zero.
- model2vec wants as many rows as tokens, or a `mapping`.

A table of four bits (`Int4Table`) has no form that the two could read: its file has a name of its
own and there is no modules.json, so that both say that they find no model of theirs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecsmith._typing import PathLike
from vecsmith.formats.checkpoint import Checkpoint, PackedTable
from vecsmith.formats.folder import atomic_folder, check_target
from vecsmith.formats.int4_table import Int4Table
from vecsmith.formats.layout import (
    CARD_FILE,
    CONFIG_FILE,
    INT4_FILE,
    MODULES_FILE,
    SETTINGS_FILE,
    TABLE,
    TENSORS_FILE,
    TOKENIZER_FILE,
    is_other_model,
)
from vecsmith.formats.model2vec import INT4_FORMAT, PORTABLE_FORMAT
from vecsmith.formats.model_card import render_card
from vecsmith.formats.safetensors import TensorStream, row_blocks, write_tensors
from vecsmith.formats.sentence_transformers import NORMALIZE, STATIC_EMBEDDING
from vecsmith.formats.short_tables import Bfloat16Table, Int16Table
from vecsmith.formats.table import check_lengths
from vecsmith.formats.tokenizer_json import TokenizerSettings, read_tokenizer, stored_tokenizer

# What a folder may hold and still be replaced: files of a model that are made anew, and what
# version control and file browsers put beside them.
_OWN_NAMES = frozenset(
    {
        *(CARD_FILE, CONFIG_FILE, MODULES_FILE, SETTINGS_FILE, TENSORS_FILE, TOKENIZER_FILE),
        *(INT4_FILE, "0_StaticEmbedding", "1_Normalize", ".gitattributes", ".DS_Store"),
    }
)


def check_replaceable(folder: PathLike) -> None:
    """Refuses a folder that `write_checkpoint` would refuse, before any work is done.

    Raises:
        FileExistsError: If it holds something that is not a static model's, and would be lost.
    """
    target = Path(os.path.realpath(folder))
    check_target(target, _OWN_NAMES)
    if is_other_model(target):
        raise FileExistsError(
            f"{target}: holds another model, which would be lost, expected a static model or an "
            "empty folder: choose another folder"
        )


def write_checkpoint(folder: PathLike, checkpoint: Checkpoint, *, card: str | None = None) -> None:
    """Writes `checkpoint` to `folder`, whole or not at all.

    Args:
        folder: Where to. A model that is there is replaced.
        checkpoint: The model.
        card: Text of README.md; made from the checkpoint if None.

    Raises:
        FileExistsError: If `folder` holds something that is not a model's.
        FormatError: If the parts of `checkpoint` do not fit each other.
        OSError: If the disk is full or the folder may not be written.
    """
    settings = read_tokenizer(checkpoint.tokenizer_json)
    check_lengths(
        checkpoint.table,
        checkpoint.weights,
        checkpoint.mapping,
        settings,
        tensors="the checkpoint",
        tokenizer="its tokenizer.json",
    )
    if card is None:
        name = checkpoint.card.get("model_name")
        card = render_card(
            checkpoint,
            model_name=name if isinstance(name, str) and name else Path(folder).absolute().name,
            notes=differences(checkpoint, settings),
        )
    if isinstance(checkpoint.table, (Bfloat16Table, Int16Table)):
        raise ValueError(
            f"the table is {checkpoint.table_dtype}, which is for memory alone: open the model "
            "without that dtype, or round it to float32, float16, int8 or int4, and save that"
        )
    is_int4 = isinstance(checkpoint.table, Int4Table)
    tensors = int4_tensors(checkpoint) if is_int4 else portable_tensors(checkpoint, settings)
    texts = {
        TOKENIZER_FILE: stored_tokenizer(
            checkpoint.tokenizer_json, max_length=checkpoint.max_length
        ),
        CONFIG_FILE: _json(_config(checkpoint, tensors)),
        SETTINGS_FILE: _json(_settings(checkpoint)),
        CARD_FILE: card,
    }
    if not is_int4:
        texts[MODULES_FILE] = _json(_modules(checkpoint))
    metadata = {"format": "vecsmith", "dim": str(checkpoint.dim)} if is_int4 else {"format": "pt"}
    check_replaceable(folder)
    with atomic_folder(folder, own=_OWN_NAMES) as new:
        with (new / (INT4_FILE if is_int4 else TENSORS_FILE)).open("wb") as file:
            write_tensors(file, tensors, metadata=metadata)
        for name, text in texts.items():
            (new / name).write_text(text, encoding="utf-8", newline="\n")


def int4_tensors(checkpoint: Checkpoint) -> dict[str, NDArray[Any] | TensorStream]:
    """Tensors of model.int4.safetensors, widest type first."""
    table = checkpoint.table
    assert isinstance(table, Int4Table)
    tensors: dict[str, NDArray[Any] | TensorStream] = {}
    if checkpoint.weights is not None:
        tensors["weights"] = checkpoint.weights.astype(np.float32)
    if checkpoint.mapping is not None:
        tensors["mapping"] = checkpoint.mapping.astype(np.uint32)
    scales = table.scales
    tensors["scales"] = TensorStream(
        dtype=scales.dtype,
        shape=scales.shape,
        blocks=(scales[rows] for rows in row_blocks(scales)),
        bfloat16=True,
    )
    tensors["codes"] = table.codes
    tensors["levels"] = table.levels
    return tensors


def portable_tensors(
    checkpoint: Checkpoint, settings: TokenizerSettings
) -> dict[str, NDArray[Any] | TensorStream]:
    """Tensors of model.safetensors that all three libraries read alike, widest type first."""
    table, weights, mapping = checkpoint.table, checkpoint.weights, checkpoint.mapping
    if isinstance(table, PackedTable):
        found = checkpoint.table_dtype
        raise TypeError(f"the table is {found}, expected one of the types that all libraries read")
    unk_id = settings.unk_id if checkpoint.unknown == "drop" else None
    if mapping is None and settings.n_tokens != len(table):
        table = table[: settings.n_ids]  # rows behind the last id are never asked for
        weights = None if weights is None else weights[: settings.n_ids]
        if settings.n_tokens != settings.n_ids:  # there are gaps, and model2vec counts tokens
            mapping = np.arange(settings.n_ids, dtype=np.uint32)
    if weights is None and table.dtype != np.float32:
        weights = np.ones(len(table) if mapping is None else len(mapping), dtype=np.float32)
    folded = None
    if weights is not None and mapping is None and table.dtype == np.float32:
        folded, weights = weights, None
    zero_row = None
    if unk_id is not None:
        if weights is not None:
            weights = weights.copy()
            weights[unk_id] = 0
        elif mapping is None:
            zero_row = unk_id
        elif np.any(table[mapping[unk_id]]):  # the row may be shared: a new one is put behind
            mapping = mapping.copy()
            mapping[unk_id] = zero_row = len(table)
    n_rows = max(len(table), 0 if zero_row is None else zero_row + 1)
    tensors: dict[str, NDArray[Any] | TensorStream] = {}
    if weights is not None:
        tensors["weights"] = weights.astype(np.float32)
    if mapping is not None:
        tensors["mapping"] = mapping.astype(np.int32)  # other readers take only this type
    tensors[TABLE] = TensorStream(
        dtype=table.dtype,
        shape=(n_rows, table.shape[1]),
        blocks=_table_blocks(table, folded, zero_row),
    )
    return tensors


def differences(checkpoint: Checkpoint, settings: TokenizerSettings) -> list[str]:
    """Sentences on where model2vec or sentence-transformers give other vectors than vecsmith."""
    if isinstance(checkpoint.table, Int4Table):
        return [
            "model2vec and sentence-transformers know no table of four bits a number and say that "
            "they find no model. `vecsmith compress MODEL --dtype float32 --out OTHER` writes a "
            "folder of the same vectors for them."
        ]
    notes = []
    if settings.unk_id is not None and checkpoint.unknown == "keep":
        notes.append(
            "model2vec leaves the unknown token out of the mean, vecsmith and "
            "sentence-transformers count it: texts with unknown tokens get other vectors in "
            "model2vec."
        )
    if settings.unk_id is not None and checkpoint.unknown == "drop" and not checkpoint.normalize:
        notes.append(
            "sentence-transformers counts the unknown token in the length of a text, vecsmith and "
            "model2vec do not: texts with unknown tokens get shorter vectors of the same "
            "direction in sentence-transformers."
        )
    if checkpoint.max_length is not None:
        notes.append(
            f"Texts are cut at {checkpoint.max_length} tokens. model2vec first cuts them at "
            "as many times the median length of a token in characters, and may so lose tokens."
        )
        if settings.truncation_direction == "left":
            notes.append("Long texts keep their end; in model2vec they keep their beginning.")
    if checkpoint.table_dtype == "float16":
        notes.append(
            "The table is float16: model2vec gives vectors of float16, the others float32."
        )
    if checkpoint.prompts:
        notes.append("model2vec knows no prompts: put them before the text yourself.")
    return notes


def _table_blocks(
    table: NDArray[Any], folded: NDArray[np.float32] | None, zero_row: int | None
) -> Iterator[NDArray[Any]]:
    """Rows of `table` in pieces, times `folded`, with zeros at `zero_row`."""
    for rows in row_blocks(table):
        block = table[rows]
        if folded is not None:
            block = block * folded[rows, None]
        if zero_row is not None and rows.start <= zero_row < rows.stop:
            block = block.copy()
            block[zero_row - rows.start] = 0
        yield block
    if zero_row == len(table):
        yield np.zeros((1, table.shape[1]), dtype=table.dtype)


def _config(
    checkpoint: Checkpoint, tensors: Mapping[str, NDArray[Any] | TensorStream]
) -> dict[str, Any]:
    ours = checkpoint.config.get("vecsmith")
    is_int4 = isinstance(checkpoint.table, Int4Table)
    config = {
        "tokenizer_name": checkpoint.card.get("base_model"),
        "apply_pca": None,
        "sif_coefficient": None,
        "pooling": "mean",
        **checkpoint.config,
        "model_type": "vecsmith" if is_int4 else "model2vec",
        "architectures": ["StaticModel"],
        "hidden_dim": checkpoint.dim,
        "seq_length": 1_000_000,
        "normalize": checkpoint.normalize,
        "max_length": checkpoint.max_length,
        "embedding_dtype": checkpoint.table_dtype,
        "vecsmith": {
            **(ours if isinstance(ours, Mapping) else {}),
            "format": INT4_FORMAT if is_int4 else PORTABLE_FORMAT,
            "unknown": checkpoint.unknown,
        },
    }
    config.pop("vocabulary_quantization", None)
    if "mapping" in tensors:
        config["vocabulary_quantization"] = tensors["codes" if is_int4 else TABLE].shape[0]
    return config


def _modules(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    modules = [{"idx": 0, "name": "0", "path": ".", "type": STATIC_EMBEDDING}]
    if checkpoint.normalize:
        modules.append({"idx": 1, "name": "1", "path": "1_Normalize", "type": NORMALIZE})
    return modules


def _settings(checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "model_type": "SentenceTransformer",
        "prompts": _prompts(checkpoint),
        "default_prompt_name": checkpoint.default_prompt_name,
        "similarity_fn_name": checkpoint.similarity,
    }


def _prompts(checkpoint: Checkpoint) -> dict[str, str]:
    """Prompts with those named that sentence-transformers would else take for empty."""
    prompts = dict(checkpoint.prompts)
    if not any(prompts.values()):
        return prompts
    default = prompts.get(checkpoint.default_prompt_name or "", "")
    prompts.setdefault("query", default)
    for name in ("passage", "corpus"):
        if name in prompts:
            prompts.setdefault("document", prompts[name])
    prompts.setdefault("document", default)
    return prompts


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
