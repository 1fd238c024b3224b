from typing import Annotated

import typer


def layers(
    network: Annotated[str, typer.Option("--network", "-n", metavar="SPEC", help="The network.")],
) -> None:
    """List a network's layers in forward order; * marks those that an audit probes by default."""
    from rich.console import Console
    from rich.table import Table

    from fusiform.networks import load_network

    net = load_network(network)
    default = {layer.name for layer in net.default_layers()}
    table = Table("", "depth", "layer", "kind", "role", "block", "shape", box=None)
    for layer in net.layers:
        shape = " x ".join(map(str, layer.shape))
        mark = "*" if layer.name in default else ""
        table.add_row(mark, str(layer.depth), layer.name, layer.kind, layer.role, layer.block or "", shape)
    Console(soft_wrap=True).print(table)
