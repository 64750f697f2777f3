"""Tables for other tools, a scikit-learn estimator, fits as files, and draws of (beta, b)."""

import io
import json
import pickle
import warnings
import zipfile
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
from cases import load_data
from scipy.linalg import block_diag
from scipy.stats import kstest, norm
from scipy.stats import t as student

import mme
from mme.engine.objective import Objective
from mme.engine.plan import Plan
from mme.files.archive import read_archive, write_archive
from mme.files.encoding import Encoder
from mme.results.draws import _deviations
from mme.solution.estimates import Estimates

SLOPE = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="module")
def sleep():
    return load_data("sleepstudy")


@pytest.fixture(scope="module")
def slopes(sleep):
    return mme.lmer(SLOPE, sleep)


# -- tidy, glance, augment ---------------------------------------------------------------------------------------------


def test_tidy_has_a_row_an_estimate(slopes):
    table = slopes.tidy(ddf="satterthwaite", level=0.9)
    assert table["effect"].tolist() == ["fixed"] * 2 + ["variance"] * 4
    assert table["term"].tolist() == [
        *("(Intercept)", "Days", "sd (Intercept)", "sd Days", "cor (Intercept), Days", "sd")
    ]
    part = slopes.varcorr["Subject"]
    np.testing.assert_allclose(table["estimate"], [*slopes.beta, *part.sd, part.corr[1, 0], slopes.sigma], rtol=1e-15)
    fixed = slopes.coefficients(ddf="satterthwaite")
    half = student.ppf(0.95, fixed["df"]) * fixed["se"]
    np.testing.assert_allclose(table["lower"].iloc[:2], fixed["estimate"] - half, rtol=1e-9)
    np.testing.assert_allclose(table["upper"].iloc[:2], fixed["estimate"] + half, rtol=1e-9)
    assert table.loc[2:, ["df", "statistic", "p_value"]].isna().all(axis=None)
    assert (table.loc[2:, "lower"] < table.loc[2:, "estimate"]).all()


def test_tidy_has_blups_on_request_and_correlations_only_where_they_are_estimated(sleep):
    fit = mme.lmer("Reaction ~ Days + (Days || Subject)", sleep)
    assert not fit.tidy("variance")["term"].str.startswith("cor").any()
    table = fit.tidy("blup", level=0.95)
    assert len(table) == 36
    one = table[(table["level"] == "308") & (table["term"] == "Days")].iloc[0]
    sd = np.sqrt(fit.condvar()["Subject"][0, 1, 1])
    assert one["group"] == "Subject"
    assert one["estimate"] == fit.ranef()["Subject"].loc["308", "Days"]
    assert one["upper"] - one["estimate"] == pytest.approx(norm.ppf(0.975) * sd, rel=1e-9)
    with pytest.raises(mme.MMEError, match="effects are 'fixed', 'variance', 'blup'; got 'random'"):
        fit.tidy("random")


def test_tables_of_several_fits_go_under_one_another(slopes, sleep):
    fits = [slopes, mme.lmer("Reaction ~ 1 + (1 | Subject)", sleep)]
    table = pd.concat([fit.glance() for fit in fits], ignore_index=True)
    assert table["dof"].tolist() == [6, 3]
    assert table["formula"].tolist() == [SLOPE, "Reaction ~ 1 + (1 | Subject)"]
    np.testing.assert_allclose(table["aic"], [fit.aic for fit in fits])
    assert table["r2_marginal"].tolist() == [fit.r2()["marginal"] for fit in fits]
    assert len(pd.concat([fit.tidy(ddf="none") for fit in fits])) == 9


def test_augment_puts_what_the_fit_says_beside_the_data():
    data = load_data("sim_missing").set_axis([f"row{i}" for i in range(200)])
    fit = mme.lmer("y ~ x + f + (1 | grp)", data)
    table = fit.augment(data)
    assert table.columns[: data.shape[1]].tolist() == data.columns.tolist()
    assert table.index.equals(data.index)
    np.testing.assert_allclose(table[".fitted"] + table[".residual"], data["y"].where(table[".fitted"].notna()))
    assert int(table[".leverage"].isna().sum()) == fit.n_dropped
    alone = fit.augment()
    assert alone.columns[0] == "y"
    pd.testing.assert_series_equal(alone[".cooks_distance"], table[".cooks_distance"])
    with pytest.raises(mme.MMEError, match="data has 3 rows, the data of the fit had 200"):
        fit.augment(data.head(3))


