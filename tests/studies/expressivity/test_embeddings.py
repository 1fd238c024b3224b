"""Features and attributes from files, and what may be wrong with them."""

import numpy as np
import pandas as pd
import pytest

from fusiform.errors import DataError
from fusiform.studies.expressivity._embeddings import read_embeddings

N, M = 30, 4


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(N, M)).astype(np.float32)


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "image_id": [f"{k:03d}.jpg" for k in range(N)],
            "person": [f"p{k // 5}" for k in range(N)],
            "smiling": rng.choice(["yes", "no"], N),
            "age": rng.integers(18, 80, N),
        }
    )


def columns(values: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(values, columns=[f"f{k}" for k in range(M)])


@pytest.mark.parametrize("kind", ["npy", "npz", "named.npz", "parquet", "csv", "lists.parquet", "maps.npy"])
def test_every_kind_of_file_gives_the_same(tmp_path, values, table, kind):
    file = tmp_path / f"features.{kind}"
    if kind == "npy":
        np.save(file, values)
    elif kind == "npz":
        np.savez(file, values)
    elif kind == "named.npz":
        np.savez(file, embeddings=values, other=np.zeros(3))
    elif kind == "parquet":
        columns(values).to_parquet(file)
    elif kind == "csv":
        columns(values).to_csv(file, index=False)
    elif kind == "lists.parquet":
        pd.DataFrame({"embedding": list(values)}).to_parquet(file)
    else:
        np.save(file, values.reshape(N, M, 1, 1))
    table.to_csv(tmp_path / "a.csv", index=False)
    read = read_embeddings(file, tmp_path / "a.csv")
    np.testing.assert_allclose(read.values, values, rtol=1e-5)
    assert read.values.dtype == np.float32
    assert {name: a.kind for name, a in read.known.schema.items()} == {
        "person": "identity",
        "smiling": "binary",
        "age": "continuous",
    }
    assert read.known.identity == "person"
    assert read.said == ()


def test_rows_are_brought_together_by_image_id(tmp_path, values, table):
    shuffled = np.random.default_rng(2).permutation(N)[:20]
    features = columns(values).assign(image_id=table.image_id).iloc[shuffled]
    features.to_parquet(tmp_path / "f.parquet")
    table.to_parquet(tmp_path / "a.parquet")
    read = read_embeddings(tmp_path / "f.parquet", tmp_path / "a.parquet")
    np.testing.assert_array_equal(read.values, values[shuffled])
    assert read.known.table["age"].tolist() == table.age.iloc[shuffled].tolist()
    assert read.said == (f"10 images of '{tmp_path}/a.parquet' have no features and are left aside",)


def test_an_index_joins_too(tmp_path, values, table):
    columns(values).set_index(pd.Index(table.image_id, name="index")).to_parquet(tmp_path / "f.parquet")
    table.sample(frac=1, random_state=0).to_csv(tmp_path / "a.csv", index=False)
    read = read_embeddings(tmp_path / "f.parquet", tmp_path / "a.csv")
    assert read.known.table["age"].tolist() == table.age.tolist()


def test_identity_is_named_or_found(tmp_path, values, table):
    np.save(tmp_path / "f.npy", values)
    renamed = table.rename(columns={"person": "klant"})
    renamed.to_csv(tmp_path / "a.csv", index=False)
    assert read_embeddings(tmp_path / "f.npy", tmp_path / "a.csv").known.identity is None
    read = read_embeddings(tmp_path / "f.npy", tmp_path / "a.csv", identity="klant")
    assert read.known.schema["klant"].kind == "identity"
    with pytest.raises(DataError, match="no column 'klent'; did you mean 'klant'"):
        read_embeddings(tmp_path / "f.npy", tmp_path / "a.csv", identity="klent")


def test_what_is_left_aside_is_said(tmp_path, values, table):
    columns(values).assign(source="web").to_csv(tmp_path / "f.csv", index=False)
    table.assign(bbox="1 2 3 4").to_csv(tmp_path / "a.csv", index=False)
    read = read_embeddings(tmp_path / "f.csv", tmp_path / "a.csv")
    assert read.values.shape == (N, M)
    assert [text.partition(" is left aside: ")[2] for text in read.said] == [
        "it holds no numbers",
        "by its name it describes the file or the detection, not the face",
    ]


def test_attributes_are_no_features(tmp_path, values, table):
    wide = columns(values).assign(**table[["image_id", "person", "age"]])
    wide.to_csv(tmp_path / "wide.csv", index=False)
    with pytest.raises(
        DataError, match=r"no columns of features.*f0: it is an attribute; f1: it is an attribute"
    ):
        read_embeddings(tmp_path / "wide.csv", tmp_path / "wide.csv")
    table.to_csv(tmp_path / "a.csv", index=False)
    read = read_embeddings(tmp_path / "wide.csv", tmp_path / "a.csv")
    np.testing.assert_allclose(read.values, values, rtol=1e-5)
    assert [text.partition(f" of '{tmp_path}/wide.csv' is left aside: ")[::2] for text in read.said] == [
        ("Column 'person'", "it is an attribute"),
        ("Column 'age'", "it is an attribute"),
    ]


def test_of_two_columns_of_lists_that_of_features_is_taken(tmp_path, values, table):
    table.to_csv(tmp_path / "a.csv", index=False)
    lists = pd.DataFrame({"landmarks": list(values[:, :2]), "embeddings": list(values), "score": 1.0})
    lists.to_parquet(tmp_path / "f.parquet")
    read = read_embeddings(tmp_path / "f.parquet", tmp_path / "a.csv")
    np.testing.assert_array_equal(read.values, values)
    assert [text.split("'")[1] for text in read.said] == ["landmarks", "score"]
    assert all(text.endswith("the features are those of 'embeddings'") for text in read.said)
    lists.drop(columns="embeddings").to_parquet(tmp_path / "f.parquet")
    assert read_embeddings(tmp_path / "f.parquet", tmp_path / "a.csv").values.shape == (N, 2)


def spoilt(values: np.ndarray) -> np.ndarray:
    values = values.copy()
    values[[7, 9], 1] = np.nan, np.inf
    return values


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (lambda f, v: np.save(f, v[:-1]), r"have 29 rows and the attributes .* 30; they must be as many"),
        (
            lambda f, v: np.save(f, spoilt(v)),
            r"NaN or infinite values in 2 of 30 rows, the first of them row 7",
        ),
        (lambda f, v: np.save(f, v[:, 0]), r"array \(n, features\); got type float32 and shape \(30,\)"),
        (lambda f, v: np.save(f, v.astype(str)), r"must be numbers in an array"),
        (
            lambda f, v: np.save(f, v.astype(object), allow_pickle=True),
            r"pickled Python objects.*is not opened",
        ),
        (lambda f, v: f.write_bytes(b"no array"), r"pickled Python objects or is no array file"),
        (lambda f, v: f.write_bytes(b""), r"cannot be read"),
        (lambda f, v: None, r"There is no file of features"),
    ],
)
def test_bad_arrays(tmp_path, values, table, write, says):
    file = tmp_path / "f.npy"
    write(file, values)
    table.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DataError, match=says):
        read_embeddings(file, tmp_path / "a.csv")


