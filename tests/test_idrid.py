"""The reader of IDRiD: both layouts, both tasks, the crop, the sides, every fault by row."""

import re
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from thyroid_keras.data.audit import audit
from thyroid_keras.data.decode import decode, load_sample
from thyroid_keras.data.fundus import (
    COUNTS,
    MACULA,
    RIGHT_EYES,
    crop_of,
    listed_side,
    shows_right_eye,
)
from thyroid_keras.data.idrid import CLASS_NAMES, has_idrid_layout, read_idrid
from thyroid_keras.data.readers import read, recognise
from thyroid_keras.data.samples import DataError
from thyroid_keras.data.splits import make_splits

REAL = Path(__file__).parents[2] / "shared" / "data" / "idrid_640"
IMAGES, TRUTHS = "1. Original Images", "2. Groundtruths"
HEADER = "Image name,Retinopathy grade,Risk of macular edema ,,,"
PARTS = {"train": ("a", "Training", 25), "test": ("b", "Testing", 10)}


def eye(right, shade=0, width=86, height=57):
    """A dark picture with an orange eye, its disc bright and a vessel's shade beside it."""
    image = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(image)
    left, _, across, _ = crop_of(width, height)
    draw.ellipse((left, 0, left + across - 1, height - 1), fill=(150, 80, 40))
    x = left + across * (0.82 if right else 0.18)
    draw.ellipse((x - 4, height / 2 - 4, x + 4, height / 2 + 4), fill=(250, 220, 120))
    draw.ellipse((left + across / 2 - 5, 20, left + across / 2 + 5, 34), fill=(shade, shade, shade))
    return image


def published(root, grading="B. Disease Grading"):
    """The layout as it is published, of made-up eyes on the sides that the lists say."""
    for part, (letter, word, count) in PARTS.items():
        folder = root / grading / IMAGES / f"{letter}. {word} Set"
        folder.mkdir(parents=True)
        rows = [HEADER]
        for number in range(1, count + 1):
            name = f"IDRiD_{number:03d}"
            eye(listed_side(part, number), 6 * number + 3 * (part == "test")).save(
                folder / f"{name}.jpg", quality=95
            )
            rows.append(f"{name},{number % 5},{number % 3},,,")
        table = root / grading / TRUTHS / f"{letter}. IDRiD_Disease Grading_{word} Labels.csv"
        table.parent.mkdir(exist_ok=True)
        table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return root


@pytest.fixture
def root(tmp_path):
    return published(tmp_path / "IDRiD")


def training_table(root):
    return root / "B. Disease Grading" / TRUTHS / "a. IDRiD_Disease Grading_Training Labels.csv"


def test_published_layout(root):
    assert recognise(str(root)) == recognise(str(root / "B. Disease Grading")) == "idrid"
    table = read(root)
    assert table.region == MACULA
    assert table.target == "retinopathy" and table.class_names == CLASS_NAMES["retinopathy"]
    assert len(table) == 35 and len(set(table.groups)) == 35 and table.group_unit == "image"
    assert [s.label for s in table.samples[:6]] == [1, 2, 3, 4, 0, 1]
    assert [s.split for s in table.samples] == ["train"] * 25 + ["test"] * 10
    edema = read(root, target="macular_edema")
    assert edema.class_names == CLASS_NAMES["macular_edema"]
    assert [s.label for s in edema.samples[:4]] == [1, 2, 0, 1]
    splits = make_splits(table, progress=False)
    assert len(splits.test) == 10 and len(splits.val) >= 5
    assert {s.split for s in read(root, split=False).samples} == {None}


def test_eyes_are_cut_out_and_lie_one_over_the_other(root):
    table = read(root)
    assert [s.mirrored for s in table.samples[:10]] == [
        True, False, False, False, False, False, True, False, True, True
    ]  # fmt: skip
    assert [s.mirrored for s in table.samples[25:31]] == [False, True, False, True, True, True]
    for sample in table.samples:
        image = load_sample(sample, channels=3)[0]
        stored = decode(sample.image, channels=3)
        assert image.shape == (57, 69, 3) and not shows_right_eye(image)
        cut = stored[:, 5:74]
        np.testing.assert_array_equal(image, cut[:, ::-1] if sample.mirrored else cut)
        assert shows_right_eye(cut) == sample.mirrored
    assert f"Right eyes are mirrored: {sum(s.mirrored for s in table.samples)} of 35" in " ".join(
        table.notes
    )


def test_the_crop_is_the_papers_in_proportion():
    assert crop_of(4288, 2848) == (260, 0, 3426, 2848)
    assert crop_of(640, 425) == (39, 0, 511, 425)


def test_the_lists_are_the_supplements():
    assert [len(RIGHT_EYES[part]) for part in ("train", "test")] == [204, 47]
    assert all(max(RIGHT_EYES[part]) < COUNTS[part] for part in COUNTS)
    assert [sum(RIGHT_EYES[part]) for part in ("train", "test")] == [42214, 2296]
    assert listed_side("train", 413) is True and listed_side("train", 412) is True
    assert listed_side("train", 414) is listed_side("test", 104) is listed_side("test", 0) is None


