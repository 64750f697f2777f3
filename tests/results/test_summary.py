"""What a fit prints: lme4's tables, aligned, and a sentence for whatever is unusual."""

import re
from html import unescape

import numpy as np
import pandas as pd
import pytest

import mme
from mme.numeric.limits import Limits, within
from mme.results.notes import boundary
from mme.results.text import abbreviated, column


@pytest.fixture(scope="module")
def sleepstudy():
    return mme.load("sleepstudy")


@pytest.fixture(scope="module")
def weighted(sleepstudy):
    """Gaps, weights and a column that is twice another."""
    days = sleepstudy["Days"].to_numpy()
    gaps = np.where(np.isin(np.arange(180), [3, 4, 5, 6, 7]), np.nan, days)
    return sleepstudy.assign(Days=gaps, D2=2.0 * days, w=np.tile([1.0, 2.0, 3.0, 4.0, 5.0], 36))


# Printed by lme4 1.1-31 in R 4.2.2, print(summary(lmer(...))); df and p by lmerTest 3.1-3.
LME4 = {
    "sleepstudy": """
Scaled residuals:
    Min      1Q  Median      3Q     Max
-3.9536 -0.4634  0.0231  0.4634  5.1793

Random effects:
 Groups   Name        Variance Std.Dev. Corr
 Subject  (Intercept) 612.10   24.741
          Days         35.07    5.922   0.07
 Residual             654.94   25.592
Number of obs: 180, groups:  Subject, 18

Fixed effects, degrees of freedom by Satterthwaite:
            Estimate Std. Error   df t value Pr(>|t|)
(Intercept)  251.405      6.825 17.0 36.838 <0.001
Days          10.467      1.546 17.0 6.771 <0.001

Correlation of Fixed Effects:
     (Intr)
Days -0.138
""",
    "uncorrelated": """
Random effects:
 Groups    Name        Variance Std.Dev.
 Subject   (Intercept) 584.27   24.172
 Subject.1 Days         33.63    5.799
 Residual              653.12   25.556
Number of obs: 180, groups:  Subject, 18

Fixed effects, degrees of freedom by Satterthwaite:
            Estimate Std. Error   df t value Pr(>|t|)
(Intercept)  251.405      6.708 19.3 37.48 <0.001
Days          10.467      1.519 19.3 6.89 <0.001

Correlation of Fixed Effects:
     (Intr)
Days -0.194
""",
    "Dyestuff2": """
Scaled residuals:
    Min      1Q  Median      3Q     Max
-1.7648 -0.7806 -0.0809  0.6689  2.0907

Random effects:
 Groups   Name        Variance Std.Dev.
 Batch    (Intercept)  0.00    0.000
 Residual             13.81    3.716
Number of obs: 30, groups:  Batch, 6

Fixed effects, degrees of freedom by Satterthwaite:
            Estimate Std. Error   df t value Pr(>|t|)
(Intercept)   5.6656     0.6784 29.0 8.352 <0.001
""",
    "Penicillin": """
Random effects:
 Groups   Name        Variance Std.Dev.
 plate    (Intercept) 0.7169   0.8467
 sample   (Intercept) 3.7311   1.9316
 Residual             0.3024   0.5499
Number of obs: 144, groups:  plate, 24; sample, 6

Fixed effects, degrees of freedom by Satterthwaite:
            Estimate Std. Error   df t value Pr(>|t|)
(Intercept)  22.9722     0.8086 5.5 28.41 <0.001
""",
    "Machines": """
Random effects:
 Groups   Name        Variance Std.Dev. Corr
 Worker   (Intercept) 16.6400  4.0792
          MachineB    34.5482  5.8778    0.48
          MachineC    13.6149  3.6898   -0.36  0.30
 Residual              0.9246  0.9616
Number of obs: 54, groups:  Worker, 6

Fixed effects, degrees of freedom by Satterthwaite:
            Estimate Std. Error   df t value Pr(>|t|)
(Intercept)   52.356      1.681 5.0 31.151 <0.001
MachineB       7.967      2.421 5.0 3.291 0.022
MachineC      13.917      1.540 5.0 9.036 <0.001

Correlation of Fixed Effects:
         (Intr) MachnB
MachineB  0.463
MachineC -0.374  0.301
""",
    "Oats": """
Random effects:
 Groups        Name        Variance Std.Dev.
 Variety:Block (Intercept) 108.1    10.40
 Block         (Intercept) 214.5    14.64
 Residual                  168.7    12.99
Number of obs: 72, groups:  Variety:Block, 18; Block, 6

Fixed effects, degrees of freedom by Satterthwaite:
                        Estimate Std. Error   df t value Pr(>|t|)
(Intercept)               81.900      8.571 12.8 9.556 <0.001
nitro                     75.333     11.859 51.0 6.353 <0.001
VarietyMarvellous          8.517      8.685 21.6 0.981 0.338
VarietyVictory            -8.600      8.685 21.6 -0.990 0.333
nitro:VarietyMarvellous  -10.750     16.771 51.0 -0.641 0.524
nitro:VarietyVictory       5.750     16.771 51.0 0.343 0.733

Correlation of Fixed Effects:
            (Intr) nitro  VrtyMr VrtyVc ntr:VM
nitro       -0.415
VartyMrvlls -0.507  0.410
VarityVctry -0.507  0.410  0.500
ntr:VrtyMrv  0.294 -0.707 -0.579 -0.290
ntr:VrtyVct  0.294 -0.707 -0.290 -0.579  0.500
""",
    "weighted": """
Scaled residuals:
    Min      1Q  Median      3Q     Max
-4.2455 -0.4334  0.0842  0.5317  5.3982

Random effects:
 Groups   Name        Variance Std.Dev. Corr
 Subject  (Intercept)  871.33  29.518
          Days          47.26   6.874   -0.27
 Residual             1425.88  37.761
Number of obs: 175, groups:  Subject, 18

Fixed effects, degrees of freedom by Satterthwaite:
            Estimate Std. Error   df t value Pr(>|t|)
(Intercept)  247.108      7.773 18.0 31.79 <0.001
Days          11.214      1.723 17.8 6.51 <0.001

Correlation of Fixed Effects:
     (Intr)
Days -0.363
""",
}


