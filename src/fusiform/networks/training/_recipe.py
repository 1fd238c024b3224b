from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from fusiform.errors import SpecError, nearest

_CHOICES: dict[str, tuple[str, ...]] = {
    "sampling": ("uniform_classes", "uniform_images", "uniform_pairs"),
    "head": ("linear", "cosine", "triplet"),
    "optimizer": ("sgd", "adamw"),
    "schedule": ("plateau", "cosine"),
    "select": ("valid_auc", "last"),
}


@dataclass(frozen=True)
class Recipe:
    """How a network is trained, as data: print it, compare it, change it with `dataclasses.replace`.

    Every number of a training but the seed stands here, so two recipes that are equal train alike.

    Parameters
    ----------
    name : str
        What the recipe is called.
    description : str, default ""
        Where it comes from, in a sentence.
    networks : tuple of str, default ()
        Network specifications it was made for.
    faces, validation, test : str, default ""
        Face sets to use where none is given, as specifications for `fusiform.faces.open_faces`.
    epochs : int, default 50
        Passes; an epoch is as many draws as there are images, in whole batches.
    batch_size : int, default 64
        Images a step.
    sampling : {"uniform_classes", "uniform_images", "uniform_pairs"}, default "uniform_classes"
        Whether every class (identity), every image, or every pair of consecutive images, which then are in one batch, is
        drawn equally often. Of a continuous attribute it is always every image, of triplets every class.
    input_size : (int, int), default (224, 224)
        Height and width of what the network is shown, in pixels.
    shortest_side : int, default 256
        The image's shortest side before the crop, in pixels.
    padding : int, default 0
        Pixels that the image's edge is repeated outwards before the crop.
    grey, flip : float, default 0.2 and 0.0
        Chance that an image is shown in grey, or mirrored.
    brightness, contrast : float, default 0.0
        Half-width of the uniform range about 1 of a factor on all pixels, or on their deviation from the
        image's mean.
    mean, std : tuple of three float, default 0.5
        What is subtracted from pixels in [0, 1], and what the difference is divided by.
    head : {"linear", "cosine", "triplet"}, default "linear"
        Softmax over a linear layer, or over scaled cosines with the classes' directions; or no classifier, and the
        triplet loss on the normalised embedding. A continuous attribute is always regressed on a linear layer.
    scale, margin : float, default 16.0 and 0.0
        Factor on the cosines, and what is taken off the true class's cosine in training; of triplets, by how much
        the squared distance to the negative shall exceed that to the positive.
    triplets, images_each : int, default 80,000 and 4
        Of triplets only: anchor-positive pairs an epoch, and images of each class in a batch, which holds
        ``batch_size / images_each`` classes.
    optimizer : {"sgd", "adamw"}, default "sgd"
        Who takes the step.
    learning_rate : float, default 0.005
        The highest one.
    momentum : float, default 0.9
        Of SGD; of AdamW the first coefficient.
    weight_decay : float, default 0.0
        On weights with two axes and more; biases and normalisation are left alone.
    schedule : {"plateau", "cosine"}, default "plateau"
        Divide the rate when the epoch's mean training loss stalls, or let it fall along half a cosine.
    plateau_factor : float, default 0.1
        What the rate is multiplied by at a plateau.
    plateau_patience : int, default 2
        Epochs without a better loss that are borne before that.
    plateau_threshold : float, default 0.001
        Relative gain below which a loss does not count as better.
    warmup : float, default 0.0
        Share of the steps over which the rate climbs in a line to its height.
    seeds : tuple of int, default (0, 1, 2)
        Initialisations to train.
    checkpoints : int, default 12
        How many weights are kept on the way, log-spaced, step 0 and the last among them.
    first_checkpoint : int, default 1
        The first step kept after step 0.
    select : {"valid_auc", "last"}, default "valid_auc"
        Which weights are the best: those with the highest AUC on the validation set, or the last.

    Raises
    ------
    SpecError
        If a value is out of its range.

    Examples
    --------
    >>> from dataclasses import replace
    >>> short = replace(RECIPES["diniz2021"], epochs=2)
    >>> short.learning_rate, short.grey, short.shortest_side, short.input_size
    (0.005, 0.2, 256, (224, 224))
    """

    name: str
    description: str = ""
    networks: tuple[str, ...] = ()
    faces: str = ""
    validation: str = ""
    test: str = ""
    epochs: int = 50
    batch_size: int = 64
    sampling: Literal["uniform_classes", "uniform_images", "uniform_pairs"] = "uniform_classes"
    input_size: tuple[int, int] = (224, 224)
    shortest_side: int = 256
    padding: int = 0
    grey: float = 0.2
    flip: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    head: Literal["linear", "cosine", "triplet"] = "linear"
    scale: float = 16.0
    margin: float = 0.0
    triplets: int = 80_000
    images_each: int = 4
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = 0.005
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: Literal["plateau", "cosine"] = "plateau"
    plateau_factor: float = 0.1
    plateau_patience: int = 2
    plateau_threshold: float = 0.001
    warmup: float = 0.0
    seeds: tuple[int, ...] = (0, 1, 2)
    checkpoints: int = 12
    first_checkpoint: int = 1
    select: Literal["valid_auc", "last"] = "valid_auc"

    def __post_init__(self) -> None:
        for field, choices in _CHOICES.items():
            value = getattr(self, field)
            if value not in choices:
                raise self._wrong(field, f"one of {', '.join(map(repr, choices))}")
        for field in ("epochs", "batch_size", "shortest_side", "first_checkpoint", "triplets"):
            self._whole(field, 1)
        self._whole("images_each", 2)
        for field in ("padding", "plateau_patience"):
            self._whole(field, 0)
        self._whole("checkpoints", 2)
        for field in ("grey", "flip", "brightness", "contrast", "warmup"):
            self._within(field, 0.0, 1.0)
        self._within("plateau_factor", 0.0, 1.0)
        for field in ("momentum", "margin"):
            if not 0.0 <= getattr(self, field) < 1.0:
                raise self._wrong(field, "a number in [0, 1)")
        for field in ("learning_rate", "scale"):
            if not getattr(self, field) > 0:
                raise self._wrong(field, "a number above 0")
        for field in ("weight_decay", "plateau_threshold"):
            if not getattr(self, field) >= 0:
                raise self._wrong(field, "a number that is not negative")
        if self.head == "triplet" and (
            self.batch_size % self.images_each or self.batch_size < 2 * self.images_each
        ):
            raise self._wrong(
                "batch_size",
                f"a multiple of {self.images_each} (images_each), of at least {2 * self.images_each}, for triplets",
            )
        if len(self.input_size) != 2 or min(self.input_size) < 1:
            raise self._wrong("input_size", "a height and a width of at least 1 pixel")
        if self.shortest_side + 2 * self.padding < max(self.input_size):
            raise SpecError(
                f"The recipe '{self.name}' cuts {self.input_size[0]} x {self.input_size[1]} pixels out of images "
                f"whose shortest side is {self.shortest_side} with {self.padding} pixels of padding; they do not fit. "
                "Make shortest_side or padding larger, or input_size smaller."
            )
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise self._wrong("seeds", "at least one number, each different")

    def _whole(self, field: str, low: int) -> None:
        value = getattr(self, field)
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise self._wrong(field, f"a whole number of at least {low}")

    def _within(self, field: str, low: float, high: float) -> None:
        if not low <= getattr(self, field) <= high:
            raise self._wrong(field, f"a number in [{low:g}, {high:g}]")

    def _wrong(self, field: str, expected: str) -> SpecError:
        return SpecError(
            f"'{field}' of the recipe '{self.name}' must be {expected}; got {getattr(self, field)!r}."
        )

    def record(self) -> dict[str, Any]:
        """Give the recipe as plain JSON values.

        Returns
        -------
        dict
            One entry a field; tuples as lists.
        """
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