# -- scikit-learn ------------------------------------------------------------------------------------------------------

sklearn_only = pytest.mark.skipif(find_spec("sklearn") is None, reason="needs scikit-learn: pip install 'mme[sklearn]'")


@sklearn_only
@pytest.mark.filterwarnings("ignore")
def test_the_estimator_passes_scikit_learns_own_checks():
    from sklearn.utils.estimator_checks import check_estimator

    results = check_estimator(mme.MixedLMRegressor(), on_skip=None, on_fail=None)
    assert {one["check_name"]: one["exception"] for one in results if one["status"] == "failed"} == {}
    assert sum(one["status"] == "passed" for one in results) > 40


@sklearn_only
def test_the_estimator_predicts_as_the_fit_does(slopes, sleep):
    X, y = sleep[["Days", "Subject"]], sleep["Reaction"]
    model = mme.MixedLMRegressor(groups="Subject", random_slopes=["Days"]).fit(X, y)
    np.testing.assert_allclose(model.predict(X), slopes.fitted, rtol=1e-9)
    np.testing.assert_allclose([model.intercept_, *model.coef_], slopes.beta, rtol=1e-9)
    new = pd.DataFrame({"Days": [0.0, 5.0], "Subject": ["new", "308"]})
    np.testing.assert_allclose(model.predict(new), slopes.predict(new, new_levels="population"), rtol=1e-9)
    strict = mme.MixedLMRegressor(groups="Subject", new_levels="error").fit(X, y)
    with pytest.raises(mme.MMEError, match="1 records are of groups that the fit did not see"):
        strict.predict(new)
    positions = mme.MixedLMRegressor(groups=0, random_slopes=[1])
    codes = pd.factorize(sleep["Subject"])[0].astype(float)
    positions.fit(np.column_stack([codes, sleep["Days"]]), y)
    np.testing.assert_allclose(positions.coef_, model.coef_, rtol=1e-9)
    beside = mme.MixedLMRegressor(random_slopes=[0]).fit(X[["Days"]], y, groups=sleep["Subject"])
    np.testing.assert_allclose(beside.predict(X[["Days"]], groups=sleep["Subject"]), slopes.fitted, rtol=1e-9)
    np.testing.assert_allclose(beside.predict(X[["Days"]]), slopes.predict(random=False), rtol=1e-9)


@sklearn_only
def test_the_estimator_works_in_pipelines_searches_and_copies(sleep):
    from sklearn.base import clone
    from sklearn.model_selection import GridSearchCV

    X, y = sleep[["Days", "Subject"]], sleep["Reaction"]
    model = mme.MixedLMRegressor(groups="Subject")
    assert clone(model).get_params() == model.get_params()
    search = GridSearchCV(model, {"random_slopes": [(), ("Days",)]}, cv=3).fit(
        X.sample(frac=1, random_state=0), y.sample(frac=1, random_state=0)
    )
    assert search.best_params_ == {"random_slopes": ("Days",)}
    again = pickle.loads(pickle.dumps(search.best_estimator_))
    np.testing.assert_array_equal(again.predict(X), search.predict(X))


@sklearn_only
def test_weights_of_records_are_prior_weights_and_those_of_zero_leave():
    data = load_data("sim_weights")
    fit = mme.lmer("y ~ x + (1 | grp)", data, weights="w")
    model = mme.MixedLMRegressor(groups="grp").fit(data[["x", "grp"]], data["y"], sample_weight=data["w"])
    np.testing.assert_allclose(model.coef_, fit.beta["x"], rtol=1e-9)
    some = data["w"].where(np.arange(len(data)) % 5 > 0, 0.0)
    with_zeros = mme.MixedLMRegressor(groups="grp").fit(data[["x", "grp"]], data["y"], sample_weight=some)
    kept = data[some > 0.0]
    without = mme.MixedLMRegressor(groups="grp").fit(kept[["x", "grp"]], kept["y"], sample_weight=kept["w"])
    np.testing.assert_allclose(with_zeros.coef_, without.coef_, rtol=1e-12)


