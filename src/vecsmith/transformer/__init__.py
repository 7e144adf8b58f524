"""Sentence transformers: found, read from their folders, run, and written (extra `distill`).

What is here serves teachers of distillations, encoders of texts, and models to be trained alike.
"""
