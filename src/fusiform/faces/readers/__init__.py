"""Readers of face data sets, one small file a layout.

A reader is a function from a path (or nothing) and keyword options to a `FaceSet`, registered under its scheme
by the decorator `reader`. Every module of this package is loaded, so a new file is all that a new layout needs::

    @reader("mine", example="PATH")
    def open_mine(path: Path, *, split: str | None = None) -> FaceSet:
        ...
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_type_hints

from fusiform.errors import SpecError
from fusiform.faces._face_set import FaceSet

__all__ = ["READERS", "Reader", "reader"]

_WORDS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
Opener = TypeVar("Opener", bound=Callable[..., FaceSet])


@dataclass(frozen=True)
class Reader:
    """A registered reader.

    Parameters
    ----------
    scheme : str
        What stands before the colon of a spec.
    open : callable
        Path and options to a face set.
    example : str
        What a spec of this scheme looks like after the colon.
    needs_path : bool
        Whether the function takes a path.
    options : dict of str to type
        Keyword options and their types.

    Examples
    --------
    >>> sorted(READERS["imdbwiki"].options)
    ['images', 'min_score', 'single_face']
    """

    scheme: str
    open: Callable[..., FaceSet]
    example: str
    needs_path: bool
    options: dict[str, Any] = field(default_factory=dict)

    def convert(self, name: str, value: Any) -> Any:
        """An option's value in its type, from text or as it is.

        Parameters
        ----------
        name : str
            The option.
        value : Any
            Text from a spec, or a value given as keyword.

        Returns
        -------
        Any
            The value; lists are tuples of str.

        Raises
        ------
        SpecError
            If it cannot be read.

        Examples
        --------
        >>> READERS["synthetic"].convert("n", "8")
        8
        >>> READERS["imdbwiki"].convert("single_face", "yes")
        True
        """
        wanted = str(self.options[name])
        if "tuple" in wanted:
            items = value.split(",") if isinstance(value, str) else list(value)
            return tuple(str(item) for item in items if str(item))
        if "int" in wanted:
            try:
                number = int(value)
            except (TypeError, ValueError):
                number = None
            if number is None or isinstance(value, bool) or (isinstance(value, float) and number != value):
                raise SpecError(
                    f"The option '{name}' of '{self.scheme}' must be a whole number; got {value!r}."
                )
            return number
        if "bool" in wanted:
            word = str(value).lower()
            if word not in _WORDS:
                raise SpecError(f"The option '{name}' of '{self.scheme}' must be yes or no; got {value!r}.")
            return _WORDS[word]
        if "float" in wanted:
            try:
                return float(value)
            except (TypeError, ValueError):
                raise SpecError(
                    f"The option '{name}' of '{self.scheme}' must be a number; got {value!r}."
                ) from None
        return str(value)


READERS: dict[str, Reader] = {}
"""All readers by scheme."""


def reader(scheme: str, *, example: str = "") -> Callable[[Opener], Opener]:
    """Register a function as the reader of a scheme.

    Parameters
    ----------
    scheme : str
        What stands before the colon of a spec.
    example : str, default ""
        What a spec looks like after the colon; for error messages.

    Returns
    -------
    callable
        The decorator; it returns the function unchanged. The function's keyword-only parameters, annotated
        ``int``, ``float``, ``bool``, ``str`` or ``tuple[str, ...]`` (or None), are the scheme's options.

    Raises
    ------
    SpecError
        If the scheme is taken.

    Examples
    --------
    >>> reader("table")(lambda path: None)
    Traceback (most recent call last):
    ...
    fusiform.errors.SpecError: The scheme 'table' of faces is taken by fusiform.faces.readers.table.
    """

    def register(function: Opener) -> Opener:
        if scheme in READERS:
            taken = READERS[scheme].open.__module__
            raise SpecError(f"The scheme '{scheme}' of faces is taken by {taken}.")
        parameters: Sequence[inspect.Parameter] = list(inspect.signature(function).parameters.values())
        hints = get_type_hints(function)
        READERS[scheme] = Reader(
            scheme=scheme,
            open=function,
            example=example,
            needs_path=any(p.kind is not p.KEYWORD_ONLY for p in parameters),
            options={p.name: hints.get(p.name, str) for p in parameters if p.kind is p.KEYWORD_ONLY},
        )
        return function

    return register


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
