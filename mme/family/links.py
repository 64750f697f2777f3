"""The links of probabilities by their words."""

from __future__ import annotations

from mme.family.cauchit import Cauchit
from mme.family.cloglog import CLogLog
from mme.family.probability import Logit, Probability
from mme.family.probit import Probit

PROBABILITIES: dict[str, type[Probability]] = {
    "logit": Logit,
    "probit": Probit,
    "cloglog": CLogLog,
    "cauchit": Cauchit,
}
