"""Scaling laws: forms, fits with intervals, optima, frontiers and where they cross."""

from vecsmith.planning.laws.crossover import Crossover, crossover, probability_better
from vecsmith.planning.laws.fitted import FittedLaws, fit_laws
from vecsmith.planning.laws.fitted_law import FittedLaw, HeldOut, Optimum, Prediction
from vecsmith.planning.laws.fitting import fit_law
from vecsmith.planning.laws.forms import COEFFICIENTS, Form, LossLaw
from vecsmith.planning.laws.frontier import FrontierLine, LawFrontier, frontier_line
from vecsmith.planning.laws.isoflop import IsoFlopProfile, isoflop_profiles
from vecsmith.planning.laws.observations import Observations

__all__ = [
    "COEFFICIENTS",
    "Crossover",
    "FittedLaw",
    "FittedLaws",
    "Form",
    "FrontierLine",
    "HeldOut",
    "IsoFlopProfile",
    "LawFrontier",
    "LossLaw",
    "Observations",
    "Optimum",
    "Prediction",
    "crossover",
    "fit_law",
    "fit_laws",
    "frontier_line",
    "isoflop_profiles",
    "probability_better",
]
