"""Published mixed models with structured residuals, to the digits that ASReml, SAS, nlme and glmmTMB print of them.

Pages of agridat 1.26 quote ASReml and SAS; nlme is 3.1-162, whose optima here have more digits than Pinheiro and Bates
(2000) print.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mme

REFERENCE = Path(__file__).parents[1] / "reference"
BODYWEIGHT = Path(__file__).parents[3] / "shared" / "field" / "data" / "bodyweight.csv"


def field(name):
    return pd.read_csv(REFERENCE / "fields" / f"{name}.csv")


def test_the_sprinkler_trial_has_the_toeplitz_covariance_that_asreml_prints():
    """Johnson, Chaudhuri and Kanemasu 1983; ASReml's corb(subplot, 3) by agridat is SAS's TOEP(4)."""
    data = field("hanks.sprinkler").astype({"irr": str})
    fit = mme.lmer(
        "yield ~ gen + dir + irr + gen:dir + gen:irr + dir:irr + (1 | block) + (1 | block:dir) + (1 | block:irr)",
        data,
        residual=mme.Toeplitz("subplot", "block:gen", bands=3),
    )
    variances = [fit.varcorr[name].cov.item() for name in ("block", "block:dir", "block:irr")]
    np.testing.assert_allclose(variances, [0.2194, 0.01768, 0.03539], atol=5e-5)
    assert fit.sigma**2 == pytest.approx(0.2850, abs=5e-5)
    np.testing.assert_allclose(list(fit.residual.values()), [0.0280, 0.0051, -0.3246], atol=6e-5)


def test_means_of_lines_by_county_have_a_residual_variance_a_line_as_by_nlme():
    """agridat's besag.met: lme with varIdent; the criterion is nlme's, whose variances are not quite at its optimum."""
    met = field("besag.met").dropna(subset=["yield"])
    means = met.groupby(["county", "gen"], as_index=False)["yield"].mean()
    fit = mme.lmer("yield ~ gen + (1 | county)", means, residual=mme.Heterogeneous("gen"))
    assert fit.criterion == pytest.approx(2433.919, abs=5e-4)
    assert fit.varcorr["county"].cov.item() == pytest.approx(1324, abs=0.5)
    ratios = [1.0, *list(fit.residual.values())[:5]]
    printed = [91.90, 210.75, 63.03, 112.05, 28.39, 237.36]
    np.testing.assert_allclose(fit.sigma**2 * np.square(ratios), printed, rtol=3e-4)


def test_sorghum_has_variances_of_blocks_and_of_residuals_by_environment_as_by_glmmTMB():
    """Omer, Abdalla and Mohammed 2015 (agridat): the variance of blocks in the fifth environment is zero."""
    fit = mme.lmer(
        "yield ~ env + (1 | gen) + (1 | gen:env) + dsum((1 | env:rep) | env)",
        field("omer.sorghum"),
        residual=mme.Heterogeneous("env"),
    )
    assert fit.criterion == pytest.approx(5368.8716, abs=5e-5)
    sd = {name: part.sd.item() for name, part in fit.varcorr.items()}
    printed = {"gen": 27.3, "gen:env": 125.0, "env:rep.E1": 4.89, "env:rep.E2": 27.2, "env:rep.E3": 53.1}
    assert {name: sd[name] for name in printed} == pytest.approx(printed, rel=2e-3)
    assert sd["env:rep.E6"] == pytest.approx(40.8, abs=0.05)
    assert sd["env:rep.E5"] == 0.0


@pytest.mark.parametrize(
    ("kind", "loglik", "natural"),
    [
        ("rational quadratic", -532.6388882, (13.461336, 0.193580)),
        pytest.param("gaussian", -533.5508569, (10.700607, 0.261421), marks=pytest.mark.slow),
    ],
)
def test_wheat_in_a_field_has_nlmes_correlations_of_distances(kind, loglik, natural):
    """Pinheiro and Bates, section 5.5.2 (-533.93, -532.64): Wheat2 is this trial, plots 4.3 by 1.2 metres."""
    wheat = field("stroup.nin").eval("latitude = 4.3 * row\nlongitude = 1.2 * col")
    residual = mme.Spatial(kind, ["latitude", "longitude"], nugget=True)
    fit = mme.lmer("yield ~ 0 + gen", wheat, residual=residual)
    assert fit.loglik == pytest.approx(loglik, abs=1e-6)
    assert tuple(fit.residual.values()) == pytest.approx(natural, rel=1e-4)


def test_wheat_in_a_field_has_nlmes_spherical_correlations_and_a_better_limit_of_lines():
    """Pinheiro and Bates, section 5.5.2 (-533.93): at long ranges with hardly a nugget the likelihood is higher."""
    wheat = field("stroup.nin").eval("latitude = 4.3 * row\nlongitude = 1.2 * col")
    residual = mme.Spatial("spherical", ["latitude", "longitude"], nugget=True)
    printed = mme.lmer("yield ~ 0 + gen", wheat, residual=residual, phi={"range": 27.457478, "nugget": 0.209314})
    assert printed.loglik == pytest.approx(-533.9315427, abs=1e-6)
    fit = mme.lmer("yield ~ 0 + gen", wheat, residual=residual)
    assert fit.loglik == pytest.approx(-533.4185028, abs=1e-5)
    assert fit.optimum.ended == ("nugget",)


@pytest.mark.parametrize(
    ("structure", "loglik", "natural"),
    [
        (None, -813.0408685, ()),
        (mme.AR1("ord", "Mare"), -774.7239581, (0.572187,)),
        pytest.param(mme.Toeplitz("ord", "Mare", bands=2), -777.6153902, (), marks=pytest.mark.slow),
        (mme.ARMA("ord", "Mare"), -771.9470780, (0.786890, -0.279359)),
        (mme.Exponential("Time", "Mare"), -775.7676222, (-1 / np.log(8.2230708e-06),)),
    ],
    ids=["independent", "AR(1)", "MA(2)", "ARMA(1,1)", "CAR(1)"],
)
def test_follicles_of_mares_have_nlmes_serial_correlations(structure, loglik, natural):
    """Pinheiro and Bates, section 5.3.3: -813.04, -774.72, -777.62, -772.18 (nlme now: -771.95)."""
    ovary = pd.read_csv(REFERENCE / "data" / "Ovary.csv", dtype={"Mare": str})
    fit = mme.lmer("follicles ~ s1 + c1 + diag(s1 | Mare)", ovary, residual=structure)
    assert fit.loglik == pytest.approx(loglik, abs=2e-6)
    if natural:
        assert tuple(fit.residual.values()) == pytest.approx(natural, rel=1e-4)


@pytest.mark.parametrize(
    ("structure", "loglik", "natural"),
    [
        (mme.PowerOfCovariate("pressure"), -357.1103165, (0.442439,)),
        (mme.AR1("index", "Subject") * mme.PowerOfCovariate("pressure"), -308.3373088, (0.752604, 0.518239)),
    ],
    ids=["power", "AR(1) and power"],
)
def test_ultrafiltration_of_dialyzers_has_nlmes_likelihood(structure, loglik, natural):
    """Pinheiro and Bates, section 5.4.2, whose gls of the four powers of pressure is -357.11 and -308.34."""
    data = pd.read_csv(REFERENCE / "data" / "Dialyzer.csv", dtype={"Subject": str, "QB": str})
    fit = mme.lmer("rate ~ (pressure + p2 + p3 + p4) * QB", data, residual=structure)
    assert fit.loglik == pytest.approx(loglik, abs=1e-6)
    assert tuple(fit.residual.values()) == pytest.approx(natural, rel=1e-4)


@pytest.mark.skipif(not BODYWEIGHT.exists(), reason="needs nlme's BodyWeight")
def test_body_weights_have_a_serial_correlation_beside_a_power_of_the_mean():
    """Pinheiro and Bates, section 5.3.3: corExp(form = ~ Time) and varPower() of the fitted values, -560.57."""
    data = pd.read_csv(BODYWEIGHT, dtype={"Rat": str, "Diet": str})
    residual = mme.Exponential("Time", "Rat") * mme.PowerOfMean()
    fit = mme.lmer("weight ~ Time * Diet + (Time | Rat)", data, residual=residual)
    assert fit.loglik == pytest.approx(-560.5702081, abs=1e-5)
    assert tuple(fit.residual.values()) == pytest.approx((4.8863865, 0.5943424), rel=1e-4)
