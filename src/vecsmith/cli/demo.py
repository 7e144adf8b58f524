"""`vecsmith demo`: from a teacher to answers and a comparison, in a few minutes."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vecsmith._progress import progress_bar
from vecsmith.cli._console import (
    AsJson,
    Quiet,
    console,
    count,
    one_line,
    print_json,
    size,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vecsmith.cli._agreement import Agreement
    from vecsmith.cli._reference import Paragraph
    from vecsmith.model import StaticModel

_TEACHER = "sentence-transformers/all-MiniLM-L6-v2"
_DIM = 256
QUESTIONS = (
    "How do I make sure a file is closed even if an error happens?",
    "What happens when I compare two objects of different types?",
    "How can a class control what happens when an attribute is missing?",
    "When is the else block of a loop executed?",
    "Why does changing a default argument affect later calls?",
    "How do I pause a program and look at its variables?",
    "Can I change a character inside a string?",
    "What is the difference between a generator and an ordinary function?",
)
_STATIC_PASSES = 7
# The teacher reads a sample: all paragraphs would be most of the demo's time on a slow machine.
_TEACHER_PARTS, _TEACHER_PART = 3, 200
_SAMPLED_QUERIES = 200


def demo(
    out: Annotated[
        Path, typer.Option("--out", help="Folder for the model and the picture.")
    ] = Path("demo"),
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Distil a teacher, search Python's language reference with it, compare the two.

    Needs the extra `demo`; takes a few minutes on two cores and no network.

    Examples:
      vecsmith demo
      vecsmith demo --out /tmp/demo --json
    """
    silent = quiet or as_json
    _check_out(out)
    out.mkdir(exist_ok=True)
    figures = _run(out, silent=silent, quiet=quiet)
    if as_json:
        print_json(figures)


_DOCUMENTED_MODULES = (
    *("argparse", "asyncio", "builtins", "collections", "configparser", "datetime", "decimal"),
    *("difflib", "email.message", "fractions", "functools", "http.client", "inspect", "ipaddress"),
    *("json", "logging", "multiprocessing", "optparse", "os", "pathlib", "random", "re", "shutil"),
    *("socket", "statistics", "string", "subprocess", "tarfile", "tempfile", "textwrap"),
    *("threading", "unittest", "urllib.request", "xml.dom.minidom", "zipfile"),
)


