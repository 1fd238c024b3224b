from numbers import Integral
from typing import Any, Self
from warnings import warn

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from numpy.typing import ArrayLike
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    MultiOutputMixin,
    RegressorMixin,
    TransformerMixin,
)
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted, validate_data

from fusiform.errors import DataError, SpecError
from fusiform.probing._standardised import (
    StandardisedFeatures,
    centred_blocks,
    moments,
    refuse_extremes,
    refuse_not_finite,
    rounding,
)
from fusiform.statistics import DualPLS, dual_pls

# Gains go with squares: a Gram matrix in float64 keeps six digits of what is 1e-9 of it,
# products with X itself of what is 1e-18 of it.
_GRAM_RANK, _PRODUCT_RANK = 1e-9, 1e-20
_TARGET_LEFT = 1e-13


class PLS(ClassNamePrefixFeaturesOutMixin, TransformerMixin, RegressorMixin, MultiOutputMixin, BaseEstimator):
    r"""Partial least squares regression, exact and fast where features outnumber images.

    PLS1 for one target, PLS2 for several. The weights of a component are the leading left singular vector of X'F,
    F being what is left of the targets, and come out exactly, not by iteration. Scores and weights equal those of
    scikit-learn's ``PLSRegression`` run with ``tol=1e-15, max_iter=20000``, in float64 whatever the dtype of X.

    X is neither deflated nor copied. All that is needed of it is its Gram matrix K = XX', or products with it,
    built from blocks of columns that are centred and scaled on the way: K itself where it is the cheaper (few
    images or many targets), otherwise X (X'F), one reading of X a component.

    Parameters
    ----------
    n_components : int, default 8
        Components. Where features or targets are exhausted before, fewer are kept, with a warning.
    scale : bool or array of shape (n_features,), default True
        True: features and targets are divided by their standard deviations (ddof 1) over the rows given to
        `fit`. False: they are centred only. An array: standard deviations of the features measured elsewhere, such
        as over a pool of which the rows are a subset (pooled scaling, ``X_pool.std(axis=0, ddof=1)``); the targets
        are scaled as with True, and a feature whose given deviation is 0 is left out.

    Attributes
    ----------
    n_components_ : int
        Components found, c below.
    x_weights_ : array, shape (n_features, c)
        Weights, columns orthonormal; the largest in absolute value of each column is positive.
    x_rotations_ : array, shape (n_features, c)
        What centred and scaled features are multiplied by to give scores.
    x_scores_ : array, shape (n_samples, c)
        Scores of the training rows, columns orthogonal.
    x_loadings_ : array, shape (n_features, c)
        Regressions of the centred and scaled features on the scores.
    y_loadings_ : array, shape (n_targets, c)
        Regressions of the centred (and scaled) targets on the scores.
    y_weights_ : array, shape (n_targets, c)
        The same as `y_loadings_`, to which the target weights of NIPALS converge.
    vip_ : array, shape (n_features,)
        Variable importance in projection. The mean of its squares is 1.
    coef_ : array, shape (n_targets, n_features)
        Predictions are ``X @ coef_.T + intercept_``, in the units of X and y.
    intercept_ : array, shape (n_targets,)
        See `coef_`. (scikit-learn's ``PLSRegression`` keeps the mean of the targets here.)
    n_features_in_ : int
        Features seen by `fit`.
    feature_names_in_ : array of str, shape (n_features,)
        Their names, where X was a table with names.

    Raises
    ------
    DataError
        X or y holds NaN or infinity or does not fit the other; no target or no feature varies; values so large or
        small that their squares leave float64.
    SpecError
        `n_components` or `scale` is not what is described above.

    Warns
    -----
    UserWarning
        Fewer components than `n_components` exist.

    Notes
    -----
    The importance of feature j among m, for components with weights w and explained sums of squares of the targets
    SS, is

    .. math:: \mathrm{VIP}_j = \sqrt{m \sum_a SS_a w_{ja}^2 / \sum_a SS_a}, \quad SS_a = \|q_a\|^2 t_a't_a,

    where :math:`\|w_a\| = 1` and q holds the loadings of all targets (Wold et al. 2001); equation 2.4 of Diniz
    (2020), which is printed without squares, is the case of one target.

    Features that vary by no more than rounding of their dtype (8 units in the last place) have weight and
    importance 0.

    References
    ----------
    Wold, Sjöström and Eriksson (2001), Chemometrics and Intelligent Laboratory Systems 58; Höskuldsson (1988),
    J. Chemometrics 2; Rännar et al. (1994), J. Chemometrics 8; Diniz (2020), section 2.2.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(60, 500))
    >>> y = X[:, 3] > 0
    >>> pls = PLS(n_components=2).fit(X, y)
    >>> pls.transform(X).shape
    (60, 2)
    >>> int(pls.vip_.argmax())
    3
    """

    def __init__(self, n_components: int = 8, scale: bool | Float[ndarray, " m"] = True) -> None:
        self.n_components = n_components
        self.scale = scale

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit to features and targets.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)
            Features; float32 is read as it is, block by block, everything else as float64.
        y : array-like, shape (n_samples,) or (n_samples, n_targets)
            Targets, one column (PLS1) or several (PLS2); booleans count as 0 and 1.

        Returns
        -------
        PLS
            The estimator itself.
        """
        n_components = _checked_count(self.n_components)
        X = self._read(X, reset=True)
        targets, self._y_is_1d = _checked_targets(X, y)
        features = StandardisedFeatures(X, self._names())
        features.scale_by(_divisor(self.scale, features.deviation))
        y_mean, y_divisor, Y = _standardised_targets(targets, scaled=not _is_off(self.scale))
        fit = _solve(features, Y, min(n_components, len(X) - 1, X.shape[1]))
        if not fit.n_components:
            raise DataError(
                "No feature varies with y: X is orthogonal to every target, so PLS has no component. "
                "Check that rows of X and y belong together."
            )
        if fit.n_components < n_components:
            warn(_why_fewer(fit, X, Y, n_components), UserWarning, stacklevel=2)
        self._keep(fit, features, y_mean, y_divisor)
        return self

    def transform(self, X: ArrayLike) -> Float[ndarray, "n c"]:
        """Scores of features.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)
            Features.

        Returns
        -------
        array, shape (n_samples, n_components_)
            Scores, float64.
        """
        check_is_fitted(self)
        return self._centred_times(X, self.x_rotations_ * self._x_factor[:, None])

    def fit_transform(self, X: ArrayLike, y: ArrayLike) -> Float[ndarray, "n c"]:
        """Fit, and give the scores of the rows fitted to.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)
            Features.
        y : array-like, shape (n_samples,) or (n_samples, n_targets)
            Targets.

        Returns
        -------
        array, shape (n_samples, n_components_)
            Scores, float64.
        """
        scores: ndarray = self.fit(X, y).x_scores_.copy()
        return scores

    def predict(self, X: ArrayLike) -> Float[ndarray, "n q"]:
        """Predict targets.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)
            Features.

        Returns
        -------
        array, shape (n_samples,) or (n_samples, n_targets)
            Predictions, of as many dimensions as the y of `fit`.
        """
        check_is_fitted(self)
        # Centred first: the intercept would cancel where means are large.
        predicted = self._centred_times(X, self.coef_.T) + self._y_mean
        return predicted.ravel() if self._y_is_1d else predicted

    def _read(self, X: ArrayLike, *, reset: bool) -> ndarray:
        try:
            checked: ndarray = validate_data(
                self,
                X,
                reset=reset,
                dtype=[np.float64, np.float32],
                ensure_all_finite=False,
                ensure_min_samples=2 if reset else 1,
            )
        except ValueError as error:
            raise DataError(str(error)) from error
        return checked

    def _names(self) -> ndarray | None:
        return getattr(self, "feature_names_in_", None)

    def _keep(
        self, fit: DualPLS, features: StandardisedFeatures, y_mean: ndarray, y_divisor: ndarray
    ) -> None:
        """Turn what is known of images into what is known of features."""
        columns = features.transposed_times(np.concatenate([fit.directions, fit.scores], axis=1))
        W, P = np.split(columns, 2, axis=1)
        W /= np.linalg.norm(W, axis=0)
        signs = np.sign(W[np.abs(W).argmax(axis=0), np.arange(W.shape[1])])
        W *= signs
        norms = fit.norms * signs
        self.n_components_ = self._n_features_out = fit.n_components
        self.x_weights_ = W
        self.x_scores_ = fit.scores * norms
        self.x_loadings_ = P / norms
        self.y_loadings_ = fit.y_loadings.T / norms
        self.y_weights_ = self.y_loadings_.copy()
        self.x_rotations_ = W @ np.linalg.inv(np.triu(self.x_loadings_.T @ W))
        self.vip_ = _vip(W, fit.explained)
        self._x_mean, self._x_factor = features.mean, features.factor
        self._y_mean = y_mean
        self.coef_ = (self.x_rotations_ @ self.y_loadings_.T * y_divisor).T * features.factor
        self.intercept_ = y_mean - self.coef_ @ features.mean

    def _centred_times(self, X: ArrayLike, matrix: ndarray) -> ndarray:
        X = self._read(X, reset=False)
        result = np.zeros((len(X), matrix.shape[1]))
        with np.errstate(over="ignore", invalid="ignore"):
            for columns, block in centred_blocks(X, self._x_mean):
                result += block @ matrix[columns]
        if not np.isfinite(result).all():
            refuse_not_finite(X, self._names())
        return result


def _solve(features: StandardisedFeatures, Y: ndarray, n_components: int) -> DualPLS:
    rows = [np.arange(len(features))]
    if _gram_is_cheaper(len(features), features.X.shape[1], Y.shape[1], n_components):
        (fit,) = dual_pls(
            features.gram(),
            rows,
            [Y],
            n_components,
            rank_tolerance=_GRAM_RANK,
            target_tolerance=_TARGET_LEFT,
        )
        if fit.n_components == n_components:
            return fit
        # K has squared what was small in X: only X itself says whether there is more.
    (fit,) = dual_pls(
        features, rows, [Y], n_components, rank_tolerance=_PRODUCT_RANK, target_tolerance=_TARGET_LEFT
    )
    return fit


def _gram_is_cheaper(n: int, m: int, q: int, n_components: int) -> bool:
    """Whether K of n images costs less than multiplying by X and X' once a component."""
    # Measured: from about 500 images (one target) or 1,700 (40 targets, 8 components) it does not.
    return n < m and n < n_components * (56 + 4 * q)


