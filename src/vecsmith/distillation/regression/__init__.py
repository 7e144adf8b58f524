"""Least squares of a static table against a teacher's vectors of texts: functions of arrays."""

from vecsmith.distillation.regression.count_rows import CountRows
from vecsmith.distillation.regression.fitting import (
    Fit,
    Normals,
    TextShards,
    fit_table,
    gather,
    start_rows,
)
from vecsmith.distillation.regression.settings import RegressionSettings

__all__ = [
    "CountRows",
    "Fit",
    "Normals",
    "RegressionSettings",
    "TextShards",
    "fit_table",
    "gather",
    "start_rows",
]
