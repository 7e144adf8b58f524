"""The private module: what it takes, what it refuses and what it keeps alive."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import weakref
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecsmith import _core
from vecsmith.formats import Checkpoint, read_tokenizer
from vecsmith.formats.tokenizer_json import WordPieceModel

ROOT = Path(__file__).resolve().parents[2]
DIM = 16
SETTINGS = _core.EncodeSettings(None, False, DIM, False, None)
LEVELS = "expected baseline, neon, sse4, avx2, avx512 or amx"
NAMES = [
    "EncodeSettings",
    "Encoder",
    "MemoryPool",
    "Pooler",
    "Table",
    "Tokenizer",
    "TokenizerSettings",
    "TouchedRows",
    "adam_rows",
    "cpu_level",
    "cpu_levels",
    "mean_rows",
    "nested_info_nce",
    "prefix_squares",
    "rescore",
    "run_of_lines",
    "top_k",
]


@pytest.fixture
def tokenizer(tiny_tokenizer_json: str) -> _core.Tokenizer:
    return make_tokenizer(tiny_tokenizer_json)


def make_tokenizer(tokenizer_json: str, **changes: Any) -> _core.Tokenizer:
    native = read_tokenizer(tokenizer_json).native
    assert native is not None
    assert isinstance(native.model, WordPieceModel)
    model: dict[str, Any] = {
        "tokens": native.model.tokens,
        "ids": native.model.ids,
        "unk_id": native.model.unk_id,
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
    }
    settings = _core.TokenizerSettings()
    settings.normalize_bert(
        clean_text=True, handle_chinese_chars=True, strip_accents=True, lowercase=True
    )
    settings.split_bert()
    settings.model_wordpiece(**{**model, **changes})
    return _core.Tokenizer(settings)


def pooler_of(rows: Any, weights: Any, mapping: Any) -> _core.Pooler:
    return _core.Pooler(_core.Table(rows, weights, mapping))


def encoder_of(tokenizer: _core.Tokenizer, rows: Any, weights: Any, mapping: Any) -> _core.Encoder:
    return _core.Encoder(tokenizer, _core.Table(rows, weights, mapping))


def encode(encoder: _core.Encoder, texts: list[Any], **changes: Any) -> Any:
    options: dict[str, Any] = {
        "begin": 0,
        "end": len(texts),
        "out": np.full((len(texts), DIM), 7, dtype=np.float32),
        "settings": SETTINGS,
        "n_threads": 1,
    }
    options.update(changes)
    encoder.encode(texts, **options)
    return options["out"]


def pool(pooler: _core.Pooler, ids: Any, offsets: Any, **changes: Any) -> Any:
    options: dict[str, Any] = {
        "out": np.full((max(len(offsets) - 1, 0), DIM), 7, dtype=np.float32),
        "settings": SETTINGS,
        "n_threads": 1,
    }
    options.update(changes)
    pooler.pool(ids, offsets, **options)
    return options["out"]


def ids_of(*values: int) -> Any:
    return np.array(values, dtype=np.uint32)


def offsets_of(*values: int) -> Any:
    return np.array(values, dtype=np.int64)


@pytest.mark.parametrize("dtype", ["float64", "int16", "uint8", "int32"])
def test_a_table_of_another_type_is_refused_by_its_name(
    tokenizer: _core.Tokenizer, dtype: str
) -> None:
    table = np.zeros((100, DIM), dtype=dtype)
    for make in (
        lambda: pooler_of(table, None, None),
        lambda: encoder_of(tokenizer, table, None, None),
    ):
        with pytest.raises(
            TypeError, match=f"table is of {dtype}, expected float32, float16 or int8"
        ):
            make()


@pytest.mark.parametrize(
    ("weights", "mapping"),
    [
        (np.ones(3, dtype=np.float64), None),
        (np.ones((3, 1), dtype=np.float32), None),
        (np.ones(6, dtype=np.float32)[::2], None),
        ([1.0, 1.0, 1.0], None),
        (None, np.zeros(3, dtype=np.int64)),
        (None, np.zeros(3, dtype=np.int32)),
    ],
)
def test_weights_and_mappings_are_never_converted_in_silence(weights: Any, mapping: Any) -> None:
    with pytest.raises(TypeError, match=r"dtype=float32.*dtype=uint32"):
        pooler_of(np.zeros((3, DIM), dtype=np.float32), weights, mapping)


@pytest.mark.parametrize(
    "table",
    [
        np.zeros(3, dtype=np.float32),
        np.zeros((3, 4, 5), dtype=np.float32),
        np.zeros((3, 8), dtype=np.float32)[:, ::2],
        np.zeros((3, 8), dtype=np.float32).T,
    ],
    ids=["1d", "3d", "strided", "transposed"],
)
def test_a_table_that_is_no_plain_matrix_is_refused(table: Any) -> None:
    with pytest.raises(TypeError, match="incompatible"):
        pooler_of(table, None, None)


def test_parts_of_a_table_that_do_not_fit_are_refused_with_their_sizes() -> None:
    table = np.zeros((3, DIM), dtype=np.float32)
    with pytest.raises(ValueError, match="2 token weights for 3 rows"):
        pooler_of(table, np.ones(2, dtype=np.float32), None)
    with pytest.raises(ValueError, match="2 weights for a mapping of 4 tokens"):
        pooler_of(table, np.ones(2, dtype=np.float32), ids_of(0, 1, 2, 0))
    with pytest.raises(ValueError, match="mapping of token 1 is row 3 but there are 3 rows"):
        pooler_of(table, None, ids_of(0, 3))
    with pytest.raises(ValueError, match="0 dimensions"):
        pooler_of(np.zeros((3, 0), dtype=np.float32), None, None)


def test_ids_and_offsets_that_point_nowhere_are_refused() -> None:
    pooler = pooler_of(np.ones((3, DIM), dtype=np.float32), None, None)
    with pytest.raises(IndexError, match="token id 3 but the table has 3 tokens"):
        pool(pooler, ids_of(0, 3), offsets_of(0, 2))
    for offsets in (offsets_of(0, 3), offsets_of(1, 0), offsets_of(-1, 1)):
        with pytest.raises(IndexError, match="offsets"):
            pool(pooler, ids_of(0, 1), offsets)
    with pytest.raises(TypeError, match="incompatible"):
        pool(pooler, np.array([0]), offsets_of(0, 1))
    assert pool(pooler, ids_of(), offsets_of()).shape == (0, DIM)
    np.testing.assert_array_equal(pool(pooler, ids_of(), offsets_of(0, 0)), np.zeros((1, DIM)))


@pytest.mark.parametrize(
    ("out", "dim"),
    [
        (np.zeros((2, DIM), dtype=np.float32), DIM),
        (np.zeros((1, DIM), dtype=np.float32), DIM - 1),
        (np.zeros((1, 0), dtype=np.float32), 0),
        (np.zeros((1, DIM + 1), dtype=np.float32), DIM + 1),
    ],
)
def test_an_out_of_another_shape_is_refused(tokenizer: _core.Tokenizer, out: Any, dim: int) -> None:
    table = np.zeros((tokenizer.max_id + 1, DIM), dtype=np.float32)
    encoder = encoder_of(tokenizer, table, None, None)
    settings = _core.EncodeSettings(None, False, dim, False, None)
    with pytest.raises(ValueError, match=r"out is \["):
        encode(encoder, ["a"], out=out, settings=settings)
    with pytest.raises(ValueError, match=r"out is \["):
        encoder.encode_one("a", out, settings)
    with pytest.raises(ValueError, match=r"out is \["):
        pool(pooler_of(table, None, None), ids_of(0), offsets_of(0, 1), out=out, settings=settings)


def test_a_vector_at_an_odd_address_is_refused(tokenizer: _core.Tokenizer) -> None:
    encoder = blank_encoder(tokenizer)
    out = np.zeros(4 * DIM + 1, dtype=np.uint8)[1:].view(np.float32)
    with pytest.raises(TypeError, match="out is of type '=f', expected 'f'"):
        encoder.encode_one("a", out, SETTINGS)


def test_an_out_that_cannot_be_written_is_refused(tokenizer: _core.Tokenizer) -> None:
    encoder = encoder_of(
        tokenizer, np.zeros((tokenizer.max_id + 1, DIM), dtype=np.float32), None, None
    )
    read_only = np.zeros((1, DIM), dtype=np.float32)
    read_only.flags.writeable = False
    for out in (read_only, np.zeros((1, DIM)), np.zeros((1, 2 * DIM), dtype=np.float32)[:, ::2]):
        with pytest.raises(TypeError, match=r"incompatible|out is not of float32"):
            encode(encoder, ["a"], out=out)
        with pytest.raises(
            (TypeError, ValueError, BufferError), match=r"out is|read-only|contiguous"
        ):
            encoder.encode_one("a", out, SETTINGS)


def test_a_read_only_table_is_taken_without_a_copy(tokenizer: _core.Tokenizer) -> None:
    table = np.ones((tokenizer.max_id + 1, DIM), dtype=np.float32)
    view = table.view()
    view.flags.writeable = False
    encoder = encoder_of(tokenizer, view, None, None)
    assert encode(encoder, ["cat"])[0, 0] == 1
    table[:] = 3  # seen through the same memory
    assert encode(encoder, ["cat"])[0, 0] == 3


def test_arrays_and_tokenizer_live_as_long_as_the_encoder(tiny_tokenizer_json: str) -> None:
    tokenizer = make_tokenizer(tiny_tokenizer_json)
    n = tokenizer.max_id + 1
    table, weights = np.ones((n, DIM), dtype=np.float32), np.full(n, 2, dtype=np.float32)
    mapping = np.zeros(n, dtype=np.uint32)
    kept = [weakref.ref(array) for array in (table, weights, mapping)]
    encoder = encoder_of(tokenizer, table, weights, mapping)
    del tokenizer, table, weights, mapping
    gc.collect()
    assert all(array() is not None for array in kept)
    np.testing.assert_array_equal(encode(encoder, ["cat"]), np.full((1, DIM), 2))
    del encoder
    gc.collect()
    assert all(array() is None for array in kept)


def test_a_table_too_small_for_the_tokenizer_is_refused(tokenizer: _core.Tokenizer) -> None:
    n = tokenizer.max_id
    with pytest.raises(ValueError, match=f"ids up to {n} but the table has {n} tokens"):
        encoder_of(tokenizer, np.zeros((n, DIM), dtype=np.float32), None, None)


def test_tokens_and_ids_of_different_number_are_refused(tiny_tokenizer_json: str) -> None:
    with pytest.raises(ValueError, match="tokens but 1 ids"):
        make_tokenizer(tiny_tokenizer_json, ids=ids_of(0))
    with pytest.raises(TypeError, match="incompatible"):
        make_tokenizer(tiny_tokenizer_json, ids=np.array([0]))


def test_steps_that_the_engine_cannot_take_are_refused_by_their_words() -> None:
    settings = _core.TokenizerSettings()
    with pytest.raises(ValueError, match=r"no matcher for the regular expression \(\?<=a\)b"):
        settings.normalize_replace("(?<=a)b", True, "c")
    with pytest.raises(ValueError, match="'Isolated', expected a name such as 'removed'"):
        settings.split_punctuation("Isolated")
    with pytest.raises(ValueError, match="'last', expected a name such as 'always'"):
        settings.split_metaspace(0x2581, "last", True)
    with pytest.raises(TypeError, match="incompatible"):
        settings.model_bpe(
            tokens=["a"],
            ids=ids_of(0),
            merges=np.zeros((0, 2), dtype=np.uint32),
            unk_id=None,
            byte_level=False,
            byte_fallback=False,
            fuse_unk=False,
            ignore_merges=False,
        )


def test_what_is_no_str_is_named_by_its_place(tokenizer: _core.Tokenizer) -> None:
    encoder = encoder_of(
        tokenizer, np.zeros((tokenizer.max_id + 1, DIM), dtype=np.float32), None, None
    )
    for wrong, name in ((None, "NoneType"), (b"x", "bytes"), (1, "int"), (["x"], "list")):
        with pytest.raises(TypeError, match=f"text 1 is of type {name}, expected str"):
            encode(encoder, ["a", wrong])
    with pytest.raises(TypeError, match="incompatible"):
        tokenizer.encode(("a",), None, False, 1)  # type: ignore[arg-type]
    with pytest.raises(IndexError, match="texts 1 to 3 of 2"):
        encode(encoder, ["a", "b"], begin=1, end=3)
    np.testing.assert_array_equal(
        encode(encoder, ["a", "b"], begin=1, end=2, out=np.ones((1, DIM), dtype=np.float32)),
        np.zeros((1, DIM)),
    )


def blank_encoder(tokenizer: _core.Tokenizer) -> _core.Encoder:
    return encoder_of(
        tokenizer, np.zeros((tokenizer.max_id + 1, DIM), dtype=np.float32), None, None
    )


def row_encoder(tokenizer: _core.Tokenizer) -> _core.Encoder:
    """Each token has other rows than the others."""
    table = np.arange((tokenizer.max_id + 1) * DIM, dtype=np.float32).reshape(-1, DIM)
    return encoder_of(tokenizer, table, None, None)


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_utf8_offsets_that_point_nowhere_are_refused(
    tokenizer: _core.Tokenizer, dtype: Any
) -> None:
    encoder = blank_encoder(tokenizer)
    text, out = np.frombuffer(b"cat dog", dtype=np.uint8), np.zeros((1, DIM), dtype=np.float32)
    for offsets in ((0, 8), (-1, 3), (4, 3)):
        with pytest.raises(IndexError, match="text 0 runs from byte"):
            encoder.encode_utf8(text, np.array(offsets, dtype=dtype), out, SETTINGS, 1)
    with pytest.raises(TypeError, match="incompatible"):
        encoder.encode_utf8(text, np.array([0, 3], dtype=np.uint64), out, SETTINGS, 1)


def view_of(n_bytes: int, buffer: int, begin: int) -> Any:
    """A string view as Arrow's format describes it, of a text that is not in the view."""
    return np.array([[n_bytes, 0, buffer, begin]], dtype=np.int32).view(np.uint8)


