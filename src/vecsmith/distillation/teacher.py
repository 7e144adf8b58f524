"""A transformer in memory, and the vectors it gives to sequences of its token ids."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from vecsmith._extras import require
from vecsmith._files import read_json
from vecsmith.distillation.source import (
    Module,
    TeacherSource,
    describe,
    find_teacher,
    read_modules,
    read_object,
    read_settings,
    transformer_folder,
    weights_digest,
)
from vecsmith.errors import FormatError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "ComputeDtype",
    "Frame",
    "Pooling",
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
ComputeDtype = Literal["auto", "float32", "bfloat16"]
Layer = Callable[["Tensor"], "Tensor"]

# sentence-transformers' names of its pooling modes, old flags and new words, in its own order.
_POOLING_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "last",
}


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


def _read_pooling(folder: Path) -> tuple[str, ...]:
    """The pooling modes of a sentence-transformers Pooling folder; several are concatenated."""
    path = folder / "config.json"
    config = read_json(path)
    if not isinstance(config, dict):
        raise FormatError(f"{path}: {type(config).__name__}, expected an object")
    named = config.get("pooling_mode")
    if named is not None:
        words = [named] if isinstance(named, str) else list(named)
        modes = ["last" if word == "lasttoken" else str(word) for word in words]
    else:
        modes = [mode for flag, mode in _POOLING_FLAGS.items() if config.get(flag)]
    unknown = sorted(set(modes) - set(_POOLING_FLAGS.values()))
    if unknown:
        raise FormatError(
            f"{path}: pooling_mode {unknown}, expected {sorted(set(_POOLING_FLAGS.values()))}"
        )
    return tuple(modes) or ("mean",)


def _read_layer(module: Module) -> Layer | None:
    """What a module after the pooling does to vectors of shape [N, D], or None for nothing."""
    torch = require("torch", extra="distill", purpose="run the teacher")
    if module.kind == "Normalize":
        return lambda vectors: torch.nn.functional.normalize(vectors, dim=-1)
    if module.kind == "Dropout":
        return None  # does nothing outside training
    if module.kind == "Dense":
        return _read_dense(module.folder)
    if module.kind == "StaticEmbedding":
        raise FormatError(
            f"{module.folder / 'modules.json'}: a static model already, expected a transformer"
        )
    raise FormatError(
        f"{module.folder.parent / 'modules.json'}: module {module.kind}, expected Transformer, "
        "Pooling, Dense, Normalize or Dropout"
    )


def _read_dense(folder: Path) -> Layer:
    torch = require("torch", extra="distill", purpose="run the teacher")
    config = read_json(folder / "config.json")
    path = folder / "model.safetensors"
    if not path.is_file():
        raise FormatError(
            f"{folder}: model.safetensors is missing, expected the weights of the Dense module; "
            "a pickle (pytorch_model.bin) is never opened"
        )
    tensors = _load_tensors(path)
    if "linear.weight" not in tensors or not isinstance(config, dict):
        raise FormatError(f"{path}: tensors {sorted(tensors)}, expected linear.weight")
    weight = tensors["linear.weight"].float()
    bias = tensors["linear.bias"].float() if "linear.bias" in tensors else None
    activation = _read_activation(config.get("activation_function"), folder / "config.json")
    residual: Tensor | None = None
    if config.get("use_residual") and "residual.weight" in tensors:
        residual = tensors["residual.weight"].float()

    def apply(vectors: Tensor) -> Tensor:
        output: Tensor = activation(
            torch.nn.functional.linear(
                vectors,
                weight.to(vectors.device),
                None if bias is None else bias.to(vectors.device),
            )
        )
        if config.get("use_residual"):
            through = vectors if residual is None else vectors @ residual.to(vectors.device).T
            output = output + through
        return output

    return apply


def _read_activation(name: object, path: Path) -> Layer:
    """The activation called `name`, only from torch.nn: a config must not name code to run."""
    torch = require("torch", extra="distill", purpose="run the teacher")
    if name is None:
        activation: Layer = torch.nn.Tanh()  # sentence-transformers' default
        return activation
    found = re.fullmatch(r"torch\.nn\.modules\.\w+\.(\w+)|torch\.nn\.(\w+)", str(name))
    kind = getattr(torch.nn, (found[1] or found[2]) if found else "", None)
    if not (isinstance(kind, type) and issubclass(kind, torch.nn.Module)):
        raise FormatError(f"{path}: activation_function {name!r}, expected a torch.nn class")
    activation = kind()
    return activation


def _load_tensors(path: Path) -> dict[str, Tensor]:
    loader = require("safetensors.torch", extra="distill", purpose="read the teacher's weights")
    safetensors = require("safetensors", extra="distill", purpose="read the teacher's weights")
    try:
        tensors: dict[str, Tensor] = loader.load_file(str(path))
    except (safetensors.SafetensorError, OSError) as error:
        raise FormatError(f"{path}: {error}, expected safetensors; fetch it again") from error
    return tensors


class Teacher:
    """A transformer that gives a vector to a sequence of its token ids.

    Attributes:
        dim: Length of its vectors.
        n_rows: Rows of its input table, or None if that cannot be told.
        pooling: Its pooling modes, joined by "+".
        compute_dtype: "float32" or "bfloat16", what its forward pass runs in.
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

        Raises:
            FormatError: If a file is missing or broken.
            MissingExtraError: If torch or transformers are not installed.
        """
        torch = require("torch", extra="distill", purpose="run the teacher")
        own_modes, self._layers = _read_head(source.folder, use_modules)
        if pooling is None and own_modes == ("mean",):
            pooling = "balanced"
        self._modes = own_modes if pooling is None else (pooling,)
        self.pooling = "+".join(self._modes)
        self._frame = Frame() if frame is None else frame
        self._share: float | None = None
        self._device = _open_device(device)
        self.compute_dtype = _choose_dtype(compute_dtype, self._device)
        needs_pooler = "pooler" in self._modes
        model = _load_model(source, self.compute_dtype, trust_remote_code, needs_pooler)
        self._model = model.to(self._device)
        self._takes_types = "token_type_ids" in _parameters(self._model)
        self.n_rows = _count_rows(self._model)
        with torch.inference_mode(), self._precision():
            self.dim = int(self._pool(*self._states([[0]])).shape[1])
        self._share = None

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
        torch = require("torch", extra="distill", purpose="run the teacher")
        vectors = np.empty((len(sequences), self.dim), dtype=np.float32)
        with torch.inference_mode(), self._precision():
            if self._modes == ("balanced",) and len(sequences):
                step = -(-len(sequences) // _BALANCE_SEQUENCES)
                self._share = self._measure_share(sequences[::step], batch_tokens)
            for batch in self._batches(sequences, batch_tokens):
                states = self._states([sequences[i] for i in batch])
                vectors[batch] = self._pool(*states).cpu().numpy()
                if advance is not None:
                    advance(len(batch))
        if not np.isfinite(vectors).all():
            logger.warning("the teacher gave values that are not finite, they become 0")
            np.nan_to_num(vectors, copy=False, posinf=0.0, neginf=0.0)
        return vectors

    def embed_padded(
        self,
        sequences: Sequence[Sequence[int]],
        *,
        batch_size: int = 32,
        advance: Callable[[int], object] | None = None,
    ) -> NDArray[np.float32]:
        """Vectors of `sequences` of token ids, float32, shape [N, D].

        About equally long sequences share a batch and are padded, as sentence-transformers does:
        for texts, few of which are equally long, much faster than `embed` and equal to it but for
        rounding.

        Args:
            sequences: Ids without the frame.
            batch_size: Sequences in one forward pass.
            advance: Called with the number of sequences done since the last call.
        """
        torch = require("torch", extra="distill", purpose="run the teacher")
        vectors = np.empty((len(sequences), self.dim), dtype=np.float32)
        order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]), reverse=True)
        with torch.inference_mode(), self._precision():
            for start in range(0, len(order), batch_size):
                batch = order[start : start + batch_size]
                states, pooler = self._states([sequences[i] for i in batch])
                for row, i in enumerate(batch):
                    n_tokens = len(self._framed(sequences[i]))
                    own = None if pooler is None else pooler[row : row + 1]
                    vectors[i] = self._pool(states[row : row + 1, :n_tokens], own)[0].cpu().numpy()
                if advance is not None:
                    advance(len(batch))
        return vectors

    def _batches(
        self, sequences: Sequence[Sequence[int]], batch_tokens: int
    ) -> Iterable[NDArray[np.int64]]:
        """Places of equally long sequences, at most `batch_tokens` ids at a time."""
        n_around = len(self._frame.before) + len(self._frame.after)
        lengths = np.fromiter(map(len, sequences), dtype=np.int64, count=len(sequences))
        order = np.argsort(lengths, kind="stable")
        for alike in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
            if not len(alike):
                continue
            step = max(1, batch_tokens // max(1, int(lengths[alike[0]]) + n_around))
            for start in range(0, len(alike), step):
                yield alike[start : start + step]

    def _precision(self) -> AbstractContextManager[object]:
        torch = require("torch", extra="distill", purpose="run the teacher")
        if self.compute_dtype == "float32":
            return nullcontext()
        context: AbstractContextManager[object] = torch.autocast(
            self._device.type, dtype=torch.bfloat16
        )
        return context

    def _states(self, batch: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor | None]:
        """Last states, float32 [N, L, D], L the longest's length, and the pooler's vectors."""
        torch = require("torch", extra="distill", purpose="run the teacher")
        rows = [self._framed(ids) for ids in batch]
        ids = torch.zeros((len(rows), max(map(len, rows))), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row, dtype=torch.long)
            mask[i, : len(row)] = 1
        ids = ids.to(self._device)
        inputs = {"input_ids": ids, "attention_mask": mask.to(self._device)}
        if self._takes_types:
            inputs["token_type_ids"] = torch.zeros_like(ids)
        output = self._model(**inputs)
        return output.last_hidden_state.float(), getattr(output, "pooler_output", None)

    def _framed(self, ids: Sequence[int]) -> list[int]:
        return [*self._frame.before, *ids, *self._frame.after] or [0]

    def _pool(self, states: Tensor, pooler: Tensor | None) -> Tensor:
        """One vector a sequence, through the modules after the pooling, float32, [N, D]."""
        torch = require("torch", extra="distill", purpose="run the teacher")
        if self._modes == ("balanced",):
            first, own = self._first_and_own(states)
            share = 0.0 if self._share is None else self._share
            vectors = own if share == 0.0 else share * first + (1.0 - share) * own
        else:
            parts = [_pool(mode, states, pooler) for mode in self._modes]
            vectors = parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)
        with torch.autocast(self._device.type, enabled=False):
            for layer in self._layers:
                vectors = layer(vectors)
        return vectors

    def _first_and_own(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """The state at the first position, and the mean of those of the sequence's own ids."""
        n_before, n_after = len(self._frame.before), len(self._frame.after)
        stop = states.shape[1] - n_after
        # a token without ids, as the unknown one of a word model may be, has its frame alone
        own = states[:, n_before:stop] if stop > n_before else states
        return states[:, 0], own.mean(dim=1)

    def _measure_share(self, sequences: Sequence[Sequence[int]], batch_tokens: int) -> float:
        """Share of the first state with which it and the token's own vary equally."""
        if not self._frame.before:
            return 0.0
        firsts, owns = [], []
        for batch in self._batches(sequences, batch_tokens):
            states, _ = self._states([sequences[i] for i in batch])
            first, own = self._first_and_own(states)
            firsts.append(first.cpu().numpy())
            owns.append(own.cpu().numpy())
        spread_first, spread_own = (
            float(np.sqrt(np.concatenate(parts).var(axis=0, dtype=np.float64).sum()))
            for parts in (firsts, owns)
        )
        if not spread_first > _LEAST_SPREAD * spread_own:
            return 0.0
        return spread_own / (spread_first + spread_own)


