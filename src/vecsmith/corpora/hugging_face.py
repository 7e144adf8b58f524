"""Data sets of the `datasets` library: loaded, streamed, and by their id on the Hub.

The one rule: an id is read at the commit its branch pointed to when it was opened, and the
fingerprint names that commit: a branch that moves on is another corpus.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from vecsmith._extras import require
from vecsmith.corpora.arrow import rows_of_batches
from vecsmith.corpora.rows import Limits, Position, Rows, listed
from vecsmith.corpora.selection import ALL_ROWS, known_split
from vecsmith.errors import HubError

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+(/[\w.-]+)?")
_PURPOSE = "read data sets"
# Rows taken from a data set at a time: they are copied, so few.
_MAX_ROWS = 4096


class DatasetPart:
    """A data set that is loaded.

    Attributes:
        name: What to call it in messages.
        n_bytes: None: it is not known.
    """

    n_bytes: int | None = None

    def __init__(self, dataset: Any, name: str) -> None:
        self.name = name
        self._dataset = dataset

    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self._dataset.column_names)

    def n_rows(self) -> int | None:
        """How many rows there are."""
        return len(self._dataset)

    def identity(self) -> dict[str, Any]:
        """The fingerprint that `datasets` gives it: of its files and of all done to it since."""
        return {"dataset": self._dataset._fingerprint, "rows": len(self._dataset)}

    def read(
        self, columns: Sequence[str] | None, start: Position | None, limits: Limits
    ) -> Iterator[Rows]:
        """The rows, some at a time."""
        names = self.columns() if columns is None else tuple(columns)
        done = start["row"] if start else 0
        chosen = self._dataset.select_columns(list(names)).with_format("arrow")
        batches = self._batches(chosen, done, min(limits.max_rows, _MAX_ROWS))
        yield from rows_of_batches(batches, names, self.name, done, limits)

    def _batches(self, dataset: Any, done: int, step: int) -> Iterator[tuple[int, Any]]:
        for begin in range(done, len(dataset), step):
            row = begin
            for batch in dataset[begin : begin + step].to_batches():
                yield row, batch
                row += len(batch)


class StreamPart:
    """A data set that is streamed.

    Attributes:
        name: What to call it in messages.
        n_bytes: None: it is not known.
    """

    n_bytes: int | None = None

    def __init__(self, dataset: Any, name: str, *, commit: str | None = None) -> None:
        """Takes an iterable data set.

        Args:
            dataset: Of `datasets`.
            name: What to call it.
            commit: Of the repository that it is streamed from, if it is.
        """
        self.name = name
        self._dataset = dataset
        self._commit = commit
        self._columns: tuple[str, ...] | None = None

    def columns(self) -> tuple[str, ...]:
        """Names of the columns; where the data set does not tell, those of its first row."""
        if self._columns is None:
            names = self._dataset.column_names
            if names is None:
                with _told(self.name):
                    names = list(next(iter(self._dataset), {}))
            self._columns = tuple(names)
        return self._columns

    def n_rows(self) -> int | None:
        """How many rows there are, where the repository tells."""
        info = self._dataset.info
        split = (info.splits or {}).get(str(self._dataset.split))
        return None if split is None else (split.num_examples or None)

    def identity(self) -> dict[str, Any]:
        """The commit it is streamed from; else its description, which tells nothing of its rows."""
        info = self._dataset.info
        described = [info.builder_name, info.dataset_name, info.config_name, str(info.version)]
        return {
            "stream": [self.name, self._commit, str(self._dataset.split), *described],
            "columns": list(self.columns()),
        }

    def read(
        self, columns: Sequence[str] | None, start: Position | None, limits: Limits
    ) -> Iterator[Rows]:
        """The rows, some at a time; reading goes on where the stream says it was.

        Raises:
            HubError: If the stream breaks.
        """
        names = self.columns() if columns is None else tuple(columns)
        stream = self._dataset.select_columns(list(names)).with_format("arrow")
        row = 0
        if start:
            row = start["row"]
            stream.load_state_dict(start["stream"])
        step = min(limits.max_rows, _MAX_ROWS)
        with _told(self.name):
            for table in stream.iter(batch_size=step):
                state = stream.state_dict()
                yield from self._rows(table, names, row, state, limits)
                row += table.num_rows

    def _rows(
        self, table: Any, names: Sequence[str], row: int, state: Any, limits: Limits
    ) -> Iterator[Rows]:
        # a place within a table is no place of the stream: its rows are given together
        whole = Limits(max_rows=table.num_rows, max_bytes=2**62)
        batch = table.combine_chunks().to_batches()
        for rows in rows_of_batches(_numbered(batch, row), names, self.name, row, whole):
            yield replace(rows, position={"row": rows.position["row"], "stream": state})


def _numbered(batches: Iterable[Any], row: int) -> Iterator[tuple[int, Any]]:
    for batch in batches:
        yield row, batch
        row += len(batch)


def dataset_parts(
    source: Any, split: str | None
) -> tuple[str, list[DatasetPart | StreamPart], bool] | None:
    """Name and parts of a data set of `datasets`, and whether its split was chosen; None of others.

    Raises:
        ValueError: If it has no such split.
    """
    if type(source).__module__.split(".")[0] != "datasets":
        return None
    datasets = require("datasets", extra="train", purpose=_PURPOSE)
    if isinstance(source, datasets.DatasetDict | datasets.IterableDatasetDict):
        chosen = _of_split(source, split, "the data set given")
        parts = [_part(source[name], f"split {name!r} of the data set") for name in chosen]
        return "the data set given", parts, True
    if isinstance(source, datasets.Dataset | datasets.IterableDataset):
        return "the data set given", [_part(source, "the data set given")], False
    raise TypeError(
        f"the source is a {type(source).__name__} of datasets, expected a Dataset, an "
        "IterableDataset or a dictionary of them"
    )


def _part(dataset: Any, name: str, commit: str | None = None) -> DatasetPart | StreamPart:
    if hasattr(dataset, "__len__"):
        return DatasetPart(dataset, name)
    return StreamPart(dataset, name, commit=commit)


def is_dataset_id(name: str) -> bool:
    """Whether `name` can be the id of a data set: "org/name" or "org/name/config"."""
    return _ID.fullmatch(name) is not None and ".." not in name and "--" not in name


def hub_parts(name: str, split: str | None) -> tuple[list[DatasetPart | StreamPart], bool]:
    """Parts of the data set `name` on the Hub, streamed, and whether its split was chosen.

    Args:
        name: "org/name" or "org/name/config".
        split: Which split, "train" unless given, "all" for all.

    Raises:
        HubError: If it could not be found or reached.
        ValueError: If it has no such split, or several configurations and none is named.
    """
    purpose = f"read {name} from the Hub, as there is no such file or folder here"
    datasets = require("datasets", extra="train", purpose=purpose)
    hub = require("huggingface_hub", extra="train", purpose=purpose)
    organisation, short, *config = name.split("/")
    repo_id = f"{organisation}/{short}"
    with _told(name):
        commit = hub.HfApi().dataset_info(repo_id).sha
        configs = datasets.get_dataset_config_names(repo_id, revision=commit)
        chosen = _config(name, configs, config[0] if config else None)
        found = datasets.load_dataset(repo_id, chosen, revision=commit, streaming=True)
    splits = _of_split(found, split, name)
    return [_part(found[key], f"{name} ({key})", commit) for key in splits], True


def _config(name: str, configs: Sequence[str], wanted: str | None) -> str:
    if wanted is None:
        if len(configs) == 1 or "default" in configs:
            return "default" if "default" in configs else configs[0]
        raise ValueError(
            f"{name} has the configurations {listed(configs)}, expected one: {name}/{configs[0]}"
        )
    if wanted not in configs:
        raise ValueError(f"{name}: no configuration {wanted!r}, expected one of {listed(configs)}")
    return wanted


def _of_split(splits: Mapping[str, Any], split: str | None, name: str) -> list[str]:
    """Keys of the splits to read."""
    there = [str(key) for key in splits]
    if split == ALL_ROWS or (split is None and len(there) == 1):
        return there
    wanted = known_split(split or "train")
    chosen = [key for key in there if key == split or known_split(key) == wanted]
    if not chosen:
        raise ValueError(
            f"{name} has the splits {listed(there)}, expected {wanted!r} among them; name one, as "
            f'in split="{there[0]}", or split="all"'
        )
    return chosen


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Turns what the two libraries raise of the network into a HubError that says what to do."""
    errors = require("huggingface_hub.errors", extra="train", purpose=_PURPOSE)
    not_found = require("datasets.exceptions", extra="train", purpose=_PURPOSE).DatasetNotFoundError
    try:
        yield
    except errors.GatedRepoError as error:
        raise HubError(
            f"{name}: access is granted by its authors, expected a token of somebody who has it: "
            f"ask on its page, then set HF_TOKEN ({_short(error)})"
        ) from error
    except (errors.RepositoryNotFoundError, not_found) as error:
        raise HubError(
            f"{name}: no such file or folder here and no such data set on the Hub, expected one "
            f"of them; a private one needs HF_TOKEN ({_short(error)})"
        ) from error
    except errors.OfflineModeIsEnabled as error:
        raise HubError(
            f"{name}: no such file or folder here, and HF_HUB_OFFLINE forbids to ask the Hub, "
            "expected a network or a folder"
        ) from error
    except (errors.HfHubHTTPError, errors.HTTPError, errors.HFValidationError, OSError) as error:
        raise HubError(
            f"{name}: {_short(error)}, expected the Hub to answer; try again, or download the "
            "data set and give its folder"
        ) from error


def _short(error: BaseException) -> str:
    """First line of a message, not the page that follows."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return (lines[0].strip() if lines else type(error).__name__)[:200]