@sklearn_only
@pytest.mark.parametrize(
    ("options", "fit_options", "message"),
    [
        ({"groups": "herd"}, {}, "there is no column 'herd' in X"),
        ({"groups": 7}, {}, "there is no column 7 in X, which has 2"),
        ({"groups": "Subject", "random_slopes": ["Subject"]}, {}, "it cannot have a random slope"),
        ({"groups": "Subject"}, {"groups": [1] * 180}, "do not give them twice"),
        ({"groups": "Subject", "new_levels": "zero"}, {}, "new_levels must be 'population' or 'error'"),
        ({"groups": "Subject"}, {"sample_weight": -np.ones(180)}, "sample_weight must be finite and not negative"),
    ],
)
def test_what_the_estimator_cannot_use_is_refused(sleep, options, fit_options, message):
    with pytest.raises(mme.MMEError, match=message):
        mme.MixedLMRegressor(**options).fit(sleep[["Days", "Subject"]], sleep["Reaction"], **fit_options)


def test_an_unknown_name_is_still_an_error():
    with pytest.raises(AttributeError, match="has no attribute 'Fitt'"):
        mme.Fitt  # noqa: B018


# -- fits as files -----------------------------------------------------------------------------------------------------


def orthodont():
    return load_data("Orthodont").assign(visit=lambda table: (table["age"] - 6.0) / 2.0)


def related():
    rng = np.random.default_rng(2)
    animals = [f"a{i}" for i in range(15)]
    K = 0.5 * np.eye(15) + 0.5 * np.exp(-0.4 * np.abs(np.subtract.outer(np.arange(15), np.arange(15))))
    g = rng.integers(0, 13, 80)
    data = pd.DataFrame({"y": rng.normal(size=15)[g] + rng.normal(size=80), "animal": np.array(animals)[g]})
    return mme.lmer(
        "y ~ 1 + (1 | animal)", data, relationship={"animal": mme.Relationship(covariance=K, levels=animals)}
    )


def growth(residual, formula="distance ~ age"):
    return mme.lmer(formula, orthodont(), residual=residual)


FITS = {
    "slopes": lambda: mme.lmer(SLOPE, load_data("sleepstudy")),
    "crossed": lambda: mme.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", load_data("Penicillin"), method="ML"),
    "nested": lambda: mme.lmer("strength ~ 1 + (1 | batch/cask)", load_data("Pastes")),
    "two terms on a factor": lambda: mme.lmer("Reaction ~ poly(Days, 2) + (Days || Subject)", load_data("sleepstudy")),
    "transforms": lambda: mme.lmer(
        "log(Reaction) ~ scale(Days) + bs(Days, df = 4) + (1 | Subject)", load_data("sleepstudy")
    ),
    "missing rows, factors": lambda: mme.lmer(
        "y ~ x + C(f, contr.sum) + (1 | grp)", load_data("sim_missing").set_axis([f"row{i}" for i in range(200)])
    ),
    "weights, offset": lambda: mme.lmer("yoff ~ x + (1 | grp)", load_data("sim_weights"), weights="w", offset="off"),
    "singular": lambda: mme.lmer("Yield ~ 1 + (1 | Batch)", load_data("Dyestuff2")),
    "structures": lambda: mme.lmer("score ~ Machine + cs(0 + Machine | Worker)", load_data("Machines")),
    "AR1 x strata": lambda: growth(
        [mme.AR1("visit", "Subject"), mme.Heterogeneous("Sex")], "distance ~ age * Sex + (1 | Subject)"
    ),
    "unstructured": lambda: growth(mme.Unstructured("visit", "Subject")),
    "exponential": lambda: mme.lmer(
        "distance ~ age", orthodont(), residual=mme.Exponential("age", "Subject", nugget=True)
    ),
    "compound symmetry": lambda: growth(mme.CompoundSymmetry("Subject")),
    "toeplitz": lambda: growth(mme.Toeplitz("visit", "Subject")),
    "relationship": related,
    "arrays": lambda: mme.fit(
        load_data("Dyestuff")["Yield"].to_numpy(), np.ones((30, 1)), [mme.Term(load_data("Dyestuff")["Batch"])]
    ),
    "given theta": lambda: mme.lmer(SLOPE, load_data("sleepstudy"), theta=[1.0, 0.0, 0.2]),
    "known sigma": lambda: mme.fit(
        np.arange(8.0) % 3, np.ones((8, 1)), [mme.Term(np.arange(8))], sigma=1.0, weights=np.linspace(1, 2, 8)
    ),
}


