from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.spatial import cKDTree
from scipy.special import digamma
from sklearn.decomposition import PCA

from fusiform.errors import DataError, SpecError
from fusiform.probing._qda import scaling, standardised
from fusiform.probing.information._attributes import Encoded
from fusiform.probing.information._gaussian import Target, residuals

# Neighbours are near in few dimensions only; beyond these, the leading components are taken.
_FEW, _LEADING = 16, 8


@dataclass(frozen=True, eq=False)
class Reference:
    """Mutual information by an estimator that trains no critic.

    Attributes
    ----------
    value : float
        Nats; of `gaussian_information` on images not trained on.
    train_value : float
        Nats on the images trained on; NaN where nothing is trained.
    contributions : array, shape (n,)
        What each image adds; their mean is the value.
    note : str
        What is to be known about the value; "" otherwise.
    """

    value: float
    train_value: float
    contributions: Float[ndarray, " n"]
    note: str = ""


def gaussian_information(
    features: Float[ndarray, "n d"], attributes: Sequence[Encoded], folds: Int[ndarray, " n"]
) -> list[Reference]:
    r"""Mutual information as far as a Gaussian model reads it linearly, on images not trained on.

    Ridge regression predicts each attribute in every fold from the images of the others; the penalty is that of the
    least error of prediction. What is reported is the mean of ``log q(a | f) - log p(a)``, with q the model: no more
    than I(F; A) on average, whatever the truth is (Barber and Agakov), where p is the attribute's own distribution.

    - *One number*: its normal scores given the prediction are Gaussian; for jointly Gaussian variables this is
      ``-log(1 - R^2) / 2``. A value that several images share is an interval of scores, so a whole number of years or a
      numeric label is never given more than its entropy.
    - *Several numbers*: the normal scores are jointly Gaussian, ``-sum log(1 - rho^2) / 2`` over canonical
      correlations; p is Gaussian too, so it is a bound only as far as that is true.
    - *Classes* (encoding ``"categorical"``): entropy less cross-entropy. Linear scores of the classes, of equal
      covariance in each, give probabilities (linear discriminant analysis), whose sharpness is fitted to images that
      the scores were not.

    Parameters
    ----------
    features : array, shape (n, d)
        Finite; standardised here.
    attributes : sequence of Encoded
        One for each result; of all but the categorical ones the normal scores are taken, whatever the encoding.
    folds : int array, shape (n,)
        The fold of each image.

    Returns
    -------
    list of Reference
        One for each attribute, with one contribution an image.

    Raises
    ------
    SpecError
        If there are fewer than three folds.
    DataError
        If features, attributes and folds are not of the same images.

    References
    ----------
    Barber and Agakov (2003), NIPS 16; Hastie, Buja and Tibshirani (1995), Ann. Statist. 23.

    Examples
    --------
    >>> from fusiform.probing.information import encode_attribute
    >>> rng = np.random.default_rng(0)
    >>> features = rng.normal(size=(1000, 3))
    >>> attribute = encode_attribute(features[:, 0] + rng.normal(size=1000))
    >>> (found,) = gaussian_information(features, [attribute], np.arange(1000) % 5)
    >>> print(abs(found.value - np.log(2) / 2) < 0.05)
    True
    """
    features, folds = _checked(features, attributes), np.asarray(folds)
    if folds.shape != (len(features),):
        raise DataError(f"Folds must be one number for each of {len(features)} images; got {folds.shape}.")
    members = [np.flatnonzero(folds == fold) for fold in np.unique(folds)]
    if len(members) < 3:
        raise SpecError(f"A Gaussian reference needs at least three folds; got {len(members)}.")
    targets = [Target(attribute) for attribute in attributes]
    every = np.arange(len(features))
    results: list[Reference] = []
    for target, inside, outside in zip(
        targets, *residuals(_standardised(features), targets, members), strict=True
    ):
        contributions = np.empty(len(features))
        for fold, residual in zip(members, outside, strict=True):
            contributions[fold] = target.ratios(residual, np.setdiff1d(every, fold), fold)
        train = target.ratios(inside, every, every)
        results.append(
            Reference(float(contributions.mean()), float(train.mean()), contributions, target.note)
        )
    return results


