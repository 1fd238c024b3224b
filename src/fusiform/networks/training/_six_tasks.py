from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from fusiform.errors import SpecError
from fusiform.networks.training._recipe import Recipe


@dataclass(frozen=True)
class FaceTask:
    """One of the six face-inference models of table 1, as data; the recipe of the same name says how it is trained.

    Parameters
    ----------
    name : str
        Of the recipe.
    model : str
        What the paper calls it.
    task, dataset, architecture : str
        As in the table.
    faces : str
        How the data set is opened.
    attribute : str
        What is learnt; empty where it depends on the set (triplets).
    kind : str
        Of the attribute.
    layer : str
        The dissected layer, in the names of the paper's network; of others the role ``"second_to_last_conv"`` finds it.
    metric : str
        ``"mae"``, ``"mse"`` or ``"accuracy"``.
    paper : float
        The paper's figure; accuracies as shares.
    test_share : float, default 0.2
        Share of the images (of whole people where known) to test on, where the set has no published split.
    folds : int, default 1
        How many splits are trained on.
    draw : (int, int), optional
        Images to train and to test on, drawn in balance.
    note : str, default ""
        What else to know.

    References
    ----------
    Teotia, Lapedriza and Ostadabbas (2022), table 1 and section 5.1.
    """

    name: str
    model: str
    task: str
    dataset: str
    architecture: str
    faces: str
    attribute: str
    kind: Literal["binary", "continuous", "identity", "classes"]
    layer: str
    metric: Literal["mae", "mse", "accuracy"]
    paper: float
    test_share: float = 0.2
    folds: int = 1
    draw: tuple[int, int] | None = None
    note: str = ""


_TASKS = (
    FaceTask(
        name="age",
        model="AGE",
        task="Age estimation",
        dataset="IMDB-WIKI",
        architecture="ResNet-50",
        faces="imdbwiki:PATH",
        attribute="age",
        kind="continuous",
        layer="layer4.2.conv1",
        metric="mae",
        paper=6.64,
        note="6.6015 in the text; ages outside 0 to 100 and images that cannot be read are left out",
    ),
    FaceTask(
        name="gender",
        model="GENDER",
        task="Gender classification",
        dataset="IMDB-WIKI",
        architecture="ResNet-50",
        faces="imdbwiki:PATH",
        attribute="Male",
        kind="binary",
        layer="layer4.2.conv1",
        metric="accuracy",
        paper=0.908,
        note="90.88% in the text; the reader leaves out images with invalid ages",
    ),
    FaceTask(
        name="beauty",
        model="BEAUTY",
        task="Beauty estimation",
        dataset="SCUT-FBP5500",
        architecture="ResNet-18 (pretrained)",
        faces="scut:PATH",
        attribute="beauty",
        kind="continuous",
        layer="layer4.1.conv1",
        metric="mse",
        paper=0.137,
        test_share=0.4,
        folds=5,
        note="the five published folds (80/20) where their lists are there, otherwise 60/40 drawn five times",
    ),
    FaceTask(
        name="identity",
        model="FACENET",
        task="Face recognition",
        dataset="VGGFace2",
        architecture="Inception-ResNet-v1 (pretrained)",
        faces="vggface2:PATH",
        attribute="identity",
        kind="identity",
        layer="block8.branch1.2.conv",
        metric="accuracy",
        paper=0.996,
        note="the paper's figure is on the published pairs of LFW; here pairs of the test people are drawn",
    ),
    FaceTask(
        name="triplets",
        model="FAIRFACE",
        task="Face recognition",
        dataset="FairFace",
        architecture="ResNet-50",
        faces="fairface:PATH",
        attribute="",
        kind="classes",
        layer="layer4.2.conv1",
        metric="accuracy",
        paper=0.868,
        note="86.7% in the text; 80,000 triplets an epoch; FairFace has no identities, so a triplet shares a group",
    ),
    FaceTask(
        name="smile",
        model="SMILE",
        task="Smile classification",
        dataset="CelebA",
        architecture="ResNet-50",
        faces="celeba:PATH",
        attribute="Smiling",
        kind="binary",
        layer="layer4.2.conv1",
        metric="accuracy",
        paper=0.912,
        draw=(6000, 1200),
        note="6,000 and 1,200 images, as many of each class, none of the dictionary",
    ),
)

FACE_TASKS: dict[str, FaceTask] = {task.name: task for task in _TASKS}
"""The six models of table 1, by the name of their recipe."""


def fit_recipe(recipe: Recipe, network: str) -> Recipe:
    """Let a recipe show images as a network's card says: its input size, mean and deviation.

    Parameters
    ----------
    recipe : Recipe
        The recipe.
    network : str
        A specification for `fusiform.networks.load_network`.

    Returns
    -------
    Recipe
        Images are brought to 8/7 of the input's longer side before the crop, as 256 pixels are to 224.

    Raises
    ------
    SpecError
        If the network takes grey or BGR images, which training does not make; or there is no such network.

    Examples
    --------
    >>> from fusiform.networks.training import find_recipe
    >>> fitted = fit_recipe(find_recipe("age"), "demo")
    >>> fitted.input_size, fitted.shortest_side
    ((112, 112), 128)
    """
    from fusiform.networks import load_network

    card = load_network(network).card
    if card.channels != "rgb":
        raise SpecError(
            f"'{network}' takes {card.channels} images, but training shows RGB. Choose another network, or wrap this one "
            "in a module that takes RGB (python:MODULE:FACTORY)."
        )
    low, high = card.value_range
    return replace(
        recipe,
        input_size=card.input_size,
        shortest_side=round(max(card.input_size) * 8 / 7),
        mean=_three((value - low) / (high - low) for value in card.mean),
        std=_three(value / (high - low) for value in card.std),
    )


def _three(values: Iterable[float]) -> tuple[float, float, float]:
    red, green, blue = values
    return red, green, blue
