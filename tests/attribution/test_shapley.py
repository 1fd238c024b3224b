import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.attribution.small import inputs, make, shared
from tests.reference.perturbation import slow_constrained, slow_shapley
from torch import Tensor, nn

from fusiform.attribution import attribute, shapley_values
from fusiform.attribution._parts import parts_of
from fusiform.attribution._registry import Call
from fusiform.attribution._shapley import _constrained, _kernel_coalitions
from fusiform.errors import AttributionError, SpecError, TargetError
from fusiform.networks import FaceNetwork, NetworkCard
from fusiform.perturbation import baseline
from fusiform.targets import Contrast, Logit, Similarity

METHODS = ("shapley_sampling", "kernel_shap")


class _Game(nn.Module):
    """A game of four players, the quarters of an image: v = 3 a b + a - 2 c, and d counts for nothing."""

    def forward(self, x: Tensor) -> Tensor:
        half = x.shape[-1] // 2
        a, b = x[:, 0, 0, 0], x[:, 0, 0, half]
        c = x[:, 0, half, 0]
        return (3 * a * b + a - 2 * c)[:, None]


def _game() -> tuple[FaceNetwork, Tensor, Tensor]:
    net = FaceNetwork(_Game(), NetworkCard(name="game", input_size=(4, 4)))
    parts = torch.zeros(4, 4, 4, dtype=torch.bool)
    parts[0, :2, :2], parts[1, :2, 2:], parts[2, 2:, :2], parts[3, 2:, 2:] = True, True, True, True
    return net, torch.ones(1, 3, 4, 4), parts


