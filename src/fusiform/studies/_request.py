from dataclasses import MISSING, dataclass, fields
from types import NoneType
from typing import Any, Literal, Self, get_args, get_origin

from fusiform.errors import SpecError, nearest

# Options that do not change what is measured: a study that is continued may be asked other values.
BUDGETS = ("memory_gb", "batch_size")


@dataclass(frozen=True, kw_only=True)
class StudyRequest:
    """What every study is asked; the options of its command and the keys of its TOML file.

    Attributes
    ----------
    faces : str
        Specification of the faces, as for `fusiform.faces.open_faces`.
    attributes : tuple of str or None
        Which attributes; all when None.
    layers : tuple of str or None
        Which layers; the study's default when None; ``("all",)`` for all.
    align : str
        ``"auto"``: to the template that the network's card names, where the set has landmarks;
        ``"none"``; or a template's name.
    control : bool
        Whether a network with the same architecture and random weights is looked at beside it.
    strict : bool
        Whether an unreadable image is an error instead of being left out.
    seed : int
        Of split, draws, control weights and intervals.
    memory_gb : float
        Budget for activations; it may be another when a study is continued.
    batch_size : int
        Faces a forward pass; it may be another when a study is continued.
    """

    faces: str
    attributes: tuple[str, ...] | None = None
    layers: tuple[str, ...] | None = None
    align: str = "auto"
    control: bool = True
    strict: bool = False
    seed: int = 0
    memory_gb: float = 4.0
    batch_size: int = 32

    @classmethod
    def from_mapping(cls, options: dict[str, Any], *, source: str = "the request") -> Self:
        """Make a request from names and values, such as a TOML file's.

        Parameters
        ----------
        options : dict
            Names as in this class.
        source : str
            Where they come from, for messages.

        Returns
        -------
        StudyRequest
            The request.

        Raises
        ------
        SpecError
            If a name is unknown, a value has the wrong type, or something without a default is missing.

        Examples
        --------
        >>> AuditRequest.from_mapping({"network": "demo", "faces": "synthetic?n=8"}).seed
        0
        """
        known = {f.name: f for f in fields(cls)}
        values: dict[str, Any] = {}
        for name, value in options.items():
            if name not in known:
                raise SpecError(f"{source} has an unknown option '{name}'; {nearest(name, known)}")
            kind = known[name].type
            if get_origin(kind) is tuple and isinstance(value, str):
                value = (value,)
            _check(name, value, kind, source)
            values[name] = tuple(value) if isinstance(value, list) else value
        for name, f in sorted(known.items(), reverse=True):
            if f.default is MISSING and not values.get(name):
                raise SpecError(
                    f'{source} names no {name}; give --{name} SPEC or {name} = "SPEC" in the TOML file.'
                )
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class Request(StudyRequest):
    """What a study that probes is asked: what every study is asked (`StudyRequest`), and this.

    Attributes
    ----------
    n_train, n_valid : int
        Images an attribute at the most.
    n_components : int
        Dimensions of the PLS projection.
    """

    n_train: int = 2048
    n_valid: int = 6144
    n_components: int = 8


@dataclass(frozen=True, kw_only=True)
class AuditRequest(Request):
    """What an audit is asked: what every study is asked (`Request`), of one network.

    Attributes
    ----------
    network : str
        Specification of the network, as for `fusiform.networks.load_network`.
    """

    network: str


def _check(name: str, value: Any, kind: Any, source: str) -> None:
    if NoneType in get_args(kind):
        if value is None:
            return
        (kind,) = (each for each in get_args(kind) if each is not NoneType)
    if kind is bool:
        good, wants = isinstance(value, bool), "true or false"
    elif kind is int:
        good, wants = isinstance(value, int) and not isinstance(value, bool), "a whole number"
        if good and name != "seed":
            good, wants = value >= 1, "a whole number of at least 1"
    elif kind is float:
        good = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
        wants = "a number above 0"
    elif get_origin(kind) is tuple:
        good = isinstance(value, list | tuple) and all(isinstance(v, str) for v in value)
        wants = "a list of names"
        kind = get_args(kind)[0]
    else:
        good, wants = isinstance(value, str), "a text"
    if not good:
        raise SpecError(f"The option '{name}' in {source} must be {wants}; got {value!r}.")
    if get_origin(kind) is Literal:
        for word in [value] if isinstance(value, str) else value:
            if word not in get_args(kind):
                raise SpecError(
                    f"The option '{name}' in {source} cannot be '{word}'; {nearest(word, get_args(kind))}"
                )
