"""How to spend a compute budget on turning a language model into an embedder.

Nothing here trains: numbers in, a plan out, in milliseconds.
"""
