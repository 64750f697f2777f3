"""One model for many responses: estimates, errors and tests of each, as tables with one row per response."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.errors import MMEError
from mme.inference.fixed.adjustments import by_p_alone
from mme.inference.fixed.reference import two_sided
from mme.inference.responses.found import FoundMany
from mme.inference.responses.moderated import Moderated, moderated
from mme.tables.arguments import is_word
from mme.tables.arrays import shown

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class ManyFits:
    """Fits of one mixed model to many responses. Made by :func:`mme.lmer_many`.

    Every table has one row per response, in the order given. A response that could not be fitted has NaN
    in its row and its reason in :attr:`failures`.

    Attributes
    ----------
    names : tuple
        Labels of the responses.
    tests : tuple of str
        Fixed effects, then the contrasts asked for.
    ddf : str
        How degrees of freedom were found.
    """

    names: tuple[Any, ...]
    tests: tuple[str, ...]
    variance_names: tuple[str, ...]
    ddf: str
    _reasons: dict[int, str]
    _found: FoundMany

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def failures(self) -> dict[Any, str]:
        """Why responses could not be fitted, by label; of several with one label, each with its place."""
        found: dict[Any, str] = {}
        often = Counter(self.names)
        for place, reason in sorted(self._reasons.items()):
            name = self.names[place]
            said = reason if often[name] == 1 else f"response {place + 1}: {reason}"
            found[name] = f"{found[name]}; {said}" if name in found else said
        return found

    @property
    def estimate(self) -> pd.DataFrame:
        """Estimates of fixed effects and contrasts."""
        return self._frame(self._found.estimate, self.tests)

    @property
    def se(self) -> pd.DataFrame:
        """Their standard errors."""
        return self._frame(self._found.se, self.tests)

    @property
    def df(self) -> pd.DataFrame:
        """Degrees of freedom of their t."""
        return self._frame(self._found.df, self.tests)

    @property
    def t(self) -> pd.DataFrame:
        """Estimates over their standard errors."""
        return self._frame(self._t, self.tests)

    @property
    def p(self) -> pd.DataFrame:
        """Two-sided p-values."""
        return self._frame(two_sided(self._t, self._found.df), self.tests)

    @property
    def variances(self) -> pd.DataFrame:
        """Standard deviations and correlations of the random effects, and sigma, by lme4's names."""
        return self._frame(self._found.variances, self.variance_names)

    @property
    def fits(self) -> pd.DataFrame:
        """``nobs``, ``criterion``, ``singular`` and ``converged``."""
        import pandas as pd

        f = self._found
        columns = {"nobs": f.nobs, "criterion": f.criterion, "singular": f.singular, "converged": f.converged}
        return pd.DataFrame(columns, index=self._index)

    @cached_property
    def table(self) -> pd.DataFrame:
        """Everything side by side: columns (quantity, name) of two levels."""
        import pandas as pd

        parts = {name: getattr(self, name) for name in ("estimate", "se", "df", "t", "p", "variances", "fits")}
        return pd.concat(parts, axis=1)

    def test(self, name: str, *, adjust: str = "fdr", moderate: bool = False) -> pd.DataFrame:
        """Test one fixed effect or contrast in every response: ``estimate, se, df, t, p, p_adjusted``.

        Parameters
        ----------
        name : str
            One of :attr:`tests`.
        adjust : str
            ``"fdr"`` (Benjamini and Hochberg 1995), ``"by"`` (Benjamini and Yekutieli 2001), ``"holm"``,
            ``"bonferroni"`` or ``"none"``, over the responses that have a p-value.
        moderate : bool
            Squeeze the variances of the estimates towards their common value: the variance v of a response, on df
            degrees of freedom, becomes (d v0 + df v) / (d + df), on d + df; v0 and d are estimated from all responses
            (Smyth 2004, Stat. Appl. Genet. Mol. Biol. 3(1):3).
        """
        import pandas as pd

        if name not in self.tests:
            raise MMEError(f"there is no test {shown(name)}; there are {', '.join(map(repr, self.tests))}")
        at, f = self.tests.index(name), self._found
        estimate, se, df = f.estimate[:, at], f.se[:, at], f.df[:, at]
        if moderate:
            found: Moderated = moderated(se**2, df)
            se, df = np.sqrt(found.variance), found.df
        with np.errstate(invalid="ignore", divide="ignore"):
            t = estimate / se
        p = two_sided(t, df)
        columns = {"estimate": estimate, "se": se, "df": df, "t": t, "p": p, "p_adjusted": adjusted(p, adjust)}
        return pd.DataFrame(columns, index=self._index)

    def __repr__(self) -> str:
        f = self._found
        text = f"{len(self):,} fits: {int(f.singular.sum()):,} singular, {len(self._reasons):,} failed"
        return f"{text}; tests of {', '.join(self.tests)} by {self.ddf}"

    @property
    def _t(self) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self._found.estimate / self._found.se)

    @property
    def _index(self) -> list[Any]:
        return list(self.names)

    def _frame(self, values: np.ndarray, columns: tuple[str, ...]) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame(values, index=self._index, columns=list(columns))


def adjusted(p: np.ndarray, how: Any) -> np.ndarray:
    """p-values (m,) adjusted over those that are there."""
    words = {"fdr": "fdr", "bh": "fdr", "by": "by", "holm": "holm", "bonferroni": "bonferroni", "none": "none"}
    if not is_word(how, words):
        raise MMEError(f"adjust is 'fdr', 'by', 'holm', 'bonferroni' or 'none', got {shown(how)}")
    out, there = p.copy(), np.isfinite(p)
    if how != "none":
        out[there] = by_p_alone(p[there], words[how])
    return out
