"""Text that every Python carries: its standard library's docstrings, as texts and as pairs.

What the ladder runs on where no corpus is at hand, as in the tests: a function's signature and the
first sentence of what it does make a pair.
"""

from __future__ import annotations

import ast
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

_LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}
_SHORTEST = 24


def write_docstrings(folder: Path) -> tuple[Path, Path]:
    """Writes texts.parquet (text) and pairs.parquet (anchor, positive); returns both files."""
    folder.mkdir(parents=True, exist_ok=True)
    texts: list[str] = []
    pairs: dict[str, str] = {}
    for signature, docstring in _docstrings():
        texts.append(docstring)
        if signature:
            pairs.setdefault(_first_sentence(docstring), signature)
    files = folder / "texts.parquet", folder / "pairs.parquet"
    pq.write_table(pa.table({"text": texts}), files[0])
    kept = {text: name for text, name in pairs.items() if len(text) >= _SHORTEST}
    pq.write_table(pa.table({"anchor": list(kept.values()), "positive": list(kept)}), files[1])
    return files


def _docstrings() -> Iterator[tuple[str, str]]:
    """Each docstring with its function's signature, "" for that of a class or a module."""
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        if _LEFT_OUT & set(path.relative_to(root).parts):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the library's own odd escapes
                tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                docstring = ast.get_docstring(node)
                if docstring:
                    yield _signature(node, path.stem), docstring


def _signature(node: ast.Module | ast.ClassDef | ast.FunctionDef, module: str) -> str:
    if not isinstance(node, ast.FunctionDef):
        return ""
    return f"{module} {node.name}({', '.join(each.arg for each in node.args.args)})"


def _first_sentence(docstring: str) -> str:
    paragraph = " ".join(docstring.split("\n\n")[0].split())
    return paragraph.split(". ")[0]
