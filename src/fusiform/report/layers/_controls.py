"""Sections on controls, experiments and uses: tables 5.1 and 5.4, and what goes beyond the thesis."""

import pandas as pd

from fusiform.plotting import (
    ablation_drops,
    branching_depths,
    confounded_values,
    consistency_over_depth,
    gained_depths,
    geometry_over_depth,
    selectivity_over_depth,
)
from fusiform.plotting._conditions import best_confounded
from fusiform.plotting._experiments import mean_drops
from fusiform.plotting.style import UNIT_NAMES
from fusiform.report._build import Figures, absent, interval_cell, value_cell
from fusiform.report._format import count, missing, percent, signed
from fusiform.report._parts import Block, Section, Table, table
from fusiform.report.layers._build import per_setup
from fusiform.report.layers._material import Material


def ablation(material: Material, figures: Figures) -> Section:
    """Table 5.4: neurons set to zero."""
    blocks = per_setup(
        material,
        figures,
        "ablation",
        ablation_drops,
        "Mean drop of later layers of {setup} by share of neurons zeroed. The numbers are in the table below.",
        detail="mean over attributes with classes and over later layers; bars: standard deviation over attributes",
    )
    blocks += [
        Block(setup=setup, table=_drop_table(material.tables["ablation"], setup))
        for setup in material.setups_of("ablation")
    ]
    return Section(
        "ablation",
        "Neurons set to zero",
        [
            "The neurons of one layer that matter most to an attribute are set to zero, and later layers are measured again "
            "with the probes as they were fitted (table 5.4). If “highest VIP” costs little more than as many random ones, "
            "what they hold is held elsewhere too. Measured quantities are left out of these means."
        ],
        absent(material, "ablation", "the run has no table of ablations."),
        blocks,
    )


def _drop_table(found: pd.DataFrame, setup: str) -> Table:
    drops = mean_drops(found, setup)
    rows = [
        [
            str(row["masked_layer"]),
            (row["masked_depth"], str(int(row["masked_depth"]))),
            {"top": "highest VIP", "lowest": "lowest VIP"}.get(row["selection"], str(row["selection"])),
            (row["share"], f"{100 * row['share']:g}%"),
            UNIT_NAMES.get(row["unit_kind"], str(row["unit_kind"])),
            (row["drop"], signed(row["drop"], 3)),
            value_cell(row["sd"], 3),
            (row["n"], count(row["n"])),
        ]
        for row in drops.to_dict("records")
    ]
    columns = [
        "Layer masked",
        "Depth",
        "Neurons zeroed",
        "Share",
        "Read from",
        "Drop",
        "Std over attributes",
        "Attributes",
    ]
    return table(
        f"Drops of later layers, {setup}", columns, rows, folded=f"The {len(rows)} numbers behind this figure"
    )


def selectivity(material: Material, figures: Figures) -> Section:
    """Shuffled labels as a control of the probe itself."""
    return Section(
        "selectivity",
        "Selectivity",
        [
            "The same probes fitted to shuffled labels. They should find nothing; what is found with true labels beyond that "
            "is in the layer and not in the probe's power to memorise. Thin lines are attributes, thick ones their means."
        ],
        absent(material, "selectivity", "the run has no table of selectivity."),
        per_setup(
            material,
            figures,
            "selectivity",
            selectivity_over_depth,
            "True labels beside shuffled ones over the layers of {setup}.",
            detail="entire layers, test faces",
        ),
    )


def confounded(material: Material, figures: Figures) -> Section:
    """Attributes with their strongest associate taken out."""
    blocks = per_setup(
        material,
        figures,
        "confounded",
        confounded_values,
        "Attributes of {setup} before and after their strongest associate was taken out. The numbers are in the table below.",
        detail="at the layer where the attribute is read best as it comes",
    )
    blocks += [
        Block(setup=setup, table=_confounded_table(material.tables["confounded"], setup))
        for setup in material.setups_of("confounded")
    ]
    return Section(
        "confounded",
        "Confounders taken out",
        [
            "Attributes go together: who wears lipstick is seldom male. “Balanced” probes see equally many faces of every "
            "combination. Where there are too few, the attribute is “residualised”: what the confounder predicts is subtracted "
            "and the rest is probed as a number, beside the attribute itself as a number. An attribute that falls to chance "
            "was read through the other."
        ],
        absent(material, "confounds", "the run has no table of confounders."),
        blocks,
    )


def _confounded_table(found: pd.DataFrame, setup: str) -> Table:
    rows = [
        [
            str(row["attribute"]),
            str(row["confounder"]),
            value_cell(row["association"]),
            str(row["treatment"]),
            str(row["layer"]),
            value_cell(row["raw"]),
            value_cell(row["value"]),
            interval_cell(row["lower"], row["upper"]),
            value_cell(row["chance"]),
            (row["n"], count(row["n"])),
        ]
        for row in best_confounded(found, setup).to_dict("records")
    ]
    columns = [
        "Attribute",
        "Without",
        "Association",
        "Treatment",
        "Layer",
        "As it comes",
        "Taken out",
        "95% interval",
    ]
    return table(f"Confounders taken out, {setup}", [*columns, "Chance", "Test faces"], rows)


