"""The reader of fetal planes: both layouts, patients, the set's own split, every fault by row."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from thyroid_keras.data.fetal_planes import CLASS_NAMES, has_fetal_layout, read_fetal_planes
from thyroid_keras.data.readers import read, recognise
from thyroid_keras.data.samples import DataError
from thyroid_keras.data.splits import make_splits

REAL = Path(__file__).parents[2] / "shared" / "data" / "fetal_planes_mini"
HEADER = "Image_name;Patient_num;Plane;Brain_plane;Operator;US_Machine;Train "
PLANES = (  # number in the file's name, plane, planes of the brain
    (1, "Other", ("Not A Brain",)),
    (2, "Fetal abdomen", ("Not A Brain",)),
    (3, "Fetal brain", ("Trans-thalamic", "Trans-cerebellum", "Trans-ventricular", "Other")),
    (5, "Fetal femur", ("Not A Brain",)),
)


def published(root, patients=12, training=8):
    """The layout as it is published, of made-up frames."""
    (root / "Images").mkdir(parents=True)
    rows = [HEADER]
    for patient in range(1, patients + 1):
        number, plane, brains = PLANES[patient % len(PLANES)]
        for k, brain in enumerate(brains, 1):
            name = f"Patient{patient:05d}_Plane{number}_{k}_of_{len(brains)}"
            pixels = np.random.default_rng([patient, k]).integers(0, 255, (9, 12), dtype=np.uint8)
            Image.fromarray(pixels).save(root / "Images" / f"{name}.png")
            rows.append(
                f"{name};{patient};{plane};{brain};Op. 1;Voluson E6;{int(patient <= training)}"
            )
    (root / "FETAL_PLANES_DB_data.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return root


@pytest.fixture
def root(tmp_path):
    return published(tmp_path / "planes")


def rewrite(root, change):
    path = root / "FETAL_PLANES_DB_data.csv"
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")


def problems(root, **options):
    with pytest.raises(DataError) as info:
        read_fetal_planes(root, **options)
    return info.value.problems


def test_published_layout(root):
    assert recognise(str(root)) == "fetal_planes"
    table = read(root)
    assert table.class_names == ("Fetal abdomen", "Fetal brain", "Fetal femur", "Other")
    assert len(table) == 3 * (1 + 1 + 4 + 1)
    first = table.samples[0]
    assert first.name == "Images/Patient00001_Plane2_1_of_1.png"
    assert Path(first.image).is_file() and first.mask is None
    assert table.class_names[first.label] == "Fetal abdomen"
    assert len(set(table.groups)) == 12 and table.group_unit == "patient"
    assert table.notes == () and table.target == "plane"


def test_the_sets_own_split_is_kept_or_left_open(tmp_path):
    root = published(tmp_path / "planes", 40, training=32)
    table = read_fetal_planes(root)
    assert {s.split for s in table.samples if int(s.group) <= 32} == {"train"}
    assert {s.split for s in table.samples if int(s.group) > 32} == {"test"}
    splits = make_splits(table, progress=False)
    assert {int(s.group) for s in splits.test.samples} == set(range(33, 41))
    assert {s.split for s in read(root, split=False).samples} == {None}


def test_brain_planes(root):
    table = read(root, target="brain_plane")
    assert table.class_names == CLASS_NAMES["brain_plane"]
    named = [table.class_names[s.label] for s in table.samples]
    assert named == ["Trans-thalamic", "Trans-cerebellum", "Trans-ventricular"] * 3
    assert table.notes == ("Frames in no named plane of the brain, left out: 12.",)
    rewrite(root, lambda text: text.replace("femur;Not A Brain", "femur;Trans-thalamic"))
    assert read(root, target="brain_plane").samples == table.samples


def test_spelling_does_not_matter(root):
    expected = read_fetal_planes(root).samples
    rewrite(root, lambda text: text.replace("Fetal brain", "fetal_brain").replace("\n", "\r\n"))
    assert read_fetal_planes(root).samples == expected
    rewrite(root, lambda text: "\ufeff" + text.replace(HEADER, HEADER.strip().upper()))
    assert read_fetal_planes(root).samples == expected


def test_every_fault_is_named_by_row(root, tmp_path):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "outside.png")
    (root / "Images" / "link.png").symlink_to(tmp_path / "outside.png")
    (root / "Images" / "folder.png").mkdir()
    good = "Patient00001_Plane2_1_of_1"
    bad = (
        (f"{good};1;Fetal abdomen;Not A Brain;o;m;1", "repeats"),
        (f"Images/../{good};1;Other;;o;m;1", "repeats"),
        (f"../Images/{good};1;Other;;o;m;1", "repeats"),
        ("../../outside;1;Other;;o;m;1", "leaves the folder"),
        (f"{tmp_path}/outside.png;1;Other;;o;m;1", "within the set"),
        ("link;1;Other;;o;m;1", "leaves the folder"),
        ("folder;1;Other;;o;m;1", "is a folder"),
        ("..\\x;1;Other;;o;m;1", "within the set"),
        ("missing;1;Other;;o;m;1", "no such file"),
        (";1;Other;;o;m;1", "`image` is empty"),
        ("x;;Other;;o;m;1", "`patient` is empty"),
        ("x;1;Fetal leg;;o;m;1", "Received: plane='Fetal leg'"),
        ("x;1;Other;;o;m;yes", "Received: train='yes'"),
        ("x;1;Other", "has 3 cells"),
        ("x\x07;1;Other;;o;m;1", "control characters"),
    )
    start = len((root / "FETAL_PLANES_DB_data.csv").read_text().splitlines())
    rewrite(root, lambda text: text + "".join(f"{row}\n" for row, _ in bad))
    found = problems(root)
    assert len(found) == len(bad)
    for number, (_, fault) in enumerate(bad, start + 1):
        (line,) = [p for p in found if f"FETAL_PLANES_DB_data.csv, row {number}:" in p]
        assert fault in line
    table = read_fetal_planes(root, on_bad="skip")
    assert len(table) == 21 and len(table.excluded) == len(bad)


def test_unknown_brain_plane_is_a_fault_where_it_matters(root):
    rewrite(root, lambda text: text.replace("Trans-thalamic", "Transverse", 1))
    (fault,) = problems(root, target="brain_plane")
    assert "Received: brain_plane='Transverse'" in fault
    assert len(read_fetal_planes(root)) == 21


def test_missing_columns_and_damage(root):
    rewrite(root, lambda text: text.replace("Brain_plane", "brain plane"))
    assert len(read_fetal_planes(root)) == 21
    assert "lacks the columns 'brain_plane'" in problems(root, target="brain_plane")[0]
    rewrite(root, lambda text: text.replace("Patient_num", "patient"))
    assert "lacks the columns 'patient_num'" in problems(root)[0]
    (root / "FETAL_PLANES_DB_data.csv").write_bytes(b"Image_name;\xff\xfe")
    assert "not UTF-8" in problems(root)[0]


def test_pictures_without_a_row_are_noted(root):
    shutil.copy(root / "Images/Patient00001_Plane2_1_of_1.png", root / "Images/extra.png")
    assert read_fetal_planes(root).notes == (
        "Pictures that no row mentions, left out: 1 ('extra.png').",
    )


def test_other_folders_are_not_taken_for_it(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "labels.csv").write_text("image,grade\na.png,1\n")
    assert not has_fetal_layout(tmp_path)
    assert "check the copy" in problems(tmp_path)[0]


def test_real_frames():
    if not REAL.is_dir():
        pytest.skip(f"no sample of FETAL_PLANES_DB at {REAL}")
    assert recognise(str(REAL)) == "fetal_planes"
    table = read(REAL)
    assert len(table) == 61 and len(set(table.groups)) == 57
    counts = dict(zip(table.class_names, np.bincount(table.labels), strict=True))
    assert counts == {
        "Fetal brain": 45,
        "Fetal femur": 2,
        "Fetal thorax": 6,
        "Maternal cervix": 1,
        "Other": 7,
    }
    assert {s.split for s in table.samples} == {None} and table.notes == ()
    for sample in table.samples:  # the file's name tells the patient too
        assert f"Patient{sample.group}_" in sample.name
    with pytest.raises(DataError, match="which brain_plane needs"):
        read(REAL, target="brain_plane")
