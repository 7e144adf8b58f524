"""Sizes of a decoder model, from what its family's config.json says.

The one rule: a field is read under the name and with the default that transformers gives it, and
a family that is not known is refused rather than guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypedDict

from vecsmith.errors import FormatError
from vecsmith.planning.accounting.layers import Linear, Norm

# Wider than any model; keeps a broken file from asking for absurd sizes.
_LARGEST: Final = 2**31 - 1
_CONFIG: Final = "config.json"


class Sizes(TypedDict):
    """The fields of a `ModelShape`, which documents them."""

    family: str
    n_layers: int
    dim: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    vocab_size: int
    embedding_dim: int
    n_positions: int
    block_linears: tuple[Linear, ...]
    block_norms: tuple[Norm, ...]
    lower_linears: tuple[Linear, ...]
    lower_norms: tuple[Norm, ...]
    upper_linears: tuple[Linear, ...]
    upper_norms: tuple[Norm, ...]
    is_tied: bool


def read_sizes(config: Mapping[str, Any], *, source: str = _CONFIG) -> Sizes:
    """Sizes that a Hugging Face config stands for; `source` names it in errors.

    Raises:
        FormatError: If the family is not known, or a field is missing or makes no sense.
    """
    fields = _Fields(config, source)
    family = config.get("model_type")
    if not isinstance(family, str) or family not in _READERS:
        raise FormatError(
            f"{source}: model_type {family!r:.60}, expected one of {', '.join(FAMILIES)}; a model "
            "of another family goes into a catalogue file with its linear layers written out"
        )
    return _READERS[family](family, fields)


class _Fields:
    """A config's fields, checked as they are read."""

    def __init__(self, config: Mapping[str, Any], source: str) -> None:
        self._config = config
        self._source = source

    def count(self, *names: str, default: int | None = None) -> int:
        """The size under the first of `names` that is there."""
        value, name = self._found(names)
        if value is None and default is not None:
            return default
        if type(value) is not int or not 1 <= value <= _LARGEST:
            raise FormatError(
                f"{self._source}: {name} is {value!r:.60}, expected a whole number from 1 to "
                f"{_LARGEST}"
            )
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """The switch called `name`."""
        value = self._config.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise FormatError(f"{self._source}: {name} is {value!r:.60}, expected true or false")
        return value

    def head_dim(self, dim: int, n_heads: int) -> int:
        """Width of a head where no field gives it.

        Raises:
            FormatError: If the heads do not share the width evenly.
        """
        if dim % n_heads:
            raise FormatError(
                f"{self._source}: a width of {dim} and {n_heads} heads, expected a multiple"
            )
        return dim // n_heads

    def kv_heads(self, n_heads: int, default: int) -> int:
        """Key and value heads, each shared by a group of the query's."""
        value = self.count("num_key_value_heads", default=default)
        if n_heads % value:
            raise FormatError(
                f"{self._source}: {n_heads} heads and num_key_value_heads {value}, expected a "
                "divisor"
            )
        return value

    def _found(self, names: tuple[str, ...]) -> tuple[Any, str]:
        for name in names:
            if self._config.get(name) is not None:
                return self._config[name], name
        return None, names[0]


def _neox(family: str, fields: _Fields) -> Sizes:
    dim, n_heads = fields.count("hidden_size"), fields.count("num_attention_heads")
    inner = fields.count("intermediate_size")
    bias = fields.flag("attention_bias", default=True)
    # in a parallel block attention and MLP both read the block's input
    is_parallel = fields.flag("use_parallel_residual", default=True)
    return Sizes(
        family=family,
        n_layers=fields.count("num_hidden_layers"),
        dim=dim,
        n_heads=n_heads,
        n_kv_heads=n_heads,
        head_dim=fields.head_dim(dim, n_heads),
        vocab_size=fields.count("vocab_size"),
        embedding_dim=dim,
        n_positions=0,
        block_linears=(
            Linear("attention.query_key_value", dim, 3 * dim, bias, first=True),
            Linear("attention.dense", dim, dim, bias),
            Linear("mlp.dense_h_to_4h", dim, inner, True, first=is_parallel),
            Linear("mlp.dense_4h_to_h", inner, dim, True),
        ),
        block_norms=(
            Norm("input_layernorm", dim, dim, first=True),
            Norm("post_attention_layernorm", dim, dim, first=is_parallel),
        ),
        lower_linears=(),
        lower_norms=(),
        upper_linears=(),
        upper_norms=(Norm("final_layer_norm", dim, dim),),
        is_tied=fields.flag("tie_word_embeddings", default=False),
    )


