from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from fusiform.errors import DataError, SpecError
from fusiform.probing._standardised import rounding

# Values of all probes that are worked on at once.
_CHUNK = 1 << 22
# An eigenvalue of at most this part of the largest is zero, but for rounding.
_ZERO = 1e-12
# Where there are such, the least eigenvalue becomes this part of the largest.
_CONDITION = 1e-4
# Squares of what lies beyond leave float64.
_FAR = 1e100


@dataclass(frozen=True, eq=False)
class QDA:
    """Quadratic discriminant analysis of p probes at once, priors equal.

    All fields are arrays, so ``QDA(**fields)`` restores one from a file.

    Attributes
    ----------
    shift, factor : array, shape (p, c)
        Features are read as ``(features - shift) * factor``; the factor is 0 where a feature does not vary.
    means : array, shape (p, n_classes, c)
        Of the classes.
    whitening : array, shape (p, n_classes, c, c)
        What differences from the means are multiplied by to have unit covariance.
    log_det : array, shape (p, n_classes)
        Logarithms of the determinants of the covariances.
    regularisation : array, shape (p,)
        What was used.
    """

    shift: Float[ndarray, "p c"]
    factor: Float[ndarray, "p c"]
    means: Float[ndarray, "p q c"]
    whitening: Float[ndarray, "p q c c"]
    log_det: Float[ndarray, "p q"]
    regularisation: Float[ndarray, " p"]

    def probabilities(self, features: Float[ndarray, "p k c"]) -> Float[ndarray, "p k q"]:
        """How likely each class is.

        Parameters
        ----------
        features : array, shape (p, k, c)
            Features of k images, for each probe its own.

        Returns
        -------
        array, shape (p, k, n_classes)
            Probabilities; they sum to 1.

        Raises
        ------
        DataError
            If features are of another shape, NaN or infinite.
        """
        features = checked_features(features, like=self.shift)
        result = np.empty((*features.shape[:2], self.means.shape[1]))
        for part in chunks(features):
            Z = standardised(features[part], self.shift[part], self.factor[part])
            for k in range(self.means.shape[1]):
                white = (Z - self.means[part, k, None]) @ self.whitening[part, k]
                result[part, :, k] = -0.5 * (np.square(white).sum(axis=2) + self.log_det[part, k, None])
        result -= result.max(axis=2, keepdims=True)
        np.exp(result, out=result)
        result /= result.sum(axis=2, keepdims=True)
        return result


def fit_qda(
    features: Float[ndarray, "p n c"],
    labels: Int[ndarray, " n"],
    n_classes: int,
    *,
    regularisation: float = 1e-6,
) -> QDA:
    """Fit quadratic discriminant analysis for p probes at once, priors equal.

    Features are scaled to unit standard deviation over the n images, and those that do not vary are left out. The
    eigenvalues v of the covariances within classes become ``(1 - r) v + r``. Where a covariance is singular (a feature
    that is constant in a class, features that follow from one another, fewer images than features), r grows tenfold
    until the least eigenvalue of the probe's classes is 1e-4 of the largest; r is recorded.

    Parameters
    ----------
    features : array, shape (p, n, c)
        c features of the same n images for each of p probes; c may be 0, and all classes are as likely then.
    labels : int array, shape (n,)
        The class of each image, 0-based; every class has an image.
    n_classes : int
        Number of classes.
    regularisation : float, default 1e-6
        r, in [0, 1], before it grows.

    Returns
    -------
    QDA
        The fitted probes.

    Raises
    ------
    DataError
        If features are NaN or infinite, or labels do not fit.
    SpecError
        If the regularisation is not in [0, 1].

    References
    ----------
    Friedman (1989), J. Am. Statist. Assoc. 84; Hastie, Tibshirani and Friedman (2009), section 4.3.

    Examples
    --------
    >>> features = np.array([[[0.0], [0.1], [0.9], [1.2]]])
    >>> qda = fit_qda(features, np.array([0, 0, 1, 1]), 2)
    >>> qda.probabilities(np.array([[[0.2], [1.0]]])).argmax(axis=2)
    array([[0, 1]])
    """
    if not 0 <= regularisation <= 1:
        raise SpecError(f"The regularisation of QDA must be in [0, 1]; got {regularisation}.")
    features, labels = checked_features(features), np.asarray(labels)
    _check_labels(labels, features.shape[1], n_classes)
    p, _, c = features.shape
    shift, factor = np.empty((2, p, c))
    means, whitening = np.empty((p, n_classes, c)), np.empty((p, n_classes, c, c))
    log_det, used = np.empty((p, n_classes)), np.empty(p)
    for part in chunks(features):
        shift[part], factor[part] = scaling(features[part])
        Z = standardised(features[part], shift[part], factor[part])
        values = np.empty((len(Z), n_classes, c))
        for k in range(n_classes):
            own = Z[:, labels == k]
            means[part, k] = own.mean(axis=1)
            values[:, k], whitening[part, k] = spectrum(own - means[part, k, None], factor[part])
        used[part] = grown(values.reshape(len(Z), -1), regularisation)
        values += used[part, None, None] * (1 - values)
        whitening[part] /= np.sqrt(values)[:, :, None]
        log_det[part] = np.log(values).sum(axis=2)
    return QDA(shift, factor, means, whitening, log_det, used)


