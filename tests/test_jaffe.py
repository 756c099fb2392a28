"""The reader of JAFFE: six rated classes or seven posed ones, never both."""

import numpy as np
import pytest
from PIL import Image

from thyroid_keras.data.jaffe import POSED, RATED, has_jaffe_layout, read_jaffe
from thyroid_keras.data.readers import read, recognise
from thyroid_keras.data.samples import DataError
from thyroid_keras.data.splits import make_splits

PEOPLE = ("KA", "KL", "KM", "KR", "MK")
README = """The Japanese Female Facial Expression (JAFFE) Database

 # HAP SAD SUR ANG DIS FEA PIC
-----------------------------------------
{rows}

Semantic Ratings Data (Fear Excluded)
 # HAP SAD SUR ANG DIS PIC
1 1.00 1.00 1.00 1.00 5.00 KA-AN1
"""


def faces(root, ratings=True):
    """Pictures as they are named, every neutral face rated as the next emotion in turn."""
    root.mkdir(parents=True)
    rows, number = [], 0
    for person in PEOPLE:
        for turn, (code, emotion) in enumerate(POSED.items()):
            number += 1
            pixels = np.random.default_rng(number).integers(0, 255, (16, 16), dtype=np.uint8)
            Image.fromarray(pixels).save(root / f"{person}.{code}1.{number}.tiff")
            seen = emotion if code != "NE" else list(RATED.values())[number % 6]
            values = " ".join("4.10" if e == seen else "1.5" for e in RATED.values())
            rows.append(f"{number} {values} {person}-{code}1")
            assert turn < 7
    if ratings:
        (root / "README_FIRST.txt").write_text(README.format(rows="\n".join(rows)))
    return root


@pytest.fixture
def root(tmp_path):
    return faces(tmp_path / "jaffe")


def problems(root, **options):
    with pytest.raises(DataError) as caught:
        read_jaffe(root, **options)
    return caught.value.problems


def test_six_classes_by_the_ratings(root):
    assert recognise(str(root)) == recognise(str(root.parent)) == "jaffe"
    table = read(root)
    assert table.target == "rated_emotion" and table.class_names == tuple(RATED.values())
    assert len(table) == 35 and set(table.groups) == set(PEOPLE) and table.group_unit == "person"
    named = {s.name: table.class_names[s.label] for s in table.samples}
    assert named["KA.HA1.1.tiff"] == "happiness" and named["KA.AN1.4.tiff"] == "anger"
    assert named["KA.NE1.7.tiff"] == list(RATED.values())[7 % 6]
    assert "Six classes" in table.notes[0] and "README_FIRST.txt" in table.notes[0]
    splits = make_splits(table, progress=False)
    assert not set(splits.train.groups) & set(splits.test.groups)


def test_seven_classes_by_the_names(root, tmp_path):
    posed = read(root, target="posed_emotion")
    assert posed.class_names == tuple(POSED.values()) and len(posed) == 35
    assert "neutral" in posed.class_names and "Seven classes" in posed.notes[0]
    bare = read(faces(tmp_path / "bare", ratings=False))
    assert bare.target == "posed_emotion" and bare.class_names == posed.class_names
    assert [s.label for s in bare.samples] == [s.label for s in posed.samples]
    assert "no file has the ratings" in problems(tmp_path / "bare", target="rated_emotion")[0]


def test_ratings_are_found_by_name_then_by_number(root):
    path = root / "README_FIRST.txt"
    path.write_text(path.read_text().replace("KM-SU1", "KN-SU1"))
    table = read(root)
    assert [table.class_names[s.label] for s in table.samples if "KM.SU" in s.name] == ["surprise"]
    assert "1 ('KM.SU1.17.tiff')" in table.notes[1]
    csv = path.read_text().replace(" # HAP SAD", "N,HAP,SAD").replace(" ", ",")
    (root / "ratings.csv").write_text(csv)
    path.unlink()
    assert [s.label for s in read(root).samples] == [s.label for s in table.samples]


def test_every_fault_is_named(root, tmp_path):
    path = root / "README_FIRST.txt"
    lines = [line for line in path.read_text().splitlines() if not line.startswith("17 ")]
    path.write_text("\n".join(lines))
    (root / "KA.FE1.6.tiff").unlink()
    (root / "KA.FE1.6.tiff").symlink_to(tmp_path / "outside.tiff")
    (root / "KA.SA1.2.tiff").unlink()
    (root / "KA.SA1.2.tiff").mkdir()
    found = problems(root)
    assert len(found) == 3
    said = {"KM.SU1.17": "has no rating", "KA.FE1.6": "leaves", "KA.SA1.2": "is a folder"}
    for name, fault in said.items():
        assert [problem for problem in found if name in problem and fault in problem]
    assert len(read_jaffe(root, on_bad="skip")) == 32


@pytest.mark.parametrize("rating", ["nan", "inf"])
def test_a_rating_that_is_no_number_is_none(root, rating):
    path = root / "README_FIRST.txt"
    path.write_text(path.read_text().replace("\n4 1.5 ", f"\n4 {rating} "))
    (found,) = problems(root)
    assert "KA.AN1.4.tiff: README_FIRST.txt has no rating of it" in found


def test_other_pictures_are_counted_and_other_folders_refused(root, tmp_path):
    Image.new("L", (4, 4)).save(root / "montage.tiff")
    assert read(root).notes[-1] == "Pictures of other names, left out: 1."
    assert not has_jaffe_layout(tmp_path / "nowhere")
    assert "is not a JAFFE folder" in problems(tmp_path / "nowhere")[0]
    with pytest.raises(ValueError, match="target='mood'"):
        read_jaffe(root, target="mood")
