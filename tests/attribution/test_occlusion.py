import numpy as np
import pytest
import torch
from tests.attribution.small import inputs, make, shared
from tests.reference.perturbation import slow_occlusion
from torch import Tensor, nn

from fusiform.attribution import (
    FRONTAL_PARTS,
    attribute,
    frontal_parts,
    learn_pair_threshold,
)
from fusiform.errors import AttributionError, NotApplicableError, SpecError
from fusiform.faces import TEMPLATES
from fusiform.networks import FaceNetwork, NetworkCard
from fusiform.perturbation import baseline
from fusiform.targets import Contrast, Logit, MatchProbability, Probability, Similarity


def _linear(weights: Tensor, side: int = 12) -> FaceNetwork:
    """The score is a weighted sum of pixels."""
    fc = nn.Linear(3 * side * side, 1, bias=False)
    fc.weight.data.copy_(weights.flatten()[None])
    card = NetworkCard(name="linear", input_size=(side, side), head="embedding")
    return FaceNetwork(nn.Sequential(nn.Flatten(), fc), card)


@pytest.mark.parametrize("kind", ["residual", "prelu", "max_feature_map"])
@pytest.mark.parametrize(
    ("window", "stride"), [(8, 4), ((9, 5), (4, 5)), (32, 1)], ids=["square", "oblong", "whole image"]
)
def test_occlusion_is_equation_1(kind: str, window: object, stride: object) -> None:
    net, x = make(kind, torch.float64), inputs(2, torch.float64)
    target = Contrast(*torch.randn(2, 2, 6, generator=torch.Generator().manual_seed(5)).double())
    base = baseline(net, x, "blur")
    maps = attribute(net, x, target, "occlusion", window=window, stride=stride, baseline="blur")
    two = [v if isinstance(v, tuple) else (v, v) for v in (window, stride)]
    for i in range(2):
        of = target.rows(torch.tensor([i]))
        expected = slow_occlusion(
            lambda image, of=of: float(of(net, torch.from_numpy(image)[None]).detach()),
            x[i].numpy(),
            base[i].numpy(),
            *two,
        )
        np.testing.assert_allclose(maps[i].numpy(), expected, atol=1e-12)


def test_occlusion_by_single_pixels_is_exact_on_a_linear_score() -> None:
    weights = torch.randn(3, 12, 12, generator=torch.Generator().manual_seed(0))
    net, x = _linear(weights), torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    maps = attribute(net, x, Logit(0), "occlusion", window=1, stride=1, baseline=0.0)
    torch.testing.assert_close(maps, (weights * x).sum(dim=1), atol=1e-5, rtol=1e-5)


def test_occlusion_defaults_to_a_seventh_in_half_steps() -> None:
    net, x = shared("plain"), inputs()
    torch.testing.assert_close(
        attribute(net, x, 1), attribute(net, x, Probability(1), "occlusion", window=5, stride=2)
    )


def test_autocast_changes_little() -> None:
    net, x = shared("residual"), inputs()
    full = attribute(net, x, Logit(1), "occlusion", window=8)
    half = attribute(net, x, Logit(1), "occlusion", window=8, autocast=torch.bfloat16)
    assert half.dtype == torch.float32
    assert not torch.equal(full, half)
    assert float(np.corrcoef(full.flatten(), half.flatten())[0, 1]) > 0.9


def test_windows_that_cannot_be_are_refused() -> None:
    net, x = shared("plain"), inputs()
    with pytest.raises(
        SpecError, match=r"'window' is a number of pixels, or \(height, width\), from 1 to 32 and 32"
    ):
        attribute(net, x, 1, "occlusion", window=33)
    with pytest.raises(
        SpecError, match=r"'stride' .* to 4 and 4, the window's sides, so that every pixel.*got 5"
    ):
        attribute(net, x, 1, "occlusion", window=4, stride=5)
    for bad in (0, 2.5, (4, 4, 4), "wide", True):
        with pytest.raises(SpecError, match="option 'window'"):
            attribute(net, x, 1, "occlusion", window=bad)


def test_scores_that_are_not_finite_are_refused_by_row() -> None:
    # The second image is hidden to a length of 0, which has no direction.
    net = _linear(torch.ones(3, 4, 4), 4)
    x = torch.ones(2, 3, 4, 4)
    x[1] = 0
    x[1, 0, 0, 0] = 1
    with pytest.raises(AttributionError, match="'linear' for perturbed inputs are not finite for image 1 of"):
        attribute(net, x, Similarity(torch.ones(1)), "occlusion", window=2, stride=2, baseline=0.0)


# parts of the face -----------------------------------------------------------------------------------------


