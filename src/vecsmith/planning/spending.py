"""Time, energy and money of a run, as FLOP of the device come to them.

The one rule: time follows from the FLOP a device does, recompute and attention among them, at a
share of its peak that is measured, given, or else assumed and shown as several rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vecsmith.planning.budget import Precision, peak_of
from vecsmith.planning.presets import Mark

if TYPE_CHECKING:
    from vecsmith.planning.accelerators import Accelerator


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What a run takes at one share of the peak.

    Attributes:
        mfu: Share of the accelerator's peak that is reached.
        mark: Where it comes from.
        gpu_hours: Of all accelerators together.
        hours: By the clock.
        energy_kwh: At the accelerator's rated power; None where that is not known.
        money: In the currency of the price; None without one.
        co2_kg: None without a carbon intensity.
    """

    mfu: float
    mark: Mark
    gpu_hours: float
    hours: float
    energy_kwh: float | None
    money: float | None
    co2_kg: float | None


def spend(
    device_flops: float,
    accelerator: Accelerator,
    *,
    precision: Precision,
    mfus: Sequence[tuple[float, Mark]],
    n_devices: int = 1,
    price_per_hour: float | None = None,
    carbon_intensity: float | None = None,
) -> tuple[Spending, ...]:
    """One row for each share of the peak.

    Args:
        device_flops: What the device does.
        accelerator: Which.
        precision: Of the products.
        mfus: Shares of its peak and where they come from.
        n_devices: Accelerators that share the work, taken to lose nothing by it.
        price_per_hour: Of one accelerator.
        carbon_intensity: Grams of CO2 a kWh.

    Raises:
        ValueError: If the accelerator has no such precision.
    """
    peak = peak_of(accelerator, precision)
    rows = []
    for mfu, mark in mfus:
        gpu_hours = device_flops / (peak * mfu) / 3600
        energy = None if accelerator.watts is None else gpu_hours * accelerator.watts / 1000
        grams = None if energy is None or carbon_intensity is None else energy * carbon_intensity
        rows.append(
            Spending(
                mfu=mfu,
                mark=mark,
                gpu_hours=gpu_hours,
                hours=gpu_hours / n_devices,
                energy_kwh=energy,
                money=None if price_per_hour is None else gpu_hours * price_per_hour,
                co2_kg=None if grams is None else grams / 1000,
            )
        )
    return tuple(rows)
