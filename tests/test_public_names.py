"""The public names: few, sorted, resolvable, documented; the version and the extras agree."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import vecsmith

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted(
    name
    for _, name, _ in pkgutil.walk_packages(vecsmith.__path__, "vecsmith.")
    if not any(part.startswith("_") for part in name.split("."))
)


def test_the_public_names_are_few_and_sorted() -> None:
    assert vecsmith.__all__ == sorted(vecsmith.__all__)
    assert len(vecsmith.__all__) <= 12


@pytest.mark.parametrize("name", vecsmith.__all__)
def test_a_public_name_resolves(name: str) -> None:
    assert getattr(vecsmith, name) is not None


def test_dir_lists_every_public_name() -> None:
    assert set(vecsmith.__all__) <= set(dir(vecsmith))


def test_an_unknown_name_raises_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = vecsmith.no_such_name


@pytest.mark.parametrize("name", [n for n in vecsmith.__all__ if not n.startswith("_")])
def test_a_public_name_has_a_docstring_and_a_page(name: str) -> None:
    assert inspect.getdoc(getattr(vecsmith, name))
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    assert any(re.search(rf"\b{name}\b", page.read_text(encoding="utf-8")) for page in pages)


@pytest.mark.parametrize("module", MODULES)
def test_every_name_a_module_exports_is_there(module: str) -> None:
    loaded = importlib.import_module(module)
    assert not [name for name in getattr(loaded, "__all__", ()) if not hasattr(loaded, name)]


@pytest.mark.parametrize("module", MODULES)
def test_every_module_says_what_lives_in_it(module: str) -> None:
    assert importlib.import_module(module).__doc__


def test_the_version_is_the_installed_one() -> None:
    assert vecsmith.__version__ == version("vecsmith")


def test_the_extra_all_holds_every_user_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    everything = set(re.findall(r"\w+", extras["all"][0])) - {"vecsmith"}
    # an engine of clusters is its users' choice, and large
    assert everything == set(extras) - {"all", "demo", "ray"}
