from collections import Counter
from dataclasses import dataclass
from typing import Any, Self

from fusiform.attribution import METHODS
from fusiform.errors import SpecError, nearest
from fusiform.faces import CONFINED_PARTS
from fusiform.studies._request import StudyRequest

# What `quick` asks for where nothing else is given.
_QUICK = {"images": 4, "triplets": 6, "few": 2, "steps": 8, "truth_images": 6, "truth_parts": ("eyeglasses",)}


@dataclass(frozen=True, kw_only=True)
class AttributionRequest(StudyRequest):
    """What the study of attribution is asked: what every study is asked (`StudyRequest`), and this.

    Attributes
    ----------
    network : tuple of str
        Specifications of networks, each as for `fusiform.networks.load_network`, or ``"LABEL=SPEC"``. Verifiers (head
        "embedding") explain similarities and triplets, classifiers (head "logits") the predicted class.
    methods : tuple of str or None
        Which of `fusiform.attribution.METHODS`; all when None. Random, edge and Gaussian maps always compete.
    images : int
        Images, or probes, whose maps are measured.
    triplets : int
        Triplets of the inpainting game.
    few : int
        Images of the measures that make maps again and again: randomisation, sensitivity to noise, invariance, symmetry.
    steps : int
        Steps of deletion and insertion curves, and of the threshold in the inpainting game.
    parts : tuple of str
        Parts of the face in which the pointing games look for the highest point.
    inpainting : str or None
        Faces of the inpainting game, such as ``"published:PATH"``; synthetic ones when None.
    masked_faces : str or None
        Faces with hand-drawn masks for the pointing games; `faces` when None.
    landmarks : str or None
        A network for 68 landmarks, for faces that have none: canonical maps and, without masks, parts need them.
    groups : str or None
        The attribute by whose groups canonical maps are averaged.
    truth_parts : tuple of str
        Parts to which the tasks with a known answer are confined, out of `fusiform.faces.CONFINED_PARTS`.
    truth_images : int
        Images of each of these tasks.
    quick : bool
        Little of everything, for a first look: few images and masks, one task with a known answer, trained shortly,
        and no conflict faces.
    """

    network: tuple[str, ...]
    methods: tuple[str, ...] | None = None
    images: int = 24
    triplets: int = 40
    few: int = 6
    steps: int = 16
    parts: tuple[str, ...] = ("eyes", "nose", "mouth")
    inpainting: str | None = None
    masked_faces: str | None = None
    landmarks: str | None = None
    groups: str | None = None
    truth_parts: tuple[str, ...] = ("eyeglasses", "nose", "mouth")
    truth_images: int = 24
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
        AttributionRequest
            The request.

        Raises
        ------
        SpecError
            As for `StudyRequest.from_mapping`; or for a method that does not exist, or anything named twice.

        Examples
        --------
        >>> AttributionRequest.from_mapping({"network": "demo", "faces": "synthetic?n=8", "quick": True}).images
        4
        """
        request = super().from_mapping((_QUICK if options.get("quick") else {}) | options, source=source)
        named = (
            ("method", request.methods or ()),
            ("part", request.parts),
            ("part with a known answer", request.truth_parts),
        )
        for what, names in named:
            twice = [name for name, n in Counter(names).items() if n > 1]
            if twice:
                raise SpecError(f"{source} names the {what} '{twice[0]}' twice; name each once.")
        for name in request.methods or ():
            if name not in METHODS:
                raise SpecError(
                    f"{source} names a method '{name}' that there is not; {nearest(name, METHODS)}"
                )
        for name in request.truth_parts:
            if name not in CONFINED_PARTS:
                raise SpecError(
                    f"{source} confines a task to '{name}', which cannot be; {nearest(name, CONFINED_PARTS)}"
                )
        if request.methods == ():
            raise SpecError(f"{source} names no method; leave the option out for all.")
        for name in ("attributes", "layers"):
            if getattr(request, name):
                raise SpecError(
                    f"{source} names {name}; maps are of images as a whole. Leave the option out."
                )
        return request
