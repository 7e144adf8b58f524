"""Search Python's own documentation with a model made for its words."""

import re
from pydoc_data.topics import topics

import numpy as np

from vecsmith import distill

paragraphs = [
    " ".join(block.split())
    for topic in topics.values()
    for block in topic.split("\n\n")
    if len(block.split()) > 12 and ">>>" not in block
]
words = sorted(set(re.findall(r"[a-z]{2,}", " ".join(paragraphs).lower())))

# only the words that occur here: a small table, made in seconds
model = distill("sentence-transformers/all-MiniLM-L6-v2", vocabulary=words, vocabulary_mode="word")
vectors = model.encode(paragraphs)  # unit length: the dot product is the cosine

for question in ("how to compare two objects", "a function that yields values one by one"):
    similarities = vectors @ model.encode(question)
    print(f"\n{question}")
    for row in np.argsort(-similarities)[:3]:
        print(f"  {similarities[row]:.2f}  {paragraphs[row][:90]}")
