"""Degrees of freedom counted from the design: strata of a split plot, subjects and what varies within them."""

import numpy as np
import pandas as pd
import pytest

import mme


def test_containment_gives_a_split_plot_the_strata_of_its_analysis_of_variance():
    """Six blocks, three varieties in each, four rates in each plot: nlme prints 51 and 10 for Oats."""
    fit = mme.lmer("yield ~ C(nitro) * Variety + (1 | Block/Variety)", mme.load("Oats"))
    table = fit.anova("containment")
    assert table["den_df"].to_dict() == {"C(nitro)": 45.0, "Variety": 10.0, "C(nitro):Variety": 45.0}
    assert fit.coefficients("contain")["df"].iloc[0] == 5.0


def test_containment_of_random_slopes_is_the_number_of_subjects_less_one():
    """SAS prints 17 for both of ``random intercept Days / subject=Subject``."""
    fit = mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))
    assert fit.coefficients("containment")["df"].tolist() == [17.0, 17.0]


def test_between_and_within_subjects():
    data = mme.load("Orthodont")
    for options in ({"residual": mme.AR1("age", "Subject")}, {}):
        bar = "" if options else " + (1 | Subject)"
        with pytest.warns(mme.MMEWarning, match="steps of 2") if options else warned_of_nothing():
            fit = mme.lmer("distance ~ age * Sex" + bar, data, **options)
        df = fit.coefficients("between-within")["df"]
        assert df.to_dict() == {"(Intercept)": 25.0, "age": 79.0, "SexMale": 25.0, "age:SexMale": 79.0}
        assert fit.contrast({"age": 1.0, "SexMale": 2.0}, ddf="bw")["df"].iloc[0] == 25.0


@pytest.mark.parametrize("bars", ["(1 | school) + (1 | pupil)", "(1 | pupil) + (1 | school)"])
def test_the_subjects_of_nested_factors_are_the_outermost(bars):
    rng = np.random.default_rng(4)
    pupil = np.repeat(np.arange(24), 3)
    table = pd.DataFrame({"pupil": pupil, "school": pupil // 4, "x": rng.normal(size=6)[pupil // 4]})
    table["z"], table["y"] = rng.normal(size=24)[pupil], rng.normal(size=24)[pupil] + rng.normal(size=72)
    df = mme.lmer(f"y ~ x + z + {bars}", table).coefficients("between-within")["df"]
    assert df.to_dict() == {"(Intercept)": 4.0, "x": 4.0, "z": 65.0}


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_between_and_within_subjects_of_chunks_are_those_of_the_table_in_any_unit(unit):
    """Sums of records do not show what is constant within a subject: the rows that they become do, to rounding."""
    rng = np.random.default_rng(4)
    g = np.repeat(np.arange(12), 5)
    table = pd.DataFrame({"g": g, "of_subject": unit * rng.normal(size=12)[g], "x": unit * rng.normal(size=60)})
    table["y"] = rng.normal(size=12)[g] + rng.normal(size=60)
    for data in (table, [table[:17], table[17:]]):
        df = mme.lmer("y ~ of_subject + x + (1 | g)", data).coefficients("between-within")["df"]
        assert df.to_dict() == {"(Intercept)": 10.0, "of_subject": 10.0, "x": 47.0}


def warned_of_nothing():
    import contextlib

    return contextlib.nullcontext()


def test_what_cannot_be_counted_is_refused_with_what_to_do():
    data = mme.load("sleepstudy")
    by_arrays = mme.fit(data["Reaction"], np.column_stack([np.ones(180), data["Days"]]), [mme.Term(data["Subject"])])
    with pytest.raises(mme.MMEError, match="given as arrays"):
        by_arrays.coefficients("containment")
    crossed = mme.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", mme.load("Penicillin"))
    with pytest.raises(mme.MMEError, match="needs subjects"):
        crossed.coefficients("between-within")
    with pytest.raises(mme.MMEError, match="'containment'"):
        crossed.coefficients("by hand")
