"""Degrees of freedom counted from the design: strata of a split plot, subjects and what varies within them."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest

import mme
from mme.numeric.limits import Limits, within


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


def plots(unit=1.0):
    """Four blocks of three plots of two halves of two records; x2 is nothing in the first block."""
    rng = np.random.default_rng(0)
    b, v, s, _ = (one.ravel() for one in np.indices((4, 3, 2, 2)))
    table = pd.DataFrame({"b": b, "v": v.astype(str), "s": s.astype(str), "x": unit * rng.normal(size=48)})
    table["x2"] = unit * rng.normal(size=48) * (b > 0)
    errors = rng.normal(size=4)[b] + rng.normal(size=12)[3 * b + v] + rng.normal(size=24)[6 * b + 2 * v + s]
    return table.assign(y=errors + rng.normal(size=48))


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("bars", list(permutations(["(1 | b)", "(1 | b:v)", "(1 | b:v:s)"]))[::2])
def test_containment_gives_each_stratum_its_freedom_in_whatever_order_terms_are_written(bars, unit):
    """4 - 1 of blocks, 3 x 2 of plots, 12 x 1 less the 3 of s and v:s of halves, 24 less the slope of records."""
    df = mme.lmer(f"y ~ v * s + x + {' + '.join(bars)}", plots(unit)).coefficients("containment")["df"]
    assert df[["(Intercept)", "v1", "v2", "s1", "v1:s1", "v2:s1", "x"]].tolist() == [3, 6, 6, 9, 9, 9, 23]


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize(
    "bars",
    [
        "(x + x2 | b)",
        "(x + x2 || b)",
        "(x2 + x || b)",
        "(0 + x2 | b) + (0 + x | b) + (1 | b)",
        "(1 | b:v) + (x + x2 || b)",
    ],
)
def test_each_slope_is_contained_in_the_effect_of_its_own_covariate(bars, unit):
    """Slopes on x in four blocks, on x2 in three of them, where it is not nothing, each less that of all."""
    df = mme.lmer(f"y ~ v + x + x2 + {bars}", plots(unit)).coefficients("containment")["df"]
    plots_less_varieties, records = 6, 48 - 5 - 3 - 3 - 2
    v = plots_less_varieties if "b:v" in bars else records
    # a slope is one of the effects that hold the intercept, and the plots come after the slopes
    assert df[["(Intercept)", "v1", "v2", "x", "x2"]].tolist() == [2, v, v, 3, 2]


def test_a_line_over_the_levels_of_a_random_term_has_what_the_levels_leave_beside_it():
    df = mme.lmer("y ~ b + x + (1 | b)", plots()).coefficients("containment")["df"]
    assert df.to_dict() == {"(Intercept)": 2.0, "b": 2.0, "x": 48.0 - 3.0 - 2.0}


def test_containment_of_more_numbers_than_are_ranked_in_seconds_is_refused():
    fit = mme.lmer("y ~ v + x + (1 | b) + (0 + x | b:v)", plots())
    numbers = 48 * (4 + 4 + 12)
    with within(Limits(information_entries=numbers)):
        assert fit.coefficients("containment")["df"]["x"] == 11.0
    other = mme.lmer("y ~ v + x + (1 | b) + (0 + x | b:v)", plots())
    with within(Limits(information_entries=numbers - 1)), pytest.raises(mme.MMEError, match="ranks a matrix of 960"):
        other.coefficients("containment")


def test_between_and_within_subjects():
    data = mme.load("Orthodont")
    for options in ({"residual": mme.AR1("age", "Subject")}, {}):
        bar = "" if options else " + (1 | Subject)"
        with pytest.warns(mme.MMEWarning, match="steps of 2") if options else warned_of_nothing():
            fit = mme.lmer("distance ~ age * Sex" + bar, data, **options)
        df = fit.coefficients("between-within")["df"]
        assert df.to_dict() == {"(Intercept)": 25.0, "age": 79.0, "SexMale": 25.0, "age:SexMale": 79.0}
        assert fit.contrast({"age": 1.0, "SexMale": 2.0}, ddf="bw")["df"].iloc[0] == 25.0
        assert fit.contrast({"age": 2.0}, ddf="bw")["df"].iloc[0] == 79.0


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