def _check_out(out: Path) -> None:
    """Refuses a folder that holds anything but an earlier demo."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file, expected a folder")
    if not out.absolute().parent.is_dir():
        raise ValueError(f"--out {out}: no folder {out.parent}, expected one that exists")
    own = {f"minilm-{_DIM}", "paragraphs.txt", "paragraphs.npy", "comparison.png", "result.json"}
    foreign = (
        sorted(path.name for path in out.iterdir() if path.name not in own) if out.is_dir() else []
    )
    if foreign:
        raise ValueError(f"--out {out} holds {', '.join(foreign[:3])}, expected an empty folder")


def _run(out: Path, *, silent: bool, quiet: bool) -> dict[str, Any]:
    from vecsmith._extras import require
    from vecsmith._files import write_json
    from vecsmith.cli._reference import reference_paragraphs

    require("matplotlib", extra="demo", purpose="draw the comparison")
    require("torch", extra="demo", purpose="run the teacher")
    started = time.perf_counter()
    folder = out / f"minilm-{_DIM}"
    paragraphs = reference_paragraphs()
    texts = [paragraph.text for paragraph in paragraphs]
    _write_texts(out / "paragraphs.txt", texts)

    _step(f"1. distilling {_TEACHER} to {_DIM} dimensions", silent)
    distill_seconds, found = _distil(folder, quiet=quiet)
    _step(
        f"   {folder}: {size(_folder_bytes(folder))} in {distill_seconds:.0f} s, "
        f"teacher from {found}",
        silent,
    )

    _step(f"2. asking Python {platform.python_version()}'s language reference", silent)
    model, vectors, static_rate = _static_side(folder, texts)
    questions = model.encode(list(QUESTIONS))
    if not silent:
        _print_answers(questions, vectors, paragraphs)

    sample = _sample(len(texts))
    _step(f"3. {count(len(sample))} of {count(len(texts))} paragraphs through the teacher", silent)
    teacher = _teacher_side([texts[row] for row in sample], quiet=quiet)
    figures = _figures(model, folder, teacher, (questions, vectors[sample]), static_rate)
    figures["static_texts"] = len(texts)
    figures["distill_seconds"] = distill_seconds
    figures["seconds"] = time.perf_counter() - started
    figures["picture"] = str(_draw(out / "comparison.png", figures))
    write_json(out / "result.json", figures)
    if not silent:
        _print_figures(figures)
        _print_next(out, folder)
    return figures


def _step(message: str, silent: bool) -> None:
    if not silent:
        print(message, flush=True)


def _write_texts(path: Path, texts: list[str]) -> None:
    from vecsmith._files import atomic_file

    with atomic_file(path, "w", encoding="utf-8") as file:
        file.writelines(f"{text}\n" for text in texts)


def _distil(folder: Path, *, quiet: bool) -> tuple[float, str]:
    """Makes the static model; seconds it took and where the teacher was found."""
    from vecsmith.distillation import distill
    from vecsmith.transformer.source import find_teacher

    started = time.perf_counter()
    found = find_teacher(_TEACHER).found
    model = distill(_TEACHER, dim=_DIM, show_progress_bar=not quiet and sys.stderr.isatty())
    model.save_pretrained(folder)
    return time.perf_counter() - started, found


def _folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _static_side(folder: Path, texts: list[str]) -> tuple[StaticModel, NDArray[np.float32], float]:
    """The model, its vectors of `texts`, and texts a second the first time it sees them.

    Each pass has a model that was opened anew and has seen other English only, so nothing of the
    texts can be remembered from the pass before.
    """
    from vecsmith.model import StaticModel

    others = _other_english()
    rates = []
    for _ in range(_STATIC_PASSES):
        model = StaticModel.from_pretrained(folder)
        model.encode(others)
        started = time.perf_counter()
        vectors = model.encode(texts)
        rates.append(len(texts) / (time.perf_counter() - started))
    return model, vectors, statistics.median(rates)


def _other_english() -> list[str]:
    """English that is not in the language reference: paragraphs of the library's docstrings.

    Enough of it that every thread has its memory and has met the common words, as after the first
    moment of any real run.
    """
    import importlib
    import inspect

    found: set[str] = set()
    for name in _DOCUMENTED_MODULES:
        members = list(vars(importlib.import_module(name)).values())
        members += [m for value in members if inspect.isclass(value) for m in vars(value).values()]
        for value in members:
            found.update((inspect.getdoc(value) or "").split("\n\n"))
    return sorted(text for text in found if len(text) > 40)


def _sample(n_texts: int) -> NDArray[np.int64]:
    """Rows the teacher reads: at random, the same ones each time."""
    import numpy as np

    return np.random.default_rng(0).permutation(n_texts)[: _TEACHER_PARTS * _TEACHER_PART]


def _teacher_side(texts: list[str], *, quiet: bool) -> dict[str, Any]:
    """The teacher's vectors of questions and texts, and how many texts a second it takes."""
    import numpy as np

    from vecsmith.transformer.source import find_teacher, weights_digest
    from vecsmith.transformer.text_encoder import TextEncoder

    source = find_teacher(_TEACHER)
    # float32 is what sentence-transformers runs on a CPU unless told otherwise
    teacher = TextEncoder(source, compute_dtype="float32")
    questions = teacher.encode(QUESTIONS)
    teacher.encode(_other_english()[:32])  # a whole batch: the first one sets the kernels up
    vectors = np.empty((len(texts), teacher.dim), np.float32)
    rates = []
    with progress_bar("the teacher", total=len(texts), show=not quiet) as advance:
        for part in np.array_split(np.arange(len(texts)), _TEACHER_PARTS):
            started = time.perf_counter()
            vectors[part] = teacher.encode([texts[row] for row in part], advance=advance)
            rates.append(len(part) / (time.perf_counter() - started))
    return {
        "questions": questions,
        "vectors": vectors,
        "rate": statistics.median(rates),
        "dtype": teacher.compute_dtype,
        "max_tokens": teacher.max_length,
        "bytes": sum(path.stat().st_size for path in source.folder.rglob("*.safetensors")),
        "sha256": weights_digest(source),
    }


