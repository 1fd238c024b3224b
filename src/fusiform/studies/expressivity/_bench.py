"""What a study of expressivity is done with: networks, faces, attributes, and the features chosen of every layer."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import pandas as pd

from fusiform.errors import SpecError
from fusiform.faces import FaceSet
from fusiform.networks import FaceNetwork, Layer, load_network, predict_attribute
from fusiform.networks.training import feature_layer
from fusiform.probing import expressivities
from fusiform.runs import Progress, Run
from fusiform.studies.expressivity._asked import Asked, Known
from fusiform.studies.expressivity._course import Course
from fusiform.studies.expressivity._features import IMAGE, Chosen, choose, choose_image
from fusiform.studies.expressivity._request import ExpressivityRequest
from fusiform.studies.layers._subjects import Subject, chosen_layers, evenly, subject_layers

_UNTRAINED = ("gaussian", "ksg")
_TRIAL = 2  # attributes and restarts of the trial that tells how long it takes
_LONGEST = 4  # times as long trains a critic that learns to the last step as one that soon converges


@dataclass(frozen=True)
class Bench:
    """What the measurements share.

    Attributes
    ----------
    request, run, progress
        What was asked, where to write, whom to tell.
    asked : Asked
        The attributes, on the images of `faces`.
    faces : dict of str to FaceSet
        The same images framed for each network, by its name.
    chosen : dict of str to list of Chosen
        The features of each network's layers, in forward order.
    course : Course or None
        The past of the first network.
    pretrained : FaceNetwork or None
        A network trained on objects; framed faces are under its name.
    """

    request: ExpressivityRequest
    run: Run
    progress: Progress
    asked: Asked
    faces: dict[str, FaceSet]
    chosen: dict[str, list[Chosen]]
    course: Course | None = None
    pretrained: FaceNetwork | None = None


def chosen_features(net: FaceNetwork, request: ExpressivityRequest) -> list[Chosen]:
    """Choose the layers to look at and the features of each, the image first."""
    names = request.layers
    if names is None or names == ("default",):
        listed = [IMAGE, *(layer.name for layer in _default_layers(net))]
        listed = listed if request.most_layers is None else evenly(listed, request.most_layers)
    elif names == ("all",):
        listed = [IMAGE, *(layer.name for layer in net.layers)]
    else:
        own = tuple(name for name in names if name != IMAGE)
        listed = [IMAGE] * (IMAGE in names) + (chosen_layers(net, own) if own else [])
    return [
        choose_image(net, dimension=request.dimension, height=request.image_size)
        if name == IMAGE
        else choose(net.layer(name), dimension=request.dimension, seed=request.seed)
        for name in listed
    ]


def _default_layers(net: FaceNetwork) -> list[Layer]:
    """The network's default layers, and what stands between the last map and the last vector where none of them does."""
    layers = net.default_layers()
    vectors = [layer for layer in layers if _is_vector(layer)]
    if len(vectors) == 1 and vectors[0] is layers[-1]:
        last = layers[-1]
        pooled = [
            layer
            for layer in net.layers
            if _is_vector(layer) and layer.depth < last.depth and prod(layer.shape) != prod(last.shape)
        ]
        layers += pooled[-1:]
    return sorted(layers, key=lambda layer: layer.depth)


def _is_vector(layer: Layer) -> bool:
    return prod(layer.shape) == layer.shape[0]


def watched(net: FaceNetwork, request: ExpressivityRequest, *, own: bool = True) -> list[Chosen]:
    """Choose the features of the layers that are watched over training; `own`: those that were named."""
    names = request.course_layers if own and request.course_layers else (feature_layer(net).name,)
    return [choose(net.layer(name), dimension=request.dimension, seed=request.seed) for name in names]


