"""DDTI: its layouts, its labels, its known gaps, and hostile case files."""

import collections
import csv
import json
import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from thyroid_keras.data import ddti_xml
from thyroid_keras.data.ddti import read_ddti
from thyroid_keras.data.ddti_case import nodule_square
from thyroid_keras.data.decode import decode, load_sample
from thyroid_keras.data.readers import read
from thyroid_keras.data.samples import DataError
from thyroid_keras.data.weak_masks import polygon_mask, threshold_calcifications

DDTI = pathlib.Path(
    os.environ.get("THYROID_KERAS_DDTI") or pathlib.Path(__file__).parents[2] / "shared/data/ddti"
)
real = pytest.mark.skipif(
    not DDTI.is_dir(), reason="DDTI is absent; THYROID_KERAS_DDTI may name its folder"
)
SQUARE = [(10, 10), (30, 10), (30, 30), (10, 30)]
RIGHT = [(60, 5), (75, 5), (75, 40), (60, 40)]


def region(points, **fields):
    return {"points": [{"x": x, "y": y} for x, y in points], "annotation": {}} | fields


def case_xml(number, marks, tirads="4a", calcifications="microcalcification"):
    body = "".join(
        f"<mark><image>{k}</image><svg>{svg if isinstance(svg, str) else json.dumps(svg)}"
        "</svg></mark>"
        for k, svg in marks
    )
    return (
        f"<case><number>{number}</number><calcifications>{calcifications}</calcifications>"
        f"<tirads>{tirads}</tirads>{body}</case>"
    )


class Folder:
    """Builds a DDTI folder, flat or nested."""

    def __init__(self, root, nested=False):
        self.root = root
        self.xml, self.images = (root / "xml", root / "images") if nested else (root, root)
        for folder in (self.xml, self.images):
            folder.mkdir(parents=True, exist_ok=True)

    def add(self, number, *svgs, seed=None, **findings):
        marks = list(enumerate(svgs, 1))
        (self.xml / f"{number}.xml").write_text(case_xml(number, marks, **findings))
        for k, _ in marks:
            rng = np.random.default_rng(1000 * number + k if seed is None else seed)
            image = rng.integers(0, 100, (50, 80, 3), np.uint8)
            image[18:22, 18:22] = 255
            Image.fromarray(image).save(self.images / f"{number}_{k}.jpg", quality=95)
        return self


def fill(folder):
    folder.add(1, [region(SQUARE), region(RIGHT)], [region(SQUARE)], tirads="2")
    folder.add(9, [region(SQUARE)], calcifications="non")
    folder.add(10, [region(RIGHT)], calcifications="", tirads="5")
    folder.add(11, [region(SQUARE)], tirads="", calcifications="macrocalcifications")
    return folder.root


@pytest.mark.parametrize("nested", [False, True])
def test_both_layouts_and_both_targets(tmp_path, nested):
    root = fill(Folder(tmp_path, nested))
    whole = read(root)
    assert whole.target == "malignancy" and whole.class_names == ("benign", "malignant")
    assert [(s.name, s.label, s.group) for s in whole.samples] == [
        ("1_1", 0, "block0"),
        ("1_2", 0, "block0"),
        ("9_1", 1, "block0"),
        ("10_1", 1, "block0"),
    ]
    _, mask = load_sample(whole.samples[0])
    np.testing.assert_array_equal(mask, polygon_mask((50, 80), [SQUARE, RIGHT]))
    assert "Cases with no entry for malignancy, left out: 1 ('11')." in whole.notes
    assert "burned into" in whole.notes[0]

    nodules = read(root, target="calcification", group="case")
    assert nodules.class_names == ("no calcification", "calcification")
    assert [(s.name, s.label, s.group) for s in nodules.samples] == [
        ("1_1#1", 1, "case1"),
        ("1_1#2", 1, "case1"),
        ("1_2#1", 1, "case1"),
        ("9_1#1", 0, "case9"),
        ("11_1#1", 1, "case11"),
    ]
    assert "weak" in nodules.mask_source and any("nobody drew them" in n for n in nodules.notes)
    assert any(note.startswith("Nodules that share one finding") for note in nodules.notes)
    image, mask = load_sample(nodules.samples[0])
    assert nodules.samples[0].roi == (10, 10, 21, 21) and image.shape == mask.shape == (21, 21)
    assert (mask[9:11, 9:11] == 255).all()  # the bright spot, at 18 to 22 of the picture
    assert not load_sample(nodules.samples[3])[1].any()  # reported free of calcifications