def _figures(
    model: StaticModel,
    folder: Path,
    teacher: dict[str, Any],
    student: tuple[NDArray[np.float32], NDArray[np.float32]],
    static_rate: float,
) -> dict[str, Any]:
    import numpy as np

    from vecsmith import __version__

    questions, vectors = student
    sample = np.sort(
        np.random.default_rng(1).choice(len(vectors), min(_SAMPLED_QUERIES, len(vectors)), False)
    )
    found = _agreement(teacher, questions, vectors, sample)
    return {
        "teacher": _TEACHER,
        "teacher_sha256": teacher["sha256"],
        "teacher_texts_per_second": teacher["rate"],
        "teacher_dtype": teacher["dtype"],
        "teacher_max_tokens": teacher["max_tokens"],
        "teacher_bytes": teacher["bytes"],
        "static": str(folder),
        "static_texts_per_second": static_rate,
        "static_dtype": model.checkpoint.table_dtype,
        "static_dim": model.dim,
        "static_bytes": sum(path.stat().st_size for path in folder.rglob("*.safetensors")),
        "ratio": static_rate / teacher["rate"],
        "overlap_at_10": found.overlap,
        "overlap_at_10_by_chance": found.chance,
        "first_found_in_10": found.first_found,
        "spearman": found.spearman,
        "queries": len(QUESTIONS) + len(sample),
        "texts": len(vectors),
        "cpu": _cpu_name(),
        "cores": _n_cores(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "vecsmith": __version__,
    }


def _agreement(
    teacher: dict[str, Any],
    questions: NDArray[np.float32],
    vectors: NDArray[np.float32],
    sample: NDArray[np.int64],
) -> Agreement:
    import numpy as np

    from vecsmith.cli._agreement import agreement

    own = np.concatenate([np.full(len(questions), -1), sample])
    return agreement(
        (np.concatenate([teacher["questions"], teacher["vectors"][sample]]), teacher["vectors"]),
        (np.concatenate([questions, vectors[sample]]), vectors),
        own=own,
    )


def _n_cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return one_line(line.partition(":")[2])
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _draw(path: Path, figures: dict[str, Any]) -> Path:
    from vecsmith.reporting.pictures.teacher_comparison import (
        TeacherComparison,
        save_teacher_comparison,
    )

    save_teacher_comparison(
        path,
        TeacherComparison(
            teacher=figures["teacher"].rpartition("/")[2],
            teacher_rate=figures["teacher_texts_per_second"],
            static_rate=figures["static_texts_per_second"],
            ratio=figures["ratio"],
            teacher_bytes=figures["teacher_bytes"],
            static_bytes=figures["static_bytes"],
            agreement={
                "same 10 nearest": figures["overlap_at_10"],
                "teacher's first\namong our 10": figures["first_found_in_10"],
                "rank correlation\n(Spearman)": figures["spearman"],
            },
            conditions=_conditions(figures),
        ),
    )
    return path


def _conditions(figures: dict[str, Any]) -> str:
    return (
        f"Python {figures['python']}'s language reference, {count(figures['texts'])} of "
        f"{count(figures['static_texts'])} paragraphs, {figures['queries']} queries; "
        f"{figures['cpu']}, {figures['cores']} cores; "
        f"teacher {figures['teacher_dtype']}, "
        f"static table {figures['static_dtype']} x {figures['static_dim']}"
    )


def _print_answers(
    questions: NDArray[np.float32], vectors: NDArray[np.float32], paragraphs: list[Paragraph]
) -> None:
    from textwrap import shorten

    import numpy as np

    for question, similarities in zip(QUESTIONS, questions @ vectors.T, strict=True):
        print(f"\n   {question}")
        for row in np.argsort(-similarities, kind="stable")[:2]:
            text = shorten(paragraphs[row].text, 150, placeholder=" ...")
            print(f"     {similarities[row]:.2f} [{paragraphs[row].topic}] {text}")
    print(flush=True)


def _print_figures(figures: dict[str, Any]) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("")
    table.add_column("teacher", justify="right")
    table.add_column(f"static, {figures['static_dim']} dimensions", justify="right", style="bold")
    teacher, static = figures["teacher_texts_per_second"], figures["static_texts_per_second"]
    table.add_row("texts per second", f"{teacher:,.0f}", f"{static:,.0f}")
    table.add_row("ratio", "1", f"{figures['ratio']:,.0f}")
    table.add_row("size", size(figures["teacher_bytes"]), size(figures["static_bytes"]))
    chance = f"chance {figures['overlap_at_10_by_chance']:.3f}"
    table.add_row(f"teacher's 10 nearest found ({chance})", "1", f"{figures['overlap_at_10']:.2f}")
    table.add_row(
        "teacher's first among the 10 nearest", "1", f"{figures['first_found_in_10']:.2f}"
    )
    table.add_row("rank correlation with the teacher", "1", f"{figures['spearman']:.2f}")
    console().print(table)
    print(f"{_conditions(figures)}")
    if figures["load"] is not None:
        print(f"load average {figures['load']:.1f}; {figures['seconds']:.0f} s in all")
    print(f"picture: {figures['picture']}")


def _print_next(out: Path, folder: Path) -> None:
    command = _command_name()
    print("\nNext:")
    print(f"  {command} info {folder}")
    print(f"  {command} encode {folder} {out / 'paragraphs.txt'} --out {out / 'paragraphs.npy'}")
    print(f"  {command} distill {_TEACHER} --dim 128 --out minilm-128")


def _command_name() -> str:
    """How this command was called, where that is a relative path such as .venv/bin/vecsmith."""
    called = Path(sys.argv[0])
    is_relative = not called.is_absolute() and len(called.parts) > 1
    return str(called) if is_relative and called.name == "vecsmith" else "vecsmith"
