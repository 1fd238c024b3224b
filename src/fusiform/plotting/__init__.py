"""From tidy tables to plotly figures.

Every function takes the table a measure returned, never a network or faces, and gives a
`plotly.graph_objects.Figure` that a notebook shows as it is and that `fusiform.report` puts into its page.

* `accuracy_over_depth`: one line an attribute over the layers, with control, chance and interval.
* `layer_attribute_heatmap`: layers by attributes, coloured by how far above chance.
* `best_layers`: the best layer of every attribute as dots with intervals.
* `example_faces`: a grid of images.

`contact_sheet` draws many images on one page, as a picture for a file instead.

What is drawn is selected by `fusiform.plotting.tables`; colours and the figures' look are in
`fusiform.plotting.style`.
"""

from fusiform.plotting import style, tables
from fusiform.plotting._best import best_layers
from fusiform.plotting._contact_sheet import contact_sheet
from fusiform.plotting._depth import accuracy_over_depth
from fusiform.plotting._faces import example_faces
from fusiform.plotting._heatmap import layer_attribute_heatmap

__all__ = [
    "accuracy_over_depth",
    "best_layers",
    "contact_sheet",
    "example_faces",
    "layer_attribute_heatmap",
    "style",
    "tables",
]