@pytest.mark.parametrize("name", FITS)
def test_a_fit_read_back_gives_the_same_answers(tmp_path, name):
    fit = FITS[name]()
    fit.save(tmp_path / "fit.mme")
    again = mme.load_fit(tmp_path / "fit.mme")
    np.testing.assert_array_equal(again.theta, fit.theta)
    np.testing.assert_allclose(again.internals.estimates.beta, fit.internals.estimates.beta, rtol=1e-12)
    assert again.criterion == pytest.approx(fit.criterion, rel=1e-13)
    assert again.summary() == fit.summary()
    assert again.dof == fit.dof
    assert str(again.optimum) == str(fit.optimum)
    assert again.residual == pytest.approx(fit.residual)
    for term, table in fit.ranef().items():
        pd.testing.assert_frame_equal(again.ranef()[term], table, rtol=1e-10)
    if isinstance(fit.fitted, pd.Series):
        pd.testing.assert_series_equal(again.fitted, fit.fitted, rtol=1e-11)


def test_a_fit_read_back_predicts_for_new_rows_with_transforms_remembered(tmp_path):
    fit = FITS["transforms"]()
    fit.save(tmp_path / "fit.mme")
    new = pd.DataFrame({"Days": [0.5, 7.25], "Subject": ["308", "372"]}, index=["a", "b"])
    pd.testing.assert_series_equal(mme.load_fit(tmp_path / "fit.mme").predict(new), fit.predict(new), rtol=1e-12)


@pytest.mark.parametrize(
    "index",
    [
        pd.RangeIndex(5, 185, name="row"),
        pd.MultiIndex.from_product([range(18), list("abcdefghij")], names=["subject", None]),
        pd.date_range("2020-01-01", periods=180),
        pd.Index(np.linspace(0, 1, 180)),
    ],
    ids=["range", "two levels", "dates", "floats"],
)
def test_the_labels_of_the_rows_are_kept(tmp_path, sleep, index):
    fit = mme.lmer(SLOPE, sleep.set_axis(index), theta=[1.0, 0.0, 0.2])
    fit.save(tmp_path / "fit.mme")
    found = mme.load_fit(tmp_path / "fit.mme").fitted.index
    assert found.tolist() == index.tolist()
    assert list(found.names) == list(index.names)


def test_equal_fits_make_equal_files(tmp_path, slopes):
    slopes.save(tmp_path / "a.mme")
    slopes.save(tmp_path / "b.mme")
    assert (tmp_path / "a.mme").read_bytes() == (tmp_path / "b.mme").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mme", "b.mme"]


