"""Every method, every target, every kind of network: one table."""

import pytest
import torch
from tests.attribution.small import KINDS, OUTPUTS, inputs, make, shared
from torch import Tensor

from fusiform.attribution import METHODS, attribute
from fusiform.errors import NotApplicableError
from fusiform.networks import FaceNetwork
from fusiform.targets import Activation, Contrast, Logit, Probability, Similarity, Target

FEW: dict[str, dict[str, object]] = {
    "occlusion": {"window": 8},
    "paired_occlusion": {"window": 8, "pair": "other images"},
    "rise": {"n_masks": 24},
    "dise": {"n_masks": 24},
    "shapley_sampling": {"samples": 4},
    "kernel_shap": {"samples": 48},
    "lime": {"samples": 48},
    "smoothgrad": {"samples": 3},
    "integrated_gradients": {"steps": 4},
}
LAYERS = {
    "plain": "2",
    "residual": "conv1",
    "prelu": "depthwise",
    "max_feature_map": "conv2",
    "transformer": "blocks.0",
}
CAMS = ("cam", "grad_cam", "grad_cam_plus_plus", "guided_grad_cam", "score_cam")


def pair() -> Tensor:
    return inputs(2, seed=9)


def targets(kind: str) -> dict[str, Target]:
    first, second = torch.randn(2, 2, OUTPUTS, generator=torch.Generator().manual_seed(5))
    return {
        "logit": Logit(1),
        "probability": Probability(2),
        "similarity": Similarity(shared(kind).embed(pair()).detach()),
        "contrast": Contrast(first, second[0]),
        "activation": Activation(LAYERS[kind], channel=3),
    }


def refused(method: str, target: str, kind: str) -> bool:
    """Where a method says that it does not apply, and only there."""
    if method == "paired_occlusion":
        return target != "similarity"
    if method == "cam":
        # A global average and one linear layer: the residual network's head alone.
        return kind != "residual" or target == "activation"
    if method in CAMS:
        return target == "activation"
    return False


def options(method: str, rows: slice = slice(None)) -> dict[str, object]:
    found = dict(FEW.get(method, {}))
    if "pair" in found:
        found["pair"] = pair()[rows]
    return found


def state(net: FaceNetwork) -> tuple[object, ...]:
    module = net.module
    return (
        net.digest(),
        [m.training for m in module.modules()],
        [(p.requires_grad, p.grad is None) for p in module.parameters()],
        [
            len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks)
            for m in module.modules()
        ],
        [list(vars(m)) for m in module.modules()],
    )


def made(
    method: str, target: str, kind: str, net: FaceNetwork, x: Tensor, rows: slice = slice(None)
) -> Tensor | None:
    of = targets(kind)[target].rows(torch.arange(2)[rows])
    try:
        return attribute(net, x[rows], of, method, **options(method, rows))
    except NotApplicableError:
        return None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_for_every_target(method: str, kind: str) -> None:
    net, x = shared(kind), inputs()
    before = state(net)
    for target in targets(kind):
        torch.manual_seed(1)
        drawn = torch.get_rng_state()
        maps = made(method, target, kind, net, x)
        assert (maps is None) == refused(method, target, kind), target
        assert torch.equal(drawn, torch.get_rng_state()), "the global random state moved"
        if maps is None:
            continue
        assert maps.shape == (2, 32, 32)
        assert maps.dtype == x.dtype
        assert maps.isfinite().all()
        assert not maps.requires_grad
        assert maps.abs().sum() > 0, "a map of nothing"
        torch.testing.assert_close(made(method, target, kind, net, x), maps)
        alone = made(method, target, kind, net, x, slice(1, 2))
        assert alone is not None
        torch.testing.assert_close(alone[0], maps[1], rtol=1e-3, atol=1e-5 * float(maps.abs().max()) + 1e-6)
    assert state(net) == before


@pytest.mark.parametrize("method", METHODS)
def test_types_and_training_mode_stay(method: str) -> None:
    net = make("residual", torch.float64)
    net.module.train()
    next(net.module.parameters()).grad = torch.ones_like(next(net.module.parameters()))
    before = state(net)
    maps = made(method, "similarity", "residual", net, inputs(dtype=torch.float64))
    assert maps is not None
    assert maps.dtype == torch.float64
    assert state(net) == before
