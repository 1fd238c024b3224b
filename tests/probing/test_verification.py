import numpy as np
import pandas as pd
import pytest

from fusiform.faces import identity_codes
from fusiform.probing import verify_layers
from fusiform.statistics import roc_auc


def by_hand(X, who):
    """Every pair, one after the other."""
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    pairs = [(unit[i] @ unit[j], who[i] == who[j]) for i in range(len(X)) for j in range(i)]
    scores, same = np.array([s for s, _ in pairs]), np.array([g for _, g in pairs])
    return roc_auc(scores[same], scores[~same]), int(same.sum())


def test_equal_to_cosines_of_whole_activations(small_net, planted_faces, tmp_path):
    faces = planted_faces.subset(np.arange(120))
    table = verify_layers(small_net, faces, ["stage2", "fc"]).set_index("layer")
    spilled = verify_layers(small_net, faces, ["stage2", "fc"], memory_gb=0.001, scratch=tmp_path)
    np.testing.assert_allclose(spilled.auc, table.auc, atol=1e-4)
    counts = faces.table.identity.value_counts()
    several = faces.table.identity.map(counts).to_numpy() > 1
    who = identity_codes(faces.table.identity[several])
    taken = small_net.activations(small_net.prepare(faces.images(several)), ["stage2", "fc"])
    X = taken["stage2"].detach().flatten(1).double().numpy()
    squares = (X - X.mean(axis=0)) ** 2
    alive = (squares.sum(axis=0) > 0) & (squares.max(axis=0) <= 0.5 * squares.sum(axis=0))
    X = (X - X.mean(axis=0))[:, alive] / X[:, alive].std(axis=0, ddof=1)
    for layer, features in (("stage2", X), ("fc", taken["fc"].detach().double().numpy())):
        auc, n_genuine = by_hand(features, who)
        assert table.auc[layer] == pytest.approx(auc, abs=1e-4)
        assert table.n_genuine[layer] == n_genuine
    # The embedding is compared as it is: standardised, it would be another number.
    assert table.auc["fc"] != pytest.approx(by_hand(X, who)[0], abs=1e-3)


def test_people_are_drawn_whole_and_within_the_limit(small_net, planted_faces):
    table = verify_layers(small_net, planted_faces, ["fc"], n_images=100)
    # Ten people with ten images each.
    assert table.n_genuine.item() == 10 * 45
    assert table.n_impostor.item() == 100 * 99 // 2 - 450


def test_without_people_seen_twice_there_is_no_row(small_net, planted_faces):
    first = ~planted_faces.table.identity.duplicated().to_numpy()
    assert verify_layers(small_net, planted_faces.subset(first), ["fc"]).empty
    nobody = planted_faces.subset(first)
    assert isinstance(verify_layers(small_net, nobody), pd.DataFrame)
