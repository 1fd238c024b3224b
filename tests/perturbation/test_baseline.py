import pytest
import torch
from torch import nn

from fusiform.errors import SpecError
from fusiform.networks import FaceNetwork, NetworkCard
from fusiform.perturbation import BASELINES, baseline

CARD = NetworkCard(name="t", input_size=(12, 10), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4), head="embedding")


def _net(card: NetworkCard = CARD) -> FaceNetwork:
    return FaceNetwork(nn.Flatten(), card)


def _x(n: int = 3, channels: int = 3) -> torch.Tensor:
    return torch.randn(n, channels, 12, 10, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("card", [CARD, CARD.replace(channels="bgr"), CARD.replace(value_range=(0, 255))])
def test_pixels_are_what_the_network_makes_of_images(card: NetworkCard) -> None:
    net, x = _net(card), _x()
    for kind, value in (("black", 0), ("white", 255)):
        image = torch.full((1, 3, 12, 10), value, dtype=torch.uint8)
        torch.testing.assert_close(baseline(net, x, kind), net.prepare(image).expand_as(x))
    middle = (baseline(net, x, "black") + baseline(net, x, "white")) / 2
    torch.testing.assert_close(baseline(net, x, "grey"), middle)


@pytest.mark.parametrize("kind", [*BASELINES, 0.25])
def test_shape_and_type_stay_and_rows_do_not_mix(kind: str | float) -> None:
    grey = _net(CARD.replace(channels="grey", mean=(0.4,), std=(0.2,)))
    for net, x in ((_net(), _x()), (grey, _x(3, 1))):
        found = baseline(net, x.double(), kind, seed=4)
        assert found.shape == x.shape
        assert found.dtype == torch.float64
        torch.testing.assert_close(found[1:2], baseline(net, x[1:2].double(), kind, seed=4))


def test_mean_and_blur_keep_the_mean_of_what_they_should() -> None:
    x = _x()
    torch.testing.assert_close(baseline(_net(), x, "mean")[:, :, 3, 4], x.mean(dim=(2, 3)))
    flat = torch.full_like(x, 0.7)
    torch.testing.assert_close(baseline(_net(), flat, "blur"), flat)
    edge = torch.zeros(1, 3, 12, 10)
    edge[..., 5:] = 1
    across = baseline(_net(), edge, "blur")[0, 0, 0]
    assert bool((across.diff() > 0).all())
    # Halfway up at the edge, symmetric about it, and as steep as a Gaussian of one pixel (a tenth of 10).
    torch.testing.assert_close(across[4:6].sum(), torch.tensor(1.0))
    assert float(across[5] - across[4]) == pytest.approx(0.3989, abs=1e-3)


def test_noise_is_seeded_within_range_and_shared() -> None:
    net, x = _net(), _x()
    black, white, noise = (baseline(net, x, kind) for kind in ("black", "white", "noise"))
    assert bool(((noise >= black) & (noise <= white)).all())
    assert torch.equal(noise[0], noise[2])
    assert torch.equal(noise, baseline(net, x, "noise", seed=0))
    assert not torch.equal(noise, baseline(net, x, "noise", seed=1))


def test_another_face_for_all_or_for_each() -> None:
    net, x, other = _net(), _x(), _x() + 1
    assert torch.equal(baseline(net, x, other), other)
    assert torch.equal(baseline(net, x, other[0])[2], other[0])


def test_what_is_no_baseline_is_refused() -> None:
    net, x = _net(), _x()
    with pytest.raises(SpecError, match=r"There is no baseline 'blurr'; did you mean 'blur'"):
        baseline(net, x, "blurr")
    with pytest.raises(
        SpecError, match=r"holds inputs of shape \(3, 12, 10\) or \(3, 3, 12, 10\); got \(2, 3, 12, 10\)"
    ):
        baseline(net, x, x[:2])
    with pytest.raises(SpecError, match=r"got \(3, 12, 10\) of torch.uint8. Use net.prepare"):
        baseline(net, x, torch.zeros(3, 12, 10, dtype=torch.uint8))
    with pytest.raises(SpecError, match="must be finite"):
        baseline(net, x, torch.full((3, 12, 10), float("nan")))
    with pytest.raises(SpecError, match="must be finite; got inf"):
        baseline(net, x, float("inf"))
    with pytest.raises(SpecError, match="a name, a number or a tensor of inputs; got NoneType"):
        baseline(net, x, None)
