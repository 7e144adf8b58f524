"""Transformers from folders into memory, and what can be told of them there.

The one rule: weights come from safetensors and all of them are read; code runs only where it is
trusted.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any, Literal

from vecsmith._extras import require
from vecsmith.errors import FormatError
from vecsmith.transformer.source import TeacherSource, read_object, transformer_folder

ComputeDtype = Literal["auto", "float32", "bfloat16"]


def open_device(device: str) -> Any:
    """The torch device called `device`.

    Raises:
        ValueError: If there is none of that name here.
    """
    torch = require("torch", extra="distill", purpose="run the teacher")
    try:
        opened = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device {device!r}, expected a torch device such as 'cpu'") from error
    if opened.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {device!r} is not there, expected 'cpu' or a device that is")
    return opened


def load_model(
    source: TeacherSource, compute_dtype: str, trust_remote_code: bool, needs_pooler: bool
) -> Any:
    """The transformer of `source`, ready to run, all of its weights read.

    Args:
        source: Where it is.
        compute_dtype: "bfloat16" keeps weights that are stored so; all others become float32.
        trust_remote_code: Whether code in its folder may run.
        needs_pooler: Whether the weights of its own pooler have to be there.

    Raises:
        FormatError: If it cannot be loaded, or weights are missing.
    """
    torch = require("torch", extra="distill", purpose="run the teacher")
    transformers = require("transformers", extra="distill", purpose="run the teacher")
    safetensors = require("safetensors", extra="distill", purpose="read the teacher's weights")
    body = transformer_folder(source.folder)
    # a bfloat16 checkpoint stays so: half the memory, and its weights hold no more than that
    stored = read_object(body / "config.json")
    kept = compute_dtype == "bfloat16" and "bfloat16" in (
        stored.get("dtype"),
        stored.get("torch_dtype"),
    )
    try:
        with quiet_loading(transformers):
            model, loading = transformers.AutoModel.from_pretrained(
                str(body),
                dtype=torch.bfloat16 if kept else torch.float32,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=trust_remote_code,
                output_loading_info=True,
            )
    except (OSError, ValueError, KeyError, RuntimeError, safetensors.SafetensorError) as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise FormatError(
            f"{body}: the teacher could not be loaded ({type(error).__name__}: {first_line}), "
            "expected a transformers model; fetch it again, or see trust_remote_code"
        ) from error
    unused = ["decoder."] if getattr(model.config, "is_encoder_decoder", False) else []
    if not needs_pooler:
        unused.append("pooler.")  # often left out of a folder, and then made up at random
    missing = sorted(
        str(key)
        for key in loading.get("missing_keys", ())
        if not any(part in f"{key}." for part in unused)
    )
    if missing:
        raise FormatError(
            f"{body / 'model.safetensors'}: tensor {missing[0]} and {len(missing) - 1} more are "
            "missing, expected all weights of the teacher; fetch it again"
        )
    if getattr(model.config, "is_encoder_decoder", False):
        model = model.get_encoder()
    model.config.use_cache = False
    return model.eval()


class quiet_loading:  # noqa: N801  used as `with quiet_loading(...)`
    """Silences the loading report and bar of transformers: an unused head is no news here."""

    def __init__(self, transformers: Any) -> None:
        self._logging = transformers.utils.logging

    def __enter__(self) -> None:
        self._level = self._logging.get_verbosity()
        self._logging.set_verbosity_error()
        self._bar = self._logging.is_progress_bar_enabled()
        self._logging.disable_progress_bar()

    def __exit__(self, *_: object) -> None:
        self._logging.set_verbosity(self._level)
        if self._bar:
            self._logging.enable_progress_bar()


def count_rows(model: Any) -> int | None:
    """Rows of the input table of a transformer; None if that cannot be told."""
    rows = getattr(model.get_input_embeddings(), "num_embeddings", None)
    return rows if isinstance(rows, int) else None


def count_positions(model: Any) -> int | None:
    """Longest sequence that the table of positions has rows for; None without such a table."""
    torch = require("torch", extra="distill", purpose="run the teacher")
    for module in model.modules():
        table = getattr(module, "position_embeddings", None)
        if isinstance(table, torch.nn.Embedding):
            # RoBERTa and its kin count positions from the one after the padding's
            offset = getattr(module, "padding_idx", None)
            return int(table.num_embeddings) - (0 if offset is None else int(offset) + 1)
        for name in ("wpe", "embed_positions"):  # of GPT-2 and of OPT, whose first rows are unused
            table = getattr(module, name, None)
            if isinstance(table, torch.nn.Embedding):
                return int(table.num_embeddings) - int(getattr(table, "offset", 0))
    return None


def takes_types(model: Any) -> bool:
    """Whether the kinds of tokens, all 0, belong to what a transformer reads.

    BERT and its kin have a table of kinds. GPT-2 and its kin look a kind up among the tokens, so
    zeros would add the row of token 0 to every token: a text on its own has no kinds there.
    """
    return takes_kinds(model) and (
        getattr(model.config, "type_vocab_size", None) is not None
        or getattr(model.config, "model_type", None) == "xlnet"
    )


def takes_kinds(model: Any) -> bool:
    """Whether the forward pass of a transformer can be told the kinds of tokens."""
    return "token_type_ids" in inspect.signature(model.forward).parameters


def choose_dtype(asked: ComputeDtype, device: Any) -> Literal["float32", "bfloat16"]:
    """What a forward pass on `device` runs in; "auto" is bfloat16 where the device is fast at it.

    Raises:
        ValueError: If `asked` is none of the three.
    """
    if asked not in ("auto", "float32", "bfloat16"):
        raise ValueError(f"compute_dtype {asked!r}, expected 'auto', 'float32' or 'bfloat16'")
    if asked != "auto":
        return asked
    torch = require("torch", extra="distill", purpose="run the teacher")
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    return "bfloat16" if device.type == "cpu" and _cpu_multiplies_bfloat16() else "float32"


def _cpu_multiplies_bfloat16() -> bool:
    """Whether this CPU has bfloat16 products; without them bfloat16 is slower than float32."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return bool(re.search(r"\b(amx_bf16|avx512_bf16)\b", flags))
