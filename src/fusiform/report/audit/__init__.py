"""The page of an audit."""

from fusiform.report._parts import Page
from fusiform.report.audit._cards import key_figures
from fusiform.report.audit._material import read_material
from fusiform.report.audit._sections import CONTENTS, context
from fusiform.report.audit._summary import sentences
from fusiform.runs import Run

__all__ = ["page"]


def page(run: Run) -> Page:
    """Gather the page of an audit from its run folder."""
    material = read_material(run)
    values, figures = context(material)
    name = run.network.get("name", "the network")
    return Page(
        template="audit.html.j2",
        title=f"What {name} knows about faces",
        kicker="Audit of a face network",
        summary=sentences(material),
        key_figures=key_figures(material),
        contents=CONTENTS,
        values=values,
        figures=figures,
        single=[f"depth-{kind}" for kind in material.kinds if len(material.probed_layers) == 1],
    )
