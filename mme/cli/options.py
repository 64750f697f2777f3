"""What the command line takes: commands, options, and the help that explains them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import mme

EXIT_CODES = """\
exit codes:
  0    done
  1    the input cannot be used, or a file cannot be written: one sentence on stderr says why
  2    the command line is wrong
  3    the model was fitted and all was written, but the search ended at no minimum
  130  interrupted
"""
_FIT_HELP = f"""\
examples:
  mme fit "Reaction ~ Days + (Days | Subject)" sleep.csv
  mme fit "score ~ age + (1 | school/class)" pupils.parquet --ml --ranef blup.csv --json fit.json
  mme fit "Ertrag ~ Düngung + (1 | Block)" ertrag.txt --encoding latin-1
  mme fit "y ~ treat*week + (1 | id)" trial.csv --residual "AR1(week, id)" --ddf kenward-roger --anova --means treat
  mme fit "milk ~ herd + (1 | animal)" cows.csv --relationship animal=pedigree.csv --ranef ebv.csv
  mme fit "cbind(ill, healthy) ~ period + (1 | herd)" herds.csv --family binomial --link cloglog
  mme fit "cases ~ age + (1 | region)" regions.csv --family poisson --exposure persons
  mme data sleepstudy | mme fit "Reaction ~ Days + (Days | Subject)" - --json - | jq .beta
  mme fit "y ~ x + (x | g)" old.csv --predict new.csv --new-levels population --out predicted.csv

The file has a header; its fields stand between commas, semicolons, tabs or blanks (as R's write.table writes them, row
names or not). Missing ones are empty, or a word such as NA, NaN, None, null, or one of --missing; where such a word
stands in quotes in a column of labels it is a label. Also compressed (.gz), or Parquet. - is standard input.

With --family the model is a generalised one, by maximum likelihood (Laplace, or quadrature by --agq). A binomial
response is 0 and 1, two labels (the second in sorted order is the success), cbind(successes, failures), or a proportion
with the numbers of trials as --weights.

--residual takes the structures of Python: AR1(time, group), Exponential(time, group, nugget = TRUE),
CompoundSymmetry(group), Unstructured(occasion, group), Toeplitz(occasion, group), Heterogeneous(stratum),
Spatial("exponential", c(x, y)), ...; a correlation and a variance, each with its own --residual, are multiplied.

--relationship takes a table of three columns, animal, sire and dam (unknown: empty or 0), as FACTOR=FILE, or as FILE
where its first column has the name of the grouping factor.

--ranef writes one row a random effect:
  term (the grouping factor), level, coefficient, blup, condsd (square root of var(b | y), beta held at its estimate),
  pev (var(b_hat - b), a variance, the uncertainty of beta included)
