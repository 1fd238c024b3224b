from collections.abc import Sequence
from typing import Any

from fusiform.report._format import count, listing, missing, scalar
from fusiform.runs import Run

_NETWORK_FIRST = (
    *("name", "description", "architecture", "n_parameters", "n_layers", "input_size", "channels"),
    *("value_range", "mean", "std", "alignment", "head", "threshold", "classes", "licence", "paper"),
    *("weights_digest", "digest"),
)
_FACES_FIRST = (
    *("name", "spec", "note", "n", "n_identities", "images_per_identity", "size", "alignment", "n_skipped"),
    *("provenance", "digest"),
)
# Worth saying that they are not known; of other keys a missing value says nothing.
_SAID_WHEN_MISSING = {"licence", "paper", "alignment", "threshold"}
# Shown in places of their own.
_FACES_ELSEWHERE = {"confounds", "attributes", "skipped"}


def is_synthetic(run: Run) -> bool:
    """Whether the faces were drawn, so that nobody is shown."""
    provenance = run.faces.get("provenance")
    if isinstance(provenance, dict) and "synthetic" in provenance:
        return bool(provenance["synthetic"])
    return str(run.faces.get("spec") or run.request.get("faces", "")).startswith("synthetic")


def people_known(run: Run) -> bool:
    """Whether it is known who is shown, so that splits and intervals can keep people together."""
    return bool(run.faces.get("n_identities"))


def cautions_on_faces(run: Run, *, probed: bool) -> list[str]:
    """Say what the faces and their labels do not let the page show, whatever the study."""
    notes = []
    if run.status != "complete":
        notes.append("This run is not complete: some of its tables are missing or may still grow.")
    if is_synthetic(run):
        notes.append(
            "The faces are synthetic: they were drawn by a renderer, show nobody, and are simpler than photographs. "
            "What holds for them need not hold for photographs."
        )
    else:
        notes.append(
            "The people shown may be in the network's training set. A network may know more about people it was "
            "trained on than about others; the read-outs are tested on people they were not fitted on, but the "
            "network itself may have seen them."
        )
    if probed and not people_known(run):
        notes.append(
            "The set does not say who is shown, so the same person may be among the faces that a read-out was fitted "
            "on and among those it was tested on, and the intervals draw images anew instead of people."
        )
    notes += [
        f"Not annotated by people but predicted by {by}: {listing(names, most=12)}. Its errors are in these numbers."
        for by, names in _predicted(run).items()
    ]
    return notes


def _predicted(run: Run) -> dict[str, list[str]]:
    by: dict[str, list[str]] = {}
    for entry in attribute_cards(run):
        if entry.get("predicted_by"):
            by.setdefault(str(entry["predicted_by"]), []).append(str(entry.get("name", "")))
    return by


def attribute_cards(run: Run) -> list[dict[str, Any]]:
    """Give the data card's entries on attributes; none where the card has none."""
    entries = run.faces.get("attributes")
    return [e for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []


def network_card(card: dict[str, Any]) -> list[tuple[str, Any]]:
    """Give a network card as pairs of key and value, the most asked for first."""
    return _ordered(card, _NETWORK_FIRST)


def data_card(run: Run) -> list[tuple[str, Any]]:
    """Give the data card as pairs of key and value, without what has a section of its own."""
    kept = {key: value for key, value in run.faces.items() if key not in _FACES_ELSEWHERE}
    return _ordered(kept, _FACES_FIRST)


def asked_card(run: Run) -> list[tuple[str, Any]]:
    """Give what was asked as pairs of key and value, with words for what was left to the default."""
    defaults = {"attributes": "all", "layers": "the default: block outputs, pools and fully connected layers"}
    asked = {key: defaults.get(key) if value is None else value for key, value in run.request.items()}
    return _ordered(asked, ("study", "command", "network", "networks", "faces", "attributes", "layers"))


def frequency(entry: dict[str, Any]) -> dict[str, Any]:
    """Give one attribute of the data card: how often each value occurs."""
    classes = entry.get("classes")
    values = ""
    if isinstance(classes, dict):
        values = ", ".join(f"{name} {count(n)}" for name, n in classes.items())
        more = int(entry.get("n_classes") or 0) - len(classes)
        values += f" and {more} more" if more > 0 else ""
    elif entry.get("kind") == "identity" and entry.get("n_classes"):
        values = f"{count(entry['n_classes'])} people"
    elif not missing(entry.get("minimum")):
        unit = f" {entry['unit']}" if entry.get("unit") else ""
        low, middle, high = (scalar(float(entry[key])) for key in ("minimum", "median", "maximum"))
        values = f"{low} to {high}{unit}, median {middle}"
    wanted = ("name", "kind", "share", "n_known", "n_missing", "predicted_by", "description")
    return {key: entry.get(key) for key in wanted} | {"values": values}


def _ordered(card: dict[str, Any], first: Sequence[str]) -> list[tuple[str, Any]]:
    keys = [key for key in first if key in card] + [key for key in card if key not in first]
    return [
        (key, card[key]) for key in keys if key in _SAID_WHEN_MISSING or card[key] not in (None, "", [], {})
    ]
