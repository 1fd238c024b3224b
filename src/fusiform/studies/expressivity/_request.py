from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal, Self

from fusiform.errors import SpecError
from fusiform.studies._request import StudyRequest

Estimator = Literal["mine", "nwj", "smile", "infonce", "gaussian", "ksg"]

# What `quick` asks for where nothing else is given.
_QUICK = {"images": 800, "restarts": 4, "dimension": 256, "estimators": ("mine", "gaussian")}
_WITHOUT_NETWORKS = ("faces", "layers", "predict", "checkpoints", "course_layers", "pretrained", "image_size")


@dataclass(frozen=True, kw_only=True)
class ExpressivityRequest(StudyRequest):
    """What the study of expressivity is asked: what every study is asked (`StudyRequest`), and this.

    It is asked either of networks and faces, or of features that somebody has (`features`).

    Attributes
    ----------
    network : tuple of str
        Specifications of networks, each as for `fusiform.networks.load_network`, or ``"SETUP=SPEC"``.
    faces : str or None
        Specification of the faces; None with `features`.
    features : str or None
        A file of features, .npy, .npz, .parquet, .csv or .tsv, one row an image; no network is needed then.
    attributes : tuple of str or None
        Which attributes of the faces, identity by its name among them; all when None. With `features`: the file of the
        attributes, .csv, .tsv or .parquet, one row an image and one column an attribute.
    only : tuple of str or None
        With `features`: which columns of that file; all when None.
    identity : str or None
        With `features`: the column that says who is shown; found by its name when None.
    estimators : tuple of str
        Which estimators; the first is the main one, on which figures, orders and findings rest.
    restarts : int
        Critics trained for each attribute and layer (M of protocols 1 and 2).
    images : int
        Images at the most.
    dimension : int
        D: of a map as many channels are drawn as bring it nearest to so many features.
    image_size : int or None
        Height in pixels to which the grey image is averaged; when None so that it has nearest to `dimension` pixels.
    min_images : int
        Images that a person must have to count for identity.
    identity_anyway : bool
        Whether identity is studied where hardly anybody has `min_images` images: numbers without meaning.
    raw : bool
        Whether degrees, years, probabilities and numeric identities are studied as they are, too.
    predict : tuple of str
        Attributes to add by a network: ``"NAME=SPEC"`` or ``"NAME:OUTPUT=SPEC"``.
    checkpoints : str or None
        Weights during the training of the first network: a folder, a pattern such as ``"runs/*.pt"``, or ``"demo"``.
    course_layers : tuple of str or None
        Layers watched over training; the last before the classifier, or the embedding, when None.
    initial : str
        Step 0: ``"checkpoint"``: the first checkpoint; ``"random"``: a random initialisation; ``"auto"``: the first
        where its training recorded that it is the start.
    pretrained : str or None
        A network trained on objects, whose last features are another step 0.
    task : str or None
        What the network is trained to tell, for the compression reading; identity when None.
    linear : bool
        Whether linear probes are fitted on the same features.
    calibration : bool
        Whether the estimators are held to variables of known mutual information.
    quick : bool
        Little of everything, for a first look: 800 images, 4 restarts, 256 features of a map, MINE and the Gaussian
        estimator, at most 3 layers, 4 checkpoints and 4 attributes where not said otherwise.
    """

    network: tuple[str, ...] = ()
    faces: str | None = None  # type: ignore[assignment]
    features: str | None = None
    only: tuple[str, ...] | None = None
    identity: str | None = None
    estimators: tuple[Estimator, ...] = ("mine", "infonce", "gaussian")
    restarts: int = 16
    images: int = 5000
    dimension: int = 2048
    image_size: int | None = None
    min_images: int = 10
    identity_anyway: bool = False
    raw: bool = False
    predict: tuple[str, ...] = ()
    checkpoints: str | None = None
    course_layers: tuple[str, ...] | None = None
    initial: Literal["auto", "checkpoint", "random"] = "auto"
    pretrained: str | None = None
    task: str | None = None
    linear: bool = True
    calibration: bool = True
    quick: bool = False

    @classmethod
    def from_mapping(cls, options: dict[str, Any], *, source: str = "the request") -> Self:
        """Make a request from names and values; see `StudyRequest.from_mapping`.

        Parameters
        ----------
        options : dict
            Names as in this class and in `StudyRequest`.
        source : str
            Where they come from, for messages.

        Returns
        -------
        ExpressivityRequest
            The request.

        Raises
        ------
        SpecError
            As for `StudyRequest.from_mapping`; or if neither faces nor features are named, or both.

        Examples
        --------
        >>> ExpressivityRequest.from_mapping({"network": "demo", "faces": "synthetic?n=8", "quick": True}).restarts
        4
        """
        request = super().from_mapping((_QUICK if options.get("quick") else {}) | options, source=source)
        if request.features is None:
            request._check_networks(source)
        else:
            request._check_features(source)
        if not request.estimators:
            raise SpecError(f"{source} names no estimator; give one or more, the main one first.")
        twice = [name for name, n in Counter(request.estimators).items() if n > 1]
        if twice:
            raise SpecError(
                f"{source} names the estimator '{twice[0]}' twice; name each once, the main one first."
            )
        if request.min_images < 2:
            raise SpecError(
                f"'min_images' in {source} must be at least 2, for a person who is trained on must be seen again; "
                f"got {request.min_images}."
            )
        if request.checkpoints is None:
            for name in ("course_layers", "pretrained"):
                if getattr(request, name):
                    raise SpecError(
                        f"'{name}' in {source} is about the course of a training; name checkpoints with it."
                    )
        return request

    def _check_networks(self, source: str) -> None:
        for name, text in (("faces", self.faces), ("network", self.network)):
            if not text:
                raise SpecError(
                    f'{source} names no {name}; give --{name} SPEC or {name} = "SPEC" in the TOML file, or features that you '
                    "have: --features FILE --attributes FILE."
                )
        for name in ("only", "identity"):
            if getattr(self, name):
                raise SpecError(
                    f"'{name}' in {source} is about a file of attributes beside features; with networks name attributes by "
                    "'attributes'."
                )

    def _check_features(self, source: str) -> None:
        asked = [name for name in _WITHOUT_NETWORKS if getattr(self, name)] + ["network"] * bool(self.network)
        if asked:
            raise SpecError(
                f"{source} names features and {' and '.join(asked)}; features are studied as they are, without networks "
                "and faces. Give one of the two."
            )
        if self.attributes is None or len(self.attributes) != 1:
            got = "none" if self.attributes is None else ", ".join(self.attributes)
            raise SpecError(
                f"Features need one file of attributes: --attributes FILE.csv; {source} names {got}. Columns of it are "
                "chosen by --only A,B."
            )

    @property
    def most_layers(self) -> int | None:
        """How many layers are looked at where none are named; all when None."""
        return 3 if self.quick else None

    @property
    def most_attributes(self) -> int | None:
        """How many attributes are studied where none are named; all when None."""
        return 4 if self.quick else None

    @property
    def most_checkpoints(self) -> int | None:
        """How many checkpoints are looked at; all when None."""
        return 4 if self.quick else None
