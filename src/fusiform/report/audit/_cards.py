import pandas as pd

from fusiform.plotting.tables import skill
from fusiform.report._cards import cautions_on_faces
from fusiform.report._format import count, large, listing, missing, number
from fusiform.report.audit._material import Material
from fusiform.report.audit._summary import findings

_THIN = 100


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
    notes = cautions_on_faces(material.run, probed=material.rows is not None)
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


def _thin(material: Material) -> list[str]:
    table = material.attributes
    if table is None:
        return []
    rarer = pd.to_numeric(table["rarer_test"])
    thin = table[(table["status"] == "probed") & (rarer < _THIN)]
    return [str(name) for name in thin["attribute"]]
