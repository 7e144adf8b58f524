"""Models on the Hugging Face Hub: a folder of the local cache for an id, and upload.

One rule: what is cached whole is opened without a word to the network, and what is no static
model is refused before its tensors are downloaded.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from vecsmith._extras import require
from vecsmith._typing import PathLike
from vecsmith.errors import FormatError, HubError
from vecsmith.formats.checkpoint import Checkpoint
from vecsmith.formats.layout import (
    CARD_FILE,
    CONFIG_FILE,
    EMBEDDING_WEIGHT,
    INT4_FILE,
    MODULES_FILE,
    SETTINGS_FILE,
    STATIC_FOLDERS,
    TENSORS_FILE,
    TOKENIZER_FILE,
    read_layout,
)
from vecsmith.formats.safetensors import TensorFile
from vecsmith.formats.saved_model import write_checkpoint
from vecsmith.formats.sentence_transformers import read_modules

_SMALL_FILES = (CONFIG_FILE, MODULES_FILE, SETTINGS_FILE, CARD_FILE, f"*_Normalize/{CONFIG_FILE}")
_LARGE_FILES = tuple(
    str(PurePosixPath(place, name))
    for place in STATIC_FOLDERS
    for name in (TENSORS_FILE, INT4_FILE, TOKENIZER_FILE)
)
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)?")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+-]*")


def is_repo_id(text: str) -> bool:
    """Whether `text` can be the id of a repository: "name" or "organisation/name"."""
    return (
        _ID.fullmatch(text) is not None
        and len(text) <= 96
        and ".." not in text
        and "--" not in text
        and not text.endswith((".git", ".", "-"))
    )


def download(
    repo_id: str,
    *,
    subfolder: str | None = None,
    revision: str | None = None,
    token: str | None = None,
    cache_folder: PathLike | None = None,
    local_files_only: bool = False,
) -> Path:
    """Folder of the local cache that holds the model `repo_id`, downloaded if it is not there.

    A branch that is cached is not asked for news; delete it from the cache, or name a commit, to
    get another.

    Args:
        repo_id: "organisation/name".
        subfolder: Folder inside the repository that holds the model.
        revision: Branch, tag or commit.
        token: Access token.
        cache_folder: Cache; None for the usual one of huggingface_hub.
        local_files_only: Whether to stay off the network; so does HF_HUB_OFFLINE=1.

    Returns:
        The folder of the model, `subfolder` included.

    Raises:
        ValueError: If `repo_id` or `revision` cannot be one.
        HubError: If it could not be found or downloaded; the message says what to do.
        FormatError: If it holds no static model.
        MissingExtraError: If huggingface_hub is not installed.
    """
    _check_id(repo_id)
    if revision is not None and (not _REVISION.fullmatch(revision) or ".." in revision):
        raise ValueError(f"revision {revision!r:.100}, expected a branch, a tag or a commit")
    hub = _client("download a model")
    inside = PurePosixPath(subfolder or ".")
    cache = None if cache_folder is None else os.fspath(cache_folder)
    snapshot = _cached_snapshot(hub, repo_id, revision, cache, inside)
    if snapshot is not None and _is_whole(snapshot / inside):
        return snapshot / inside
    if local_files_only or hub.constants.HF_HUB_OFFLINE:
        how = "local_files_only" if local_files_only else "HF_HUB_OFFLINE"
        raise HubError(
            f"{repo_id}: no such folder here, and not whole in the cache while {how} forbids to "
            "download it, expected one of them: open it once with a network"
        )
    options = {"cache_dir": cache, "token": token}
    with _told(hub, repo_id, revision):
        small = _patterns(_SMALL_FILES, inside)
        snapshot = Path(
            hub.snapshot_download(repo_id, revision=revision, allow_patterns=small, **options)
        )
        if not (snapshot / inside).is_dir():
            raise FormatError(
                f"{repo_id}: no model in folder {str(inside)!r}, expected {CONFIG_FILE} there"
            )
        large = _patterns(_LARGE_FILES, inside)
        if read_layout(snapshot / inside) != "model2vec":  # refuses what is no static model
            place, _ = read_modules(snapshot / inside)
            large += _patterns((TENSORS_FILE, TOKENIZER_FILE), place.relative_to(snapshot))
        # the same commit, whatever happens to the branch meanwhile
        hub.snapshot_download(repo_id, revision=snapshot.name, allow_patterns=large, **options)
    return snapshot / inside


def push_checkpoint(
    repo_id: str,
    checkpoint: Checkpoint,
    *,
    token: str | None = None,
    private: bool | None = None,
    revision: str | None = None,
    commit_message: str | None = None,
) -> str:
    """Writes `checkpoint` to the Hub and gives the address of its page.

    Args:
        repo_id: "organisation/name"; made if it is not there.
        checkpoint: The model.
        token: Access token; None for the one that is stored on this machine.
        private: Whether a new repository is private; None for the organisation's habit.
        revision: Branch to write to.
        commit_message: Summary of the change.

    Raises:
        ValueError: If `repo_id` cannot be one.
        HubError: If it could not be uploaded; the message says what to do.
        MissingExtraError: If huggingface_hub is not installed.
    """
    _check_id(repo_id)
    hub = _client("upload a model")
    named = replace(checkpoint, card={**checkpoint.card, "model_name": repo_id})
    with tempfile.TemporaryDirectory(prefix="vecsmith-") as place:
        folder = Path(place, repo_id.rsplit("/", 1)[-1])
        write_checkpoint(folder, named)
        with _told(hub, repo_id, revision):
            api = hub.HfApi(token=token)
            url = api.create_repo(repo_id, private=private, exist_ok=True)
            api.upload_folder(
                repo_id=repo_id,
                folder_path=folder,
                revision=revision,
                commit_message=commit_message or "Upload a static model with vecsmith",
            )
    return str(url)


def _check_id(repo_id: str) -> None:
    if not is_repo_id(repo_id):
        raise ValueError(
            f"Hub id {repo_id!r:.100}, expected 'organisation/name' of letters, digits, '-', '_' "
            "and '.'; a folder must be there to be opened"
        )


def _client(purpose: str) -> Any:
    """The package huggingface_hub, with the modules that are used here."""
    for module in ("huggingface_hub.constants", "huggingface_hub.errors"):
        require(module, extra="hub", purpose=purpose)
    return require("huggingface_hub", extra="hub", purpose=purpose)


def _cached_snapshot(
    hub: Any, repo_id: str, revision: str | None, cache: str | None, inside: PurePosixPath
) -> Path | None:
    """Folder of the commit that `revision` means in the cache; it may hold a part only."""
    for name in (CONFIG_FILE, MODULES_FILE):
        found = hub.try_to_load_from_cache(
            repo_id, str(inside / name), cache_dir=cache, revision=revision
        )
        if isinstance(found, str):  # else it is not there, or known not to exist
            return Path(found).parents[len(inside.parts)]
    return None


def _is_whole(folder: Path) -> bool:
    """Whether the cached folder holds all that the model needs to mean what it means.

    Other programs may have cached a part: model2vec leaves modules.json out, and with it whether
    vectors are of unit length; sentence-transformers leaves config.json out, and with it that
    unknown tokens do not count.
    """
    try:
        if read_layout(folder) == "model2vec":
            place = folder
        else:
            place, _ = read_modules(folder)
            if not (folder / MODULES_FILE).is_file():
                return False
            if EMBEDDING_WEIGHT not in TensorFile(place / TENSORS_FILE):
                return False
        has_table = any((place / name).is_file() for name in (TENSORS_FILE, INT4_FILE))
        return has_table and (place / TOKENIZER_FILE).is_file()
    except (FormatError, OSError):
        return False


def _patterns(names: tuple[str, ...], inside: PurePath) -> list[str]:
    return [(inside / name).as_posix() for name in names]


@contextmanager
def _told(hub: Any, repo_id: str, revision: str | None) -> Iterator[None]:
    """Turns what huggingface_hub raises into a HubError that says what to do."""
    errors = hub.errors
    at = "" if revision is None else f" at revision {revision!r}"
    try:
        yield
    except errors.GatedRepoError as error:
        raise HubError(
            f"{repo_id}: access is granted by its authors, expected a token of somebody who has "
            f"it: ask on its page, then pass token= or set HF_TOKEN ({_short(error)})"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise HubError(
            f"{repo_id}: no such folder here and no such model on the Hub, expected one of them; "
            f"a private one needs token= or HF_TOKEN ({_short(error)})"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise HubError(
            f"{repo_id}: nothing{at}, expected a branch, a tag or a commit ({_short(error)})"
        ) from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise HubError(
            f"{repo_id}{at}: no such folder here, not in the cache, and the Hub cannot be reached, "
            f"expected a network or a folder ({_short(error.__cause__ or error)})"
        ) from error
    except (errors.HfHubHTTPError, errors.HTTPError, errors.HFValidationError, OSError) as error:
        raise HubError(f"{repo_id}{at}: {_short(error)}, expected the Hub to answer") from error


def _short(error: BaseException) -> str:
    """First line of a message, not the page that follows."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return (lines[0].strip() if lines else type(error).__name__)[:200]
