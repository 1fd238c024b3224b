from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal, Self

from fusiform.errors import SpecError
from fusiform.studies._request import StudyRequest

Method = Literal["hierarchical", "network"]

# What `quick` asks for where nothing else is given.
_QUICK = {"images": 400, "permutations": 200, "unit_pages": 12}


@dataclass(frozen=True, kw_only=True)
class DissectionRequest(StudyRequest):
    """What the study of dissection is asked: what every study is asked (`StudyRequest`), and this.

    It is asked of a Face Dictionary (`dictionary`), or of faces from which one is built (`faces`).

    Attributes
    ----------
    network : tuple of str
        Specifications of networks, each as for `fusiform.networks.load_network`, or ``"SETUP=SPEC"``.
    faces : str or None
        Specification of faces from which a dictionary is built; None with `dictionary`.
    dictionary : str or None
        A saved dictionary's folder, or ``"published:PATH"``; see `fusiform.faces.open_dictionary`.
    landmarks : str or None
        A network for 68 landmarks, with which masks are drawn where the faces have no landmarks.
    masks : str
        Of faces: ``"exact"``: the set's own; ``"ellipses"``: from 68 landmarks; ``"auto"``: the first where there are some.
    concepts : str or None
        A file of further concepts, regions and global categories; see `fusiform.faces.ConceptTable`.
    balance : bool
        Whether the groups of each global category get equally many images.
    images : int or None
        Images at the most, drawn at random; all when None.
    layers : tuple of str or None
        Names of layers, of roles (see `fusiform.networks.find_role`), or one word: ``"all"``: all convolutions;
        ``"last-stages"``: all convolutions of the last two stages; ``"blocks"``: the blocks of the last two stages, which
        are fewer. When None the second-to-last convolution, and all convolutions of the last two stages.
    methods : tuple of str
        ``"hierarchical"``, ``"network"`` (Network Dissection), or both.
    quantile : float
        Share of all activations of a unit that lies above its threshold.
    iou : float
        From which intersection over union a unit is taken for a detector.
    union : str
        ``"all"``: over all images in which a concept is known, as Network Dissection does; ``"labelled"``: over those that
        carry it and in which the unit fires.
    permutations : int
        Of the labels, for the p-values of global groups.
    training_faces : str or None
        The faces that the network was trained with, to be looked for in the dictionary.
    task_faces : str or None
        Faces from which the association of concepts with the task is taken; `training_faces` when None.
    task : str or None
        The attribute that the network was trained to tell.
    unit_pages : int
        Units of a network with pictures, at the most.
    top : int
        Images in a strip.
    quick : bool
        Little of everything, for a first look: 400 images, 200 permutations, 12 units with pictures, at most 2 layers where
        not said otherwise.
    """

    network: tuple[str, ...]
    faces: str | None = None  # type: ignore[assignment]
    dictionary: str | None = None
    landmarks: str | None = None
    masks: Literal["auto", "exact", "ellipses"] = "auto"
    concepts: str | None = None
    balance: bool = True
    images: int | None = None
    methods: tuple[Method, ...] = ("hierarchical", "network")
    quantile: float = 0.005
    iou: float = 0.04
    union: Literal["all", "labelled"] = "all"
    permutations: int = 1000
    training_faces: str | None = None
    task_faces: str | None = None
    task: str | None = None
    unit_pages: int = 48
    top: int = 5
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
        DissectionRequest
            The request.

        Raises
        ------
        SpecError
            As for `StudyRequest.from_mapping`; or if neither faces nor a dictionary are named, or both, or options do
            not go together.

        Examples
        --------
        >>> DissectionRequest.from_mapping({"network": "demo", "faces": "synthetic?n=8", "quick": True}).images
        400
        """
        request = super().from_mapping((_QUICK if options.get("quick") else {}) | options, source=source)
        request._check_material(source)
        if not request.methods:
            raise SpecError(f"{source} names no method; give 'hierarchical', 'network' or both.")
        for what, names in (("method", request.methods), ("layer", request.layers or ())):
            twice = [name for name, n in Counter(names).items() if n > 1]
            if twice:
                raise SpecError(f"{source} names the {what} '{twice[0]}' twice; name each once.")
        for name, value in (("quantile", request.quantile), ("iou", request.iou)):
            if value >= 1:
                raise SpecError(f"The option '{name}' in {source} must be below 1; got {value:g}.")
        if request.task and not (request.task_faces or request.training_faces):
            raise SpecError(
                f"'task' in {source} is an attribute of the faces that the network was trained with; name them by "
                "--task-faces or --training-faces."
            )
        if request.task_faces and not request.task:
            raise SpecError(
                f"{source} names task_faces and no task; name the attribute that the network tells: --task."
            )
        return request

    def _check_material(self, source: str) -> None:
        if not self.faces and not self.dictionary:
            raise SpecError(
                f"{source} names neither faces nor a dictionary; give --faces SPEC, or --dictionary FOLDER."
            )
        if self.faces and self.dictionary:
            raise SpecError(f"{source} names faces and a dictionary; give one of the two.")
        if self.dictionary:
            for name, odd in (
                ("landmarks", self.landmarks),
                ("concepts", self.concepts),
                ("masks", self.masks != "auto"),
                ("balance", not self.balance),
            ):
                if odd:
                    raise SpecError(
                        f"'{name}' in {source} is about building a dictionary of faces; a dictionary that is there has its "
                        "masks, concepts and groups."
                    )
        if self.attributes:
            raise SpecError(
                f"{source} names attributes; a dissection looks for the concepts of the dictionary, which --concepts FILE "
                "extends."
            )

    @property
    def most_layers(self) -> int | None:
        """How many layers are dissected where none are named; all when None."""
        return 2 if self.quick else None
