"""Score two sizes of a model on a set of your own, and see which of them to keep."""

import csv
from pathlib import Path

from vecsmith import distill, evaluate
from vecsmith.results import View, compare

PAIRS = [
    ("How do I reset my password?", "I forgot my password", 5),
    ("How do I reset my password?", "Change the login secret of my account", 4),
    ("Where is my parcel?", "My order has not arrived", 4),
    ("Where is my parcel?", "Track a delivery", 4),
    ("Cancel my subscription", "I want to stop paying every month", 4),
    ("Cancel my subscription", "How do I subscribe?", 2),
    ("The app crashes when it starts", "It closes as soon as I open it", 5),
    ("The app crashes when it starts", "Your shop is closed on Sunday", 0),
    ("Where is my parcel?", "The weather is lovely today", 0),
    ("How do I reset my password?", "What does shipping cost?", 1),
]

folder = Path("my-tasks") / "support"
folder.mkdir(parents=True, exist_ok=True)
with open(folder / "data.csv", "w", newline="", encoding="utf-8") as file:
    csv.writer(file).writerows([("sentence1", "sentence2", "score"), *PAIRS])

model = distill("sentence-transformers/all-MiniLM-L6-v2", dim=256)
result = evaluate(model, "my-tasks", dims=[256, 32], name="minilm-256")
print(result.table())

# ten pairs show no difference between 256 and 32 dims, and the library says so
print(compare(result, result, view_a=View(256), view_b=View(32)).table())
