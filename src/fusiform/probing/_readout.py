from dataclasses import dataclass

from jaxtyping import Float
from numpy import ndarray

from fusiform.probing._linear import LinearFit, fit_linear
from fusiform.probing._qda import QDA, fit_qda
from fusiform.probing._sampling import Draw


@dataclass(frozen=True, eq=False)
class Readout:
    """How p probes answer for one attribute.

    Attributes
    ----------
    model : QDA or LinearFit
        QDA where the attribute has classes, linear regression where it is continuous.
    """

    model: QDA | LinearFit

    @property
    def regularisation(self) -> Float[ndarray, " p"]:
        """What each probe's covariances needed."""
        return self.model.regularisation

    def answers(self, features: Float[ndarray, "p k c"]) -> Float[ndarray, "p k ..."]:
        """What the probes say about images.

        Parameters
        ----------
        features : array, shape (p, k, c)
            Features of k images, for each probe its own.

        Returns
        -------
        array, shape (p, k, n_classes) or (p, k)
            Probabilities of the classes, or predicted values of a continuous attribute.
        """
        if isinstance(self.model, QDA):
            return self.model.probabilities(features)
        return self.model.predictions(features)


def fit_readout(draw: Draw, features: Float[ndarray, "p n c"]) -> Readout:
    """Fit p probes to the training images of a draw: QDA for classes, else linear regression (Diniz 2020, 4.1).

    Parameters
    ----------
    draw : Draw
        The images and their labels.
    features : array, shape (p, n_train, c)
        Few features of the training images, in the order of ``draw.train``: PLS scores or neurons.

    Returns
    -------
    Readout
        The fitted probes.

    Raises
    ------
    DataError
        If features are NaN or infinite, or are not those of the training images.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.arange(4)
    >>> draw = Draw("Male", "binary", ("False", "True"), np.array([0.0, 0, 1, 1]), rows, rows, rows)
    >>> features = np.array([[[0.0], [0.1], [0.9], [1.2]]])
    >>> fit_readout(draw, features).answers(features).argmax(axis=2)
    array([[0, 0, 1, 1]])
    """
    values = draw.values[draw.train]
    if draw.classes:
        return Readout(fit_qda(features, values.astype(int), len(draw.classes)))
    return Readout(fit_linear(features, values))
