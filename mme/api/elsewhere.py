"""Names of functions of other packages, and what does their work here."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_FORMULA = "mme.lmer('y ~ x + (x | g)', data)"
_GENERALISED = "mme.glmer('y ~ x + (1 | g)', data, 'binomial')"
# By name, in lower case.
_ELSEWHERE = {
    "mixedlm": _FORMULA,
    "linearmixedmodel": _FORMULA,
    "mixedmodel": _FORMULA,
    "lme": f"{_FORMULA}; correlated residuals are residual=mme.AR1('time', 'g')",
    "gls": "mme.lmer('y ~ x', data, residual=mme.AR1('time', 'g'))",
    "ols": "mme.lm('y ~ x', data)",
    "asreml": f"{_FORMULA}, relationship={{'animal': pedigree}}",
    "mmer": f"{_FORMULA}, relationship={{'animal': pedigree}}",
    "blup": "fit.ranef() of a fit, or mme.solve(y, X, Z, Ginv=...) at known variances",
    "glmm": _GENERALISED,
    "glm": "mme.glmer('y ~ x + (1 | g)', data, 'poisson'), which needs random effects",
    "glmmtmb": _GENERALISED,
    "generalizedlinearmixedmodel": _GENERALISED,
    "binomialbayesmixedglm": _GENERALISED,
    "poissonbayesmixedglm": "mme.glmer('y ~ x + (1 | g)', data, 'poisson')",
    "gee": "fit.coefficients(robust='CR2', cluster='g') of a fit, for standard errors that are robust",
    "emmeans": "fit.means('factor')",
    "lsmeans": "fit.means('factor')",
    "emtrends": "fit.trends('x', by='factor')",
    "ranef": "fit.ranef()",
    "fixef": "fit.beta",
    "varcorr": "fit.varcorr",
    "predict": "fit.predict(newdata)",
    "summary": "fit.summary()",
    "ranova": "fit.ranova()",
    "confint": "fit.confint()",
    "read_csv": "mme.lmer(formula, 'table.csv') reads the file; so do pandas and Polars",
    "data": "mme.load('sleepstudy')",
    "formula": "formulas are text: 'y ~ x + (1 | g)'",
}


def instead(name: str, known: Iterable[str]) -> str:
    """What to write for a name that the package has not; empty where nothing is like it.

    Examples
    --------
    >>> instead("emmeans", []), instead("lmmer", ["lmer", "load"]), instead("zzz", ["lmer"])
    ("write fit.means('factor')", "did you mean 'lmer'?", '')
    """
    if name.startswith("_"):
        return ""
    if name.lower() in _ELSEWHERE:
        return f"write {_ELSEWHERE[name.lower()]}"
    near = get_close_matches(name, list(known), 1, 0.75)
    return f"did you mean '{near[0]}'?" if near else ""
