"""A teacher reading texts for a student: which of its states is which of the student's tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecsmith._extras import require
from vecsmith._files import parse_json
from vecsmith.distillation.alignment import align, tokens_of
from vecsmith.distillation.teacher_pass import ReadTexts
from vecsmith.distillation.vocabulary import StudentVocabulary
from vecsmith.transformer.teacher import Reading
from vecsmith.transformer.text_encoder import TextEncoder, without_surrogates

# Characters after the last that the teacher read which the student's cutting of it may depend on
_BEYOND = 256


class TextReader:
    """A teacher that reads texts for a student.

    Where the student cuts texts as the teacher does, a state counts for the student's token that
    the teacher's id at its position became. Elsewhere (words of one's own, a tokenizer that was
    changed) the student cuts the text too, and each of its tokens has the mean of the states of
    the teacher's tokens that it shares characters with. Specials, prompts and tokens the student
    does not have count for none. A text whose vector is not finite has no tokens and the vector 0.

    Attributes:
        dim: Length of a vector.
        fingerprint: Hash of all that a pass depends on but the texts.
        is_aligned: Whether the student cuts texts its own way.
    """

    def __init__(
        self, encoder: TextEncoder, student: StudentVocabulary, *, prompt: str | None = None
    ) -> None:
        """Makes one.

        Args:
            encoder: The teacher.
            student: Whose tokens are counted.
            prompt: Text put before each, not counted; None for the teacher's default.
        """
        self._encoder = encoder
        self._prompt = encoder.prompt_text(prompt)
        self._own = _own_ids(student)
        self._student_ids = np.arange(len(student.tokens))
        if student.unk_id is not None:
            self._student_ids[student.unk_id] = -1
        self.dim = encoder.dim
        # after a prompt a text may be cut otherwise than at the beginning
        self.is_aligned = bool(self._prompt) or not _cuts_alike(encoder, student)
        self._cutter = _open_cutter(student.tokenizer_json) if self.is_aligned else None
        teacher = encoder.fingerprint or f"{encoder.name} {encoder.source.revision}"
        content = f"{teacher}\0{self._prompt}\0{student.tokenizer_json}"
        self.fingerprint = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()

    def read(self, texts: Sequence[str]) -> Iterator[ReadTexts]:
        """Batches of `texts` as the teacher read them, the longest first."""
        torch = require("torch", extra="distill", purpose="run the teacher")
        batches = self._encoder.read(texts, self._prompt, with_offsets=self.is_aligned)
        for reading, encodings in batches:
            finite = torch.isfinite(reading.vectors).all(dim=1, keepdim=True)
            vectors = torch.where(finite, reading.vectors, 0.0)
            norms = vectors.norm(dim=1, keepdim=True).clamp(min=1e-12)
            rows, ids, states = self._tokens(reading, encodings, texts)
            counted = finite[:, 0].cpu().numpy()[rows]
            counted &= torch.isfinite(states).all(dim=1).cpu().numpy()
            chosen = torch.from_numpy(np.flatnonzero(counted)).to(states.device)
            of_text = torch.from_numpy(rows[counted]).to(states.device)
            yield ReadTexts(
                places=reading.places,
                vectors=vectors / norms,
                ids=ids[counted].astype(np.uint32),
                lengths=np.bincount(rows[counted], minlength=len(reading.places)),
                states=states[chosen] / norms[of_text],
            )

    def _tokens(
        self, reading: Reading, encodings: list[Any], texts: Sequence[str]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], Any]:
        """The student's tokens in a batch: text of each [S], ids [S] and states [S, D]."""
        if self.is_aligned:
            return self._aligned(reading, encodings, [texts[i] for i in reading.places])
        torch = require("torch", extra="distill", purpose="run the teacher")
        filled = reading.filled.cpu().numpy()
        ids = self._own_of([e.ids for e in encodings], filled)
        known = ids >= 0
        chosen = torch.from_numpy(np.flatnonzero(known)).to(reading.states.device)
        return np.nonzero(filled)[0][known], ids[known], reading.states[chosen]

    def _own_of(
        self, sequences: Sequence[Sequence[int]], filled: NDArray[np.bool_]
    ) -> NDArray[np.int64]:
        """Student ids at the filled positions of a batch, -1 for none, shape [T]."""
        ids = np.full(filled.shape, -1, dtype=np.int64)
        for row, sequence in zip(ids, sequences, strict=True):
            row[: len(sequence)] = sequence
        flat = np.minimum(ids[filled], len(self._own))
        found: NDArray[np.int64] = np.append(self._own, -1)[flat]
        return found

    def _aligned(
        self, reading: Reading, encodings: list[Any], texts: list[str]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], Any]:
        """As `_tokens`, where the student cuts the texts its own way."""
        torch = require("torch", extra="distill", purpose="run the teacher")
        assert self._cutter is not None
        teacher, places = tokens_of(encodings, self._own, begin=len(self._prompt))
        stops = np.zeros(len(texts), dtype=np.int64)
        np.maximum.at(stops, teacher.rows, teacher.ends + _BEYOND)
        seen = [without_surrogates(text[:n]) for text, n in zip(texts, stops, strict=True)]
        cut = self._cutter.encode_batch(seen, add_special_tokens=False)
        student, _ = tokens_of(cut, self._student_ids)
        found = align(student, teacher)
        device, width = reading.states.device, reading.states.shape[1]
        states = torch.zeros((int(found.kept.sum()), width), device=device)
        shares = torch.from_numpy(found.shares).to(device)[:, None]
        right = torch.from_numpy(places[found.right]).to(device)
        states.index_add_(
            0, torch.from_numpy(found.left).to(device), reading.states[right] * shares
        )
        rows, ids = student.rows[found.kept], student.ids[found.kept]
        known = ids >= 0
        return rows[known], ids[known], states[torch.from_numpy(np.flatnonzero(known)).to(device)]