def test_parts_sum_to_the_drop_and_overlaps_add() -> None:
    net, x = shared("prelu"), inputs()
    parts = torch.zeros(3, 32, 32, dtype=torch.bool)
    parts[0, 4:12, 6:14], parts[1, 8:20, 10:30] = True, True  # the third is empty
    maps = attribute(net, x, Logit(0), "part_occlusion", parts=parts)
    base = baseline(net, x, "mean")
    whole = Logit(0)(net, x).detach()
    drops = [whole - Logit(0)(net, torch.where(part, base, x)).detach() for part in parts]
    expected = sum(d[:, None, None] * p / p.sum() for d, p in zip(drops[:2], parts[:2], strict=True))
    torch.testing.assert_close(maps, expected, atol=1e-7, rtol=1e-4)
    own = torch.stack([parts, parts.flip(-1)])
    each = attribute(net, x, Logit(0), "part_occlusion", parts=own)
    torch.testing.assert_close(each[0], maps[0])
    torch.testing.assert_close(each[1], attribute(net, x[1:], Logit(0), "part_occlusion", parts=own[1])[0])


@pytest.mark.parametrize("alignment", [None, *TEMPLATES])
@pytest.mark.parametrize("side", [32, 112])
def test_frontal_parts_lie_where_the_template_has_them(alignment: str | None, side: int) -> None:
    card = NetworkCard(name="t", input_size=(side, side), alignment=alignment)
    parts = frontal_parts(FaceNetwork(nn.Flatten(), card))
    assert parts.shape == (8, side, side)
    assert int(parts.sum(dim=0).max()) == 1, "parts overlap"
    template = TEMPLATES[alignment or "arcface_112"]
    scale = np.array([side / template.size[1], side / template.size[0]])
    found = dict(zip(FRONTAL_PARTS, parts, strict=True))
    points = (template.array() + 0.5) * scale - 0.5
    mouth = points[3:].mean(axis=0)
    for name, (px, py) in {
        "left_eye": points[0],
        "right_eye": points[1],
        "nose": points[2],
        "mouth": mouth,
    }.items():
        assert bool(found[name][round(py), round(px)]), name
    tall = {name: float(part.nonzero()[:, 0].double().mean()) for name, part in found.items() if part.any()}
    if side == 112:
        assert len(tall) == 8
        assert tall["left_brow"] < tall["left_eye"] < tall["left_cheek"] < tall["mouth"]


def test_parts_that_do_not_fit_are_refused() -> None:
    net, x = shared("plain"), inputs()

    def run(parts: object) -> None:
        attribute(net, x, 1, "part_occlusion", parts=parts)

    with pytest.raises(
        SpecError, match=r"\(p, 32, 32\) or \(2, p, 32, 32\), in pixels .*; got \(8, 32, 31\)"
    ):
        run(torch.ones(8, 32, 31))
    with pytest.raises(SpecError, match=r"got \(3, 8, 32, 32\)"):
        run(torch.ones(3, 8, 32, 32))
    with pytest.raises(SpecError, match="at least one; got none"):
        run(torch.ones(0, 32, 32))
    with pytest.raises(SpecError, match="bools, or numbers from 0 to 1"):
        run(torch.full((1, 32, 32), 1.5))
    with pytest.raises(SpecError, match=r"there is no 'faces', did you mean 'face'\?"):
        run("faces")
    with pytest.raises(SpecError, match="there is no 'None'"):
        run(None)


# pairs -----------------------------------------------------------------------------------------------------


def _pair(kind: str = "prelu") -> tuple[FaceNetwork, Tensor, Tensor, Tensor]:
    net, x, y = shared(kind), inputs(), inputs(seed=9)
    return net, x, y, net.embed(y).detach()


def test_paired_occlusion_hides_the_same_place_in_both() -> None:
    net, x, y, e = _pair()
    maps = attribute(net, x, Similarity(e), "paired_occlusion", pair=y, window=8, stride=8, baseline="black")
    bases = [baseline(net, images, "black") for images in (x, y)]
    whole = (net.embed(x) * e).sum(dim=1)
    for top in range(0, 32, 8):
        for left in range(0, 32, 8):
            hidden = [x.clone(), y.clone()]
            for images, base in zip(hidden, bases, strict=True):
                images[:, :, top : top + 8, left : left + 8] = base[:, :, top : top + 8, left : left + 8]
            drop = whole - (net.embed(hidden[0]) * net.embed(hidden[1])).sum(dim=1)
            expected = drop.detach()[:, None, None].expand(2, 8, 8)
            torch.testing.assert_close(
                maps[:, top : top + 8, left : left + 8], expected, atol=2e-6, rtol=1e-4
            )


def test_paired_occlusion_is_symmetric_and_zero_for_identical_images() -> None:
    net, x, y, e = _pair()
    there = attribute(net, x, Similarity(e), "paired_occlusion", pair=y, window=8)
    back = attribute(net, y, Similarity(net.embed(x).detach()), "paired_occlusion", pair=x, window=8)
    torch.testing.assert_close(there, back, atol=1e-6, rtol=1e-4)
    assert float(there.abs().max()) > 1e-4
    same = attribute(net, y, Similarity(e), "paired_occlusion", pair=y, window=8)
    assert float(same.abs().max()) < 1e-6


