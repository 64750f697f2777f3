"""The same numbers as floats, as integers and as nullable integers: every answer is the same."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

import mme

# Each data set with a model of it; numbers are counted in hundredths, which are whole.
MODELS = {
    "sleepstudy": "Reaction ~ Days + (Days | Subject)",
    "Dyestuff": "Yield ~ 1 + (1 | Batch)",
    "Dyestuff2": "Yield ~ 1 + (1 | Batch)",
    "Penicillin": "diameter ~ 1 + (1 | plate) + (1 | sample)",
    "Pastes": "strength ~ 1 + (1 | batch/cask)",
    "Orthodont": "distance ~ Sex * log(age) + I(c_age^2) + (1 | Subject)",
    "Oats": "yield ~ Variety * nitro + (1 | Block)",
    "Machines": "score ~ Machine + (1 | Worker)",
}
TWINS = {"integer": np.int64, "nullable": "Int64"}


def whole(data: pd.DataFrame) -> pd.DataFrame:
    """The numbers in hundredths, rounded, as floats."""
    return data.assign(**{name: (100 * data[name]).round() for name in data.select_dtypes("number")})


def twin(data: pd.DataFrame, dtype: object) -> pd.DataFrame:
    return data.astype(dict.fromkeys(data.select_dtypes("number"), dtype))


def answers(fit: mme.Fit, data: pd.DataFrame) -> dict[str, Callable[[], object]]:
    response = data[fit.internals.model.response]
    factor = next((name for name in ("Sex", "Variety", "Machine") if name in fit.formula), None)
    asked: dict[str, Callable[[], object]] = {
        "beta": lambda: fit.beta,
        "anova": fit.anova,
        "confint": fit.confint,
        "contrast": lambda: fit.contrast(np.eye(len(fit.beta)), rhs=response.iloc[0]),
        "predict": lambda: fit.predict(data.tail(9)),
        "interval": lambda: fit.predict(data.head(3), interval="prediction"),
        "simulate": lambda: fit.simulate(2, seed=1),
        "refit": lambda: fit.refit(response).beta,
        "augment": lambda: fit.augment(data).select_dtypes("number").filter(regex=r"^\."),
        "tidy": lambda: fit.tidy()[["estimate", "std_error"]],
    }
    if factor is not None:
        asked["means"] = lambda: fit.means(factor)
        asked["pairs"] = lambda: fit.means(factor, pairs=True)
    return asked


@pytest.mark.parametrize("name", MODELS)
def test_every_answer_is_the_same_for_integers_and_nullable_integers(name):
    floats = whole(mme.load(name))
    expected = {ask: answer() for ask, answer in answers(mme.lmer(MODELS[name], floats), floats).items()}
    for dtype in TWINS.values():
        data = twin(floats, dtype)
        for ask, answer in answers(mme.lmer(MODELS[name], data), data).items():
            found = np.asarray(answer(), dtype=float)
            np.testing.assert_allclose(found, np.asarray(expected[ask], dtype=float), rtol=1e-7, err_msg=ask)


@pytest.mark.parametrize("dtype", TWINS.values(), ids=TWINS)
def test_weights_offsets_and_residual_structures_take_integers(dtype):
    floats = whole(mme.load("Orthodont")).assign(w=np.arange(108) % 4 + 1.0, o=np.arange(108) % 3 + 0.0)
    data = twin(floats, dtype)
    for model, options in [
        ("distance ~ age + (1 | Subject)", {"weights": "w", "offset": "o"}),
        ("distance ~ age", {"residual": mme.Exponential("age", "Subject")}),
        ("distance ~ age + (1 | Subject)", {"residual": mme.PowerOfCovariate("age")}),
        ("distance ~ age + (1 | Subject)", {"residual": mme.Heterogeneous("w")}),
    ]:
        expected, found = (mme.lmer(model, one, **options) for one in (floats, data))
        assert found.criterion == expected.criterion
    as_arrays = [
        mme.fit(one["distance"], one[["age", "w"]], [mme.Term(one["Subject"], one[["age"]])], weights=one["w"])
        for one in (floats, data)
    ]
    assert as_arrays[0].criterion == as_arrays[1].criterion


@pytest.mark.parametrize("dtype", TWINS.values(), ids=TWINS)
def test_the_estimator_of_scikit_learn_takes_integers(dtype):
    sklearn = pytest.importorskip("mme.sklearn", reason="scikit-learn is missing")
    floats, columns = whole(mme.load("Orthodont")), ["age", "Subject"]
    predicted = [
        sklearn.MixedLMRegressor(groups="Subject").fit(one[columns], one["distance"]).predict(one[columns])
        for one in (floats, twin(floats, dtype))
    ]
    np.testing.assert_array_equal(*predicted)


@pytest.mark.parametrize("dtype", ["Int64", "int64[pyarrow]"])
def test_a_picture_takes_a_nullable_covariate_with_gaps(dtype):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    data = mme.load("sleepstudy")
    days = data["Days"].astype(int).astype(dtype)
    days[[3, 50]] = pd.NA
    fit = mme.lmer("Reaction ~ Days + (1 | Subject)", data.assign(Days=days))
    assert fit.nobs == 178
    fit.plot.groups(x=days, kind="spaghetti")
    pyplot.close("all")