def _vip(weights: Float[ndarray, "m c"], explained: Float[ndarray, " c"]) -> Float[ndarray, " m"]:
    """Variable importance in projection, of weights of length one."""
    return np.asarray(np.sqrt(len(weights) * (np.square(weights) @ (explained / explained.sum()))))


def _standardised_targets(Y: ndarray, *, scaled: bool) -> tuple[ndarray, ndarray, ndarray]:
    mean, deviation = moments(Y)
    # A column that does not vary explains nothing; rounding must not blow it up.
    varies = deviation > rounding(mean, Y.dtype)
    if not varies.any():
        raise DataError(
            f"y is constant ({mean[0]:g} in all {len(Y)} rows), so there is nothing to explain: "
            "give rows in which the target varies."
            if Y.shape[1] == 1
            else f"All {Y.shape[1]} columns of y are constant, so there is nothing to explain: "
            "give rows in which at least one target varies."
        )
    divisor = np.where(varies & scaled, deviation, 1.0)
    refuse_extremes("y", (deviation / divisor)[varies])
    return mean, divisor, np.where(varies, (Y - mean) / divisor, 0.0)


def _is_off(scale: Any) -> bool:
    return isinstance(scale, (bool, np.bool_)) and not scale


def _divisor(scale: Any, deviation: ndarray) -> ndarray:
    """What features are divided by, from the parameter and their own deviations."""
    if isinstance(scale, (bool, np.bool_)):
        return deviation if scale else np.ones_like(deviation)
    try:
        given = np.asarray(scale, dtype=np.float64)
    except (TypeError, ValueError):
        given = np.empty(0)
    if isinstance(scale, str) or given.ndim != 1:
        raise SpecError(
            "The 'scale' parameter of PLS must be True, False or an array of one standard deviation a feature; "
            f"got {scale!r}. For pooled scaling, give X_pool.std(axis=0, ddof=1)."
        )
    if given.shape != deviation.shape:
        raise SpecError(
            f"The 'scale' parameter of PLS holds {len(given)} standard deviations, but X has {len(deviation)} "
            "features; give one a feature, in their order."
        )
    if not (np.isfinite(given) & (given >= 0)).all():
        wrong = int(np.flatnonzero(~(np.isfinite(given) & (given >= 0)))[0])
        raise SpecError(
            "The 'scale' parameter of PLS must hold finite standard deviations of at least 0; "
            f"got {given[wrong]:g} for feature {wrong}."
        )
    return given