def test_string_views_that_point_nowhere_are_refused(tokenizer: _core.Tokenizer) -> None:
    encoder = blank_encoder(tokenizer)
    buffers = [np.frombuffer(b"hello world the cat", dtype=np.uint8)]
    out = np.zeros((1, DIM), dtype=np.float32)
    encoder.encode_views(view_of(19, 0, 0), buffers, out, SETTINGS, 1)
    for wrong in ((20, 0, 0), (13, 0, 7), (13, 1, 0), (13, -1, 0), (13, 0, -1), (-1, 0, 0)):
        with pytest.raises(IndexError, match=r"text 0 is -?[0-9]+ bytes at"):
            encoder.encode_views(view_of(*wrong), buffers, out, SETTINGS, 1)
    for most in (2**31 - 1, -(2**31)):
        with pytest.raises(IndexError, match="text 0 is"):
            encoder.encode_views(view_of(most, 0, most), buffers, out, SETTINGS, 1)
    with pytest.raises(ValueError, match="views of 8 bytes, expected 16"):
        encoder.encode_views(np.zeros((1, 8), dtype=np.uint8), buffers, out, SETTINGS, 1)


def test_a_text_alone_gets_the_bits_that_it_gets_among_others(tokenizer: _core.Tokenizer) -> None:
    encoder = row_encoder(tokenizer)
    for text in ("", "the cat sat", "d\u00e9j\u00e0 \u732b", "a\ud800b", "the cat " * 400):
        out = np.full(DIM, 7, dtype=np.float32)
        encoder.encode_one(text, out, SETTINGS)
        np.testing.assert_array_equal(out, encode(encoder, ["dog", text])[1])
    for wrong, name in ((1, "int"), (b"x", "bytes"), (["x"], "list")):
        with pytest.raises(TypeError, match=f"text 0 is of type {name}, expected str"):
            encoder.encode_one(wrong, np.zeros(DIM, dtype=np.float32), SETTINGS)


