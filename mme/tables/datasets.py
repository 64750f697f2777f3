"""Small public data sets that ship with the package."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from mme.errors import MMEError

if TYPE_CHECKING:
    import pandas as pd

# name -> its columns of text; every other column is a float
_TEXT_COLUMNS = {
    "sleepstudy": ("Subject",),
    "Dyestuff": ("Batch",),
    "Dyestuff2": ("Batch",),
    "Penicillin": ("plate", "sample"),
    "Pastes": ("batch", "cask", "sample"),
    "Orthodont": ("Subject", "Sex"),
    "Oats": ("Block", "Variety"),
    "Machines": ("Worker", "Machine"),
    "cbpp": ("herd", "period"),
}

NAMES: tuple[str, ...] = tuple(_TEXT_COLUMNS)
# What each is, in a line.
ABOUT: dict[str, str] = {
    "sleepstudy": "reaction times of 18 subjects over ten days of short sleep",
    "Dyestuff": "yield of a dyestuff from 6 batches",
    "Dyestuff2": "the same layout, made so that the variance of batches is zero",
    "Penicillin": "an assay on 24 plates crossed with 6 samples",
    "Pastes": "strength of a paste, casks within batches",
    "Orthodont": "growth of 27 children, four ages each",
    "Oats": "a split-plot experiment: varieties and nitrogen",
    "Machines": "scores of 6 workers on 3 machines",
    "cbpp": "cases of pleuropneumonia in 15 herds: counts",
}

_DIRECTORY = Path(__file__).parents[1] / "data"


def load(name: str) -> pd.DataFrame:
    """Return one of the data sets that ship with the package, as a fresh data frame.

    Labels are strings, also those that look like numbers (``"308"``); measurements are floats. The tables are those
    of the R packages lme4 (the first five and the last) and nlme (the others), where a longer description of each can
    be read.

    Parameters
    ----------
    name : str
        One of `NAMES`; upper and lower case are not told apart.

    Returns
    -------
    DataFrame
        One row per observation, no missing values.

    Raises
    ------
    MMEError
        No data set has this name.

    Notes
    -----
    sleepstudy
        Sleep deprivation: mean reaction time per day, 18 subjects restricted to three hours in bed. 180 rows (18
        subjects x 10 days): ``Reaction`` (ms), ``Days`` (0-9; days 0 and 1 adaptation and training, day 2 baseline),
        ``Subject``. [1]_
    Dyestuff
        Yield of a dyestuff (Naphthalene Black 12B) from batches of an intermediate product (H-acid). 30 rows (6
        batches x 5 preparations): ``Batch``, ``Yield`` (grams of standard colour). [2]_ (section 6.4)
    Dyestuff2
        Numbers constructed in the layout of Dyestuff such that the mean square between batches is below the one
        within: the REML estimate of the batch variance is zero. 30 rows: ``Batch``, ``Yield``. [3]_ (section 5.1.2)
    Penicillin
        Assay of penicillin by the B. subtilis plate method: plates and samples fully crossed. 144 rows (24 plates x 6
        samples): ``diameter`` (mm, zone of inhibition), ``plate``, ``sample``. [2]_ (section 6.6)
    Pastes
        Strength of a chemical paste: casks nested in delivery batches, two assays a cask. 60 rows (10 batches x 3
        casks x 2): ``strength``, ``batch``, ``cask`` (a to c within each batch), ``sample`` (``batch:cask``).
        [2]_ (section 6.5)
    Orthodont
        Growth of 27 children: distance from the pituitary to the pterygomaxillary fissure. 108 rows (16 boys and 11
        girls x 4 ages): ``distance`` (mm), ``age`` (8, 10, 12, 14 years), ``Subject``, ``Sex``, ``c_age`` (age - 11).
        [4]_
    Oats
        Split-plot experiment: varieties on whole plots, nitrogen on subplots. 72 rows (6 blocks x 3 varieties x 4
        doses): ``Block``, ``Variety``, ``nitro`` (0 to 0.6 hundredweight an acre), ``yield`` (quarter-pounds a
        subplot). [5]_
    Machines
        Productivity of workers on three brands of machine, every worker three times on each. 54 rows (6 workers x 3
        machines x 3): ``Worker``, ``Machine``, ``score``. [6]_
    cbpp
        Contagious bovine pleuropneumonia in zebu herds of Ethiopia: new cases by herd and quarter. 56 rows (15 herds x
        up to 4 periods): ``herd``, ``incidence`` (new cases), ``size`` (animals), ``period`` (1 to 4). [7]_

    References
    ----------
    .. [1] Belenky, G. et al. (2003). Patterns of performance degradation and restoration during sleep restriction and
           subsequent recovery: a sleep dose-response study. Journal of Sleep Research 12, 1-12.
    .. [2] Davies, O. L. and Goldsmith, P. L. (eds) (1972). Statistical Methods in Research and Production, 4th ed.
           Oliver and Boyd.
    .. [3] Box, G. E. P. and Tiao, G. C. (1973). Bayesian Inference in Statistical Analysis. Addison-Wesley.
    .. [4] Potthoff, R. F. and Roy, S. N. (1964). A generalized multivariate analysis of variance model useful
           especially for growth curve problems. Biometrika 51, 313-326.
    .. [5] Yates, F. (1935). Complex experiments. Supplement to the Journal of the Royal Statistical Society 2, 181-247.
    .. [6] Milliken, G. A. and Johnson, D. E. (1992). Analysis of Messy Data, Volume I: Designed Experiments, p. 285.
           Chapman and Hall.
    .. [7] Lesnoff, M. et al. (2004). Within-herd spread of contagious bovine pleuropneumonia in Ethiopian highlands.
           Preventive Veterinary Medicine 64, 27-40.

    Examples
    --------
    >>> sleepstudy = load("sleepstudy")
    >>> sleepstudy.head(3)
       Reaction  Days Subject
    0  249.5600   0.0     308
    1  258.7047   1.0     308
    2  250.8006   2.0     308
    >>> sleepstudy.shape, sleepstudy["Subject"].nunique()
    ((180, 3), 18)
    >>> load("sleepstudi")
    Traceback (most recent call last):
        ...
    mme.errors.MMEError: no data set is named 'sleepstudi' (did you mean 'sleepstudy'?); available are \
sleepstudy, Dyestuff, Dyestuff2, Penicillin, Pastes, Orthodont, Oats, Machines and cbpp
    """
    proper = _proper_name(name)
    import pandas as pd  # half a second: not at `import mme`

    table = pd.read_csv(_DIRECTORY / f"{proper}.csv", dtype="str", keep_default_na=False)
    # from the text: the reader's own conversion may miss the nearest double by one unit in the last place
    return table.astype({column: float for column in table if column not in _TEXT_COLUMNS[proper]})


def _proper_name(name: str) -> str:
    """Return the data set's name in its own capitals."""
    proper = {known.lower(): known for known in NAMES}
    wanted = str(name).lower()
    if wanted in proper:
        return proper[wanted]
    near = get_close_matches(wanted, proper, n=1)
    hint = f" (did you mean '{proper[near[0]]}'?)" if near else ""
    if isinstance(name, os.PathLike) or "." in wanted or "/" in wanted:
        hint = " (mme.load_fit reads a saved fit; mme.lmer takes the path of a table)"
    raise MMEError(f"no data set is named '{name}'{hint}; available are {', '.join(NAMES[:-1])} and {NAMES[-1]}")
