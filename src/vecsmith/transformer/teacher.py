"""A transformer in memory, and the vectors it gives to sequences of its token ids."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from vecsmith._extras import require
from vecsmith.errors import FormatError
from vecsmith.transformer.depth import first_layers
from vecsmith.transformer.loading import (
    ComputeDtype,
    choose_dtype,
    count_positions,
    count_rows,
    load_model,
    open_device,
    takes_kinds,
    takes_types,
)
from vecsmith.transformer.pooling import pool, read_head
from vecsmith.transformer.source import (
    TeacherSource,
    describe,
    find_teacher,
    read_settings,
    weights_digest,
)

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "ComputeDtype",
    "Frame",
    "Pooling",
    "Reading",
    "Teacher",
    "TeacherSource",
    "describe",
    "find_teacher",
    "read_frame",
    "read_settings",
    "weights_digest",
]

logger = logging.getLogger(__name__)

Pooling = Literal["balanced", "mean", "cls", "last", "pooler"]

# A CPU is fastest when the states of a batch stay in its caches: measured on two cores with MiniLM,
# where 8,192 were a third slower. A GPU needs many to have work for all of it: assumed.
_CPU_BATCH_TOKENS, _GPU_BATCH_TOKENS = 2048, 65536
# Sequences from which the balance of "balanced" is measured, evenly over the vocabulary; with
# 1,024 of MiniLM's 29,525 it is within 1 % of that of all
_BALANCE_SEQUENCES = 1024
# A first position that varies less than this beside the token's own says nothing of the token:
# in a causal model it cannot see it
_LEAST_SPREAD = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Ids that a teacher's tokenizer puts around a text.

    Attributes:
        before: Specials before it, then the prompt.
        after: Specials after it.
    """

    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()


