"""Names with spaces stand in backticks in a formula; elsewhere both ways of writing them mean the same."""

import numpy as np
import pandas as pd
import pytest

import mme


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(5)
    table = pd.DataFrame({"my group": np.repeat(np.arange(9), 6), "x": rng.normal(size=54)})
    return table.assign(y=table["x"] + rng.normal(size=9)[table["my group"]] + rng.normal(size=54))


@pytest.fixture(scope="module")
def fit(data):
    return mme.lmer("y ~ x + (x | `my group`)", data)


WAYS = {
    "predict": lambda fit, name: fit.predict(random=name),
    "predict by a list": lambda fit, name: fit.predict(random=[name]),
    "predict by a coefficient": lambda fit, name: fit.predict(random=f"{name}.x"),
    "ranef": lambda fit, name: fit.ranef()[name].to_numpy(),
    "pev": lambda fit, name: fit.pev()[name],
    "varcorr": lambda fit, name: fit.varcorr[name].sd,
    "dfbeta": lambda fit, name: fit.dfbeta(by=name).to_numpy(),
    "robust": lambda fit, name: fit.coefficients(robust="CR2", cluster=name).to_numpy(float),
    "profile": lambda fit, name: fit.profile([f"sd_(Intercept)|{name}"]).confint().to_numpy(float),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_name_in_backticks_is_the_name(fit, way):
    plain, quoted = (WAYS[way](fit, name) for name in ("my group", "`my group`"))
    np.testing.assert_array_equal(quoted, plain)


def test_held_parameters_and_relationships_are_found_by_either_name(data):
    levels = mme.Relationship(covariance=np.eye(9), levels=np.arange(9))
    for given in ({"hold": {"V_{}": 1.0}}, {"relationship": {"{}": levels}}):
        ((word, mapping),) = given.items()
        criteria = [
            mme.lmer(
                "y ~ x + (1 | `my group`)", data, **{word: {key.format(name): of for key, of in mapping.items()}}
            ).criterion
            for name in ("my group", "`my group`")
        ]
        assert criteria[0] == criteria[1]


def test_what_is_no_name_is_said_as_it_was_given(fit):
    with pytest.raises(mme.MMEError, match="random names '`your group`'"):
        fit.predict(random="`your group`")
    with pytest.raises(KeyError, match=r"3 is no grouping factor.*\.loc\[3\]"):
        fit.ranef()[np.int64(3)]
