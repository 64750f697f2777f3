"""The command line: a formula and a data file in, a summary and files out."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from pathlib import Path
from typing import TextIO

import mme
from mme.errors import MMEError
from mme.files.export import save

_FIT_HELP = """\
examples:
  mme fit "Reaction ~ Days + (Days | Subject)" sleep.csv
  mme fit "score ~ age + (1 | school/class)" pupils.parquet --ml --ranef blup.csv --json fit.json
  mme fit "Ertrag ~ Düngung + (1 | Block)" ertrag.txt --encoding latin-1
  mme fit "cbind(ill, healthy) ~ period + (1 | herd)" herds.csv --family binomial --link cloglog
  mme fit "cases ~ age + (1 | region)" regions.csv --family poisson --exposure persons

The file has a header; its fields stand between commas, semicolons, tabs or blanks (as R's write.table writes them, row
names or not), missing ones empty or NA. Also compressed (.gz), or Parquet.

With --family the model is a generalised one, by maximum likelihood (Laplace, or quadrature by --agq). A binomial
response is 0 and 1, two labels (the second in sorted order is the success), cbind(successes, failures), or a proportion
with the numbers of trials as --weights.

--ranef writes one row a random effect:
  term (the grouping factor), level, coefficient, blup, condsd (square root of var(b | y), beta held at its estimate),
  pev (var(b_hat - b), a variance, the uncertainty of beta included)
With --family blup is the mode, and there is no pev.

--json writes one object; numbers that do not exist are null:
  format, formula, response, method, nobs, n_dropped, groups {factor: levels}, criterion, loglik, aic, bic, dof,
  sigma, theta [{name, value}], beta [{name, estimate, se, t}], beta_cov, dropped [names],
  varcorr [{term, names, sd, corr, cov}], relationships {term: {name: value}},
  optimum {verdict, converged, singular, boundary, undetermined, evaluations, reason},
  residual [{name, value}] where the residuals have a structure
With --family there are family, link, approximation and parameters [{name, value}] for sigma, and z for t.
"""


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return its exit code: 0, or 1 where the input cannot be used (2 is argparse's)."""
    arguments = _parser().parse_args(argv)
    with warnings.catch_warnings():
        warnings.showwarning = _say_warning
        try:
            code: int = arguments.command(arguments)
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


def _parser() -> argparse.ArgumentParser:
    called_as_module = Path(sys.argv[0]).name == "__main__.py"
    parser = argparse.ArgumentParser(
        prog="python -m mme" if called_as_module else "mme",
        description="Linear mixed models by Henderson's equations: BLUE, BLUP, REML and ML.",
    )
    parser.add_argument("--version", action="version", version=f"mme {mme.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    fit = commands.add_parser(
        "fit",
        help="fit a model to a file and print its summary",
        description="Fit a linear mixed model by REML, or a generalised one, and print its summary.",
        epilog=_FIT_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_options(fit)
    fit.set_defaults(command=_fit)

    demo = commands.add_parser(
        "demo",
        help="the sleepstudy data from formula to BLUPs",
        description="Fit the sleepstudy data, show the shrinkage of each subject, and check Henderson's equations.",
    )
    demo.add_argument("--output", metavar="DIR", type=Path, default=Path("demo-output"), help="default: %(default)s")
    demo.set_defaults(command=_demo)
    return parser


def _add_options(fit: argparse.ArgumentParser) -> None:
    """What ``fit`` takes."""
    fit.add_argument("formula", metavar="FORMULA", help='as in lme4, in quotes: "y ~ x + (x | g)"')
    fit.add_argument("file", metavar="FILE", type=Path, help="a table with a header; or Parquet")
    fit.add_argument("--encoding", metavar="NAME", default="utf-8-sig", help="of FILE (default: UTF-8)")
    fit.add_argument("--ml", action="store_true", help="maximum likelihood instead of REML")
    fit.add_argument(
        "--weights", metavar="COL", help="column of prior weights (var(e) = sigma^2 / weight), or of trials"
    )
    fit.add_argument("--offset", metavar="COL", help="column with a known part of the mean, or of its link")
    fit.add_argument("--sigma", metavar="SD", type=float, help="known residual standard deviation: not estimated")
    fit.add_argument("--family", metavar="NAME", help="binomial, poisson, ...: a generalised model")
    fit.add_argument("--link", metavar="NAME", help="of the family, where it is not the usual one")
    fit.add_argument("--exposure", metavar="COL", help="column whose logarithm is added to the offset")
    fit.add_argument("--agq", metavar="N", type=int, help="points of adaptive Gauss-Hermite quadrature")
    fit.add_argument("--ranef", metavar="CSV", type=Path, help="write the BLUPs and their variances there")
    fit.add_argument("--json", metavar="JSON", type=Path, help="write the estimates there")
    fit.add_argument("--progress", action="store_true", help="a line an evaluation of the criterion, to stderr")


def _fit(arguments: argparse.Namespace) -> int:
    from mme.cli.fits import fitted

    outputs = [path for path in (arguments.ranef, arguments.json) if path is not None]
    _check_outputs(outputs, arguments.file)
    fit = fitted(arguments)
    print(fit.summary, end="")
    for path, text in ((arguments.ranef, fit.ranef), (arguments.json, fit.json)):
        if path is not None:
            save(path, text())
    if outputs:
        print(f"\nWritten: {', '.join(map(str, outputs))}")
    return 0


def _demo(arguments: argparse.Namespace) -> int:
    from mme.cli.demo import demo

    demo(arguments.output)
    return 0


def _check_outputs(outputs: list[Path], source: Path) -> None:
    """Find before a long fit what would fail after it."""
    for path in outputs:
        if not path.parent.is_dir():
            raise MMEError(f"cannot write {path}: there is no directory {path.parent}")
        if path.is_dir():
            raise MMEError(f"cannot write {path}: it is a directory")
        if path.exists() and source.exists() and path.samefile(source):
            raise MMEError(f"{path} is the file with the data; write elsewhere")
    if len({path.resolve() for path in outputs}) < len(outputs):
        raise MMEError(f"{outputs[0]} is named twice; give each output its own file")


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
