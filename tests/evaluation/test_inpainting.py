"""The inpainting game, against a loop over blends, with planted parts."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evaluation.nets import assert_untouched, gradient, images, residual_net, state_of
from tests.reference.evaluation import slow_game
from torch import nn

from fusiform.errors import EvaluationError, FusiformError
from fusiform.evaluation import baseline_maps, inpainting_game
from fusiform.networks import FaceNetwork, NetworkCard
from fusiform.targets import Contrast, Similarity

SIDE, PARTS = 8, ("nose", "nose", "mouth", "nose", "mouth")


def verifier():
    """Embeds by a fixed rotation of the pixels: cosines of images."""
    card = NetworkCard(name="cosine", input_size=(SIDE, SIDE), channels="grey", mean=(0.0,), std=(1.0,))
    return FaceNetwork(nn.Flatten(), card)


def triplets(n=5, seed=0):
    """Probes, mates, and twins of both in whom one part is another's."""
    generator = torch.Generator().manual_seed(seed)
    masks = torch.zeros(n, SIDE, SIDE, dtype=torch.bool)
    for i, part in enumerate((PARTS * n)[:n]):
        masks[i, 2:4, 3:6] = part == "nose"
        masks[i, 5:7, 2:6] |= part == "mouth"
    probes = torch.randn(n, 1, SIDE, SIDE, generator=generator)
    other = 2 * torch.randn(probes.shape, generator=generator)
    twins = torch.where(masks[:, None], other, probes)
    noise = 0.3 * torch.randn(probes.shape, generator=generator)
    return probes, twins, Contrast((probes + noise).flatten(1), (twins + noise).flatten(1)), masks


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), levels=st.integers(1, 30), sign=st.booleans())
def test_it_equals_a_loop_over_blends(seed, levels, sign):
    net = verifier()
    probes, twins, target, masks = triplets(seed=seed)
    maps = torch.randn(5, SIDE, SIDE, generator=torch.Generator().manual_seed(seed)) + 2.0 * masks
    maps = maps.double() if sign else maps.double().exp()
    rates = (0.0, 0.01, 0.05, 0.3)
    result = inpainting_game(
        net, probes, target, maps, twins, masks, parts=PARTS, levels=levels, false_alarm_rates=rates, draws=0
    )
    assert result.kept + result.dropped == 5
    played = result.played.tolist()
    if not result.kept:
        assert not len(result.table)
        return
    kept = [i for i in range(5) if played[i]]
    mate, nonmate = (r.reference.double().numpy() for r in (target.mate, target.nonmate))
    rows = iter(())

    def contrast(blend):
        flat = blend.ravel() / np.linalg.norm(blend)
        return flat @ next(rows)

    directions = [mate[i] - nonmate[i] for i in kept for _ in range(levels + 1)]
    rows = iter(directions)
    found = slow_game(
        contrast,
        [probes[i].double().numpy() for i in kept],
        [twins[i].double().numpy() for i in kept],
        [maps[i].numpy() for i in kept],
        [masks[i].numpy() for i in kept],
        [PARTS[i] for i in kept],
        rates,
        levels,
    )
    assert result.table.query("part == 'all'")["value"].tolist() == pytest.approx(found, abs=1e-9)


def test_the_part_itself_wins_and_maps_without_a_network_do_not():
    net = verifier()
    probes, twins, target, masks = triplets(40)
    options = {"parts": (PARTS * 40)[:40], "seed": 1}
    before = state_of(net)
    values = {
        name: inpainting_game(net, probes, target, maps, twins, masks, **options).table
        for name, maps in {
            "truth": (masks * (twins - probes)[:, 0].abs()),
            "mask": masks.float(),
            "random": baseline_maps(probes, "random"),
            "gaussian": baseline_maps(probes, "gaussian"),
            "upside down": (~masks).float(),
        }.items()
    }
    assert_untouched(net, before)
    at = {k: t.query("part == 'all' and false_alarm_rate == 0.01")["value"].item() for k, t in values.items()}
    # One step before the threshold that replaces all, a mask is replaced but for its last pixels.
    assert at["truth"] > 0.95
    assert at["mask"] > 0.95
    assert max(at["random"], at["gaussian"], at["upside down"]) < 0.2
    table = values["mask"]
    assert table["part"].tolist() == ["all", "all", "mouth", "mouth", "nose", "nose"]
    assert (table["lower"] <= table["value"]).all()
    assert (table["value"] <= table["upper"]).all()
    parts = table.query("part != 'all'").groupby("false_alarm_rate")["value"].mean()
    assert parts[0.05] == pytest.approx(
        table.query("part == 'all' and false_alarm_rate == 0.05")["value"].item(), abs=0.03
    )


