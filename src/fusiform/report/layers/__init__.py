"""The page of a study of layers."""

from fusiform.report._build import Figures
from fusiform.report._cards import network_card
from fusiform.report._format import count, missing
from fusiform.report._parts import Block, Page, Section, table
from fusiform.report.layers import _controls, _knows, _units
from fusiform.report.layers._material import Material, read_material
from fusiform.report.layers._summary import cautions, key_figures, sentences
from fusiform.runs import Run

__all__ = ["page"]

_SHARED = [
    ("faces", "Example faces"),
    ("attributes", "Attributes and samples"),
    ("skipped", "Skipped images"),
    ("networks", "Networks"),
    ("cautions", "Read with care"),
    ("data", "Data card"),
    ("asked", "What was asked"),
]


def page(run: Run) -> Page:
    """Gather the page of a study of layers from its run folder."""
    material = read_material(run)
    figures: Figures = {}
    sections = [
        _knows.findings(material),
        _knows.depth(material, figures),
        _knows.compared(material, figures),
        _knows.families(material, figures),
        _knows.sawtooth(material, figures),
        _units.best(material, figures),
        _units.vip(material, figures),
        _controls.ablation(material, figures),
        _controls.selectivity(material, figures),
        _controls.confounded(material, figures),
        _controls.depths(material, figures),
        _controls.consistency(material, figures),
        _controls.geometry(material, figures),
        _controls.identification(material),
    ]
    names = material.setups or [str(card.get("name", "the network")) for card in material.networks]
    who = names[0] if len(names) == 1 else f"{len(names)} networks" if names else "the network"
    return Page(
        template="layers.html.j2",
        title=f"What each layer of {who} knows",
        kicker="Study of layers, channels and neurons",
        summary=sentences(material),
        key_figures=key_figures(material),
        contents=[("summary", "Summary"), *((s.id, s.title) for s in sections), *_SHARED],
        values={
            "sections": sections,
            "cautions": cautions(material),
            "networks": [network_card(card) for card in material.networks],
            "layers": _layers(material),
            "problems": material.problems,
        },
        figures=figures,
    )


def _layers(material: Material) -> Section:
    listed = material.tables.get("layers")
    blocks = []
    for name, group in listed.groupby("network", sort=False) if listed is not None else []:
        probes = material.tables.get("probes")
        probed = set() if probes is None else set(probes.loc[probes["network"] == name, "layer"])
        rows = [
            [
                (row["depth"], str(row["depth"])),
                str(row["layer"]),
                str(row["kind"]),
                "" if missing(row["role"]) else str(row["role"]),
                "" if missing(row["block"]) else str(row["block"]),
                str(row["shape"]),
                (row["features"], count(row["features"])),
                "yes" if row["layer"] in probed else "",
            ]
            for row in group.to_dict("records")
        ]
        columns = ["Depth", "Layer", "Kind", "Role", "Block", "Shape", "Features", "Probed"]
        folded = f"All {len(rows)} layers of {name}, in forward order"
        blocks.append(Block(table=table(f"Layers of {name}", columns, rows, folded=folded)))
    return Section("layers", "Layers", [], "the run has no table of layers.", blocks)
