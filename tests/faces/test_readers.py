import numpy as np
import pandas as pd
import pytest
from tests.faces.layouts import picture, zip_of

from fusiform.errors import DataError
from fusiform.faces import TEMPLATES, lfw_pairs, open_faces

FIVE = [f"lm_{p}_{a}" for p in ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right") for a in "xy"]


# folder ------------------------------------------------------------------------------------------------------------


def test_orl_style_folders(tmp_path):
    for who in (1, 2, 10):
        for i in (1, 2, 10):
            picture(tmp_path / "orl" / f"s{who}" / f"{i}.pgm", value=who * 10 + i)
    faces = open_faces(f"folder:{tmp_path / 'orl'}")
    assert faces.name == "orl"
    assert faces.table["image_id"].tolist()[:4] == ["s1/1.pgm", "s1/2.pgm", "s1/10.pgm", "s2/1.pgm"]
    assert faces.table["identity"].value_counts().to_dict() == {"s1": 3, "s2": 3, "s10": 3}
    assert faces.images([8])[0, :, 0, 0].tolist() == [110, 110, 110]
    assert faces.landmarks is None
    assert faces.keypoints is None


@pytest.mark.parametrize("around", ["", "all/", "one/two/"])
def test_folders_around_everything_say_nothing(tmp_path, around):
    for who in "ab":
        picture(tmp_path / f"{around}{who}" / "video" / "1.png")
    assert open_faces(f"folder:{tmp_path}").table["identity"].tolist() == ["a", "b"]


def test_vggface2_style_splits(tmp_path):
    for split, who in (("train", "n000001"), ("train", "n000002"), ("test", "n000003")):
        picture(tmp_path / split / who / "0001_01.jpg")
    faces = open_faces(f"folder:{tmp_path}")
    assert faces.table["identity"].tolist() == ["n000003", "n000001", "n000002"]
    assert faces.table["split"].tolist() == ["test", "train", "train"]


@pytest.mark.parametrize("inner", ["", "images/"])
def test_a_flat_folder_has_no_identities(tmp_path, inner):
    for i in range(3):
        picture(tmp_path / f"{inner}{i}.png")
    faces = open_faces(f"folder:{tmp_path}")
    assert faces.schema == {}
    assert faces.identity is None
    assert len(faces) == 3


def test_a_folder_without_images(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match=r"no images in .*Looked for one folder an identity.*\.jpg, \.jpeg"):
        open_faces(f"folder:{tmp_path}")


def test_a_file_that_is_no_zip(tmp_path):
    (tmp_path / "t.csv").write_text("file,age\n")
    with pytest.raises(
        DataError, match=r"neither a folder nor a \.zip of images; a table is opened by 'table:"
    ):
        open_faces(f"folder:{tmp_path / 't.csv'}")


def test_a_folder_takes_points_from_the_labels_beside_it(tmp_path):
    for who in "ab":
        picture(tmp_path / who / "1.png", (112, 112))
    points = TEMPLATES["arcface_112"].array().reshape(-1).round(2)
    table = pd.DataFrame([points], columns=FIVE).assign(file="b/1.png")
    table.to_csv(tmp_path / "labels.csv", index=False)
    faces = open_faces(f"folder:{tmp_path}")
    assert np.isnan(faces.keypoints[0]).all()
    assert faces.keypoints[1].reshape(-1) == pytest.approx(points, abs=1e-4)
    assert len(faces.aligned(missing="drop")) == 1


# table -------------------------------------------------------------------------------------------------------------


def made_up_table(n: int = 6) -> pd.DataFrame:
    points = TEMPLATES["arcface_112"].array().reshape(-1)
    return pd.DataFrame(
        {
            "file": [f"{i}.png" for i in range(n)],
            "identity": ["007", "007", "008", "008", "009", "009"],
            "Smiling": [1, -1, 1, -1, 1, -1],
            "age": [20, 30, 40, 50, 60, None],
            "det_score": np.linspace(0.9, 1, n),
            "box_x1": np.linspace(0, 5, n),
            **{name: points[i] + np.zeros(n) for i, name in enumerate(FIVE)},
        }
    )


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet"])
@pytest.mark.parametrize("place", ["beside", "subfolder", "zip"])
def test_tables_with_images_wherever_they_usually_are(tmp_path, kind, place):
    table = made_up_table()
    images = tmp_path / "set" / ("img" if place != "beside" else "")
    for i, name in enumerate(table["file"]):
        picture(images / name, (112, 112), value=10 * i)
    if place == "zip":
        zip_of(images, tmp_path / "set" / "img.zip", "inner/")
    path = tmp_path / "set" / f"labels.{kind}"
    if kind == "parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",")
    faces = open_faces(f"table:{path}")
    assert faces.name == "set"
    assert {name: a.kind for name, a in faces.schema.items()} == {
        "identity": "identity",
        "Smiling": "binary",
        "age": "continuous",
    }
    assert faces.schema["age"].unit == "years"
    assert faces.table["identity"].tolist()[0] == "007"
    assert faces.table["Smiling"].tolist() == [True, False] * 3
    assert faces.table["age"].isna().tolist() == [False] * 5 + [True]
    assert set(faces.provenance["ignored"]) == {"det_score", "box_x1"}
    assert faces.aligned().images()[:, 0, 50, 50].tolist() == [0, 10, 20, 30, 40, 50]


def test_images_named_by_option_and_other_image_column(tmp_path):
    picture(tmp_path / "here" / "a.png", value=1)
    picture(tmp_path / "there" / "a.png", value=2)
    path = tmp_path / "people.csv"
    path.write_text("mine,file\na.png,zzz.png\n")
    faces = open_faces(f"table:{path}?images=there&image_column=mine&ignore=file")
    assert faces.images()[0, 0, 0, 0] == 2
    assert faces.name == "people"
    assert (
        open_faces(f"table:{path}", images=str(tmp_path / "here"), image_column="mine").image(0)[0, 0, 0] == 1
    )
    with pytest.raises(DataError, match=r"images='thre' is neither in .*did you mean 'there'"):
        open_faces(f"table:{path}?images=thre")
    with pytest.raises(DataError, match="no column 'minee'; did you mean 'mine'"):
        open_faces(f"table:{path}?image_column=minee")
    with pytest.raises(
        DataError, match=r"None of the images .* first as 'zzz\.png'.*Give images=FOLDER_OR_ZIP"
    ):
        open_faces(f"table:{path}")


def test_an_id_column_of_its_own(tmp_path):
    picture(tmp_path / "a.png")
    path = tmp_path / "t.csv"
    path.write_text("image_id,path\nface-1,a.png\n")
    assert open_faces(f"table:{path}").table["image_id"].tolist() == ["face-1"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("file,x\n", "has no rows"),
        (
            "age,sex\n3,m\n",
            r"No column of .* names image files.*columns are age, sex\. Give image_column=NAME",
        ),
        ("file,age\na.png,3\n,4\n", "1 rows of .* name no image in column 'file'"),
        ("file,age\na.png,3\na.png,4\n", "1 occur more than once, among them 'a.png'"),
        ("file,age, age\na.png,3,4\n", "has the column 'age' more than once"),
        ("", "cannot be read"),
        ("file,age\na.png,3,4\n", "cannot be read: .*does not match length of data"),
        ("file,age\na.png,3\nb.png,3,4\n", "cannot be read: .*Expected 2 fields in line 3, saw 3"),
        ("file,name\na.png,Zo\xeb\n", "cannot be read: .*utf-8"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path, text, says):
    picture(tmp_path / "a.png")
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=says):
        open_faces(f"table:{path}")


@pytest.mark.parametrize("named", [True, False])
def test_a_parquet_with_the_files_as_its_index(tmp_path, named):
    for i in range(3):
        picture(tmp_path / f"{i}.png", value=i)
    frame = pd.DataFrame({"age": [30, 31, 32]}, index=[f"{i}.png" for i in range(3)])
    frame.rename_axis("file" if named else None).to_parquet(tmp_path / "t.parquet")
    faces = open_faces(f"table:{tmp_path / 't.parquet'}")
    assert faces.table.to_numpy().tolist() == [[f"{i}.png", 30.0 + i] for i in range(3)]


def test_a_parquet_with_a_column_twice(tmp_path):
    picture(tmp_path / "a.png")
    pd.DataFrame({"file": ["a.png"], "age": [1], " age": [2]}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match="has the column 'age' more than once"):
        open_faces(f"table:{tmp_path / 't.parquet'}")


def test_a_name_that_no_file_can_have_is_one_bad_image(tmp_path):
    picture(tmp_path / "a.png")
    path = tmp_path / "t.parquet"
    pd.DataFrame({"file": ["a.png", "b\0.png"], "age": [1, 2]}).to_parquet(path)
    faces = open_faces(f"table:{path}")
    assert len(faces.digest()) == 64
    assert faces.readable().skipped["reason"].str.contains("no such file in .*null byte").tolist() == [True]


def test_a_table_of_another_kind(tmp_path):
    (tmp_path / "t.xlsx").write_text("x")
    with pytest.raises(DataError, match=r"read from \.csv, \.tsv and \.parquet files; got 't\.xlsx'"):
        open_faces(f"table:{tmp_path / 't.xlsx'}")
    with pytest.raises(DataError, match="is a folder, not a table; for a folder of images write 'folder:"):
        open_faces(f"table:{tmp_path}")


def test_files_listed_but_missing_are_skipped_by_name(tmp_path):
    for i in range(3):
        picture(tmp_path / f"{i}.png")
    path = tmp_path / "t.csv"
    path.write_text("file,age\n0.png,3\n1.png,4\n9.png,5\n2.png,6\n")
    faces = open_faces(f"table:{path}").readable()
    assert faces.table["age"].tolist() == [3, 4, 6]
    assert faces.skipped["image_id"].tolist() == ["9.png"]
    assert "no such file in" in faces.skipped["reason"][0]


# lfw ---------------------------------------------------------------------------------------------------------------


def made_up_lfw(path, inner: str = "lfw"):
    for who, n in (("Ann_Lee", 3), ("Bo", 2), ("Cy_de_Wit", 1)):
        for i in range(n):
            picture(path / inner / who / f"{who}_{i + 1:04d}.jpg", (25, 25))
    return path


@pytest.mark.parametrize("inner", ["lfw", "lfw-deepfunneled", ""])
def test_lfw_in_its_layouts(tmp_path, inner):
    faces = open_faces(f"lfw:{made_up_lfw(tmp_path, inner)}")
    assert faces.table["identity"].value_counts().to_dict() == {"Ann_Lee": 3, "Bo": 2, "Cy_de_Wit": 1}
    assert faces.table["image_id"].tolist()[0] == "Ann_Lee_0001"


def test_lfw_flat_with_strangers(tmp_path):
    picture(tmp_path / "Ann_Lee_0001.jpg")
    picture(tmp_path / "cover.jpg")
    faces = open_faces(f"lfw:{tmp_path}")
    assert faces.table.to_numpy().tolist() == [["Ann_Lee_0001", "Ann_Lee"]]
    assert faces.skipped.to_numpy().tolist() == [["cover.jpg", "its name is not Name_0001.jpg"]]
    (tmp_path / "Ann_Lee_0001.jpg").unlink()
    with pytest.raises(DataError, match=r"named like LFW's.*first of 1 images is 'cover\.jpg'.*use folder:"):
        open_faces(f"lfw:{tmp_path}")


def test_lfw_pairs_that_are_no_text(tmp_path):
    faces = open_faces(f"lfw:{made_up_lfw(tmp_path)}")
    (tmp_path / "pairs.txt").write_bytes(b"1\t1\nBo\xf6\t1\t2\n")
    with pytest.raises(DataError, match=r"pairs\.txt' cannot be read: 'utf-8' codec"):
        lfw_pairs(faces, tmp_path / "pairs.txt")


def test_lfw_pairs(tmp_path):
    faces = open_faces(f"lfw:{made_up_lfw(tmp_path)}")
    ids = faces.table["image_id"].tolist()
    file = tmp_path / "pairs.txt"
    file.write_text("2\t1\nAnn_Lee\t1\t3\nAnn_Lee\t2\tBo\t1\nBo\t1\t2\nBo\t2\tCy_de_Wit\t1\n")
    pairs = lfw_pairs(faces, file)
    named = [(ids[a], ids[b]) for a, b in zip(pairs["first"], pairs["second"], strict=True)]
    assert named == [
        ("Ann_Lee_0001", "Ann_Lee_0003"),
        ("Ann_Lee_0002", "Bo_0001"),
        ("Bo_0001", "Bo_0002"),
        ("Bo_0002", "Cy_de_Wit_0001"),
    ]
    assert pairs["same"].tolist() == [True, False, True, False]
    assert pairs["fold"].tolist() == [0, 0, 1, 1]
    fewer = faces.subset(faces.table["image_id"] != "Bo_0002")
    with pytest.raises(
        DataError, match=r"1 images of 'pairs\.txt' are not among the 5 faces, the first 'Bo_0002'.*drop"
    ):
        lfw_pairs(fewer, file)
    assert len(lfw_pairs(fewer, file, missing="drop")) == 2
    file.write_text("2\t1\nAnn_Lee\tone\t3\n")
    with pytest.raises(DataError, match=r"Line 2 of .* is not 'name i j'"):
        lfw_pairs(faces, file)
    file.write_text("Ann_Lee\t1\t3\n")
    with pytest.raises(DataError, match="must begin with the number of folds"):
        lfw_pairs(faces, file)
    with pytest.raises(DataError, match="no file of pairs"):
        lfw_pairs(faces, tmp_path / "none.txt")


# utkface -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("suffix", [".jpg", ".jpg.chip.jpg"])
def test_utkface_names(tmp_path, zipped, suffix):
    folder = tmp_path / "UTKFace"
    names = [
        f"1_0_0_20170109142408075{suffix}",
        f"61_1_20170109142408075{suffix}",
        f"116_1_4_20170109142408076{suffix}",
    ]
    for name in [*names, f"999_0_0_2017{suffix}"]:
        picture(folder / name)
    faces = open_faces(f"utkface:{zip_of(folder, tmp_path / 'u.zip') if zipped else folder}")
    assert faces.table.drop(columns="image_id").to_numpy().tolist() == [
        [1.0, True, "white"],
        [116.0, False, "others"],
    ]
    assert faces.schema["age"].unit == "years"
    assert faces.schema["Male"].kind == "binary"
    assert faces.skipped["image_id"].tolist() == [names[1], f"999_0_0_2017{suffix}"]
    assert faces.images().shape[0] == 2


def test_utkface_in_parts_with_odd_names_and_copies(tmp_path):
    picture(tmp_path / "part1" / "1_0_0_20170109142408075.jpg")
    picture(tmp_path / "part2" / "24_0_1_20170116220224657 .jpg")
    picture(tmp_path / "part2" / "55_0_2_20170116232725357jpg.chip.jpg")
    picture(tmp_path / "part3" / "60_1_3_20170109142408075.jpeg")
    picture(tmp_path / "part3" / "1_0_0_20170109142408075.jpg")
    faces = open_faces(f"utkface:{tmp_path}")
    assert faces.table["age"].tolist() == [1, 24, 55, 60]
    assert faces.table["race"].tolist() == ["white", "black", "asian", "indian"]
    assert faces.skipped.to_numpy().tolist() == [
        [
            "part3/1_0_0_20170109142408075.jpg",
            "the same file as 'part1/1_0_0_20170109142408075.jpg' by its name",
        ]
    ]


def test_utkface_of_other_files(tmp_path):
    picture(tmp_path / "me.jpg")
    with pytest.raises(
        DataError, match=r"named like UTKFace's, age_sex_race_date\.jpg; the first of 1 images is 'me\.jpg'"
    ):
        open_faces(f"utkface:{tmp_path}")


def test_the_same_file_name_in_another_folder_is_another_image(tmp_path):
    for name in ("train/1.png", "train/2.png", "val/3.png"):
        picture(tmp_path / "images" / name)
    listed = ["val/1.png", "val/2.png", "val/3.png"]
    pd.DataFrame({"image": listed, "age": [1.0, 2.0, 3.0]}).to_csv(tmp_path / "labels.csv", index=False)
    faces = open_faces(f"table:{tmp_path / 'labels.csv'}")
    assert faces.table["image_id"].tolist() == ["val/3.png"]
    assert sorted(faces.skipped["image_id"]) == ["val/1.png", "val/2.png"]
