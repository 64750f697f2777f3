"""Variances and correlations of the random effects, as a fit estimates them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mme.model.problem import Model
from mme.tables.names import as_known

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Component:
    """Covariance of one term's coefficients: ``cov = sigma^2 T T'`` (q, q), units of the response squared."""

    names: tuple[str, ...]
    cov: np.ndarray

    @property
    def sd(self) -> np.ndarray:
        """Standard deviations (q,)."""
        return np.sqrt(np.diag(self.cov))

    @property
    def corr(self) -> np.ndarray:
        """Correlations (q, q); NaN beside a variance of zero."""
        with np.errstate(invalid="ignore", divide="ignore"):
            corr = self.cov / np.outer(self.sd, self.sd)
        corr[np.diag_indices_from(corr)] = 1.0
        return np.clip(corr, -1.0, 1.0)

    def __repr__(self) -> str:
        return f"Component({', '.join(f'{name}: sd {sd:.5g}' for name, sd in zip(self.names, self.sd, strict=True))})"


def components(model: Model, theta: np.ndarray, sigma: float = 1.0) -> dict[str, Component]:
    """Covariances of the coefficients of each term by its name; columns that share a coefficient are one."""
    out = {}
    for t, (term, T) in enumerate(zip(model.terms, model.T(theta), strict=True)):
        names, cov, kept = term.columns, sigma**2 * (T @ T.T), model.coefficients(t)
        if kept is not None:
            names, cov = tuple(names[j] for j in kept.tolist()), cov[np.ix_(kept, kept)]
        out[term.name] = Component(names, cov)
    return out


class VarCorr(Mapping[str, Component]):
    """Covariance components by term name, and the residual standard deviation ``sigma``, None where there is none.

    ``notes`` say which variances the data do not determine, in the words of the optimum.
    """

    def __init__(self, components: dict[str, Component], sigma: float | None, notes: tuple[str, ...] = ()) -> None:
        self._components = components
        self.sigma = sigma
        self.notes = notes

    def __getitem__(self, name: str) -> Component:
        return self._components[as_known(name, self._components)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._components)

    def __len__(self) -> int:
        return len(self._components)

    def __repr__(self) -> str:
        return "\n".join([self.to_frame().to_string(index=False, na_rep=""), *self.notes])

    def to_frame(self) -> pd.DataFrame:
        """A row each component, as lme4 lists them: ``group, term1, term2, variance, sd_or_corr``."""
        import pandas as pd

        rows: list[tuple[str, str, str | None, float, float]] = []
        for group, part in self.items():
            sd, corr = part.sd, part.corr
            rows += [(group, name, None, sd[i] ** 2, sd[i]) for i, name in enumerate(part.names)]
            rows += [
                (group, part.names[j], part.names[i], part.cov[i, j], corr[i, j])
                for j in range(len(part.names))
                for i in range(j + 1, len(part.names))
            ]
        if self.sigma is not None:
            rows.append(("Residual", "", None, self.sigma**2, self.sigma))
        return pd.DataFrame(rows, columns=["group", "term1", "term2", "variance", "sd_or_corr"])