def list_layers(subject: Subject, chosen: Sequence[Chosen]) -> pd.DataFrame:
    """List a network's layers, with what of each is looked at: ``protocol, channels, used, drawn``."""
    of = {each.layer: each for each in chosen}
    table = subject_layers(subject, list(of))
    image = of.get(IMAGE)
    if image is not None:
        row = dict.fromkeys(table.columns) | {
            "network": subject.name,
            "setup": subject.setup,
            "layer": IMAGE,
            "depth": image.depth,
            "kind": IMAGE,
            "role": IMAGE,
            "shape": " x ".join(map(str, subject.net.card.input_size)),
            "features": prod(subject.net.card.input_size),
            "probed": True,
            "parameters_share": 0.0,
        }
        table = pd.DataFrame([row, *table.to_dict("records")])
    looked = [of.get(name) for name in table["layer"]]
    table["protocol"] = [None if each is None else each.protocol for each in looked]
    table["channels"] = [
        None if each is None or each.channels is None else len(each.channels) for each in looked
    ]
    table["used"] = [None if each is None else each.features for each in looked]
    table["drawn"] = [
        "" if each is None or each.channels is None else " ".join(map(str, each.channels)) for each in looked
    ]
    return table.astype({"protocol": "Int64", "channels": "Int64", "used": "Int64", "block": "string"})


def parse_prediction(text: str) -> tuple[str, str | int | None, str]:
    """Split ``NAME=SPEC`` or ``NAME:OUTPUT=SPEC`` into name, output and specification.

    Examples
    --------
    >>> parse_prediction("yaw=pose3d?weights=a.pth&stats=b.npz")
    ('yaw', None, 'pose3d?weights=a.pth&stats=b.npz')
    >>> parse_prediction("PR_MALE:man=mini_xception?classes=2")[:2]
    ('PR_MALE', 'man')
    """
    name, equals, spec = text.partition("=")
    name, _, output = name.partition(":")
    if not equals or not name.strip() or not spec.strip() or "?" in name:
        raise SpecError(
            f"A predicted attribute is given as NAME=SPEC or NAME:OUTPUT=SPEC, such as yaw=pose3d?weights=FILE; got '{text}'."
        )
    output = output.strip()
    return name.strip(), (int(output) if output.isdecimal() else output or None), spec.strip()


def predictors(request: ExpressivityRequest) -> dict[str, tuple[FaceNetwork, str | int | None]]:
    """Load the networks that predict attributes; of a pose network the output of the attribute's name is taken."""
    found = {}
    for text in request.predict:
        name, output, spec = parse_prediction(text)
        if name in found:
            raise SpecError(f"The attribute '{name}' is predicted twice; give each a name of its own.")
        net = load_network(spec)
        if output is None and name in (net.card.classes or ()):
            output = name
        found[name] = (net, output)
    return found


def predict(
    run: Run,
    faces: FaceSet,
    nets: dict[str, tuple[FaceNetwork, str | int | None]],
    request: ExpressivityRequest,
    progress: Progress,
) -> Known:
    """Add predicted attributes to what is known of faces; predictions are kept with the run's parts."""
    for name, (net, output) in nets.items():
        if name in faces.schema:
            raise SpecError(
                f"'{faces.name}' has an attribute '{name}' already; predict it under another name."
            )
        part = f"predicted@{name}"
        table = run.part(part)
        added = None
        if table is None:
            task = progress.task(f"Predicting {name}")
            added = predict_attribute(
                net, faces, name, output=output, batch_size=request.batch_size, progress=task
            )
            run.write_part(part, added.table[["image_id", name]])
        else:
            # Only what the attribute is has to be found out again: one image tells.
            one = predict_attribute(net, faces.subset([0]), name, output=output)
            values = table.set_index("image_id")[name].reindex(faces.table["image_id"].astype(str)).tolist()
            added = faces.with_attribute(name, values, one.schema[name])
        faces = added
    return Known.of(faces)


def network_seconds(net: FaceNetwork, faces: FaceSet, batch_size: int) -> float:
    """Seconds a face, through reading, framing and the network."""
    import torch

    rows = range(min(len(faces), batch_size))
    start = time.monotonic()
    with torch.no_grad():
        net(net.prepare(faces.images(rows)))
    return (time.monotonic() - start) / len(rows)


