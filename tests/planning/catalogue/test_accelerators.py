"""Accelerators against their data sheets and arithmetic on them, and files that extend them."""

from __future__ import annotations

from pathlib import Path

import pytest

from vecsmith.errors import FormatError
from vecsmith.planning.catalogue.accelerators import find_accelerator, load_accelerators

MINE = """
[[accelerator]]
name = "My Laptop"
aliases = ["this one"]
peak_flops = { float32 = 2e11 }
memory = 16_000_000_000
watts = 45
provenance = "measured"
"""


def test_data_sheets_are_as_printed() -> None:
    sheets = {
        # bfloat16 or float16, float32, gigabytes, watts
        "a100-40gb": (312e12, 19.5e12, 40, 400),
        "a100-80gb": (312e12, 19.5e12, 80, 400),
        "h100": (989.4e12, 67e12, 80, 700),
        "h200": (989.4e12, 67e12, 141, 700),
        "v100-16gb": (125e12, 15.7e12, 16, 300),
        "t4": (65e12, 8.1e12, 16, 70),
        "l4": (121e12, 30.3e12, 24, 72),
    }
    for name, (half, whole, gigabytes, watts) in sheets.items():
        found = find_accelerator(name)
        assert found.peak_flops["float16"] == half
        assert found.peak_flops["float32"] == whole
        assert (found.memory, found.watts) == (gigabytes * 10**9, watts)


def test_the_threshold_of_the_paper_is_a_fifth_of_an_hour_of_an_a100() -> None:
    peak = find_accelerator("a100").peak_flops["bfloat16"]
    assert 9.06e16 / (0.4 * peak) / 3600 == pytest.approx(0.20, abs=0.005)
    assert 1.5e18 / (0.4 * peak) / 3600 == pytest.approx(3.3, abs=0.05)


def test_no_rate_counts_sparsity_as_each_is_what_units_do_at_their_clock() -> None:
    units = {
        # multiprocessors, their highest clock, dense half-precision FLOP of one in a tick
        "a100-40gb": (108, 1.41e9, 2048),
        "a100-80gb": (108, 1.41e9, 2048),
        "a100-80gb-pcie": (108, 1.41e9, 2048),
        "h100": (132, 1.83e9, 4096),
        "h100-pcie": (114, 1.62e9, 4096),
        "h200": (132, 1.83e9, 4096),
        "v100-16gb": (80, 1.53e9, 1024),
        "v100-32gb": (80, 1.53e9, 1024),
        "t4": (40, 1.59e9, 1024),
        "l4": (58, 2.04e9, 1024),
        "l40s": (142, 2.52e9, 1024),
        "a10": (72, 1.695e9, 1024),
        "a40": (84, 1.74e9, 1024),
        "a6000": (84, 1.8e9, 1024),
        "rtx-3090": (82, 1.695e9, 512),
        "rtx-4090": (128, 2.52e9, 512),
        "mi250x": (220, 1.7e9, 1024),
        "mi300x": (304, 2.1e9, 2048),
    }
    assert units.keys() == {one.name for one in load_accelerators()}
    for one in load_accelerators():
        number, clock, flops = units[one.name]
        assert one.provenance
        assert max(one.peak_flops.values()) == one.peak_flops["float16"]
        assert one.peak_flops["float16"] == pytest.approx(number * clock * flops, rel=0.02)
        assert (
            one.peak_flops.get("bfloat16", one.peak_flops["float16"]) == (one.peak_flops["float16"])
        )


@pytest.mark.parametrize("name", ["A100", "a100", "A100 SXM", "a100_80gb", "A100-SXM4-80GB"])
def test_a_name_is_found_however_it_is_written(name: str) -> None:
    assert find_accelerator(name).name == "a100-80gb"


def test_older_devices_say_that_they_have_no_bfloat16() -> None:
    for name in ("v100", "t4"):
        assert "bfloat16" not in find_accelerator(name).peak_flops


def test_a_file_adds_a_device_and_replaces_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(MINE + MINE.replace("My Laptop", "T4").replace("this one", "tee"))
    assert find_accelerator("my laptop", path).peak_flops == {"float32": 2e11}
    assert find_accelerator("This-One", path).memory == 16 * 10**9
    assert find_accelerator("t4", path).provenance == "measured"
    assert find_accelerator("a100", path) == find_accelerator("a100")
    assert len(load_accelerators(path)) == len(load_accelerators()) + 1


def test_what_a_maker_does_not_say_may_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[[accelerator]]\nname = 'x'\npeak_flops = { bfloat16 = 1e12 }")
    found = find_accelerator("x", path)
    assert (found.memory, found.watts, found.provenance) == (None, None, "")


def test_an_unknown_name_lists_those_that_are_known() -> None:
    with pytest.raises(ValueError, match=r"accelerator 'abacus', expected one of a100-40gb, .*own"):
        find_accelerator("abacus")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("My Laptop", "", "name '', expected the accelerator's name"),
        ("2e11", "-2e11", r"My Laptop\): float32 is -200000000000.0, expected a number above 0"),
        ("2e11", "inf", "float32 is inf"),
        ("{ float32 = 2e11 }", "{}", "expected FLOP per second by precision"),
        ("{ float32 = 2e11 }", "2e11", "expected FLOP per second by precision"),
        ("watts = 45", "watts = 'low'", "watts is 'low', expected a number above 0"),
        ("watts = 45", "watts = 1" + "0" * 400, "watts is 1000"),
        ("2e11", "1" + "0" * 400, "float32 is 1000"),
        ("16_000_000_000", "1e-9", "memory is 1e-09, expected bytes, as in 80e9"),
        ("watts = 45", "watt = 45", "'watt', expected one of aliases"),
        ('["this one"]', '"this one"', "expected a list of names"),
        ('["this one"]', '["my-laptop", "a"]\n[[accelerator]]\nname="a"', "peak_flops None"),
        ("[[accelerator]]", "[accelerator]", r"expected tables \[\[accelerator\]\]"),
        ("[[accelerator]]", "[[device]]", "'device', expected accelerator"),
        (MINE, "", r"no accelerator, expected a table \[\[accelerator\]\]"),
        (MINE, MINE + MINE, "'mylaptop' is both|'thisone' is both"),
    ],
)
def test_a_broken_file_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(MINE.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(FormatError, match=said):
        load_accelerators(path)
