"""What a generalised fit prints: glmer's tables, and a sentence for whatever is unusual."""

import pickle
import re
from html import unescape

import numpy as np
import pytest

import mme
from mme.numeric.limits import Limits, within
from mme.results.text import p_values
from tests.glmm import glmm_case, glmm_fit

# Printed by lme4 1.1-31 in R 4.2.2: print(summary(glmer(..., control = glmerControl("bobyqa", tolPwrss = 1e-10,
# optCtrl = list(rhoend = 1e-9))))), signs of significance left out.
LME4 = {
    "cbpp_logit": """
Scaled residuals:
    Min      1Q  Median      3Q     Max
-2.3818 -0.7888 -0.2024  0.5146  2.8796

Random effects:
 Groups Name        Variance Std.Dev.
 herd   (Intercept) 0.4125   0.6423
Number of obs: 56, groups:  herd, 15

Fixed effects:
            Estimate Std. Error z value Pr(>|z|)
(Intercept)  -1.3985     0.2325  -6.016   <0.001
period2      -0.9923     0.3066  -3.236    0.001
period3      -1.1287     0.3266  -3.455   <0.001
period4      -1.5803     0.4274  -3.697   <0.001

Correlation of Fixed Effects:
        (Intr) perid2 perid3
period2 -0.364
period3 -0.340  0.278
period4 -0.261  0.212  0.196
""",
    "ticks_loc": """
Scaled residuals:
    Min      1Q  Median      3Q     Max
-6.6371 -0.8817 -0.4118  0.8717  5.6447

Random effects:
 Groups   Name        Variance Std.Dev.
 LOCATION (Intercept) 0.9396   0.9693
Number of obs: 403, groups:  LOCATION, 63

Fixed effects:
             Estimate Std. Error z value Pr(>|z|)
(Intercept)  0.697948   0.148817   4.690   <0.001
YEAR96       0.938796   0.084318  11.134   <0.001
YEAR97      -1.418920   0.121606 -11.668   <0.001
cHEIGHT     -0.024194   0.003935  -6.148   <0.001

Correlation of Fixed Effects:
        (Intr) YEAR96 YEAR97
YEAR96  -0.369
YEAR97  -0.286  0.523
cHEIGHT  0.055  0.029  0.013
""",
}


@pytest.mark.parametrize("name", LME4)
def test_the_tables_read_as_glmer_prints_them(name):
    parts = glmm_fit(name).summary().split("\n\n")
    for theirs in LME4[name].strip().split("\n\n"):
        title = theirs.partition("\n")[0].lower()
        (ours,) = [part for part in parts if part.lower().startswith(title)]
        for mine, other in zip(ours.lower().split(), theirs.lower().split(), strict=True):
            if re.fullmatch(r"-?\d+\.\d+", other):
                unit = 10.0 ** -len(other.partition(".")[2])
                assert float(mine) == pytest.approx(float(other), rel=3e-4, abs=1.01 * unit), ours
            else:
                assert mine == other, ours


def test_the_likelihood_stands_as_glmer_has_it():
    fit = glmm_fit("cbpp_logit")
    names, values = (line.split() for line in fit.summary().split("\n\n")[1].splitlines())
    assert names == ["AIC", "BIC", "logLik", "deviance", "df.resid"]
    assert [float(value) for value in values] == pytest.approx([fit.aic, fit.bic, fit.loglik, fit.criterion, 51], 1e-6)


@pytest.mark.parametrize(("laplace", "said"), [("observed", "observed"), ("expected", "expected")])
def test_the_information_is_said_where_there_are_two(laplace, said):
    fit = mme.glmer("y ~ 1 + (1 | g)", {"y": [1, 2, 5, 9, 3, 2], "g": [1, 1, 2, 2, 3, 3]}, mme.Poisson("sqrt"))
    assert "Approximation: Laplace (observed information)" in fit.summary()
    other = mme.glmer(
        fit.formula, {"y": [1, 2, 5, 9, 3, 2], "g": [1, 1, 2, 2, 3, 3]}, mme.Poisson("sqrt"), laplace=laplace
    )
    assert f"Approximation: Laplace ({said} information)" in other.summary()
    assert "Approximation: Laplace\n" in glmm_fit("cbpp_logit").summary()


def test_a_correlation_of_one_and_rows_left_out_are_said():
    said = " ".join(glmm_fit("singular_slope").summary().split())
    assert "Singular fit" in said
    assert "the correlation of (Intercept) and x by g is -1" in said
    data = {"y": [1.0, 0, 1, 0, 1, 1, 0, np.nan], "x": [1.0, 2, 3, 4, 5, 6, 7, 8], "g": list("aabbccdd")}
    text = mme.glmer("y ~ x + I(2 * x) + (1 | g)", data).summary()
    assert "1 row with a missing value was left out." in text
    assert "Fixed effects dropped, determined by earlier columns: I(2 * x)." in text
    assert "the variance of (Intercept) by g is zero" in " ".join(text.split())


def test_records_of_weight_zero_are_counted_and_change_no_quantile():
    data = glmm_case("cbpp_logit").data
    weights = np.ones(len(data))
    weights[3:5] = 0.0
    fit = mme.glmer(glmm_case("cbpp_logit").json["formula"], data, weights=weights)
    without = mme.glmer(glmm_case("cbpp_logit").json["formula"], data[weights > 0.0])
    assert "2 records have weights of zero and count for nothing." in fit.summary()
    quantiles = [text.summary().split("\n\n")[2] for text in (fit, without)]
    assert quantiles[0] == quantiles[1]


def test_separation_is_said_with_errors_that_are_infinite():
    with pytest.warns(mme.MMEWarning):
        fit = glmm_case("sep_complete").fit()
    text = fit.summary()
    assert fit.optimum.separation.rstrip(".") in " ".join(text.split()).replace("  ", " ") or "eparat" in text
    assert re.search(r"^x +\S+ +inf", text, re.MULTILINE)
    assert "nan" not in text.partition("Correlation")[0].lower()


def test_html_has_the_digits_of_the_text():
    fit = glmm_fit("cbpp_logit")
    page = fit._repr_html_()
    cells = [unescape(cell) for cell in re.findall(r"<t[dh][^>]*>([^<]*)</t[dh]>", page)]
    text = fit.summary()
    assert len(cells) > 25
    assert all(cell in text for cell in cells)
    assert "Family: binomial, link logit" in page
    assert repr(fit) == text


def test_p_values_have_three_decimals_and_are_never_zero():
    assert p_values([1.79e-9, 0.00121, 5.49e-4, 0.0009999]) == ["<0.001", "0.001", "<0.001", "<0.001"]
    assert p_values([0.4685, 1.0, float("nan"), 0.001]) == ["0.469", "1.000", "", "0.001"]


def test_a_fit_by_machine_code_survives_pickling():
    """The loop is of this process alone."""
    with within(Limits(compiled_records=-1)):
        fit = mme.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)", mme.load("cbpp"), family="binomial")
        again = pickle.loads(pickle.dumps(fit))
    assert again.summary() == fit.summary()


def test_a_fit_survives_pickling():
    fit = glmm_fit("cbpp_logit")
    again = pickle.loads(pickle.dumps(fit))
    assert again.summary() == fit.summary()
    assert again.ranef()["herd"].equals(fit.ranef()["herd"])
