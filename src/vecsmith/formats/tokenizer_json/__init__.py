"""`tokenizer.json`: what it says, what the engine can do of it, and how it is kept.

One rule: the engine gets settings only where it gives the ids of Hugging Face `tokenizers` one
for one; for everything else the settings say why that package has to do the work.
"""

from vecsmith.formats.tokenizer_json.reading import (
    forget_tokenizer,
    read_added_tokens,
    read_model_tokens,
    read_tokenizer,
    read_tokens,
)
from vecsmith.formats.tokenizer_json.settings import (
    AddedToken,
    BpeModel,
    Family,
    Model,
    NativeSettings,
    Step,
    TokenizerSettings,
    UnigramModel,
    WordLevelModel,
    WordPieceModel,
)
from vecsmith.formats.tokenizer_json.storing import stored_tokenizer, without_truncation

__all__ = [
    "AddedToken",
    "BpeModel",
    "Family",
    "Model",
    "NativeSettings",
    "Step",
    "TokenizerSettings",
    "UnigramModel",
    "WordLevelModel",
    "WordPieceModel",
    "forget_tokenizer",
    "read_added_tokens",
    "read_model_tokens",
    "read_tokenizer",
    "read_tokens",
    "stored_tokenizer",
    "without_truncation",
]
