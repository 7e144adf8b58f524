"""Search with a few dimensions first and all of them last, as exactly as you ask for."""

import re
from pydoc_data.topics import topics

from vecsmith import distill
from vecsmith.retrieval import AdaptiveIndex

sentences = sorted(
    {
        " ".join(sentence.split())
        for topic in topics.values()
        for sentence in re.split(r"(?<=[.!?])\s+|\n\n", topic)
        if len(sentence.split()) > 5
    }
)
words = sorted(set(re.findall(r"[a-z]{2,}", " ".join(sentences).lower())))
model = distill("sentence-transformers/all-MiniLM-L6-v2", vocabulary=words, vocabulary_mode="word")
vectors = model.encode(sentences)

# tries prefixes and shortlists on held-out queries, and keeps the cheapest that finds 97 of 100
index = AdaptiveIndex.build(vectors, ids=range(len(sentences)), recall=0.97)
index.save("index/")
index = AdaptiveIndex.open("index/")  # mapped: what a search does not read stays on disk

question = "how do I raise an exception?"
hits = index.search(model.encode_query(question), k=3)
print(f"{len(index):,} sentences, {question}")
for number, score in zip(hits.ids[0], hits.scores[0], strict=True):
    print(f"  {score:.2f}  {sentences[number][:90]}")

whole = index.search(model.encode_query(question), k=3, exact=True)
share = hits.cost.multiply_adds / whole.cost.multiply_adds
print(f"{hits.plan}: {share:.0%} of the multiply-adds, {hits.cost.n_bytes / 1e6:.2f} MB read")
