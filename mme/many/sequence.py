"""Fits of one model to many responses, as a sequence of fits and as arrays of what was found for each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


class FitSequence(Sequence[Any], ABC):
    """``fits[i]`` is the fit to response i, made when it is asked for; the arrays have a row for each response."""

    names: tuple[Any, ...]
    criterion: np.ndarray
    theta: np.ndarray
    beta: np.ndarray
    singular: np.ndarray

    @abstractmethod
    def fit_to(self, index: int) -> Any:
        """The fit to one of the responses."""

    @abstractmethod
    def columns(self) -> dict[str, Any]:
        """Columns of :attr:`table` beside theta and the fixed effects."""

    @property
    @abstractmethod
    def parameter_names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Names of theta and of the columns of beta."""

    def __len__(self) -> int:
        return int(self.criterion.size)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"refit {index} of {len(self)}")
        return self.fit_to(index)

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per response: ``criterion``, ``singular``, scale parameters, theta and the fixed effects by name."""
        import pandas as pd

        of_theta, of_beta = self.parameter_names
        columns = {"criterion": self.criterion, **self.columns(), "singular": self.singular}
        columns |= {f"theta_{name}": one for name, one in zip(of_theta, self.theta.T, strict=True)}
        columns |= dict(zip(of_beta, self.beta.T, strict=True))
        return pd.DataFrame(columns, index=list(self.names))

    def __repr__(self) -> str:
        return f"{type(self).__name__} of {len(self)} responses, {int(self.singular.sum())} singular"