def test_an_archive_of_several_arrays_needs_a_name(tmp_path, values, table):
    table.to_csv(tmp_path / "a.csv", index=False)
    np.savez(tmp_path / "f.npz", a=values, b=values)
    with pytest.raises(DataError, match=r"holds 2 arrays \(a, b\); call the one that is meant 'features'"):
        read_embeddings(tmp_path / "f.npz", tmp_path / "a.csv")
    np.savez(tmp_path / "f.npz", a=values.astype(object), allow_pickle=True)
    with pytest.raises(DataError, match=r"Python objects|holds 2 arrays"):
        read_embeddings(tmp_path / "f.npz", tmp_path / "a.csv")


def test_bad_tables(tmp_path, values, table):
    table.to_csv(tmp_path / "a.csv", index=False)
    file = tmp_path / "f.csv"
    table[["image_id", "person"]].to_csv(file, index=False)
    with pytest.raises(DataError, match=r"no columns of features.*Left aside: person: it is an attribute\."):
        read_embeddings(file, tmp_path / "a.csv")
    gap = columns(values)
    gap.loc[3, "f2"] = np.nan
    gap.to_csv(file, index=False)
    with pytest.raises(DataError, match="in 1 of 30 rows, the first of them row 3"):
        read_embeddings(file, tmp_path / "a.csv")
    columns(values).assign(image_id=["000.jpg"] * N).to_csv(file, index=False)
    with pytest.raises(DataError, match=r"29 rows of an image that it has already, such as '000.jpg'"):
        read_embeddings(file, tmp_path / "a.csv")
    columns(values).assign(image_id=[f"{k:03d}.jpg" for k in range(5, N + 5)]).to_csv(file, index=False)
    with pytest.raises(DataError, match=r"5 of the 30 images .* are not in .* the first of them '030.jpg'"):
        read_embeddings(file, tmp_path / "a.csv")
    uneven = pd.DataFrame({"embedding": [row[: 4 - (k == 2)].tolist() for k, row in enumerate(values)]})
    uneven.to_parquet(tmp_path / "f.parquet")
    with pytest.raises(DataError, match="different lengths: 4 in row 0, 3 in row 2"):
        read_embeddings(tmp_path / "f.parquet", tmp_path / "a.csv")
    with pytest.raises(DataError, match="There is no file of attributes"):
        read_embeddings(tmp_path / "f.parquet", tmp_path / "b.csv")
    (tmp_path / "f.txt").write_text("1 2 3")
    with pytest.raises(DataError, match=r"read from .npy, .npz, .parquet, .csv and .tsv files; got 'f.txt'"):
        read_embeddings(tmp_path / "f.txt", tmp_path / "a.csv")
