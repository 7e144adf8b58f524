"""How good a model is: tasks, metrics, and what comes of running one on the other."""
