"""A data set is streamed by its id, from a server on this machine that answers as the Hub does."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.corpora.hub_server import COMMIT, serving
from vecsmith.corpora.hugging_face import is_dataset_id

pytest.importorskip("datasets")
# The library reads its address and its cache from the environment when it is imported.
CLIENT = """
import json, sys
from vecsmith.corpora import open_pairs
pairs = open_pairs("org/name")
read = list(pairs.read())
for i, rows in enumerate(read):
    rest = list(pairs.read(json.loads(json.dumps(rows.position))))
    assert [r.texts for r in rest] == [r.texts for r in read[i + 1 :]], i
    assert [r.first_row for r in rest] == [r.first_row for r in read[i + 1 :]]
def refused(name, **options):
    try:
        open_pairs(name, **options)
    except Exception as error:
        return [type(error).__name__, str(error)]
print(json.dumps({
    "roles": pairs.roles,
    "anchors": [text for rows in read for text in rows.texts["anchor"]],
    "fingerprint": pairs.fingerprint,
    "identity": [part.identity() for part in pairs.corpus._parts],
    "dev": sum(map(len, open_pairs("org/name", split="validation").read())),
    "no such set": refused("org/other"),
    "no such split": refused("org/name", split="test"),
    "no such configuration": refused("org/name/small"),
}))
"""


def table(first: int, n_rows: int) -> bytes:
    pa = pytest.importorskip("pyarrow")
    file = io.BytesIO()
    rows = range(first, first + n_rows)
    columns = {"query": [f"q{i}" for i in rows], "answer": [f"a{i}" for i in rows]}
    pytest.importorskip("pyarrow.parquet").write_table(pa.table(columns), file)
    return file.getvalue()


def client(address: str, home: Path) -> dict[str, Any]:
    settings = {"HF_ENDPOINT": address, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    inherited = {k: v for k, v in os.environ.items() if not k.endswith("_OFFLINE")}
    done = subprocess.run(
        [sys.executable, "-c", CLIENT],
        env={**inherited, **settings, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_data_set_is_streamed_by_its_id_and_reading_goes_on(tmp_path: Path) -> None:
    files = {
        "README.md": b"---\nlicense: mit\n---\n",
        "data/train-00000-of-00002.parquet": table(0, 5000),
        "data/train-00001-of-00002.parquet": table(5000, 700),
        "data/validation-00000-of-00001.parquet": table(0, 7),
    }
    with serving(files) as address:
        found = client(address, tmp_path)
    assert found["roles"] == ["anchor", "positive"]
    assert found["anchors"] == [f"q{i}" for i in range(5700)]
    assert found["dev"] == 7
    assert COMMIT in json.dumps(found["identity"])
    assert found["no such set"][0] == "HubError"
    assert found["no such set"][1].startswith("org/other: no such file or folder here and no such")
    assert found["no such split"] == [
        "ValueError",
        "org/name has the splits 'train', 'validation', expected 'test' among them; name one, as "
        'in split="train", or split="all"',
    ]
    assert found["no such configuration"] == [
        "ValueError",
        "org/name/small: no configuration 'small', expected one of 'default'",
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("org/name", True),
        ("sentence-transformers/all-nli/pair", True),
        ("name", False),
        ("a/b/c/d", False),
        ("../data", False),
        ("./data", False),
        ("/data/pairs", False),
        ("org/na me", False),
    ],
)
def test_an_id_is_told_from_a_path(name: str, expected: bool) -> None:
    assert is_dataset_id(name) is expected
