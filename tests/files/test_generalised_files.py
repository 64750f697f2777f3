"""A generalised fit written and read back has the same numbers to the last bit, and is not searched again."""

import inspect
import json
import zipfile

import numpy as np
import pandas as pd
import pytest

import mme
from mme.files.save_generalised import shipped
from mme.generalised.criterion import Criterion
from tests.glmm import glmm_case, glmm_fit


class Counts(mme.Poisson):
    """Poisson by another name, whose options are its own."""

    def __init__(self, unit=1):
        super().__init__("log")
        self.unit = unit

    def options(self):
        return {"unit": self.unit}


class Careless(mme.Poisson):
    """One that is not made again by a link."""

    def __init__(self):
        super().__init__("log")


def _offset():
    return glmm_case("epilepsy_offset").fit()


FITS = {
    "binomial": lambda: glmm_fit("cbpp_logit"),
    "crossed": lambda: glmm_fit("cross_logit"),
    "a correlation of one": lambda: glmm_fit("singular_slope"),
    "offset": _offset,
    "dispersion": lambda: glmm_fit("sitka_gamma"),
    "expected information": lambda: glmm_case("cbpp_probit").fit(laplace="expected"),
    "a size that is given": lambda: mme.glmer(
        "Days ~ Sex + (1 | Age)", glmm_case("quine_nb2").data, mme.NegativeBinomial(size=1.3)
    ),
    "quadrature": lambda: glmm_case("cbpp_logit").fit(n_agq=5),
    "fast criterion": lambda: glmm_case("cbpp_logit").fit(n_agq=0),
    "labels": lambda: glmm_case("contra_int").fit(),
}


@pytest.mark.parametrize("name", FITS)
def test_a_fit_read_back_has_the_same_bits(tmp_path, name, monkeypatch):
    fit = FITS[name]()
    fit.save(tmp_path / "fit.mme")
    monkeypatch.setattr(Criterion, "at", None)  # nothing is searched, and no Hessian made
    again = mme.load_fit(tmp_path / "fit.mme")
    assert isinstance(again, mme.GeneralisedFit)
    assert again.criterion == fit.criterion
    for what in ("beta", "beta_cov", "se", "theta", "fitted"):
        one, other = np.asarray(getattr(fit, what)), np.asarray(getattr(again, what))
        assert one.tobytes() == other.tobytes(), what
    for group, table in fit.ranef().items():
        assert table.equals(again.ranef()[group])
        assert fit.condvar()[group].tobytes() == again.condvar()[group].tobytes()
    assert again.parameters == fit.parameters
    assert again.summary() == fit.summary()
    assert str(again.optimum) == str(fit.optimum)
    assert repr(again.family) == repr(fit.family)


def test_rows_and_their_labels_are_kept(tmp_path):
    data = pd.DataFrame({"y": [0.0, 3, np.nan, 1, 5, 2], "g": list("aabbcc")}, index=list("uvwxyz"))
    fit = mme.glmer("y ~ 1 + (1 | g)", data, "poisson")
    fit.save(tmp_path / "fit.mme")
    again = mme.load_fit(tmp_path / "fit.mme")
    pd.testing.assert_series_equal(again.fitted, fit.fitted)
    assert again.n_dropped == 1


def test_equal_fits_make_equal_files(tmp_path):
    for name in ("one", "two"):
        glmm_case("cbpp_logit").fit().save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_family_of_the_users_own_is_given_again(tmp_path):
    data = {"y": [0, 1, 2, 4, 9, 7], "g": [1, 1, 2, 2, 3, 3]}
    fit = mme.glmer("y ~ 1 + (1 | g)", data, Counts(unit=3))
    fit.save(tmp_path / "fit.mme")
    with pytest.raises(mme.MMEError, match=r"the family 'Counts', which is not one of this mme: .*structures=\[...\]"):
        mme.load_fit(tmp_path / "fit.mme")
    again = mme.load_fit(tmp_path / "fit.mme", structures=[Counts])
    assert (again.criterion, again.family.unit) == (fit.criterion, 3)
    careless = mme.glmer("y ~ 1 + (1 | g)", data, Careless())
    with pytest.raises(mme.MMEError, match=r"Careless cannot be saved: .* give it a method options\(\)"):
        careless.save(tmp_path / "other.mme")


def test_families_are_made_again_from_their_options():
    public = {name: kind for name, kind in shipped().items() if getattr(mme, name, None) is kind}
    made = {name: kind for name, kind in public.items() if not inspect.isabstract(kind)}  # OwnFamily is to be filled in
    assert {"Binomial", "Poisson", "Gamma"} <= set(made)
    for kind in made.values():
        family = kind()
        assert repr(kind(**family.options())) == repr(family)
    for family in (mme.NegativeBinomial(kind=1), mme.NegativeBinomial(size=0.3), mme.Binomial(link="cauchit")):
        again = type(family)(**family.options())
        assert (repr(again), again.options()) == (repr(family), family.options())


def _rewritten(source, target, change):
    with zipfile.ZipFile(source) as file:
        members = {name: file.read(name) for name in file.namelist()}
    head = json.loads(members["fit.json"])
    fields = {key: i for i, (key, _) in enumerate(head["content"]["map"])}
    change(head["content"]["map"], fields)
    members["fit.json"] = json.dumps(head).encode()
    with zipfile.ZipFile(target, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)


def _other_family(content, at):
    content[at["family"]][1] = {"map": [["name", "Wald"], ["options", {"map": []}]]}


def _other_link(content, at):
    content[at["family"]][1] = {"map": [["name", "Binomial"], ["options", {"map": [["link", "probit"]]}]]}


def _other_kind(content, at):
    content[at["kind"]][1] = "survival"


def _fewer_parameters(content, at):
    searched = dict(map(tuple, content[at["searched"]][1]["map"]))
    searched["x"] = searched["free"]
    content[at["searched"]][1]["map"] = [[key, value] for key, value in searched.items()]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_other_family, "holds a fit of the family 'Wald', which is not one of this mme"),
        (_other_link, "the criterion at its theta is"),
        (_other_kind, "holds a fit of kind 'survival'"),
        (_fewer_parameters, "the criterion at its theta is"),
    ],
)
def test_a_file_that_was_changed_is_refused(tmp_path, change, said):
    glmm_fit("cbpp_logit").save(tmp_path / "fit.mme")
    _rewritten(tmp_path / "fit.mme", tmp_path / "other.mme", change)
    with pytest.raises(mme.MMEError, match=said):
        mme.load_fit(tmp_path / "other.mme")
