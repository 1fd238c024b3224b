import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from fusiform.errors import SpecError, nearest
from fusiform.faces import TEMPLATES, FaceSet, open_faces
from fusiform.networks import FaceNetwork, load_network
from fusiform.probing import Sampling, best_layers, probe_layers, sample
from fusiform.runs import Progress, Run, atomic_write
from fusiform.statistics import verification_auc

_EXAMPLES = 24
_MAX_VERIFIED = 2000


@dataclass(frozen=True)
class AuditRequest:
    """What an audit is asked; the options of ``fusiform audit`` and the keys of its TOML file.

    Attributes
    ----------
    network : str
        Specification of the network, as for `fusiform.networks.load_network`.
    faces : str
        Specification of the faces, as for `fusiform.faces.open_faces`.
    attributes : tuple of str or None
        Which attributes; all when None.
    layers : tuple of str or None
        Which layers; block outputs, pools and fully connected layers when None; ``("all",)`` for all.
    align : str
        ``"auto"``: to the template that the network's card names, where the set has landmarks;
        ``"none"``; or a template's name.
    n_train, n_valid : int
        Images an attribute at the most.
    n_components : int
        Dimensions of the PLS projection.
    control : bool
        Whether a network with the same architecture and random weights is probed beside it.
    strict : bool
        Whether an unreadable image is an error instead of being left out.
    seed : int
        Of split, draws, control weights and intervals.
    memory_gb : float
        Budget for activations.
    batch_size : int
        Faces a forward pass.
    """

    network: str
    faces: str
    attributes: tuple[str, ...] | None = None
    layers: tuple[str, ...] | None = None
    align: str = "auto"
    n_train: int = 2048
    n_valid: int = 6144
    n_components: int = 8
    control: bool = True
    strict: bool = False
    seed: int = 0
    memory_gb: float = 4.0
    batch_size: int = 32

    @classmethod
    def from_mapping(cls, options: dict[str, Any], *, source: str = "the request") -> "AuditRequest":
        """Make a request from names and values, such as a TOML file's.

        Parameters
        ----------
        options : dict
            Names as in this class.
        source : str
            Where they come from, for messages.

        Returns
        -------
        AuditRequest
            The request.

        Raises
        ------
        SpecError
            If a name is unknown, a value has the wrong type, or network or faces are missing.

        Examples
        --------
        >>> AuditRequest.from_mapping({"network": "demo", "faces": "synthetic?n=8"}).seed
        0
        """
        kinds = {f.name: f.type for f in fields(cls)}
        for name, value in options.items():
            if name not in kinds:
                raise SpecError(f"{source} has an unknown option '{name}'; {nearest(name, kinds)}")
            _check(name, value, kinds[name], source)
        for name in ("network", "faces"):
            if not options.get(name):
                raise SpecError(
                    f'{source} names no {name}; give --{name} SPEC or {name} = "SPEC" in the TOML file.'
                )
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
        return cls(**values)