def checked_features(features: ndarray, *, like: ndarray | None = None) -> Float[ndarray, "p n c"]:
    """Features as floats; `like` of shape (p, c) is what they have to fit."""
    features = np.asarray(features)
    if features.dtype.kind != "f":
        features = features.astype(np.float64)
    if features.ndim != 3 or (like is not None and features.shape[::2] != like.shape):
        wanted = (
            "(probes, images, features)" if like is None else f"({like.shape[0]}, images, {like.shape[1]})"
        )
        raise DataError(f"Features of probes must have the shape {wanted}; got {features.shape}.")
    for part in chunks(features):
        if not np.isfinite(features[part]).all():
            probe, image, feature = np.argwhere(~np.isfinite(features[part]))[0]
            raise DataError(
                f"Features of probes must be finite; got {features[part][probe, image, feature]} in probe "
                f"{part.start + probe}, image {image}, feature {feature}. Look for overflow in the layer they come from."
            )
    return features


def chunks(features: Float[ndarray, "p n c"]) -> Iterator[slice]:
    """Slices of probes, few enough to be worked on at once."""
    step = max(1, _CHUNK // max(1, features.shape[1] * features.shape[2]))
    return (slice(start, min(start + step, len(features))) for start in range(0, len(features), step))


def scaling(features: Float[ndarray, "p n c"]) -> tuple[Float[ndarray, "p c"], Float[ndarray, "p c"]]:
    """Means and inverse standard deviations over images; 0 where what varies is no more than rounding."""
    # Beside the first image, a constant is exactly zero.
    Z = np.subtract(features, features[:, :1], dtype=np.float64)
    mean = Z.mean(axis=1)
    Z -= mean[:, None]
    shift = features[:, 0] + mean
    deviation = np.sqrt(np.square(Z, out=Z).mean(axis=1))
    alive = deviation > np.maximum(rounding(shift, features.dtype), np.finfo(np.float64).tiny)
    return shift, np.divide(1.0, deviation, out=np.zeros_like(deviation), where=alive)


def standardised(
    features: Float[ndarray, "p n c"], shift: Float[ndarray, "p c"], factor: Float[ndarray, "p c"]
) -> Float[ndarray, "p n c"]:
    """Features as probes read them."""
    Z = np.subtract(features, shift[:, None], dtype=np.float64)
    Z *= factor[:, None]
    return np.clip(Z, -_FAR, _FAR, out=Z)


def spectrum(
    centred: Float[ndarray, "p n c"], factor: Float[ndarray, "p c"]
) -> tuple[Float[ndarray, "p c"], Float[ndarray, "p c c"]]:
    """Eigenvalues and eigenvectors of covariances; a feature that is left out has variance 1."""
    covariance = centred.transpose(0, 2, 1) @ centred / centred.shape[1]
    covariance += np.eye(centred.shape[2]) * (factor == 0)[:, None]
    values, vectors = np.linalg.eigh(covariance)
    return values.clip(min=0), vectors


def grown(eigenvalues: Float[ndarray, "p v"], regularisation: float) -> Float[ndarray, " p"]:
    """The regularisation each probe needs: more than was asked for only where it is singular."""
    used = np.full(len(eigenvalues), regularisation)
    if not eigenvalues.shape[1]:
        return used
    least, most = eigenvalues.min(axis=1), eigenvalues.max(axis=1)
    singular: Bool[ndarray, " p"] = least <= _ZERO * most
    while True:
        short = singular & (least + used * (1 - least) < _CONDITION * (most + used * (1 - most)))
        short |= singular & (used == 0)
        if not short.any():
            return used
        used[short] = np.clip(10 * used[short], 1e-6, 1.0)


def _check_labels(labels: ndarray, n: int, n_classes: int) -> None:
    if labels.shape != (n,) or labels.dtype.kind not in "iu":
        raise DataError(
            f"Labels must be {n} whole numbers, one an image; got {labels.dtype} of shape {labels.shape}."
        )
    counts = np.bincount(labels[(labels >= 0) & (labels < n_classes)], minlength=n_classes)
    if counts.sum() < n or not counts.all():
        raise DataError(
            f"Labels must number {n_classes} classes from 0, each with an image; got "
            f"{', '.join(map(str, np.unique(labels)[:8]))}. Leave classes without images out."
        )