class Named(str):
    """A string of a type of its own, as some libraries have them."""


@pytest.mark.parametrize(
    "text", ["na\u00efve", "\u0431\u043b\u043e\u043a", "a \U0001f600", "plain"]
)
def test_strings_of_every_width_are_read_and_stay_as_they_are(
    tokenizer: _core.Tokenizer, text: str
) -> None:
    one, _ = tokenizer.encode([text + " "], None, False, 1)
    counts = [1, 3, 400_000, 7, 100_000, 250_000]  # copies that share a block, and that do not
    texts = [f"{text} " * n for n in counts]
    sizes = [sys.getsizeof(each) for each in texts]
    ids, offsets = tokenizer.encode([*texts, Named(text)], None, False, 1)
    np.testing.assert_array_equal(np.diff(offsets), [len(one) * n for n in [*counts, 1]])
    np.testing.assert_array_equal(ids, np.tile(one, sum(counts) + 1))
    assert sizes == [sys.getsizeof(each) for each in texts]


def test_lone_surrogates_and_nul_are_text(tokenizer: _core.Tokenizer) -> None:
    texts = ["a\ud800b", "ab", "a\x00b", "\udfff", ""]
    ids, offsets = tokenizer.encode(texts, None, False, 1)
    lists = [ids[begin:end].tolist() for begin, end in pairwise(offsets)]
    assert lists[0] == lists[1] == lists[2] != []
    assert lists[3] == lists[4] == []
    assert tokenizer.normalize("A\ud800b") == "ab"