def critic_seconds(asked: Asked, dimension: int, request: ExpressivityRequest) -> float:
    """Seconds a critic that soon converges, measured on few of them and on features without meaning."""
    piece = asked.pieces[0]
    shape = (len(piece.rows), dimension)
    features = np.random.default_rng(request.seed).normal(size=shape).astype(np.float32)
    some = {entry.key: entry.encoded for entry in piece.entries[:_TRIAL]}
    restarts = min(_TRIAL, request.restarts)
    start = time.monotonic()
    expressivities(features, some, restarts=restarts, seed=request.seed, estimator=_trained(request)[0])
    return (time.monotonic() - start) / (len(some) * restarts)


def n_critics(asked: Asked, request: ExpressivityRequest) -> int:
    """How many critics are trained for one layer."""
    return asked.n_encoded * request.restarts * len(_trained(request))


def _trained(request: ExpressivityRequest) -> list[str]:
    return [name for name in request.estimators if name not in _UNTRAINED]


def say_plan(bench: Bench, subjects: Sequence[Subject], not_measured: dict[str, str]) -> None:
    """Say what is going to be done, and about how long it takes."""
    request, asked, say = bench.request, bench.asked, bench.progress.say
    say(
        f"Images: {len(asked.known)}, attributes: {len(asked.attributes)} ({asked.n_encoded} with their encodings), estimators: "
        f"{', '.join(request.estimators)}, restarts: {request.restarts}"
    )
    looked: list[Chosen] = []
    seconds = 0.0
    for subject in subjects:
        chosen = bench.chosen[subject.name]
        looked += chosen
        seconds += len(asked.known) * network_seconds(
            subject.net, bench.faces[subject.name], request.batch_size
        )
        say(f"  {subject.name}: {len(chosen)} layers: {', '.join(_told(each) for each in chosen)}")
    if not subjects:
        looked = [each for chosen in bench.chosen.values() for each in chosen]
        say(f"  {', '.join(_told(each) for each in looked)}")
    if bench.course is not None:
        of_course = watched(subjects[0].net, request)
        n = len(bench.course.checkpoints) + (bench.pretrained is not None)
        looked += n * of_course
        a_face = network_seconds(subjects[0].net, bench.faces[subjects[0].name], request.batch_size)
        seconds += n * len(asked.known) * a_face
        say(
            f"  Over training: {n} checkpoints by {bench.course.step_unit}, {', '.join(_told(each) for each in of_course)}; "
            f"step 0 is {bench.course.initial}"
        )
    for name, reason in not_measured.items():
        if reason != "switched off":
            say(f"Not measured: {name}, because {reason}")
    for name, reason in asked.left_out.items():
        say(f"Attribute '{name}' is left out: {reason}")
    n = len(looked) * n_critics(asked, request)
    least = seconds / 60
    if n:
        dimension = round(sum(each.features for each in looked) / len(looked))
        least += n * critic_seconds(asked, dimension, request) / 60
    say(
        f"{n} critics; roughly {max(least, 0.1):.1f} to {max(_LONGEST * least, 0.1):.1f} minutes, as soon or late as they converge"
        f"{', and the calibration' if request.calibration else ''}. What is finished is kept: the same command continues what was "
        "stopped."
    )


def _told(each: Chosen) -> str:
    if each.layer == IMAGE:
        return f"{IMAGE} (averaged to {each.shape[0]} x {each.shape[1]})"
    if each.channels is None:
        return f"{each.layer} ({each.features})"
    return f"{each.layer} (z = {len(each.channels)}, {each.features})"


def describe_features(file: str, known: Known, dimension: int, said: Sequence[str]) -> dict[str, Any]:
    """Describe features without a network, for run.json."""
    kinds = [f"{name} ({attribute.kind})" for name, attribute in known.schema.items()]
    return {
        "file": file,
        "images": len(known),
        "features": dimension,
        "attributes": ", ".join(kinds),
        "left aside": "; ".join(said),
    }