def fitted(name, sleepstudy, weighted):
    """Fit the model that stands behind a text of ``LME4``."""
    match name:
        case "sleepstudy":
            return mme.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)
        case "uncorrelated":
            return mme.lmer("Reaction ~ Days + (Days || Subject)", sleepstudy, method="ML")
        case "weighted":
            return mme.lmer("Reaction ~ Days + D2 + (Days | Subject)", weighted, weights="w", method="ML")
    formula = {
        "Dyestuff2": "Yield ~ 1 + (1 | Batch)",
        "Penicillin": "diameter ~ 1 + (1 | plate) + (1 | sample)",
        "Machines": "score ~ Machine + (Machine | Worker)",
        "Oats": "yield ~ nitro * Variety + (1 | Block/Variety)",
    }[name]
    return mme.lmer(formula, mme.load(name))


def assert_reads_as(text, peer):
    """Word for word the same, numbers within one unit of its last digit or 3e-4, where its search stopped."""
    ours, theirs = text.lower().split(), peer.lower().split()
    assert len(ours) == len(theirs), text
    for mine, other in zip(ours, theirs, strict=True):
        if re.fullmatch(r"-?\d+\.\d+", other):
            unit = 10.0 ** -len(other.partition(".")[2])
            assert float(mine) == pytest.approx(float(other), rel=3e-4, abs=1.01 * unit), text
        else:
            assert mine == other


@pytest.mark.parametrize("name", LME4)
def test_the_tables_read_as_lme4_prints_them(name, sleepstudy, weighted):
    text = fitted(name, sleepstudy, weighted).summary()
    for part in LME4[name].strip().split("\n\n"):
        title = part.partition("\n")[0]
        (mine,) = [p for p in text.split("\n\n") if p.lower().startswith(title.lower())]
        assert_reads_as(mine, part)