def test_no_texts_give_no_ids_and_one_offset(tokenizer: _core.Tokenizer) -> None:
    ids, offsets = tokenizer.encode([], None, False, 4)
    assert (ids.shape, ids.dtype) == ((0,), np.uint32)
    assert offsets.tolist() == [0]


def test_a_level_of_another_name_is_refused() -> None:
    assert _core.cpu_level() == _core.cpu_level("")
    assert _core.cpu_level("baseline") == "baseline"
    with pytest.raises(ValueError, match=f"'sse9', {LEVELS}"):
        _core.cpu_level("sse9")


def test_the_levels_that_run_here_begin_with_the_portable_and_end_with_the_best_one() -> None:
    levels = _core.cpu_levels()
    assert (levels[0], levels[-1]) == ("baseline", _core.cpu_level())
    assert [_core.cpu_level(name) for name in levels] == levels


ENCODE_ALL = """
import sys, json, hashlib, random
import numpy as np
from vecsmith.formats import Checkpoint
from vecsmith.model import StaticModel
from vecsmith.tokenizer import cpu_level
random.seed(3)
letters = "abcdef ghij klm.,!?[]\\0\\t\\u00e9\\u0130\\u732b\\ud55c\\u0301\\u0416 "
texts = ["".join(random.choices(letters, k=random.randrange(300))) for _ in range(400)]
tokenizer_json = open(sys.argv[1], encoding="utf-8").read()
n = len(json.loads(tokenizer_json)["model"]["vocab"])
digest = hashlib.sha256()
for dtype in ("float32", "float16", "int8"):
    for dim in (100, 256, 300):
        table = np.random.default_rng(dim).standard_normal((n, dim)) * 40
        weights = np.random.default_rng(1).random(n, dtype=np.float32)
        model = StaticModel(Checkpoint(
            table=table.astype(dtype), tokenizer_json=tokenizer_json, weights=weights))
        digest.update(model.encode(texts).tobytes())
        digest.update(model.encode(texts, truncate_dim=77, normalize=False).tobytes())
digest.update(repr(model.tokenize(texts)).encode())
print(cpu_level(), digest.hexdigest())
"""