def _resnet(name: str, description: str, **changes: Any) -> Recipe:
    # Epochs are the paper's where it names them; the other numbers are usual ones for ResNets.
    usual: dict[str, Any] = {
        "networks": ("resnet50",),
        "sampling": "uniform_images",
        "padding": 8,
        "grey": 0.0,
        "flip": 0.5,
        "brightness": 0.2,
        "contrast": 0.2,
        "learning_rate": 0.02,
        "weight_decay": 1e-4,
        "schedule": "cosine",
        "warmup": 0.05,
        "seeds": (0,),
        "checkpoints": 4,
        "select": "last",
    }
    return Recipe(name, f"{description}, after Teotia and others (2022), table 1", **usual | changes)


RECIPES: dict[str, Recipe] = {
    "diniz2021": Recipe(
        name="diniz2021",
        description="Networks whose layers are probed for attributes, after Diniz (2021), section 5.1.1",
        networks=("timm:resnet50", "timm:mobilenetv2_100", "timm:vgg16"),
    ),
    "demo": Recipe(
        name="demo",
        description="The demo network: who is who among synthetic faces, on two cores in under half an hour",
        networks=("demo",),
        faces="synthetic?seed=1&identities=400&per_identity=31",
        validation="synthetic?seed=2&identities=100&per_identity=6",
        test="synthetic?seed=3&identities=300&per_identity=8",
        epochs=28,
        input_size=(112, 112),
        shortest_side=112,
        padding=4,
        grey=0.1,
        flip=0.5,
        brightness=0.2,
        contrast=0.2,
        head="cosine",
        margin=0.1,
        learning_rate=0.1,
        weight_decay=5e-4,
        schedule="cosine",
        warmup=0.05,
        seeds=(0,),
        checkpoints=10,
        first_checkpoint=16,
        select="last",
    ),
    "age": _resnet("age", "Apparent age by regression", epochs=2),
    "gender": _resnet("gender", "Apparent gender", epochs=2),
    "beauty": _resnet("beauty", "Mean rating of beauty by regression", networks=("resnet18",), epochs=40),
    "identity": _resnet(
        "identity", "Who is who by softmax", sampling="uniform_classes", head="cosine", margin=0.1, epochs=20
    ),
    "triplets": _resnet(
        "triplets",
        "Who is who by triplets",
        head="triplet",
        margin=0.2,
        epochs=20,
        sampling="uniform_classes",
    ),
    "smile": _resnet("smile", "Smiling or not", epochs=4),
}
"""The recipes that the command line knows, by name."""


def find_recipe(recipe: str | Recipe, **changes: Any) -> Recipe:
    """Look a recipe up by name and change some of its values.

    Parameters
    ----------
    recipe : str or Recipe
        A name out of `RECIPES`, or a recipe.
    **changes
        Fields to replace.

    Returns
    -------
    Recipe
        The recipe.

    Raises
    ------
    SpecError
        If there is no such recipe or field, or a value is out of its range.

    Examples
    --------
    >>> find_recipe("demo", epochs=1).epochs
    1
    >>> find_recipe("dinis2021")
    Traceback (most recent call last):
    ...
    fusiform.errors.SpecError: There is no recipe 'dinis2021'; did you mean 'diniz2021'?
    """
    if isinstance(recipe, str):
        if recipe not in RECIPES:
            raise SpecError(f"There is no recipe '{recipe}'; {nearest(recipe, RECIPES)}")
        recipe = RECIPES[recipe]
    known = [f.name for f in fields(recipe)]
    for field in changes:
        if field not in known:
            raise SpecError(f"A recipe has no field '{field}'; {nearest(field, known)}")
    return replace(recipe, **changes)