def ksg_information(
    features: Float[ndarray, "n d"], attributes: Sequence[Encoded], *, neighbours: int = 3, seed: int = 0
) -> list[Reference]:
    """Mutual information by distances to nearest neighbours, for features of few dimensions.

    Algorithm 1 (eq. 8) of Kraskov and others for numbers, and that of Ross for attributes with classes, both with the
    largest difference of a coordinate as distance. Nothing is trained, so there is no value on training images. Of more
    than 16 features the 8 leading principal components are taken, scaled to equal variance: what the others tell is
    not counted, and it is said.

    Parameters
    ----------
    features : array, shape (n, d)
        Finite; standardised here.
    attributes : sequence of Encoded
        One for each result. Classes are used where an attribute has them, so a numeric label counts as a class.
    neighbours : int, default 3
        The neighbour that sets the distance; fewer in a class of few images.
    seed : int, default 0
        Of the noise (1e-8 standard deviations) by which equal values are told apart.

    Returns
    -------
    list of Reference
        One for each attribute, with one contribution an image.

    Raises
    ------
    SpecError
        If there are not more images than neighbours, or neighbours are fewer than one.
    DataError
        If features and attributes are not of the same images.

    References
    ----------
    Kraskov, Stögbauer and Grassberger (2004), Phys. Rev. E 69, 066138; Ross (2014), PLoS ONE 9, e87357.

    Examples
    --------
    >>> from fusiform.probing.information import encode_attribute
    >>> x = np.random.default_rng(0).normal(size=(1000, 1))
    >>> (found,) = ksg_information(x, [encode_attribute(x[:, 0] > 0)])
    >>> print(abs(found.value - np.log(2)) < 0.05)
    True
    """
    features = _checked(features, attributes)
    if not 1 <= neighbours < len(features):
        raise SpecError(
            f"'neighbours' must be at least 1 and fewer than the {len(features)} images; got {neighbours}."
        )
    dimension, note = features.shape[1], ""
    if dimension > _FEW:
        X = leading(features, _LEADING, seed=seed)
        note = (
            f"nearest neighbours are not meant for {dimension} dimensions: of the {X.shape[1]} leading principal "
            "components only"
        )
    else:
        X = _standardised(features)
    X = _jittered(X, seed)
    results = []
    for attribute in attributes:
        if attribute.constant or not X.shape[1]:
            terms = np.zeros(len(features))
        elif attribute.classes is not None:
            terms = _ross(X, attribute.classes, neighbours)
        else:
            terms = _kraskov(X, _jittered(_standardised(attribute.values), seed + 1), neighbours)
        results.append(Reference(float(terms.mean()), np.nan, terms, _joined(note, attribute.note)))
    return results


def leading(features: Float[ndarray, "n d"], count: int, *, seed: int = 0) -> Float[ndarray, "n r"]:
    """At most `count` leading principal components of the standardised features, of variance 1."""
    X = _standardised(features)
    if not X.shape[1]:
        return X
    whitened = PCA(min(count, *X.shape), whiten=True, random_state=seed)
    components = whitened.fit_transform(X)
    return components[:, whitened.explained_variance_ > 1e-10 * whitened.explained_variance_[0]]


def _kraskov(X: Float[ndarray, "n d"], Y: Float[ndarray, "n k"], neighbours: int) -> Float[ndarray, " n"]:
    joint = np.concatenate([X, Y], axis=1)
    distances = cKDTree(joint).query(joint, k=[neighbours + 1], p=np.inf)[0][:, 0]
    # The image itself is counted, as the formula's "+ 1" wants.
    nearer = (_within(points, distances) for points in (X, Y))
    return digamma(neighbours) + digamma(len(X)) - sum(digamma(count) for count in nearer)


def _ross(X: Float[ndarray, "n d"], classes: Int[ndarray, " n"], neighbours: int) -> Float[ndarray, " n"]:
    counts = np.bincount(classes)[classes]
    distances = np.zeros(len(X))
    for label in np.unique(classes[counts > 1]):
        own = X[classes == label]
        near = min(neighbours, len(own) - 1)
        distances[classes == label] = cKDTree(own).query(own, k=[near + 1], p=np.inf)[0][:, 0]
    near = np.minimum(neighbours, counts - 1)
    terms = np.zeros(len(X))
    # An image alone in its class has no neighbour, and adds nothing.
    some = counts > 1
    terms[some] = (
        digamma(len(X)) + digamma(near[some]) - digamma(counts[some]) - digamma(_within(X, distances)[some])
    )
    return terms


def _within(points: Float[ndarray, "n d"], distances: Float[ndarray, " n"]) -> Int[ndarray, " n"]:
    """How many points lie nearer to each than a distance, itself included."""
    radius = np.nextafter(distances, 0)
    return cKDTree(points).query_ball_point(points, radius, p=np.inf, return_length=True)


def _standardised(features: ndarray) -> Float[ndarray, "n r"]:
    """Features of mean 0 and variance 1, without those that do not vary."""
    shift, factor = scaling(features[None])
    return standardised(features[None], shift, factor)[0][:, factor[0] > 0]


def _jittered(values: Float[ndarray, "n k"], seed: int) -> Float[ndarray, "n k"]:
    return values + 1e-8 * np.random.default_rng(seed).standard_normal(values.shape)


def _joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def _checked(features: ndarray, attributes: Sequence[Encoded]) -> Float[ndarray, "n d"]:
    features = np.asarray(features)
    if features.ndim != 2 or not np.isfinite(features).all():
        raise DataError(
            f"Features must be finite numbers of shape (images, features); got shape {features.shape}."
        )
    for number, attribute in enumerate(attributes):
        if len(attribute) != len(features):
            raise DataError(
                f"Attribute {number} has {len(attribute)} values for {len(features)} images; give one an image."
            )
    return features
