"""Any encoder as MTEB sees a model.

The one rule: importing this file imports nothing of mteb; using it does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np

from vecsmith._extras import require
from vecsmith._typing import Encoder, FloatArray
from vecsmith.evaluation.encoding import apply_view, encode_role, fingerprint_of, is_unit
from vecsmith.evaluation.mteb.facts import facts_of, own_name, similarity_of
from vecsmith.results import View

NO_REVISION: Final = "no_revision_available"  # mteb's own word for it

_PURPOSE: Final = "run its benchmarks"


class MtebEncoder:
    """An encoder in the protocol of mteb 2, for `mteb.evaluate(MtebEncoder(model), tasks)`.

    A prompt is looked up in `prompts` as mteb has it: by task and role ("FiQA2018-query"), task,
    type of task and role ("Retrieval-query"), type of task, role ("query"). Without one, queries
    and documents go through `encode_query` and `encode_document` where the model has them.

    Example:
        >>> mteb.evaluate(MtebEncoder(model, name="you/minilm-256"), mteb.get_task("STS12"))
    """

    def __init__(
        self,
        model: Encoder,
        *,
        name: str | None = None,
        revision: str | None = None,
        truncate_dim: int | None = None,
        prompts: Mapping[str, str] | None = None,
    ) -> None:
        """Takes an encoder.

        Args:
            model: Anything with `encode(texts) -> array`.
            name: As in "org/name"; a name without a slash is put under "vecsmith/".
            revision: Of the model; its fingerprint if None.
            truncate_dim: Prefix of the vectors to use; None for all dims.
            prompts: Text put before an input, by name; the model's own if None.

        Raises:
            TypeError: If `model` cannot encode, or its `fingerprint` is no str.
            ValueError: If `truncate_dim` is below 1.
        """
        if not isinstance(model, Encoder):
            raise TypeError(
                f"the model is of type {type(model).__name__}, "
                "expected an object with encode(texts) -> array"
            )
        if truncate_dim is not None and truncate_dim < 1:
            raise ValueError(f"truncate_dim is {truncate_dim}, expected at least 1")
        self.model = model
        self.name = _name_on_hub(name or own_name(model))
        self.revision = revision or fingerprint_of(model) or NO_REVISION
        self.truncate_dim = truncate_dim
        self._chosen_prompts = None if prompts is None else dict(prompts)
        own = dict(getattr(model, "prompts", None) or {})
        self.prompts: dict[str, str] = own if prompts is None else dict(prompts)

    @cached_property
    def mteb_model_meta(self) -> Any:
        """What mteb records of the model: an `mteb.ModelMeta`."""
        models = require("mteb.models.model_meta", extra="mteb", purpose=_PURPOSE)
        facts = {
            "name": self.name,
            "revision": self.revision,
            "similarity_fn_name": models.ScoringFunction(similarity_of(self.model)),
            "use_instructions": bool(self.prompts),
            "experiment_kwargs": self._experiment(),
            **facts_of(self.model),
        }
        if self.truncate_dim is not None:
            facts["embed_dim"] = self.truncate_dim
        empty = models.ModelMeta.create_empty().model_dump()
        return models.ModelMeta(**{**empty, **facts})

    def _experiment(self) -> dict[str, Any] | None:
        """What sets these vectors apart from the model's usual ones; mteb's cache goes by it."""
        chosen = {"truncate_dim": self.truncate_dim, "prompts": self._chosen_prompts}
        return {key: value for key, value in chosen.items() if value is not None} or None

    def encode(
        self,
        inputs: Iterable[Mapping[str, Any]],
        *,
        task_metadata: Any,
        hf_split: str = "",
        hf_subset: str = "",
        prompt_type: Any = None,
        **options: Any,
    ) -> FloatArray:
        """Vectors of all texts of a loader of batches, float32 [N, D].

        Args:
            inputs: Batches, each a mapping with the list "text".
            task_metadata: Name and type of the task.
            hf_split: Not used.
            hf_subset: Not used.
            prompt_type: "query", "document" or None, as mteb's `PromptType`.
            options: mteb's batch size and progress bar; the model has its own.

        Raises:
            ValueError: If there is no text in the batches, or the model gives no proper vectors.
        """
        texts = list(_texts_of(inputs, task_metadata.name))
        role = getattr(prompt_type, "value", prompt_type)
        prompt = self.prompt_for(task_metadata.name, task_metadata.type, role)
        if prompt is None:
            vectors = encode_role(self.model, texts, role or "text")
        else:
            vectors = encode_role(_Prompted(self.model, prompt), texts, role or "text")
        if self.truncate_dim is None:
            return vectors
        return apply_view(vectors, View(self.truncate_dim), unit=is_unit(vectors))

    def prompt_for(self, task: str, task_type: str, role: str | None) -> str | None:
        """The prompt for a task and role, None if there is none."""
        names = [task, task_type]
        if role is not None:
            names = [f"{task}-{role}", task, f"{task_type}-{role}", task_type, role]
        return next((self.prompts[name] for name in names if name in self.prompts), None)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """The model's similarity of each row with each, [N, M]; cosine if it has none of its own.

        A torch tensor, because parts of mteb take nothing else.
        """
        return self._compare("select_similarity", "similarity", embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """The model's similarity of row i with row i, [N], as a torch tensor."""
        return self._compare(
            "select_pairwise_similarity", "similarity_pairwise", embeddings1, embeddings2
        )

    def _compare(self, function: str, own: str, a: Any, b: Any) -> Any:
        kind = self.mteb_model_meta.similarity_fn_name
        if kind.value == "manhattan":  # mteb has the name but not the function
            return getattr(self.model, own)(np.asarray(a), np.asarray(b))
        functions = require("mteb.similarity_functions", extra="mteb", purpose=_PURPOSE)
        return getattr(functions, function)(a, b, kind)


class _Prompted:
    """An encoder whose texts all have one prompt before them."""

    def __init__(self, model: Encoder, prompt: str) -> None:
        self._model = model
        self._prompt = prompt

    def encode(self, texts: Sequence[str]) -> Any:
        return self._encode("encode", texts)

    def encode_query(self, texts: Sequence[str]) -> Any:
        return self._encode("encode_query", texts)

    def encode_document(self, texts: Sequence[str]) -> Any:
        return self._encode("encode_document", texts)

    def _encode(self, name: str, texts: Sequence[str]) -> Any:
        if not hasattr(self._model, "prompts"):
            return self._model.encode([self._prompt + text for text in texts])
        # as in sentence-transformers: what has prompts takes one
        method: Callable[..., Any] = getattr(self._model, name, self._model.encode)
        return method(texts, prompt=self._prompt)


def _texts_of(inputs: Iterable[Mapping[str, Any]], task: str) -> Iterator[str]:
    for batch in inputs:
        if "text" not in batch:
            raise ValueError(
                f"{task} gives {sorted(batch)}, expected text: these models encode nothing else"
            )
        yield from batch["text"]


def _name_on_hub(name: str) -> str:
    """A name as mteb takes them, "org/name"."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    is_id = len(parts) == 2 and name == "/".join(parts)
    return name if is_id else f"vecsmith/{parts[-1] if parts else 'model'}"
