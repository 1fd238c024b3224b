"""The page of a study of expressivity."""

from fusiform.report._build import Figures
from fusiform.report._cards import network_card
from fusiform.report._format import count, missing
from fusiform.report._parts import Block, Page, Section, table
from fusiform.report.expressivity import _attributes, _curves, _training, _trust
from fusiform.report.expressivity._material import Material, read_material
from fusiform.report.expressivity._summary import cautions, key_figures, sentences
from fusiform.runs import Run

__all__ = ["page"]


def page(run: Run) -> Page:
    """Gather the page of a study of expressivity from its run folder."""
    material = read_material(run)
    figures: Figures = {}
    alone = material.features_only
    sections = [
        _attributes.findings(material),
        _curves.over_layers(material, figures),
        *(
            []
            if alone
            else [_training.over_training(material, figures), _training.compression(material, figures)]
        ),
        _attributes.order(material, figures),
        _attributes.described(material, figures),
        _curves.linear(material, figures),
        _trust.calibration(material, figures),
        _trust.estimators(material, figures),
        _trust.convergence(material, figures),
    ]
    names = material.names or [str(card.get("name", "the network")) for card in material.networks]
    who = names[0] if len(names) == 1 else f"{len(names)} networks" if names else "the network"
    shared = [
        *(
            []
            if alone
            else [("faces", "Example faces"), ("skipped", "Skipped images"), ("networks", "Networks")]
        ),
        ("cautions", "Read with care"),
        ("data", "Data card"),
        ("asked", "What was asked"),
    ]
    return Page(
        template="expressivity.html.j2",
        title="What the features say about attributes"
        if alone
        else f"What the layers of {who} say about attributes",
        kicker="Study of expressivity",
        summary=sentences(material),
        key_figures=key_figures(material),
        contents=[("summary", "Summary"), *((s.id, s.title) for s in sections), *shared],
        values={
            "sections": sections,
            "alone": alone,
            "cautions": cautions(material),
            "networks": [network_card(card) for card in material.networks],
            "layers": _layers(material),
            "problems": material.problems,
            "features": list(material.features.items()),
        },
        figures=figures,
    )


def _layers(material: Material) -> Section:
    listed = material.tables.get("layers")
    blocks = []
    for name, group in listed.groupby("network", sort=False) if listed is not None else []:
        drawn = "channels" if "channels" in group.columns else "z"
        used = "used" if "used" in group.columns else "features"
        rows = [
            [
                (row["depth"], str(row["depth"])),
                str(row["layer"]),
                str(row["kind"]),
                "" if missing(row.get("role")) else str(row["role"]),
                str(row["shape"]),
                (row.get(drawn), count(row.get(drawn))),
                (row.get(used), count(row.get(used))),
            ]
            for row in group.to_dict("records")
        ]
        columns = ["Depth", "Layer", "Kind", "Role", "Shape", "Channels drawn", "Features used"]
        folded = f"{len(rows)} layers of {name}, in forward order"
        blocks.append(Block(table=table(f"Layers of {name}", columns, rows, folded=folded)))
    return Section("layers", "Layers", [], "the run has no table of layers.", blocks)
