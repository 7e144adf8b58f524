"""The shipped models against their published totals, and catalogue files that lie or are broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vecsmith.errors import FormatError
from vecsmith.planning.accounting.flops import count_flops, n_trained
from vecsmith.planning.catalogue.models import CatalogueEntry, load_catalogue
from vecsmith.results.tuning import Tuning

# Total that the Hub shows, and non-embedding parameters
PUBLISHED = {
    "EleutherAI/pythia-14m": (14_067_712, 1_189_888),
    "EleutherAI/pythia-31m": (30_494_720, 4_739_072),
    "EleutherAI/pythia-70m": (70_426_624, 18_915_328),
    "EleutherAI/pythia-160m": (162_322_944, 85_056_000),
    "EleutherAI/pythia-410m": (405_334_016, 302_311_424),
    "EleutherAI/pythia-1b": (1_011_781_632, 805_736_448),
    "EleutherAI/pythia-1.4b": (1_414_647_808, 1_208_602_624),
    "EleutherAI/pythia-2.8b": (2_775_208_960, 2_517_652_480),
    "EleutherAI/pythia-6.9b": (6_857_302_016, 6_444_163_072),
    "EleutherAI/pythia-12b": (11_846_072_320, 11_327_027_200),
    "HuggingFaceTB/SmolLM2-135M": (134_515_008, 106_203_456),
    "HuggingFaceTB/SmolLM-135M": (134_515_008, 106_203_456),
    "HuggingFaceTB/SmolLM2-360M": (361_821_120, 314_635_200),
    "HuggingFaceTB/SmolLM2-1.7B": (1_711_376_384, 1_610_713_088),
    "Qwen/Qwen2.5-0.5B": (494_032_768, 357_898_112),
    "Qwen/Qwen2.5-1.5B": (1_543_714_304, 1_310_340_608),
    "Qwen/Qwen2.5-3B": (3_085_938_688, 2_774_773_760),
    "Qwen/Qwen3-0.6B-Base": (596_049_920, 440_467_456),
    "Qwen/Qwen3-1.7B-Base": (1_720_574_976, 1_409_410_048),
    "Qwen/Qwen3-4B-Base": (4_022_468_096, 3_633_511_936),
    "google/gemma-3-270m": (268_098_176, 100_326_016),
    "google/gemma-3-1b-pt": (999_885_952, 697_896_064),
    "google/gemma-2b": (2_506_172_416, 1_981_884_416),
    "google/gemma-2-2b": (2_614_341_888, 2_024_517_888),
    "allenai/OLMo-1B-hf": (1_176_764_416, 1_073_741_824),
    "allenai/OLMo-2-0425-1B": (1_484_916_736, 1_073_874_944),
    "meta-llama/Llama-3.2-1B": (1_235_814_400, 973_146_112),
    "meta-llama/Llama-3.2-3B": (3_212_749_824, 2_818_747_392),
    "TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T": (1_100_048_384, 968_976_384),
    "JackFram/llama-68m": (68_030_208, 18_878_208),
    "JackFram/llama-160m": (162_417_408, 113_265_408),
    "facebook/opt-125m": (125_239_296, 85_056_000),
    "facebook/opt-350m": (331_196_416, 303_357_952),
    "facebook/opt-1.3b": (1_315_758_080, 1_208_602_624),
    "openai-community/gpt2": (124_439_808, 85_056_000),
    "openai-community/gpt2-medium": (354_823_168, 302_311_424),
    "openai-community/gpt2-large": (774_030_080, 708_390_400),
    "EleutherAI/gpt-neo-125m": (125_198_592, 85_028_352),
    "bigscience/bloom-560m": (559_214_592, 302_313_472),
}
WRITTEN = """
[[model]]
name = "by hand"
peak_lr = 1e-3
n_non_embedding = 1_648
n_bias = 80

