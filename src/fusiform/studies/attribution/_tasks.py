"""What is explained on which images."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from fusiform.errors import DataError
from fusiform.faces import PARTS8, FaceSet, part_masks, part_sources, pick_faces
from fusiform.networks import FaceNetwork
from fusiform.runs import Progress
from fusiform.studies.attribution._targets import Classes, predicted
from fusiform.targets import Contrast, Probability, Similarity, Target
from fusiform.verification import Calibration, calibrate, embeddings

_CALIBRATED_ON = 400  # images at the most
_CONTRASTS = 8  # so many, or half of the probes where that is more
_RATES = (1e-3, 1e-2, 5e-2, 0.2)


@dataclass(frozen=True, eq=False)
class Task:
    """A target on some images of a network.

    Attributes
    ----------
    name : str
        "similarity", "contrast" or "class".
    x : tensor, shape (n, channels, height, width)
        Inputs.
    target, confidence : Target
        What gradient and propagation methods explain; what perturbation methods explain and curves measure.
    rows : int array, shape (n,)
        The images in their set.
    ids : sequence of n str
        Names of the images.
    identities : sequence of n
        Who is shown; an image's own name where nobody knows.
    pair : tensor, shape of `x`, optional
        Second images of the pairs.
    parts : bool tensor, shape (n, 8, height, width), optional
        Face parts, where they are known.
    """

    name: str
    x: Float[Tensor, "n c h w"]
    target: Target
    confidence: Target
    rows: Int[ndarray, " n"]
    ids: tuple[str, ...]
    identities: tuple[str, ...]
    pair: Tensor | None = None
    parts: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def first(self, n: int) -> "Task":
        """The same of the first images."""
        return self.take(torch.arange(min(n, len(self))))

    def mirrored(self) -> "Task":
        """The same with second images that are their own mirror images, and without parts, which are not."""
        pair = None if self.pair is None else (self.pair + self.pair.flip(3)) / 2
        return replace(self, pair=pair, parts=None)

    def take(self, index: Tensor) -> "Task":
        """The same of some of the images."""
        at = index.tolist()
        return replace(
            self,
            x=self.x[index],
            target=self.target.rows(index),
            confidence=self.confidence.rows(index),
            rows=self.rows[at],
            ids=tuple(self.ids[k] for k in at),
            identities=tuple(self.identities[k] for k in at),
            pair=None if self.pair is None else self.pair[index],
            parts=None if self.parts is None else self.parts[index],
        )


def tasks_of(
    net: FaceNetwork, faces: FaceSet, images: int, *, seed: int, progress: Progress
) -> tuple[list[Task], Calibration | None]:
    """The tasks of a network on framed faces: similarity and contrast of a verifier, the predicted class of a classifier.

    Raises
    ------
    DataError
        If a verifier's faces hold no two images of a person, or only one person; or the network's head is neither.
    """
    if net.card.head == "embedding":
        return _verification(net, faces, images, seed, progress)
    if net.card.head != "logits":
        raise DataError(
            f"'{net.card.name}' gives {net.card.head}; this study is of verifiers (head 'embedding') and classifiers "
            "(head 'logits')."
        )
    rows = pick_faces(faces, images, seed=seed)
    x = _inputs(net, faces, rows)
    classes = predicted(net, x)
    given = described(faces, rows, net)
    return [Task("class", x, Classes(classes), Classes(classes, Probability), **given)], None


def _verification(
    net: FaceNetwork, faces: FaceSet, images: int, seed: int, progress: Progress
) -> tuple[list[Task], Calibration | None]:
    probes, mates, others = triplets_of(faces, images, seed)
    x = _inputs(net, faces, probes)
    pair = _inputs(net, faces, mates)
    mate, other = embeddings(net, faces, indices=np.concatenate([mates, others])).split(len(mates))
    similarity = Similarity(mate)
    calibration = _calibrated(net, faces, seed, progress)
    confidence = similarity if calibration is None else calibration.target(mate)
    contrast = Contrast(mate, other)
    given = described(faces, probes, net)
    return [
        Task("similarity", x, similarity, confidence, pair=pair, **given),
        Task("contrast", x, contrast, contrast, **given).first(max(_CONTRASTS, len(x) // 2)),
    ], calibration


def triplets_of(
    faces: FaceSet, n: int, seed: int
) -> tuple[Int[ndarray, " k"], Int[ndarray, " k"], Int[ndarray, " k"]]:
    """Rows of probes, of another image of the same person each, and of an image of somebody else."""
    people = None if faces.identity is None else faces.table[faces.identity]
    count = {} if people is None else people.value_counts().to_dict()
    among = [] if people is None else np.flatnonzero([count.get(who, 0) > 1 for who in people]).tolist()
    if people is None or not among or len(count) < 2:
        raise DataError(
            f"A verifier is explained on pairs; the faces '{faces.name}' show no two people of whom one has two images. Give "
            "a set with identities and several images of a person, such as synthetic?identities=24&per_identity=3."
        )
    rng = np.random.default_rng([seed, 1])
    probes = pick_faces(faces, n, among=np.array(among), seed=seed)
    who = people.to_numpy(dtype=object)
    known = people.notna().to_numpy()
    mates, others = [], []
    for row in probes.tolist():
        same = np.flatnonzero(known & (who == who[row]))
        mates.append(int(rng.choice(same[same != row])))
        others.append(int(rng.choice(np.flatnonzero(known & (who != who[row])))))
    return probes, np.array(mates), np.array(others)


def _calibrated(net: FaceNetwork, faces: FaceSet, seed: int, progress: Progress) -> Calibration | None:
    """The logistic curve from cosine to match probability, at the finest rate that some of the faces support."""
    rows = np.sort(_several_each(faces, seed))
    some = faces.subset(rows) if len(rows) < len(faces) else faces
    for rate in _RATES:
        try:
            return calibrate(net, some, false_match_rate=rate, resamples=2, seed=seed)
        except DataError as refused:
            why = str(refused)
    progress.say(f"{net.card.name}: no match probability, so that curves are of similarities. {why}")
    return None


def _several_each(faces: FaceSet, seed: int) -> Int[ndarray, " k"]:
    """Rows of so many people with several images that the whole is small."""
    assert faces.identity is not None
    people = faces.table[faces.identity]
    shown = people.map(people.value_counts()).fillna(0).to_numpy() > 1
    order = list(dict.fromkeys(people[shown]))
    np.random.default_rng([seed, 2]).shuffle(order)
    taken: list[int] = []
    rows_of = {
        who: np.flatnonzero((people == who).fillna(False).to_numpy()) for who in order[:_CALIBRATED_ON]
    }
    for who in order:
        if who not in rows_of or len(taken) + len(rows_of[who]) > _CALIBRATED_ON:
            break
        taken += rows_of[who].tolist()
    return np.array(taken, dtype=np.int64)


def _inputs(net: FaceNetwork, faces: FaceSet, rows: Int[ndarray, " k"]) -> Tensor:
    return net.prepare(faces.images(rows))


def described(faces: FaceSet, rows: Int[ndarray, " k"], net: FaceNetwork) -> dict[str, Any]:
    """Names, people and parts of images, for a `Task`."""
    table = faces.table.iloc[rows]
    ids = tuple(table["image_id"].astype(str))
    who = ids if faces.identity is None else tuple(table[faces.identity].astype("string").fillna("").tolist())
    identities = tuple(person or own for person, own in zip(who, ids, strict=True))
    return {"rows": rows, "ids": ids, "identities": identities, "parts": _parts8(faces, rows, net)}


def _parts8(faces: FaceSet, rows: Int[ndarray, " k"], net: FaceNetwork) -> Bool[Tensor, "k 8 h w"] | None:
    if part_sources(faces, PARTS8).left_out:
        return None
    try:
        return part_masks(faces, rows, net.card.input_size)
    except DataError:
        return None
