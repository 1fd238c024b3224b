"""The page of a study of attribution."""

from fusiform.report._build import Figures
from fusiform.report._cards import network_card
from fusiform.report._parts import Page
from fusiform.report.attribution import _answer, _faithful, _maps, _rest, _truth
from fusiform.report.attribution._material import read_material
from fusiform.report.attribution._summary import cautions, key_figures, sentences
from fusiform.runs import Run

__all__ = ["page"]


def page(run: Run) -> Page:
    """Gather the page of a study of attribution from its run folder."""
    material = read_material(run)
    figures: Figures = {}
    sections = [
        _answer.answer(material, figures),
        _truth.truth(material, figures),
        _faithful.curves(material, figures),
        _faithful.inpainting(material, figures),
        _faithful.sanity(material, figures),
        _truth.pointing(material, figures),
        _maps.sheet(material),
        _maps.canonical(material, figures),
        _rest.detail(material, figures),
        _answer.findings(material),
        _rest.cost(material, figures),
        _rest.left_out(material),
        _rest.settings(material),
    ]
    subjects, skipped = _rest.networks(material), _rest.skipped(material)
    names = material.names or [str(card.get("name", "the network")) for card in material.cards]
    who = names[0] if len(names) == 1 else f"{len(names)} networks" if names else "the network"
    after = [
        ("faces", "Example faces"),
        (skipped.id, skipped.title),
        ("data", "Data card"),
        ("asked", "What was asked"),
    ]
    before = [("summary", "Summary"), ("cautions", "Read with care"), (subjects.id, subjects.title)]
    return Page(
        template="attribution.html.j2",
        title=f"Which maps of {who} are to be trusted?",
        kicker="Study of attribution",
        summary=sentences(material),
        key_figures=key_figures(material),
        contents=[*before, *((s.id, s.title) for s in sections), *after],
        values={
            "sections": sections,
            "cautions": cautions(material),
            "subjects": subjects,
            "left_images": skipped,
            "networks": [network_card(card) for card in material.cards],
        },
        figures=figures,
    )