def _read_head(folder: Path, use_modules: bool) -> tuple[tuple[str, ...], list[Layer]]:
    """Pooling modes and later modules of a sentence-transformers folder; the mean for others."""
    modes: tuple[str, ...] = ("mean",)
    if not (folder / "modules.json").is_file():
        return modes, []
    modules = read_modules(folder)
    while modules and modules[-1].kind == "Normalize":
        modules.pop()
    layers: list[Layer] = []
    for module in modules:
        if module.kind == "Pooling":
            modes = _read_pooling(module.folder)
        elif module.kind != "Transformer" and use_modules:
            layer = _read_layer(module)
            if layer is not None:
                layers.append(layer)
    return modes, layers


def _open_device(device: str) -> Any:
    torch = require("torch", extra="distill", purpose="run the teacher")
    try:
        opened = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device {device!r}, expected a torch device such as 'cpu'") from error
    if opened.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {device!r} is not there, expected 'cpu' or a device that is")
    return opened


def _pool(mode: str, states: Tensor, pooler: Tensor | None) -> Tensor:
    """One vector a sequence, shape [N, D], from states [N, L, D] without padding."""
    n_tokens = states.shape[1]
    if mode == "mean":
        return states.mean(dim=1)
    if mode == "cls":
        return states[:, 0]
    if mode == "last":
        return states[:, -1]
    if mode == "max":
        return states.amax(dim=1)
    if mode == "mean_sqrt_len_tokens":
        scaled: Tensor = states.sum(dim=1) / n_tokens**0.5
        return scaled
    if mode == "weightedmean":
        steps = states.new_tensor(range(1, n_tokens + 1))
        weighted: Tensor = (states * steps[:, None]).sum(dim=1) / steps.sum()
        return weighted
    if pooler is None:
        raise ValueError(
            "pooling 'pooler' needs a teacher with a pooler output, this one has none, "
            "expected 'mean', 'cls' or 'last'"
        )
    vectors: Tensor = pooler.float()
    return vectors


def _load_model(
    source: TeacherSource, compute_dtype: str, trust_remote_code: bool, needs_pooler: bool
) -> Any:
    """The transformer of `source`, ready to run, all of its weights read."""
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
        with _quiet_loading(transformers):
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


class _quiet_loading:  # noqa: N801  used as `with _quiet_loading(...)`
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


def _count_rows(model: Any) -> int | None:
    rows = getattr(model.get_input_embeddings(), "num_embeddings", None)
    return rows if isinstance(rows, int) else None


def _parameters(model: Any) -> set[str]:
    return set(inspect.signature(model.forward).parameters)


def _choose_dtype(asked: ComputeDtype, device: Any) -> Literal["float32", "bfloat16"]:
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