def _bloom(family: str, fields: _Fields) -> Sizes:
    dim = fields.count("hidden_size", "n_embed")
    n_heads = fields.count("n_head", "num_attention_heads")
    return Sizes(
        family=family,
        n_layers=fields.count("n_layer", "num_hidden_layers"),
        dim=dim,
        n_heads=n_heads,
        n_kv_heads=n_heads,
        head_dim=fields.head_dim(dim, n_heads),
        vocab_size=fields.count("vocab_size"),
        embedding_dim=dim,
        n_positions=0,
        block_linears=(
            Linear("self_attention.query_key_value", dim, 3 * dim, True, first=True),
            Linear("self_attention.dense", dim, dim, True),
            Linear("mlp.dense_h_to_4h", dim, 4 * dim, True),
            Linear("mlp.dense_4h_to_h", 4 * dim, dim, True),
        ),
        block_norms=(
            Norm("input_layernorm", dim, dim, first=True),
            Norm("post_attention_layernorm", dim, dim),
        ),
        lower_linears=(),
        lower_norms=(Norm("word_embeddings_layernorm", dim, dim),),
        upper_linears=(),
        upper_norms=(Norm("ln_f", dim, dim),),
        is_tied=fields.flag("tie_word_embeddings", default=True),
    )


def _gpt2(family: str, fields: _Fields) -> Sizes:
    dim, n_heads = fields.count("n_embd", "hidden_size"), fields.count("n_head")
    inner = fields.count("n_inner", default=4 * dim)
    return Sizes(
        family=family,
        n_layers=fields.count("n_layer", "num_hidden_layers"),
        dim=dim,
        n_heads=n_heads,
        n_kv_heads=n_heads,
        head_dim=fields.head_dim(dim, n_heads),
        vocab_size=fields.count("vocab_size"),
        embedding_dim=dim,
        n_positions=fields.count("n_positions", "max_position_embeddings"),
        block_linears=(
            Linear("attn.c_attn", dim, 3 * dim, True, first=True),
            Linear("attn.c_proj", dim, dim, True),
            Linear("mlp.c_fc", dim, inner, True),
            Linear("mlp.c_proj", inner, dim, True),
        ),
        block_norms=(Norm("ln_1", dim, dim, first=True), Norm("ln_2", dim, dim)),
        lower_linears=(),
        lower_norms=(),
        upper_linears=(),
        upper_norms=(Norm("ln_f", dim, dim),),
        is_tied=fields.flag("tie_word_embeddings", default=True),
    )


def _gpt_neo(family: str, fields: _Fields) -> Sizes:
    dim, n_heads = fields.count("hidden_size"), fields.count("num_heads")
    inner = fields.count("intermediate_size", default=4 * dim)
    return Sizes(
        family=family,
        n_layers=fields.count("num_layers"),
        dim=dim,
        n_heads=n_heads,
        n_kv_heads=n_heads,
        head_dim=fields.head_dim(dim, n_heads),
        vocab_size=fields.count("vocab_size"),
        embedding_dim=dim,
        n_positions=fields.count("max_position_embeddings"),
        block_linears=(
            *(
                Linear(f"attn.attention.{name}_proj", dim, dim, False, first=True)
                for name in ("q", "k", "v")
            ),
            Linear("attn.attention.out_proj", dim, dim, True),
            Linear("mlp.c_fc", dim, inner, True),
            Linear("mlp.c_proj", inner, dim, True),
        ),
        block_norms=(Norm("ln_1", dim, dim, first=True), Norm("ln_2", dim, dim)),
        lower_linears=(),
        lower_norms=(),
        upper_linears=(),
        upper_norms=(Norm("ln_f", dim, dim),),
        is_tied=fields.flag("tie_word_embeddings", default=True),
    )


def _opt(family: str, fields: _Fields) -> Sizes:
    dim, n_heads = fields.count("hidden_size"), fields.count("num_attention_heads")
    inner, bias = fields.count("ffn_dim"), fields.flag("enable_bias", default=True)
    # opt-350m alone: narrower embeddings, projected in and out, and norms after the residual
    narrow = fields.count("word_embed_proj_dim", default=dim)
    is_before = fields.flag("do_layer_norm_before", default=True)
    has_final = is_before and not fields.flag("_remove_final_layer_norm", default=False)
    scale = dim if fields.flag("layer_norm_elementwise_affine", default=True) else 0
    return Sizes(
        family=family,
        n_layers=fields.count("num_hidden_layers"),
        dim=dim,
        n_heads=n_heads,
        n_kv_heads=n_heads,
        head_dim=fields.head_dim(dim, n_heads),
        vocab_size=fields.count("vocab_size"),
        embedding_dim=narrow,
        n_positions=fields.count("max_position_embeddings") + 2,  # the first two are padding's
        block_linears=(
            *(
                Linear(f"self_attn.{name}_proj", dim, dim, bias, first=True)
                for name in ("k", "v", "q")
            ),
            Linear("self_attn.out_proj", dim, dim, bias),
            Linear("fc1", dim, inner, bias),
            Linear("fc2", inner, dim, bias),
        ),
        block_norms=(
            Norm("self_attn_layer_norm", scale, scale, first=is_before),
            Norm("final_layer_norm", scale, scale),
        ),
        lower_linears=() if narrow == dim else (Linear("project_in", narrow, dim),),
        lower_norms=(),
        upper_linears=() if narrow == dim else (Linear("project_out", dim, narrow),),
        upper_norms=(Norm("final_layer_norm", scale, scale),) if has_final else (),
        is_tied=fields.flag("tie_word_embeddings", default=True),
    )


