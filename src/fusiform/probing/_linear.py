from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from fusiform.errors import DataError
from fusiform.probing._qda import checked_features, chunks, grown, scaling, spectrum, standardised


@dataclass(frozen=True, eq=False)
class LinearFit:
    """Linear regression of p probes at once.

    All fields are arrays, so ``LinearFit(**fields)`` restores one from a file.

    Attributes
    ----------
    shift, factor : array, shape (p, c)
        Features are read as ``(features - shift) * factor``; the factor is 0 where a feature does not vary.
    coefficients : array, shape (p, c)
        What features so read are multiplied by.
    intercept : array, shape (p,)
        What is added.
    regularisation : array, shape (p,)
        What was used; 0 is ordinary least squares.
    """

    shift: Float[ndarray, "p c"]
    factor: Float[ndarray, "p c"]
    coefficients: Float[ndarray, "p c"]
    intercept: Float[ndarray, " p"]
    regularisation: Float[ndarray, " p"]

    def predictions(self, features: Float[ndarray, "p k c"]) -> Float[ndarray, "p k"]:
        """Predicted values.

        Parameters
        ----------
        features : array, shape (p, k, c)
            Features of k images, for each probe its own.

        Returns
        -------
        array, shape (p, k)
            Predictions.

        Raises
        ------
        DataError
            If features are of another shape, NaN or infinite.
        """
        features = checked_features(features, like=self.shift)
        result = np.empty(features.shape[:2])
        for part in chunks(features):
            Z = standardised(features[part], self.shift[part], self.factor[part])
            result[part] = (Z @ self.coefficients[part, :, None])[:, :, 0] + self.intercept[part, None]
        return result


def fit_linear(features: Float[ndarray, "p n c"], targets: Float[ndarray, " n"]) -> LinearFit:
    """Fit linear regression for p probes at once, by least squares.

    On PLS scores, which are orthogonal, this is PLS regression. Where features follow from one another, the
    eigenvalues v of their correlations become ``(1 - r) v + r``, r growing tenfold from 1e-6 until the least is 1e-4
    of the largest.

    Parameters
    ----------
    features : array, shape (p, n, c)
        c features of the same n images for each of p probes; c may be 0, and the mean is predicted then.
    targets : array, shape (n,)
        What to predict.

    Returns
    -------
    LinearFit
        The fitted probes.

    Raises
    ------
    DataError
        If features or targets are NaN or infinite, or do not fit each other.

    Examples
    --------
    >>> fit = fit_linear(np.array([[[0.0], [1.0], [2.0]]]), np.array([1.0, 3.0, 5.0]))
    >>> fit.predictions(np.array([[[3.0]]])).round(6)
    array([[7.]])
    """
    features = checked_features(features)
    targets = np.asarray(targets, dtype=np.float64)
    if targets.shape != (features.shape[1],) or not len(targets) or not np.isfinite(targets).all():
        raise DataError(
            f"Targets must be {features.shape[1]} finite numbers, one an image and at least one; got shape "
            f"{targets.shape} with {int((~np.isfinite(targets)).sum())} that are not finite."
        )
    p, n, c = features.shape
    mean = targets.mean()
    shift, factor, coefficients = np.empty((3, p, c))
    used = np.empty(p)
    for part in chunks(features):
        shift[part], factor[part] = scaling(features[part])
        Z = standardised(features[part], shift[part], factor[part])
        values, vectors = spectrum(Z, factor[part])
        used[part] = grown(values, 0.0)
        values += used[part, None] * (1 - values)
        along = (vectors.transpose(0, 2, 1) @ (Z.transpose(0, 2, 1) @ (targets - mean))[:, :, None])[:, :, 0]
        coefficients[part] = (vectors @ (along / (n * values))[:, :, None])[:, :, 0]
    return LinearFit(shift, factor, coefficients, np.full(p, mean), used)
