"""Scaling laws: forms, fits with intervals, optima, frontiers and where they cross."""

from vecsmith.planning.laws.fitted_law import FittedLaw, HeldOut, Optimum, Prediction
from vecsmith.planning.laws.fitting import fit_law
from vecsmith.planning.laws.forms import COEFFICIENTS, Form, LossLaw
from vecsmith.planning.laws.observations import Observations

__all__ = [
    "COEFFICIENTS",
    "FittedLaw",
    "Form",
    "HeldOut",
    "LossLaw",
    "Observations",
    "Optimum",
    "Prediction",
    "fit_law",
]
