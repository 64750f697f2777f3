"""The main job on real data: from a formula to BLUEs, BLUPs and shrinkage, and once more from Henderson's equations."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import numpy as np

import mme
from mme.api.face import Fit
from mme.cli.exported import json_of
from mme.errors import MMEError
from mme.files.export import ranef_table, save

_FORMULA = "Reaction ~ Days + (Days | Subject)"
_CHART = 25  # characters


def demo(directory: Path) -> None:
    """Print the demonstration and write its files into ``directory``."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MMEError(f"cannot make the directory {directory}: {error.strerror}") from None
    data = mme.load("sleepstudy")
    began = perf_counter()
    fit = mme.lmer(_FORMULA, data)
    seconds = perf_counter() - began

    print(f"Reaction times (ms) of {data['Subject'].nunique()} subjects over ten days of short sleep (sleepstudy).\n")
    print(f">>> fit = mme.lmer({_FORMULA!r}, data)    # {1000 * seconds:.0f} ms\n>>> print(fit)\n")
    print(fit.summary())
    print(shrinkage_text(fit))
    print(equations_text(fit))
    print(f"\nWritten: {', '.join(map(str, write(fit, directory)))}")


def shrinkage_text(fit: Fit) -> str:
    """One line per subject: its own regression, its BLUPs, and on a scale how far its slope was drawn to the BLUE."""
    beta, blup, table = fit.beta, fit.ranef()["Subject"], fit.shrinkage()["Subject"]
    n, own, partial, weight = (table[name].unstack() for name in ("n", "no_pooling", "partial_pooling", "weight"))
    low, high = own["Days"].min(), own["Days"].max()

    def place(slope: float) -> int:
        return round((_CHART - 1) * (slope - low) / (high - low))

    def cells(subject: str, name: str, spec: str) -> str:
        return f"{own.loc[subject, name]:{spec}} {blup.loc[subject, name]:+{spec}} {weight.loc[subject, name]:6.2f}"

    lines = [
        "Shrinkage. own: the subject's own regression; BLUE: the line of all; BLUP: the",
        "random effect; line: BLUE + BLUP; weight: the share of the subject's own data",
        "in its line.",
        "",
        f"            intercept, BLUE {beta['(Intercept)']:5.1f}    slope, BLUE {beta['Days']:5.2f}"
        "   o own   * line   | BLUE",
        f"Subject  n    own   BLUP weight    own   BLUP weight   {low:<{_CHART - 5}.2f}{high:5.2f}",
    ]
    for subject, slope in own["Days"].sort_values(ascending=False).items():
        chart = _chart(place(beta["Days"]), place(slope), place(partial.loc[subject, "Days"]))
        intercept, days = cells(subject, "(Intercept)", "6.1f"), cells(subject, "Days", "6.2f")
        lines.append(f"{subject:<7} {n.loc[subject, 'Days']:2d} {intercept} {days}   {chart}".rstrip())
    return "\n".join([*lines, ""])


def _chart(blue: int, own: int, line: int) -> str:
    marks = [" "] * _CHART
    for position in range(min(own, line), max(own, line)):
        marks[position] = "-"
    marks[blue], marks[own], marks[line] = "|", "o", "*"
    return "".join(marks)


def equations_text(fit: Fit) -> str:
    """The same estimates straight from Henderson's equations at the fit's variances."""
    term = fit.internals.model.terms[0]
    G = fit.varcorr["Subject"].cov
    Ginv = np.kron(np.eye(term.n_levels), np.linalg.inv(G))
    sol = mme.solve(fit.internals.model.y, fit.internals.model.X, term.Z, Ginv=Ginv, Rinv=1.0 / fit.sigma**2)
    pairs = {
        "BLUE": (sol.beta, fit.beta),
        "BLUP": (sol.b, fit.ranef()["Subject"]),
        "standard error": (np.sqrt(np.diag(sol.beta_cov)), fit.se),
        "PEV": (sol.pev(), np.einsum("gii->gi", fit.pev()["Subject"])),
    }
    differences = (f"{name} {np.abs(a - np.ravel(b)).max():.0e}" for name, (a, b) in pairs.items())
    size = sol.beta.size + sol.b.size
    return (
        "Henderson's equations at these variances,\n"
        "    (C'R^-1 C + diag(0, G^-1)) [beta; b] = C'R^-1 y,    C = [X Z]\n\n"
        f">>> sol = mme.solve(y, X, Z, Ginv=Ginv, Rinv=1 / fit.sigma**2)    # {size} equations\n\n"
        f"Largest differences from the fit:\n{', '.join(differences)}."
    )


def write(fit: Fit, directory: Path) -> list[Path]:
    """Write the summary, the random effects and the estimates; return the names of the files."""
    summary, blup, estimates = (directory / name for name in ("summary.txt", "blup.csv", "fit.json"))
    save(summary, fit.summary())
    save(blup, ranef_table(fit.internals).to_csv(index=False))
    save(estimates, json_of(fit))
    return [summary, blup, estimates]
