"""The stored references: complete, consistent in themselves, and free of what may not be redistributed."""

import math

import pytest
from cases import SHIPPED, lme4_case_names, load_case, load_worked, private_case_names, private_cases

LME4 = [*lme4_case_names(), *private_cases("tlc")]


def test_nothing_that_may_not_be_redistributed_ships():
    names = [path.name for path in SHIPPED.rglob("*")]
    assert not [name for name in names if name.startswith(("tlc", "milk"))]
    assert not set(private_case_names()) & set(lme4_case_names())


def test_every_reference_case_is_there():
    assert len(lme4_case_names()) == 90
    assert set(load_worked()) == {"worked0", "worked1", "worked3"}


@pytest.mark.parametrize("name", LME4)
def test_a_case_was_fitted_to_the_complete_rows_of_its_table(name):
    case = load_case(name)
    assert len(case.complete) == case.json["n"]
    assert len(case.json["theta"]) == case.json.get("n_theta", 3)
    assert len(case.json["beta"]) == len(case.json["se"]) == case.json["p"]


@pytest.mark.parametrize("name", LME4)
def test_information_criteria_count_coefficients_variance_parameters_and_sigma(name):
    fields = load_case(name).json
    assert fields["objective"] == pytest.approx(-2 * fields["logLik"], rel=1e-15)
    if "df" not in fields:  # the analytically derived case
        return
    assert fields["df"] == fields["p"] + fields["n_theta"] + 1
    assert fields["AIC"] == pytest.approx(fields["objective"] + 2 * fields["df"], rel=1e-14)
    assert fields["BIC"] == pytest.approx(fields["objective"] + fields["df"] * math.log(fields["n"]), rel=1e-14)


@pytest.mark.parametrize("name", private_cases("milk"))
def test_a_case_with_a_pedigree_was_fitted_to_the_rows_of_its_table(name):
    case = load_case(name)
    assert len(case.data) == case.json["n"]
