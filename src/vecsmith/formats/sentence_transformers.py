"""Folders of sentence-transformers whose first module is a StaticEmbedding.

One rule: a folder means here what it means to sentence-transformers 6.2: the unknown token is
counted, and the truncation stored in tokenizer.json is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

from vecsmith._files import read_text
from vecsmith.errors import FormatError
from vecsmith.formats.checkpoint import Checkpoint
from vecsmith.formats.json_fields import object_of, parse_object, parse_value, text_of
from vecsmith.formats.layout import (
    CARD_FILE,
    CONFIG_FILE,
    EMBEDDING_WEIGHT,
    MODULES_FILE,
    SETTINGS_FILE,
    STATIC_FOLDERS,
    TABLE,
    TENSORS_FILE,
    TOKENIZER_FILE,
)
from vecsmith.formats.model_card import read_front_matter
from vecsmith.formats.safetensors import TensorFile
from vecsmith.formats.table import check_lengths, read_mapping, read_table, read_weights
from vecsmith.formats.tokenizer_json import read_tokenizer

# The spelling that every version of sentence-transformers since 3.2 can read.
STATIC_EMBEDDING = "sentence_transformers.models.StaticEmbedding"
NORMALIZE = "sentence_transformers.models.Normalize"

Similarity = Literal["cosine", "dot", "euclidean", "manhattan"]


def read_sentence_transformers(folder: Path) -> Checkpoint:
    """The model in `folder`, its table mapped from the file.

    Raises:
        FormatError: If a file is missing, broken or does not fit the others, or if a module is
            neither a StaticEmbedding nor a Normalize.
    """
    place, normalize = read_modules(folder)
    tensors_path = place / TENSORS_FILE
    tokenizer_path = place / TOKENIZER_FILE
    if not tensors_path.is_file():
        pickled = (place / "pytorch_model.bin").is_file()
        raise FormatError(
            f"{place}: no model.safetensors"
            + (
                ", only pytorch_model.bin, which can run code when it is opened: "
                "save the model again with sentence-transformers"
                if pickled
                else ", expected model.safetensors and tokenizer.json"
            )
        )
    if not tokenizer_path.is_file():
        raise FormatError(f"{place}: no tokenizer.json, expected it beside model.safetensors")
    tensors = TensorFile(tensors_path)
    # sentence-transformers takes the first it finds; the second is model2vec's
    name = TABLE
    if EMBEDDING_WEIGHT in tensors or TABLE not in tensors:
        name = EMBEDDING_WEIGHT
    table = read_table(tensors, name)
    weights = mapping = None
    if name == TABLE:
        weights = read_weights(tensors)
        mapping = read_mapping(tensors, n_rows=len(table))
    tokenizer_json = read_text(tokenizer_path)
    settings = read_tokenizer(tokenizer_json, source=str(tokenizer_path))
    check_lengths(
        table, weights, mapping, settings, tensors=str(tensors_path), tokenizer=str(tokenizer_path)
    )
    if settings.truncation_max_length == 0:
        raise FormatError(f"{tokenizer_path}: truncation.max_length: 0, expected at least 1")
    prompts: Mapping[str, str] = {}
    default_prompt_name: str | None = None
    similarity: Similarity = "cosine"
    if (folder / SETTINGS_FILE).is_file():
        stored, default_prompt_name, similarity = read_settings(folder / SETTINGS_FILE)
        if any(stored.values()):
            # these two are always there, so the default prompt is never put before a query
            prompts = {"query": "", "document": "", **stored}
    return Checkpoint(
        table=table,
        tokenizer_json=tokenizer_json,
        weights=weights,
        mapping=mapping,
        normalize=normalize,
        unknown="keep",
        max_length=settings.truncation_max_length,
        prompts=prompts,
        default_prompt_name=default_prompt_name,
        similarity=similarity,
        card=read_front_matter(folder / CARD_FILE),
        layout="sentence-transformers",
        source=str(folder),
    )


def read_settings(path: Path) -> tuple[dict[str, str], str | None, Similarity]:
    """Prompts, name of the default prompt and similarity in config_sentence_transformers.json.

    Raises:
        FormatError: If one of them is not what sentence-transformers writes.
    """
    source = str(path)
    root = parse_object(read_text(path), source=source)
    prompts = {}
    if root.get("prompts") is not None:
        for name, prompt in object_of(root, "prompts", source=source).items():
            if prompt is None:
                continue  # a prompt that was never set
            if not isinstance(prompt, str):
                raise FormatError(
                    f"{source}.prompts.{name}: {prompt!r:.60}, expected a string or null"
                )
            prompts[name] = prompt
    default = root.get("default_prompt_name")
    if default is not None and (not isinstance(default, str) or default not in prompts):
        raise FormatError(
            f"{source}.default_prompt_name: {default!r:.60}, "
            f"expected null or one of {sorted(prompts)}"
        )
    return prompts, default, _similarity(root, source=source)


def read_modules(folder: Path) -> tuple[Path, bool]:
    """Folder of the StaticEmbedding, and whether a Normalize follows it.

    Raises:
        FormatError: If modules.json lists other modules.
    """
    path = folder / MODULES_FILE
    if not path.is_file():
        for name in STATIC_FOLDERS:
            if (folder / name / TENSORS_FILE).is_file():
                return folder / name, False
        return folder, False
    source = str(path)
    modules = parse_value(read_text(path), source=source)
    if not isinstance(modules, list) or not modules:
        raise FormatError(f"{source}: {modules!r:.60}, expected an array of modules")
    for module in modules:
        if not isinstance(module, dict):
            raise FormatError(f"{source}: {module!r:.60}, expected a module")
    place = folder
    normalize = False
    for i, module in enumerate(modules):
        kind = text_of(module, "type", source=f"{source}[{i}]")
        where = text_of(module, "path", source=f"{source}[{i}]", default="")
        if i == 0 and _is(kind, "StaticEmbedding"):
            place = folder / _inside(where, source=f"{source}[{i}]")
        elif i > 0 and _is(kind, "Normalize"):
            inner = _inside(where, source=f"{source}[{i}]")
            if inner != Path():  # config.json of the model's own folder is not the module's
                _check_normalize(folder / inner)
            normalize = True
        else:
            expected = "StaticEmbedding" if i == 0 else "nothing or Normalize after StaticEmbedding"
            raise FormatError(
                f"{source}: module {i} is {kind:.100}, expected {expected}: a model with other "
                "modules is no table of vectors, but can be distilled into one"
            )
    return place, normalize


def _similarity(root: Mapping[str, Any], *, source: str) -> Similarity:
    value = root.get("similarity_fn_name")
    if value is None:
        return "cosine"
    for name in get_args(Similarity):
        if value == name:
            return name  # type: ignore[no-any-return]
    raise FormatError(
        f"{source}.similarity_fn_name: {value!r:.60}, expected one of {get_args(Similarity)}"
    )


def _is(kind: str, name: str) -> bool:
    """Whether a class path, in any version's spelling, is sentence-transformers' own `name`."""
    return kind.startswith("sentence_transformers.") and kind.rsplit(".", 1)[1] == name


def _inside(path: str, *, source: str) -> Path:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\\" in path or "\0" in path:
        raise FormatError(f"{source}.path: {path!r:.60}, expected a folder inside the model's")
    return Path(pure)


def _check_normalize(folder: Path) -> None:
    """Refuses a Normalize that works on something else than the vector of the text."""
    path = folder / CONFIG_FILE
    if not path.is_file():
        return
    settings = parse_object(read_text(path), source=str(path))
    for key in ("module_input_name", "module_output_name"):
        value = settings.get(key) or "sentence_embedding"
        if value != "sentence_embedding":
            raise FormatError(f"{path}.{key}: {value!r:.60}, expected 'sentence_embedding'")
