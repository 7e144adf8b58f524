"""The `vecsmith` command: one file a verb, every heavy import inside the verb that needs it.

The one rule: whatever goes wrong ends as one line on stderr and an exit code: 0 done, 1 the work
could not be done, 2 the command line is wrong, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated

import typer

from vecsmith.cli import (
    classify,
    compare,
    compress,
    demo,
    dims,
    distill,
    encode,
    eval,
    fit,
    index,
    info,
    plan,
    run,
    search,
    sweep,
    train,
)
from vecsmith.cli._console import one_line

__all__ = ["app", "main"]

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

app = typer.Typer(
    name="vecsmith",
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _verb in (distill.distill, encode.encode, compress.compress, info.info, demo.demo):
    app.command()(_verb)
app.command(name="eval")(eval.evaluate)
app.command()(compare.compare)
app.command()(dims.dims)
app.command()(fit.fit)
app.command()(index.index)
app.command()(run.run)
app.command()(search.search)
app.command()(sweep.sweep)
app.command()(plan.plan)
app.add_typer(classify.app)
app.add_typer(train.app)


def _print_version(asked: bool) -> None:
    if asked:
        from vecsmith import __version__

        print(f"vecsmith {__version__}")
        raise typer.Exit


@app.callback()
def _vecsmith(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and stop."
        ),
    ] = False,
) -> None:
    """Small, fast text embeddings: distil, train, nest, compress; encode, search, classify.

    Examples:
      vecsmith distill sentence-transformers/all-MiniLM-L6-v2 --dim 256 --out minilm-256
      vecsmith encode minilm-256 texts.txt --out vectors.npy
      vecsmith index minilm-256 texts.txt --out index
      vecsmith search index "how do I raise an exception"
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code of the command line `arguments` (those of the process when None)."""
    given = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        code = _run(given)
        sys.stdout.flush()
    except KeyboardInterrupt as interrupt:
        _print_error(": ".join(["interrupted", *map(str, interrupt.args)]), label="vecsmith")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone; python would complain once more while closing it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except Exception as error:
        if os.environ.get("VECSMITH_DEBUG"):
            raise
        _print_error(_describe(error))
        return EXIT_FAILED
    return code


def _run(arguments: list[str]) -> int:
    command = typer.main.get_command(app)
    try:
        with command.make_context("vecsmith", arguments) as context:
            command.invoke(context)
    except typer.Exit as stop:
        return int(stop.exit_code)
    except typer.Abort:
        raise KeyboardInterrupt from None
    except Exception as error:
        # typer brings click as a dependency or inside itself, by version: known by its method.
        format_message = getattr(error, "format_message", None)
        if format_message is None:
            raise
        path = getattr(getattr(error, "ctx", None), "command_path", "vecsmith")
        message = str(format_message()).rstrip(".")
        _print_error(f"{message[:1].lower()}{message[1:]}; see {path} --help")
        return EXIT_USAGE
    return 0


def _describe(error: Exception) -> str:
    from vecsmith.errors import MissingExtraError, VecsmithError

    if isinstance(error, (VecsmithError, ValueError, TypeError, MissingExtraError)):
        return str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        # 28 (no space left) of a write has no file name; reading and opening have one
        name = f"{error.filename}: " if error.filename else ""
        return f"{name}{error.strerror.lower()}"
    if isinstance(error, OSError) and error.errno is None and str(error):
        return str(error)  # a message of ours
    if isinstance(error, MemoryError):
        return f"out of memory: {error}" if str(error) else "out of memory"
    return f"{type(error).__name__}: {error}; set VECSMITH_DEBUG=1 to see where"


def _print_error(message: str, label: str = "vecsmith: error") -> None:
    with suppress(OSError):
        print(f"{label}: {one_line(message)}", file=sys.stderr)