def rewritten(source, target, change):
    """A copy of a saved fit, its JSON changed by ``change(head)`` and its members by what that returns."""
    with zipfile.ZipFile(source) as file:
        members = {name: file.read(name) for name in file.namelist()}
    head = json.loads(members["fit.json"])
    members |= change(head, members) or {}
    members["fit.json"] = members.get("replaced", json.dumps(head).encode())
    members.pop("replaced", None)
    with zipfile.ZipFile(target, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return target


def unpacked(path):
    """The JSON of a saved fit and its arrays."""
    with zipfile.ZipFile(path) as file:
        head, names = json.loads(file.read("fit.json")), sorted(set(file.namelist()) - {"fit.json"})
        return head, {name: np.load(io.BytesIO(file.read(name))) for name in names}


def test_records_come_back_bit_by_bit(tmp_path, slopes):
    slopes.save(tmp_path / "fit.mme")
    again = mme.load_fit(tmp_path / "fit.mme")
    pairs = [(again.internals.model.y, slopes.internals.model.y), (again.internals.model.X, slopes.internals.model.X)]
    for one, other in zip(again.internals.model.terms, slopes.internals.model.terms, strict=True):
        pairs += [(one.codes, other.codes), (one.covariates, other.covariates), (one.levels, other.levels)]
    for read, kept in pairs:
        assert (read.dtype, read.shape, read.strides) == (kept.dtype, kept.shape, kept.strides)
        assert read.tolist() == kept.tolist()
    assert again.criterion == slopes.criterion
    assert again.beta.equals(slopes.beta)


def test_no_array_is_written_twice_and_codes_are_as_narrow_as_they_can_be(tmp_path, slopes):
    slopes.save(tmp_path / "fit.mme")
    head, arrays = unpacked(tmp_path / "fit.mme")
    contents = [(array.dtype, array.shape, array.tobytes("A")) for array in arrays.values()]
    assert len(set(contents)) == len(contents)
    assert _find(head["content"], "X") == _find(head["content"], "covariates")
    assert arrays[f"arrays/{_find(head['content'], 'codes')['array']}.npy"].dtype == np.int8


@pytest.mark.parametrize(("levels", "width"), [(128, "int8"), (129, "int16"), (2**15, "int16"), (2**15 + 1, "int32")])
def test_codes_are_written_in_the_narrowest_signed_integers_that_hold_them(tmp_path, levels, width):
    groups = np.repeat(np.arange(levels), 2)
    fit = mme.fit(np.arange(2.0 * levels) % 7, np.ones((2 * levels, 1)), [mme.Term(groups)], theta=[1.0])
    fit.save(tmp_path / "fit.mme")
    head, arrays = unpacked(tmp_path / "fit.mme")
    assert arrays[f"arrays/{_find(head['content'], 'codes')['array']}.npy"].dtype == width
    np.testing.assert_array_equal(mme.load_fit(tmp_path / "fit.mme").internals.model.terms[0].codes, groups)


def test_arrays_that_share_a_checksum_but_not_their_bits_are_kept_apart():
    arrays = [np.array([0.0, 1.0]), np.array([-0.0, 1.0]), np.array([0.0, 1.0]), np.array([-0.0, 1.0])]
    encoder = Encoder({}, checksum=lambda bits: 0)
    placed = [encoder.encode(array)["array"] for array in arrays]
    assert placed[0] == placed[2] == 0
    for array, k in zip(arrays, placed, strict=True):
        assert encoder.arrays[k].tobytes() == array.tobytes()


@pytest.mark.parametrize("name", ["slopes", "nested", "AR1 x strata", "relationship"])
def test_a_file_with_wide_codes_and_repeated_arrays_is_read(tmp_path, name):
    """As files were written before codes were narrowed and equal arrays shared."""

    def once(head, members):
        places = _placed(head["content"])
        arrays = [np.load(io.BytesIO(members[f"arrays/{place['array']}.npy"])) for place in places]
        codes = _find(head["content"], "codes")
        arrays = [a.astype(np.int64) if p == codes else a for a, p in zip(arrays, places, strict=True)]
        for k, place in enumerate(places):
            place["array"] = k
        return {f"arrays/{k}.npy": npy(array) for k, array in enumerate(arrays)}

    fit = FITS[name]()
    fit.save(tmp_path / "new.mme")
    again = mme.load_fit(rewritten(tmp_path / "new.mme", tmp_path / "old.mme", once))
    assert len(unpacked(tmp_path / "old.mme")[1]) > len(unpacked(tmp_path / "new.mme")[1])
    assert again.criterion == mme.load_fit(tmp_path / "new.mme").criterion
    assert again.summary() == fit.summary()


def _placed(value):
    """Every mention of an array, in order."""
    if isinstance(value, dict):
        return [value] if "array" in value else _placed(list(value.values()))
    return [place for item in value for place in _placed(item)] if isinstance(value, list) else []


@pytest.mark.parametrize(
    ("array", "deflated"),
    [
        (np.repeat(np.arange(5000, dtype=np.int16), 20), True),
        (np.ones(100_000, dtype=bool), True),
        (np.random.default_rng(0).integers(0, 5000, 100_000, dtype=np.int16), False),
        (np.random.default_rng(0).integers(0, 50_000, 100_000, dtype=np.int32), False),
        (np.zeros(100_000), False),
        (np.zeros(0, dtype=np.int64), False),
        (np.array(3), False),
        (np.array(["x" * 9000] * 40), True),
        (np.zeros((300, 400), dtype=np.int8, order="F")[::2], True),
    ],
    ids=["sorted", "marks", "shuffled", "shuffled wide", "measurements", "empty", "scalar", "long text", "strided"],
)
def test_arrays_are_deflated_where_pieces_of_them_shrink_to_a_quarter(tmp_path, array, deflated):
    write_archive(tmp_path / "a.mme", {}, [array])
    with zipfile.ZipFile(tmp_path / "a.mme") as file:
        found = file.getinfo("arrays/0.npy").compress_type
    assert found == (zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED)
    read = read_archive(tmp_path / "a.mme")[1][0]
    assert (read.dtype, read.tolist()) == (array.dtype, array.tolist())


def npy(array, **options):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asarray(array), **options)
    return stream.getvalue()


