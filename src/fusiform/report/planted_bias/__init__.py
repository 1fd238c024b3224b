"""The page of a study of planted bias."""

from fusiform.report._build import Figures
from fusiform.report._cards import network_card
from fusiform.report._parts import Block, Page, Section, table
from fusiform.report.planted_bias import _sections
from fusiform.report.planted_bias._material import Material, read_material
from fusiform.report.planted_bias._summary import cautions, key_figures, sentences
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
    """Gather the page of a study of planted bias from its run folder."""
    material = read_material(run)
    figures: Figures = {}
    sections = [
        _sections.findings(material),
        _sections.design(material),
        _sections.accuracy(material, figures),
        _sections.regions(material, figures),
        _sections.grey(material, figures),
        _sections.top(material, figures),
    ]
    return Page(
        template="planted_bias.html.j2",
        title="Does dissection find a planted bias?",
        kicker="Study of planted bias",
        summary=sentences(material),
        key_figures=key_figures(material),
        contents=[("summary", "Summary"), *((s.id, s.title) for s in sections), *_SHARED],
        values={
            "sections": sections,
            "cautions": cautions(material),
            "networks": [network_card(run.network)] if run.network else [],
            "layers": _layers(material),
            "problems": material.problems,
            "dictionary_card": list(material.dictionary.items()),
        },
        figures=figures,
    )


def _layers(material: Material) -> Section:
    rows = [[str(stage), str(layer)] for stage, layer in material.stages.items()]
    made = table("Second-to-last convolution of every stage", ["Stage", "Layer"], rows)
    blocks = [Block(table=made)] if rows else []
    return Section("layers", "Layers", [], "the run does not name the layers of its stages.", blocks)
