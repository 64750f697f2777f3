"""A generalised fit as text, tables and files."""

from __future__ import annotations

from mme.api.generalised_base import GeneralisedFace


class GeneralisedOutput(GeneralisedFace):
    """What others read: a summary, tables, files."""

    def summary(self) -> str:
        """The fit as text, laid out as readers of glmer's output know it.

        Examples
        --------
        >>> import mme
        >>> herds = {"herd": [1, 1, 2, 2, 3, 3], "ill": [2, 3, 4, 0, 8, 2], "of": [14, 12, 9, 5, 21, 22]}
        >>> fit = mme.glmer("cbind(ill, of - ill) ~ 1 + (1 | herd)", herds, "binomial")
        >>> print(fit.summary().partition("Scaled")[0].strip())
        Generalised linear mixed model fit by maximum likelihood
        Family: binomial, link logit
        Approximation: Laplace
        Formula: cbind(ill, of - ill) ~ 1 + (1 | herd)
        Trials: 5 to 22
        <BLANKLINE>
            AIC     BIC   logLik deviance df.resid
        28.4887 28.0722 -12.2444  24.4887        4
        """
        from mme.results.generalised_summary import summary_text

        return summary_text(self.internals)

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        from mme.results.generalised_summary import summary_html

        return summary_html(self.internals)
