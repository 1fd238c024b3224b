"""Linear probes beside expressivity."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

from fusiform.faces import Attribute
from fusiform.studies.expressivity import _linear
from fusiform.studies.expressivity._asked import Known, ask
from fusiform.studies.expressivity._linear import COLUMNS, linear_probes
from fusiform.studies.expressivity._request import ExpressivityRequest

SCHEMA = {
    "identity": Attribute("identity"),
    "yaw": Attribute("continuous", "deg"),
    "noise": Attribute("continuous"),
    "Male": Attribute("binary"),
    "race": Attribute("categorical"),
}
REQUEST = ExpressivityRequest.from_mapping({"network": "demo", "faces": "x"})


@pytest.fixture(scope="module")
def planted():
    rng = np.random.default_rng(0)
    n, people = 900, 60
    who = rng.permutation(np.arange(n) % people)
    own = rng.normal(size=(people, 12))
    X = (own[who] + 0.3 * rng.normal(size=(n, 12))).astype(np.float32) * 7 + 100
    table = pd.DataFrame(
        {
            "identity": pd.Series([f"p{k}" for k in who], dtype="string"),
            "yaw": 3 * X[:, 0] + rng.normal(size=n),
            "noise": rng.normal(size=n),
            "Male": pd.array(X[:, 1] > 100, dtype="boolean"),
            "race": pd.Series(np.array(["a", "b", "c"])[X[:, :3].argmax(axis=1)], dtype="string"),
        }
    )
    return X, ask(Known(table, SCHEMA, "identity"), None, REQUEST)


def test_what_is_linear_is_found_and_noise_is_not(planted):
    X, asked = planted
    table = linear_probes(X, asked)
    assert list(table.columns) == COLUMNS
    rows = table.set_index("attribute")
    assert rows.metric.to_dict() == {
        "identity": "error rate",
        "yaw": "mean absolute error",
        "noise": "mean absolute error",
        "Male": "error rate",
        "race": "error rate",
    }
    assert rows.unit["yaw"] == "deg"
    assert rows.value["yaw"] == pytest.approx(
        np.sqrt(2 / np.pi), rel=0.1
    )  # the mean of a normal's absolute value
    assert rows.chance["yaw"] > 10
    assert rows.value["Male"] < 0.1 < rows.chance["Male"]
    assert rows.value["race"] < 0.15
    assert rows.value["identity"] < 0.4
    assert rows.chance["identity"] > 0.9
    assert rows.value["noise"] == pytest.approx(rows.chance["noise"], rel=0.05)
    assert (rows.lower <= rows.value).all()
    assert (rows.value <= rows.upper).all()
    assert (rows.n_train + rows.n_test == 900).all()
    assert rows.n_train.between(510, 570).all()  # 3:2, by whole people


@pytest.mark.parametrize(("attribute", "shared"), [("identity", True), ("yaw", False)])
def test_nobody_is_in_training_and_test_but_for_identity(planted, monkeypatch, attribute, shared):
    X, asked = planted
    parts = []
    split = _linear._split

    def kept(n, groups, seed):
        parts.append(split(n, groups, seed))
        return parts[-1]

    monkeypatch.setattr(_linear, "_split", kept)
    linear_probes(X, ask(asked.known, [attribute], REQUEST))
    ((train, test),) = parts
    assert not set(train) & set(test)
    who = asked.known.table.identity.to_numpy()
    assert bool(set(who[train]) & set(who[test])) == shared


def test_at_most_3000_to_train_and_2000_to_test():
    train, test = _linear._split(9000, np.arange(9000) // 3, 0)
    assert (len(train), len(test)) == (3000, 2000)
    train, test = _linear._split(5000, None, 0)
    assert (len(train), len(test)) == (3000, 2000)
    train, test = _linear._split(100, None, 0)
    assert (len(train), len(test)) == (60, 40)


def test_ridge_equals_a_plain_loop_over_penalties(planted):
    X, asked = planted
    y = asked.known.table["yaw"].to_numpy()[:, None]
    train, test = slice(0, 200), slice(200, 300)
    mean, deviation = X[train].mean(axis=0), X[train].std(axis=0)
    standard = (X - mean) / deviation
    best = None
    for alpha in _linear._ALPHAS:
        errors = []
        for left in range(0, 200, 8):  # some of the images, each left out once
            kept = np.delete(np.arange(200), left)
            model = Ridge(alpha=alpha).fit(standard[kept], y[kept])
            errors.append(((model.predict(standard[[left]]) - y[left]) ** 2).item())
        if best is None or np.mean(errors) < best[0]:
            best = np.mean(errors), Ridge(alpha=alpha).fit(standard[train], y[train]).predict(standard[test])
    found = _linear._ridge(X[train], y[train], X[test])
    np.testing.assert_allclose(found.ravel(), np.ravel(best[1]), rtol=1e-3)


def test_more_features_than_images(planted):
    _, asked = planted
    wide = np.random.default_rng(1).normal(size=(900, 1200)).astype(np.float32)
    table = linear_probes(wide, asked).set_index("attribute")
    assert table.value["Male"] == pytest.approx(table.chance["Male"], abs=0.06)
    assert np.isfinite(table.value).all()
