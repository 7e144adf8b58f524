"""Plans and sweeps carried out: cell by cell, resumable, one record a run."""
