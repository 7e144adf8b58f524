"""What came of tuning one model with one method on one budget: a record a run, one file each.

The one rule: equal keys, equal records, but for `timing`; whatever two losses need to be comparable
is in `settings`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, get_args

from vecsmith._files import write_json
from vecsmith._typing import PathLike
from vecsmith.errors import FormatError
from vecsmith.results.fields import Block, plain
from vecsmith.results.tuning import Tuning

RunStatus = Literal["done", "failed", "skipped"]
RUN_STATUSES: Final[tuple[str, ...]] = get_args(RunStatus)
RECORDS_FOLDER: Final = "records"
_FORMAT, _VERSION = "vecsmith tuning run", 1
_REMEDY: Final = "delete it and run the cell again"
# What a method or a model size may choose for itself within one recipe: the rate follows the
# pre-training peak of the model, or the method (Ziarko et al. 2024, appendices E.1, E.4, E.5).
_OF_A_CELL: Final = frozenset({"lr"})
_SHAPE_COUNTS: Final = ("n_layers", "dim", "vocab_size", "n_non_embedding", "n_embedding")


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningRun:
    """One cell of a sweep: what was asked, what was done, what it came to.

    A run that is not "done" has a reason, and neither losses nor metrics.

    Attributes:
        key: Hash of all that decides the outcome, see `key_of`.
        status: "done"; "failed" where training broke off for a reason that would come again;
            "skipped" where it was never begun, as the budget does not fit.
        reason: Why it failed or was skipped, else "".
        model: Name of the base model.
        fingerprint: Hash of its weights; "" where they were not read.
        shape: Of the base model: "family", "n_layers", "dim", "vocab_size", "n_non_embedding",
            "n_embedding".
        tuning: Which weights are trained.
        flops: Budget asked for, in FLOP.
        counted_flops: Cost per token times real tokens trained on.
        n_params: N: parameters without token and position embeddings; adapters are not among them.
        n_trained: Parameters that are trained, the token embedding among them where it is.
        share: S, the trained share of N; with LoRA N_L / (N + N_L).
        cost_per_token: Counted FLOP a token.
        tokens: Real tokens trained on, padding left out.
        pairs: Pairs trained on, with repetition.
        steps: Steps of the optimiser.
        epochs: Passes over the training pairs.
        batch_size: Pairs in a step.
        max_length: Tokens of a text that count.
        seed: Of everything random.
        loss: Held-out InfoNCE over fixed batches of constant size, in nats: what laws are fitted
            to. None where the run is not done.
        train_loss: Mean over the last tenth of the steps; None where the run is not done.
        metrics: Retrieval among the held-out pairs: "recall@1", "mrr".
        settings: All else that two losses must share to be comparable, and the rate.
        timing: "seconds", "date", "machine", "versions": what may differ between equal runs.
    """

    key: str
    status: RunStatus
    reason: str = ""
    model: str
    fingerprint: str
    shape: Mapping[str, Any]
    tuning: Tuning
    flops: float
    counted_flops: float
    n_params: int
    n_trained: int
    share: float
    cost_per_token: float
    tokens: int
    pairs: int
    steps: int
    epochs: float
    batch_size: int
    max_length: int
    seed: int
    loss: float | None = None
    train_loss: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    timing: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        """Refuses values that do not fit each other.

        Raises:
            ValueError: If they do not.
        """
        if self.status not in RUN_STATUSES:
            raise ValueError(f"status {self.status!r:.60}, expected one of {list(RUN_STATUSES)}")
        if (self.status == "done") != (self.loss is not None):
            raise ValueError(f"status {self.status!r} with loss {self.loss}, expected a loss of "
                             "runs that are done and of no others")  # fmt: skip
        if (self.status == "done") == bool(self.reason):
            raise ValueError(f"status {self.status!r} with reason {self.reason!r:.60}, expected a "
                             "reason of runs that are not done and of no others")  # fmt: skip
        for name in ("flops", "counted_flops", "share", "cost_per_token", "epochs"):
            if not 0 <= getattr(self, name) < math.inf:  # nor nan
                raise ValueError(f"{name} is {getattr(self, name)}, expected a number from 0")

    @property
    def comparable(self) -> dict[str, Any]:
        """Settings that two runs must share for their losses to be comparable."""
        return {name: value for name, value in self.settings.items() if name not in _OF_A_CELL}

    @property
    def comparable_key(self) -> str:
        """Hash of `comparable`."""
        return key_of(self.comparable)

    def to_json(self) -> dict[str, Any]:
        """The run in the kinds that JSON has."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values["tuning"] = self.tuning.plain()
        return {"format": _FORMAT, "version": _VERSION, **plain(values, "run")}

    @classmethod
    def from_json(cls, values: Any, *, source: str = "run") -> TuningRun:
        """The run that `to_json` gave; `source` names where the values come from in errors.

        Raises:
            FormatError: If a field is missing, of another kind or out of range.
        """
        block = Block(values, source)
        block.choice("format", (_FORMAT,))
        if block.count("version") > _VERSION:
            raise FormatError(
                f"{source}: version {block.count('version')}, expected at most {_VERSION}; update "
                "vecsmith to read it"
            )
        return _read_run(block)

    def save(self, folder: PathLike) -> Path:
        """Writes the run to `folder`/records/<key>.json, whole or not at all; returns the file."""
        path = record_path(folder, self.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, self.to_json())
        return path

    @classmethod
    def open(cls, path: PathLike) -> TuningRun:
        """The run in a file that `save` wrote.

        Raises:
            FormatError: If it is broken, or is no such file.
        """
        block = Block.of_file(Path(path), format_name=_FORMAT, version=_VERSION, remedy=_REMEDY)
        return _read_run(block)