def test_a_game_whose_values_are_known() -> None:
    net, x, parts = _game()
    found = shapley_values(net, x, Logit(0), parts, baseline=0.0)
    torch.testing.assert_close(found.values, torch.tensor([[2.5, 1.5, -2.0, 0.0]]))
    assert found.errors.tolist() == [[0.0] * 4]
    assert (found.whole.item(), found.empty.item()) == (2.0, 0.0)
    for method in METHODS:
        maps = attribute(net, x, Logit(0), method, parts=parts, baseline=0.0)[0]
        torch.testing.assert_close((maps * parts).sum(dim=(1, 2)), found.values[0])


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 6), st.integers(0, 1000))
def test_exact_values_are_equation_2(players: int, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    table = torch.randn(2**players, generator=random, dtype=torch.float64)

    class Table(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("values", table)

        def forward(self, x: Tensor) -> Tensor:
            present = x[:, 0, 0, :players] > 0.5
            return self.values[(present * 2 ** torch.arange(players)).sum(dim=1)][:, None]

    net = FaceNetwork(Table(), NetworkCard(name="table", input_size=(1, players)))
    parts = torch.eye(players).view(players, 1, players)
    found = shapley_values(net, torch.ones(1, 3, 1, players), Logit(0), parts, baseline=0.0)
    expected = slow_shapley(lambda s: float(table[sum(2**i for i in s)]), players)
    np.testing.assert_allclose(found.values[0].numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("samples", ["exact", 6])
@pytest.mark.parametrize("kind", ["residual", "prelu", "max_feature_map"])
def test_values_complete_the_score(kind: str, samples: object) -> None:
    net, x = make(kind, torch.float64), inputs(2, torch.float64)
    e = torch.randn(2, 6, generator=torch.Generator().manual_seed(5)).double()
    for target in (Logit(1), Similarity(e), Contrast(e, e[0] + 1)):
        found = shapley_values(net, x, target, samples=samples, baseline="blur")
        assert found.values.shape == (2, 8)
        torch.testing.assert_close(found.values.sum(dim=1), found.whole - found.empty)
        torch.testing.assert_close(found.whole, target(net, x).detach())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("parts", ["superpixels", "grid", "face"])
def test_maps_sum_to_the_score_less_that_of_the_hidden_image(method: str, parts: str) -> None:
    net, x = make("prelu", torch.float64), inputs(2, torch.float64)
    maps = attribute(net, x, Logit(1), method, parts=parts, n_parts=12, samples=40, baseline="grey")
    hidden = baseline(net, x, "grey")
    if parts == "face":
        regions = parts_of(Call(net, x, Logit(1)), "face", 0).sum(dim=0)
        hidden = torch.where(regions > 0, hidden, x)
    total = (net(x) - net(hidden))[:, 1].detach()
    torch.testing.assert_close(maps.sum(dim=(1, 2)), total, atol=1e-9, rtol=1e-6)


@pytest.mark.parametrize("samples", ["exact", 4])
def test_parts_of_equal_effect_get_equal_values(samples: object) -> None:
    # A score of the whole image's mean, and parts of equal size in an image of one colour.
    class Squared(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean(dim=(1, 2, 3))[:, None] ** 2

    net = FaceNetwork(Squared(), NetworkCard(name="squared", input_size=(8, 8)))
    parts = torch.eye(8).view(8, 1, 8).expand(8, 8, 8)
    found = shapley_values(net, torch.ones(1, 3, 8, 8), Logit(0), parts, baseline=0.0, samples=samples)
    # An order and its reverse together give each player the same share of a quadratic game.
    torch.testing.assert_close(found.values, torch.full((1, 8), 1 / 8))


def test_sampled_values_come_near_the_exact_ones_as_their_errors_say() -> None:
    net, x = shared("plain"), inputs(3)
    exact = shapley_values(net, x, Logit(2), "face")
    sampled = shapley_values(net, x, Logit(2), "face", samples=400, seed=1)
    assert bool((sampled.errors > 0).all())
    z = (sampled.values - exact.values) / sampled.errors
    assert 0.5 < float(z.square().mean().sqrt()) < 1.7
    few = shapley_values(net, x, Logit(2), "face", samples=40, seed=1)
    assert float(sampled.errors.mean()) < 0.5 * float(few.errors.mean())


def test_rows_and_parts_of_their_own_do_not_mix() -> None:
    net, x = shared("prelu"), inputs(3)
    parts = (torch.rand(3, 5, 32, 32, generator=torch.Generator().manual_seed(0)) < 0.2).float()
    e = torch.randn(3, 6, generator=torch.Generator().manual_seed(5))
    for samples in ("exact", 8):
        together = shapley_values(net, x, Similarity(e), parts, samples=samples)
        alone = shapley_values(net, x[1:2], Similarity(e[1]), parts[1], samples=samples)
        torch.testing.assert_close(together.values[1:2], alone.values, atol=1e-6, rtol=1e-4)
        torch.testing.assert_close(together.errors[1:2], alone.errors, atol=1e-6, rtol=1e-3)


def test_kernel_shap_with_all_coalitions_is_exact() -> None:
    net, x = make("prelu", torch.float64), inputs(2, torch.float64)
    values = shapley_values(net, x, Logit(1), "face").values
    maps = attribute(net, x, Logit(1), "kernel_shap", parts="face", samples=254)
    parts = parts_of(Call(net, x, Logit(1)), "face", 0)
    torch.testing.assert_close(torch.einsum("nhw,phw->np", maps, parts), values, atol=1e-9, rtol=1e-6)


def test_kernel_shap_drawn_comes_near() -> None:
    net, x = make("prelu", torch.float64), inputs(2, torch.float64)
    values = shapley_values(net, x, Logit(1), "face").values
    maps = attribute(net, x, Logit(1), "kernel_shap", parts="face", samples=250, seed=3)
    parts = parts_of(Call(net, x, Logit(1)), "face", 0)
    sampled = torch.einsum("nhw,phw->np", maps, parts)
    assert not torch.allclose(sampled, values)
    assert float((sampled - values).abs().max()) < 0.15 * float(values.abs().max())


def test_kernel_coalitions_follow_the_kernel() -> None:
    drawn, weights = _kernel_coalitions(10, 1001, torch.Generator().manual_seed(0))
    assert drawn.shape == (1001, 10)
    assert torch.equal(drawn[0] + drawn[1], torch.ones(10))
    assert bool((weights == 1).all())
    sizes = torch.arange(1, 10)
    expected = 1 / (sizes * (10 - sizes))
    found = torch.bincount(drawn.sum(dim=1).int(), minlength=11)[1:10] / 1001
    assert float((found - expected / expected.sum()).abs().max()) < 0.04
    every, kernel = _kernel_coalitions(4, 14, torch.Generator())
    assert len(every.unique(dim=0)) == 14
    assert float(kernel[every.sum(dim=1) == 2][0]) == pytest.approx(3 / (6 * 2 * 2))


def test_regression_under_the_constraint() -> None:
    random = torch.Generator().manual_seed(0)
    z = (torch.rand(30, 5, generator=random) < 0.5).double()
    weights, y = torch.rand(30, generator=random).double(), torch.randn(2, 30, generator=random).double()
    total = torch.tensor([1.0, -2.0], dtype=torch.float64)
    found = _constrained(z, weights, y, total)
    for i in range(2):
        expected = slow_constrained(z.numpy(), weights.numpy(), y[i].numpy(), float(total[i]))
        np.testing.assert_allclose(found[i].numpy(), expected, atol=1e-10)


def test_captum_agrees_on_one_image() -> None:
    captum = pytest.importorskip("captum.attr")
    net, x = make("prelu", torch.float64), inputs(1, torch.float64)
    cells = parts_of(Call(net, x, Logit(1)), "grid", 4)
    mask = cells.argmax(dim=0)[None, None]
    ours = attribute(net, x, Logit(1), "shapley_sampling", parts=cells, baseline=0.2)
    # Orders drawn at random: theirs converge to ours; four players have 24 orders.
    torch.manual_seed(0)
    peer = captum.ShapleyValues(lambda images: net(images)[:, 1])
    theirs = peer.attribute(x, baselines=0.2, feature_mask=mask)
    areas = cells.sum(dim=(1, 2))[mask[:, 0]]
    torch.testing.assert_close((ours * areas).float(), theirs[:, 0])


@pytest.mark.parametrize("size", [(32, 32), (20, 31)])
def test_superpixels_and_grids_share_the_image_out(size: tuple[int, int]) -> None:
    net = FaceNetwork(nn.Flatten(), NetworkCard(name="t", input_size=size))
    x = torch.nn.functional.interpolate(inputs(2), size=size)
    for name in ("superpixels", "grid"):
        parts = parts_of(Call(net, x, Logit(0)), name, 9)
        assert parts.shape[-3:] == (9, *size)
        assert bool((parts.sum(dim=-3) == 1).all())
        assert int((parts.sum(dim=(-2, -1)) > 0).sum(dim=-1).min()) >= 6
    alone = parts_of(Call(net, x[1:], Logit(0)), "superpixels", 9)
    assert torch.equal(alone[0], parts_of(Call(net, x, Logit(0)), "superpixels", 9)[1])


def test_superpixels_do_not_depend_on_the_order_of_channels() -> None:
    image = (inputs(1).clamp(0, 1) * 255).byte()
    image[:, 2] = 255 - image[:, 2] // 3
    found = []
    for channels in ("rgb", "bgr"):
        card = NetworkCard(
            name="t", input_size=(32, 32), channels=channels, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2)
        )
        net = FaceNetwork(nn.Flatten(), card)
        found.append(parts_of(Call(net, net.prepare(image), Logit(0)), "superpixels", 16))
    assert torch.equal(*found)


def test_superpixels_follow_edges() -> None:
    net = FaceNetwork(nn.Flatten(), NetworkCard(name="t", input_size=(32, 32)))
    x = torch.zeros(1, 3, 32, 32)
    disc = (torch.arange(32)[:, None] - 15).square() + (torch.arange(32) - 14).square() < 80
    x[:, :, disc] = 1
    parts = parts_of(Call(net, x, Logit(0)), "superpixels", 16)[0].bool()
    inside, area = (parts & disc).sum(dim=(1, 2)), parts.sum(dim=(1, 2))
    mixed = torch.minimum(inside, area - inside).sum()
    assert int(mixed) < 40, "superpixels cross the edge of the disc"


@pytest.mark.parametrize("method", METHODS)
def test_empty_parts_change_nothing(method: str) -> None:
    net, x = make("prelu", torch.float64), inputs(2, torch.float64)
    parts = parts_of(Call(net, x, Logit(1)), "grid", 10)
    padded = torch.stack([torch.cat([parts, 0 * parts[:2]]), torch.cat([0 * parts[:2], parts])])
    plain = attribute(net, x, Logit(1), method, parts=parts, samples=20)
    torch.testing.assert_close(attribute(net, x, Logit(1), method, parts=padded, samples=20), plain)
    assert not attribute(net, x, Logit(1), method, parts=0 * parts, samples=20).any()


def test_an_empty_part_has_no_value() -> None:
    net, x = shared("prelu"), inputs()
    parts = parts_of(Call(net, x, Logit(1)), "face", 0)
    own = torch.stack([parts, parts])
    own[1, 3] = 0
    for samples in ("exact", 8):
        found = shapley_values(net, x, Logit(1), own, samples=samples)
        assert found.values[1, 3] == 0
        assert bool((found.values[0] != 0).all())
        torch.testing.assert_close(found.values.sum(dim=1), found.whole - found.empty, atol=1e-6, rtol=1e-4)
    nothing = shapley_values(net, x, Logit(1), 0 * parts)
    assert not nothing.values.any()
    assert torch.equal(nothing.whole, nothing.empty)


def test_what_cannot_be_shared_is_refused() -> None:
    net, x = shared("plain"), inputs()
    with pytest.raises(
        SpecError, match=r"Exact Shapley values of 17 parts take 2\^17 coalitions; the most is 16"
    ):
        shapley_values(net, x, 1, torch.ones(17, 32, 32))
    with pytest.raises(
        SpecError, match="'samples' must be even, as each order is also walked backwards; got 5"
    ):
        shapley_values(net, x, 1, samples=5)
    with pytest.raises(SpecError, match="'samples' must be an int of at least 4; got 'all'"):
        shapley_values(net, x, 1, samples="all")
    with pytest.raises(SpecError, match="'samples' must be an int of at least 32; got 31"):
        attribute(net, x, 1, "kernel_shap", samples=31)
    with pytest.raises(SpecError, match="'n_parts' must be an int of at least 2; got 1"):
        attribute(net, x, 1, "shapley_sampling", n_parts=1)
    with pytest.raises(TargetError, match="is out of range"):
        shapley_values(net, x, 77)
    with pytest.raises(AttributionError, match="No images"):
        shapley_values(net, x[:0], 1)