def depths(material: Material, figures: Figures) -> Section:
    """Depth at which attributes are gained, and at which to branch off."""
    blocks = per_setup(
        material,
        figures,
        "gained",
        gained_depths,
        "Depth at which every attribute of {setup} is gained.",
        needs="relative_depth",
        detail="where it reaches nine tenths of the way from chance to its best",
    )
    blocks += per_setup(
        material,
        figures,
        "branching",
        branching_depths,
        "Best depth to branch every attribute of {setup} off. The numbers are in the table below.",
        needs="relative_depth",
        title="Where to branch off",
        detail="the earliest layer as good as the best; larger dots: the last layer would lose more",
    )
    blocks += [
        Block(setup=setup, table=_branching_table(material.tables["branching"], setup))
        for setup in material.setups_of("branching")
    ]
    return Section(
        "depths",
        "Where attributes are gained, and where to branch off",
        [
            "The depth at which a layer first knows an attribute nearly as well as any layer does, earliest on top. For a network "
            "that shall tell attributes beside identities, a head may branch off at the earliest layer that is as good as the best, "
            "residual branches before their sum left out; an attribute that is nowhere above chance has none. With several "
            "initialisations the dot is their mean and the bar their range."
        ],
        "the run has no tables of depths.",
        blocks,
    )


def _branching_table(found: pd.DataFrame, setup: str) -> Table:
    rows = [
        [
            str(row["attribute"]),
            str(row["network"]),
            "nowhere known" if missing(row["layer"]) else str(row["layer"]),
            value_cell(row["relative_depth"]),
            value_cell(row["value"]),
            value_cell(row["best"]),
            value_cell(row["last"]),
            (row["gain"], signed(row["gain"])),
            (row.get("parameters_share"), percent(row.get("parameters_share"))),
        ]
        for row in found[found["setup"] == setup].to_dict("records")
    ]
    columns = [
        "Attribute",
        "Network",
        "Branch off at",
        "Depth",
        "There",
        "Best layer",
        "Last layer",
        "Gain over the last",
    ]
    return table(
        f"Branching depths, {setup}",
        [*columns, "Parameters up to it"],
        rows,
        folded=f"All {len(rows)} branching depths",
    )


def consistency(material: Material, figures: Figures) -> Section:
    """Manipulated inputs told by attributes that do not fit the person."""
    blocks = per_setup(
        material,
        figures,
        "consistency",
        consistency_over_depth,
        "Area under the ROC curve of telling manipulated inputs from genuine ones, over the layers of {setup}.",
        detail="genuine images of a person against inputs made to pass for the person",
    )
    found = material.tables.get("consistency")
    if found is not None:
        rows = [
            [
                str(row["network"]),
                "none: impostors as they are" if row["attack"] == "none" else str(row["attack"]),
                (row["success"], percent(row["success"])),
                (row["n_genuine"], count(row["n_genuine"])),
                (row["n_manipulated"], count(row["n_manipulated"])),
            ]
            for row in found.drop_duplicates(["network", "attack"]).to_dict("records")
        ]
        columns = ["Network", "Attack", "Accepted by the network", "Genuine", "Manipulated"]
        blocks.append(Block(table=table("How often the network was deceived", columns, rows)))
    return Section(
        "consistency",
        "Manipulated inputs",
        [
            "An input can be changed a little so that the network takes it for someone else. If attributes read at a layer still "
            "tell the old person, they do not fit the claimed one. An area under the ROC curve of 1 catches all, 0.5 none; the "
            "line of unaltered impostors says how far attributes alone tell people apart."
        ],
        absent(material, "consistency", "the run has no table of consistency."),
        blocks,
    )


def geometry(material: Material, figures: Figures) -> Section:
    """Aligned faces beside faces moved at random."""
    return Section(
        "geometry",
        "Aligned and transformed faces",
        [
            "The same faces, aligned and moved by random rotation, scale and shift, probed in the same way. Where the lines meet, "
            "the layer knows the attribute wherever it is in the image. Thin lines are attributes, thick ones their means."
        ],
        absent(material, "geometry", "the run has no table of transformed faces."),
        per_setup(
            material,
            figures,
            "geometry",
            geometry_over_depth,
            "Aligned beside transformed faces over the layers of {setup}.",
            detail="entire layers, test faces",
        ),
    )


def identification(material: Material) -> Section:
    """Table 5.1: how well every network identifies."""
    found = material.tables.get("identification")
    blocks = []
    if found is not None:
        rows = []
        for (setup, metric), group in found.groupby(["setup", "metric"], sort=False):
            several = group["network"].nunique() > 1
            first = group.iloc[0]
            spread = value_cell(group["value"].std(ddof=1) if several else None, 3)
            ends = interval_cell(None, None) if several else interval_cell(first["lower"], first["upper"], 3)
            n, people = int(group["n"].max()), int(group["n_identities"].max())
            runs = int(group["network"].nunique())
            name = str(metric).replace("rank", "rank ")
            line = [value_cell(group["value"].mean(), 3), spread, ends, (runs, str(runs))]
            rows.append([str(setup), name, *line, (n, count(n)), (people, count(people))])
        columns = [
            "Network",
            "Measure",
            "Accuracy",
            "Std",
            "95% interval",
            "Initialisations",
            "Probe images",
            "People",
        ]
        blocks = [Block(table=table("Identification", columns, rows))]
    return Section(
        "identification",
        "Identification",
        [
            "Whom does the network take a face for? One image a person is known to it, and every other image is given the nearest "
            "(table 5.1). With several initialisations the value is their mean, beside its standard deviation."
        ],
        absent(material, "identification", "identification needs people with two images or more."),
        blocks,
    )
