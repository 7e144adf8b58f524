"""Time, energy and money of a run, as the FLOP that a device does come to them.

The one rule: time follows from the FLOP a device does, recompute and attention among them, at a
share of its peak that is measured, given, or else assumed and shown as several rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vecsmith.planning.checks import check_not_negative, check_positive
from vecsmith.planning.choosing.budget import Precision, peak_of
from vecsmith.planning.choosing.presets import Mark

if TYPE_CHECKING:
    from vecsmith.planning.catalogue.accelerators import Accelerator
    from vecsmith.planning.choosing.candidates import Candidate


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What a run is done on, and what that costs.

    Attributes:
        accelerator: Which.
        precision: Of the products.
        n_devices: How many share the work, taken to lose nothing by it.
        price_per_hour: Of one; None where nobody said.
        carbon_intensity: Grams of CO2 a kWh; None where nobody said.
    """

    accelerator: Accelerator
    precision: Precision
    n_devices: int = 1
    price_per_hour: float | None = None
    carbon_intensity: float | None = None

    def __post_init__(self) -> None:
        """Refuses what no device is like.

        Raises:
            ValueError: If a number is out of range, or the accelerator has no such precision.
            TypeError: If it is no number.
        """
        check_positive(n_devices=self.n_devices)
        check_not_negative(
            price_per_hour=self.price_per_hour, carbon_intensity=self.carbon_intensity
        )
        peak_of(self.accelerator, self.precision)

    @property
    def peak(self) -> float:
        """FLOP per second of one."""
        return peak_of(self.accelerator, self.precision)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What a run takes at one share of the peak, or what hours buy at it.

    Attributes:
        mfu: Share of the accelerator's peak that is reached.
        mark: Where it comes from.
        model: What is best at it; another than the plan's where the budget is in hours.
        tuning: Of that, as "lora 128".
        flops: Counted FLOP.
        gpu_hours: Of all accelerators together.
        hours: By the clock.
        energy_kwh: At the accelerator's rated power; None where that is not known.
        money: In the currency of the price; None without one.
        co2_kg: None without a carbon intensity.
    """

    mfu: float
    mark: Mark
    model: str
    tuning: str
    flops: float
    gpu_hours: float
    hours: float
    energy_kwh: float | None
    money: float | None
    co2_kg: float | None


def spend(candidate: Candidate, device: Device, *, mfu: float, mark: Mark) -> Spending:
    """What training a candidate takes on a device at a share of its peak."""
    gpu_hours = candidate.device_flops / (device.peak * mfu) / 3600
    watts, price, grams = (
        device.accelerator.watts,
        device.price_per_hour,
        device.carbon_intensity,
    )
    energy = None if watts is None else gpu_hours * watts / 1000
    return Spending(
        mfu=mfu,
        mark=mark,
        model=candidate.model,
        tuning=str(candidate.tuning),
        flops=candidate.flops,
        gpu_hours=gpu_hours,
        hours=gpu_hours / device.n_devices,
        energy_kwh=energy,
        money=None if price is None else gpu_hours * price,
        co2_kg=None if energy is None or grams is None else energy * grams / 1000,
    )
