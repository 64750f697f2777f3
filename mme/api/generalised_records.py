"""What a generalised fit says of records: predicted, simulated, influential."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mme.api.generalised_base import GeneralisedFace


class GeneralisedRecords(GeneralisedFace):
    """What a generalised fit says of records, old and new."""

    def predict(
        self,
        newdata: Any = None,
        *,
        type: str = "response",
        random: bool | str | Sequence[str] = True,
        new_levels: str = "error",
        interval: str | None = None,
        level: float = 0.95,
    ) -> Any:
        """Predictions for the rows of the fit or for new ones.

        Parameters
        ----------
        newdata : data frame, mapping or (X, terms) pair, optional
            As in :meth:`mme.Fit.predict`; None: the rows of the fit.
        type : str
            ``"response"``: the mean, a probability of binomial data; ``"link"``: eta, the linear predictor.
        random : bool, or names
            Whether the modes of the random effects are added, or which, as in :meth:`mme.Fit.predict`. False sets b to
            zero: the mean of a level in the middle, which is no mean of levels. ``"average"`` is that: the mean of a
            level drawn anew, integrated over b; of the probabilities in a population, say. New data need no grouping
            factors for it.
        new_levels : str
            ``"error"``, or ``"population"``: a level that the fit did not see, or a row without a label, has b = 0, and
            its prior variance in the interval.
        interval : str, optional
            ``"confidence"``: of the mean or of eta. Its standard error is from the joint covariance of (beta_hat,
            b_hat - b), with what all parameters leave uncertain, theta and those of the family too, by the implicit
            derivative of the modes: glmmTMB's. Ends are those on the scale of the link.
        level : float
            Of the interval.

        Returns
        -------
        array or Series; with ``interval`` a DataFrame ``fit, lower, upper, se, df``, ``se`` on the scale of ``type``
        and ``df`` infinite. A new row that the data of the fit do not determine is NaN, and a warning names the cause.

        Raises
        ------
        MMEError
            Columns are missing, a level is new or missing and ``new_levels`` is ``"error"``, or the average over b does
            not exist (a link that takes a positive eta alone).

        Examples
        --------
        >>> import mme
        >>> herds = {"herd": [1, 1, 2, 2, 3, 3], "ill": [2, 3, 8, 4, 1, 0], "of": [14, 12, 9, 5, 21, 22]}
        >>> fit = mme.glmer("cbind(ill, of - ill) ~ 1 + (1 | herd)", herds, "binomial")
        >>> fit.predict({"herd": [2, 3]}).round(3).tolist()
        [0.82, 0.033]
        >>> [float(fit.predict({"herd": [9]}, random=b).round(3)[0]) for b in ("average", False)]
        [0.342, 0.239]
        """
        from mme.prediction.generalised import predict_generalised

        return predict_generalised(self.internals, newdata, type, random, new_levels, interval, level)
