"""From tidy tables to plotly figures.

Every function takes the table a measure returned, never a network or faces, and gives a
`plotly.graph_objects.Figure` that a notebook shows as it is and that `fusiform.report` puts into its page.

* `accuracy_over_depth`: one line an attribute over the layers, with control, chance and interval.
* `layer_attribute_heatmap`: layers by attributes, coloured by how far above chance.
* `best_layers`: the best layer of every attribute as dots with intervals.
* `example_faces`: a grid of images.

Of a study of layers:

* `units_over_depth`, `unit_panels`: an attribute over the layers, read from layer, channels and neurons.
* `setups_over_depth`: networks and their random-weights controls, mean over attributes.
* `families_over_depth`: attributes coloured by family.
* `sawtooth_over_depth`, `sawtooth_dips`: what residual branches lose.
* `vip_examples`, `vip_correlations`: VIP beside what single neurons know.
* `best_units`, `average_accuracies`: best layer, channel and neuron beside a supervised baseline.
* `ablation_drops`: neurons set to zero.
* `selectivity_over_depth`, `confounded_values`, `geometry_over_depth`: controls.
* `gained_depths`, `branching_depths`, `consistency_over_depth`: uses.

Of a study of expressivity:

* `expressivity_over_layers`, `expressivity_by_attribute`: mutual information of attributes with the features.
* `expressivity_over_training`, `expressivity_decay`, `expressivity_compression`: its course over training.
* `expressivity_order`, `expressivity_share`, `attribute_histograms`: which attributes, and what of their entropy.
* `expressivity_and_error`: beside the errors of linear probes.
* `expressivity_by_estimator`, `expressivity_calibration`, `critic_curves`: whether it can be trusted.

Of a study of dissection:

* `dissection_coverage`: interpretable units over the layers.
* `dissection_regions`, `dissection_concepts`: units per region, kind and concept, with the global groups they share.
* `dissection_bias`: which local concepts share units with which global groups.
* `dictionary_histogram`: images per concept of a Face Dictionary.

Of a study of planted bias:

* `planted_counts`: units, regions, accuracies and top images over the strength of the bias.
* `planted_probabilities`, `planted_biased`: what units of every stage prefer.

Of a study of attribution:

* `attribution_matrix`: methods by measures, coloured by rank, beside maps that know nothing of the network.
* `attribution_dots`, `attribution_grid`: values with intervals, and values by part of the face, of every method.
* `attribution_curves`, `attribution_sanity`: deletion and insertion; how alike maps stay while weights are drawn anew.
* `draw_canonical`: a map on the outline of the canonical face.

Of attribution maps:

* `draw_map`, `map_scale`, `draw_map_scale`, `map_sheet`: signed maps over their images, as pictures.
* `explained_scores`, `explained_parts`: a similarity beside its threshold, and what parts of the face contribute.

`contact_sheet` draws many images on one page, as a picture for a file instead.

What is drawn is selected by `fusiform.plotting.tables`; colours and the figures' look are in
`fusiform.plotting.style`.
"""

from fusiform.plotting import style, tables
from fusiform.plotting._attribution_explain import explained_parts, explained_scores
from fusiform.plotting._attribution_maps import draw_map, draw_map_scale, map_scale, map_sheet
from fusiform.plotting._attribution_study import attribution_grid, attribution_matrix
from fusiform.plotting._attribution_study_dots import attribution_dots
from fusiform.plotting._attribution_study_lines import attribution_curves, attribution_sanity
from fusiform.plotting._attribution_study_maps import draw_canonical
from fusiform.plotting._best import best_layers
from fusiform.plotting._best_units import average_accuracies, best_units
from fusiform.plotting._conditions import confounded_values, geometry_over_depth, selectivity_over_depth
from fusiform.plotting._contact_sheet import contact_sheet
from fusiform.plotting._depth import accuracy_over_depth
from fusiform.plotting._dissection import dissection_coverage, dissection_regions
from fusiform.plotting._dissection_bias import dissection_bias
from fusiform.plotting._dissection_concepts import dictionary_histogram, dissection_concepts
from fusiform.plotting._experiments import (
    ablation_drops,
    branching_depths,
    consistency_over_depth,
    gained_depths,
)
from fusiform.plotting._expressivity import expressivity_by_attribute, expressivity_over_layers
from fusiform.plotting._expressivity_course import expressivity_over_training
from fusiform.plotting._expressivity_decay import expressivity_compression, expressivity_decay
from fusiform.plotting._expressivity_errors import expressivity_and_error
from fusiform.plotting._expressivity_order import (
    attribute_histograms,
    expressivity_order,
    expressivity_share,
)
from fusiform.plotting._expressivity_trust import (
    critic_curves,
    expressivity_by_estimator,
    expressivity_calibration,
)
from fusiform.plotting._faces import example_faces
from fusiform.plotting._families import families_over_depth
from fusiform.plotting._heatmap import layer_attribute_heatmap
from fusiform.plotting._planted_bias import planted_counts
from fusiform.plotting._planted_bias_units import planted_biased, planted_probabilities
from fusiform.plotting._sawtooth import sawtooth_dips, sawtooth_over_depth
from fusiform.plotting._setups import setups_over_depth
from fusiform.plotting._units import unit_panels, units_over_depth
from fusiform.plotting._vip import vip_correlations, vip_examples

__all__ = [
    "ablation_drops",
    "accuracy_over_depth",
    "attribute_histograms",
    "attribution_curves",
    "attribution_dots",
    "attribution_grid",
    "attribution_matrix",
    "attribution_sanity",
    "average_accuracies",
    "best_layers",
    "best_units",
    "branching_depths",
    "confounded_values",
    "consistency_over_depth",
    "contact_sheet",
    "critic_curves",
    "dictionary_histogram",
    "dissection_bias",
    "dissection_concepts",
    "dissection_coverage",
    "dissection_regions",
    "draw_canonical",
    "draw_map",
    "draw_map_scale",
    "example_faces",
    "explained_parts",
    "explained_scores",
    "expressivity_and_error",
    "expressivity_by_attribute",
    "expressivity_by_estimator",
    "expressivity_calibration",
    "expressivity_compression",
    "expressivity_decay",
    "expressivity_order",
    "expressivity_over_layers",
    "expressivity_over_training",
    "expressivity_share",
    "families_over_depth",
    "gained_depths",
    "geometry_over_depth",
    "layer_attribute_heatmap",
    "map_scale",
    "map_sheet",
    "planted_biased",
    "planted_counts",
    "planted_probabilities",
    "sawtooth_dips",
    "sawtooth_over_depth",
    "selectivity_over_depth",
    "setups_over_depth",
    "style",
    "tables",
    "unit_panels",
    "units_over_depth",
    "vip_correlations",
    "vip_examples",
]