With --family blup is the mode, and pev has what all parameters leave uncertain (glmmTMB's condVar).

--predict writes the rows of NEW with a column prediction (on the scale of the response, random effects included), and
lower, upper where an --interval is asked.

--json writes one object; numbers that do not exist are null; `mme schema` prints its JSON Schema:
  format, version, formula, response, method, nobs, n_dropped, groups {{factor: levels}}, criterion, loglik, aic, bic,
  dof, sigma, theta [{{name, value}}], ddf, level, beta [{{name, estimate, se, t, df, p, lower, upper}}], beta_cov,
  dropped [names], varcorr [{{term, names, sd, corr, cov}}], relationships {{term: {{name: value}}}},
  optimum {{verdict, converged, singular, boundary, undetermined, evaluations, reason}},
  residual [{{name, value}}] where the residuals have a structure, tables [{{title, rows}}] by --anova and --means
With --family there are family, link, approximation and parameters [{{name, value}}] for sigma, and z for t.

Where a file is -, it goes to standard output in the place of the summary.

{EXIT_CODES}"""


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    called_as_module = Path(sys.argv[0]).name == "__main__.py"
    made = argparse.ArgumentParser(
        prog="python -m mme" if called_as_module else "mme",
        description="Linear and generalised linear mixed models: BLUE, BLUP, REML and ML.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--version", action="version", version=f"mme {mme.__version__}")
    commands = made.add_subparsers(title="commands", metavar="COMMAND", required=True, dest="command")
    fit = commands.add_parser(
        "fit",
        help="fit a model to a file and print its summary",
        description="Fit a linear mixed model by REML, or a generalised one, and print its summary.",
        epilog=_FIT_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_model(fit)
    _add_asked(fit)
    demo = commands.add_parser(
        "demo",
        help="the sleepstudy data from formula to BLUPs",
        description="Fit the sleepstudy data, show the shrinkage of each subject, and check Henderson's equations.",
    )
    demo.add_argument("--output", metavar="DIR", type=Path, default=Path("demo-output"), help="default: %(default)s")
    data = commands.add_parser("data", help="print a data set that ships with mme, as CSV")
    data.add_argument("name", metavar="NAME", nargs="?", help="of a data set; without it all are listed")
    commands.add_parser("schema", help="print the JSON Schema of what --json writes")
    shell = commands.add_parser(
        "completion",
        help="print what completes mme in a shell",
        description='bash: eval "$(mme completion bash)" in .bashrc; zsh: write it into _mme in a folder of $fpath.',
    )
    shell.add_argument("shell", choices=("bash", "zsh", "tcsh"))
    return made


def _add_model(fit: argparse.ArgumentParser) -> None:
    """The model and its data."""
    fit.add_argument("formula", metavar="FORMULA", help='as in lme4, in quotes: "y ~ x + (x | g)"')
    fit.add_argument("file", metavar="FILE", type=Path, help="a table with a header; or Parquet; - is standard input")
    fit.add_argument("--encoding", metavar="NAME", default="utf-8-sig", help="of FILE (default: UTF-8)")
    fit.add_argument("--missing", metavar="WORDS", help='missing values, in place of NA and its like: ".,-999"')
    model = fit.add_argument_group("model")
    model.add_argument("--ml", action="store_true", help="maximum likelihood instead of REML")
    model.add_argument(
        "--weights", metavar="COL", help="column of prior weights (var(e) = sigma^2 / weight), or of trials"
    )
    model.add_argument("--offset", metavar="COL", help="column with a known part of the mean, or of its link")
    model.add_argument("--sigma", metavar="SD", type=float, help="known residual standard deviation: not estimated")
    model.add_argument("--residual", metavar="STRUCTURE", action="append", help='"AR1(time, group)", ...')
    model.add_argument("--relationship", metavar="[FACTOR=]PEDIGREE", action="append", help="animal, sire, dam")
    model.add_argument("--family", metavar="NAME", help="binomial, poisson, ...: a generalised model")
    model.add_argument("--link", metavar="NAME", help="of the family, where it is not the usual one")
    model.add_argument("--exposure", metavar="COL", help="column whose logarithm is added to the offset")
    model.add_argument("--agq", metavar="N", type=int, help="points of adaptive Gauss-Hermite quadrature")
    fit.add_argument("--progress", action="store_true", help="a bar on stderr, or a line an evaluation in a file")


def _add_asked(fit: argparse.ArgumentParser) -> None:
    """What is asked of the fit, and where it goes."""
    asked = fit.add_argument_group("what is asked of it")
    asked.add_argument(
        "--ddf",
        metavar="METHOD",
        help="degrees of freedom: satterthwaite, kenward-roger(-linear), containment, between-within or none",
    )
    asked.add_argument("--anova", action="store_true", help="test each term of the fixed effects")
    asked.add_argument("--means", metavar="FACTOR[:FACTOR]", action="append", help="estimated marginal means")
    asked.add_argument("--pairs", action="store_true", help="differences of the means, too")
    asked.add_argument("--predict", metavar="NEW", type=Path, help="predict the rows of this table")
    asked.add_argument("--interval", choices=("prediction", "confidence"), help="beside the predictions")
    asked.add_argument(
        "--new-levels", choices=("error", "population"), default="error", help="of levels that the fit did not see"
    )
    files = fit.add_argument_group("files")
    files.add_argument("--out", metavar="CSV", type=Path, help="write the predictions there (default: -)")
    files.add_argument("--ranef", metavar="CSV", type=Path, help="write the BLUPs and their variances there")
    files.add_argument("--json", metavar="JSON", type=Path, help="write the estimates there")
    files.add_argument("--report", metavar="HTML", type=Path, help="write one page of tables and pictures there")
    files.add_argument("--plot", metavar="DIR", type=Path, help="write pictures into this directory")
