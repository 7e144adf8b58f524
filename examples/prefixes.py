"""Compare prefix lengths: how much of the ranking do the first dimensions keep?"""

import re
from pydoc_data.topics import topics

import numpy as np

from vecsmith import distill

texts = [" ".join(block.split()) for block in topics["types"].split("\n\n") if len(block) > 200]
words = sorted(set(re.findall(r"[a-z]{2,}", " ".join(texts).lower())))
model = distill("sentence-transformers/all-MiniLM-L6-v2", vocabulary=words, vocabulary_mode="word")


def nearest(dim: int) -> np.ndarray:
    """The ten texts nearest to each text by the first `dim` dimensions."""
    vectors = model.encode(texts, truncate_dim=dim)
    return np.argsort(-(vectors @ vectors.T), axis=1)[:, 1:11]


whole = nearest(model.dim)
for dim in (8, 16, 32, 64, 128, 256):
    shared = [len(set(a) & set(b)) / 10 for a, b in zip(nearest(dim), whole, strict=True)]
    print(f"{dim:4} dimensions: {np.mean(shared):.0%} of the ten nearest are the same")
