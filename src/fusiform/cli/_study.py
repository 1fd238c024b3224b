import typer

from fusiform.cli._study_expressivity import expressivity
from fusiform.cli._study_layers import layers

study = typer.Typer(
    help="Repeat a published study on your own networks and faces.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
study.command("expressivity", short_help="How much features say about attributes, by mutual information.")(
    expressivity
)
study.command("layers", short_help="What each layer, channel and neuron knows.")(layers)
