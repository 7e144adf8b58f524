"""Distil a sentence transformer, save the static model, open it again and encode with it."""

from vecsmith import StaticModel, distill

# all-MiniLM-L6-v2 comes with the extra `demo`; any teacher's Hub id or folder works
model = distill("sentence-transformers/all-MiniLM-L6-v2", dim=256)
model.save_pretrained("minilm-256")

model = StaticModel.from_pretrained("minilm-256")
vectors = model.encode(["It's dangerous to go alone!", "Take this sword.", "Tea at five?"])
print(vectors.shape, vectors.dtype)  # (3, 256) float32
print(model.similarity(vectors, vectors).round(2))
