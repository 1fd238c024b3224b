from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from numpy import ndarray

from fusiform.probing.information._attributes import Encoded

DRAWS = 500
"""Bootstrap draws of an estimate."""


@dataclass(frozen=True)
class Expressivity:
    """How much features say about one attribute.

    Attributes
    ----------
    estimator : str
        One of `ESTIMATORS`.
    encoding : str
        How the attribute was shown to the critics; see `encode_attribute`.
    values : array, shape (restarts,)
        Mutual information in nats on images not trained on, a restart each. Restarts take turns in
        which eighth of the images is left out, so that from 8 restarts on all images serve.
    train_values : array, shape (restarts,)
        The same on the images trained on, as Dhar and others (2020) report it.
    draws : array, shape (draws,)
        Bootstrap of the mean of `values`, images or groups resampled; the same resamples for every attribute of the
        same images and groups. The spread of training is in it where there are more than 8
        restarts; the images trained on are taken as they are.
    entropy : float or None
        Entropy of the attribute's classes in nats, the most that there is to know.
    n : int
        Images.
    dimension : int
        Features an image.
    curve : DataFrame
        ``restart, epoch, step, train, valid``: the course of training in nats.
    epochs : array, shape (restarts,)
        Passes over the training images.
    converged : bool array, shape (restarts,)
        Whether a restart stopped getting better before its steps were used up.
    retried : int
        Restarts that diverged and were done again with a smaller step.
    note : str
        What is to be known, such as that the attribute is constant.
    """

    estimator: str
    encoding: str
    values: Float[ndarray, " restarts"]
    train_values: Float[ndarray, " restarts"]
    draws: Float[ndarray, " draws"]
    entropy: float | None
    n: int
    dimension: int
    curve: pd.DataFrame
    epochs: Float[ndarray, " restarts"]
    converged: Bool[ndarray, " restarts"]
    retried: int = 0
    note: str = ""

    @property
    def mean(self) -> float:
        """Mean over restarts in nats, on images not trained on."""
        return float(self.values.mean())

    @property
    def std(self) -> float:
        """Standard deviation over restarts in nats, on images not trained on."""
        return float(self.values.std())

    @property
    def train_mean(self) -> float:
        """Mean over restarts in nats, on the images trained on."""
        return float(self.train_values.mean())

    @property
    def train_std(self) -> float:
        """Standard deviation over restarts in nats, on the images trained on."""
        return float(self.train_values.std())

    @property
    def lower(self) -> float:
        """Lower end of the 95% interval of `mean`."""
        return float(np.quantile(self.draws, 0.025))

    @property
    def upper(self) -> float:
        """Upper end of the 95% interval of `mean`."""
        return float(np.quantile(self.draws, 0.975))


def nothing_told(encoded: Encoded, estimator: str, restarts: int, dimension: int) -> Expressivity:
    zeros = np.zeros(restarts)
    return Expressivity(
        estimator,
        encoded.encoding,
        zeros,
        zeros,
        np.zeros(DRAWS),
        encoded.entropy,
        len(encoded),
        dimension,
        curve_of([]),
        zeros,
        np.ones(restarts, dtype=bool),
        0,
        encoded.note,
    )


def curve_of(rows: list[tuple[int, float, int, float, float]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["restart", "epoch", "step", "train", "valid"])
    return table.sort_values(["restart", "step"], ignore_index=True)