class Trap:
    """Would announce itself if a pickle were loaded."""

    def __reduce__(self):
        return print, ("a pickle was run",)


def _later_version(head, members):
    head["version"] = 2


def _other_format(head, members):
    head["format"] = "something"


def _pickled_array(head, members):
    return {"arrays/0.npy": npy(np.array([Trap()], dtype=object), allow_pickle=True)}


def _huge_array(head, members):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
    return {"arrays/0.npy": header.getvalue()}


def _strange_class(head, members):
    head["content"] = {"class": "Popen", "fields": {"args": "true"}}


def _strange_field(head, members):
    head["content"]["map"][0][1]["map"][0][1] = {"import": "os"}


def _strange_member(head, members):
    return {"../outside.txt": b"x"}


def _missing_array(head, members):
    head["content"]["map"][0][1]["map"][0][1] = {"array": 99}


def _codes_out_of_range(head, members):
    k = _find(head["content"], "codes")["array"]
    return {f"arrays/{k}.npy": npy(np.full(180, 10**9))}


def _response_changed(head, members):
    k = _find(head["content"], "y")["array"]
    y = np.load(io.BytesIO(members[f"arrays/{k}.npy"]))
    return {f"arrays/{k}.npy": npy(y + np.arange(180.0))}


def _response_missing(head, members):
    k = _find(head["content"], "y")["array"]
    return {f"arrays/{k}.npy": npy(np.full(180, np.nan))}


def _theta_too_long(head, members):
    k = _find(head["content"], "theta")["array"]
    return {f"arrays/{k}.npy": npy(np.ones(7))}


def _no_json(head, members):
    return {"replaced": b"{"}


def _deep_json(head, members):
    return {"replaced": b"[" * 100_000 + b"]" * 100_000}


def _find(value, name):
    """The value of a key of the maps."""
    if isinstance(value, dict):
        for key, item in value.get("map", ()):
            if key == name:
                return item
        return next((found for item in value.values() if (found := _find(item, name)) is not None), None)
    if isinstance(value, list):
        return next((found for item in value if (found := _find(item, name)) is not None), None)
    return None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_later_version, "version 2 of the format; this mme reads version 1"),
        (_other_format, "not a fit saved by mme"),
        (_pickled_array, "not a plain array"),
        (_huge_array, "not a plain array of the size"),
        (_strange_class, "not of the format"),
        (_strange_field, "not of the format"),
        (_strange_member, r"'\.\./outside\.txt', which is not part of a fit"),
        (_missing_array, "not of the format"),
        (_codes_out_of_range, "codes of term 'Subject' are not among its levels"),
        (_response_changed, "the criterion at its theta is"),
        (_response_missing, "180 missing"),
        (_theta_too_long, r"theta has shape \(7,\), the model has 3"),
        (_no_json, "damaged"),
        (_deep_json, "damaged|not a fit"),
    ],
)
def test_a_file_that_is_damaged_or_made_to_harm_is_refused(tmp_path, slopes, capsys, change, message):
    slopes.save(tmp_path / "good.mme")
    bad = rewritten(tmp_path / "good.mme", tmp_path / "bad.mme", change)
    with pytest.raises(mme.MMEError, match=message):
        mme.load_fit(bad)
    assert "pickle" not in capsys.readouterr().out


