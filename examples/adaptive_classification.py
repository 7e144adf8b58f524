"""Route requests to topics with as few dimensions of each vector as that request needs."""

import re
from pydoc_data.topics import topics

from vecsmith import distill
from vecsmith.classification.adaptive import AdaptiveClassifier

texts, labels = [], []
for chapter, text in topics.items():
    blocks = [" ".join(block.split()) for block in text.split("\n\n") if len(block.split()) > 8]
    if len(blocks) >= 12:
        texts += blocks
        labels += [chapter] * len(blocks)
train = [i for i in range(len(texts)) if i % 4]
test = [i for i in range(len(texts)) if i % 4 == 0]

words = sorted(set(re.findall(r"[a-z]{2,}", " ".join(texts).lower())))
model = distill("sentence-transformers/all-MiniLM-L6-v2", vocabulary=words, vocabulary_mode="word")
vectors = model.encode(texts)

# a head for each prefix; a row is decided by the shortest one that is sure of it
classifier = AdaptiveClassifier(dims=[8, 16, 32, 64, 256])
classifier.fit(vectors[train], [labels[i] for i in train])
found, dims_used = classifier.predict_with_dims(vectors[test])

right = sum(label == labels[i] for label, i in zip(found, test, strict=True))
print(f"{right} of {len(test)} paragraphs know their chapter")
print(f"by {dims_used.mean():.0f} of 256 dimensions on average; of the first five:")
for i, label, dims in list(zip(test, found, dims_used, strict=True))[:5]:
    print(f"  {dims:3} dims  {label:14} {texts[i][:70]}")