@pytest.mark.parametrize("name", LME4)
def test_columns_of_numbers_end_at_one_place(name, sleepstudy, weighted):
    for part in fitted(name, sleepstudy, weighted).summary().split("\n\n"):
        lines = part.rstrip("\n").split("\n")
        if lines[0].startswith("Fixed effects"):
            assert len({len(line) for line in lines[1:]}) == 1
        if lines[0] == "Random effects:":
            ends = [lines[1].index(title) + len(title) for title in ("Variance", "Std.Dev.")]
            for line in lines[2:-1]:
                assert all(line[end - 1].isdigit() and line[end : end + 1] in (" ", "") for end in ends)


def test_the_printed_numbers_are_the_fits(sleepstudy):
    fit = mme.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)
    text = fit.summary()
    assert f"REML criterion at convergence: {fit.criterion:.4f}\n" in text
    for name in fit.fixed_names:
        (line,) = re.findall(rf"^{re.escape(name)} +(\S+) +(\S+) +(\S+) +(\S+) +<0.001$", text, re.MULTILINE)
        exact = (fit.beta[name], fit.se[name], 17.0, fit.beta[name] / fit.se[name])
        assert [float(number) for number in line] == pytest.approx(exact, abs=0.0005001)
    assert f"{fit.sigma**2:.2f}   {fit.sigma:.3f}" in text


def test_under_ml_the_information_criteria_stand_in_lme4s_order(sleepstudy):
    fit = mme.lmer("Reaction ~ Days + (Days || Subject)", sleepstudy, method="ML")
    # AIC, BIC, logLik, deviance of lme4
    expected = [1762.003255, 1777.968039, -876.001628, 1752.003255, 175]
    header, values = fit.summary().split("\n\n")[1].split("\n")
    assert header.split() == ["AIC", "BIC", "logLik", "deviance", "df.resid"]
    assert [float(value) for value in values.split()] == pytest.approx(expected, abs=1e-4)
    assert fit.summary().startswith("Linear mixed model fit by maximum likelihood\n")


def test_an_ordinary_fit_has_no_notes(sleepstudy):
    assert mme.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy).summary().endswith("Days -0.138\n")


def test_dropped_columns_missing_rows_and_weights_are_told(weighted):
    fit = mme.lmer("Reaction ~ Days + D2 + (Days | Subject)", weighted, weights="w", method="ML")
    text = fit.summary()
    assert text.endswith(
        "\n\n5 rows with missing values were left out.\nFixed effects dropped, determined by earlier columns: D2.\n"
    )
    assert "\nWeights: 1 to 5\n" in text
    one = weighted.assign(Days=weighted["Days"].fillna(4.0)).astype({"D2": float})
    one.loc[0, "D2"] = np.nan
    fit = mme.lmer("Reaction ~ D2 + offset(w) + (1 | Subject)", one)
    assert "\n1 row with a missing value was left out.\n" in fit.summary()
    assert "\nOffset: 1 to 5\n" in fit.summary()


def test_a_singular_fit_says_which_variance_is_zero():
    text = mme.lmer("Yield ~ 1 + (1 | Batch)", mme.load("Dyestuff2")).summary()
    flowing = " ".join(text.split())
    assert "Singular fit, on the boundary of the model: the variance of (Intercept) by Batch is zero." in flowing


