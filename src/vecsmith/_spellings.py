"""Keyword arguments as other libraries spell them.

The one place where they are known: a method wrapped by `accepts_peer_spellings` also takes the
names that model2vec 0.10 and sentence-transformers 6.2 use for the same things, so that swapping
the import is enough.

    theirs                                  ours
    sentences, inputs                       texts
    path, model_name_or_path                source
    normalize_embeddings=True               normalize=True; False leaves it to the model
    embeddings1, embeddings2                a, b
    dimensionality                          truncate_dim
    precision                               dtype
    quantize_to                             dtype (of the table, at load)
    cache_dir                               cache_folder
    prompt, prompt_name                     put before every text

Accepted and without effect: device, pool, chunk_size, use_multiprocessing,
multiprocessing_threshold, force_download, trust_remote_code, backend="torch". Accepted only with
the value that means what we do: convert_to_numpy=True, convert_to_tensor=False,
output_value="sentence_embedding", vocabulary_quantization=None.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
S = TypeVar("S")
R = TypeVar("R")

_RENAMED = {
    "sentences": "texts",
    "inputs": "texts",
    "path": "source",
    "model_name_or_path": "source",
    "normalize_embeddings": "normalize",
    "embeddings1": "a",
    "embeddings2": "b",
    "dimensionality": "truncate_dim",
    "precision": "dtype",
    "quantize_to": "dtype",
    "cache_dir": "cache_folder",
}
_WITHOUT_EFFECT = frozenset(
    {
        "device",
        "pool",
        "chunk_size",
        "use_multiprocessing",
        "multiprocessing_threshold",
        "force_download",
        "trust_remote_code",
    }
)
_ONLY = {
    "convert_to_numpy": (True, "vectors are always numpy arrays"),
    "convert_to_tensor": (False, "use torch.from_numpy on the result"),
    "output_value": ("sentence_embedding", "use encode_tokens for the tokens' vectors"),
    "backend": ("torch", "the engine is the only backend"),
    "vocabulary_quantization": (None, "open a folder that model2vec has quantized"),
}


def accepts_peer_spellings(
    method: Callable[Concatenate[S, P], R],
) -> Callable[Concatenate[S, P], R]:
    """The method, taking the spellings above too.

    `prompt` and `prompt_name` are handed to the object's `_with_prompt(texts, prompt, name)`. A
    method that takes any keyword (`**options`) gets those it does not name itself as they are.
    """
    _, *parameters = inspect.signature(method).parameters.values()
    own = frozenset(p.name for p in parameters if p.kind is not p.VAR_KEYWORD)
    passes_on = len(own) < len(parameters)
    takes_texts = "texts" in own

    @wraps(method)
    def call(self: S, /, *args: P.args, **keywords: P.kwargs) -> R:
        if not keywords or keywords.keys() <= own:
            return method(self, *args, **keywords)
        ours: dict[str, Any] = {}
        prompts: dict[str, Any] = {}
        for name, value in keywords.items():
            if name in own:
                target = name
            elif name in _RENAMED and _RENAMED[name] in own:
                target = _RENAMED[name]
                if name == "normalize_embeddings" and not value:
                    value = None  # "add nothing": a model that normalizes still does
            elif passes_on:
                target = name
            elif name in ("prompt", "prompt_name") and takes_texts:
                prompts[name] = value
                continue
            elif name in _WITHOUT_EFFECT:
                continue
            elif name in _ONLY:
                expected, remedy = _ONLY[name]
                if value is not None and value != expected:
                    raise ValueError(f"{name} is {value!r}, expected {expected!r}: {remedy}")
                continue
            else:
                raise TypeError(
                    f"{method.__name__}() got an unexpected keyword argument {name!r}, "
                    f"expected some of {', '.join(sorted(own))}"
                )
            if target in ours:
                raise TypeError(f"{method.__name__}() got {target!r} under two names")
            ours[target] = value
        if any(value is not None for value in prompts.values()):
            if not args and "texts" not in ours:
                raise TypeError(f"{method.__name__}() missing 1 required argument: 'texts'")
            texts = args[0] if args else ours.pop("texts")
            prompted: Any = self
            args = (prompted._with_prompt(texts, **prompts), *args[1:])  # type: ignore[assignment]
        return method(self, *args, **ours)

    return call
