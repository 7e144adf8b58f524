"""What there is to spend: FLOP, hours of an accelerator, or money.

The one rule: a budget says which FLOP it is in. *Counted* ones are those of the laws (2 N_F + 2
N_B + 2 N_U a token); *device* ones are what hours buy, and recompute and attention come out of
them too, so the same hours pay for fewer counted FLOP where a method needs more of these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Self

from vecsmith.planning.checks import check_positive
from vecsmith.planning.choosing.presets import Mark

if TYPE_CHECKING:
    from vecsmith.planning.catalogue.accelerators import Accelerator

Precision = Literal["float32", "bfloat16"]
_SECONDS_PER_HOUR: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """FLOP to spend on tuning.

    Attributes:
        flops: How many.
        kind: "counted" by the formula of the laws, or "device" for all that a device does.
        gpu_hours: Hours that they come from, of all accelerators together; None where none were
            given.
        mfu: Share of the peak that was taken to turn hours into FLOP; None where none were.
        mfu_mark: Where `mfu` comes from.
        money: What the hours cost; None where it is not known.
    """

    flops: float
    kind: Literal["counted", "device"] = "counted"
    gpu_hours: float | None = None
    mfu: float | None = None
    mfu_mark: Mark = "given"
    money: float | None = None

    def __post_init__(self) -> None:
        """Refuses what is no budget.

        Raises:
            ValueError: If a number is not positive and finite.
            TypeError: If it is no number.
        """
        if self.flops is None:
            raise TypeError("flops is None, expected a number")
        check_positive(flops=self.flops, gpu_hours=self.gpu_hours, mfu=self.mfu, money=self.money)

    @classmethod
    def from_hours(
        cls,
        gpu_hours: float,
        accelerator: Accelerator,
        *,
        mfu: float,
        mfu_mark: Mark = "given",
        precision: Precision = "bfloat16",
        money: float | None = None,
    ) -> Self:
        """The FLOP that hours of an accelerator buy.

        Args:
            gpu_hours: Of all accelerators together: eight for one hour are eight.
            accelerator: Which.
            mfu: Share of its peak that is reached; 0.2 is more than most reach untuned.
            mfu_mark: Where `mfu` comes from.
            precision: Of the products.
            money: What the hours cost, if that is known.

        Raises:
            ValueError: If a number is not positive, `mfu` is above 1, or the accelerator has no
                such precision.
        """
        check_positive(gpu_hours=gpu_hours)
        check_share_of_peak(mfu)
        peak = peak_of(accelerator, precision)
        return cls(
            flops=gpu_hours * _SECONDS_PER_HOUR * peak * mfu,
            kind="device",
            gpu_hours=gpu_hours,
            mfu=mfu,
            mfu_mark=mfu_mark,
            money=money,
        )

    @classmethod
    def from_money(
        cls,
        money: float,
        accelerator: Accelerator,
        *,
        price_per_hour: float,
        mfu: float,
        mfu_mark: Mark = "given",
        precision: Precision = "bfloat16",
    ) -> Self:
        """The FLOP that money buys, at a price of one accelerator's hour in the same currency.

        Raises:
            ValueError: If a number is not positive, or as `from_hours`.
        """
        check_positive(money=money, price_per_hour=price_per_hour)
        return cls.from_hours(
            money / price_per_hour,
            accelerator,
            mfu=mfu,
            mfu_mark=mfu_mark,
            precision=precision,
            money=money,
        )


def check_share_of_peak(mfu: float) -> None:
    """Raises unless `mfu` is a share of a peak.

    Raises:
        ValueError: If it is not above 0 and at most 1.
        TypeError: If it is no number.
    """
    check_positive(mfu=mfu)
    if mfu > 1:
        raise ValueError(f"mfu is {mfu:g}, expected a share of the peak, 0 to 1, as in 0.2")


def peak_of(accelerator: Accelerator, precision: Precision) -> float:
    """FLOP per second that an accelerator could do at a precision.

    Raises:
        ValueError: If it has none for that precision.
    """
    if precision not in accelerator.peak_flops:
        raise ValueError(
            f"{accelerator.name} has no peak in {precision}, expected one of "
            f"{sorted(accelerator.peak_flops)}"
        )
    return float(accelerator.peak_flops[precision])
