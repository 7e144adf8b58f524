"""`vecsmith classify`: labels of texts, by a classifier that reads no more than it must."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from vecsmith.cli._console import AsJson, Quiet, count, counted, note, print_json
from vecsmith.cli.encode import InputFormat
from vecsmith.cli.eval import ComputeDtype, parse_dims

HeadsName = Literal["untied", "tied"]
RotationName = Literal["learnt", "discriminant", "none"]

app = typer.Typer(
    name="classify",
    help="Classify texts: fit a classifier on labelled ones, predict labels, see how good it is.",
    no_args_is_help=True,
)

Fitted = Annotated[
    Path, typer.Argument(metavar="CLASSIFIER", help="Folder that vecsmith classify fit made.")
]
TextColumn = Annotated[str, typer.Option(help="Column that holds the texts.")]
LabelColumn = Annotated[
    str, typer.Option(help="Column that holds the labels; lists where a text has several.")
]
Split = Annotated[
    str | None, typer.Option(help="Only rows whose column `split` says this, as in train.")
]
ModelPlace = Annotated[
    str | None, typer.Option("--model", help="Where the model of the classifier is now.")
]
MaxDim = Annotated[
    int | None, typer.Option(min=1, help="The longest prefix to use (default: all).")
]


@app.command()
def fit(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Folder, Hub id or package:NAME of a model.")
    ],
    texts: Annotated[
        str,
        typer.Argument(metavar="LABELLED", help="A .parquet, .jsonl, .csv or .tsv."),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder of the classifier.")],
    text_column: TextColumn = "text",
    label_column: LabelColumn = "label",
    split: Split = None,
    dims: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Prefix lengths, as in 8,16,32,256 (default: halvings)."),
    ] = None,
    heads: Annotated[
        HeadsName, typer.Option(help="A matrix for each prefix (MRL), or one for all (MRL-E).")
    ] = "untied",
    rotation: Annotated[
        RotationName, typer.Option(help="Whether coordinates change to tell classes apart.")
    ] = "learnt",
    max_accuracy_loss: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Accuracy that stopping early may lose on average, as in 0.005 (default: the "
            "paper's rule).",
        ),
    ] = None,
    surely: Annotated[
        bool,
        typer.Option(
            "--surely",
            help="Ask that with 95 % confidence, not on average, of the fit without held-out rows.",
        ),
    ] = False,
    balanced: Annotated[
        bool,
        typer.Option(
            "--balanced",
            help="Let each class count as much as any other, also in thresholds and figures.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Draws the rows held out.")] = 0,
    compute_dtype: Annotated[
        ComputeDtype, typer.Option(help="Type transformers run in.")
    ] = "float32",
    device: Annotated[str, typer.Option(help="Torch device of transformers.")] = "cpu",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Fit a classifier on labelled texts.

    Of each class a fifth is held out to learn when to stop; then all rows are learnt from.

    Examples:
      vecsmith classify fit minilm-256 train.parquet --out intent/
      vecsmith classify fit minilm-256 mail.csv --label-column folder --dims 8,32,256 --out mail/
    """
    from vecsmith._extras import require

    require("sklearn", extra="eval", purpose="fit classifiers")
    from vecsmith.classification.adaptive import AdaptiveClassifier
    from vecsmith.cli import _classifying
    from vecsmith.cli._labelled import LabelledFile

    if surely and max_accuracy_loss is None:
        raise typer.BadParameter("--surely is about --max-accuracy-loss, expected that too")
    result = _classifying.fit(
        model,
        LabelledFile(name=texts, text_column=text_column, label_column=label_column, split=split),
        out,
        AdaptiveClassifier(
            dims=parse_dims(dims),
            heads=heads,
            rotation=rotation,
            thresholds="paper" if max_accuracy_loss is None else "accuracy_loss",
            max_accuracy_loss=max_accuracy_loss or 0.0,
            surely=surely,
            class_weight="balanced" if balanced else None,
            random_state=seed,
        ),
        options={"compute_dtype": compute_dtype, "device": device},
        quiet=quiet,
    )
    if as_json:
        print_json(result)
    elif not quiet:
        print("\n".join(_fit_lines(result)))


