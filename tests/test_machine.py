"""What a record says of the machine: plain values that agree with the standard library."""

from __future__ import annotations

import json
import os
import platform

import numpy as np

from vecsmith._machine import load_average, machine, versions


def test_the_machine_is_described_by_plain_values() -> None:
    found = machine()
    assert json.loads(json.dumps(found)) == found
    assert found["cores"] == os.cpu_count()
    assert 1 <= found["cores_usable"] <= found["cores"]
    assert found["python"] == platform.python_version()
    assert found["cpu"]


def test_a_version_is_the_packages_own_and_none_where_it_is_absent() -> None:
    assert versions(["numpy", "no-such-package"]) == {
        "numpy": np.__version__,
        "no-such-package": None,
    }


def test_the_load_is_a_number() -> None:
    assert load_average() >= -1.0