def read_runs(source: PathLike | Iterable[PathLike]) -> list[TuningRun]:
    """All runs in a folder of a sweep, a folder of records, a file or several of these, by file.

    A run that several places hold, as copies do, is there once: a finished one before others.

    Raises:
        FormatError: If a file is broken; the message names it.
        ValueError: If nothing is there.
    """
    if isinstance(source, (str, Path)) or not isinstance(source, Iterable):
        places = [Path(source)]
    else:
        places = [Path(place) for place in source]
    found: dict[str, TuningRun] = {}
    for path in (path for place in places for path in _record_files(place)):
        run = TuningRun.open(path)
        if found.setdefault(run.key, run).status != "done":
            found[run.key] = run
    return list(found.values())


def record_path(folder: PathLike, key: str) -> Path:
    """Where the run with that key lies in the folder of a sweep."""
    return Path(folder) / RECORDS_FOLDER / f"{key}.json"


def key_of(values: Mapping[str, Any]) -> str:
    """SHA-256 of values in one spelling, whatever the order of the names."""
    text = json.dumps(plain(values, "key"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def differing_settings(a: TuningRun, b: TuningRun) -> list[str]:
    """What keeps the losses of two runs from being compared: "temperature 0.05 and 0.025"."""
    names = sorted({*a.comparable, *b.comparable})
    return [
        f"{name} {a.settings.get(name)!s:.60} and {b.settings.get(name)!s:.60}"
        for name in names
        if a.settings.get(name) != b.settings.get(name)
    ]


def _record_files(place: Path) -> list[Path]:
    if not place.is_dir():
        return [place]  # one that is missing is refused with its name, as it is opened
    inner = place / RECORDS_FOLDER
    found = sorted((inner if inner.is_dir() else place).glob("*.json"))
    if not found:
        raise ValueError(
            f"{place}: no records, expected the folder of a sweep: NAME/{RECORDS_FOLDER}/*.json"
        )
    return found


def _read_run(block: Block) -> TuningRun:
    try:
        return TuningRun(
            key=_key(block),
            status=block.choice("status", RUN_STATUSES),
            reason=block.text("reason"),
            model=block.text("model"),
            fingerprint=block.text("fingerprint"),
            shape=_shape(block.block("shape")),
            tuning=Tuning.from_plain(
                block.block("tuning").values, source=f"{block.source}: tuning"
            ),
            flops=block.number("flops"),
            counted_flops=block.number("counted_flops"),
            n_params=block.count("n_params"),
            n_trained=block.count("n_trained"),
            share=block.number("share"),
            cost_per_token=block.number("cost_per_token"),
            tokens=block.count("tokens"),
            pairs=block.count("pairs"),
            steps=block.count("steps"),
            epochs=block.number("epochs"),
            batch_size=block.count("batch_size"),
            max_length=block.count("max_length"),
            seed=block.count("seed"),
            loss=block.optional_number("loss"),
            train_loss=block.optional_number("train_loss"),
            metrics=block.mapping("metrics", Block.number),
            settings=block.block("settings").values,
            timing=block.block("timing").values,
        )
    except ValueError as error:
        raise FormatError(f"{block.source}: {error}") from error


def _shape(block: Block) -> dict[str, Any]:
    return {
        **block.values,
        "family": block.text("family"),
        **{name: block.count(name) for name in _SHAPE_COUNTS},
    }


def _key(block: Block) -> str:
    key = block.text("key")
    if len(key) != 64 or set(key) - set("0123456789abcdef"):
        raise FormatError(f"{block.source}: key is {key!r:.80}, expected 64 hexadecimal digits")
    return key
