"""A transformer in memory -> a folder that sentence-transformers opens, with the same vectors.

The one rule: the folder is whole and stands alone: tokenizer, pooling, modules and prompts are
those of the model it was made from, and nothing of a pickle is in it.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vecsmith._extras import require
from vecsmith._files import read_json
from vecsmith._typing import PathLike
from vecsmith.errors import FormatError
from vecsmith.formats.folder import atomic_folder, check_target
from vecsmith.formats.safetensors import TensorFile
from vecsmith.transformer.card import render_transformer_card
from vecsmith.transformer.depth import count_layers, first_layers
from vecsmith.transformer.loading import quiet_loading
from vecsmith.transformer.source import (
    TeacherSettings,
    TeacherSource,
    read_modules,
    read_object,
    read_settings,
    transformer_folder,
    weight_files,
)

if TYPE_CHECKING:
    from torch import Tensor

_PURPOSE: Final = "write a transformer"
_MODULE: Final = "sentence_transformers.models."  # the spelling that every version can read
# What a tokenizer may need besides tokenizer.json, which is written for all
_TOKENIZER_FILES: Final = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
    "chat_template.jinja",
)
_KINDS: Final = ("Pooling", "Dense", "Dropout", "Normalize")
# What a folder may hold and still be replaced
_OWN_NAMES: Final = frozenset(
    {
        *_TOKENIZER_FILES,
        *("config.json", "model.safetensors", "model.safetensors.index.json", "tokenizer.json"),
        *("modules.json", "config_sentence_transformers.json", "sentence_bert_config.json"),
        *("README.md", "generation_config.json", ".gitattributes", ".DS_Store"),
        *(f"{i}_{kind}" for i in range(1, 20) for kind in _KINDS),
    }
)


def save_encoder(
    model: Any,
    source: TeacherSource,
    out: PathLike,
    *,
    n_layers: int | None = None,
    dim: int | None = None,
    rotation: Tensor | None = None,
    pooling: str | None = None,
    dense: Sequence[Mapping[str, Tensor]] | None = None,
    normalize: bool | None = None,
    max_length: int | None = None,
    prompts: Mapping[str, str] | None = None,
    dims: Sequence[int] | None = None,
    layers: Sequence[int] | None = None,
    provenance: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> None:
    """Writes a transformer as a sentence-transformers folder, whole or not at all.

    `SentenceTransformer(out)` and `TextEncoder.from_pretrained(out)` give the vectors that `model`
    gives under the pooling and the modules of `source`.

    Args:
        model: A transformer of the transformers library, as `load_model` gives it, trained or not.
        source: The model it was made from: tokenizer, pooling, modules and prompts are its own.
        out: Folder to write; one that was written here before is replaced.
        n_layers: Only the first so many layers are written; None for all.
        dim: Only the first so many dimensions are given, by a module before a Normalize.
        rotation: What vectors are multiplied by before a Normalize, [D, D]; None for nothing.
        pooling: "mean", "cls", "last" or "max", if not as `source` says.
        dense: Trained tensors of its Dense modules ("linear.weight", ...), in their order.
        normalize: Whether vectors have unit length, if not as `source` says.
        max_length: Tokens of a text that count, if not as `source` says.
        prompts: Texts put before an input, by name, if not as `source` says.
        dims: Prefixes that it was trained for, for its card and its users.
        layers: Depths that it was trained for.
        provenance: More to be recorded in config.json and told in the card: "recipe", "data",
            "scores".
        name: What it is called in its card; None for the folder's name.

    Raises:
        FileExistsError: If `out` holds something else, which would be lost.
        FormatError: If a file of `source` is broken.
        OSError: If the disk is full or the folder may not be written.
        ValueError: If `out` is the folder of `source`, or a number is out of range.
    """
    check_encoder_folder(out, source)
    said = read_settings(source)
    if n_layers is not None:
        model = first_layers(model, n_layers)
    head = _read_modules(source, pooling, dense, normalize, int(model.config.hidden_size))
    if rotation is not None:
        head = _with_product(head, rotation.T)
    if dim is not None:
        head = _with_prefix(head, dim)
    ours = _record(count_layers(model), _width(head), dims, layers, provenance or {})
    title = name or Path(out).absolute().name
    with atomic_folder(out, own=_OWN_NAMES) as new:
        _write_body(new, model, source, said, ours, max_length)
        _write_modules(new, head)
        _write_settings(new, source, prompts)
        card = render_transformer_card(
            said.card,
            ours,
            model_name=title,
            base=source.name,
            dim=_width(head),
            n_layers=count_layers(model),
            max_length=said.max_length if max_length is None else max_length,
        )
        (new / "README.md").write_text(card, encoding="utf-8", newline="\n")


def check_encoder_folder(out: PathLike, source: TeacherSource | None = None) -> None:
    """Refuses a folder that `save_encoder` would refuse, before any work is done.

    Raises:
        FileExistsError: If it holds something that was not written here, and would be lost.
        ValueError: If it is the folder of `source`.
    """
    target = Path(os.path.realpath(out))
    if source is not None and target == Path(os.path.realpath(source.folder)):
        raise ValueError(f"out is {out}, the folder of the model itself, expected another one")
    check_target(target, _OWN_NAMES)
    config = target / "config.json"
    if config.is_file() and "vecsmith" not in read_object(config):
        raise FileExistsError(
            f"{target}: holds another model, which would be lost, expected an empty folder or one "
            "that vecsmith wrote: choose another folder"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """A module as it will lie in the folder; `width` is how long vectors are behind it."""

    kind: str
    width: int
    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor] | None = None


def _read_modules(
    source: TeacherSource,
    pooling: str | None,
    dense: Sequence[Mapping[str, Tensor]] | None,
    normalize: bool | None,
    width: int,
) -> list[_Written]:
    """The modules behind the transformer of `source`, with what training made of them."""
    found: list[_Written] = []
    trained = None if dense is None else list(dense)
    listed = read_modules(source.folder) if (source.folder / "modules.json").is_file() else []
    for module in listed:
        config = read_object(module.folder / "config.json") if module.kind in _KINDS else {}
        if module.kind == "Dense":
            tensors = _dense_tensors(module.folder) if trained is None else trained.pop(0)
            width = len(tensors["linear.weight"])
            found.append(_Written(kind="Dense", width=width, config=config, tensors=tensors))
        elif module.kind == "Pooling":
            if pooling is not None:
                config = _pooling(pooling, width)
            width *= max(1, _n_modes(config))
            found.append(_Written(kind="Pooling", width=width, config=config))
        elif module.kind in ("Dropout", "Normalize"):
            found.append(_Written(kind=module.kind, width=width, config=config))
        elif module.kind != "Transformer":
            raise FormatError(
                f"{source.folder / 'modules.json'}: module {module.kind}, expected Transformer, "
                "Pooling, Dense, Dropout or Normalize"
            )
    if not any(module.kind == "Pooling" for module in found):
        found.insert(0, _Written(kind="Pooling", width=width, config=_pooling(pooling, width)))
    while normalize is not None and found[-1].kind == "Normalize":
        found.pop()
    if normalize:
        found.append(_Written(kind="Normalize", width=found[-1].width, config={}))
    return found


def _pooling(mode: str | None, width: int) -> dict[str, Any]:
    """The configuration of one pooling mode, in the words that every version can read."""
    flags = {
        "cls": "pooling_mode_cls_token",
        "mean": "pooling_mode_mean_tokens",
        "last": "pooling_mode_lasttoken",
        "max": "pooling_mode_max_tokens",
    }
    mode = mode or "mean"
    if mode not in flags:
        raise ValueError(f"pooling is {mode!r}, expected one of {sorted(flags)}")
    return {
        "word_embedding_dimension": width,
        **{flag: name == mode for name, flag in flags.items()},
        "pooling_mode_mean_sqrt_len_tokens": False,
        "pooling_mode_weightedmean_tokens": False,
        "include_prompt": True,
    }


def _n_modes(config: Mapping[str, Any]) -> int:
    named = config.get("pooling_mode")
    if named is not None:
        return len(named) if isinstance(named, list) else 1
    return sum(value is True for key, value in config.items() if key.startswith("pooling_mode_"))


def _dense_tensors(folder: Path) -> dict[str, Tensor]:
    torch = require("torch", extra="distill", purpose=_PURPOSE)
    path = folder / "model.safetensors"
    if not path.is_file():
        raise FormatError(f"{path} is missing, expected the weights of the Dense module")
    file = TensorFile(path)
    found = {name: torch.from_numpy(file.tensor(name).copy()) for name in file.names()}
    if "linear.weight" not in found or found["linear.weight"].ndim != 2:
        raise FormatError(f"{path}: tensors {sorted(found)}, expected linear.weight, a matrix")
    return found


def _width(head: Sequence[_Written]) -> int:
    return head[-1].width


def _with_prefix(head: list[_Written], dim: int) -> list[_Written]:
    """`head` with vectors cut to their first `dim` dimensions before the last Normalize.

    An identity of `dim` rows in a Dense is the one way that every version of
    sentence-transformers knows; of a linear Dense before it the other rows are left out.
    """
    torch = require("torch", extra="distill", purpose=_PURPOSE)
    full = _width(head)
    if not 1 <= dim <= full:
        raise ValueError(f"dim is {dim}, expected 1 to {full}, the whole vector")
    if dim == full:
        return head
    return _with_product(head, torch.eye(dim, full))


def _with_product(head: list[_Written], weight: Tensor) -> list[_Written]:
    """`head` with vectors multiplied by `weight`, [K, D], before the last Normalize."""
    ends = len(head)
    while ends and head[ends - 1].kind == "Normalize":
        ends -= 1
    before, after = head[:ends], head[ends:]
    n_out, n_in = weight.shape
    if n_in != before[-1].width:
        raise ValueError(
            f"a matrix of {n_in} columns, expected {before[-1].width}, the length of the vectors"
        )
    last = before[-1]
    if last.kind == "Dense" and last.tensors is not None and _is_linear(last):
        tensors = {name: (weight @ part).contiguous() for name, part in last.tensors.items()}
        config = {**last.config, "out_features": n_out}
        before[-1] = _Written(kind="Dense", width=n_out, config=config, tensors=tensors)
    else:
        config = {
            "in_features": n_in,
            "out_features": n_out,
            "bias": False,
            "activation_function": "torch.nn.modules.linear.Identity",
        }
        tensors = {"linear.weight": weight.contiguous()}
        before.append(_Written(kind="Dense", width=n_out, config=config, tensors=tensors))
    return [*before, *(_Written(kind=m.kind, width=n_out, config=m.config) for m in after)]


def _is_linear(module: _Written) -> bool:
    named = str(module.config.get("activation_function"))
    return named.rsplit(".", 1)[-1] == "Identity" and not module.config.get("use_residual")


def _record(
    n_layers: int,
    dim: int,
    dims: Sequence[int] | None,
    layers: Sequence[int] | None,
    provenance: Mapping[str, Any],
) -> dict[str, Any]:
    """What config.json says under "vecsmith"; prefixes and depths that are no more are left out."""
    for name, numbers, most in (("dims", dims, dim), ("layers", layers, n_layers)):
        wrong = [n for n in numbers or () if n < 1]
        if wrong:
            raise ValueError(f"{name} {wrong}, expected 1 to {most}")
    return {
        **provenance,
        "matryoshka_dims": sorted({n for n in dims or () if n <= dim} | {dim}),
        "layers": sorted({n for n in layers or () if n <= n_layers} | {n_layers}),
    }


def _write_body(
    new: Path,
    model: Any,
    source: TeacherSource,
    said: TeacherSettings,
    ours: Mapping[str, Any],
    max_length: int | None,
) -> None:
    """Transformer and tokenizer, at the top of the folder."""
    transformers = require("transformers", extra="distill", purpose=_PURPOSE)
    safetensors = require("safetensors", extra="distill", purpose=_PURPOSE)
    body = transformer_folder(source.folder)
    try:
        if read_object(body / "config.json").get("is_encoder_decoder"):
            _write_encoder_half(new, model, body)
        else:
            with quiet_loading(transformers):
                tensors = _kept_tensors(model, body)
                model.save_pretrained(new, state_dict=tensors, max_shard_size="1000GB")
    except safetensors.SafetensorError as error:  # what a full disk is called there
        raise OSError(errno.EIO, f"{error}, nothing was written", str(new)) from error
    config = read_json(new / "config.json")
    _write(new / "config.json", {**config, "vecsmith": dict(ours)})
    (new / "tokenizer.json").write_text(said.tokenizer_json, encoding="utf-8", newline="\n")
    for name in _TOKENIZER_FILES:
        if (body / name).is_file():
            shutil.copyfile(body / name, new / name)
    _let_it_pad(new)
    # what the base does not say is left open: 514 positions of RoBERTa are no length of a text
    stored = [read_object(path) for path in sorted(body.glob("sentence_*_config.json"))]
    asked = next((each["max_seq_length"] for each in stored if each.get("max_seq_length")), None)
    limits = {"max_seq_length": asked if max_length is None else max_length}
    _write(new / "sentence_bert_config.json", {**limits, "do_lower_case": said.lowercase})


def _let_it_pad(new: Path) -> None:
    """Names a padding token where the base has none, as many decoders: the one that ends texts.

    transformers refuses to pad without one. Which it is changes no vector: padding is masked.
    """
    config = read_object(new / "tokenizer_config.json")
    named = {**read_object(new / "special_tokens_map.json"), **config}
    if named.get("pad_token"):
        return
    roles = ("eos_token", "sep_token", "unk_token", "bos_token")
    end = next((named[role] for role in roles if named.get(role)), None)
    if end is not None:
        _write(new / "tokenizer_config.json", {**config, "pad_token": end})


def _write_encoder_half(new: Path, model: Any, body: Path) -> None:
    """The encoder of a model that has a decoder too, under the names it has in the whole."""
    writer = require("safetensors.torch", extra="distill", purpose=_PURPOSE)
    inputs = model.get_input_embeddings().weight
    tensors = {
        f"encoder.{name}": tensor.contiguous()
        for name, tensor in model.state_dict().items()
        if tensor.data_ptr() != inputs.data_ptr()
    }
    tensors["shared.weight"] = inputs.detach()
    writer.save_file(tensors, new / "model.safetensors", metadata={"format": "pt"})
    config = read_object(body / "config.json")
    for name in ("num_layers", "encoder_layers", "num_hidden_layers"):
        if name in config:
            config[name] = count_layers(model)
    _write(new / "config.json", config)


def _kept_tensors(model: Any, body: Path) -> dict[str, Tensor]:
    """The tensors of `model` but for a pooler that no file had and that was made up at random."""
    tensors: dict[str, Tensor] = model.state_dict()
    stored = [name for path in weight_files(body) for name in TensorFile(path).names()]
    if any("pooler." in name for name in stored):
        return tensors
    return {name: tensor for name, tensor in tensors.items() if not name.startswith("pooler.")}


def _write_modules(new: Path, head: Sequence[_Written]) -> None:
    writer = require("safetensors.torch", extra="distill", purpose=_PURPOSE)
    entries = [{"idx": 0, "name": "0", "path": "", "type": f"{_MODULE}Transformer"}]
    for i, module in enumerate(head, 1):
        path = f"{i}_{module.kind}"
        entries.append({"idx": i, "name": str(i), "path": path, "type": f"{_MODULE}{module.kind}"})
        (new / path).mkdir()
        if module.config:
            _write(new / path / "config.json", module.config)
        if module.tensors is not None:
            tensors = {key: t.detach().cpu().contiguous() for key, t in module.tensors.items()}
            writer.save_file(tensors, new / path / "model.safetensors", metadata={"format": "pt"})
    _write(new / "modules.json", entries)


def _write_settings(new: Path, source: TeacherSource, prompts: Mapping[str, str] | None) -> None:
    settings = read_object(source.folder / "config_sentence_transformers.json")
    # a prefix that the whole model is cut to is asked for by name, never by accident
    settings.pop("truncate_dim", None)
    settings.setdefault("prompts", {})
    settings.setdefault("default_prompt_name", None)
    settings.setdefault("similarity_fn_name", "cosine")
    if prompts is not None:
        settings["prompts"] = dict(prompts)
        if settings["default_prompt_name"] not in prompts:
            settings["default_prompt_name"] = None
    _write(new / "config_sentence_transformers.json", settings)


def _write(path: Path, value: Any) -> None:
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8", newline="\n")