def audit(
    network: str | FaceNetwork,
    faces: str | FaceSet,
    out: str | Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> Run:
    """Audit a face network: say what every layer knows of every attribute.

    Reads the faces, aligns them as the network wants, probes every layer for every attribute, does the
    same for random weights, and writes tables, example faces and run.json into a run folder, of which
    `fusiform.report.write_report` makes the page.

    Parameters
    ----------
    network : str or FaceNetwork
        The network or its specification.
    faces : str or FaceSet
        The faces or their specification.
    out : str or Path
        The run folder. An unfinished run that was asked the same is continued.
    overwrite : bool, default False
        Replace an earlier run in that folder.
    progress : Progress, optional
        Where to show progress; silent when not given.
    **options
        The other fields of `AuditRequest`.

    Returns
    -------
    Run
        The finished run.

    Raises
    ------
    FusiformError
        One of its kinds, for whatever is wrong with what was given. Finished layers are kept.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     run = audit("demo", "synthetic?n=600&seed=1&size=32", folder + "/run", attributes=["Male"],
    ...                 layers=["pool"], control=False)
    ...     run.tables
    ['attributes', 'best', 'layers', 'probes', 'skipped', 'verification']
    """
    request = AuditRequest.from_mapping(
        {
            "network": network if isinstance(network, str) else network.card.name,
            "faces": faces if isinstance(faces, str) else faces.spec or faces.name,
            **options,
        }
    )
    progress = progress or Progress(quiet=True)
    net = load_network(network) if isinstance(network, str) else network
    opened = open_faces(faces) if isinstance(faces, str) else faces
    layers = _layers(net, request)
    _template(net, opened, request.align)
    # Everything that may be wrong with what was asked has been looked at before a folder is made.
    sample(opened, request.attributes, n_train=request.n_train, n_valid=request.n_valid, seed=request.seed)
    asked = asdict(request) | {
        "study": "audit",
        "digests": {"network": net.digest(), "faces": opened.digest()},
    }
    run = Run.start(out, asked, overwrite=overwrite)
    timings = dict(run.timings)

    with _timed(timings, "reading"):
        readable = opened.readable(strict=request.strict, progress=progress.task("Reading faces"))
        prepared, alignment = _framed(readable, net, request.align, progress)
        if len(prepared.skipped):
            progress.say(
                f"{len(prepared.skipped)} of {len(opened)} images left out; see tables/skipped.parquet"
            )
    sampling = sample(
        prepared, request.attributes, n_train=request.n_train, n_valid=request.n_valid, seed=request.seed
    )
    left_out = sampling.table[sampling.table.status != "probed"]
    for row in left_out.itertuples():
        progress.say(f"Attribute '{row.attribute}' is left out: {row.note}")
    run.record(
        seed=request.seed,
        network=_network_record(net),
        faces=prepared.card() | {"digest": opened.digest(), "alignment": alignment},
    )
    run.write_table("attributes", sampling.table)
    run.write_table("layers", _layer_table(net))
    run.write_table("skipped", prepared.skipped)
    _write_examples(run, prepared, sampling)

    networks = [(net, False)] + ([(net.randomized(seed=request.seed), True)] if request.control else [])
    probes = []
    for subject, is_control in networks:
        with _timed(timings, "probing the control" if is_control else "probing"):
            table = probe_layers(
                subject,
                prepared,
                layers=layers,
                n_components=request.n_components,
                seed=request.seed,
                memory_gb=request.memory_gb,
                batch_size=request.batch_size,
                sampling=sampling,
                progress=progress,
                run=run,
            )
        table.insert(1, "control", is_control)
        probes.append(table)
        run.record(timings=timings)
    table = pd.concat(probes, ignore_index=True)
    run.write_table("probes", table)
    run.write_table("best", best_layers(table))
    with _timed(timings, "verification"):
        run.write_table("verification", _verification(networks, prepared, sampling, request.seed, progress))
    run.record(timings=timings)
    run.finish()
    return run


def _check(name: str, value: Any, kind: Any, source: str) -> None:
    if kind not in (str, bool, int, float):
        good = value is None or (isinstance(value, list | tuple) and all(isinstance(v, str) for v in value))
        wants = "a list of names"
    elif kind is bool:
        good, wants = isinstance(value, bool), "true or false"
    elif kind is int:
        good, wants = isinstance(value, int) and not isinstance(value, bool), "a whole number"
        if good and name != "seed":
            good, wants = value >= 1, "a whole number of at least 1"
    elif kind is float:
        good = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
        wants = "a number above 0"
    else:
        good, wants = isinstance(value, str), "a text"
    if not good:
        raise SpecError(f"The option '{name}' in {source} must be {wants}; got {value!r}.")


def _layers(net: FaceNetwork, request: AuditRequest) -> list[str]:
    if request.layers is None:
        return [layer.name for layer in net.default_layers()]
    if request.layers == ("all",):
        return [layer.name for layer in net.layers]
    return [net.layer(name).name for name in request.layers]


def _template(net: FaceNetwork, faces: FaceSet, align: str) -> str | None:
    """The template to align to, if any."""
    if align not in ("auto", "none", *TEMPLATES):
        raise SpecError(
            f"There is no template '{align}' to align to; {nearest(align, ['auto', 'none', *TEMPLATES])}"
        )
    if align != "auto":
        return None if align == "none" else align
    return net.card.alignment if faces.n_landmarks is not None else None


def _framed(faces: FaceSet, net: FaceNetwork, align: str, progress: Progress) -> tuple[FaceSet, str]:
    """Frame the faces as the network wants them, and say what was done."""
    template = _template(net, faces, align)
    if template is not None:
        return faces.aligned(template, missing="drop"), f"aligned to '{template}' from five landmarks"
    done = "resized only"
    if align == "auto" and net.card.alignment is not None:
        done = f"resized only: the set has no landmarks, and the network expects '{net.card.alignment}'"
        progress.say(f"The faces are {done}. Figures will be lower than the network's best.")
    return (faces.resized(net.card.input_size) if faces.size is None else faces), done


def _network_record(net: FaceNetwork) -> dict[str, Any]:
    return asdict(net.card) | {
        "digest": net.digest(),
        "n_parameters": net.n_parameters,
        "n_layers": len(net.layers),
        "architecture": type(net.module).__name__,
    }


def _layer_table(net: FaceNetwork) -> pd.DataFrame:
    rows = [asdict(layer) | {"network": net.card.name, "features": prod(layer.shape)} for layer in net.layers]
    table = pd.DataFrame(rows).rename(columns={"name": "layer"})
    table["shape"] = [" x ".join(map(str, shape)) for shape in table["shape"]]
    return table[["network", "layer", "depth", "kind", "role", "block", "shape", "features"]]


def _write_examples(run: Run, faces: FaceSet, sampling: Sampling) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    # One face a person first, so that the strip shows as many people as it can.
    order = rng.permutation(sampling.others)
    first = np.unique(sampling.groups[order], return_index=True)[1]
    chosen = np.concatenate([order[np.sort(first)], np.delete(order, first)])[:_EXAMPLES]
    names = [draw.attribute for draw in sampling.draws]
    records = []
    for number, (row, image) in enumerate(zip(chosen, faces.images(chosen), strict=True)):
        file = f"example_{number:02d}.png"
        with atomic_write(run.path / "images" / file) as part:
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(part, format="PNG")
        values = faces.table.iloc[int(row)]
        shown = {name: None if pd.isna(values[name]) else _plain(values[name]) for name in names}
        records.append({"file": file, "image_id": str(values.image_id), "attributes": shown})
    with atomic_write(run.path / "images" / "examples.json") as part:
        part.write_text(json.dumps(records, indent=1), encoding="utf-8")


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _verification(
    networks: list[tuple[FaceNetwork, bool]],
    faces: FaceSet,
    sampling: Sampling,
    seed: int,
    progress: Progress,
) -> pd.DataFrame:
    """Verification on the faces that no probe was trained on, where people have several images."""
    columns = ["network", "control", "n_genuine", "n_impostor", "auc", "lower", "upper"]
    rows = np.random.default_rng(seed).permutation(sampling.others)[:_MAX_VERIFIED]
    groups = sampling.groups[rows]
    if networks[0][0].card.head != "embedding" or len(np.unique(groups)) in (1, len(groups)):
        return pd.DataFrame(columns=columns)
    records = []
    for net, is_control in networks:
        step = progress.task(f"{net.card.name}: verification")
        embeddings = []
        for start in range(0, len(rows), 64):
            batch = faces.images(rows[start : start + 64])
            with torch.no_grad():
                embeddings.append(net.embed(net.prepare(batch)).cpu().numpy())
            step(min(start + 64, len(rows)), len(rows))
        result = verification_auc(np.concatenate(embeddings), groups, seed=seed)
        records.append({"network": net.card.name, "control": is_control} | asdict(result))
    return pd.DataFrame(records, columns=columns)


@contextmanager
def _timed(timings: dict[str, float], name: str) -> Iterator[None]:
    start = time.monotonic()
    try:
        yield
    finally:
        timings[name] = round(timings.get(name, 0.0) + time.monotonic() - start, 2)
