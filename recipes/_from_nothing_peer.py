"""The peer: sentence-transformers' own trainer on a random StaticEmbedding, as published."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vecsmith.training import TrainSettings, halved_prefixes


def train_peer(
    files: Mapping[str, Path], tokenizer: Path, settings: TrainSettings, n_steps: int, out: Path
) -> float:
    """Writes the model that sentence-transformers trains to `out`; gives the seconds of training.

    MultipleNegativesRankingLoss, CoSENTLoss of graded pairs, each within MatryoshkaLoss; AdamW;
    batches without repeated texts, drawn from the sets in proportion.

    Args:
        files: Parquet files of pairs by name.
        tokenizer: The tokenizer.json.
        settings: Dims, prefixes, batch, rate, warm-up, clipping, precision and seed.
        n_steps: Steps of the optimiser.
        out: Folder of the model.
    """
    import sentence_transformers as st
    import torch
    from datasets import Dataset, disable_progress_bars  # type: ignore[import-untyped]
    from sentence_transformers.sentence_transformer import losses
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    disable_progress_bars()
    torch.manual_seed(settings.seed)
    module = StaticEmbedding(Tokenizer.from_file(str(tokenizer)), embedding_dim=settings.dim)
    model = st.SentenceTransformer(modules=[module], device="cpu")
    sets = {
        name: Dataset.from_parquet(str(path), cache_dir=str(out.parent / "datasets"))
        for name, path in files.items()
    }
    dims = [*(settings.dims or halved_prefixes(settings.dim))]
    scale = 1 / settings.temperature
    ranking = losses.MatryoshkaLoss(
        model, losses.MultipleNegativesRankingLoss(model, scale=scale), dims
    )
    graded = losses.MatryoshkaLoss(model, losses.CoSENTLoss(model, scale=scale), dims)
    by_set: dict[str, Any] = {
        name: graded if "score" in own.column_names else ranking for name, own in sets.items()
    }
    trainer = st.SentenceTransformerTrainer(
        model=model,
        args=_arguments(settings, n_steps, out),
        train_dataset=sets,
        loss=by_set,
    )
    seconds: float = trainer.train().metrics["train_runtime"]
    model.save_pretrained(str(out), create_model_card=False)
    return seconds


def _arguments(settings: TrainSettings, n_steps: int, out: Path) -> Any:
    import sentence_transformers as st
    from sentence_transformers.sentence_transformer.training_args import (
        BatchSamplers,
        MultiDatasetBatchSamplers,
    )

    return st.SentenceTransformerTrainingArguments(
        output_dir=str(out.parent / "trainer"),
        max_steps=n_steps,
        per_device_train_batch_size=settings.batch_size,
        learning_rate=settings.lr,
        warmup_steps=round(settings.warmup * n_steps),
        max_grad_norm=settings.clip_norm,
        lr_scheduler_type="linear",
        bf16=settings.precision == "bfloat16",
        use_cpu=True,
        seed=settings.seed,
        batch_sampler=BatchSamplers.NO_DUPLICATES,
        multi_dataset_batch_sampler=MultiDatasetBatchSamplers.PROPORTIONAL,
        eval_strategy="no",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