def test_what_is_no_file_of_ours_is_refused(tmp_path, slopes):
    with pytest.raises(mme.MMEError, match=r"cannot read .*nothing\.mme: No such file"):
        mme.load_fit(tmp_path / "nothing.mme")
    (tmp_path / "text.mme").write_text("not a zip")
    with pytest.raises(mme.MMEError, match="is not a fit saved by mme"):
        mme.load_fit(tmp_path / "text.mme")
    slopes.save(tmp_path / "good.mme")
    content = (tmp_path / "good.mme").read_bytes()
    (tmp_path / "half.mme").write_bytes(content[: len(content) // 2])
    with pytest.raises(mme.MMEError, match="is not a fit saved by mme"):
        mme.load_fit(tmp_path / "half.mme")
    with pytest.raises(mme.MMEError, match=r"cannot write .*No such file"):
        slopes.save(tmp_path / "nowhere" / "fit.mme")


def test_a_structure_of_the_users_own_is_saved_by_the_name_of_its_class(tmp_path):
    from mme.residual.variance import BoundHeterogeneous, Heterogeneous

    class Own(BoundHeterogeneous):
        pass

    class OwnStructure(Heterogeneous):
        def bind(self, column, n):
            made = super().bind(column, n)
            return Own(**{name: getattr(made, name) for name in made.__dataclass_fields__})

    fit = mme.lmer("distance ~ age + (1 | Subject)", orthodont(), residual=OwnStructure("Sex"))
    fit.save(tmp_path / "fit.mme")
    with pytest.raises(mme.MMEError, match=r"a class of its writer's own, 'Own': give the class"):
        mme.load_fit(tmp_path / "fit.mme")
    again = mme.load_fit(tmp_path / "fit.mme", structures=[Own])
    assert type(again.internals.model.residual) is Own
    assert again.residual == fit.residual
    assert again.criterion == fit.criterion
    with pytest.raises(mme.MMEError, match="OwnStructure reads columns; a fit holds what its bind"):
        mme.load_fit(tmp_path / "fit.mme", structures=[OwnStructure])


# -- draws -------------------------------------------------------------------------------------------------------------


class Units:
    """Stands for a generator: all standard normals of one draw after another are the rows of an identity matrix."""

    def __init__(self, size):
        self.size, self.used = size, 0

    def standard_normal(self, shape):
        count = int(np.prod(shape[:-1]))
        out = np.zeros((count, self.size))
        out[np.arange(count), self.used + np.arange(count)] = 1.0
        self.used += count
        return out.reshape(shape)


def henderson(fit):
    """The inverse of the coefficient matrix, in units of sigma^2, with kept columns of X."""
    model = fit.internals.model
    w = np.ones(model.n) if model.weights is None else model.weights
    X, Z = model.X[:, fit.internals.objective.basis.kept], np.hstack([term.Z.toarray() for term in model.terms])
    G = []
    for term, T in zip(model.terms, model.T(fit.theta), strict=True):
        K = np.eye(term.n_levels) if term.relationship is None else np.linalg.inv(term.relationship.precision.toarray())
        G.append(np.kron(K, T @ T.T))
    C = np.hstack([X, Z])
    A = C.T @ (w[:, None] * C)
    A[X.shape[1] :, X.shape[1] :] += np.linalg.inv(block_diag(*G))
    return np.linalg.inv(A)


DRAWN = {
    "slopes": ("slopes", None),
    "crossed": ("crossed", None),
    "crossed, nothing absorbed": ("crossed", Plan(None, False)),
    "crossed, the smaller absorbed": ("crossed", Plan(1, True)),
    "crossed, sparse": ("crossed", Plan(0, False)),
    "nested": ("nested", None),
    "two terms on a factor": ("two terms on a factor", None),
    "weights": ("weights, offset", None),
    "relationship": ("relationship", None),
}


@pytest.mark.parametrize("name", DRAWN)
def test_draws_are_a_linear_map_whose_square_is_the_inverse_of_hendersons_equations(name):
    which, plan = DRAWN[name]
    fit = FITS[which]()
    objective = fit.internals.objective if plan is None else Objective.of(fit.internals.model, plan=plan)
    expected = henderson(fit)
    size = len(expected)
    beta, blocks = _deviations(Estimates(objective, fit.theta), size, Units(size))
    order = [t for block in objective.blocks for t in block.terms]
    parts = dict(
        zip(
            order,
            [
                block.effects(values, fit.theta)[:, :, columns].reshape(size, -1)
                for block, values in zip(objective.blocks, blocks, strict=True)
                for columns in block.column_slices
            ],
            strict=True,
        )
    )
    J = np.hstack([beta, *(parts[t] for t in range(len(order)))])  # a row a standard normal
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    np.testing.assert_allclose((J.T @ J) / scale, expected / scale, rtol=0, atol=1e-10)


def test_moments_of_draws_are_those_of_the_fit(slopes):
    n = 20_000
    draws = slopes.draws(n, seed=3)
    assert len(draws) == n
    assert draws.b["Subject"].shape == (n, 18, 2)
    # z scores of means and of variances; the largest of some seventy
    z = (draws.beta.mean() - slopes.beta) / slopes.se * np.sqrt(n)
    assert np.abs(z).max() < 4.5
    sd = np.sqrt(np.einsum("gii->gi", slopes.pev()["Subject"]))
    b = draws.b["Subject"]
    assert np.abs((b.mean(axis=0) - slopes.internals.estimates.b[0]) / sd * np.sqrt(n)).max() < 4.5
    assert np.abs(b.var(axis=0) / sd**2 - 1.0).max() < 4.5 * np.sqrt(2.0 / n)
    assert kstest((b[:, 0, 1] - slopes.internals.estimates.b[0][0, 1]) / sd[0, 1], "norm").pvalue > 1e-4


def test_draws_of_a_singular_fit_keep_to_its_edge():
    fit = FITS["singular"]()
    draws = fit.draws(50, seed=1)
    assert (draws.b["Batch"] == 0.0).all()
    assert draws.beta["(Intercept)"].std() > 0.0


def test_a_seed_repeats_the_draws_and_what_is_no_number_of_them_is_refused(slopes):
    one, two, other = (slopes.draws(5, seed=seed) for seed in (1, 1, 2))
    assert one.beta.equals(two.beta)
    assert not one.beta.equals(other.beta)
    assert "5 of 2 fixed effects; Subject: 18 levels x 2" in repr(one)
    with pytest.raises(mme.MMEError, match="n must be a whole number of draws"):
        slopes.draws(0)


@pytest.mark.parametrize("who", [None, np.nan, "new"])
def test_a_missing_group_is_predicted_as_one_that_the_fit_did_not_see(who):
    data = mme.load("sleepstudy")
    model = mme.MixedLMRegressor(groups="Subject").fit(data[["Days", "Subject"]], data["Reaction"])
    X = data[["Days", "Subject"]].head(2).assign(Subject=np.array(["308", who], dtype=object))
    assert model.predict(X)[1] == pytest.approx(model.intercept_ + model.coef_[0])


def test_a_row_that_breaks_what_the_fit_was_told_is_predicted_with_a_warning():
    rng = np.random.default_rng(1)
    x, g = rng.normal(size=60), np.repeat(np.arange(10), 6)
    model = mme.MixedLMRegressor().fit(np.column_stack([x, 2.0 * x]), x + rng.normal(size=60), groups=g)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept = model.predict([[1.0, 2.0]], groups=[0])
    with pytest.warns(mme.MMEWarning, match="1 of 2 rows are not determined"):
        broken = model.predict([[1.0, 2.0], [1.0, 50.0]], groups=[0, 0])
    np.testing.assert_allclose(broken, kept[0], rtol=1e-12)
