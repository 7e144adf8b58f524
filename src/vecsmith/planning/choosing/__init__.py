"""From a budget to a plan: candidates, what refuses and ranks them, in words and in a file."""
