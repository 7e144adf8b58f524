"""What a model costs: its parts counted, FLOP and bytes."""
