from __future__ import annotations

import gc
import io
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecsmith.errors import FormatError
from vecsmith.formats.safetensors import TensorFile, TensorStream, write_tensors

DTYPES = ("bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))
FLOATS = ("float16", "float32", "float64")


def file_of(path: Path, header: Any, data: bytes = b"", *, n_header: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    n_header = len(text) if n_header is None else n_header
    path.write_bytes(n_header.to_bytes(8, "little") + text + data)
    return path


def some_tensors() -> dict[str, Any]:
    generator = np.random.default_rng(1)
    tensors: dict[str, Any] = {
        name: generator.integers(0, 2, (3, 5)).astype(name) for name in (*DTYPES, *FLOATS)
    }
    return {
        **tensors,
        "scalar": np.array(3.5, dtype=np.float32),
        "empty": np.zeros((0, 4), dtype=np.float16),
        "big": generator.standard_normal((300, 7)).astype(np.float32),
    }


def test_files_of_the_safetensors_package_are_read(tmp_path: Path) -> None:
    tensors = some_tensors()
    package = pytest.importorskip("safetensors.numpy")
    package.save_file(tensors, tmp_path / "t.safetensors", metadata={"format": "pt"})
    file = TensorFile(tmp_path / "t.safetensors")
    assert file.names() == sorted(tensors)
    assert file.metadata == {"format": "pt"}
    for name, expected in tensors.items():
        found = file.tensor(name)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
        assert not found.flags.writeable


def test_the_safetensors_package_reads_what_is_written(tmp_path: Path) -> None:
    package = pytest.importorskip("safetensors.numpy")
    tensors = some_tensors()
    with (tmp_path / "t.safetensors").open("wb") as file:
        write_tensors(file, tensors, metadata={"a": "b"})
    found = package.load_file(tmp_path / "t.safetensors")
    assert found.keys() == tensors.keys()
    for name, expected in tensors.items():
        assert found[name].dtype == expected.dtype
        np.testing.assert_array_equal(found[name], expected)


def test_bfloat16_is_given_as_float32(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    package = pytest.importorskip("safetensors.torch")
    values = torch.randn(4, 3).bfloat16()
    package.save_file({"x": values}, tmp_path / "t.safetensors")
    found = TensorFile(tmp_path / "t.safetensors").tensor("x")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, values.float().numpy())


def test_a_tensor_is_a_view_of_the_file_that_outlives_its_reader(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    with path.open("wb") as out:
        write_tensors(out, {"x": np.arange(6, dtype=np.float32).reshape(2, 3)})
    file = TensorFile(path)
    first, second = file.tensor("x"), file.tensor("x")
    assert np.shares_memory(first, second)
    del file, second
    path.unlink()
    gc.collect()
    assert first.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_data_that_is_not_aligned_is_copied(tmp_path: Path) -> None:
    data = b"\x07" + np.arange(4, dtype="<f4").tobytes()
    header = {
        "byte": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
        "x": {"dtype": "F32", "shape": [4], "data_offsets": [1, 17]},
    }
    for space in range(8):  # whatever the length of the header
        text = json.dumps(header).encode() + b" " * space
        file = TensorFile(file_of(tmp_path / f"{space}.safetensors", text, data))
        assert file.tensor("x").tolist() == [0, 1, 2, 3]
        assert file.tensor("x").flags.aligned


def test_a_missing_tensor_is_refused_with_those_there(tmp_path: Path) -> None:
    path = file_of(
        tmp_path / "t.safetensors",
        {"x": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}},
        b"1",
    )
    file = TensorFile(path)
    assert "x" in file
    assert "y" not in file
    with pytest.raises(FormatError, match="no tensor 'y', found x"):
        file.tensor("y")


def entry(**changes: Any) -> dict[str, Any]:
    return {"x": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16], **changes}}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ([], "expected an object"),
        (b"{", "expected JSON"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        ({"x": 3}, "expected dtype, shape and data_offsets"),
        (entry(dtype="F8"), "dtype 'F8'"),
        (entry(dtype=None), "dtype None"),
        (entry(dtype=[]), r"dtype \[\]"),
        (entry(shape=[2, 3]), "needs 24 bytes, data_offsets .* hold 16"),
        (entry(shape=[-2, -2]), "shape"),
        (entry(shape=[2.0, 2]), "shape"),
        (entry(shape=[True, 4]), "shape"),
        (entry(shape="22"), "shape"),
        (entry(shape=[2**62, 2**62]), "needs"),
        (entry(shape=[1] * 70 + [4]), "up to eight"),
        (entry(data_offsets=[0, 17]), "inside"),
        (entry(data_offsets=[16, 0]), "inside"),
        (entry(data_offsets=[-16, 0]), "data_offsets"),
        (entry(data_offsets=[0]), "data_offsets"),
        (entry(data_offsets=[0, 2**80]), "data_offsets"),
    ],
)
def test_a_broken_header_is_refused(tmp_path: Path, header: Any, message: str) -> None:
    path = file_of(tmp_path / "broken.safetensors", header, bytes(16))
    with pytest.raises(FormatError, match=message) as caught:
        TensorFile(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("n_header", [2**63, 2**40, 100, 17])
def test_a_header_longer_than_the_file_is_refused(tmp_path: Path, n_header: int) -> None:
    path = file_of(tmp_path / "long.safetensors", b"{}", n_header=n_header)
    with pytest.raises(FormatError, match=f"header of {n_header} bytes in a file of 10"):
        TensorFile(path)


def test_a_file_cut_at_any_place_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    write_tensors(buffer, {"x": np.ones((4, 2), dtype=np.float32), "y": np.ones(3, dtype=np.int8)})
    whole = buffer.getvalue()
    path = tmp_path / "cut.safetensors"
    for n_bytes in range(len(whole)):
        path.write_bytes(whole[:n_bytes])
        with pytest.raises(FormatError):
            TensorFile(path)


def test_flipped_bits_give_tensors_or_a_format_error(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    write_tensors(buffer, {"x": np.ones((4, 2), dtype=np.float32), "y": np.ones(3, dtype=np.int8)})
    whole = buffer.getvalue()
    path = tmp_path / "flipped.safetensors"
    generator = random.Random(5)
    n_refused = 0
    for _ in range(600):
        broken = bytearray(whole)
        for _ in range(generator.randint(1, 3)):
            broken[generator.randrange(len(broken))] ^= 1 << generator.randrange(8)
        path.write_bytes(broken)
        try:
            file = TensorFile(path)
        except FormatError:
            n_refused += 1
            continue
        for name in file.names():
            assert file.tensor(name).nbytes <= 4 * len(whole)
    assert 200 < n_refused < 600


def test_a_stream_is_written_block_by_block(tmp_path: Path) -> None:
    blocks = (np.full((2, 3), i, dtype=np.float16) for i in range(4))
    stream = TensorStream(dtype=np.dtype(np.float16), shape=(8, 3), blocks=blocks)
    path = tmp_path / "t.safetensors"
    with path.open("wb") as file:
        write_tensors(file, {"x": stream})
    assert TensorFile(path).tensor("x")[:, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_a_stream_that_is_too_short_is_the_callers_mistake() -> None:
    stream = TensorStream(np.dtype(np.float16), (8, 3), iter([np.zeros((2, 3), dtype=np.float16)]))
    with pytest.raises(ValueError, match="gave 12 bytes, expected 48"):
        write_tensors(io.BytesIO(), {"x": stream})


def test_a_dtype_that_the_format_lacks_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="complex128"):
        write_tensors(io.BytesIO(), {"x": np.zeros(3, dtype=np.complex128)})
