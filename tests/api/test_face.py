"""The face of a fit: what an editor, ``help`` and a type checker see."""

from __future__ import annotations

import inspect
import pydoc

import pytest

import mme
from mme.fitted.record import Fitted

MACHINERY = {"objective", "rows", "specification", "estimates", "aliasing", "determined", "progress", "once"}


@pytest.fixture(scope="module")
def fit() -> mme.Fit:
    return mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))


def test_machinery_stands_behind_one_attribute(fit):
    assert MACHINERY & set(dir(fit)) == set()
    assert isinstance(fit.internals, Fitted)
    assert set(dir(fit.internals)) >= MACHINERY


@pytest.mark.parametrize("name", [name for name in dir(mme.Fit) if not name.startswith("_")])
def test_every_public_name_of_a_fit_says_what_it_is(name):
    assert name in ("internals", "made_by") or (inspect.getdoc(inspect.getattr_static(mme.Fit, name)) or "").strip()


def test_help_shows_signatures_with_their_options():
    text = pydoc.plain(pydoc.render_doc(mme.Fit))
    assert "tidy(self, effects:" in text
    assert "*args" not in text
    assert "scaled_residuals(self, kind: 'str' = 'standardised')" in text


def test_a_type_checker_finds_a_wrong_call(tmp_path):
    api = pytest.importorskip("mypy.api")
    script = tmp_path / "wrong.py"
    script.write_text(
        "import mme\n"
        "fit = mme.lmer('y ~ x + (1 | g)', {})\n"
        "fit.tidy()\n"
        "fit.tidy(efects='fixed')\n"
        "fit.r2(1)\n"
        "fit.report()\n"
        "fit.objective\n"
    )
    said, _, _ = api.run(["--strict", str(script)])
    lines = [line.split(":")[1] for line in said.splitlines() if ": error:" in line]
    assert lines == ["4", "5", "6", "7"]
