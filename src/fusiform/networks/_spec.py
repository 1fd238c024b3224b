"""Read a network specification such as ``timm:resnet50?weights=PATH&head=embedding``."""

from dataclasses import dataclass
from urllib.parse import unquote

from fusiform.errors import NetworkError, SpecError, nearest
from fusiform.networks._card import NetworkCard

CARD_OPTIONS = ("name", "input", "mean", "std", "channels", "range", "alignment", "head", "threshold")


@dataclass
class Spec:
    """A specification in its parts; loaders take options out of `options` as they use them."""

    text: str
    scheme: str
    target: str
    options: dict[str, str]

    def take(self, key: str) -> str | None:
        """Take an option out, None where it was not given."""
        return self.options.pop(key, None)

    def take_int(self, key: str) -> int | None:
        """Take an option out as a whole number of at least 0."""
        value = self.take(key)
        if value is None:
            return None
        if not value.isdecimal():
            raise SpecError(f"Option '{key}' of network '{self.text}' must be a whole number; got '{value}'.")
        return int(value)

    def finish(self, *known: str) -> None:
        """Complain about options that nobody took; `known` are those there are besides the card's."""
        for key in self.options:
            names = [*known, *CARD_OPTIONS]
            raise SpecError(f"Network '{self.text}' has no option '{key}'; {nearest(key, names, count=2)}")


def parse_spec(text: str) -> Spec:
    """Split ``scheme:target?key=value&key=value``; a text without ``:`` is a name.

    In paths, ``?``, ``&`` and ``%`` are written ``%3F``, ``%26`` and ``%25``, as in specifications of faces.

    Examples
    --------
    >>> spec = parse_spec("timm:resnet50?weights=a/b.pt&head=embedding")
    >>> spec.scheme, spec.target, spec.options
    ('timm', 'resnet50', {'weights': 'a/b.pt', 'head': 'embedding'})
    """
    if not isinstance(text, str) or not text.strip():
        raise SpecError(f"A network is named by a text such as 'demo' or 'timm:resnet50'; got {text!r}.")
    body, _, query = text.strip().partition("?")
    scheme, colon, target = body.partition(":")
    if not colon:
        scheme, target = "", body
    options: dict[str, str] = {}
    for pair in filter(None, query.split("&")):
        key, equals, value = pair.partition("=")
        if not equals or not key or not value:
            raise SpecError(f"Option '{pair}' of network '{text}' is not of the form key=value.")
        if key in options:
            raise SpecError(f"Network '{text}' has the option '{key}' twice.")
        options[key] = unquote(value)
    return Spec(text, scheme, unquote(target), options)


def card_with_options(card: NetworkCard, spec: Spec) -> NetworkCard:
    """Overwrite fields of a card by the options of a specification: ``input=112x96&mean=0.5&channels=bgr`` ..."""
    changes: dict[str, object] = {}
    for key in CARD_OPTIONS:
        value = spec.take(key)
        if value is None:
            continue
        if key == "input":
            changes["input_size"] = size_from(value, spec.text)
        elif key in ("mean", "std", "range"):
            changes["value_range" if key == "range" else key] = _numbers(key, value, spec.text)
        elif key == "threshold":
            changes[key] = _numbers(key, value, spec.text)[0]
        else:
            changes[key] = value
    if changes.get("channels") == "grey" and card.channels != "grey":
        # Three means of an RGB card say nothing about grey.
        for key in ("mean", "std"):
            values: tuple[float, ...] = getattr(card, key)
            changes.setdefault(key, (sum(values) / len(values),))
    try:
        return card.replace(**changes)
    except NetworkError as error:
        raise SpecError(f"Network '{spec.text}': {error}") from error


def size_from(value: str, text: str) -> tuple[int, int]:
    """Read ``112x96`` (height x width), or one number for a square."""
    sides = value.lower().split("x")
    if len(sides) not in (1, 2) or not all(s.isdecimal() and int(s) for s in sides):
        raise SpecError(
            f"Option 'input' of network '{text}' must be heightxwidth, such as 112x96; got '{value}'."
        )
    return int(sides[0]), int(sides[-1])


def _numbers(key: str, value: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(v) for v in value.split(","))
    except ValueError:
        raise SpecError(
            f"Option '{key}' of network '{text}' must be numbers with commas between; got '{value}'."
        ) from None