def read_frame(tokenizer_json: str, prompt: str | None = None) -> Frame:
    """What a teacher's tokenizer puts around a text, with a `prompt` before the text."""
    tokenizers = require("tokenizers", extra="distill", purpose="read the teacher's tokenizer")
    tokenizer = tokenizers.Tokenizer.from_str(tokenizer_json)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    bare = tokenizer.encode("a", add_special_tokens=False).ids
    framed = tokenizer.encode("a").ids
    n_before = next(
        (i for i in range(len(framed)) if framed[i : i + len(bare)] == bare), len(framed)
    )
    before = framed[:n_before]
    if prompt:
        before = before + tokenizer.encode(prompt, add_special_tokens=False).ids
    return Frame(before=tuple(before), after=tuple(framed[n_before + len(bare) :]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A batch of sequences as the teacher read it.

    Attributes:
        places: Of its N sequences among all, shape [N].
        vectors: Of the sequences, as `embed_padded` gives them, float32 tensor [N, D].
        states: Last states of all T ids that are no padding, sequence after sequence, frame
            included, once for each pooling mode, through the modules after the pooling: float32
            tensor [T, D].
        filled: Where ids are and no padding, bool tensor [N, L] with T true.
    """

    places: NDArray[np.int64]
    vectors: Tensor
    states: Tensor
    filled: Tensor


class Teacher:
    """A transformer that gives a vector to a sequence of its token ids.

    Attributes:
        dim: Length of its vectors.
        n_rows: Rows of its input table, or None if that cannot be told.
        pooling: Its pooling modes, joined by "+".
        compute_dtype: "float32" or "bfloat16", what its forward pass runs in.
        head: What comes after the transformer, a Normalize at the end included.
        n_bytes: Bytes of its weights in memory.
        n_positions: Longest sequence its table of positions has rows for; None without one.
        n_layers: Layers that are run, or None if that cannot be told.
        leaves_kinds_open: Whether it could be told kinds of tokens and is not, as GPT-2.
    """

    def __init__(
        self,
        source: TeacherSource,
        *,
        frame: Frame | None = None,
        device: str = "cpu",
        compute_dtype: ComputeDtype = "auto",
        pooling: Pooling | None = None,
        use_modules: bool = True,
        trust_remote_code: bool = False,
        n_layers: int | None = None,
        dim: int | None = None,
    ) -> None:
        """Loads it.

        Args:
            source: Where it is.
            frame: Ids put around every sequence; None for nothing.
            device: A torch device.
            compute_dtype: "auto" takes bfloat16 where the device is fast at it.
            pooling: How token states become one vector; None for the teacher's own way, and
                "balanced" where that is the mean (without a frame they are the same).
            use_modules: Whether Dense and Normalize modules after the pooling are applied. A
                Normalize at the end is not: it is for vectors of texts, which the student scales.
            trust_remote_code: Whether code in the teacher's folder may run.
            n_layers: How many of its layers are run, the first ones; None for all.
            dim: How many dimensions of its vectors are taken, the first ones; None for all.

        Raises:
            FormatError: If a file is missing or broken.
            MissingExtraError: If torch or transformers are not installed.
            ValueError: If it has not so many layers or dimensions.
        """
        torch = require("torch", extra="distill", purpose="run the teacher")
        self.head = read_head(source.folder, use_modules=use_modules)
        if pooling is None and self.head.modes == ("mean",):
            pooling = "balanced"
        self._modes = self.head.modes if pooling is None else (pooling,)
        self.pooling = "+".join(self._modes)
        self._frame = Frame() if frame is None else frame
        self._share: float | None = None
        self._device = open_device(device)
        self.compute_dtype = choose_dtype(compute_dtype, self._device)
        needs_pooler = "pooler" in self._modes
        model = load_model(source, self.compute_dtype, trust_remote_code, needs_pooler)
        if n_layers is not None:
            model = first_layers(model, n_layers)
        self.n_layers: int | None = getattr(model.config, "num_hidden_layers", None)
        self._model = model.to(self._device)
        self._takes_types = takes_types(self._model)
        self.leaves_kinds_open = takes_kinds(self._model) and not self._takes_types
        self.n_rows: int | None = count_rows(self._model)
        self.n_positions = count_positions(self._model)
        self.n_bytes = sum(p.numel() * p.element_size() for p in self._model.parameters())
        with torch.inference_mode(), self._precision():
            self.dim = int(self._vectors([[0]], self._frame_length + 1).shape[1])
        if dim is not None:
            if not 1 <= dim <= self.dim:
                raise ValueError(f"dim is {dim}, expected 1 to {self.dim}, the whole vector")
            self.head = self.head.with_prefix(dim)
            self.dim = dim

    def framed(self, frame: Frame, pooling: Pooling | None = None) -> Teacher:
        """This teacher with `frame` around every sequence; weights are shared.

        Args:
            frame: Ids put around every sequence.
            pooling: How token states become a vector; None for the teacher's own way, the mean
                where that is it.
        """
        other = copy.copy(self)
        other._frame = frame
        other._modes = self.head.modes if pooling is None else (pooling,)
        other.pooling = "+".join(other._modes)
        other._share = None
        return other

    def embed(
        self,
        sequences: Sequence[Sequence[int]],
        *,
        batch_tokens: int = 2048,
        advance: Callable[[int], object] | None = None,
    ) -> NDArray[np.float32]:
        """Vectors of `sequences` of token ids, float32, shape [N, D].

        Sequences of equal length go together, so nothing is padded and a vector does not depend
        on its neighbours. A value that is not finite becomes 0.

        Args:
            sequences: Ids without the frame.
            batch_tokens: Most ids in one forward pass, the frame included.
            advance: Called with the number of sequences done since the last call.
        """
        batches = self._batches(sequences, batch_tokens)
        return self._embed(sequences, batches, advance=advance, batch_tokens=batch_tokens)

    def embed_padded(
        self,
        sequences: Sequence[Sequence[int]],
        *,
        batch_tokens: int | None = None,
        n_left_out: int = 0,
        advance: Callable[[int], object] | None = None,
    ) -> NDArray[np.float32]:
        """Vectors of `sequences` of token ids, float32, shape [N, D].

        About equally long sequences share a batch and are padded, as sentence-transformers does:
        for texts, few of which are equally long, much faster than `embed` and equal to it but for
        rounding. A value that is not finite becomes 0.

        Args:
            sequences: Ids without the frame.
            batch_tokens: Most ids in one forward pass, frame and padding included; None for what
                the device is fastest with.
            n_left_out: Ids at the beginning of each sequence that are read and not pooled, as
                those of a prompt may be.
            advance: Called with the number of sequences done since the last call.
        """
        batches = self._padded_batches(sequences, batch_tokens or self._batch_tokens)
        return self._embed(sequences, batches, advance=advance, n_left_out=n_left_out)

    def read_padded(
        self,
        sequences: Sequence[Sequence[int]],
        *,
        batch_tokens: int | None = None,
        n_left_out: int = 0,
    ) -> Iterator[Reading]:
        """What `embed_padded` sees on its way: vectors of sequences and states of their tokens.

        Args:
            sequences: Ids without the frame.
            batch_tokens: See `embed_padded`, as for the rest.
            n_left_out: Ids at the beginning of each sequence that are read and not pooled.
        """
        torch = require("torch", extra="distill", purpose="run the teacher")
        for places, width in self._padded_batches(sequences, batch_tokens or self._batch_tokens):
            batch = [sequences[i] for i in places]
            # not around the loop: whoever takes the batches would run in this mode too
            with torch.inference_mode():
                with self._precision():
                    states, mask, pooler = self._states(batch, width)
                pooled = mask
                if n_left_out:
                    pooled = mask.clone()
                    pooled[:, len(self._frame.before) :][:, :n_left_out] = 0
                vectors = self._pool(states, pooled, pooler)
                filled = mask.bool()
                # modes are concatenated, so a token stands in each
                states = states[filled].repeat(1, len(self._modes))
                for layer in self.head.layers:
                    vectors, states = layer(vectors), layer(states)
            yield Reading(places=places, vectors=vectors, states=states, filled=filled)

    def _embed(
        self,
        sequences: Sequence[Sequence[int]],
        batches: Iterable[tuple[NDArray[np.int64], int]],
        *,
        advance: Callable[[int], object] | None,
        batch_tokens: int | None = None,
        n_left_out: int = 0,
    ) -> NDArray[np.float32]:
        """Vectors of `sequences`, batch by batch; with `batch_tokens` the balance is measured."""
        torch = require("torch", extra="distill", purpose="run the teacher")
        vectors = np.empty((len(sequences), self.dim), dtype=np.float32)
        with torch.inference_mode(), self._precision():
            if batch_tokens is not None and self._modes == ("balanced",) and len(sequences):
                step = -(-len(sequences) // _BALANCE_SEQUENCES)
                self._share = self._measure_share(sequences[::step], batch_tokens)
            for batch, width in batches:
                found = self._vectors([sequences[i] for i in batch], width, n_left_out)
                vectors[batch] = found.cpu().numpy()
                if advance is not None:
                    advance(len(batch))
        if not np.isfinite(vectors).all():
            logger.warning("the teacher gave values that are not finite, they become 0")
            np.nan_to_num(vectors, copy=False, posinf=0.0, neginf=0.0)
        return vectors

    def _batches(
        self, sequences: Sequence[Sequence[int]], batch_tokens: int
    ) -> Iterable[tuple[NDArray[np.int64], int]]:
        """Places of equally long sequences, at most `batch_tokens` ids at a time; their length."""
        n_around = self._frame_length
        lengths = np.fromiter(map(len, sequences), dtype=np.int64, count=len(sequences))
        order = np.argsort(lengths, kind="stable")
        for alike in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
            if not len(alike):
                continue
            width = max(1, int(lengths[alike[0]]) + n_around)
            step = max(1, batch_tokens // width)
            for start in range(0, len(alike), step):
                yield alike[start : start + step], width

    def _padded_batches(
        self, sequences: Sequence[Sequence[int]], batch_tokens: int
    ) -> Iterable[tuple[NDArray[np.int64], int]]:
        """Places of about equally long sequences, the longest first, and the length to pad to.

        What is too large for the memory fails at once, and what is left only gets faster.
        """
        n_around = self._frame_length
        lengths = np.fromiter(map(len, sequences), dtype=np.int64, count=len(sequences))
        order = np.argsort(-lengths, kind="stable")
        most = self.n_positions
        start = 0
        while start < len(order):
            width = _padded_length(max(1, int(lengths[order[start]]) + n_around), most)
            stop = start + max(1, batch_tokens // width)
            yield order[start:stop], width
            start = stop

    def _precision(self) -> AbstractContextManager[object]:
        torch = require("torch", extra="distill", purpose="run the teacher")
        if self.compute_dtype == "float32":
            return nullcontext()
        context: AbstractContextManager[object] = torch.autocast(
            self._device.type, dtype=torch.bfloat16
        )
        return context

    def _vectors(self, batch: Sequence[Sequence[int]], width: int, n_left_out: int = 0) -> Tensor:
        """Vectors of sequences that are padded to `width`, float32 [N, D]."""
        torch = require("torch", extra="distill", purpose="run the teacher")
        states, mask, pooler = self._states(batch, width)
        if n_left_out:
            mask[:, len(self._frame.before) :][:, :n_left_out] = 0
        with torch.autocast(self._device.type, enabled=False):
            vectors = self._pool(states, mask, pooler)
            for layer in self.head.layers:
                vectors = layer(vectors)
        return vectors

    def _states(
        self, batch: Sequence[Sequence[int]], width: int
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Last states [N, L, D], 1 where an id is and 0 at padding [N, L], the pooler's vectors."""
        torch = require("torch", extra="distill", purpose="run the teacher")
        rows = [self._framed(ids) for ids in batch]
        lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
        filled = np.arange(width) < lengths[:, None]
        padded = np.zeros(filled.shape, dtype=np.int64)
        padded[filled] = np.concatenate(rows)
        if self.n_rows is not None and int(padded.max(initial=0)) >= self.n_rows:
            raise FormatError(
                f"token id {int(padded.max())}, expected ids below {self.n_rows}, the rows of the "
                "teacher's input table: tokenizer and weights are of different models"
            )
        ids = torch.from_numpy(padded).to(self._device)
        mask = torch.from_numpy(filled.astype(np.int64)).to(self._device)
        inputs = {"input_ids": ids, "attention_mask": mask}
        if self._takes_types:
            inputs["token_type_ids"] = torch.zeros_like(ids)
        output = self._model(**inputs)
        pooler = getattr(output, "pooler_output", None)
        return output.last_hidden_state.float(), mask.float(), pooler

    @property
    def _batch_tokens(self) -> int:
        return _CPU_BATCH_TOKENS if self._device.type == "cpu" else _GPU_BATCH_TOKENS

    @property
    def _frame_length(self) -> int:
        return len(self._frame.before) + len(self._frame.after)

    def _framed(self, ids: Sequence[int]) -> list[int]:
        return [*self._frame.before, *ids, *self._frame.after] or [0]

    def _pool(self, states: Tensor, mask: Tensor, pooler: Tensor | None) -> Tensor:
        """One vector a sequence, float32 [N, D]."""
        torch = require("torch", extra="distill", purpose="run the teacher")
        if self._modes == ("balanced",):
            own = pool("mean", states, self._own(mask), None)
            share = 0.0 if self._share is None else self._share
            return own if share == 0.0 else share * states[:, 0] + (1.0 - share) * own
        parts = [pool(mode, states, mask, pooler) for mode in self._modes]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)

    def _own(self, mask: Tensor) -> Tensor:
        """The mask without the frame: of each sequence's own ids, float32 [N, L].

        A token without ids, as the unknown one of a word model may be, has its frame alone.
        """
        torch = require("torch", extra="distill", purpose="run the teacher")
        own = mask.clone()
        own[:, : len(self._frame.before)] = 0
        if self._frame.after:
            places = torch.arange(1, mask.shape[1] + 1, device=mask.device)
            ends = (mask * places).amax(dim=1, keepdim=True)
            own[places > ends - len(self._frame.after)] = 0
        chosen: Tensor = torch.where(own.any(dim=1, keepdim=True), own, mask)
        return chosen

    def _measure_share(self, sequences: Sequence[Sequence[int]], batch_tokens: int) -> float:
        """Share of the first state with which it and the token's own vary equally."""
        if not self._frame.before:
            return 0.0
        firsts, owns = [], []
        for batch, width in self._batches(sequences, batch_tokens):
            states, mask, _ = self._states([sequences[i] for i in batch], width)
            firsts.append(states[:, 0].cpu().numpy())
            owns.append(pool("mean", states, self._own(mask), None).cpu().numpy())
        spread_first, spread_own = (
            float(np.sqrt(np.concatenate(parts).var(axis=0, dtype=np.float64).sum()))
            for parts in (firsts, owns)
        )
        if not spread_first > _LEAST_SPREAD * spread_own:
            return 0.0
        return spread_own / (spread_first + spread_own)


def _padded_length(length: int, most: int | None) -> int:
    """`length` rounded up, by 5 % on average.

    Kernels are made, and kept, for each shape of a batch: with all lengths they took 2 GB.
    """
    step = 8 if length > 48 else 4 if length > 16 else 2
    rounded = -(-length // step) * step
    return rounded if most is None else max(length, min(rounded, most))
