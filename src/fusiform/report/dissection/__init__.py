"""The page of a study of dissection."""

from fusiform.report._build import Figures
from fusiform.report._cards import network_card
from fusiform.report._format import missing
from fusiform.report._parts import Block, Page, Section, table
from fusiform.report.dissection import _concepts, _trust, _units
from fusiform.report.dissection._material import Material, read_material
from fusiform.report.dissection._summary import cautions, key_figures, sentences
from fusiform.runs import Run

__all__ = ["page"]

_SHARED = [
    ("faces", "Example faces"),
    ("skipped", "Skipped images"),
    ("networks", "Networks"),
    ("cautions", "Read with care"),
    ("data", "Data card"),
    ("asked", "What was asked"),
]


def page(run: Run) -> Page:
    """Gather the page of a study of dissection from its run folder."""
    material = read_material(run)
    figures: Figures = {}
    sections = [
        _concepts.findings(material),
        _concepts.coverage(material, figures),
        _concepts.regions(material, figures),
        _concepts.concepts(material, figures),
        _units.browser(material),
        _units.disagreements(material),
        _units.best_images(material),
        _trust.bias(material, figures),
        _trust.dictionary(material, figures),
        _trust.rules(material),
    ]
    names = material.names or [str(card.get("name", "the network")) for card in material.networks]
    who = names[0] if len(names) == 1 else f"{len(names)} networks" if names else "the network"
    return Page(
        template="dissection.html.j2",
        title=f"What the units of {who} detect",
        kicker="Study of dissection",
        summary=sentences(material),
        key_figures=key_figures(material),
        contents=[("summary", "Summary"), *((s.id, s.title) for s in sections), *_SHARED],
        values={
            "sections": sections,
            "cautions": cautions(material),
            "networks": [network_card(card) for card in material.networks],
            "layers": _layers(material),
            "problems": material.problems,
            "dictionary_card": list(material.dictionary.items()),
        },
        figures=figures,
    )


def _layers(material: Material) -> Section:
    listed = material.tables.get("layers")
    blocks = []
    for name, group in listed.groupby("network", sort=False) if listed is not None else []:
        units = material.rows("units", str(name))
        dissected = set(units["layer"]) if len(units) else set()
        rows = [
            [
                (row["depth"], str(row["depth"])),
                str(row["layer"]),
                str(row["kind"]),
                "" if missing(row["role"]) else str(row["role"]),
                str(row["shape"]),
                "yes" if row["layer"] in dissected else "",
            ]
            for row in group.to_dict("records")
        ]
        columns = ["Depth", "Layer", "Kind", "Role", "Shape", "Dissected"]
        folded = f"{len(rows)} layers of {name}, in forward order"
        blocks.append(Block(table=table(f"Layers of {name}", columns, rows, folded=folded)))
    return Section("layers", "Layers", [], "the run has no table of layers.", blocks)
