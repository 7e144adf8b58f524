"""A teacher reading texts for a student: which of its states is which of the student's tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from vecsmith._extras import require
from vecsmith.distillation.teacher_pass import ReadTexts
from vecsmith.distillation.text_encoder import TextEncoder
from vecsmith.distillation.vocabulary import StudentVocabulary


class TextReader:
    """A teacher that reads texts for a student who keeps the teacher's own tokens.

    A state counts for the student's token that the teacher's id at its position became; specials,
    prompts and tokens the student does not have count for none.

    Attributes:
        dim: Length of a vector.
        fingerprint: Hash of all that a pass depends on but the texts.
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
        self.dim = encoder.dim
        self._own = _own_ids(student)
        content = f"{encoder.fingerprint}\0{self._prompt}\0{student.tokenizer_json}"
        self.fingerprint = hashlib.sha256(content.encode()).hexdigest()

    def read(self, texts: Sequence[str]) -> Iterator[ReadTexts]:
        """Batches of `texts` as the teacher read them, the longest first."""
        torch = require("torch", extra="distill", purpose="run the teacher")
        for reading, sequences in self._encoder.read(texts, self._prompt):
            norms = reading.vectors.norm(dim=1, keepdim=True).clamp(min=1e-12)
            rows = reading.filled.nonzero()[:, 0].cpu().numpy()
            ids = self._own_of(sequences, reading.filled.shape[1], reading.filled.cpu().numpy())
            kept = ids >= 0
            states = reading.states / norms[torch.from_numpy(rows).to(norms.device)]
            yield ReadTexts(
                places=reading.places,
                vectors=reading.vectors / norms,
                ids=ids[kept].astype(np.uint32),
                lengths=np.bincount(rows[kept], minlength=len(reading.places)),
                states=states[torch.from_numpy(kept).to(states.device)],
            )

    def _own_of(
        self, sequences: Sequence[Sequence[int]], width: int, filled: NDArray[np.bool_]
    ) -> NDArray[np.int64]:
        """Student ids at the filled positions of a batch, -1 for none, shape [T]."""
        ids = np.full((len(sequences), width), -1, dtype=np.int64)
        n_around = self._encoder.count_prompt(self._prompt) if self._prompt else 0
        for row, sequence in zip(ids, sequences, strict=True):
            row[: len(sequence)] = sequence
            row[:n_around] = -1
        flat = ids[filled]
        flat[flat >= len(self._own)] = -1
        found: NDArray[np.int64] = np.where(flat >= 0, self._own[flat], -1)
        return found


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
