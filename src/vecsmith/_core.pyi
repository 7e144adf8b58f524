"""Native engine of vecsmith. Private: import from vecsmith instead."""

from collections.abc import Sequence
from typing import Annotated, overload

import numpy
from numpy.typing import NDArray


def cpu_level(name: str = '') -> str:
    """
    Name of a kernel level this machine runs; the best one for an empty name.
    """

def cpu_levels() -> list[str]:
    """Names of the kernel levels that this machine runs, weakest first."""

class TokenizerSettings:
    """A tokenizer as plain values, given part by part."""

    def __init__(self) -> None: ...

    def normalize_bert(self, clean_text: bool, handle_chinese_chars: bool, strip_accents: bool, lowercase: bool) -> None: ...

    def normalize_lowercase(self) -> None: ...

    def normalize_nfc(self) -> None: ...

    def normalize_nfd(self) -> None: ...

    def normalize_nfkc(self) -> None: ...

    def normalize_nfkd(self) -> None: ...

    def normalize_nmt(self) -> None: ...

    def normalize_precompiled(self, charsmap: bytes) -> None: ...

    def normalize_prepend(self, prefix: str) -> None: ...

    def normalize_replace(self, pattern: str, is_regex: bool, content: str) -> None: ...

    def normalize_strip(self, left: bool, right: bool) -> None: ...

    def normalize_strip_accents(self) -> None: ...

    def split_bert(self) -> None: ...

    def split_byte_level(self, add_prefix_space: bool, use_regex: bool) -> None: ...

    def split_delimiter(self, delimiter: int) -> None: ...

    def split_digits(self, individual_digits: bool) -> None: ...

    def split_metaspace(self, replacement: int, prepend: str, split: bool) -> None: ...

    def split_pattern(self, pattern: str, is_regex: bool, behavior: str, invert: bool) -> None: ...

    def split_punctuation(self, behavior: str) -> None: ...

    def split_whitespace(self) -> None: ...

    def split_whitespace_split(self) -> None: ...

    def model_bpe(self, tokens: Sequence[str], ids: Annotated[NDArray[numpy.uint32], dict(shape=(None,), order='C', device='cpu', writable=False)], merges: Annotated[NDArray[numpy.uint32], dict(shape=(None, 3), order='C', device='cpu', writable=False)], unk_id: int | None, byte_level: bool, byte_fallback: bool, fuse_unk: bool, ignore_merges: bool) -> None: ...

    def model_unigram(self, tokens: Sequence[str], scores: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], unk_id: int, byte_fallback: bool) -> None: ...

    def model_word_level(self, tokens: Sequence[str], ids: Annotated[NDArray[numpy.uint32], dict(shape=(None,), order='C', device='cpu', writable=False)], unk_id: int) -> None: ...

    def model_wordpiece(self, tokens: Sequence[str], ids: Annotated[NDArray[numpy.uint32], dict(shape=(None,), order='C', device='cpu', writable=False)], unk_id: int, continuing_subword_prefix: str, max_input_chars_per_word: int) -> None: ...

    def add_token(self, content: str, id: int, single_word: bool, lstrip: bool, rstrip: bool, normalized: bool) -> None: ...

class Tokenizer:
    """Text -> token ids."""

    def __init__(self, settings: TokenizerSettings, cpu_level: str = '') -> None: ...

    def encode(self, texts: list, max_length: int | None, keep_end: bool, n_threads: int) -> tuple:
        """Ids of all texts in one array, and n + 1 offsets into it."""

    def normalize(self, text: str) -> str:
        """Normalised form of a text."""

    @property
    def max_id(self) -> int:
        """Largest id it gives."""

