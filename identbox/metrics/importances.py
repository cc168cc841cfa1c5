"""How much each code matters in a prediction of each factor (codes, factors): the matrices that DCI is made from."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from identbox.metrics.associations import Codes, Factor, above_chance

By = Literal["trees", "lasso"]
TREES, DEPTH = 30, 3  # of gradient boosting
ROWS = 768  # that predictors are fitted on, and as many that score them, at most


def importances(
    codes: Codes, factors: Sequence[Factor], *, by: By, seed: int
) -> tuple[Float[np.ndarray, "k f"], Float[np.ndarray, " f"]]:
    """The importance of each code for each factor, and how well each factor is predicted on other rows.

    ``trees``: scikit-learn's gradient boosting, importances by the decrease of impurity. ``lasso``: absolute
    coefficients of standardised codes, of LassoCV for numbers, and of logistic regression with an L1 penalty for
    classes. The prediction is R2 of numbers and circles, and for classes the accuracy above that of the most frequent
    one; both are below 0 where the fit is worse than a constant.
    """
    order = np.random.default_rng(seed).permutation(len(codes))
    half = min(len(codes) // 2, ROWS)
    fit, score = order[:half], order[half : 2 * half]
    spread = codes[fit].std(0)
    inputs = (codes - codes[fit].mean(0)) / np.where(spread > 0, spread, 1)
    found, predicted = [], []
    for factor in factors:
        weights, value = _of_factor(inputs, factor, fit, score, by, seed)
        found.append(weights)
        predicted.append(value)
    return np.stack(found, axis=1), np.array(predicted)


def _of_factor(
    codes: Codes, factor: Factor, fit: np.ndarray, score: np.ndarray, by: By, seed: int
) -> tuple[Float[np.ndarray, " k"], float]:
    """Importances for one factor, those of its columns added, and how well it is predicted."""
    if factor.kind == "discrete":
        known = factor.classes
        if len(np.unique(known[fit])) < 2:
            return np.zeros(codes.shape[1]), 0.0
        model = _classifier(by, seed)
        _quietly(model, codes[fit], known[fit])
        frequent = np.bincount(known[fit]).argmax()
        accuracy = float((model.predict(codes[score]) == known[score]).mean())
        chance = float((known[score] == frequent).mean())
        return _weights(model), above_chance(accuracy, chance) if chance < 1 else 0.0
    weights, left, whole = np.zeros(codes.shape[1]), 0.0, 0.0
    for column in factor.columns.T:
        model = _regressor(by, seed)
        _quietly(model, codes[fit], column[fit])
        weights += _weights(model)
        left += float(np.square(column[score] - model.predict(codes[score])).sum())
        whole += float(np.square(column[score] - column[score].mean()).sum())
    return weights, 1 - left / whole


def _regressor(by: By, seed: int):  # type: ignore[no-untyped-def]
    from sklearn.ensemble import GradientBoostingRegressor
    from sklearn.linear_model import LassoCV

    if by == "lasso":
        return LassoCV(cv=3, alphas=20)
    return GradientBoostingRegressor(n_estimators=TREES, max_depth=DEPTH, random_state=seed)


def _classifier(by: By, seed: int):  # type: ignore[no-untyped-def]
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    if by == "lasso":
        return LogisticRegression(penalty="l1", solver="saga", C=0.1, max_iter=100, random_state=seed)
    return GradientBoostingClassifier(n_estimators=TREES, max_depth=DEPTH, random_state=seed)


def _quietly(model, inputs: np.ndarray, wanted: np.ndarray) -> None:  # type: ignore[no-untyped-def]
    """Fit a model without a word about its number of iterations, or about names of arguments in other versions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(inputs, wanted)


def _weights(model) -> Float[np.ndarray, " k"]:  # type: ignore[no-untyped-def]
    if hasattr(model, "feature_importances_"):
        return np.asarray(model.feature_importances_, dtype=float)
    return np.abs(np.atleast_2d(model.coef_)).sum(0)
