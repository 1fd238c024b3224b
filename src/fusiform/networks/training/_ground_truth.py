from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import torch

from fusiform.errors import SpecError
from fusiform.networks.training._recipe import Recipe
from fusiform.networks.training._train import train
from fusiform.runs import Progress

if TYPE_CHECKING:
    from fusiform.faces import FaceSet
    from fusiform.networks import FaceNetwork

# Small, quick, and residual as the networks that people use.
_NETWORK = "resnet10?width=10&variant=small"
_TEST_SEED = 1_000_003
_N_TEST = 200
_LEAST = 16


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """A classifier of synthetic faces of which it is known where the evidence is.

    Attributes
    ----------
    network : FaceNetwork
        The classifier; its card names the classes.
    faces : FaceSet
        Test faces, of people it never saw, with the attribute ``class``.
    labels : tensor, shape (n,)
        The number of each test face's class among the network's outputs.
    masks : tuple of str
        Masks of `faces` in which all evidence lies.
    accuracy, chance : float
        Share of the test faces that are classified rightly, and by guessing.
    """

    network: "FaceNetwork"
    faces: "FaceSet"
    labels: torch.Tensor
    masks: tuple[str, ...]
    accuracy: float
    chance: float


def ground_truth_network(
    part: str,
    *,
    n: int = 1600,
    classes: int = 2,
    size: int = 64,
    epochs: int = 14,
    shuffled: bool = False,
    seed: int = 0,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> GroundTruth:
    """Train a small network on faces whose class shows in one part alone.

    Parameters
    ----------
    part : str
        One of `fusiform.faces.CONFINED_PARTS`: "eyeglasses", "nose", "mouth", "eyes", ...
    n : int, default 1600
        Training faces: half as many people, each in two classes.
    classes : int, default 2
        How many classes.
    size : int, default 64
        Side of the network's input in pixels.
    epochs : int, default 14
        Passes over the faces.
    shuffled : bool, default False
        Train on labels dealt at random to the same faces: the control of the data randomisation test.
    seed : int, default 0
        Of the faces, the weights and the shuffle.
    out : str or Path, optional
        Folder to keep the training in, and to continue it from; by default none is kept.
    progress : Progress, optional
        Where to show how far it is.

    Returns
    -------
    GroundTruth
        The network, and faces to explain it on.

    Raises
    ------
    SpecError
        For an unknown part, or a number out of range.
    RunError
        If the folder holds another training.

    References
    ----------
    Adebayo and others, Sanity checks for saliency maps, 2018, section 4 (data randomisation).

    Examples
    --------
    >>> found = ground_truth_network("eyeglasses", n=32, epochs=1, size=48)
    >>> found.network.card.classes, found.masks
    (('eyeglasses_0', 'eyeglasses_1'), ('evidence',))
    """
    from fusiform.faces import confined_faces

    _check_count(n)
    # One set, split: what tells the classes apart is drawn anew for every set. Beside its twin, a face shows what the class
    # changes; without twins the same training stays at chance.
    people = n // 2
    faces = confined_faces(people + _N_TEST, part, classes=classes, twins=True, size=size, seed=seed)
    learnt = faces.subset(slice(2 * people))
    test = faces.subset(2 * np.arange(people, people + _N_TEST))
    return _trained(learnt, test, ("evidence",), size, epochs, shuffled, seed, out, progress)


def expression_network(
    moods: Sequence[str] = ("surprise", "anger"),
    *,
    n: int = 1600,
    size: int = 64,
    epochs: int = 14,
    shuffled: bool = False,
    seed: int = 0,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> GroundTruth:
    """Train a small network on expressions that show at the eyes, at the mouth, or at both, so that it reads both.

    What it makes of `fusiform.faces.conflict_faces`, whose eyes and mouth disagree, must lie at the eyes for one class
    and at the mouth for the other.

    Parameters
    ----------
    moods : sequence of str, default surprise and anger
        As in `fusiform.faces.expression_faces`.
    n : int, default 1600
        Training faces: half as many people, each with two expressions.
    size, epochs, shuffled, seed, out, progress
        As in `ground_truth_network`.

    Returns
    -------
    GroundTruth
        The network, and faces that show the expression at eyes or mouth alone or at both.

    Raises
    ------
    SpecError
        For an unknown expression, or a number out of range.
    RunError
        If the folder holds another training.

    Examples
    --------
    >>> expression_network(n=24, epochs=1, size=48).network.card.classes
    ('anger', 'surprise')
    """
    from fusiform.faces import expression_faces

    _check_count(n)
    faces = expression_faces(n // 2, moods, shown=("eyes", "eyes", "mouth"), twins=True, size=size, seed=seed)
    test = expression_faces(_N_TEST, moods, size=size, seed=seed + _TEST_SEED)
    return _trained(
        faces,
        test,
        ("eyes_expression", "mouth_expression"),
        size,
        epochs,
        shuffled,
        seed,
        out,
        progress,
    )


def _check_count(n: int) -> None:
    if isinstance(n, bool) or not isinstance(n, int) or n < _LEAST:
        raise SpecError(
            f"A ground-truth network needs an int of at least {_LEAST} training faces; got {n!r}."
        )


def _trained(
    faces: "FaceSet",
    test: "FaceSet",
    masks: tuple[str, ...],
    size: int,
    epochs: int,
    shuffled: bool,
    seed: int,
    out: str | Path | None,
    progress: Progress | None,
) -> GroundTruth:
    if shuffled:
        dealt = np.random.default_rng(np.random.SeedSequence([seed, 21])).permutation(len(faces))
        values = faces.table["class"].iloc[dealt].reset_index(drop=True)
        faces = faces.with_attribute("class", values, faces.schema["class"])
    recipe = Recipe(
        "ground_truth",
        epochs=epochs,
        batch_size=32,
        sampling="uniform_pairs",
        input_size=(size, size),
        shortest_side=size,
        grey=0.0,
        head="linear",
        optimizer="adamw",
        learning_rate=0.005,
        momentum=0.9,
        weight_decay=0.01,
        schedule="cosine",
        warmup=0.1,
        seeds=(seed,),
        checkpoints=2,
        select="last",
    )
    with TemporaryDirectory() as scratch:
        result = train(_NETWORK, faces, recipe, out or scratch, attribute="class", progress=progress)
        network = result.load(seed=seed)
    labels = torch.tensor([(network.card.classes or ()).index(name) for name in test.table["class"]])
    with torch.no_grad():
        said = torch.cat(
            [
                network(network.prepare(test.images(rows))).argmax(dim=1)
                for rows in np.array_split(np.arange(len(test)), 4)
            ]
        )
    return GroundTruth(
        network=network,
        faces=test,
        labels=labels,
        masks=masks,
        accuracy=float((said.cpu() == labels).double().mean()),
        chance=float(torch.bincount(labels).max() / len(labels)),
    )
