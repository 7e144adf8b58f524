"""Models and accelerators that a plan chooses from."""