class Table:
    """Rows, and the row and the factor of each token id."""

    def __init__(self, rows: Annotated[NDArray, dict(shape=(None, None), order='C', device='cpu', writable=False)], weights: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, mapping: Annotated[NDArray[numpy.uint32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None) -> None: ...

    @staticmethod
    def bfloat16(rows: Annotated[NDArray[numpy.uint16], dict(shape=(None, None), order='C', device='cpu', writable=False)], weights: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, mapping: Annotated[NDArray[numpy.uint32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None) -> Table:
        """A table of bfloat16 numbers, given as their bits."""

    @staticmethod
    def int16(codes: Annotated[NDArray[numpy.int16], dict(shape=(None, None), order='C', device='cpu', writable=False)], scales: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], weights: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, mapping: Annotated[NDArray[numpy.uint32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None) -> Table:
        """A table of 16-bit codes with a scale for each column."""

    @staticmethod
    def int4(codes: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order='C', device='cpu', writable=False)], scales: Annotated[NDArray[numpy.uint16], dict(shape=(None, None), order='C', device='cpu', writable=False)], levels: Annotated[NDArray[numpy.int8], dict(shape=(None,), order='C', device='cpu', writable=False)], dim: int, weights: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, mapping: Annotated[NDArray[numpy.uint32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None) -> Table:
        """
        A table of four bits a column, in groups of 32 with a bfloat16 scale each.
        """

class EncodeSettings:
    """What holds for every text of an encoding."""

    def __init__(self, max_length: int | None, keep_end: bool, dim: int, normalize: bool, dropped_id: int | None, output: str = 'float32') -> None: ...

    @property
    def max_length(self) -> int | None: ...

class Pooler:
    """Token ids -> vectors."""

    def __init__(self, table: Table, cpu_level: str = '') -> None: ...

    def pool(self, ids: Annotated[NDArray[numpy.uint32], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], out: Annotated[NDArray, dict(shape=(None, None), order='C', device='cpu')], settings: EncodeSettings, n_threads: int) -> None:
        """
        Writes one vector to `out` for each pair of neighbouring offsets into `ids`.
        """

class Encoder:
    """Texts -> vectors."""

    def __init__(self, tokenizer: Tokenizer, table: Table, cpu_level: str = '') -> None: ...

    def encode_one(self, text: object, out: object, settings: EncodeSettings) -> None:
        """Writes the vector of one text to `out`, an array of one row."""

    def encode(self, texts: list, begin: int, end: int, out: Annotated[NDArray, dict(shape=(None, None), order='C', device='cpu')], settings: EncodeSettings, n_threads: int) -> None:
        """
        Writes the vectors of texts[begin:end] to `out`; the list must be the caller's own.
        """

    @overload
    def encode_utf8(self, bytes: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], out: Annotated[NDArray, dict(shape=(None, None), order='C', device='cpu')], settings: EncodeSettings, n_threads: int) -> None: ...

    @overload
    def encode_utf8(self, bytes: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], out: Annotated[NDArray, dict(shape=(None, None), order='C', device='cpu')], settings: EncodeSettings, n_threads: int) -> None:
        """
        Writes one vector to `out` for each pair of neighbouring offsets into `bytes`.
        """

    def encode_views(self, views: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order='C', device='cpu', writable=False)], buffers: Sequence[Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cpu', writable=False)]], out: Annotated[NDArray, dict(shape=(None, None), order='C', device='cpu')], settings: EncodeSettings, n_threads: int) -> None:
        """Writes one vector to `out` for each of Arrow's string views."""

    def encode_lines(self, bytes: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cpu', writable=False)], begin: int, end: int, out: Annotated[NDArray, dict(shape=(None, None), order='C', device='cpu')], settings: EncodeSettings, n_threads: int) -> None:
        """Writes one vector to `out` for each line of bytes[begin:end]."""

def run_of_lines(bytes: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cpu', writable=False)], begin: int, max_lines: int, max_bytes: int) -> tuple:
    """
    How many lines from `begin` on fit the bounds, one at least, and where they end.
    """

class MemoryPool:
    """Working memory kept for the next use."""

    def __init__(self) -> None: ...

    def vectors(self, n_rows: int, dim: int) -> Annotated[NDArray[numpy.float32], dict(shape=(None, None))]:
        """
        An array of the pool's memory that holds anything; it goes back when it is let go.
        """

    def release(self) -> None:
        """Returns idle memory to the system."""

class TouchedRows:
    """Which texts each row of a table is in."""

    def __init__(self, bags: Sequence[tuple[Annotated[NDArray[numpy.uint32], dict(shape=(None,), order='C', device='cpu', writable=False)], Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)]]], n_rows: int) -> None: ...

    @property
    def ids(self) -> Annotated[NDArray[numpy.int64], dict(shape=(None,))]:
        """Rows that occur, ascending."""

    def gather(self, d_vectors: Sequence[Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)]], table: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, token_weights: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, out_rows: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')], out_weights: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu')] | None, out_squares: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu')], pool: MemoryPool, n_threads: int, cpu_level: str = '') -> None:
        """Writes gradients of the rows, given those of the texts' means."""

def mean_rows(table: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], token_weights: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, ids: Annotated[NDArray[numpy.uint32], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], out: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')], pool: MemoryPool, n_threads: int, cpu_level: str = '') -> None:
    """Writes the mean of each text's rows, times their weights."""

def adam_rows(values: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')], first: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')], second: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')], ids: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], gradients: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], touched: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], beta1: float, beta2: float, eps: float, rate: float, weight_decay: float, clip: float, step: int, n_threads: int, cpu_level: str = '') -> None:
    """
    Moves rows by one step of AdamW; the clocks in `touched` are left as they are.
    """

def nested_info_nce(queries: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], candidates: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], lengths: Sequence[int], weights: Sequence[float], temperature: float, query_keys: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, candidate_keys: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, both_directions: bool, bfloat16: bool, d_queries: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')], d_candidates: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')], pool: MemoryPool, n_threads: int, cpu_level: str = '') -> float:
    """InfoNCE summed over prefixes; writes its gradients."""

def top_k(queries: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], rows: Annotated[NDArray, dict(shape=(None, None), device='cpu', writable=False)], dim: int, factors: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, offsets: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, allowed: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, out_places: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu')], out_scores: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')], n_threads: int, cpu_level: str = '') -> None:
    """Writes the best rows for each query."""

def rescore(queries: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], rows: Annotated[NDArray, dict(shape=(None, None), device='cpu', writable=False)], dim: int, factors: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, offsets: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, candidates: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], out_places: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu')], out_scores: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')], n_threads: int, cpu_level: str = '') -> None:
    """Writes the best of each query's own candidates."""

def prefix_squares(rows: Annotated[NDArray, dict(shape=(None, None), device='cpu', writable=False)], dims: Sequence[int], out: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')], n_threads: int, cpu_level: str = '') -> None:
    """Writes the sums of squares of rows' prefixes."""