[model.shape]
family = "mine"
n_layers = 2
dim = 8
n_heads = 2
vocab_size = 100
is_tied = false
block_linears = [
  { name = "attn.qkv", in = 8, out = 24, bias = true, first = true },
  { name = "attn.out", in = 8, out = 8 },
  { name = "mlp.up", in = 8, out = 32 },
  { name = "mlp.down", in = 32, out = 8 },
]
block_norms = [{ name = "norm", weights = 8, biases = 8, first = true }]
upper_norms = [{ name = "last", weights = 16, biases = 16 }]
"""


@pytest.fixture(scope="module")
def shipped() -> dict[str, CatalogueEntry]:
    return {entry.name: entry for entry in load_catalogue()}


def test_the_shipped_models_have_their_published_counts(shipped: dict[str, CatalogueEntry]) -> None:
    found = {
        name: (entry.shape.n_total, entry.shape.n_non_embedding) for name, entry in shipped.items()
    }
    assert found == PUBLISHED


def test_biases_are_there_where_the_families_have_them(shipped: dict[str, CatalogueEntry]) -> None:
    qwen = {"0.5B": 27_648, "1.5B": 57_344, "3B": 92_160}
    for size, n_bias in qwen.items():
        assert shipped[f"Qwen/Qwen2.5-{size}"].shape.n_bias == n_bias
    without = {name for name, entry in shipped.items() if not entry.shape.n_bias}
    kinds = ("SmolLM", "Qwen3", "gemma", "OLMo", "Llama", "llama")
    assert without == {name for name in shipped if any(kind in name for kind in kinds)}


def test_the_smallest_gemma_is_mostly_embedding(shipped: dict[str, CatalogueEntry]) -> None:
    shape = shipped["google/gemma-3-270m"].shape
    assert shape.n_embedding / shape.n_total == pytest.approx(0.63, abs=0.005)


def test_peak_rates_are_the_published_ones(shipped: dict[str, CatalogueEntry]) -> None:
    sizes = "14m 31m 70m 160m 410m 1b 1.4b 2.8b 6.9b 12b".split()
    rates = (1e-3, 1e-3, 1e-3, 6e-4, 3e-4, 3e-4, 2e-4, 1.6e-4, 1.2e-4, 1.2e-4)
    for size, rate in zip(sizes, rates, strict=True):
        assert shipped[f"EleutherAI/pythia-{size}"].peak_lr == rate
        assert shipped[f"EleutherAI/pythia-{size}"].n_pretraining_tokens == 300e9
    assert shipped["openai-community/gpt2"].peak_lr is None
    assert all(entry.provenance for entry in shipped.values())


@pytest.mark.parametrize(
    "name",
    [
        "EleutherAI/pythia-12b",
        "Qwen/Qwen2.5-3B",
        "Qwen/Qwen3-4B-Base",
        "google/gemma-3-270m",
        "google/gemma-2-2b",
        "allenai/OLMo-2-0425-1B",
        "facebook/opt-350m",
        "EleutherAI/gpt-neo-125m",
        "bigscience/bloom-560m",
    ],
)
def test_a_shipped_config_makes_a_module_of_that_many_parameters(
    shipped: dict[str, CatalogueEntry], name: str
) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from vecsmith.planning.catalogue.toml_files import shipped_toml

    rows = {row["name"]: row for row in shipped_toml("models.toml")["model"]}
    fields = dict(rows[name]["config"])
    config = transformers.AutoConfig.for_model(fields.pop("model_type"), **fields)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    assert sum(value.numel() for value in model.parameters()) == shipped[name].shape.n_total


def test_a_model_written_out_by_hand_is_counted(tmp_path: Path) -> None:
    (entry,) = load_catalogue(_file(tmp_path, WRITTEN))
    shape = entry.shape
    # a block: 8 * 24 + 24, 8 * 8, 8 * 32, 32 * 8, and a norm of 16
    block = 192 + 24 + 64 + 256 + 256 + 16
    assert shape.n_non_embedding == 2 * block + 32 == 1_648
    assert shape.n_total == 1_648 + 2 * 800
    assert (shape.head_dim, shape.n_kv_heads, shape.embedding_dim) == (4, 2, 8)
    assert n_trained(shape, Tuning(method="lora", rank=2)) == 2 * 2 * (32 + 16 + 40 + 40)
    # 8 T a layer for the scores and values of a width of 8, thrice with their gradients
    count = count_flops(shape, Tuning(), tokens=1, length=10)
    assert count.attention == 2 * 3 * 4 * 8 * 10
    assert entry.peak_lr == 1e-3


def test_a_model_is_known_by_its_folder_or_its_config_beside_the_file(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from tests.planning.accounting.decoders import config_of, decoder_of, shape_of

    decoder_of("llama").save_pretrained(tmp_path / "mine")
    (tmp_path / "other.json").write_text(config_of("gpt2").to_json_string(), encoding="utf-8")
    text = """
        [[model]]
        name = "mine"
        folder = "mine"
        [[model]]
        name = "other"
        config = "other.json"
    """
    mine, other = load_catalogue(_file(tmp_path, text))
    assert mine.shape == shape_of("llama")
    assert mine.folder == tmp_path / "mine"
    assert (other.shape, other.folder) == (shape_of("gpt2"), None)


def test_a_file_may_go_on_from_the_shipped_models(tmp_path: Path) -> None:
    entries = load_catalogue(_file(tmp_path, "shipped = true\n" + WRITTEN))
    assert [entry.name for entry in entries] == [*PUBLISHED, "by hand"]
    assert load_catalogue(_file(tmp_path, "shipped = true"))[0].name == "EleutherAI/pythia-14m"
    twice = "shipped = true\n" + WRITTEN.replace("by hand", "EleutherAI/pythia-14m")
    with pytest.raises(FormatError, match="two models named 'EleutherAI/pythia-14m'"):
        load_catalogue(_file(tmp_path, twice))


@pytest.mark.parametrize("key", ["n_total", "n_backbone", "n_embedding", "n_bias"])
def test_an_entry_that_lies_is_refused_with_both_numbers(tmp_path: Path, key: str) -> None:
    (entry,) = load_catalogue(_file(tmp_path, WRITTEN))
    truth = getattr(entry.shape, key)
    lie = WRITTEN.replace("n_bias = 80", f"{key} = {truth + 1000}")
    said = rf"model 1 \(by hand\): {key} is {truth + 1000:,}, expected {truth:,} from its shape"
    with pytest.raises(FormatError, match=said):
        load_catalogue(_file(tmp_path, lie))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"no model, expected at least one table \[\[model\]\]"),
        ("[model]\nname = 'a'", r"expected tables \[\[model\]\]"),
        ("model = 7", r"model is 7, expected tables"),
        ("models = 7", "'models', expected model, shipped"),
        ("shipped = 1", "shipped is 1, expected true or false"),
        ("[[model]]\nname = ''", "name '', expected the model's name"),
        ("[[model]]\nname = 'a'", "no shape, expected one of config, folder, shape"),
        ("[[model]]\nname = 'a'\nfolder = 'x'\nconfig = 'y'", "config, folder, expected one"),
        ("[[model]]\nname = 'a'\nsize = 3", "'size', expected one of config, folder"),
        ("[[model]]\nname = 'a'\nconfig = 3", "config is 3, expected a path"),
        ("[[model]]\nname = 'a'\nconfig = 'none.json'", r"no file .*none\.json"),
        ("[[model]]\nname = 'a'\nfolder = 'none'", r"no config\.json"),
        ("[[model]]\nname = 'a'\nconfig = {model_type = 'bert'}", "model_type 'bert'"),
        ("[[model]]\nname = 'a'\nshape = 4", "shape: 4, expected a table"),
        ("[[model", "expected TOML"),
        ("x = " + "[" * 5000, "expected TOML"),
        ("x = " + "9" * 9999, "TOML"),
        ("shipped = 0x" + "f" * 8000, "shipped is a number of thousands.*expected a whole number"),
        (
            "[[model]]\nname = 'a'\nconfig = { n_layer = 0x" + "f" * 8000 + "}",
            "n_layer is a number",
        ),
        ("[[model]]\nname = 'a'\npeak_lr = 1" + "0" * 400, "peak_lr is 1000.*of 64 bits"),
    ],
)
def test_a_broken_file_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(FormatError, match=said):
        load_catalogue(_file(tmp_path, text))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("n_layers = 2", "n_layers = 0", "n_layers is 0, expected a whole number from 1"),
        ("n_layers = 2", "", "n_layers is None"),
        ("n_layers = 2", "n_layers = 2.5", "n_layers is 2.5"),
        ("dim = 8", "dim = 9", "dim 9 and 2 heads, expected head_dim as well"),
        ("in = 8, out = 24", "in = 8", "block_linears 1: out is None"),
        ("in = 8, out = 24", "in = 8, out = 24, width = 3", "block_linears 1: 'width', expected"),
        ("bias = true", "bias = 'yes'", "bias is 'yes', expected true or false"),
        ("weights = 8", "weights = -8", "block_norms 1: weights is -8"),
        ("is_tied = false", "tied = false", "'tied', expected one of block_linears"),
        ('family = "mine"', "family = 4", "family 4, expected a string"),
        ("peak_lr = 1e-3", "peak_lr = nan", "peak_lr is nan, expected a number above 0"),
        ("peak_lr = 1e-3", "peak_lr = true", "peak_lr is True, expected a number above 0"),
        ("peak_lr = 1e-3", "provenance = 1", "provenance 1, expected a text"),
    ],
)
def test_a_shape_that_makes_no_sense_is_refused(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    assert WRITTEN.count(old) == 1
    with pytest.raises(FormatError, match=said):
        load_catalogue(_file(tmp_path, WRITTEN.replace(old, new)))


def test_a_folder_or_nothing_is_no_catalogue(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="a folder, expected a TOML file"):
        load_catalogue(tmp_path)
    with pytest.raises(FileNotFoundError):
        load_catalogue(tmp_path / "none.toml")


def test_a_config_of_json_is_checked_like_any_other(tmp_path: Path) -> None:
    values: dict[str, Any] = {"model_type": "gpt2", "n_embd": 4}
    (tmp_path / "config.json").write_text(json.dumps(values), encoding="utf-8")
    text = "[[model]]\nname = 'a'\nconfig = 'config.json'"
    with pytest.raises(FormatError, match=r"config\.json: n_head is None"):
        load_catalogue(_file(tmp_path, text))


def _file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "models.toml"
    path.write_text(text, encoding="utf-8")
    return path
