"""Residuals of a generalised fit, and what records do to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mme.api.generalised_base import GeneralisedFace

if TYPE_CHECKING:
    import pandas as pd

    from mme.diagnosis.findings import Diagnosis


class GeneralisedChecks(GeneralisedFace):
    """How well a generalised fit describes its records."""

    def residuals(self, kind: str = "deviance", *, seed: int | np.random.Generator | None = None) -> Any:
        r"""Residuals of a kind, one a row of the data, given the modes of the random effects.

        Parameters
        ----------
        kind : str
            ============  ==============================================================================================
            ``deviance``  sign(y - mu) sqrt(d), d twice what log f of the record is below its best: R's default
            ``response``  y - mu
            ``pearson``   (y - mu) / sd(y), the dispersion and the trials in sd: R's, over sigma where there is one
            ``working``   (y - mu) / (dmu / deta)
            ``quantile``  randomised: the normal quantile of a uniform number between P(Y < y) and P(Y <= y), so that
                          residuals are N(0, 1) if the model holds, whatever the family (Dunn and Smyth 1996)
            ============  ==============================================================================================
        seed : int or Generator, optional
            Of ``quantile``: the same seed gives the same residuals.

        Examples
        --------
        >>> import mme
        >>> herds = {"herd": [1, 1, 2, 2, 3, 3], "ill": [2, 3, 8, 4, 1, 0], "of": [14, 12, 9, 5, 21, 22]}
        >>> fit = mme.glmer("cbind(ill, of - ill) ~ 1 + (1 | herd)", herds, "binomial")
        >>> fit.residuals("pearson").round(2).tolist()
        [-0.49, 0.49, 0.54, -0.11, 0.36, -0.87]
        """
        from mme.diagnosis.generalised_residuals import generalised_residuals

        return generalised_residuals(self.internals, kind, seed)

    def scaled_residuals(self, kind: str = "standardised") -> Any:
        """Residuals over their standard deviations: of variance about one for every record.

        Parameters
        ----------
        kind : str
            ``"standardised"``: Pearson's over sqrt(1 - leverage); ``"standardised_deviance"``: those of the deviance
            over sqrt(phi (1 - leverage)), R's ``rstandard``; or a kind of :meth:`residuals`.

        Examples
        --------
        >>> import mme
        >>> herds = {"herd": [1, 1, 2, 2, 3, 3], "ill": [2, 3, 8, 4, 1, 0], "of": [14, 12, 9, 5, 21, 22]}
        >>> fit = mme.glmer("cbind(ill, of - ill) ~ 1 + (1 | herd)", herds, "binomial")
        >>> fit.scaled_residuals().round(2).tolist()
        [-0.7, 0.66, 0.86, -0.14, 0.49, -1.19]
        """
        from mme.diagnosis.working import generalised_scaled_residuals

        return generalised_scaled_residuals(self.internals, kind)

    def leverage(self) -> Any:
        """Diagonal of the hat matrix of the working responses, one a row of the data.

        The sum is the number of parameters that the fit spends: p + trace of what the random effects take. (lme4's
        ``hatvalues`` has the prior weights in place of the working ones, and warns of itself.)
        """
        from mme.diagnosis.working import generalised_leverage

        return generalised_leverage(self.internals)

    def cooks_distance(self, by: Any = None) -> Any:
        """Cook's distance of every record, or of every group of records.

        Parameters
        ----------
        by : str or (N,) labels, optional
            None: of records, r_i^2 h_i / (p (1 - h_i)^2) with the Pearson residual and the leverage.
            A grouping factor, or labels, as in :meth:`mme.Fit.cooks_distance`: of groups, by one
            step of scoring without the group.
        """
        from mme.api.clustered import leaving
        from mme.diagnosis.working import generalised_cooks_distance

        return generalised_cooks_distance(self.internals, leaving(self, by))

    def dfbeta(self, by: Any = None) -> pd.DataFrame:
        """beta - beta_(g) when a record, or a group, leaves, by one step of scoring; ``by`` as in Cook's distance."""
        from mme.api.clustered import leaving
        from mme.diagnosis.working import generalised_dfbeta

        return generalised_dfbeta(self.internals, leaving(self, by))

    def diagnose(self) -> Diagnosis:
        """Say in plain language what is unusual about the fit, what it means and what to try.

        It looks for separation and variances without end; an optimum on the boundary (singular) or not reached; terms
        that describe the same effects; factors with few levels; levels with few binary answers, where quadrature is
        asked for; records that spread more than the family says, and more zeros than it gives, against responses drawn
        from the fit; columns on very different scales, or an origin far outside the data; columns of X that were
        dropped.

        Returns
        -------
        Diagnosis
            As of :meth:`mme.Fit.diagnose`.

        Examples
        --------
        >>> import mme
        >>> herds = {"herd": [1, 1, 2, 2, 3, 3], "ill": [2, 3, 8, 4, 1, 0], "of": [14, 12, 9, 5, 21, 22]}
        >>> mme.glmer("cbind(ill, of - ill) ~ 1 + (1 | herd)", herds, "binomial").diagnose().kinds
        ('few levels',)
        """
        from mme.diagnosis.generalised import diagnose_generalised

        return diagnose_generalised(self.internals)
