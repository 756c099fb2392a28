"""Readers of users' own data: what they accept, and that they list every fault at once."""

import numpy as np
import pytest
from PIL import Image

from thyroid_keras.data.audit import audit
from thyroid_keras.data.folder import read_folder
from thyroid_keras.data.labels import natural_order
from thyroid_keras.data.manifest import read_manifest
from thyroid_keras.data.readers import FORMATS, read
from thyroid_keras.data.samples import DataError


def picture(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((6, 8), value, np.uint8)).save(path)


@pytest.fixture
def pictures(tmp_path):
    root = tmp_path / "set"
    for name, value in {"a.png": 9, "b.png": 8, "deep/c.png": 7, "a_mask.png": 255}.items():
        picture(root / name, value)
    return root


def manifest(root, text, encoding="utf-8"):
    path = root / "manifest.csv"
    path.write_bytes(text.encode(encoding))
    return str(path)


def problems_of(function, *args, **kwargs):
    with pytest.raises(DataError) as info:
        function(*args, **kwargs)
    return info.value.problems


GOOD = (
    "image,label,mask,group,split\n"
    "a.png,malignant,a_mask.png,p1,train\n"
    "b.png,benign,,p2,val\n"
    "deep/c.png,benign,,p3,test\n"
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\n\n"])
def test_manifest_in_every_spelling(pictures, encoding, newline):
    path = manifest(pictures, GOOD.replace("\n", newline), encoding)
    table = read_manifest(path)
    assert table.class_names == ("benign", "malignant")
    assert table.labels.tolist() == [1, 0, 0]
    assert table.groups.tolist() == ["p1", "p2", "p3"]
    assert [s.split for s in table.samples] == ["train", "val", "test"]
    assert [s.name for s in table.samples] == ["a.png", "b.png", "deep/c.png"]
    assert table.samples[0].mask.endswith("a_mask.png") and table.samples[1].mask is None
    assert table.notes == () and audit(table, split=False, progress=False).problems == ()
    assert read(pictures).samples == table.samples


def test_manifest_without_groups_says_so_and_names_ignored_columns(pictures):
    path = manifest(pictures, "image,label,patient\na.png,x,1\nb.png,y,1\n")
    table = read_manifest(path, class_names=("y", "x"))
    assert table.labels.tolist() == [1, 0] and table.group_unit == "image"
    assert table.groups.tolist() == ["a.png", "b.png"]
    assert any("split is by image" in note for note in table.notes)
    assert any("'patient'" in note for note in table.notes)


def test_manifest_lists_every_fault_by_row(pictures, tmp_path):
    picture(tmp_path / "outside.png")
    (pictures / "link.png").symlink_to(tmp_path / "outside.png")
    (pictures / "linked").symlink_to(tmp_path)
    rows = [
        ("a.png,x,,g,train", None),
        ("../outside.png,x,,g,train", "leaves the folder"),
        (f"{tmp_path}/outside.png,x,,g,train", "is absolute"),
        (f"{pictures}/b.png,x,,g,train", "is absolute"),
        ("deep/../../outside.png,x,,g,train", "leaves the folder"),
        ("link.png,x,,g,train", "leaves the folder"),
        ("linked/outside.png,x,,g,train", "leaves the folder"),
        ("b.png,y,../outside.png,g,train", "leaves the folder"),
        ("deep\\c.png,y,,g,train", "forward slashes"),
        ("nul\0.png,y,,g,train", "correct the path"),
        ("none.png,y,,g,train", "no such file"),
        ("deep,y,,g,train", "is a folder"),
        ("./a.png,x,,g,train", "repeats a.png of row 2"),
        ("deep/c.png,,,g,train", "`label` is empty"),
        (",x,,g,train", "`image` is empty"),
        ("a_mask.png,x,,,train", "`group` is empty"),
        ("b.png,x,,g,holdout", "Received: split='holdout'"),
        ("b.png,x,,g,", "Received: split=''"),
        (f"b.png,{'1' * 5000},,g,train", "`label` has 5000 characters, at most 255"),
        (f"b.png,x,,{'g' * 256},train", "`group` has 256 characters"),
    ]
    text = "image,label,mask,group,split\n" + "".join(f"{row}\n" for row, _ in rows)
    problems = "\n".join(problems_of(read_manifest, manifest(pictures, text)))
    for number, (_, fault) in enumerate(rows, 2):
        lines = [line for line in problems.splitlines() if f"row {number}: " in line]
        assert bool(lines) == bool(fault)
        assert fault is None or any(fault in line for line in lines), (number, lines)


@pytest.mark.parametrize(
    ("text", "encoding", "fault"),
    [
        ("image,label\na.png,gutartig\nb.png,bösartig\n", "latin-1", "row 3: the file is not UTF"),
        (GOOD, "utf-16", "UTF-16; save it as CSV in UTF-8"),
        ("image;label\na.png;x\n", "utf-8", "not separated by commas"),
        ("file,label\na.png,x\n", "utf-8", "lacks 'image'"),
        ("image,label,image\na.png,x,b.png\n", "utf-8", "repeats 'image'"),
        ("image,label\n", "utf-8", "no rows"),
        ("", "utf-8", "lacks 'image', 'label'"),
        ("image,label\na.png,x,y\n", "utf-8", "row 2: has 3 cells"),
        ('image,label\n"a.png,x\n', "utf-8", "quotation marks"),
        ("image,label\na.png,x\nb.png,x\n", "utf-8", "at least two different classes"),
        ("image,label\na.png,Benign\nb.png,benign\n", "utf-8", "nothing but case"),
        ("image,label\na.png,caf\xe9\nb.png,cafe\u0301\n", "utf-8", "how an accent is stored"),
    ],
)
def test_manifests_that_cannot_be_read(pictures, text, encoding, fault):
    problems = problems_of(read_manifest, manifest(pictures, text, encoding))
    assert any(fault in problem for problem in problems), problems
    assert all("manifest.csv" in problem for problem in problems)


def test_groups_spelt_in_two_ways_are_noted_and_not_joined(pictures, tmp_path):
    text = GOOD.replace("p2", "P1").replace("p3", "01")
    table = read_manifest(manifest(pictures, text))
    assert table.groups.tolist() == ["p1", "P1", "01"]
    (note,) = table.notes
    assert "nothing but case" in note and "different ones: 1 ('P1 / p1')" in note
    for label, name in (("x", "caf\xe9_1"), ("y", "cafe\u0301_1"), ("y", "1_1"), ("y", "01_1")):
        picture(tmp_path / "folder" / label / f"{name}.png")
    (note,) = read_folder(tmp_path / "folder", group_pattern="^([^_]+)_").notes
    assert "how an accent is stored" in note and "different ones: 1 (" in note


def test_manifest_labels_outside_the_given_classes(pictures):
    path = manifest(pictures, "image,label\na.png,x\nb.png,z\n")
    (problem,) = problems_of(read_manifest, path, class_names=("x", "y"))
    assert "'z'" in problem and "Received: class_names=('x', 'y')" in problem


def test_folder_classes_in_natural_order_with_masks(tmp_path):
    for label in ("grade 10", "grade 2"):
        for i in range(2):
            picture(tmp_path / label / f"p{i}_{i}.png", 9)
    picture(tmp_path / "grade 2" / "p0_0_mask.png", 255)
    picture(tmp_path / "masks" / "grade 10" / "p1_1.gif", 255)
    (tmp_path / "grade 2" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "README.txt").write_text("hello")
    table = read(tmp_path)
    assert table.class_names == ("grade 2", "grade 10")
    assert [(s.name, s.label, bool(s.mask)) for s in table.samples] == [
        ("grade 2/p0_0.png", 0, True),
        ("grade 2/p1_1.png", 0, False),
        ("grade 10/p0_0.png", 1, False),
        ("grade 10/p1_1.png", 1, True),
    ]
    assert table.groups.tolist() == [s.name for s in table.samples]
    assert "split is by image" in table.notes[0]
    grouped = read(tmp_path, group_pattern="^([^_]+)_")
    assert grouped.groups.tolist() == ["p0", "p1"] * 2
    (note,) = grouped.notes
    assert "passed over: 2 ('grade 2/Thumbs.db', 'README.txt')" in note


def test_folder_with_fixed_splits(tmp_path):
    splits = {"train": "train", "Validation": "val", "test": "test"}
    for folder in splits:
        for label in ("a", "b"):
            picture(tmp_path / folder / label / "x.png")
    assert {s.name: s.split for s in read_folder(tmp_path).samples} == {
        f"{folder}/{label}/x.png": split for folder, split in splits.items() for label in ("a", "b")
    }


def test_folder_lists_every_fault(tmp_path):
    picture(tmp_path / "a" / "one.png")
    picture(tmp_path / "a" / "lost_mask.png")
    picture(tmp_path / "a" / "two.png")
    picture(tmp_path / "a" / "two_mask.png")
    picture(tmp_path / "masks" / "a" / "two.png")
    (tmp_path / "b").mkdir()
    problems = "\n".join(problems_of(read_folder, tmp_path, group_pattern="^(t.*)"))
    for fault in (
        "lost_mask.png: a mask without its image",
        "a second mask",
        f"{tmp_path / 'b'}: holds no pictures",
        "one.png: its name tells no group",
    ):
        assert fault in problems
    for bad in ("(", "x", "(a)(b)"):
        with pytest.raises(ValueError, match="Received: group_pattern="):
            read_folder(tmp_path, group_pattern=bad)


def test_one_class_or_mixed_layouts_are_refused(tmp_path):
    picture(tmp_path / "train" / "a" / "x.png")
    assert "at least two different classes" in problems_of(read_folder, tmp_path)[0]
    picture(tmp_path / "b" / "x.png")
    assert any("beside split folders" in p for p in problems_of(read_folder, tmp_path))


def test_anything_else_is_refused_with_what_is_accepted(tmp_path):
    for name in ("beach.jpg", "sunset.jpg"):
        picture(tmp_path / "holiday" / name)
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    for name, found in (
        ("holiday", "a folder with 'beach.jpg', 'sunset.jpg'"),
        ("empty", "an empty folder"),
        ("notes.txt", "a file of type .txt"),
    ):
        (problem,) = problems_of(read, tmp_path / name)
        assert f"is {found}. Accepted:\n" in problem
        assert all(format.layout in problem for format in FORMATS.values())
    assert "no such file or folder" in problems_of(read, tmp_path / "absent")[0]
    assert "sorted by class" in problems_of(read, tmp_path / "holiday", format="folder")[0]


def test_format_and_target_are_checked(pictures):
    manifest(pictures, GOOD)
    with pytest.raises(ValueError, match="Received: format='dicom'"):
        read(pictures, format="dicom")
    assert "Received: target='malignancy'" in problems_of(read, pictures, target="malignancy")[0]


def test_natural_order():
    assert natural_order(["10", "9", "b2", "B10", "a", "2"]) == ["2", "9", "10", "a", "b2", "B10"]
    assert natural_order(["01x2", "1x02", "1x3", "0x9"]) == ["0x9", "01x2", "1x02", "1x3"]
    assert natural_order(["1" * 5000, "2" * 4999]) == ["2" * 4999, "1" * 5000]
