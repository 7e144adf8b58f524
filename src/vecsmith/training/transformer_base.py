"""What training a transformer begins with: its files, its weights, its way to read a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import torch

from vecsmith._typing import PathLike
from vecsmith.tokenizer import Tokenizer
from vecsmith.training.distributed import own_device
from vecsmith.training.settings import TransformerSettings
from vecsmith.training.transformer_encoder import TrainedPooling, TransformerEncoder
from vecsmith.training.tuning import apply_tuning
from vecsmith.transformer.loading import choose_dtype, open_device
from vecsmith.transformer.source import (
    TeacherSettings,
    TeacherSource,
    find_teacher,
    read_settings,
)
from vecsmith.transformer.teacher import Frame, read_frame

# Tokens up to which the table of a text's attention is small beside its other activations
_PLAIN_ATTENTION: Final = 256
Precision = Literal["auto", "float32", "bfloat16"]


def chosen_device(asked: str | None) -> str:
    """The torch device that is asked, or for None a CUDA device if there is one, else the CPU.

    Of several processes each has a CUDA device of its own, unless a number is asked for.
    """
    if asked is None:
        asked = "cuda" if torch.cuda.is_available() else "cpu"
    return own_device(asked)


def chosen_precision(asked: Precision, device: str) -> Literal["float32", "bfloat16"]:
    """The type of factors that "auto" means on `device`, or what is asked.

    Raises:
        ValueError: If there is no such type or device.
    """
    return choose_dtype(asked, open_device(device))


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What a run begins with, made by `open_base`.

    Attributes:
        source: Where the transformer is.
        said: What its files say.
        encoder: The transformer in memory.
        pooling: How token states become a vector, None for its own way.
        trust_remote_code: Whether code in its folder may run.
    """

    source: TeacherSource
    said: TeacherSettings
    encoder: TransformerEncoder
    pooling: TrainedPooling | None = None
    trust_remote_code: bool = False


def open_base(
    base: PathLike,
    settings: TransformerSettings,
    *,
    pooling: TrainedPooling | None = None,
    trust_remote_code: bool = False,
) -> Base:
    """A transformer with its files read and its weights in memory, ready for one run.

    Args:
        base: A folder, a Hub id, or `package:NAME`.
        settings: Of the run.
        pooling: How token states become a vector, None for its own way.
        trust_remote_code: Whether code in its folder may run.

    Raises:
        FormatError: If a file is missing or broken.
        HubError: If it could not be fetched.
        ValueError: If it is none of the three, or cannot be trained as `settings` say.
    """
    device = own_device(settings.device)
    open_device(device)
    source = find_teacher(base)
    said = read_settings(source, trust_remote_code=trust_remote_code)
    encoder = TransformerEncoder.from_source(
        source,
        pooling=pooling,
        dropout=settings.dropout,
        gradient_checkpointing=settings.gradient_checkpointing,
        train_dense=settings.train_dense,
        device=device,
        seed=settings.seed,
        trust_remote_code=trust_remote_code,
    )
    apply_tuning(encoder.model, settings.tuning, seed=settings.seed)
    if encoder.device.type == "cpu" and 0 < settings.max_length <= _PLAIN_ATTENTION:
        encoder.attend_plainly()
    return Base(
        source=source,
        said=said,
        encoder=encoder,
        pooling=pooling,
        trust_remote_code=trust_remote_code,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TextReading:
    """How a text becomes ids: the base's tokenizer without specials, and the frame around it."""

    tokenizer: Tokenizer
    frame: Frame
    max_length: int | None

    @classmethod
    def of(
        cls, said: TeacherSettings, settings: TransformerSettings, encoder: TransformerEncoder
    ) -> TextReading:
        """That of a base; refuses a length that it has no room for."""
        frame = read_frame(said.tokenizer_json)
        n_around = len(frame.before) + len(frame.after)
        room = encoder.n_positions
        longest = settings.max_length or said.max_length or room
        if settings.max_length and (
            settings.max_length <= n_around or (room is not None and settings.max_length > room)
        ):
            most = " or more" if room is None else f" to {room}"
            raise ValueError(
                f"max_length {settings.max_length}, expected {n_around + 1}{most}, or 0 for as "
                "many tokens as the model reads"
            )
        return cls(
            tokenizer=Tokenizer(said.tokenizer_json),
            frame=frame,
            max_length=None if longest is None else longest - n_around,
        )
