"""Parameters between bounds: the optimum is the lowest point of the box, and says which bounds it is at."""

import numpy as np
import pytest
from scipy.optimize import minimize

import mme

FORMULA = "Reaction ~ Days + (Days || Subject)"


def sleep(formula=FORMULA, **options):
    return mme.lmer(formula, mme.load("sleepstudy"), **options)


def chain():
    rng = np.random.default_rng(3)
    t, g, e = np.tile(np.arange(5), 30), np.repeat(np.arange(30), 5), rng.normal(size=(30, 5))
    for j in range(1, 5):
        e[:, j] = 0.8 * e[:, j - 1] + 0.6 * e[:, j]
    return {"y": e.ravel(), "t": t, "g": g}


def lowest_between(limits):
    """The criterion over (log sd, log sd, log sigma) within a box, by L-BFGS-B from several places."""
    objective, m = sleep().internals.objective, 178

    def value(x):
        sd, sigma = np.exp(x[:2]), np.exp(x[2])
        logdet, border = objective.contrasts(sd / sigma)
        logs = logdet + objective.constants.logdet_K + objective.constants.logdet_R + objective.constants.logdet_X0
        logs += 2.0 * np.log(np.diag(border)[:-1]).sum()
        return logs + m * np.log(2.0 * np.pi * sigma**2) + (border[-1, -1] / sigma) ** 2

    box = [np.log(pair) for pair in limits]
    starts = ([2.0, 1.0, 3.0], [3.5, 2.0, 3.5])
    found = [minimize(value, np.clip(x, *np.transpose(box)), bounds=box, tol=1e-12).fun for x in starts]
    return min(found)


WIDE = (1e-3, 1e3)
CASES = [
    ({"V_Subject.Days": (0, 20)}, [WIDE, (1e-3, np.sqrt(20)), WIDE], ("V_Subject.Days = 20",)),
    ({"sd_Days|Subject": (7, None)}, [WIDE, (7, 1e3), WIDE], ("sd_Days|Subject = 7",)),
    ({"sigma": (30, 40)}, [WIDE, WIDE, (30, 40)], ("sigma = 30",)),
    (
        {"V_res": (None, 500), "V_Subject.(Intercept)": (1600, None)},
        [(40, 1e3), WIDE, (1e-3, np.sqrt(500))],
        ("V_res = 500", "V_Subject.(Intercept) = 1600"),
    ),
    ({"V_Subject.Days": (1, 1000), "sigma": (1, 100)}, [WIDE] * 3, ()),
]


@pytest.mark.parametrize("search", ["derivative-free", "average-information"])
@pytest.mark.parametrize(("bounds", "box", "at"), CASES)
def test_the_optimum_is_the_lowest_point_of_the_box(bounds, box, at, search):
    fit, free = sleep(bounds=bounds, search=search), sleep()
    assert fit.criterion == pytest.approx(lowest_between(box), abs=1e-6)
    assert set(fit.optimum.at_bounds) == set(at)
    assert fit.optimum.verdict == ("minimum on the boundary" if at else "minimum")
    assert (f"at the bound {at[0]}" in str(fit.optimum)) if at else ("bound" not in str(fit.optimum))
    assert fit.dof == free.dof


def test_a_ratio_and_a_correlation_of_residuals_have_bounds():
    ratio = sleep(bounds={"Subject.Days": (0, 0.1)})
    assert ratio.theta[1] == 0.1
    assert ratio.criterion == sleep(hold={"Subject.Days": 0.1}).criterion
    data, R = chain(), mme.AR1("t", "g")
    fit = mme.lmer("y ~ t", data, residual=R, bounds={"rho": (0, 0.5)})
    assert fit.residual["rho"] == pytest.approx(0.5)
    assert "at the bound rho = 0.5" in str(fit.optimum)
    assert "At the bound: rho = 0.5." in fit.summary()
    assert fit.criterion == mme.lmer("y ~ t", data, residual=R, hold={"rho": 0.5}).criterion
    within = mme.lmer("y ~ t", data, residual=R, bounds={"rho": (0, 0.9)})
    assert within.criterion == mme.lmer("y ~ t", data, residual=R).criterion
    assert within.confint().loc["rho", "upper"] <= 0.9


def test_arrays_take_bounds_and_what_is_held():
    data = mme.load("Dyestuff")
    X, term = np.ones((30, 1)), mme.Term(data["Batch"], name="Batch")
    held = mme.fit(data["Yield"], X, [term], hold={"V_Batch": 900.0})
    fit = mme.fit(data["Yield"], X, [term], bounds={"V_Batch": (None, 900.0)})
    assert held.varcorr["Batch"].cov[0, 0] == pytest.approx(900.0, rel=1e-8)
    assert fit.criterion == pytest.approx(held.criterion, abs=1e-9)
    assert fit.optimum.at_bounds == ("V_Batch = 900",)