@pytest.mark.parametrize(
    ("theta", "said"),
    [
        ([0, 0, 0, 1, 0, 1], ["the variance of (Intercept) by Worker is zero"]),
        ([1, 0, 0.3, 0, 0.2, 1], ["the variance of MachineB by Worker is zero"]),
        ([1, 0.5, 0.3, 0, 0, 1], ["the correlation of (Intercept) and MachineB by Worker is +1"]),
        ([1, -0.5, 0.3, 0, 0, 1], ["the correlation of (Intercept) and MachineB by Worker is -1"]),
        ([1, 0.5, -0.3, 1, 0.4, 0], ["MachineC by Worker is determined by (Intercept), MachineB"]),
        (
            [1, 0.5, -0.3, 0, 0, 0],
            [
                "the correlation of (Intercept) and MachineB by Worker is +1",
                "MachineC by Worker is determined by (Intercept), MachineB",
            ],
        ),
    ],
)
def test_a_zero_on_the_diagonal_of_T_is_a_zero_variance_or_a_dependence(theta, said):
    fit = mme.lmer("score ~ Machine + (Machine | Worker)", mme.load("Machines"), theta=theta)
    assert boundary(fit.internals) == said


def test_what_was_given_is_not_called_an_estimate(sleepstudy):
    fit = mme.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy, theta=[0, 0, 0], sigma=30.0)
    text = fit.summary()
    assert "REML criterion at the given theta:" in text
    assert text.endswith(
        "\n\nTheta was given, not estimated.\nThe residual standard deviation was given, not estimated.\n"
    )
    assert "Singular" not in text
    assert re.search(r"Days +0 +0 +NaN\n", text)  # no correlation beside a variance of zero


def test_a_response_without_fixed_effects_has_no_table_of_them():
    data = mme.load("Dyestuff")
    text = mme.lmer("Yield ~ 0 + (1 | Batch)", data).summary()
    assert "Fixed effects" not in text
    assert "Correlation" not in text


def test_a_fit_from_arrays_names_the_response_and_numbered_columns(sleepstudy):
    X = np.column_stack([np.ones(180), sleepstudy["Days"]])
    text = mme.fit(sleepstudy["Reaction"], X, [mme.Term(sleepstudy["Subject"], X, name="who")]).summary()
    assert text.startswith("Linear mixed model fit by REML\nResponse: Reaction\n")
    assert re.search(r"^ who +x1 +612\.\d\d +24\.74\d$", text, re.MULTILINE)
    assert "groups: who, 18" in text


def test_standard_errors_decide_the_decimals_of_estimates(sleepstudy):
    centred = sleepstudy.assign(Reaction=sleepstudy["Reaction"] - sleepstudy["Reaction"].mean())
    text = mme.lmer("Reaction ~ 1 + (1 | Subject)", centred).summary()
    assert re.search(r"^\(Intercept\)     0\.00       9\.05 17\.0   0\.000    1\.000$", text, re.MULTILINE)
    assert "-0.0" not in text.split("Fixed effects")[1]


def test_units_far_from_one_are_written_in_powers_of_ten(sleepstudy):
    text = mme.lmer("I(Reaction * 1e-6) ~ Days + (1 | Subject)", sleepstudy).summary()
    assert re.search(r"^Days +1\.047e-05 +8\.042e-07 +161\.0 +13\.015 +<0\.001$", text, re.MULTILINE)
    assert re.search(r"^ Subject +\(Intercept\) 1\.378e-09 3\.712e-05$", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("values", "written"),
    [
        ([612.0899, 35.07166, 654.9424], ["612.09", "35.07", "654.94"]),
        ([0.0, 13.80631], ["0.00", "13.81"]),
        ([108.05, 214.5, 168.7], ["108.0", "214.5", "168.7"]),
        ([2.0, 100.0], ["2", "100"]),
        ([123456.0, 2.5], ["123456.0", "2.5"]),
        ([5.4392e-10, 3.74e-11], ["5.439e-10", "3.740e-11"]),
        ([float("nan"), 1.25], ["NaN", "1.25"]),
        ([float("nan")], ["NaN"]),
    ],
)
def test_a_column_has_one_notation_with_four_digits_of_its_smallest_number(values, written):
    assert column(values) == written


