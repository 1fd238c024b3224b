import math
from typing import Literal

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from fusiform.networks.training._classes import Labels
from fusiform.networks.training._recipe import Recipe
from fusiform.networks.training._triplets import class_batches, triplet_steps

# Purposes of random numbers: one stream each, so that one more draw here moves nothing there.
_ORDER, _IMAGES, _AUGMENT, _TORCH = range(4)


def epoch_order(
    labels: Int[ndarray, " n"],
    count: int,
    *,
    sampling: Literal["uniform_classes", "uniform_images", "uniform_pairs"] = "uniform_classes",
    seed: int = 0,
    epoch: int = 0,
) -> Int[ndarray, " count"]:
    """Say which images an epoch shows, in which order.

    With ``"uniform_classes"`` the classes come in shuffled rounds, so that in any epoch two classes are
    drawn equally often to within one, however many images they have; the images of a class take turns
    in a shuffled order. A pure function of its arguments: an interrupted epoch needs no stored position.

    Parameters
    ----------
    labels : int array, shape (n,)
        Class of each image, 0 to classes - 1.
    count : int
        How many draws.
    sampling : {"uniform_classes", "uniform_images", "uniform_pairs"}, default "uniform_classes"
        What is drawn uniformly; a pair is two consecutive images, which come one after the other.
    seed, epoch : int, default 0
        Of the random numbers.

    Returns
    -------
    int array, shape (count,)
        Indices into `labels`.

    Examples
    --------
    >>> labels = np.array([0] * 9 + [1])
    >>> np.bincount(labels[epoch_order(labels, 10)])
    array([5, 5])
    """
    labels = np.asarray(labels)
    rng = np.random.default_rng([seed, epoch, _ORDER])
    if sampling == "uniform_images":
        return _rounds(np.arange(len(labels)), count, rng)
    if sampling == "uniform_pairs":
        firsts = 2 * _rounds(np.arange(len(labels) // 2), math.ceil(count / 2), rng)
        return np.stack([firsts, firsts + 1], axis=1).ravel()[:count]
    classes = _rounds(np.unique(labels), count, rng)
    rng = np.random.default_rng([seed, epoch, _IMAGES])
    order = np.empty(count, dtype=np.int64)
    by_class = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[by_class], np.arange(labels.max() + 2))
    draws_by_class = np.argsort(classes, kind="stable")
    draw_starts = np.searchsorted(classes[draws_by_class], np.arange(labels.max() + 2))
    for label in np.unique(classes):
        draws = draws_by_class[draw_starts[label] : draw_starts[label + 1]]
        images = by_class[starts[label] : starts[label + 1]]
        order[draws] = _rounds(images, len(draws), rng)
    return order


def _rounds(values: ndarray, count: int, rng: np.random.Generator) -> ndarray:
    rounds = [rng.permutation(values) for _ in range(math.ceil(count / len(values)))]
    return np.concatenate(rounds)[:count]


def augmentation_stream(seed: int, step: int) -> np.random.Generator:
    """Give the random numbers of one step's augmentation.

    Parameters
    ----------
    seed, step : int
        Of the training, and which step.

    Returns
    -------
    numpy.random.Generator
        Fresh, the same for the same arguments.
    """
    return np.random.default_rng([seed, step, _AUGMENT])


def torch_seed(seed: int, step: int) -> int:
    """Give the number that torch is seeded with before a step, for drop-out and the like.

    Parameters
    ----------
    seed, step : int
        Of the training, and which step.

    Returns
    -------
    int
        In [0, 2^63).
    """
    return int(np.random.default_rng([seed, step, _TORCH]).integers(2**63))


def log_spaced_steps(total: int, count: int, *, first: int = 1) -> tuple[int, ...]:
    """Say after which steps weights are kept: 0, the last, and the rest evenly spaced in the logarithm.

    Parameters
    ----------
    total : int
        The last step.
    count : int
        How many, at least 2; a short training may hold fewer different ones.
    first : int, default 1
        The first step after 0.

    Returns
    -------
    tuple of int
        Rising, from 0 to `total`.

    Examples
    --------
    >>> log_spaced_steps(1000, 5)
    (0, 1, 10, 100, 1000)
    """
    first = min(first, total)
    spaced = np.geomspace(first, total, count - 1) if count > 2 else np.array([total])
    return tuple(sorted({0, total, *np.rint(spaced).astype(int).tolist()}))


class Plateau:
    """Count how often a loss has stalled.

    Parameters
    ----------
    patience : int
        Values without a gain that are borne; one more counts as a plateau.
    threshold : float
        Relative gain below which a value does not count as better.

    Examples
    --------
    >>> plateau = Plateau(patience=1, threshold=0.0)
    >>> for loss in [3.0, 2.0, 2.0, 2.0, 1.0]:
    ...     plateau.update(loss)
    >>> plateau.drops
    1
    """

    def __init__(self, *, patience: int, threshold: float) -> None:
        self.patience = patience
        self.threshold = threshold
        self.best: float | None = None
        self.stalled = 0
        self.drops = 0

    def update(self, loss: float) -> None:
        """Take the next value.

        Parameters
        ----------
        loss : float
            An epoch's mean loss.
        """
        if self.best is None or loss < self.best * (1.0 - self.threshold):
            self.best, self.stalled = loss, 0
            return
        self.stalled += 1
        if self.stalled > self.patience:
            self.stalled, self.drops = 0, self.drops + 1


def epoch_steps(labels: Labels, recipe: Recipe) -> int:
    """Say how many batches an epoch has.

    Parameters
    ----------
    labels : Labels
        Of the training images.
    recipe : Recipe
        Says how batches are made.

    Returns
    -------
    int
        At least 1.
    """
    return (
        triplet_steps(recipe) if recipe.head == "triplet" else max(1, len(labels.rows) // recipe.batch_size)
    )


def epoch_batches(labels: Labels, recipe: Recipe, *, seed: int, epoch: int) -> Int[ndarray, "steps b"]:
    """Say which images each batch of an epoch shows; a pure function, as `epoch_order` is.

    Parameters
    ----------
    labels : Labels
        Of the training images.
    recipe : Recipe
        Says how batches are made.
    seed, epoch : int
        Of the random numbers.

    Returns
    -------
    int array, shape (steps, batch_size)
        Indices into `labels`.
    """
    steps = epoch_steps(labels, recipe)
    if recipe.head == "triplet":
        return class_batches(labels.codes, steps, recipe, np.random.default_rng([seed, epoch, _ORDER]))
    order = epoch_order(
        labels.codes,
        steps * recipe.batch_size,
        sampling="uniform_images" if labels.kind == "continuous" else recipe.sampling,
        seed=seed,
        epoch=epoch,
    )
    return order.reshape(steps, recipe.batch_size)


def learning_rate(recipe: Recipe, step: int, total: int, drops: int = 0) -> float:
    """Give the learning rate of one step.

    Parameters
    ----------
    recipe : Recipe
        Says the schedule.
    step : int
        Steps taken so far.
    total : int
        Steps in all.
    drops : int, default 0
        Plateaus so far.

    Returns
    -------
    float
        The rate.

    Examples
    --------
    >>> from fusiform.networks.training import RECIPES
    >>> f"{learning_rate(RECIPES['diniz2021'], 10, 100, drops=2):.1e}"
    '5.0e-05'
    """
    warm = recipe.warmup * total
    rate = recipe.learning_rate * (min(1.0, (step + 1) / warm) if warm >= 1 else 1.0)
    if recipe.schedule == "plateau":
        return rate * recipe.plateau_factor**drops
    done = max(0.0, (step - warm) / max(1.0, total - warm))
    return rate * 0.5 * (1.0 + math.cos(math.pi * done))