def test_gaps_of_the_public_set_are_passed_over_and_named(tmp_path):
    folder = Folder(tmp_path)
    cut = json.dumps([region(SQUARE)])[:60]
    folder.add(1, [region(SQUARE)], cut, "", [region(SQUARE[:2], regionType="arrow")])
    folder.add(2, [region(SQUARE), region(SQUARE)], [region(SQUARE)], seed=5)
    folder.add(3, [region([(x + 500, y) for x, y in SQUARE])])
    folder.add(4, *[[region(RIGHT)]] * 20, tirads="9")
    (folder.root / "4_20.jpg").unlink()
    (folder.root / "77_1.jpg").write_bytes((folder.root / "1_1.jpg").read_bytes())
    table = read_ddti(folder.root, progress=False)
    notes = "\n".join(table.notes)
    assert [(s.name, s.mask is None) for s in table.samples] == [
        ("1_1", False),
        ("1_2", True),
        ("1_3", True),
        ("1_4", True),
        ("2_1", False),
        ("3_1", True),
    ]
    for text in (
        "'1_2 (cut or malformed JSON)', '1_3 (no region)', '1_4 (region of fewer than three",
        "'3_1 (region outside the picture)'",
        "Exact repeats of a picture within a case, left out: 1 ('2_2 = 2_1')",
        "Marked pictures that are missing: 1 ('4_20')",
        "the unknown entry '9' for malignancy, left out: 1 ('4')",
        "Pictures that no case file mentions, left out: 1 ('77_1')",
    ):
        assert text in notes
    names = [s.name for s in read_ddti(folder.root, target="calcification").samples]
    assert "2_1#1" in names and "2_1#2" not in names  # one polygon, stored twice


def test_two_pictures_of_one_name_are_left_out(tmp_path):
    root = fill(Folder(tmp_path))
    for picture in (root / "1_1.png", root / "77_1.png", root / "77_1.jpg"):
        Image.fromarray(np.zeros((50, 80), np.uint8)).save(picture)
    with pytest.raises(DataError, match="1_1.jpg: two pictures of one name.*1_1.png") as caught:
        read_ddti(root, progress=False)
    assert len(caught.value.problems) == 1
    table = read_ddti(root, on_bad="skip", progress=False)
    assert [s.name for s in table.samples] == ["1_2", "9_1", "10_1"]
    assert not any("missing" in note for note in table.notes)
    assert any("no case file mentions, left out: 1 ('77_1')" in note for note in table.notes)


def test_of_repeats_the_picture_with_nodules_is_kept(tmp_path):
    Folder(tmp_path).add(2, "", [region(SQUARE)], seed=5)
    assert [s.name for s in read_ddti(tmp_path).samples] == ["2_2"]


