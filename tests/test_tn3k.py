"""The reader of TN3K: its layout, labels, masks and folds, and every fault by row and file."""

import json

import numpy as np
import pytest
from PIL import Image

from thyroid_keras.data.audit import audit
from thyroid_keras.data.readers import read, recognise
from thyroid_keras.data.samples import DataError
from thyroid_keras.data.splits import make_splits
from thyroid_keras.data.tn3k import read_tn3k

COUNTS = {"trainval": 20, "test": 6}


@pytest.fixture
def root(tmp_path):
    """Made-up images in the layout as it is published."""
    for part, count in COUNTS.items():
        rows = []
        for kind in ("image", "mask"):
            (tmp_path / f"{part}-{kind}").mkdir()
        for i in range(count):
            rng = np.random.default_rng([len(part), i])
            pixels = rng.integers(0, 255, (40, 56), np.uint8)
            mask = np.zeros((40, 56), np.uint8)
            mask[10:30, 12 + i : 30 + i] = 255
            for kind, picture in (("image", pixels), ("mask", mask)):
                Image.fromarray(picture).save(tmp_path / f"{part}-{kind}" / f"{i:04d}.jpg")
            rows.append(f"{i:04d}.jpg,{i % 2}\n")
        (tmp_path / f"label4{part}.csv").write_text("".join(rows))
    fold = {"train": list(range(4, 20)), "val": [0, 1, 2, 3]}
    (tmp_path / "tn3k-trainval-fold0.json").write_text(json.dumps(fold))
    return tmp_path


def problems(root, **options):
    with pytest.raises(DataError) as info:
        read_tn3k(root, **options)
    return info.value.problems


def test_published_layout(root):
    assert recognise(str(root)) == "tn3k"
    table = read(root)
    assert table.class_names == ("benign", "malignant") and table.target == "malignancy"
    assert table.labels.tolist() == [0, 1] * 13
    assert [s.split for s in table.samples] == ["train"] * 20 + ["test"] * 6
    first = table.samples[0]
    assert first.name == first.group == "trainval-image/0000.jpg"
    assert first.mask.endswith("trainval-mask/0000.jpg") and table.group_unit == "image"
    assert any("which images are of one patient" in note for note in table.notes)
    checked = audit(table, progress=False)
    assert checked.problems == () and len(checked.table) == 26
    splits = make_splits(table, progress=False)
    assert {s.name for s in splits.test.samples} == {s.name for s in table.samples[20:]}


def test_the_sets_own_folds_and_none(root):
    table = read(root, fold=0)
    assert [s.split for s in table.samples][:6] == ["val"] * 4 + ["train"] * 2
    assert [s.split for s in table.samples][20:] == ["test"] * 6
    assert {s.split for s in read(root, split=False).samples} == {None}
    (said,) = problems(root, fold=3)
    assert "tn3k-trainval-fold3.json: cannot be read" in said
    for text in ("[]", '{"train": []}', '{"val": ["x"]}', "{", "[" * 100_000):
        (root / "tn3k-trainval-fold1.json").write_text(text)
        (said,) = problems(root, fold=1)
        assert "fold1.json: is not a fold" in said
    with pytest.raises(ValueError, match="Received: fold=5"):
        read_tn3k(root, fold=5)


def test_every_fault_is_listed_at_once(root, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "x.jpg"
    Image.new("L", (56, 40)).save(outside)
    (root / "trainval-image" / "0003.jpg").unlink()
    (root / "trainval-image" / "0003.jpg").symlink_to(outside)
    (root / "trainval-mask" / "0004.jpg").unlink()
    (root / "test-image" / "0005.jpg").unlink()
    labels = root / "label4trainval.csv"
    rows = labels.read_text().splitlines()
    rows[5], rows[6] = "0005.jpg,2", "0006.jpg"
    labels.write_text("\n".join([*rows, "0007.jpg,1", "../secret.jpg,1"]) + "\n")
    said = "\n".join(problems(root))
    for fault in (
        "trainval-image/0003.jpg: leaves the folder",
        "trainval-mask/0004.jpg: no such file",
        "test-image/0005.jpg: no such file, though label4test.csv names it",
        "label4trainval.csv, row 6: must be a file name and 0 (benign) or 1",
        "label4trainval.csv, row 7: must be",
        "label4trainval.csv, row 21: names a file once more",
        "trainval-image/../secret.jpg: no such file, though",
        "has no label for 2 images ('0005.jpg', '0006.jpg')",
    ):
        assert fault in said, fault
    assert len(read_tn3k(root, on_bad="skip")) == 26 - 2 - 2 - 1


def test_missing_labels_say_where_they_are(root):
    (root / "label4test.csv").unlink()
    (said,) = problems(root)
    assert "label4test.csv: no such file; it is published with ACL" in said
    (root / "label4trainval.csv").write_bytes("0000.jpg,bösartig\n".encode("latin-1"))
    assert "not UTF-8" in problems(root)[0]