def test_abbreviated_names_are_rs_and_stay_apart():
    assert abbreviated(["(Intercept)", "VarietyMarvellous", "VarietyVictory"], 6) == ["(Intr)", "VrtyMr", "VrtyVc"]
    assert abbreviated(["condition1", "condition2", "condition12"], 6) == ["cndtn1", "cndtn2", "cndt12"]
    alike = ["measured", "measurad", "measurid"]
    assert len(set(abbreviated(alike, 5))) == 3
    assert abbreviated(["x", "x"], 3) == ["x", "x"]


def test_many_fixed_effects_have_no_correlation_table(sleepstudy):
    data = sleepstudy.assign(x=np.sin(np.arange(180)))
    text = mme.lmer("Reaction ~ factor(Days) * x + (1 | Subject)", data).summary()
    assert "Correlation of fixed effects: not shown, as there are 20; see beta_cov.\n" in text
    assert max(map(len, text.split("\n"))) <= 80


def test_long_names_have_lines_of_their_own(sleepstudy):
    names = {f"a_rather_long_name_of_a_covariate_{i}": np.sin(np.arange(180.0) * (i + 1)) for i in range(3)}
    fit = mme.lmer(f"Reaction ~ {'*'.join(names)} + (1 | Subject)", sleepstudy.assign(**names))
    lines = fit.summary().split("\n")
    at = lines.index("a_rather_long_name_of_a_covariate_0:a_rather_long_name_of_a_covariate_1")
    assert len(lines[at + 1]) == len(lines[at - 1])
    cut = [line for line in lines if len(line) > 80 and line.strip() not in (*fit.fixed_names, "*".join(names))]
    assert not cut
    assert "..." not in fit.summary()


def test_degrees_of_freedom_are_those_asked_for_and_left_out_where_they_cost_more_than_the_fit():
    growth = mme.load("Orthodont").assign(visit=lambda d: (d["age"] - 8) / 2)
    fit = mme.lmer("distance ~ age", growth, residual=mme.Unstructured("visit", "Subject"))
    with within(Limits(tests_operations=0)):
        text = fit.summary()
    assert "t value\n" in text
    assert "Pr(>|t|)" not in text
    assert "summary(ddf='satterthwaite')" in " ".join(text.split())
    asked = fit.summary(ddf="satterthwaite")
    assert "Pr(>|t|)" in asked
    with within(Limits(tests_operations=0)):
        assert fit.summary() == asked  # what is known costs nothing
    normal = fit.summary(ddf="none")
    assert "Fixed effects, p by the normal distribution:\n            Estimate Std. Error t value Pr(>|t|)" in normal
    kenward = mme.lmer("yield ~ nitro + (1 | Block/Variety)", mme.load("Oats"))
    assert "by Kenward and Roger:\n" in kenward.summary("kr")


def test_repr_is_the_summary_and_notebooks_get_html(sleepstudy):
    fit = mme.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)
    assert repr(fit) == fit.summary()
    assert fit._repr_html_().startswith("<div>")


@pytest.mark.parametrize("name", LME4)
def test_html_holds_the_numbers_of_the_text(name, sleepstudy, weighted):
    fit = fitted(name, sleepstudy, weighted)
    tables = re.findall(r"<table>.*?</table>", fit._repr_html_())
    for table, title in zip(tables, ("Random effects:", "Fixed effects"), strict=True):
        cells = [unescape(cell) for cell in re.findall(r"<t[hd] [^>]*>(.*?)</t[hd]>", table)]
        (part,) = [p for p in fit.summary().split("\n\n") if p.startswith(title)]
        in_text = [word for line in part.split("\n")[1:] if "Number of obs" not in line for word in line.split()]
        assert " ".join(cells).split() == in_text


def test_html_tells_what_the_text_tells_and_escapes_names(weighted):
    data = weighted.rename(columns={"Reaction": "a<b&c"})
    html = mme.lmer("`a<b&c` ~ Days + D2 + (Days | Subject)", data, weights="w", method="ML")._repr_html_()
    assert "5 rows with missing values were left out." in html
    assert "determined by earlier columns: D2." in html
    assert "a&lt;b&amp;c" in html
    assert "a<b" not in html
    assert "deviance" in html


