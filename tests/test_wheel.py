"""The wheel a user installs: small, without sources, and importable with numpy alone."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MEGABYTE = 1_000_000
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from the sdist, as an index or a distributor would.

    It takes minutes: of processes that run tests side by side one builds it for all.
    """
    pytest.importorskip("scikit_build_core", reason="building a wheel needs scikit-build-core")
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with (folder / "dist.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        built = folder / "dist"
        if not built.exists():
            build_wheel(folder / "building").rename(built)
    (found,) = built.glob("*.whl")
    return found


def build_wheel(folder: Path) -> Path:
    """Builds a wheel and what it is made of in `folder`, which is returned."""
    folder.mkdir(exist_ok=True)
    build_sdist = f"from scikit_build_core.build import build_sdist; build_sdist({str(folder)!r})"
    subprocess.run([sys.executable, "-c", build_sdist], cwd=ROOT, check=True, capture_output=True)
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    source = folder / sdist.name.removesuffix(".tar.gz")
    build = f"from scikit_build_core.build import build_wheel; build_wheel({str(folder)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    return folder


def test_the_wheel_is_under_five_megabytes(wheel: Path) -> None:
    assert wheel.stat().st_size < 5 * MEGABYTE


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"vecsmith"}
    suffixes = {Path(name).suffix for name in names if name.startswith("vecsmith/")}
    assert suffixes <= {".py", ".pyi", ".so", ".pyd", ".toml", ".typed"} | {""}
    assert {"vecsmith/py.typed", "vecsmith/_core.pyi"} <= set(names)
    data = {Path(name).parent.as_posix() for name in names if name.endswith(".toml")}
    assert data == {"vecsmith/planning/data"}
    assert sum(name.startswith("vecsmith/_core.") and ".so" in name for name in names) == 1


def test_the_wheel_depends_on_three_libraries(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (metadata,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
    lines = archive.read(metadata).decode().splitlines()
    needs = [line for line in lines if line.startswith("Requires-Dist:") and "extra ==" not in line]
    assert sorted(line.split()[1].split(">")[0] for line in needs) == [
        "numpy",
        "safetensors",
        "typer",
    ]


def test_the_unpacked_wheel_imports_without_torch(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import vecsmith\n"
        f"assert vecsmith.__file__.startswith({str(tmp_path)!r}), vecsmith.__file__\n"
        "assert not {'torch', 'tokenizers', 'safetensors', 'typer'} & set(sys.modules)"
    )
    # -S keeps the editable install's import hook out; numpy is found by its own folder.
    import numpy

    site = str(Path(numpy.__file__).parent.parent)
    code = f"import sys; sys.path.append({site!r}); {code}"
    subprocess.run([sys.executable, "-S", "-c", code], check=True)