@app.command()
def predict(
    classifier: Fitted,
    texts: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="A .txt, .jsonl, .csv, .tsv (all also .gz) or .parquet; - is stdin.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="A .jsonl or .parquet to write (default: printed)."),
    ] = None,
    text_column: TextColumn = "text",
    input_format: Annotated[
        InputFormat | None,
        typer.Option("--format", help="Format of INPUT if its name does not say."),
    ] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Tell the probability of every class.")
    ] = False,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Tell how sure it was and how many dimensions it took."),
    ] = False,
    max_dim: MaxDim = None,
    model: ModelPlace = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Discard an unfinished run instead of going on.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Predict the label of each text, one a line.

    After a kill, the same command goes on with its --out where it stopped.

    Examples:
      vecsmith classify predict intent/ texts.txt
      vecsmith classify predict intent/ questions.parquet --out labels.parquet --explain
    """
    from vecsmith.cli import _predictions
    from vecsmith.cli._classifying import open_fitted
    from vecsmith.cli._texts import text_file

    if out is not None:
        _predictions.check_output(out)
    source = text_file(texts, text_format=input_format)
    if out is not None and source.path is not None and out.exists() and out.samefile(source.path):
        raise ValueError(f"--out {out} is the input itself, expected another file")
    fitted = open_fitted(classifier, model, max_dim=max_dim)
    shown = _predictions.Shown(probabilities=probabilities, explain=explain)
    started = time.perf_counter()
    if out is None:
        tally = _predictions.print_predictions(fitted, source, shown, column=text_column)
    else:
        tally = _predictions.write_predictions(
            fitted, source, out, shown, column=text_column, restart=restart, quiet=quiet
        )
    if tally.n_texts and (out is not None or explain):
        n, seconds = tally.n_texts, time.perf_counter() - started
        before = f", {count(tally.n_before)} from the run before" if tally.n_before else ""
        note(
            f"{counted(n, 'text')} in {seconds:.1f} s{before}; decided with {tally.dims / n:.1f} "
            f"dims on average, {tally.total_dims / n:.1f} with all heads asked",
            quiet=quiet,
        )


@app.command(name="eval")
def evaluate(
    classifier: Fitted,
    texts: Annotated[
        str, typer.Argument(metavar="LABELLED", help="A .parquet, .jsonl, .csv or .tsv.")
    ],
    text_column: TextColumn = "text",
    label_column: LabelColumn = "label",
    split: Split = None,
    max_dim: MaxDim = None,
    model: ModelPlace = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Score a classifier on labelled texts: accuracy, what stopping early cost, dimensions used.

    Examples:
      vecsmith classify eval intent/ test.parquet
      vecsmith classify eval intent/ data.parquet --split test --json
    """
    from vecsmith.cli._classified import score
    from vecsmith.cli._classifying import open_fitted
    from vecsmith.cli._labelled import LabelledFile

    fitted = open_fitted(classifier, model, max_dim=max_dim)
    file = LabelledFile(name=texts, text_column=text_column, label_column=label_column, split=split)
    result = {"classifier": str(classifier), "texts": texts, **score(fitted, file, quiet=quiet)}
    if as_json:
        print_json(result)
    elif not quiet:
        print("\n".join(_eval_lines(result)))


def _fit_lines(result: dict[str, Any]) -> list[str]:
    loss = result["validation_loss"]
    asked = [f"{dim} (over {t:.3f})" for dim, t in result["thresholds"].items() if t is not None]
    lines = [
        f"{result['classifier']}: {counted(result['rows'], 'text')}, "
        f"{counted(result['classes'], 'label')}; "
        f"{result['seconds_encoding']:.1f} s to encode, {result['seconds_fitting']:.1f} s to fit",
        f"asks prefixes of {', '.join([*asked, str(result['dims'][-1])])}",
    ]
    if loss["value"] is None:
        return [*lines, "no rows could be held out: how good it is, is not known"]
    return [
        *lines,
        f"on rows held out: accuracy {result['validation_accuracy']:.4f}, "
        f"{result['expected_dims']:.1f} dims on average, "
        f"{result['expected_total_dims']:.1f} with all heads asked",
        _loss_words(loss),
    ]


def _eval_lines(result: dict[str, Any]) -> list[str]:
    accuracy, figures, unknown = result["accuracy"], result["dims_used"], result["unknown_labels"]
    lines = [
        f"accuracy {accuracy['value']:.4f} ({accuracy['low']:.4f} to {accuracy['high']:.4f}, 95 % "
        f"interval over {counted(result['rows'], 'text')}), macro F1 {result['macro_f1']:.4f}",
        f"{figures['last']:.1f} dims on average, {figures['all_asked']:.1f} with all heads asked",
        _loss_words(result["loss"]),
        *(
            [f"texts with labels never learnt: {count(unknown)}, these count as wrong"]
            if unknown
            else []
        ),
        "",
        f"{'dims':>6}  {'asked':>5}  {'alone':>7}  decided",
    ]
    for row in result["heads"]:
        asked = "yes" if row["asked"] else "no"
        lines.append(f"{row['dim']:>6}  {asked:>5}  {row['accuracy']:>7.4f}  {row['decided']:.1%}")
    return lines


def _loss_words(loss: dict[str, float]) -> str:
    return (
        f"stopping early loses {100 * loss['value']:.2f} points of accuracy "
        f"({100 * loss['low']:.2f} to {100 * loss['high']:.2f}, 95 % interval)"
    )
