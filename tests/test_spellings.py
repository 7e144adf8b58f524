"""The adapter between other libraries' keyword arguments and ours."""

from __future__ import annotations

from typing import Any

import pytest

from vecsmith._spellings import accepts_peer_spellings


class Recorder:
    """Gives back what reaches its methods."""

    @accepts_peer_spellings
    def encode(
        self,
        texts: Any,
        *,
        batch_size: int = 1,
        normalize: bool | None = None,
        truncate_dim: int | None = None,
        dtype: str = "float32",
    ) -> dict[str, Any]:
        return {
            "texts": texts,
            "batch_size": batch_size,
            "normalize": normalize,
            "truncate_dim": truncate_dim,
            "dtype": dtype,
        }

    @accepts_peer_spellings
    def encode_query(self, /, texts: Any, **options: Any) -> dict[str, Any]:
        return {"texts": texts, **options}

    @classmethod
    @accepts_peer_spellings
    def load(cls, source: str, *, dtype: str | None = None, cache_folder: str = "") -> Any:
        return source, dtype, cache_folder

    def _with_prompt(
        self, texts: Any, prompt: str | None = None, prompt_name: str | None = None
    ) -> Any:
        return ("prompted", texts, prompt, prompt_name)


call: Any = Recorder()


def test_our_own_names_pass_as_they_are() -> None:
    assert call.encode(["a"], batch_size=3)["batch_size"] == 3
    assert call.encode(texts=["a"])["texts"] == ["a"]


@pytest.mark.parametrize(
    ("theirs", "ours", "value"),
    [
        ("normalize_embeddings", "normalize", True),
        ("dimensionality", "truncate_dim", 4),
        ("precision", "dtype", "int8"),
        ("quantize_to", "dtype", "int8"),
    ],
)
def test_renamed_arguments_arrive_under_our_names(theirs: str, ours: str, value: Any) -> None:
    assert call.encode(["a"], **{theirs: value})[ours] == value


def test_texts_may_be_called_sentences_or_inputs() -> None:
    for name in ("sentences", "inputs"):
        assert call.encode(**{name: ["a"]})["texts"] == ["a"]
        assert call.encode_query(**{name: ["a"]}, batch_size=2) == {"texts": ["a"], "batch_size": 2}


def test_a_class_method_takes_them_too() -> None:
    assert call.load("x", quantize_to="int8", cache_dir="c") == ("x", "int8", "c")
    assert call.load(path="x", force_download=True) == ("x", None, "")
    assert call.load(model_name_or_path="x", device="cpu", backend="torch") == ("x", None, "")


@pytest.mark.parametrize(
    "name",
    [
        "device",
        "pool",
        "chunk_size",
        "use_multiprocessing",
        "multiprocessing_threshold",
        "force_download",
        "trust_remote_code",
    ],
)
def test_arguments_without_effect_are_taken_and_forgotten(name: str) -> None:
    assert call.encode(["a"], **{name: 5}) == call.encode(["a"])


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("convert_to_numpy", True, False),
        ("convert_to_tensor", False, True),
        ("output_value", "sentence_embedding", "token_embeddings"),
        ("backend", "torch", "onnx"),
    ],
)
def test_arguments_with_one_meaning_refuse_the_others(name: str, good: Any, bad: Any) -> None:
    assert call.encode(["a"], **{name: good}) == call.encode(["a"])
    assert call.encode(["a"], **{name: None}) == call.encode(["a"])
    with pytest.raises(ValueError, match=f"{name} is {bad!r}, expected {good!r}"):
        call.encode(["a"], **{name: bad})


def test_unknown_names_are_refused_with_those_there_are() -> None:
    with pytest.raises(
        TypeError, match=r"encode\(\) got an unexpected keyword argument 'bach_size'"
    ) as error:
        call.encode(["a"], bach_size=3)
    assert "batch_size, dtype, normalize, texts, truncate_dim" in str(error.value)
    with pytest.raises(
        TypeError, match="'max_length', expected some of cache_folder, dtype, source"
    ):
        call.load("x", max_length=3)


def test_one_argument_under_two_names_is_refused() -> None:
    with pytest.raises(TypeError, match="'dtype' under two names"):
        call.encode(["a"], precision="int8", dtype="int8")
    with pytest.raises(TypeError, match="multiple values"):
        call.encode(["a"], sentences=["a"])


def test_prompts_go_through_the_object() -> None:
    assert call.encode(["a"], prompt="p")["texts"] == ("prompted", ["a"], "p", None)
    assert call.encode(sentences=["a"], prompt_name="n")["texts"] == ("prompted", ["a"], None, "n")
    assert call.encode(["a"], prompt=None, prompt_name=None)["texts"] == ["a"]
    with pytest.raises(TypeError, match="missing 1 required argument: 'texts'"):
        call.encode(prompt="p")
