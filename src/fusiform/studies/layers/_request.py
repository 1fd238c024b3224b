from dataclasses import dataclass
from typing import Any, Literal, Self

from fusiform.errors import SpecError
from fusiform.studies._request import Request

Unit = Literal["layer", "channels", "neurons"]

# Experiments that stand beside the others: a study that is continued may leave them out, or add them.
SWITCHES = ("ablation", "consistency", "geometry")
# What `quick` asks for where nothing else is given, and how far it goes into it.
_QUICK = {"n_train": 256, "n_valid": 256, "epochs": 1}


@dataclass(frozen=True)
class Extent:
    """How much of everything is measured: all of it, or little for a first look."""

    attributes: int | None = None
    layers: int | None = None
    vip_neurons: int = 50
    ablation_images: int = 64
    pairs: int = 100
    steps: int = 10


_WHOLE, _LITTLE = Extent(), Extent(12, 16, 20, 32, 16, 5)


@dataclass(frozen=True, kw_only=True)
class LayersRequest(Request):
    """What the study of layers is asked: what every study is asked (`Request`), and this.

    Attributes
    ----------
    network : tuple of str
        Specifications of networks, each as for `fusiform.networks.load_network`, or ``"SETUP=SPEC"``: networks of one
        setup are initialisations of the same thing, over which results are averaged.
    units : tuple of str
        ``"channels"`` and ``"neurons"``, one of them, or ``"layer"`` alone; entire layers are always probed.
    top : int
        How many channels and neurons of a layer are probed, together and one by one.
    scale : str
        ``"subset"``: features are scaled on each attribute's own training images; ``"pooled"``: on those of all.
    split : str
        ``"published"``: the set's own test split; ``"identities"``: 60/20/20 by person; ``"auto"``: the first where
        there is one.
    selectivity : bool
        Whether shuffled labels are probed too.
    confounds : bool
        Whether attributes are probed again with their strongest associate balanced or taken out.
    baseline : str
        ``"none"``; or a network supervised on all attributes, ``"finetune"`` from the first network's weights or
        trained from ``"scratch"``.
    epochs : int or None
        Epochs of the baseline; 5 when None, and 20 from scratch.
    ablation : bool
        Whether later layers are measured with neurons zeroed.
    consistency : bool
        Whether manipulated inputs are told by attributes that do not fit the identity.
    geometry : bool
        Whether images under random rotation, scaling and shift are probed too.
    families : str or None
        A TOML or CSV file with families of attributes, added to the thesis' own.
    quick : bool
        Little of everything, for a first look: 256 images an attribute where not said otherwise, at most 12 attributes
        and 16 layers.
    """

    network: tuple[str, ...]
    units: tuple[Unit, ...] = ("layer", "channels", "neurons")
    top: int = 8
    scale: Literal["subset", "pooled"] = "subset"
    split: Literal["auto", "published", "identities"] = "auto"
    selectivity: bool = True
    confounds: bool = True
    baseline: Literal["none", "finetune", "scratch"] = "none"
    epochs: int | None = None
    ablation: bool = True
    consistency: bool = True
    geometry: bool = True
    families: str | None = None
    quick: bool = False

    @classmethod
    def from_mapping(cls, options: dict[str, Any], *, source: str = "the request") -> Self:
        """Make a request from names and values; see `Request.from_mapping`.

        Parameters
        ----------
        options : dict
            Names as in this class and in `Request`.
        source : str
            Where they come from, for messages.

        Returns
        -------
        LayersRequest
            The request.

        Raises
        ------
        SpecError
            As for `Request.from_mapping`; or if there are too few images to probe with.

        Examples
        --------
        >>> LayersRequest.from_mapping({"network": "demo", "faces": "synthetic?n=8", "quick": True}).n_train
        256
        """
        request = super().from_mapping((_QUICK if options.get("quick") else {}) | options, source=source)
        # Before all the reading; what must be 1 or more has been looked at.
        if request.n_train < 4 or request.n_valid < 2 or request.n_components >= request.n_train:
            raise SpecError(
                f"Probing needs n_components >= 1, n_train >= 4, n_valid >= 2 and top >= 1, and fewer components than "
                f"training images; {source} has n_components={request.n_components}, n_train={request.n_train}, "
                f"n_valid={request.n_valid} and top={request.top}."
            )
        return request

    @property
    def extent(self) -> Extent:
        """How much of everything is measured."""
        return _LITTLE if self.quick else _WHOLE
