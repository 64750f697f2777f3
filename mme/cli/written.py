"""What ``mme fit`` prints and writes of a fit."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mme.api.face import Fit
from mme.api.generalised import GeneralisedFit
from mme.cli.exported import json_of
from mme.cli.quoted import words_of
from mme.cli.read import read_new
from mme.cli.source import STANDARD, source_of
from mme.errors import MMEError
from mme.files.export import save

if TYPE_CHECKING:
    import pandas as pd

# Pictures that need no argument, in the order of their files.
_PICTURES = ("coefficients", "check", "residuals", "qq", "caterpillar", "shrinkage", "variance")
_DPI = 150
# Options that write one file each.
_FILES = ("ranef", "json", "out", "report")


def check_outputs(arguments: argparse.Namespace) -> None:
    """Find before a long fit what would fail after it.

    Raises
    ------
    MMEError
        A file cannot be written, is named twice or is the one with the data.
    """
    named = [path for name in _FILES if (path := getattr(arguments, name)) is not None]
    for path in named:
        if str(path) == STANDARD:
            continue
        if not path.parent.is_dir():
            raise MMEError(f"cannot write {path}: there is no directory {path.parent}")
        if path.is_dir():
            raise MMEError(f"cannot write {path}: it is a directory")
        for source in (arguments.file, arguments.predict):
            if source is not None and path.exists() and source.exists() and path.samefile(source):
                raise MMEError(f"{path} is the file with the data; write elsewhere")
    places = [path if str(path) == STANDARD else path.resolve() for path in named]
    if len(set(places)) < len(places):
        raise MMEError(
            f"{next(path for path, at in zip(named, places, strict=True) if places.count(at) > 1)} is named "
            "twice; give each output its own file"
        )
    if arguments.report is not None and str(arguments.report) == STANDARD:
        raise MMEError("--report needs the name of a file")
    if arguments.predict is None:
        for name, given in (("out", arguments.out), ("interval", arguments.interval)):
            if given is not None:
                raise MMEError(f"--{name} is for the predictions of --predict NEW.csv")
    if arguments.pairs and not arguments.means:
        raise MMEError("--pairs is for the means of --means FACTOR")
    inputs = [arguments.file, arguments.predict]
    if inputs.count(Path(STANDARD)) > 1:
        raise MMEError("the data and the rows to predict cannot both come from standard input")


def write(fit: Fit | GeneralisedFit, arguments: argparse.Namespace) -> None:
    """Print the summary and what was asked beside it, unless a file takes its place; write the files."""
    tables = dict(_tables(fit, arguments))
    texts: list[tuple[Path | None, Callable[[], str]]] = [
        (arguments.ranef, lambda: _ranef(fit)),
        (arguments.json, lambda: json_of(fit, arguments.ddf, tables)),
    ]
    if arguments.predict is not None:
        texts.append((arguments.out or Path(STANDARD), lambda: _predictions(fit, arguments)))
    asked = [(path, text) for path, text in texts if path is not None]
    taken = any(str(path) == STANDARD for path, _ in asked)
    if not taken:
        print(_summary(fit, arguments), end="")
        for title, table in tables.items():
            print(f"\n{title}:\n{table}")
    written = []
    for path, text in asked:
        if str(path) == STANDARD:
            sys.stdout.write(text())
        else:
            save(path, text())
            written.append(path)
    written += list(_pages(fit, arguments))
    if written and not taken:
        print(f"\nWritten: {', '.join(map(str, written))}")


def _summary(fit: Fit | GeneralisedFit, arguments: argparse.Namespace) -> str:
    return fit.summary(arguments.ddf) if isinstance(fit, Fit) else fit.summary()


def _tables(fit: Fit | GeneralisedFit, arguments: argparse.Namespace) -> Iterator[tuple[str, pd.DataFrame]]:
    """Tests of terms and means, with their titles."""
    ddf = {} if arguments.ddf is None else {"ddf": arguments.ddf}
    if arguments.anova:
        yield "Tests of fixed effects, type III", fit.anova(**ddf)
    for factors in arguments.means or ():
        names = factors.split(":")
        yield f"Means of {factors}", fit.means(names, **ddf)
        if arguments.pairs:
            yield f"Pairs of {factors}, by Tukey", fit.means(names, pairs=True, **ddf)


def _ranef(fit: Fit | GeneralisedFit) -> str:
    from mme.files.export import ranef_table

    return ranef_table(fit.internals).to_csv(index=False)


def _predictions(fit: Fit | GeneralisedFit, arguments: argparse.Namespace) -> str:
    """The new rows with ``prediction`` beside them, and ``lower, upper`` where an interval was asked."""
    import pandas as pd

    new = read_new(source_of(arguments.predict), arguments.formula, arguments.encoding, words_of(arguments.missing))
    made = fit.predict(new, new_levels=arguments.new_levels, interval=arguments.interval)
    if arguments.interval is None:
        columns = pd.DataFrame({"prediction": pd.Series(made).to_numpy()})
    else:
        columns = pd.DataFrame(made).rename(columns={"fit": "prediction"}).reset_index(drop=True)
    return pd.concat([new.reset_index(drop=True), columns], axis=1).to_csv(index=False)


def _pages(fit: Fit | GeneralisedFit, arguments: argparse.Namespace) -> Iterator[Path]:
    """Write the report and the pictures; give their names."""
    if arguments.report is not None:
        fit.report(arguments.report)
        yield arguments.report
    if arguments.plot is not None:
        try:
            arguments.plot.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MMEError(f"cannot make the directory {arguments.plot}: {error.strerror}") from None
        yield from _pictures(fit, arguments.plot)


def _pictures(fit: Fit | GeneralisedFit, folder: Path) -> Iterator[Path]:
    import numpy as np

    from mme.plot.style import close

    for name in _PICTURES:
        draw = getattr(fit.plot, name, None)
        if draw is None:
            continue
        try:
            figure = np.ravel(draw())[0].figure
        except MMEError:  # not of this model
            continue
        path = folder / f"{name}.png"
        figure.savefig(path, dpi=_DPI, bbox_inches="tight")
        close(figure)
        yield path