def test_another_response_is_searched_between_the_same_bounds(tmp_path):
    fit = sleep(bounds={"V_Subject.Days": (None, 20)})
    y = np.array(fit.model.y)
    smaller, larger = (fit.refit(y.mean() + share * (y - y.mean())) for share in (0.5, 2.0))
    assert smaller.theta[1] * smaller.sigma == pytest.approx(0.5 * sleep().theta[1] * sleep().sigma, rel=1e-4)
    assert larger.theta[1] * larger.sigma == pytest.approx(np.sqrt(20), rel=1e-8)
    fit.save(tmp_path / "bounded.mme")
    read = mme.load_fit(tmp_path / "bounded.mme")
    assert str(read.optimum) == str(fit.optimum)
    assert read.refit(0.5 * y).criterion == pytest.approx(fit.refit(0.5 * y).criterion, abs=1e-9)
    drawn = fit.bootstrap(3, seed=1, workers=1).replicates["sd_Days|Subject"]
    assert (drawn <= np.sqrt(20) * (1.0 + 1e-9)).all()


@pytest.mark.parametrize(("own", "low", "high"), [("sd_Days|Subject", 4.5, 8.0), ("sigma", 30.0, 40.0)])
def test_limits_of_a_profile_are_those_of_fits_that_hold_them_between_the_bounds(own, low, high):
    """The ML deviance at each limit within the bounds is the quantile of chi-square above that of the fit."""
    fit = sleep(bounds={own: (low, high)}, method="ML")
    table = fit.confint(method="profile")
    assert low <= table.loc[own, "lower"] + 1e-9
    assert table.loc[own, "upper"] - 1e-9 <= high
    for name in ("sd_(Intercept)|Subject", "sigma"):
        for value in set(table.loc[name]) - {low, high}:
            other = sleep(bounds={own: (low, high)} if own != name else None, hold={name: value}, method="ML")
            assert other.criterion - fit.criterion == pytest.approx(3.84146, abs=1e-3)


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"V_Subj": (0, 3)}, "bounds: there is no parameter 'V_Subj'; the model has"),
        ({"V_Subject.Days": (3, 1)}, "bounds: V_Subject.Days has no value between 3 and 1"),
        ({"V_Subject.Days": (2, 2)}, "hold={'V_Subject.Days': 2} holds it"),
        ({"V_Subject.Days": (-4, -2)}, "is always between 0 and inf"),
        ({"V_Subject.Days": 3}, "takes a pair"),
        ({"sigma": ("a", 2)}, "takes a pair"),
        ([("sigma", (0, 1))], "bounds are given by name"),
        ({"V_Subject.Days": (0, 1), "sd_Days|Subject": (0, 2)}, "are bounds of one parameter"),
    ],
)
def test_bounds_that_make_no_sense_are_refused(bounds, message):
    with pytest.raises(mme.MMEError, match=message):
        sleep(bounds=bounds)


def test_a_valley_between_the_bounds_is_found_though_another_beyond_them_is_as_low():
    """At times that are all even the likelihood has rho squared alone."""
    data = chain() | {"t": 2 * chain()["t"]}
    free = mme.lmer("y ~ t", data, residual=mme.AR1("t", "g"))
    fit = mme.lmer("y ~ t", data, residual=mme.AR1("t", "g"), bounds={"rho": (-0.95, -0.1)})
    assert fit.residual["rho"] == pytest.approx(-abs(free.residual["rho"]), abs=1e-5)
    assert fit.criterion == pytest.approx(free.criterion, abs=1e-8)
    assert (fit.optimum.verdict, fit.optimum.at_bounds) == ("minimum", ())
    assert fit.dof == free.dof


def test_bounds_beside_what_is_not_searched_are_refused():
    with pytest.raises(mme.MMEError, match="is held, and is not searched"):
        sleep(bounds={"V_Subject.Days": (0, 20)}, hold={"V_Subject.Days": 3.0})
    with pytest.raises(mme.MMEError, match="theta= evaluates there without a search"):
        sleep(bounds={"V_Subject.Days": (0, 20)}, theta=[1.0, 1.0])
    with pytest.raises(mme.MMEError, match="is one of an unstructured covariance"):
        sleep("Reaction ~ Days + (Days | Subject)", bounds={"sd_Days|Subject": (0, 3.0)})
