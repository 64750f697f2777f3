"""Calls that do not fit: what is missing, what was meant, and what to write; other errors stay as they are."""

import inspect

import pytest

from mme.tables.calls import explained, explains


@explained
def mean(values, *, weights=None, digits=3):
    """Average.

    Parameters
    ----------
    values : sequence
        The numbers, see :func:`numpy.mean`; one at least.
    weights, digits
        As elsewhere.

    Examples
    --------
    >>> mme.mean([1, 2])  # doctest: +SKIP
    """
    return round(sum(values) / len(values), digits)


def _said(call):
    with pytest.raises(TypeError) as caught:
        call()
    assert caught.value.__cause__ is None
    return str(caught.value)


def test_a_missing_argument_is_named_with_its_meaning_and_an_example():
    assert _said(lambda: mean()) == "mean() needs values: the numbers, see numpy.mean; for example mme.mean([1, 2])"


def test_an_argument_that_there_is_not_leads_to_the_one_of_its_sound():
    assert _said(lambda: mean([1], wieghts=[2])) == "mean() takes no 'wieghts': did you mean 'weights'?"
    assert "its arguments are values, weights, digits" in _said(lambda: mean([1], q=2))


def test_too_many_by_position_are_told_to_have_names():
    said = _said(lambda: mean([1], [2]))
    assert said == "by position mean() takes values; got 2 arguments: write the others by name: weights=, digits="
    assert _said(lambda: mean([1], values=[2])) == "mean() got 'values' twice"


def test_errors_from_within_and_results_are_those_of_the_function():
    assert mean([1, 2]) == 1.5
    with pytest.raises(TypeError, match="unsupported operand"):
        mean(["a"])


def test_methods_are_explained_with_what_the_object_offers_and_keep_their_signatures():
    class Base:
        def ask(self, name, *, level=0.95):
            return name

        @property
        def size(self):
            return 1

    @explains(lambda one, parameter: ["a", "b"] if parameter == "name" else [])
    class Kind(Base):
        pass

    assert _said(lambda: Kind().ask()) == "ask() needs name (here 'a', 'b')"
    assert _said(lambda: Kind().ask("a", "b")).endswith("got 2 arguments: write the others by name: level=")
    assert (Kind().ask("b"), Kind().size, str(inspect.signature(Kind.ask))) == ("b", 1, "(self, name, *, level=0.95)")
