"""Sanity checks: a map that does not depend on what the network learned explains nothing of it."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn

from fusiform.errors import EvaluationError, nearest
from fusiform.evaluation._given import Explain, checked_inputs, made_maps
from fusiform.evaluation._similarity import similarities
from fusiform.evaluation._summary import summarise
from fusiform.networks import FaceNetwork
from fusiform.runs import Progress
from fusiform.targets import Target


def parameter_randomization(
    net: FaceNetwork,
    x: Float[Tensor, "n c h w"],
    target: Target | int,
    explain: Explain,
    *,
    cascading: bool = True,
    layers: Sequence[str] | None = None,
    groups: Sequence[Any] | np.ndarray | Tensor | None = None,
    limit: float = 0.5,
    seed: int = 0,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Compare maps of a network with those of copies whose weights are drawn anew, layer by layer from the top.

    Parameters
    ----------
    net : FaceNetwork
        The network; its weights are not touched.
    x : tensor, shape (n, channels, height, width)
        Inputs from ``net.prepare``.
    target : Target or int
        What is explained, the same in every copy; the number of a class stands for its logit.
    explain : callable
        ``explain(net, x, target)`` makes maps (n, height, width). It must make them for the network that it is given.
    cascading : bool, default True
        Draw all weights from the top down to each layer anew; else those of each layer alone.
    layers : sequence of str, optional
        Modules to draw anew, from the top, each with all that it holds, such as ``["fc", "layer4", "layer3"]``; by default
        every module with a weight matrix, in the order of the forward pass, each with the norms and activations that follow it.
    groups : sequence of n, optional
        Identity of each image, for the intervals.
    limit : float, default 0.5
        Rank correlation from which a map counts as unchanged.
    seed : int, default 0
        Of the weights.
    progress : Progress, optional
        Told how much is done.

    Returns
    -------
    DataFrame
        One row a step and metric: ``network, layer, depth, randomized`` (``"cascading"`` or ``"independent"``), ``metric,
        value, lower, upper, n, passed``. Metrics compare each image's map with its original: ``spearman``, ``spearman_absolute``,
        ``ssim`` and ``hog_pearson``, as in `compare_maps`; 1 means that nothing changed. Depth 0 is the top layer. ``passed``: the
        interval's upper end is below `limit`, of rows of the two rank correlations and missing in others; a method passes the
        check if the last row of ``spearman_absolute`` of the cascade does, see `passes_randomization`. Maps of zeros or constants
        have no rank correlation and are left out of ``n``.

    Raises
    ------
    EvaluationError
        If there is no such layer or it holds no weights, or `explain` makes no finite maps of the inputs' size.

    References
    ----------
    Adebayo and others (2018), model parameter randomization test.

    Examples
    --------
    >>> from torch import nn
    >>> from fusiform.networks import NetworkCard
    >>> module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 1))
    >>> net = FaceNetwork(module, NetworkCard(name="t", input_size=(4, 4), channels="grey", head="logits"))
    >>> same = lambda net, x, target: x[:, 0]
    >>> table = parameter_randomization(net, torch.rand(3, 1, 4, 4), 0, same)
    >>> table.query("metric == 'spearman'")[["layer", "value", "passed"]].round(6).values.tolist()
    [['3', 1.0, False], ['0', 1.0, False]]
    """
    x, target = checked_inputs(net, x, target)
    steps = _steps(net, x) if layers is None else _named(net, layers)
    maps = made_maps(explain, net, x, target)
    fresh = dict(net.randomized(seed).module.named_modules())
    step = None if progress is None else progress.task(f"{net.card.name}: weights drawn anew")
    rows = []
    for depth, (layer, _) in enumerate(steps):
        randomized = copy.deepcopy(net.module)
        for _, paths in steps[: depth + 1] if cascading else [steps[depth]]:
            _transplant(dict(randomized.named_modules()), fresh, paths)
        card = net.card.replace(weights_digest="", threshold=None)
        others = made_maps(explain, FaceNetwork(randomized, card), x, target)
        where = {
            "network": net.card.name,
            "layer": layer,
            "depth": depth,
            "randomized": "cascading" if cascading else "independent",
        }
        rows += _rows(where, maps, others, groups, limit, seed)
        if step is not None:
            step(depth + 1, len(steps))
    return _table(rows)