BOMB = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 10))
HOSTILE = {
    "doctype": (b'<!DOCTYPE c SYSTEM "file:///etc/passwd"><case/>', "document type"),
    "bomb": (f'<!DOCTYPE c [<!ENTITY e0 "x">{BOMB}]><case>&e9;</case>'.encode(), "document type"),
    "utf16": (
        '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE c []><case/>'.encode("utf-16"),
        "document type",
    ),
    "deep": (b"<a>" * 50 + b"</a>" * 50, "nests more than"),
    "cut": (case_xml(5, [(1, [region(SQUARE)])]).encode()[:-30], "no well-formed XML"),
    "latin1": ("<case><number>5</number>\xe9</case>".encode("latin-1"), "no well-formed XML"),
    "encoding": (b'<?xml version="1.0" encoding="koi9"?><case/>', "no well-formed XML"),
    "empty": (b"", "no well-formed XML"),
    "binary": (bytes(range(256)), "no well-formed XML"),
    "number": (case_xml(6, []).encode(), "does not hold case number 5"),
    "path": (case_xml(5, [("../1_1", "")]).encode(), "Received: image='../1_1'"),
    "twice": (case_xml(5, [(1, ""), (1, "")]).encode(), "marks one image twice"),
    "large": (b" " * (ddti_xml.MAX_BYTES + 1), "above 4 MB"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_case_files_are_errors_by_name_or_skipped(tmp_path, kind):
    data, fault = HOSTILE[kind]
    root = fill(Folder(tmp_path))
    (root / "5.xml").write_bytes(data)
    (root / "9_1.jpg").write_bytes((root / "9_1.jpg").read_bytes()[:700])
    with pytest.raises(DataError) as info:
        read_ddti(root)
    xml, picture = info.value.problems
    assert xml.startswith(f"{root / '5.xml'}: ") and fault in xml
    assert picture.startswith(f"{root / '9_1.jpg'}: ")
    table = read_ddti(root, on_bad="skip")
    assert [s.name for s in table.samples] == ["1_1", "1_2", "10_1"]
    assert table.excluded == (xml, picture)


@pytest.mark.parametrize(
    "svg", ["[" * 100_000, "7", "[7]", '[{"points": 3}]', '[{"points": [{"x": 1}]}]', '{"a": 1}']
)
def test_hostile_regions_are_gaps(tmp_path, svg):
    Folder(tmp_path).add(1, svg, [region(SQUARE)])
    table = read_ddti(tmp_path)
    assert table.samples[0].mask is None
    assert any("1_1 (cut or malformed JSON)" in note for note in table.notes)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e300", "-1e9"])
def test_impossible_coordinates_are_gaps(tmp_path, value):
    svg = json.dumps([region(SQUARE)]).replace("30", value)
    Folder(tmp_path).add(1, svg)
    assert any("impossible coordinates" in note for note in read_ddti(tmp_path).notes)


def test_incomplete_copies_and_useless_targets_are_refused(tmp_path):
    root = fill(Folder(tmp_path / "a"))
    (root / "1_2.jpg").unlink()
    with pytest.raises(DataError, match="1 marked pictures are missing, '1_2'; complete the copy"):
        read_ddti(root)
    Folder(tmp_path / "b").add(1, [region(SQUARE)], tirads="")
    with pytest.raises(DataError, match="no sample with a malignancy label"):
        read_ddti(tmp_path / "b")
    for name in ("target", "group", "on_bad"):
        with pytest.raises(ValueError, match=f"Received: {name}='x'"):
            read_ddti(root, **{name: "x"})


def test_nodule_squares_hold_the_nodule_and_stay_inside_where_they_fit():
    image = np.zeros((50, 80), np.uint8)
    assert nodule_square(image, SQUARE) == (10, 10, 21, 21)
    assert nodule_square(image, RIGHT) == (44, 5, 36, 36)  # shifted left by 6
    assert nodule_square(image, [(2, 10), (70, 10), (70, 20), (2, 20)]) == (2, -19, 69, 69)
    assert nodule_square(image, [(-50, -50), (9, 0), (0, 9)])[:2] == (0, 0)


def test_thresholded_spots_follow_their_definition():
    rng = np.random.default_rng(0)
    image = rng.integers(90, 110, (100, 100)).astype(np.uint8)
    nodule = [(10, 10), (90, 10), (90, 90), (10, 90)]
    image[30:34, 40:44] = image[60:64, 2:6] = image[85, 20] = image[89:, :] = 250
    mask = threshold_calcifications(image, nodule)
    expected = np.zeros_like(mask)
    expected[30:34, 40:44] = 255  # not outside, not a single pixel, not the rim
    np.testing.assert_array_equal(mask, expected)
    assert not threshold_calcifications(np.full_like(image, 9), nodule).any()
    assert not threshold_calcifications(image, [(200, 200), (210, 200), (210, 210)]).any()


@real
def test_the_public_set_reads_as_it_is():
    whole, nodules = (
        read_ddti(DDTI, target=t, progress=False) for t in ("malignancy", "calcification")
    )
    with open(DDTI / "manifest.csv", encoding="utf-8") as file:
        rows = {row["image"]: row for row in csv.DictReader(file)}
    repeats = {"1_2", "92_4", "213_2", "230_2"}
    expected = {n: r["label"] for n, r in rows.items() if r["label"] and n not in repeats}
    assert {s.name: whole.class_names[s.label] for s in whole.samples} == expected
    for s in (*whole.samples, *nodules.samples):
        assert s.group == f"block{rows[s.name.split('#')[0]]['block']}"
    calcifications = {"none": 0, "micro": 1, "macro": 1}
    counts = collections.Counter()
    for s in nodules.samples:
        picture = s.name.split("#")[0]
        counts[picture] += 1
        assert s.label == calcifications[rows[picture]["calc"]]
    drawn = {n: max(0, int(r["polygons"])) for n, r in rows.items() if r["calc"]}
    drawn = {n: count for n, count in drawn.items() if n not in repeats}
    assert all(counts[name] <= count for name, count in drawn.items())
    # a few polygons are stored repeatedly, and count once
    assert 0 <= sum(drawn.values()) - counts.total() < 15
    areas = {s.name: (load_sample(s)[1] > 0).mean() for s in whole.samples if s.mask is not None}
    drawn = np.array([float(rows[name]["mask_area"]) for name in areas])
    np.testing.assert_allclose(list(areas.values()), drawn, atol=0.005)
    assert decode(whole.samples[0].image).shape == (360, 560)