def test_every_level_forced_by_the_environment_gives_the_same_bits(
    tiny_tokenizer_json: str, tmp_path: Path
) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(tiny_tokenizer_json, encoding="utf-8")
    digests = set()
    for level in _core.cpu_levels():
        environment = {**os.environ, "VECSMITH_CPU": level, "PYTHONPATH": str(ROOT / "src")}
        finished = subprocess.run(
            [sys.executable, "-c", ENCODE_ALL, str(path)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        found, digest = finished.stdout.split()
        assert found == level
        digests.add(digest)
    assert len(digests) == 1


def test_a_level_that_does_not_exist_is_named_when_a_model_is_made(
    tiny_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vecsmith.model import StaticModel

    monkeypatch.setenv("VECSMITH_CPU", "fast")
    with pytest.raises(ValueError, match=f"^VECSMITH_CPU: cpu level 'fast', {LEVELS}"):
        StaticModel(tiny_checkpoint)


def test_the_name_of_a_level_may_be_in_capitals(monkeypatch: pytest.MonkeyPatch) -> None:
    from vecsmith.tokenizer import cpu_level

    for level in _core.cpu_levels():
        monkeypatch.setenv("VECSMITH_CPU", f" {level.upper()}")
        assert cpu_level() == level


def test_the_stub_names_what_the_module_has() -> None:
    stub = (ROOT / "src" / "vecsmith" / "_core.pyi").read_text(encoding="utf-8")
    for name in NAMES:
        assert hasattr(_core, name)
        assert f" {name}" in stub
    assert json.dumps(sorted(n for n in dir(_core) if not n.startswith("_"))) == json.dumps(NAMES)
