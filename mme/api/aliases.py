"""Names that users of other packages try: those of statsmodels and of R, and what they are called here.

They work on fits of both kinds and are hidden from ``dir``; what has no equal here answers with the name to use.
Functions of R are values that may be called too: ``fit.fixef`` and ``fit.fixef()`` are one.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

from mme.errors import MMEError
from mme.tables.arguments import number

# By name: what it is of a fit.
VALUES: dict[str, Callable[[Any], Any]] = {
    # statsmodels
    "params": lambda fit: fit.beta,
    "fe_params": lambda fit: fit.beta,
    "bse": lambda fit: fit.se,
    "bse_fe": lambda fit: fit.se,
    "tvalues": lambda fit: _column(fit, "t", "z"),
    "zvalues": lambda fit: _column(fit, "z", "t"),
    "pvalues": lambda fit: _column(fit, "p"),
    "fittedvalues": lambda fit: fit.fitted,
    "llf": lambda fit: fit.loglik,
    "df_resid": lambda fit: fit.nobs - fit.dof,
    "random_effects": lambda fit: fit.ranef(),
    "cov_re": lambda fit: fit.varcorr,
    "sigma_": lambda fit: _sigma(fit),
    "converged": lambda fit: fit.optimum.converged,
    "coef_": lambda fit: fit.beta,
}
# The same of R, where they are functions.
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "fixef": lambda fit: fit.beta,
    "vcov": lambda fit: fit.beta_cov,
    "VarCorr": lambda fit: fit.varcorr,
    "logLik": lambda fit: fit.loglik,
    "AIC": lambda fit: fit.aic,
    "BIC": lambda fit: fit.bic,
    "deviance": lambda fit: fit.criterion,
    "resid": lambda fit: fit.residuals() if callable(fit.residuals) else fit.residuals,
}
# Methods of statsmodels.
METHODS: dict[str, Callable[[Any], Callable[..., Any]]] = {
    "conf_int": lambda fit: lambda alpha=0.05, **options: fit.confint(level=1.0 - _share(alpha), **options),
    "cov_params": lambda fit: lambda: fit.beta_cov,
}
# What is asked for elsewhere: the answer.
ELSEWHERE = {
    "rsquared": "r2() has the marginal and the conditional R squared",
    "r_squared": "r2() has the marginal and the conditional R squared",
    "emmeans": "means('factor') are the marginal means, trends('x', by='factor') the slopes",
    "emtrends": "trends('x', by='factor') are the slopes",
    "lsmeans": "means('factor') are the marginal means",
    "pairs": "means('factor', pairs=True) are the pairwise differences",
    "t_test": "test('a = b') tests a hypothesis, contrast({'a': 1}) a contrast",
    "f_test": "test('a = 0, b = 0') tests hypotheses together, anova() the terms",
    "wald_test": "test('a = 0, b = 0') tests hypotheses together, anova() the terms",
    "wald_test_terms": "anova() tests the terms",
    "ngrps": "ranef() has a row a level; the numbers stand in summary()",
    "getME": "model has X, y, terms and their Z; theta, beta, sigma are attributes",
    "isSingular": "singular is an attribute",
    "scale": "sigma is the residual standard deviation; sigma**2 is its square",
    "vcomp": "varcorr has the variances; confint() their intervals",
    "hatvalues": "leverage() is the diagonal of the hat matrix",
    "influence": "cooks_distance(by=), dfbeta(by=) and leverage()",
    "plot_diagnostics": "plot.check(), which has residuals, quantiles and influence",
    "get_prediction": "predict(newdata, interval='confidence' | 'prediction')",
    "model_": "model is the checked problem",
    "score": "refit(y) fits another response; loglik is the log likelihood",
    "as_latex": "table().to_latex()",
    "confint_": "confint()",
    "fit": "it is fitted; update('~ . + x') fits a changed model, refit(y) another response",
    "random_effects_cov": "condvar() is the covariance of the random effects given y, pev() with beta's uncertainty",
    "bse_re": "confint() has intervals of the variances; summary() their estimates",
    "profile_re": "profile() has the profiles of the variances",
    "k_fe": "len(fit.beta) is the number of fixed effects",
    "k_re": "ranef() has the random effects; theta_names the parameters of their variances",
    "load": "mme.load_fit(path) reads what save(path) wrote",
    "remove_data": "save(path) writes the fit without its table",
    "cov_re_unscaled": "varcorr has the covariances; divide by sigma**2",
    "get_robustcov_results": "coefficients(robust='CR2', cluster='g') has robust standard errors",
    "summary2": "summary() is text, table() an object with to_latex(), to_html(), to_docx()",
    "normalized_cov_params": "beta_cov is the covariance of the fixed effects",
    "get_distribution": "simulate() draws responses",
    "fit_regularized": "there are no penalties but those of the random effects",
    "use_t": "coefficients(ddf='satterthwaite') tests by t, ddf='none' by the normal distribution",
    "estimate": "contrast({'a': 1, 'b': -1}) has estimates of contrasts",
    "rePCA": "varcorr has the covariances; optimum.boundary names what is at its edge",
    "allFit": "optimum is the verdict on the search; update(search=...) takes another",
    "genetic_correlation": "varcorr['animal'].corr has the correlations, heritability() the shares",
    "BLUE": "beta are the BLUEs",
    "BLUP": "ranef() has the BLUPs",
    "solution": "coefficients() has the solution for fixed effects, ranef() that for random ones",
    "blup": "ranef() has the BLUPs, ebv() breeding values with reliabilities",
}
# What linear fits alone have: why generalised ones do not.
LINEAR = {
    "kenward_roger": "tests of generalised fits are by the normal distribution; its F is for normal errors",
    "satterthwaite": "tests of generalised fits are by the normal distribution; its t is for normal errors",
    "sigma": "a generalised fit has no residual standard deviation, but dispersion and parameters",
    "residual": "residual structures are of linear fits; parameters has those of the family",
    "criterion_contrasts": "REML is of linear fits; criterion is -2 log likelihood",
    "effective_dimensions": "leverage().sum() is what a generalised fit spends",
    "eblup_mse": "pev() has the variances of errors, predict(interval='confidence') those of means",
}


def alias(fit: Any, name: str) -> Any:
    """What a fit has under a name that another package uses.

    Raises
    ------
    AttributeError
        It is none of these; where the fit has it under another name, the message says which.
    """
    if name in VALUES:
        return VALUES[name](fit)
    if name in METHODS:
        return METHODS[name](fit)
    if name in FUNCTIONS:
        return callable_too(FUNCTIONS[name](fit))
    near = [] if name.startswith("_") else get_close_matches(name, dir(fit), 1, 0.75)
    known = ELSEWHERE | LINEAR
    hint = known[name] if name in known else f"did you mean '{near[0]}'?" if near else ""
    raise AttributeError(f"'{type(fit).__name__}' object has no attribute '{name}'{hint and f': {hint}'}")


def callable_too(value: Any) -> Any:
    """The value, which returns itself when it is called without arguments.

    Examples
    --------
    >>> one = callable_too(2.5)
    >>> one, one(), one == 2.5
    (2.5, 2.5, True)
    """
    kind = type(value)
    twin = type(kind.__name__, (kind,), {"__call__": lambda self: value, "__reduce__": lambda self: (_same, (value,))})
    if isinstance(value, float):
        return twin(value)
    if hasattr(value, "iloc"):
        return twin(value)
    made: Any = twin.__new__(twin)  # type: ignore[call-overload]
    vars(made).update(vars(value))
    return made


def _same(value: Any) -> Any:
    return value


def _column(fit: Any, *names: str) -> Any:
    """The first of these columns of the table of coefficients that there is."""
    table = fit.coefficients()
    return next(table[name] for name in names if name in table)


def _sigma(fit: Any) -> float:
    """The residual standard deviation, of linear fits."""
    if not hasattr(type(fit), "sigma"):
        raise AttributeError("a generalised fit has no residual standard deviation: dispersion and parameters")
    return float(fit.sigma)


def _share(alpha: Any) -> float:
    if isinstance(alpha, str):
        raise MMEError("conf_int takes alpha, as statsmodels: conf_int(0.05); confint(method, level) has the methods")
    return number(alpha, "alpha must lie between 0 and 1", lambda value: 0.0 < value < 1.0)
