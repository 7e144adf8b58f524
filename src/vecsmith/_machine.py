"""What a record says of where it was made: the machine and the versions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_FLAGS = (
    "sse4_2", "avx", "avx2", "fma", "f16c", "bmi2", "aes", "vaes", "avx512f", "avx512bw",
    "avx512vl", "avx512vbmi", "avx512_vbmi2", "avx512_vnni", "avx512_bf16", "avx512_fp16",
    "amx_tile", "amx_bf16", "amx_int8", "asimd", "asimddp", "sve",
)  # fmt: skip


def machine() -> dict[str, Any]:
    """Processor, cores, memory, system and load of this machine."""
    cpu = _proc_table(Path("/proc/cpuinfo"))
    memory = _proc_table(Path("/proc/meminfo")).get("MemTotal", "0 kB").split()[0]
    flags = set((cpu.get("flags") or cpu.get("Features") or "").split())
    return {
        "cpu": cpu.get("model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "cores_usable": _usable_cores(),
        "flags": [flag for flag in _FLAGS if flag in flags],
        "memory_gib": round(int(memory) / 2**20, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "load_average": load_average(),
    }


def versions(packages: Iterable[str]) -> dict[str, str | None]:
    """Installed version of each package, None where it is not installed."""
    found: dict[str, str | None] = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def load_average() -> float:
    """Load average of the last minute; -1 where the system has none."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return -1.0


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _proc_table(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    table: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        key, _, value = line.partition(":")
        table.setdefault(key.strip(), value.strip())
    return table