def data_randomization(
    net: FaceNetwork,
    x: Float[Tensor, "n c h w"],
    target: Target | int,
    explain: Explain,
    shuffled: FaceNetwork,
    *,
    groups: Sequence[Any] | np.ndarray | Tensor | None = None,
    limit: float = 0.5,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare maps of a network with those of one that was trained on shuffled labels.

    Parameters
    ----------
    net, x, target, explain, groups, limit
        As in `parameter_randomization`.
    shuffled : FaceNetwork
        Trained on the same images with labels drawn at random, with the same inputs and outputs.
    seed : int, default 0
        Of the intervals.

    Returns
    -------
    DataFrame
        One row a metric, with the columns of `parameter_randomization`; ``randomized`` is ``"labels"``.

    Raises
    ------
    EvaluationError
        If the networks take inputs of other sizes, or `explain` makes no finite maps of the inputs' size.

    References
    ----------
    Adebayo and others (2018), data randomization test.

    Examples
    --------
    >>> from torch import nn
    >>> from fusiform.networks import NetworkCard
    >>> card = NetworkCard(name="t", input_size=(4, 4), channels="grey", head="logits")
    >>> net, other = (FaceNetwork(nn.Sequential(nn.Flatten(), nn.Linear(16, 1)), card) for _ in range(2))
    >>> same = lambda net, x, target: x[:, 0]
    >>> table = data_randomization(net, torch.rand(3, 1, 4, 4), 0, same, other)
    >>> passes_randomization(table)
    False
    """
    x, target = checked_inputs(net, x, target)
    if not isinstance(shuffled, FaceNetwork):
        raise EvaluationError(
            f"The network trained on shuffled labels is a FaceNetwork; got {type(shuffled).__name__}."
        )
    if (shuffled.card.input_size, shuffled.card.n_channels) != (net.card.input_size, net.card.n_channels):
        raise EvaluationError(
            f"The network trained on shuffled labels takes inputs of {shuffled.card.n_channels} channels and "
            f"{shuffled.card.input_size} pixels, '{net.card.name}' of {net.card.n_channels} and {net.card.input_size}; "
            "both must see the same."
        )
    maps = made_maps(explain, net, x, target)
    others = made_maps(explain, shuffled, x.to(shuffled.device, shuffled.dtype), target).to(maps)
    where = {"network": net.card.name, "layer": "all", "depth": 0, "randomized": "labels"}
    return _table(_rows(where, maps, others, groups, limit, seed))


def passes_randomization(table: pd.DataFrame) -> bool:
    """Say whether maps changed once all weights, or the labels, were random.

    Parameters
    ----------
    table : DataFrame
        From `parameter_randomization` (cascading) or `data_randomization`.

    Returns
    -------
    bool
        False too where no map could be compared.

    Raises
    ------
    EvaluationError
        If the table is of independent randomization, in which most weights stay.

    Examples
    --------
    >>> row = {"randomized": "labels", "metric": "spearman_absolute", "depth": 0, "passed": True}
    >>> passes_randomization(pd.DataFrame([row]))
    True
    """
    rows = table[table["metric"] == "spearman_absolute"]
    if not len(rows) or (rows["randomized"] == "independent").any():
        raise EvaluationError(
            "A verdict is on the cascading randomization of parameters, or on that of labels."
        )
    last = rows.sort_values("depth")["passed"].iloc[-1]
    return bool(last) if not pd.isna(last) else False


def _rows(
    where: dict[str, Any], maps: Tensor, others: Tensor, groups: Any, limit: float, seed: int
) -> list[dict[str, Any]]:
    rows = []
    for metric, values in similarities(maps, others).items():
        summary = summarise(values, groups, seed=seed)
        judged = metric.startswith("spearman") and summary.n > 0
        passed = bool(summary.upper < limit) if judged else None
        rows.append({**where, "metric": metric, **summary._asdict(), "passed": passed})
    return rows


def _table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    table["passed"] = table["passed"].astype("boolean")
    return table


Steps = list[tuple[str, list[str]]]


def _steps(net: FaceNetwork, x: Tensor) -> Steps:
    """Modules that hold weights, from the top, norms and activations with the matrix that they follow."""
    module = copy.deepcopy(net.module)
    parts = dict(module.named_modules())
    called: dict[str, int] = {}

    def note(path: str) -> None:
        called.setdefault(path, len(called))

    for path, part in parts.items():
        # A hook that returned something would change the input.
        part.register_forward_pre_hook(lambda *_, path=path: note(path))
    with torch.no_grad():
        FaceNetwork(module, net.card)(x[:1])

    def place(path: str) -> int:
        # Weights of a module that is never called (the projection within attention) are used by one around it.
        while path not in called:
            path = path.rpartition(".")[0]
        return called[path]

    steps: Steps = []
    for path in sorted((p for p in parts if _own(parts[p])), key=place):
        if steps and not any(t.dim() > 1 for t in _own(parts[path]).values()):
            steps[-1][1].append(path)
        else:
            steps.append((path or "(network)", [path]))
    if not steps:
        raise EvaluationError(f"'{net.card.name}' holds no weights that could be drawn anew.")
    return steps[::-1]


def _named(net: FaceNetwork, layers: Sequence[str]) -> Steps:
    parts = {path: part for path, part in net.module.named_modules() if path}
    steps: Steps = []
    for name in [layers] if isinstance(layers, str) else layers:
        if name not in parts:
            raise EvaluationError(f"'{net.card.name}' has no module '{name}'; {nearest(name, parts)}")
        paths = [p for p in parts if (p == name or p.startswith(f"{name}.")) and _own(parts[p])]
        if not paths:
            raise EvaluationError(f"Module '{name}' of '{net.card.name}' holds no weights.")
        steps.append((name, paths))
    if not steps:
        raise EvaluationError("No layers were named.")
    return steps


def _own(module: nn.Module) -> dict[str, Tensor]:
    return {
        name: t
        for name, t in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
        if t.is_floating_point()
    }


def _transplant(into: dict[str, nn.Module], fresh: dict[str, nn.Module], paths: list[str]) -> None:
    with torch.no_grad():
        for path in paths:
            for name, tensor in _own(into[path]).items():
                tensor.copy_(_own(fresh[path])[name])