def test_what_the_lists_do_not_reach_is_looked_at(root):
    folder = root / "B. Disease Grading" / IMAGES / "a. Training Set"
    path = training_table(root)
    for number, right in ((914, True), (915, False)):
        eye(right).save(folder / f"IDRiD_{number}.png")
        path.write_text(f"{path.read_text()}IDRiD_{number}.png,1,1\n")
    table = read(root)
    assert [s.mirrored for s in table.samples[25:27]] == [True, False]
    assert "35 by the lists of the paper's supplement, 2 by the optic disc" in " ".join(table.notes)
    assert [s.mirrored for s in read(root, sides="found").samples] == [
        s.mirrored for s in table.samples
    ]


def reduced(root, rows):
    """The layout of a part of the set, of rows `(original, picture)`."""
    (root / "images").mkdir(parents=True)
    lines = ["image,official_split,original,retinopathy_grade,macular_edema"]
    for number, (original, image) in enumerate(rows):
        image.save(root / "images" / f"{number}.png", exif=image.getexif())
        lines.append(f"{number}.png,train,{original},{number % 2},0")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root


def test_a_number_of_thousands_of_digits_is_in_no_list(tmp_path):
    rows = (("IDRiD_001", eye(True)), (f"IDRiD_{'1' * 5000}", eye(True, 40)))
    assert [s.mirrored for s in read(reduced(tmp_path, rows)).samples] == [True, True]


def test_listed_pictures_are_measured_upright_and_with_distrust(tmp_path):
    turned = eye(True).transpose(Image.Transpose.ROTATE_90)
    turned.getexif()[0x0112] = 6
    root = reduced(tmp_path / "turned", [("IDRiD_001", turned), ("IDRiD_003", eye(False))])
    assert [s.roi for s in read(root).samples] == [crop_of(86, 57)] * 2
    path = root / "images" / "1.png"
    png, text = path.read_bytes(), b"zTXt" + b"a\0\0" + zlib.compress(bytes(5_000_000))
    chunk = (len(text) - 4).to_bytes(4, "big") + text + zlib.crc32(text).to_bytes(4, "big")
    path.write_bytes(png[:33] + chunk + png[33:])  # after the header
    assert read(root, on_bad="collect").samples[1].roi is None


def test_every_fault_is_named_by_row(root, tmp_path):
    eye(True).save(tmp_path / "outside.png")
    bad = (
        ("IDRiD_001,1,1,,,", "repeats IDRiD_001.jpg of"),
        ("IDRiD_002,5,1,,,", "`retinopathy grade` must be from 0 to 4. Received: .*'5'"),
        ("IDRiD_003,1,,,,", "`risk of macular edema` must be from 0 to 2"),
        ("IDRiD_099,1,1,,,", "no such file"),
        ("../../../../outside.png,1,1,,,", "leaves the folder"),
        (f"{tmp_path}/outside.png,1,1,,,", "within the set"),
        (",1,1,,,", "within the set"),
        ("IDRiD_004,1", "has 2 cells, the header 6"),
    )
    path = training_table(root)
    path.write_text(path.read_text() + "".join(f"{row}\n" for row, _ in bad))
    with pytest.raises(DataError) as caught:
        read_idrid(root)
    found = caught.value.problems
    assert len(found) == len(bad) + 2  # two of them repeat a picture as well
    for number, (_, said) in enumerate(bad, 27):
        assert [p for p in found if re.search(f"row {number}: .*{said}", p)], said
    table = read_idrid(root, on_bad="skip")
    assert len(table) == 35 and table.excluded == found


def test_wrong_folders_and_choices_are_refused(root):
    path = training_table(root)
    with pytest.raises(DataError, match="no such labels"):
        read(root, target="grade")
    path.write_text(path.read_text().replace("Retinopathy", "Fundus"))
    with pytest.raises(DataError, match="lacks the columns retinopathy grade"):
        read(root)
    path.unlink()
    table = read(root)  # the other part alone
    assert {s.split for s in table.samples} == {"test"}
    with pytest.raises(DataError, match="is not an IDRiD folder"):
        read_idrid(root / "B. Disease Grading" / IMAGES)
    assert not has_idrid_layout(root / "nowhere")


def test_eyes_that_look_alike_are_no_copies(root):
    found = audit(str(root), progress=False)
    assert found.copies == found.near_duplicates == () and not found.table.faults
    folder = root / "B. Disease Grading" / IMAGES / "a. Training Set"
    (folder / "IDRiD_002.jpg").write_bytes((folder / "IDRiD_003.jpg").read_bytes())
    with pytest.raises(DataError, match="IDRiD_002.jpg is 'retinopathy 2'.*the same picture"):
        audit(str(root), progress=False).accept("fail")


def test_a_damaged_picture_is_the_audits(root):
    folder = root / "B. Disease Grading" / IMAGES / "a. Training Set"
    (folder / "IDRiD_003.jpg").write_bytes(b"")
    assert len(read(root, on_bad="collect")) == 35


@pytest.mark.skipif(not REAL.is_dir(), reason="the reduced sample of IDRiD is not here")
def test_the_reduced_sample():
    assert recognise(str(REAL)) == "idrid"
    listed = read(REAL)
    assert [int((listed.labels == k).sum()) for k in range(5)] == [24, 20, 24, 24, 24]
    edema = read(REAL, target="macular_edema")
    assert [int((edema.labels == k).sum()) for k in range(3)] == [49, 12, 55]
    assert {s.roi for s in listed.samples} == {(39, 0, 511, 425)}
    found = read(REAL, sides="found")
    agree = [a.mirrored == b.mirrored for a, b in zip(listed.samples, found.samples, strict=True)]
    assert sum(agree) == len(agree) == 116 and sum(s.mirrored for s in found.samples) == 55
