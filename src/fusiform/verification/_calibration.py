import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from fusiform.errors import DataError, NetworkError
from fusiform.networks import FaceNetwork, NetworkCard
from fusiform.runs import atomic_write
from fusiform.targets import MatchProbability


@dataclass(frozen=True)
class Calibration:
    """From which similarity on two images count as one person's, and what that costs.

    Intervals are 95% and resample people, not pairs; the threshold is found anew in each sample.

    Attributes
    ----------
    threshold, lower, upper : float
        Cosine from which two images match, with its interval.
    false_match_rate : float
        The rate that was asked: share of non-mate pairs (two people) that may match.
    reached_false_match_rate : float
        Share of these pairs that do match at the threshold; at most the rate that was asked.
    false_non_match_rate, fnmr_lower, fnmr_upper : float
        Share of mate pairs (one person) that do not match at the threshold, with its interval.
    slope, intercept : float
        Log odds of a match are ``slope * cosine + intercept``, where as many mates as non-mates are expected.
    n_images, n_identities : int
        Images used, and people shown.
    n_mate_pairs, n_nonmate_pairs : int
        Pairs of one person, and of two.
    pairs : str
        ``"all"``, or ``"table"`` for those of a protocol.
    network, network_digest : str
        The network's name, and the sha256 of its parameters.
    faces, faces_digest : str
        The specification or name of the faces, and their digest.
    resamples, seed : int
        Bootstrap samples, and their seed.

    Examples
    --------
    >>> from fusiform.faces import open_faces
    >>> from fusiform.networks import load_network
    >>> from fusiform.verification import calibrate
    >>> net, faces = load_network("demo"), open_faces("synthetic?identities=12&per_identity=4&seed=5&size=64")
    >>> found = calibrate(net, faces, false_match_rate=0.01, resamples=50)
    >>> found.n_mate_pairs, found.n_nonmate_pairs, found.lower <= found.threshold <= found.upper
    (72, 1056, True)
    >>> found.card(net).threshold == found.threshold
    True
    """

    threshold: float
    lower: float
    upper: float
    false_match_rate: float
    reached_false_match_rate: float
    false_non_match_rate: float
    fnmr_lower: float
    fnmr_upper: float
    slope: float
    intercept: float
    n_images: int
    n_identities: int
    n_mate_pairs: int
    n_nonmate_pairs: int
    pairs: str
    network: str
    network_digest: str
    faces: str
    faces_digest: str
    resamples: int
    seed: int

    @property
    def table(self) -> pd.DataFrame:
        """The figures: ``network, metric, value, lower, upper, n`` (pairs)."""
        nan = math.nan
        rows = [
            ("threshold", self.threshold, self.lower, self.upper, self.n_nonmate_pairs),
            ("false match rate", self.reached_false_match_rate, nan, nan, self.n_nonmate_pairs),
            (
                "false non-match rate",
                self.false_non_match_rate,
                self.fnmr_lower,
                self.fnmr_upper,
                self.n_mate_pairs,
            ),
        ]
        table = pd.DataFrame(rows, columns=["metric", "value", "lower", "upper", "n"])
        table.insert(0, "network", self.network)
        return table

    def matches(self, similarity: Float[ndarray, "..."] | Tensor | float) -> ndarray | Tensor | bool:
        """Whether pairs of these cosine similarities count as one person's."""
        return similarity >= self.threshold

    def probability(self, similarity: Float[ndarray, "..."] | float) -> Float[ndarray, "..."]:
        """Probability of a match, where as many mates as non-mates are expected."""
        from scipy.special import expit

        return expit(self.slope * np.asarray(similarity, dtype=np.float64) + self.intercept)

    def target(self, reference: Float[Tensor, "... d"]) -> MatchProbability:
        """The probability of a match with a reference embedding, as a target.

        Parameters
        ----------
        reference : tensor, shape (d,) or (n, d)
            As of `fusiform.targets.Similarity`.
        """
        return MatchProbability(reference, self.slope, self.intercept)

    def card(self, net: FaceNetwork) -> NetworkCard:
        """The network's card with this threshold.

        Parameters
        ----------
        net : FaceNetwork
            The network that was calibrated.

        Raises
        ------
        NetworkError
            If it has other weights.
        """
        if net.digest() != self.network_digest:
            raise NetworkError(
                f"This threshold is of '{self.network}' with other weights than '{net.card.name}' has. "
                "Calibrate this network."
            )
        return net.card.replace(threshold=self.threshold)

    def save(self, path: str | Path) -> None:
        """Write a JSON file.

        Parameters
        ----------
        path : str or Path
            The file; replaced where it is there.

        Raises
        ------
        RunError
            If the disk is full.
        """
        with atomic_write(Path(path).expanduser()) as part:
            part.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> "Calibration":
        """Read what `save` wrote.

        Parameters
        ----------
        path : str or Path
            The file.

        Raises
        ------
        DataError
            If it is missing or holds no calibration.
        """
        try:
            held = json.loads(Path(path).expanduser().read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"'{path}' is no readable calibration: {error}.") from error
        wanted = {field.name: field.type for field in fields(cls)}
        if not isinstance(held, dict) or set(held) != set(wanted):
            odd = sorted(set(held) ^ set(wanted)) if isinstance(held, dict) else [type(held).__name__]
            raise DataError(
                f"'{path}' holds no calibration of this version; these fields are in one only: {odd}. "
                "Calibrate again."
            )
        number = {float: int | float, int: int, str: str}
        for name, kind in wanted.items():
            if not isinstance(held[name], number[kind]) or isinstance(held[name], bool):  # type: ignore[index]
                raise DataError(f"'{path}': '{name}' of a calibration is no {held[name]!r}.")
        return cls(**held)