def test_paired_occlusion_of_a_match_probability_drops_the_probability() -> None:
    net, x, y, e = _pair()
    options = {"pair": y, "window": 32}
    probability = attribute(
        net, x, MatchProbability(e, 20.0, -3.0), "paired_occlusion", baseline="blur", **options
    )
    cosine = (net.embed(x) * e).sum(dim=1).detach()
    left = cosine - attribute(net, x, Similarity(e), "paired_occlusion", baseline="blur", **options)[:, 0, 0]
    expected = (20 * cosine - 3).sigmoid() - (20 * left - 3).sigmoid()
    torch.testing.assert_close(probability[:, 5, 7], expected, atol=1e-5, rtol=1e-3)


def test_paired_occlusion_takes_baselines_for_each_and_one_reference_for_all() -> None:
    net, x, y, e = _pair()
    other = inputs(seed=3)
    each = attribute(net, x, Similarity(e), "paired_occlusion", pair=y, window=8, baseline=other)
    alone = attribute(
        net, x[1:], Similarity(e[1]), "paired_occlusion", pair=y[1:], window=8, baseline=other[1]
    )
    torch.testing.assert_close(each[1:], alone, atol=1e-6, rtol=1e-4)


def test_paired_occlusion_says_what_it_needs() -> None:
    net, x, y, e = _pair()
    with pytest.raises(
        NotApplicableError, match=r"similarity of two images; the target is contrast. Use Similarity"
    ):
        attribute(net, x, Contrast(e, -e), "paired_occlusion", pair=y)
    with pytest.raises(NotApplicableError, match=r"as the option pair=, of shape \(2, 3, 32, 32\)"):
        attribute(net, x, Similarity(e), "paired_occlusion")
    with pytest.raises(AttributionError, match="2 images and 1 second ones"):
        attribute(net, x, Similarity(e), "paired_occlusion", pair=y[:1])
    with pytest.raises(AttributionError, match="not those the target compares with"):
        attribute(net, x, Similarity(e.flip(0)), "paired_occlusion", pair=y)
    with pytest.raises(SpecError, match="'threshold' must be above 0; got 0"):
        attribute(net, x, Similarity(e), "paired_occlusion", pair=y, threshold=0)


def test_a_learned_threshold_lights_up_pairs_that_do_not_match() -> None:
    random = torch.Generator().manual_seed(0)
    # Hiding raises the similarity by up to 0.02 everywhere; where two people differ, by 0.1.
    noise = 0.02 * torch.rand(60, 8, 8, generator=random)
    matches, nonmatches = -noise[:30], -noise[30:].clone()
    nonmatches[:, 2:4, 5:7] -= 0.1
    found = learn_pair_threshold(matches[:15], nonmatches[:15])
    assert 0.02 < found.value < 0.1
    assert (found.hits, found.false_alarms, found.n_matches, found.n_nonmatches) == (1.0, 0.0, 15, 15)
    assert not bool((matches[15:] / found.value < -1).any())
    lit = nonmatches[15:] / found.value < -1
    assert bool(lit[:, 2:4, 5:7].all())
    assert int(lit.sum()) == 15 * 4
    net, x, y, e = _pair()
    plain = attribute(net, x, Similarity(e), "paired_occlusion", pair=y, window=8)
    scaled = attribute(net, x, Similarity(e), "paired_occlusion", pair=y, window=8, threshold=found.value)
    torch.testing.assert_close(scaled, plain / found.value)


def test_a_threshold_weighs_hits_against_false_alarms() -> None:
    peaks = torch.tensor([0.1, 0.2, 0.3, 0.9])
    matches, nonmatches = -peaks[:, None, None], -(peaks + 0.15)[:, None, None]
    found = learn_pair_threshold(matches, nonmatches)
    # Of the levels 0, .1, .2, .25, .3, .35, .45, .9, 1.05: best between .2 and .25 (1 to 1/2) and between .3 and .35
    # (3/4 to 1/4), and the lowest of equals is taken.
    assert (found.hits, found.false_alarms) == (1.0, 0.5)
    assert found.value == pytest.approx(0.225)


def test_maps_that_tell_nothing_apart_teach_no_threshold() -> None:
    maps = torch.full((3, 4, 4), -0.1)
    for matches, nonmatches in ((maps, maps), (maps, maps / 2), (-maps, -maps)):
        with pytest.raises(
            AttributionError, match="No threshold makes more of the non-matching pairs light up"
        ):
            learn_pair_threshold(matches, nonmatches)
    with pytest.raises(AttributionError, match=r"Maps of matching pairs .*; got \(0, 4, 4\)"):
        learn_pair_threshold(maps[:0], maps)
    with pytest.raises(AttributionError, match="Maps of non-matching pairs"):
        learn_pair_threshold(maps, maps * float("nan"))
