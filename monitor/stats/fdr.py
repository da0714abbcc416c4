"""False discovery rates with e-values: e-BH within one batch, e-LOND from batch to batch.

Both are one rule. Of K e-values the r largest are rejected, for the greatest r at which each of them is at least
K / (level (found + r)). With nothing found before, that is e-BH. With batches of one, and level = alpha gamma_t,
it is e-LOND.

References
----------
Wang, Ramdas, "False discovery rate control with e-values", JRSS B 84 (2022), definition 3 and theorem 2 (e-BH).
Xu, Ramdas, "Online multiple testing with e-values", AISTATS 2024, arXiv 2311.06412, section 3 (e-LOND).
Fischer, Xu, Ramdas, "An online generalization of the (e-)Benjamini-Hochberg procedure", arXiv 2407.20683 (batches).
Javanmard, Montanari, "Online rules for control of false discovery rate and false discovery exceedance",
Annals of Statistics 46 (2018), equation 31 (the sequence gamma).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
GAMMA_SCALE = 0.07720838


def rejected(log_e: Floats, level: float, *, found: int = 0) -> Mask:
    """Say which of the hypotheses with e-values exp(*log_e*), shape (K,), are rejected.

    Guarantee
    ---------
    With *found* = 0 the expected share of true nulls among the rejected is at most *level*, however the
    e-values depend on each other, as long as each null's has a mean of at most 1 (e-BH).

    >>> rejected(np.log([90.0, 1.0, 25.0]), 0.1)
    array([ True, False,  True])
    """
    if not len(log_e):
        return np.zeros(0, dtype=np.bool_)
    order = np.argsort(-log_e, kind="stable")
    ranks = np.arange(1, len(log_e) + 1)
    passed = np.flatnonzero(log_e[order] >= np.log(len(log_e) / level) - np.log(found + ranks))
    result = np.zeros(len(log_e), dtype=np.bool_)
    if len(passed):
        result[order[: passed[-1] + 1]] = True
    return result


def gamma(number: int) -> float:
    """Return the share of the error that batch *number* = 1, 2, 3, ... may spend; they sum to just below 1."""
    return GAMMA_SCALE * math.log(max(number, 2)) / (number * math.exp(math.sqrt(math.log(number))))


@dataclass(frozen=True, slots=True)
class ELond:
    """e-LOND over batches, between two of them.

    Guarantee
    ---------
    After any number of batches the expected share of true nulls among all that were rejected is at most `alpha`,
    however the e-values depend on each other, within a batch and between batches. For batch t rejects an e-value
    only where 1 <= e alpha gamma_t (R_(t-1) + r_t) / K_t, and R_(t-1) + r_t never exceeds the final count R. So
    a false rejection adds 1 / R <= e alpha gamma_t / K_t to the false share; the mean of all such terms sums to
    alpha sum(gamma_t) at most. Whether a hypothesis is in a batch must not hang on the others' values.
    """

    alpha: float
    batches: int = 0
    found: int = 0  # rejections so far

    def test(self, log_e: Floats) -> tuple[Mask, ELond]:
        """Judge the next batch, shape (K,); return what is rejected, and the state after it."""
        number = self.batches + 1
        mask = rejected(log_e, self.alpha * gamma(number), found=self.found)
        return mask, replace(self, batches=number, found=self.found + int(mask.sum()))
