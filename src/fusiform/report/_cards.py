from collections.abc import Sequence
from typing import Any

import pandas as pd

from fusiform.plotting.tables import skill
from fusiform.report._format import count, large, listing, missing, number
from fusiform.report._material import Material
from fusiform.report._summary import findings
from fusiform.runs import Run

_THIN = 100
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


def key_figures(material: Material) -> list[dict[str, str]]:
    """Give the numbers at the top of the page: label, value, note."""
    run = material.run
    figures = []

    def add(label: str, value: str, note: str = "") -> None:
        figures.append({"label": label, "value": value, "note": note})

    if not missing(run.faces.get("n")):
        people = run.faces.get("n_identities")
        add("Faces", count(run.faces["n"]), f"of {count(people)} people" if people else "")
    if not missing(run.network.get("n_parameters")):
        add("Parameters", large(run.network["n_parameters"]))
    if material.rows is not None:
        listed = f"of {len(material.layers)} listed" if material.layers is not None else ""
        add("Layers probed", str(len(material.probed_layers)), listed)
        asked = material.attributes
        left_out = 0 if asked is None else int((asked["status"] != "probed").sum())
        note = f"{left_out} left out" if left_out else ""
        add("Attributes probed", str(material.rows["attribute"].nunique()), note)
    if material.best is not None:
        best = material.best.assign(skill=skill(material.best["value"], material.best["chance"]))
        top = best.sort_values("skill", ascending=False, kind="stable").iloc[0]
        sign = "R² " if top["metric"] == "r2" else ""
        add("Best known", str(top["attribute"]), f"{sign}{number(top['value'])} at {top['layer']}")
        found = findings(material.best, material.probed_layers)
        compared = found.total - len(found.without_control)
        if compared:
            add("Above random weights", f"{compared - len(found.below_control)} of {compared}", "attributes")
        else:
            add("Above chance", f"{found.total - len(found.below_chance)} of {found.total}", "attributes")
    table = material.verification
    if table is not None and not table["control"].astype(bool).all():
        trained = table[~table["control"].astype(bool)]
        row = trained.iloc[-1]
        add("Verification", number(row["auc"], 3), "area under the ROC curve")
    return figures


def cautions(material: Material) -> list[str]:
    """Say what the numbers of this page do not show."""
    run = material.run
    notes = []
    if run.status != "complete":
        notes.append("This run is not complete: some of its tables are missing or may still grow.")
    if material.synthetic:
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
    if material.rows is not None and not material.people_known:
        notes.append(
            "The set does not say who is shown, so the same person may be among the faces that a read-out was fitted "
            "on and among those it was tested on, and the intervals draw images anew instead of people."
        )
    predicted = _predicted(material)
    notes += [
        f"Not annotated by people but predicted by {by}: {listing(names, most=12)}. Its errors are in these numbers."
        for by, names in predicted.items()
    ]
    thin = _thin(material)
    if thin:
        notes.append(
            f"Thin: {listing(thin, most=12)} {'has' if len(thin) == 1 else 'have'} fewer than {_THIN} test images in "
            "the rarer class. Look at the interval, not at the value."
        )
    if material.rows is not None and not material.has_control:
        notes.append(
            "No random-weights control was measured. A network that was never trained also lets some attributes be "
            "read out, so a value above chance alone does not show that training taught it."
        )
    if material.best is not None:
        found = findings(material.best, material.probed_layers)
        if found.below_chance:
            notes.append(
                f"Not told from chance at the best layer: {listing(found.below_chance, most=12)}. The interval of the "
                "test value reaches down to chance."
            )
    notes.append(
        "That an attribute can be read out of a layer does not show that the network uses it, and a read-out may rest "
        "on something that goes along with the attribute in these faces."
    )
    return notes


def _predicted(material: Material) -> dict[str, list[str]]:
    by: dict[str, list[str]] = {}
    for entry in attribute_cards(material.run):
        if entry.get("predicted_by"):
            by.setdefault(str(entry["predicted_by"]), []).append(str(entry.get("name", "")))
    return by


def attribute_cards(run: Run) -> list[dict[str, Any]]:
    """Give the data card's entries on attributes; none where the card has none."""
    entries = run.faces.get("attributes")
    return [e for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []


def _thin(material: Material) -> list[str]:
    table = material.attributes
    if table is None:
        return []
    rarer = pd.to_numeric(table["rarer_test"])
    thin = table[(table["status"] == "probed") & (rarer < _THIN)]
    return [str(name) for name in thin["attribute"]]


def network_card(run: Run) -> list[tuple[str, Any]]:
    """Give the network card as pairs of key and value, the most asked for first."""
    return _ordered(run.network, _NETWORK_FIRST)


def data_card(run: Run) -> list[tuple[str, Any]]:
    """Give the data card as pairs of key and value, without what has a section of its own."""
    kept = {key: value for key, value in run.faces.items() if key not in _FACES_ELSEWHERE}
    return _ordered(kept, _FACES_FIRST)


def asked_card(run: Run) -> list[tuple[str, Any]]:
    """Give what was asked as pairs of key and value, with words for what was left to the default."""
    defaults = {"attributes": "all", "layers": "the default: block outputs, pools and fully connected layers"}
    asked = {key: defaults.get(key) if value is None else value for key, value in run.request.items()}
    return _ordered(asked, ("study", "command", "network", "faces", "attributes", "layers"))


def _ordered(card: dict[str, Any], first: Sequence[str]) -> list[tuple[str, Any]]:
    keys = [key for key in first if key in card] + [key for key in card if key not in first]
    return [
        (key, card[key]) for key in keys if key in _SAID_WHEN_MISSING or card[key] not in (None, "", [], {})
    ]
