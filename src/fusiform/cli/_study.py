import typer

from fusiform.cli._study_attribution import attribution
from fusiform.cli._study_dissection import dissection
from fusiform.cli._study_expressivity import expressivity
from fusiform.cli._study_layers import layers
from fusiform.cli._study_planted_bias import planted_bias

study = typer.Typer(
    help="Repeat a published study on your own networks and faces.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
study.command("attribution", short_help="Whether maps of where a decision looks are to be trusted.")(
    attribution
)
study.command("dissection", short_help="What each unit detects: units paired with facial concepts.")(
    dissection
)
study.command("expressivity", short_help="How much features say about attributes, by mutual information.")(
    expressivity
)
study.command("layers", short_help="What each layer, channel and neuron knows.")(layers)
study.command("planted-bias", short_help="Whether dissection finds a bias planted in the training.")(
    planted_bias
)
