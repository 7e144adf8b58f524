"""Fit a scaling law to runs of your own, and ask it for the best size at a budget not yet run."""

import numpy as np

from vecsmith.planning import fit_law
from vecsmith.planning.laws import Observations

# non-embedding parameters and tokens of 35 runs at five budgets, and their losses: here those of
# a law that is known, with 1 % of noise, so that one sees what comes back
rng = np.random.default_rng(0)
sizes = np.array([1.2e6, 4.7e6, 1.9e7, 8.5e7, 3.0e8, 8.1e8, 1.2e9])
budgets = np.array([1.5e16, 6e16, 2.4e17, 9.6e17, 3.8e18])
n = np.tile(sizes, len(budgets))
tokens = np.repeat(budgets, len(sizes)) / (6 * n)
loss = (0.3 + 60 / n**0.35 + 900 / tokens**0.37) * np.exp(rng.normal(0, 0.01, len(n)))

law = fit_law(Observations(n=n, tokens=tokens, loss=loss), form="hoffmann")
for name, (low, high) in law.intervals.items():
    print(f"{name} {law.law.coefficients[name]:.3g} ({low:.3g} to {high:.3g})")
best = law.optimal(1e18)
print(f"at 1e18 FLOP {best.n:.3g} parameters ({best.low:.3g} to {best.high:.3g}),", end=" ")
print(f"loss {best.prediction.loss:.3f} ({best.prediction.low:.3f} to {best.prediction.high:.3f})")
for warning in law.warnings:
    print("beware:", warning)
