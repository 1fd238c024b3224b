from dataclasses import dataclass
from typing import Any, Literal, Self

from fusiform.errors import SpecError
from fusiform.studies._request import StudyRequest

Cue = Literal["eyeglasses", "grey"]

# What `quick` asks for where nothing else is given.
_QUICK: dict[str, Any] = {
    "percents": ("50", "100"),
    "repeats": 1,
    "train_images": 600,
    "test_images": 200,
    "dictionary_images": 200,
    "epochs": 4,
}


@dataclass(frozen=True, kw_only=True)
class PlantedBiasRequest(StudyRequest):
    """What the study of planted bias is asked: what every study is asked (`StudyRequest`), and this.

    The network, its task and its layers are the study's own, so `attributes` and `layers` cannot be given.

    Attributes
    ----------
    faces : str or None
        Specification of the faces, with the attribute Male and, for the cue eyeglasses, Eyeglasses. When None synthetic
        faces, each of which is drawn with and without eyeglasses.
    dictionary : str or None
        The Face Dictionary, as for `fusiform.faces.open_dictionary`; when None, of people of `faces` who are not trained
        on, if these have masks or 68 landmarks, else of other synthetic faces.
    cues : tuple of {"eyeglasses", "grey"}
        Which experiments.
    percents : tuple of str
        P, whole numbers of 50 to 100: of how many men, in percent, the picture carries the cue; of 100 - P percent of the
        women it does.
    repeats : int
        Networks for each cue and percentage; their seeds are `seed`, `seed` + 1, ...
    network : str
        A ResNet of the zoo, without weights.
    train_images : int
        Pictures in a training set at the most, half of them of men.
    test_images : int
        Pictures in the test set at the most: men and women with and without the cue, as many of each.
    dictionary_images : int
        Faces in a dictionary that the study makes.
    epochs : int
        Passes over the training set.
    union : {"all", "labelled"}
        What IoU divides by, as for `fusiform.dissection.dissect`. ``"labelled"`` is what the paper's authors counted
        by, which many units of random weights pass too; the counts by the other one stand beside.
    grey : {"luminance", "mean"}
        How grey is made of red, green and blue: weighted by Rec. 601, or all alike.
    quick : bool
        Little of everything, for a first look.
    """

    faces: str | None = None  # type: ignore[assignment]
    dictionary: str | None = None
    cues: tuple[Cue, ...] = ("eyeglasses", "grey")
    percents: tuple[str, ...] = ("50", "60", "70", "80", "90", "100")
    repeats: int = 3
    network: str = "resnet10?width=24&variant=small"
    train_images: int = 2000
    test_images: int = 800
    dictionary_images: int = 1000
    epochs: int = 10
    union: Literal["all", "labelled"] = "all"
    grey: Literal["luminance", "mean"] = "luminance"
    quick: bool = False

    @classmethod
    def from_mapping(cls, options: dict[str, Any], *, source: str = "the request") -> Self:
        """Make a request from names and values; see `StudyRequest.from_mapping`.

        Parameters
        ----------
        options : dict
            Names as in this class and in `StudyRequest`; `percents` may hold numbers.
        source : str
            Where they come from, for messages.

        Returns
        -------
        PlantedBiasRequest
            The request.

        Raises
        ------
        SpecError
            As for `StudyRequest.from_mapping`; for percentages outside 50 to 100, and for options that this study has
            no use for.

        Examples
        --------
        >>> PlantedBiasRequest.from_mapping({"percents": [50, 100], "quick": True}).levels
        [50, 100]
        """
        options = (_QUICK if options.get("quick") else {}) | options
        for name in ("attributes", "layers"):
            if options.get(name) is not None:
                raise SpecError(
                    f"{source} has '{name}', but this study trains its own network to tell men from women and looks at "
                    "the second-to-last convolution of its stages. Leave it out."
                )
        percents: Any = options.get("percents")
        if isinstance(percents, list | tuple):
            options = options | {"percents": tuple(str(value) for value in percents)}
        request = super().from_mapping(options, source=source)
        bad = [v for v in request.percents if not v.isdecimal() or not 50 <= int(v) <= 100]
        if bad or not request.percents:
            got = ", ".join(map(repr, bad)) or "none"
            raise SpecError(
                f"'percents' in {source} must be whole numbers of 50 to 100, one at least; got {got}."
            )
        for name in ("cues", "percents"):
            values = getattr(request, name)
            if not values or len(set(values)) != len(values):
                raise SpecError(
                    f"'{name}' in {source} must name each value once, one at least; got {values!r}."
                )
        for name, least in (("train_images", 8), ("test_images", 4)):
            if getattr(request, name) < least:
                raise SpecError(
                    f"'{name}' in {source} must be at least {least}; got {getattr(request, name)}."
                )
        return request

    @property
    def levels(self) -> list[int]:
        """The percentages in ascending order."""
        return sorted(map(int, self.percents))

    @property
    def seeds(self) -> list[int]:
        """The seeds of the networks of a cue and percentage."""
        return [self.seed + k for k in range(self.repeats)]