def test_html_is_well_formed(sleepstudy):
    from xml.etree import ElementTree

    html = mme.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)._repr_html_()
    root = ElementTree.fromstring(html.replace("<br>", "<br/>"))
    assert len(root.findall("table")) == 2
    rows = root.findall("table")[0].findall("thead/tr") + root.findall("table")[0].findall("tbody/tr")
    assert len({len(row) for row in rows}) == 1


def test_every_data_set_prints_within_eighty_columns():
    models = {
        "Dyestuff": "Yield ~ 1 + (1 | Batch)",
        "Pastes": "strength ~ 1 + (1 | batch/cask)",
        "Orthodont": "distance ~ age * Sex + (age | Subject)",
    }
    for name, formula in models.items():
        text = mme.lmer(formula, mme.load(name)).summary()
        assert max(map(len, text.split("\n"))) <= 80
        assert text == text.rstrip("\n") + "\n"
        assert not re.search(r"[ \t]$", text, re.MULTILINE)


def test_a_summary_needs_no_index_of_the_data(sleepstudy):
    shuffled = sleepstudy.sample(frac=1.0, random_state=1).set_index(pd.Index([f"r{i}" for i in range(180)]))
    formula = "Reaction ~ Days + (1 | Subject)"
    assert mme.lmer(formula, shuffled).summary() == mme.lmer(formula, sleepstudy).summary()


# -- residual structures ----------------------------------------------------------------------------------------------


def test_a_residual_structure_is_named_with_its_parameters():
    growth = mme.load("Orthodont").assign(visit=lambda d: (d["age"] - 8) / 2)
    one = mme.lmer("distance ~ age", growth, residual=mme.AR1("visit", "Subject"))
    line = f"Residual structure: AR1; rho {one.residual['rho']:.4g}"
    assert line in one.summary()
    assert line in one._repr_html_()
    both = mme.lmer("distance ~ age", growth, residual=[mme.AR1("visit", "Subject"), mme.Heterogeneous("Sex")])
    assert "Residual structure: AR1 with Heterogeneous; rho " in both.summary()
    nugget = mme.Exponential("age", "Subject", nugget=True)
    assert "Exponential with nugget; range " in mme.lmer("distance ~ age", growth, residual=nugget).summary()
    assert "Residual structure" not in mme.lmer("distance ~ age + (1 | Subject)", growth).summary()


def test_scaled_residuals_are_over_the_standard_deviation_of_each_record():
    growth = mme.load("Orthodont")
    fit = mme.lmer("distance ~ age * Sex + (1 | Subject)", growth, residual=mme.PowerOfMean())
    low, *_, high = fit.scaled_residuals("pearson").quantile([0.0, 1.0])
    assert f"{low:.4f}" in fit.summary()
    assert f"{high:.4f}" in fit.summary()
    assert 2.0 < high < 4.0


def test_many_residual_parameters_are_counted_and_their_line_is_wrapped():
    growth = mme.load("Orthodont")
    fit = mme.lmer("distance ~ age", growth, residual=mme.Unstructured("age", "Subject"))
    assert "and 1 more: see residual" in " ".join(fit.summary().split())
    assert max(map(len, fit.summary().splitlines())) <= 80


def test_a_negative_covariance_within_groups_is_said_to_be_a_marginal_model():
    fit = mme.lmer("Yield ~ 1", mme.load("Dyestuff2"), residual=mme.CompoundSymmetry("Batch"), method="ML")
    assert fit.residual["rho"] == pytest.approx(-0.11987, abs=1e-4)  # nlme's
    assert "a marginal model of the records" in " ".join(fit.summary().split())


def test_a_summary_asks_for_no_hessian_where_no_levels_are_related(sleepstudy):
    fit = mme.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)
    assert fit.summary()
    assert "local" not in vars(fit)