def _own_ids(student: StudentVocabulary) -> NDArray[np.int64]:
    """The student's id of each of the teacher's, -1 where it has none, shape [teacher ids]."""
    pairs = [
        (sequence[0], i)
        for i, sequence in enumerate(student.sequences[: student.n_teacher])
        if len(sequence) == 1 and i != student.unk_id
    ]
    own = np.full(max((t for t, _ in pairs), default=-1) + 1, -1, dtype=np.int64)
    for teacher_id, i in pairs:
        own[teacher_id] = i
    return own


def _cuts_alike(encoder: TextEncoder, student: StudentVocabulary) -> bool:
    """Whether the student cuts every text as the teacher does, but for tokens no text holds."""
    if len(student.tokens) > student.n_teacher or encoder.lowercase:
        return False
    ours = parse_json(student.tokenizer_json, source="the student's tokenizer.json")
    theirs = parse_json(encoder.tokenizer_json, source="the teacher's tokenizer.json")
    if any(ours.get(part) != theirs.get(part) for part in ("normalizer", "pre_tokenizer")):
        return False
    return _never_made(theirs, ours)


def _never_made(theirs: dict[str, Any], ours: dict[str, Any]) -> bool:
    """Whether all tokens that were taken out are ones that no text is cut into."""
    model, kept = theirs["model"], ours["model"]
    if model["type"] != kept["type"]:
        return False
    added = {token["content"] for token in theirs.get("added_tokens") or ()}
    removed = _names(model) - _names(kept) - added
    # a bracketed word is cut at its brackets before a WordPiece model sees it
    split = model["type"] == "WordPiece" and theirs.get("pre_tokenizer") in (
        {"type": "BertPreTokenizer"},
    )
    return all(split and name[:1] == "[" and name[-1:] == "]" for name in removed)


def _names(model: dict[str, Any]) -> set[str]:
    vocabulary = model["vocab"]
    if isinstance(vocabulary, dict):
        return set(vocabulary)
    return {item[0] for item in vocabulary}


def _open_cutter(tokenizer_json: str) -> Any:
    tokenizers = require("tokenizers", extra="distill", purpose="cut texts for the student")
    tokenizer = tokenizers.Tokenizer.from_str(tokenizer_json)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer
