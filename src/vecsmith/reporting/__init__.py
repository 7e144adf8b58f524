"""Pictures of results; nothing is measured or computed here."""