def _llama(family: str, fields: _Fields) -> Sizes:
    """Llama and its kin: grouped attention, a gated MLP, RMS norms."""
    dim, n_heads = fields.count("hidden_size"), fields.count("num_attention_heads")
    n_kv_heads = fields.kv_heads(n_heads, _KV_HEADS.get(family, n_heads))
    fixed = _HEAD_DIMS.get(family)
    width = fields.count("head_dim", default=fixed or fields.head_dim(dim, n_heads))
    bias = family == "qwen2" or (
        family != "mistral" and fields.flag("attention_bias", default=False)
    )
    return Sizes(
        family=family,
        n_layers=fields.count("num_hidden_layers"),
        dim=dim,
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        head_dim=width,
        vocab_size=fields.count("vocab_size"),
        embedding_dim=dim,
        n_positions=0,
        block_linears=(
            Linear("self_attn.q_proj", dim, n_heads * width, bias, first=True),
            Linear("self_attn.k_proj", dim, n_kv_heads * width, bias, first=True),
            Linear("self_attn.v_proj", dim, n_kv_heads * width, bias, first=True),
            Linear("self_attn.o_proj", n_heads * width, dim, bias and family != "qwen2"),
            *_gated_mlp(family, fields, dim),
        ),
        block_norms=_rms_norms(family, dim, n_heads * width, n_kv_heads * width, width),
        lower_linears=(),
        lower_norms=(),
        upper_linears=(),
        upper_norms=() if family == "olmo" else (Norm("norm", dim),),
        is_tied=fields.flag("tie_word_embeddings", default=family.startswith("gemma")),
    )


# What transformers takes where a config does not say; the others divide the width by the heads
_HEAD_DIMS: Final = {"qwen3": 128, "gemma": 256, "gemma2": 256, "gemma3_text": 256}
_KV_HEADS: Final = {
    "mistral": 8,
    "qwen2": 32,
    "qwen3": 32,
    "gemma": 16,
    "gemma2": 4,
    "gemma3_text": 4,
}


def _gated_mlp(family: str, fields: _Fields, dim: int) -> tuple[Linear, ...]:
    inner = fields.count("intermediate_size")
    bias = family == "llama" and fields.flag("mlp_bias", default=False)
    return (
        Linear("mlp.gate_proj", dim, inner, bias),
        Linear("mlp.up_proj", dim, inner, bias),
        Linear("mlp.down_proj", inner, dim, bias),
    )


def _rms_norms(family: str, dim: int, queries: int, keys: int, width: int) -> tuple[Norm, ...]:
    if family == "olmo":
        return ()  # its norms have no parameters
    per_head = (Norm("self_attn.q_norm", width), Norm("self_attn.k_norm", width))
    after = (Norm("post_attention_layernorm", dim), Norm("post_feedforward_layernorm", dim))
    if family == "olmo2":
        return (Norm("self_attn.q_norm", queries), Norm("self_attn.k_norm", keys), *after)
    before = Norm("input_layernorm", dim, first=True)
    if family in ("gemma2", "gemma3_text"):
        four = (before, Norm("pre_feedforward_layernorm", dim), *after)
        return four if family == "gemma2" else (*four, *per_head)
    two = (before, Norm("post_attention_layernorm", dim))
    return (*two, *per_head) if family == "qwen3" else two


_READERS: Final[dict[str, Callable[[str, _Fields], Sizes]]] = {
    "bloom": _bloom,
    "gemma": _llama,
    "gemma2": _llama,
    "gemma3_text": _llama,
    "gpt2": _gpt2,
    "gpt_neo": _gpt_neo,
    "gpt_neox": _neox,
    "llama": _llama,
    "mistral": _llama,
    "olmo": _llama,
    "olmo2": _llama,
    "opt": _opt,
    "qwen2": _llama,
    "qwen3": _llama,
}
FAMILIES: Final = tuple(_READERS)
