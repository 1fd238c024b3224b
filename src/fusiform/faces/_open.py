import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from fusiform.errors import DataError, SpecError, nearest
from fusiform.faces._attribute import KINDS
from fusiform.faces._face_set import FaceSet
from fusiform.faces._join import JOIN, open_joined
from fusiform.faces.readers import READERS, Reader

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9_+-]*)(?=[:?]|$)")


def open_faces(spec: str, **options: Any) -> FaceSet:
    """Open a set of faces by a specification.

    Nothing is downloaded, unpacked or decoded; images are read when asked for.

    Parameters
    ----------
    spec : str
        ``"scheme:path?option=value&option=value"`` or ``"synthetic?n=512&seed=0"``. Schemes are ``synthetic``;
        ``folder`` and ``table`` for sets of one's own; ``agedb``, ``aus`` (action units), ``celeba``,
        ``celebamaskhq``, ``cfp``, ``fairface``, ``fer2013``, ``huggingface``, ``ijbc``, ``imdbwiki``, ``lfw``,
        ``pointing04``, ``scut``, ``sklearn_lfw``, ``sklearn_olivetti``, ``utkface``, ``vggface2`` and ``vpnl`` for
        published ones. The path may be relative or begin with ``~``;
        in it, ``?``, ``&`` and ``%`` are written ``%3F``, ``%26`` and ``%25``. Lists are separated by commas.
        ``"join:SPEC|SPEC|..."`` opens several and joins them, as `join_faces` does, with its options at the end:
        ``"join:lfw:A|celeba:B|same_people=yes|name=both"``; in paths ``|`` is then written ``%7C``.
    **options
        The same options as keywords; they win over the spec's. For tables also
        ``kinds={"age": "continuous", "note": "ignore"}``.

    Returns
    -------
    FaceSet
        The set; its `spec` holds the keywords too.

    Raises
    ------
    SpecError
        If the scheme or an option is not known, or a value cannot be read.
    DataError
        If there is no such path, or it does not hold what the scheme expects.

    Examples
    --------
    >>> open_faces("foldr:faces")
    Traceback (most recent call last):
    ...
    fusiform.errors.SpecError: There is no scheme 'foldr' for faces; did you mean 'folder'?
    """
    if isinstance(spec, str) and spec.startswith(JOIN):
        return open_joined(spec, open_faces, **options)
    reader, path, given = _parse(spec)
    kinds = options.pop("kinds", None)
    if kinds is not None:
        options = {**_kinds_as_options(kinds), **options}
    given |= {name: value for name, value in options.items() if value is not None}
    known = [*reader.options, "kinds"] if "continuous" in reader.options else list(reader.options)
    for name in given:
        if name not in reader.options:
            raise SpecError(
                f"Faces of scheme '{reader.scheme}' have no option '{name}'; {nearest(name, known)}"
            )
    values = {name: reader.convert(name, value) for name, value in given.items()}
    faces = reader.open(path, **values) if path is not None else reader.open(**values)
    return faces._derived(spec=_spec(reader.scheme, spec, values))


def _parse(spec: str) -> tuple[Reader, Path | None, dict[str, Any]]:
    if not isinstance(spec, str):
        raise SpecError(
            f"Faces are given as a text such as 'folder:PATH' or 'synthetic?n=512'; got {spec!r}."
        )
    head, _, query = spec.partition("?")
    scheme = _SCHEME.match(head)
    if scheme is None or (":" not in head and scheme.group(1) not in READERS):
        hint = "table" if head.lower().endswith((".csv", ".tsv", ".parquet")) else "folder"
        if scheme is None or Path(head).expanduser().exists() or "/" in head or "." in head:
            raise SpecError(
                f"Faces are given as 'scheme:path', with one of the schemes {', '.join(READERS)}; got '{spec}'. Did you "
                f"mean '{hint}:{spec}'?"
            )
    name = scheme.group(1)
    if name not in READERS:
        raise SpecError(f"There is no scheme '{name}' for faces; {nearest(name, READERS)}")
    reader = READERS[name]
    rest = head[len(name) + 1 :]
    if not reader.needs_path:
        if rest:
            raise SpecError(
                f"Faces of scheme '{name}' take no path; got '{rest}'. Options follow '?': '{name}?n=512'."
            )
        return reader, None, _query(query, spec)
    if not rest:
        raise SpecError(
            f"Faces of scheme '{name}' need a path, as in '{name}:{reader.example}'; got '{spec}'."
        )
    return reader, _existing(rest), _query(query, spec)


def _query(query: str, spec: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for item in filter(None, query.split("&")):
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise SpecError(
                f"Options are written 'name=value' and separated by '&'; got '{item}' in '{spec}'."
            )
        if unquote(name) in options:
            raise SpecError(f"The option '{unquote(name)}' is given twice in '{spec}'.")
        options[unquote(name)] = unquote(value)
    return options


def _existing(text: str) -> Path:
    # A path that is there as it was typed needs no decoding ("100%25" may be a folder's very name).
    try:
        for path in (Path(text).expanduser(), Path(unquote(text)).expanduser()):
            if path.exists():
                return path
        folder = path
        while not folder.exists():
            missing, folder = folder, folder.parent
        there = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    except (OSError, RuntimeError) as error:  # no permission, too long a name; the home of nobody
        raise DataError(f"The path '{text[:200]}' cannot be read: {error.args[-1]}.") from error
    raise DataError(
        f"There is no '{path}': '{folder}' has no '{missing.name}'; {nearest(missing.name, there)}"
    )


def _kinds_as_options(kinds: Mapping[str, str]) -> dict[str, list[str]]:
    options: dict[str, list[str]] = {}
    for column, kind in kinds.items():
        if kind not in (*KINDS, "ignore"):
            raise SpecError(
                f"The kind of '{column}' must be one of {', '.join(KINDS)} or ignore; got '{kind}'."
            )
        options.setdefault(kind, []).append(column)
    return options


def _spec(scheme: str, spec: str, values: Mapping[str, Any]) -> str:
    """The spec with all options in it, so that a run folder's request can be repeated."""
    head = spec.partition("?")[0]
    texts = {k: ",".join(v) if isinstance(v, tuple) else str(v) for k, v in values.items()}
    query = "&".join(f"{k}={quote(v, safe=',/~: ')}" for k, v in texts.items())
    return f"{head}?{query}" if query else head
