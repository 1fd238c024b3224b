"""The exception tree.

Every error that fusiform raises about something a person gave is a `FusiformError`, so a caller can catch
one class and a command line can print one line instead of a traceback::

    FusiformError
    ├── SpecError (ValueError)       a specification or option that cannot be read
    ├── DataError (ValueError)       images, tables or labels that do not hold what was asked of them
    │   └── ImageError               one image that cannot be read; ``.image_id`` names it
    ├── NetworkError (ValueError)    a network that cannot be built, traced or run
    │   ├── LayerError (KeyError)    a layer name that the network does not have
    │   └── WeightsError             weights that do not fit, or that would have to be unpickled
    ├── TargetError (ValueError)     a target that the network or the batch does not have
    ├── AttributionError (ValueError)   a map that cannot be made of these inputs
    │   └── NotApplicableError       a method that a network or a target does not allow; the text says why
    ├── EvaluationError (ValueError) maps, masks or pairs that cannot be evaluated
    ├── RunError (RuntimeError)      a run folder that cannot be written or continued
    └── MissingDependencyError (ImportError)   an optional package is absent; names the extra

A message says what, what was expected, what came, and what to do.
"""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "AttributionError",
    "DataError",
    "EvaluationError",
    "FusiformError",
    "ImageError",
    "LayerError",
    "MissingDependencyError",
    "NetworkError",
    "NotApplicableError",
    "RunError",
    "SpecError",
    "TargetError",
    "WeightsError",
    "nearest",
]


class FusiformError(Exception):
    """Base of all errors about what a person gave."""

    def __str__(self) -> str:
        # KeyError would show the message's repr.
        return str(self.args[0]) if self.args else ""


class SpecError(FusiformError, ValueError):
    """A specification or an option that cannot be read."""


class DataError(FusiformError, ValueError):
    """Images, tables or labels that do not hold what was asked of them."""


class ImageError(DataError):
    """One image that cannot be read.

    Parameters
    ----------
    image_id : str
        The image's name within its set.
    reason : str
        What is wrong with it, in a few words.
    """

    def __init__(self, image_id: str, reason: str) -> None:
        super().__init__(f"Image '{image_id}' cannot be read: {reason}.")
        self.image_id = image_id
        self.reason = reason


class NetworkError(FusiformError, ValueError):
    """A network that cannot be built, traced or run."""


class LayerError(NetworkError, KeyError):
    """A layer name that the network does not have."""


class WeightsError(NetworkError):
    """Weights that do not fit the architecture, or that would have to be unpickled."""


class TargetError(FusiformError, ValueError):
    """A target that the network or the batch does not have."""


class AttributionError(FusiformError, ValueError):
    """A map that cannot be made of these inputs."""


class NotApplicableError(AttributionError):
    """A method that a network or a target does not allow."""


class EvaluationError(FusiformError, ValueError):
    """Maps, masks or pairs that cannot be evaluated."""


class RunError(FusiformError, RuntimeError):
    """A run folder that cannot be written or continued."""


class MissingDependencyError(FusiformError, ImportError):
    """An optional package is absent."""


def nearest(name: str, known: Iterable[str], *, count: int = 3) -> str:
    """Say which known names are nearest to a name that was not found.

    Parameters
    ----------
    name : str
        What was asked for.
    known : iterable of str
        What there is.
    count : int, default 3
        How many names to offer at the most.

    Returns
    -------
    str
        ``"did you mean 'a' or 'b'?"``, or ``"there are: ..."`` when nothing is near.

    Examples
    --------
    >>> nearest("Smilling", ["Smiling", "Male"])
    "did you mean 'Smiling'?"
    >>> nearest("xyz", ["Smiling", "Male"])
    "there are: 'Smiling', 'Male'"
    """
    names = list(known)
    lowered = {n.lower(): n for n in names}
    close = [lowered[c] for c in get_close_matches(name.lower(), lowered, n=count, cutoff=0.6)]
    if close:
        return "did you mean " + " or ".join(f"'{c}'" for c in close) + "?"
    shown = ", ".join(f"'{n}'" for n in names[:12])
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return f"there are: {shown}{more}" if names else "there are none"
