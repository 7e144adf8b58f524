"""Sets written to disk in any format, and their tasks."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from vecsmith.evaluation.tasks import find_tasks, source
from vecsmith.evaluation.tasks.task import Task

Row = dict[str, Any]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, Sequence[Row] | str | bytes], Path]:
    """Writes rows, or a text as it is, to a file of the format its name tells."""

    def write(name: str, rows: Sequence[Row] | str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(rows, (str, bytes)):
            path.write_bytes(rows if isinstance(rows, bytes) else rows.encode())
        elif path.suffix == ".parquet":
            arrow: Any = pytest.importorskip("pyarrow", reason="needs pyarrow (extra eval)")
            parquet: Any = pytest.importorskip("pyarrow.parquet")
            parquet.write_table(arrow.Table.from_pylist(list(rows)), path)
        elif path.name.endswith(".gz"):
            path.write_bytes(gzip.compress(_as_text(path.stem, rows).encode()))
        else:
            path.write_bytes(_as_text(path.name, rows).encode())
        return path

    return write


@pytest.fixture
def of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets sets of a row or two be tasks: what is tested is what comes of a row."""
    monkeypatch.setattr(source, "check_enough", lambda asked, where: None)


@pytest.fixture
def load(tmp_path: Path, of_any_size: None) -> Callable[..., list[Task]]:
    """All tasks of what was written."""

    def load(split: Any = "test", languages: Sequence[str] | None = None) -> list[Task]:
        return [task for source in find_tasks(tmp_path) for task in source.load(split, languages)]

    return load


def _as_text(name: str, rows: Sequence[Row]) -> str:
    if name.endswith((".jsonl", ".ndjson")):
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    file = io.StringIO()
    names = list(dict.fromkeys(column for row in rows for column in row))
    writer = csv.DictWriter(file, names, delimiter="\t" if name.endswith(".tsv") else ",")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()
