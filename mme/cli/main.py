"""The command line: a formula and a data file in, a summary and files out."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from mme.cli.options import parser
from mme.errors import MMEError

# The model was fitted, but its search ended at no minimum.
NOT_CONVERGED = 3
_SCHEMA = Path(__file__).with_name("schema.json")


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return its exit code, one of :data:`mme.cli.options.EXIT_CODES` (2 is argparse's)."""
    arguments = parser().parse_args(argv)
    with warnings.catch_warnings():
        warnings.showwarning = _say_warning
        try:
            code = _COMMANDS[arguments.command](arguments)
            sys.stdout.flush()
        except (MMEError, OSError) as error:
            if isinstance(error, BrokenPipeError):  # the reader, `head` for one, has seen enough
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                return 1
            print(f"mme: {_message(error)}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("mme: interrupted", file=sys.stderr)
            return 130
    return code


def _fit(arguments: argparse.Namespace) -> int:
    from mme.cli.fits import fitted
    from mme.cli.written import check_outputs, write

    check_outputs(arguments)
    fit = fitted(arguments)
    write(fit, arguments)
    return 0 if fit.optimum.converged else NOT_CONVERGED


def _demo(arguments: argparse.Namespace) -> int:
    from mme.cli.demo import demo

    demo(arguments.output)
    return 0


def _data(arguments: argparse.Namespace) -> int:
    from mme.tables.datasets import ABOUT, load

    if arguments.name is None:
        for name, about in ABOUT.items():
            print(f"{name:<12} {about}")
    else:
        print(load(arguments.name).to_csv(index=False), end="")
    return 0


def _schema(arguments: argparse.Namespace) -> int:
    print(_SCHEMA.read_text(encoding="utf-8"), end="")
    return 0


def _completion(arguments: argparse.Namespace) -> int:
    try:
        import shtab
    except ImportError:
        raise MMEError("completion needs shtab: pip install 'mme[completion]'") from None
    made = parser()
    made.prog = "mme"
    for action in _actions(made):
        if action.type is Path:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(made, shell=arguments.shell))
    return 0


def _actions(made: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """The arguments of all commands."""
    for action in made._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for one in dict.fromkeys(action.choices.values()):
                yield from _actions(one)


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "fit": _fit,
    "demo": _demo,
    "data": _data,
    "schema": _schema,
    "completion": _completion,
}


def _message(error: MMEError | OSError) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _say_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    print(f"mme: warning: {message}", file=sys.stderr)
