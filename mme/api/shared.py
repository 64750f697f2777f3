"""What the faces of linear and of generalised fits say in the same words."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from mme.fitted.common import Record

if TYPE_CHECKING:
    import pandas as pd


class Shared:
    """Names, sizes and criteria of a fit, whatever its family; ``internals`` is its record."""

    internals: Record

    if not TYPE_CHECKING:  # a type checker shall find what is not there

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__") or "internals" not in vars(self):
                raise AttributeError(name)
            from mme.api.aliases import alias

            return alias(self, name)

    @property
    def formula(self) -> str | None:
        """The formula; None for a fit by arrays."""
        return self.internals.formula

    @property
    def fixed_names(self) -> tuple[str, ...]:
        """Names of the fixed effects that are estimated."""
        return self.internals.fixed_names

    @property
    def dropped(self) -> tuple[str, ...]:
        """Columns of X left out because earlier columns determine them."""
        return self.internals.dropped

    @property
    def theta_names(self) -> tuple[str, ...]:
        """Names of theta: ``g.x`` a standard deviation, ``g.x2.x1`` an off-diagonal entry of T."""
        return self.internals.theta_names

    @cached_property
    def se(self) -> pd.Series:
        """Standard errors of :attr:`beta`."""
        import pandas as pd

        return pd.Series(self.internals.estimates.se, index=list(self.fixed_names), name="se")

    @property
    def relationships(self) -> dict[str, dict[str, float]]:
        """Natural parameters of relationships that have some, by term: ``{"ou(time | g)": {"range": 4.9}}``."""
        return self.internals.relationships

    @property
    def singular(self) -> bool:
        """Some variance is zero or some correlation is one: an ordinary result, at the edge of the model."""
        return self.internals.singular

    @property
    def nobs(self) -> int:
        """Number of records used: rows of the data in which nothing was missing."""
        return self.internals.nobs

    @property
    def n_dropped(self) -> int:
        """Rows of the data left out because something was missing."""
        return self.internals.n_dropped

    @property
    def aic(self) -> float:
        """Akaike's information criterion: the criterion + 2 dof."""
        return self.internals.aic

    @property
    def bic(self) -> float:
        """Schwarz's information criterion: the criterion + dof log(nobs)."""
        return self.internals.bic

    @property
    def aicc(self) -> float:
        """AIC corrected for few records: aic + 2 k (k + 1) / (n - k - 1) with k = dof; infinite where n <= k + 1."""
        k, n = self.internals.dof, self.internals.nobs
        return self.internals.aic + (2.0 * k * (k + 1) / (n - k - 1) if n > k + 1 else float("inf"))
