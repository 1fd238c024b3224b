"""The methods that compete, and the options with which each is used."""

from dataclasses import dataclass
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor

from fusiform.attribution import attribute
from fusiform.attribution._registry import Family, find_method
from fusiform.evaluation import BASELINE_MAPS, baseline_maps
from fusiform.networks import FaceNetwork
from fusiform.perturbation import Baseline
from fusiform.studies.attribution._tasks import Task
from fusiform.targets import MatchProbability, Similarity, Target

Use = Literal["full", "light"]

# Evaluations of the network a map are moderate: the study compares methods at about the same cost, not at their best.
_FULL: dict[str, dict[str, Any]] = {
    "rise": {"n_masks": 128},
    "dise": {"n_masks": 96},
    "shapley_sampling": {"samples": 6, "n_parts": 16},
    "kernel_shap": {"samples": 96, "n_parts": 16},
    "lime": {"samples": 96, "n_parts": 16},
    "score_cam": {"channels": 64},
    "smoothgrad": {"samples": 16},
    "integrated_gradients": {"steps": 32},
}
# Where maps are made again and again.
_LIGHT: dict[str, dict[str, Any]] = {
    "rise": {"n_masks": 48},
    "dise": {"n_masks": 32},
    "shapley_sampling": {"samples": 4, "n_parts": 9},
    "kernel_shap": {"samples": 32, "n_parts": 9},
    "lime": {"samples": 32, "n_parts": 9},
    "score_cam": {"channels": 16},
    "smoothgrad": {"samples": 8},
    "integrated_gradients": {"steps": 16},
}
_WINDOWS = ("occlusion", "paired_occlusion")
_OF_PARTS = ("part_occlusion",)
# Maps that lie where the parts are whatever the network: they are alike by their layout.
LAID_OUT = frozenset(("part_occlusion", "dise"))
# Whose sums are meant to be the difference of scores.
_COMPLETE = frozenset(
    ("integrated_gradients", "deep_lift", "shapley_sampling", "kernel_shap", "lrp", "input_x_gradient")
)
# What a map of zeros would stand for, where a method says so: what sums are held against. None: the whole score is shared.
_COMPLETE_AT: dict[str, Baseline | None] = {
    "integrated_gradients": "black",
    "deep_lift": "black",
    "score_cam": "black",
    "input_x_gradient": 0.0,
    "lrp": None,
    "excitation_backprop": None,
    "contrastive_excitation_backprop": None,
    "truncated_contrastive_excitation_backprop": None,
}


@dataclass(frozen=True)
class Competitor:
    """A method of attribution, or maps that know nothing of the network."""

    name: str
    baseline_map: bool = False
    quick: bool = False

    @property
    def family(self) -> Family | Literal["baseline map"]:
        """Perturbation, gradient, propagation; or a baseline map."""
        return "baseline map" if self.baseline_map else find_method(self.name).family

    @property
    def complete_at(self) -> Baseline | None:
        """Where the maps' sums are held against: the baseline, or None for the whole score."""
        return _COMPLETE_AT.get(self.name, "mean")

    @property
    def claims_completeness(self) -> bool:
        """Whether its maps are meant to sum to the difference of scores."""
        return self.name in _COMPLETE

    def explained(self, task: Task) -> Target:
        """What is explained: confidence by perturbation methods, the score before it by all others."""
        return task.confidence if self.family == "perturbation" else task.target

    def options(self, use: Use, size: tuple[int, int]) -> dict[str, Any]:
        """Options at an input size, without what belongs to the images."""
        if self.baseline_map:
            return {}
        use = "light" if self.quick else use
        if self.name in _WINDOWS:
            side = max(1, min(size) // (7 if use == "full" else 4))
            return {"window": side, "stride": max(1, 2 * side // 3) if use == "full" else side}
        return dict((_FULL if use == "full" else _LIGHT).get(self.name, {}))

    def maps(
        self,
        net: FaceNetwork,
        task: Task,
        target: Target | None = None,
        *,
        use: Use = "full",
        x: Tensor | None = None,
        seed: int = 0,
        memory_gb: float = 4.0,
    ) -> Float[Tensor, "n h w"]:
        """Maps of a task's images, or of inputs in their place."""
        inputs = task.x if x is None else x
        if self.baseline_map:
            return baseline_maps(inputs, self.name, seed=seed)  # type: ignore[arg-type]
        target = self.explained(task) if target is None else target
        options = self.options(use, net.card.input_size)
        if self.name in _OF_PARTS and task.parts is not None:
            options["parts"] = task.parts
        if self.name == "paired_occlusion" and task.pair is not None and isinstance(target, Similarity):
            options["pair"] = task.pair
            # Another network sees the second image in its own way.
            target = _of_pair(net, target, task.pair)
        return attribute(net, inputs, target, self.name, seed=seed, memory_gb=memory_gb, **options)


def _of_pair(net: FaceNetwork, target: Similarity, pair: Tensor) -> Similarity:
    from torch import no_grad

    with no_grad():
        reference = net(pair).flatten(1)
    if isinstance(target, MatchProbability):
        return MatchProbability(reference, target.slope, target.intercept)
    return Similarity(reference)


def competitors(names: tuple[str, ...], *, quick: bool = False) -> list[Competitor]:
    """The methods of these names, and all baseline maps first: what others are held against."""
    return [Competitor(kind, True) for kind in BASELINE_MAPS] + [
        Competitor(name, quick=quick) for name in names
    ]
