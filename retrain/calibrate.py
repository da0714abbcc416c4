"""What a scorer's margins are worth: a temperature and bounds, fitted on held-out pairs and tried on others of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from monitor.runs.calibration import MarginBound, ScorerCalibration
from monitor.stats.conformal import conformal_quantile
from retrain.bradley_terry import Floats, Integers, fold_of
from retrain.metrics import belief, calibration_error, fit_sharpness

ERROR_RATE = 0.1
COHORT_PAIRS = 100  # from which on a cohort has a bound of its own
FOLDS = 5
POOLED = ""
_STEPS = 64


def fit_calibration(margins: Floats, cohorts: Sequence[str], groups: Sequence[int]) -> ScorerCalibration | None:
    """Fit the calibration of a scorer whose members put chosen above rejected by *margins*, (members, pairs).

    None where the margins say nothing or the contrary of the verdicts. Pairs of one group (a conversation, nearly one
    prompt) are never on both sides of a fit and its trial.

    The stored values are fitted on all pairs; what is told of their quality comes from folds that the fit left out. The
    scorer must not have been trained on any of the pairs.
    """
    temperature = fit_temperature(margins)
    if temperature is None:
        return None
    names, errors = np.asarray(cohorts), -margins.mean(axis=0)
    folds = fold_of(groups, FOLDS)
    bounds = _quantiles(errors, names)
    return ScorerCalibration(
        temperature=temperature,
        pairs=len(errors),
        error_before=_error(belief(margins)),
        error_after=_error_left_out(margins, folds),
        error_rate=ERROR_RATE,
        pooled=_bound(errors, bounds[POOLED]),
        by_cohort={name: _bound(errors[names == name], value) for name, value in bounds.items() if name != POOLED},
        covered=_covered(errors, names, folds),
    )


def fit_temperature(margins: Floats) -> float | None:
    """Return the T under which the verdicts are likeliest, where P(chosen) is the members' mean sigmoid(margin / T).

    None where no T is better than even chances.
    """
    start = fit_sharpness(margins.mean(axis=0))
    if start <= 0:
        return None

    def loss(exponent: float) -> float:
        return float(-np.log(np.maximum(belief(margins, math.exp(exponent)), 1e-300)).mean())

    middle = math.log(start)
    found = minimize_scalar(loss, bounds=(middle - 5.0, middle + 1.5), method="bounded", options={"maxiter": _STEPS})
    return math.exp(-found.x) if loss(found.x) < math.log(2) else None


def _error(beliefs: Floats) -> float:
    return calibration_error(beliefs, beliefs - 0.5)


def _error_left_out(margins: Floats, folds: Integers) -> float | None:
    """Return the calibration error at temperatures fitted on the other folds; None where one cannot be fitted."""
    beliefs = np.full(margins.shape[1], np.nan)
    for fold in set(folds.tolist()):
        temperature = fit_temperature(margins[:, folds != fold]) if (folds != fold).any() else None
        if temperature is not None:
            beliefs[folds == fold] = belief(margins[:, folds == fold], 1 / temperature)
    return _error(beliefs) if np.isfinite(beliefs).all() else None


def _quantiles(errors: Floats, names: NDArray[np.str_]) -> dict[str, float]:
    """Return the bound over all, and of each cohort with enough pairs of its own."""
    found = {POOLED: conformal_quantile(errors, ERROR_RATE)}
    for name in np.unique(names).tolist():
        own = errors[names == name]
        if len(own) >= COHORT_PAIRS:
            found[name] = conformal_quantile(own, ERROR_RATE)
    return found


def _bound(errors: Floats, quantile: float) -> MarginBound:
    if not math.isfinite(quantile):
        return MarginBound(pairs=len(errors), quantile=None)
    return MarginBound(pairs=len(errors), quantile=quantile, beyond=float(np.mean(np.abs(errors) > quantile)))


def _covered(errors: Floats, names: NDArray[np.str_], folds: Integers) -> float | None:
    """Return the share of pairs within bounds that the other folds gave; None where these are too few for one."""
    within = 0
    for fold in set(folds.tolist()):
        here = folds == fold
        bounds: Mapping[str, float] = _quantiles(errors[~here], names[~here])
        limits = np.array([bounds.get(name, bounds[POOLED]) for name in names[here].tolist()])
        if not np.isfinite(limits).all():
            return None
        within += int((errors[here] <= limits).sum())
    return within / len(errors)
