from collections.abc import Callable
from typing import Any

import plotly.graph_objects as go

from fusiform.report._build import Figures, plotted
from fusiform.report._parts import Block
from fusiform.report.layers._material import Material


def per_setup(
    material: Material,
    figures: Figures,
    name: str,
    draw: Callable[..., go.Figure],
    label: str,
    *,
    plot: str | None = None,
    needs: str | None = None,
    **block: Any,
) -> list[Block]:
    """Draw a table once for each of its setups, of those where the column `needs` is known somewhere."""
    return [
        plotted(
            figures,
            plot or name,
            draw(material.tables[name], setup=setup),
            label.format(setup=setup),
            setup=setup,
            **({"title": setup} | block),
        )
        for setup in material.setups_of(name)
        if needs is None
        or material.tables[name].loc[material.tables[name]["setup"] == setup, needs].notna().any()
    ]
