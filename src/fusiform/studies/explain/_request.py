from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from fusiform.errors import SpecError
from fusiform.studies._request import StudyRequest
from fusiform.studies.explain._methods import defaults, parsed
from fusiform.studies.explain._question import Kind

_ACTIVATION = "activation"
MATCH = "match_probability"


@dataclass(frozen=True, kw_only=True)
class ExplainRequest(StudyRequest):
    """What `explain` is asked: one question about one network.

    A pair (``pair``, with ``nonmate`` a triplet), images one by one (``images``, or faces alone), or two people
    (``identities``).

    Attributes
    ----------
    network : str
        Specification of the network, as for `fusiform.networks.load_network`.
    faces : str or None
        Specification of the faces. Without it, images are files.
    pair : tuple of str
        Two images: files, or image ids of the faces.
    nonmate : str or None
        An image of another person than the first of the pair: why is the first more like the second than this one?
    images : tuple of str
        Images that are explained one by one; with faces and none named, some of the faces.
    identities : tuple of str
        Two people of the faces: what tells them apart?
    class_name : str or None
        For images one by one: the class that is explained, by name or number; each image's predicted one when None.
    target : str or None
        For images one by one ``"activation:LAYER:CHANNEL"`` or ``"activation:LAYER"``, of any network; for a pair
        ``"match_probability"`` instead of the similarity, which needs `calibrate`.
    methods : tuple of str or None
        Each a name of `fusiform.attribution.METHODS`, with options as in ``"lrp?rule=epsilon_plus"``; six when None.
    threshold : float or None
        Cosine from which two images match; the card's when None.
    calibrate : str or None
        Faces with identities, on which the threshold is found.
    false_match_rate : float
        The rate for that.
    landmarks : str or None
        A network for 68 landmarks, for faces that have none.
    baseline : str
        What hidden pixels are replaced by, where a method's own default is the mean colour.
    most : int or None
        Images at the most where none are named: 12, or 8 of each of two people, when None.
    """

    network: str
    faces: str | None = None  # type: ignore[assignment]
    pair: tuple[str, ...] = ()
    nonmate: str | None = None
    images: tuple[str, ...] = ()
    identities: tuple[str, ...] = ()
    class_name: str | None = None
    target: str | None = None
    methods: tuple[str, ...] | None = None
    threshold: float | None = None
    calibrate: str | None = None
    false_match_rate: float = 1e-3
    landmarks: str | None = None
    baseline: Literal["mean", "blur", "noise", "grey", "black", "white"] = "mean"
    most: int | None = None

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
        ExplainRequest
            The request.

        Raises
        ------
        SpecError
            As for `StudyRequest.from_mapping`; or if no question is asked, or more than one, or options do not go
            together, or a method does not exist.

        Examples
        --------
        >>> ExplainRequest.from_mapping({"network": "demo", "pair": ["a.png", "b.png"]}).kind
        'pair'
        """
        options = dict(options)
        # A cosine may be 0 or below, which no other number that is asked may be.
        threshold = options.pop("threshold", None)
        number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
        if threshold is not None and not (number and -1 <= threshold <= 1):
            raise SpecError(
                f"The option 'threshold' in {source} is a cosine similarity from -1 to 1; got {threshold!r}."
            )
        request = replace(
            super().from_mapping(options, source=source),
            threshold=None if threshold is None else float(threshold),
        )
        request._check_question(source)
        request._check_options(source)
        names = request.methods_asked
        for name in names:
            parsed(name, source)
        twice = [name for name, n in Counter(names).items() if n > 1]
        if twice:
            raise SpecError(f"{source} names the method '{twice[0]}' twice; name each once.")
        return request

    @property
    def kind(self) -> Kind:
        """Which question is asked."""
        if self.identities:
            return "identities"
        if self.pair:
            return "pair" if self.nonmate is None else "triplet"
        return "images"

    @property
    def methods_asked(self) -> tuple[str, ...]:
        """The methods that are shown."""
        return defaults(paired=self.kind == "pair") if self.methods is None else self.methods

    @property
    def unit(self) -> tuple[str, int | None] | None:
        """Layer and channel of an activation that is explained."""
        if self.target is None or not self.target.startswith(f"{_ACTIVATION}:"):
            return None
        layer = self.target.removeprefix(f"{_ACTIVATION}:")
        name, _, channel = layer.rpartition(":")
        return (name, int(channel)) if name and channel.lstrip("-").isdigit() else (layer, None)

    def _check_question(self, source: str) -> None:
        asked = [name for name in ("pair", "images", "identities") if getattr(self, name)]
        if len(asked) > 1:
            raise SpecError(f"{source} asks about {' and '.join(asked)}; ask one question at a time.")
        if not asked and not self.faces:
            raise SpecError(
                f"{source} asks no question; give --pair A B, --images A B ..., --faces SPEC, or --identities A B "
                "with --faces SPEC."
            )
        for name in ("pair", "identities"):
            got = getattr(self, name)
            if got and len(got) != 2:
                raise SpecError(f"The option '{name}' in {source} names two; got {len(got)}.")
        if self.identities and not self.faces:
            raise SpecError(f"{source} names two people and no faces; give --faces SPEC with identities.")
        if self.identities and self.identities[0] == self.identities[1]:
            raise SpecError(f"{source} names '{self.identities[0]}' twice; name two people.")
        if self.nonmate is not None and not self.pair:
            raise SpecError(f"{source} names a nonmate and no pair; give --pair PROBE MATE too.")

    def _check_options(self, source: str) -> None:
        if self.kind == "images":
            compared = [n for n in ("threshold", "calibrate") if getattr(self, n) is not None]
            if compared:
                raise SpecError(
                    f"'{compared[0]}' in {source} is of two images that are compared; give --pair A B."
                )
            if self.target is not None and (self.unit is None or not self.unit[0]):
                raise SpecError(
                    f"The target '{self.target}' in {source} cannot be read; images one by one have the target "
                    "'activation:LAYER:CHANNEL', 'activation:LAYER', or a class, --class NAME."
                )
            if self.target is not None and self.class_name is not None:
                raise SpecError(f"{source} names a target and a class; give one of the two.")
        else:
            if self.class_name is not None:
                raise SpecError(
                    f"'class_name' in {source} is of images one by one; two images are compared by their similarity."
                )
            if self.target not in (None, MATCH) or (self.target and self.kind != "pair"):
                raise SpecError(
                    f"The target '{self.target}' in {source} cannot be explained there; a pair has its similarity, or "
                    f"'{MATCH}', and nothing else is to be named."
                )
        if self.target == MATCH and self.calibrate is None:
            raise SpecError(
                f"The target '{MATCH}' in {source} is calibrated on faces; name them: --calibrate SPEC."
            )
        if self.threshold is not None and self.calibrate is not None:
            raise SpecError(f"{source} gives a threshold and faces to find it on; give one of the two.")
        if self.false_match_rate >= 1:
            raise SpecError(
                f"The option 'false_match_rate' in {source} must be below 1; got {self.false_match_rate:g}."
            )
        if self.methods == ():
            raise SpecError(f"{source} names no method; leave the option out for the default ones.")
        for name in ("attributes", "layers"):
            if getattr(self, name):
                raise SpecError(
                    f"{source} names {name}; maps are of images as a whole. Leave the option out."
                )
