from typing import Annotated

import typer


def layers(
    network: Annotated[str, typer.Option("--network", "-n", metavar="SPEC", help="The network.")],
) -> None:
    """List a network's layers in forward order; * marks those that an audit probes by default."""
    from fusiform.networks import load_network

    net = load_network(network)
    default = {layer.name for layer in net.default_layers()}
    rows = [("", "depth", "layer", "kind", "role", "block", "shape")]
    for layer in net.layers:
        shape = " x ".join(map(str, layer.shape))
        mark = "*" if layer.name in default else ""
        rows.append((mark, str(layer.depth), layer.name, layer.kind, layer.role, layer.block or "", shape))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        # Names stay whole, however narrow the terminal: they are to be copied.
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