def test_parts_weigh_the_same_however_many_triplets_they_have():
    net = verifier()
    probes, twins, target, masks = triplets(2)
    rows = torch.tensor([0, 0, 0, 1])
    maps = torch.randn(2, SIDE, SIDE) + masks * torch.tensor([5.0, 0.0])[:, None, None]
    result = inpainting_game(
        net, probes[rows], target.rows(rows), maps[rows], twins[rows], masks[rows],
        parts=["nose", "nose", "nose", "mouth"],
    )  # fmt: skip
    assert result.kept == 4
    each = {part: table.reset_index() for part, table in result.curves.groupby("part")}
    mean = (each["nose"]["classified_nonmate"] + each["mouth"]["classified_nonmate"]) / 2
    assert each["all"]["classified_nonmate"].tolist() == pytest.approx(mean.tolist())
    outside = 3 * (~masks[0]).sum().item(), (~masks[1]).sum().item()
    pooled = (
        outside[0] * each["nose"]["false_alarm_rate"] + outside[1] * each["mouth"]["false_alarm_rate"]
    ) / sum(outside)
    assert each["all"]["false_alarm_rate"].tolist() == pytest.approx(pooled.tolist())


def test_only_triplets_that_the_network_tells_apart_are_played():
    net = verifier()
    probes, twins, target, masks = triplets(3)
    hopeless = Contrast(target.mate.reference.clone(), target.nonmate.reference.clone())
    hopeless._references[0][1] = -hopeless._references[0][1]
    seen = []

    def explain(net, x, target):
        seen.append((len(x), len(target.mate.reference)))
        return gradient(net, x, target)

    result = inpainting_game(net, probes, hopeless, explain, twins, masks)
    assert result.played.tolist() == [True, False, True]
    assert (result.kept, result.dropped) == (2, 1)
    assert seen == [(2, 2)]
    assert (result.table["n"] == 2).all()
    strict = inpainting_game(net, probes, target, explain, twins, masks, threshold=0.999)
    assert (strict.kept, strict.dropped) == (0, 3)
    assert list(strict.table.columns) == list(result.table.columns)
    cosines = (Similarity(target.mate.reference)(net, twins), Similarity(target.mate.reference)(net, probes))
    between = ((cosines[0].max() + cosines[1].min()) / 2).item()
    if cosines[0].max() < cosines[1].min():
        assert inpainting_game(net, probes, target, explain, twins, masks, threshold=between).kept == 3


def test_the_mask_is_what_differs_and_a_map_without_mass_is_chance():
    net = verifier()
    probes, twins, target, masks = triplets(4)
    maps = baseline_maps(probes, "gaussian")
    given_, own = (inpainting_game(net, probes, target, maps, twins, m).table for m in (masks, None))
    assert given_.equals(own)
    curves = inpainting_game(net, probes, target, torch.zeros(4, SIDE, SIDE), twins, levels=64).curves
    assert curves["mass"].tolist() == pytest.approx([k / 64 for k in range(65)])
    assert curves["false_alarm_rate"].tolist() == pytest.approx([k / 64 for k in range(65)], abs=0.1)
    assert curves["true_positive_rate"].iloc[[0, -1]].tolist() == [0, 1]
    assert curves["classified_nonmate"].iloc[[0, -1]].tolist() == [0, 1]


def test_people_are_resampled_whole():
    net = verifier()
    probes, twins, target, masks = triplets(20)
    one = inpainting_game(net, probes, target, baseline_maps(probes), twins, masks, groups=["ann"] * 20).table
    assert one["lower"].tolist() == one["value"].tolist() == one["upper"].tolist()
    each = inpainting_game(
        net, probes, target, baseline_maps(probes), twins, masks, false_alarm_rates=[0.3]
    ).table
    assert (each["lower"] < each["upper"]).all()


def test_on_a_network_with_convolutions():
    net, x = residual_net(head="embedding"), images(4)
    twins = x.clone()
    twins[:, :, 3:9, 3:9] = images(4, seed=7)[:, :, 3:9, 3:9]
    with torch.no_grad():
        target = Contrast(net(x), net(twins))
    result = inpainting_game(net, x, target, gradient, twins, batch_size=3)
    assert result.kept == 4


def test_bad_input_is_refused():
    net = verifier()
    probes, twins, target, masks = triplets(2)
    maps = masks.float()
    for call, text in [
        (lambda: inpainting_game(net, probes, target.mate, maps, twins), "for a Contrast .*; got Similarity"),
        (lambda: inpainting_game(net, probes, target, maps, probes), "Nothing was inpainted.*image 0, 1"),
        (lambda: inpainting_game(net, probes, target, maps, twins, ~(masks & False)), "No pixel is outside"),
        (lambda: inpainting_game(net, probes, target, maps, twins[:1]), "1 images|for each of the 2 probes"),
        (
            lambda: inpainting_game(net, probes, target, maps, twins, parts=["nose"]),
            "each of the 2 triplets; got 1",
        ),
        (lambda: inpainting_game(net, probes, target, maps, twins, levels=0), "1 or more steps; got 0"),
        (lambda: inpainting_game(net, probes, target, maps, twins, false_alarm_rates=[2]), "from 0 to 1"),
        (lambda: inpainting_game(net, probes, target, maps[:, :4], twins), r"got \(2, 4, 8\)"),
        (
            lambda: inpainting_game(net, probes, target, maps, twins, groups=["a"]),
            "identity of each of the 2",
        ),
    ]:
        with pytest.raises(FusiformError, match=text):
            call()
    with pytest.raises(EvaluationError, match="shape of the maps"):
        inpainting_game(net, probes, target, maps, twins, masks[:, :3])