def _checked_count(n_components: Any) -> int:
    if not isinstance(n_components, Integral) or isinstance(n_components, bool) or n_components < 1:
        raise SpecError(
            f"The 'n_components' parameter of PLS must be an int of at least 1; got {n_components!r}."
        )
    return int(n_components)


def _checked_targets(X: ndarray, y: ArrayLike | None) -> tuple[Float[ndarray, "n q"], bool]:
    """Targets as columns, and whether they came without a column axis."""
    if y is None:
        raise DataError("PLS requires y to be passed, but the target y is None; give one row a row of X.")
    try:
        targets = check_array(y, dtype=np.float64, ensure_2d=False, ensure_all_finite=False, input_name="y")
        check_consistent_length(X, targets)
    except ValueError as error:
        raise DataError(str(error)) from error
    if not np.isfinite(targets).all():
        row = int(np.argwhere(~np.isfinite(targets))[0, 0])
        count = int((~np.isfinite(targets)).sum())
        raise DataError(
            f"y must be finite; {count} of {targets.size} values are NaN or infinity, the first in row {row}. "
            "Fit to the rows whose targets are known."
        )
    return targets.reshape(len(targets), -1), targets.ndim == 1


def _why_fewer(fit: DualPLS, X: ndarray, Y: ndarray, asked: int) -> str:
    left = np.abs(Y - fit.y_mean - fit.scores @ fit.y_loadings).max()
    if left <= 10 * _TARGET_LEFT * np.abs(Y).max():
        reason = "they explain y to rounding"
    else:
        reason = f"the {X.shape[1]} features of {len(X)} rows hold no more that vary with y"
    return f"PLS found {fit.n_components} of the {asked} components asked for: {reason}."
