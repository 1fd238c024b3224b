import typer

_OPTIONAL = {"timm": "zoo", "torchvision": "zoo", "onnx": "onnx", "onnx2torch": "onnx"}


def doctor() -> None:
    """Say what is installed, what is missing, and whether the demo network runs."""
    from fusiform.errors import MissingDependencyError
    from fusiform.optional import require
    from fusiform.runs import environment

    facts = environment()
    for name in ("fusiform", "python", "machine", "cores", "threads", "device"):
        typer.echo(f"{name:12} {facts[name]}")
    for name, version in facts["packages"].items():
        typer.echo(f"{name:12} {version}")
    for name, extra in _OPTIONAL.items():
        try:
            require(name, extra=extra)
            typer.echo(f"{name:12} imports")
        except MissingDependencyError:
            typer.echo(f"{name:12} not installed; comes with: pip install 'fusiform[{extra}]'")

    from fusiform.faces import open_faces
    from fusiform.networks import load_network

    net, faces = load_network("demo"), open_faces("synthetic?n=2&seed=0")
    embedding = net.embed(net.prepare(faces.images()))
    typer.echo(f"demo network runs: {tuple(embedding.shape)} embeddings of two synthetic faces")
