"""Settings by name: the published recipe as it was published, and ours beside it."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from vecsmith.training.settings import TrainSettings

# Tom Aarsen, "Train 400x faster Static Embedding Models with Sentence Transformers" (2025), the
# scripts of static-retrieval-mrl-en-v1: StaticEmbedding with its random N(0, 1) table of 1024
# dims, MultipleNegativesRankingLoss at scale 20 (temperature 1 / 20) from query to document inside
# MatryoshkaLoss, batch 2048, one epoch, learning rate 0.2 with a tenth of warm-up and linear decay,
# and of the trainer's own: AdamW without decay, gradients clipped at 1, bfloat16 autocast,
# proportional sampling. Its vectors are not of unit length and the unknown token counts.
_PUBLISHED: Final = TrainSettings(
    dim=1024,
    dims=(1024, 512, 256, 128, 64, 32),
    batch_size=2048,
    epochs=1.0,
    lr=0.2,
    warmup=0.1,
    schedule="linear",
    betas=(0.9, 0.999),
    eps=1e-8,
    weight_decay=0.0,
    clip_norm=1.0,
    temperature=0.05,
    directions="one_way",
    sampling="proportional",
    precision="bfloat16",
    normalize=False,
    unknown="keep",
    start="random",
    start_scale=1.0,
    seed=12,
)

# Ours for a model from nothing, chosen on dev rows of Korean and English sets
# (recipes/from_nothing.py). Rows move only when a batch touches them, so what momentum would go on
# moving a rare token is lost: without momentum its one step is as long as those would be together.
_FROM_NOTHING: Final = TrainSettings(
    dim=256,
    start="hashed",
    batch_size=2048,
    epochs=1.0,
    lr=0.2,
    warmup=0.1,
    betas=(0.0, 0.999),
    clip_norm=1.0,
    directions="one_way",
)

# Ours for a model that is good already, such as a distilled one: small steps. A distilled table
# has rows of a tenth of the size of N(0, 1), and Adam's steps do not depend on the gradient's.
_FROM_MODEL: Final = TrainSettings(
    batch_size=1024,
    epochs=1.0,
    lr=0.005,
    warmup=0.1,
    clip_norm=0.0,
    directions="both_ways",
)

PRESETS: Final = MappingProxyType(
    {
        "static-retrieval-mrl": _PUBLISHED,
        "from-nothing": _FROM_NOTHING,
        "from-model": _FROM_MODEL,
    }
)


def find_preset(preset: TrainSettings | str | None, *, has_model: bool) -> TrainSettings:
    """The settings that `preset` names; ours for what the run starts from where it is None.

    Args:
        preset: Settings, or the name of some; None for "from-model" or "from-nothing".
        has_model: Whether the run starts from a model.

    Raises:
        ValueError: If there is no such preset.
    """
    if isinstance(preset, TrainSettings):
        return preset
    if preset is None:
        preset = "from-model" if has_model else "from-nothing"
    if preset not in PRESETS:
        raise ValueError(f"preset {preset!r:.80}, expected one of {list(PRESETS)}")
    return PRESETS[preset]
