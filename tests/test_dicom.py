"""DICOM: every colour space and compression, frames, regions; damage; and no name of a patient."""

import io
import json
import os
import sys
from pathlib import Path

import keras
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import convert_color_space
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)
from tables import blobs, encode
from test_commands import SMALL

import thyroid_keras as tk
from thyroid_keras import export, predict, train
from thyroid_keras.borders import remove_borders
from thyroid_keras.data.decode import decode
from thyroid_keras.data.fetal_planes import read_fetal_planes
from thyroid_keras.data.folder import read_folder
from thyroid_keras.data.frames import open_frames, open_paths
from thyroid_keras.data.manifest import read_manifest
from thyroid_keras.data.picture_files import find_pictures
from thyroid_keras.data.pictures import ImageError
from thyroid_keras.data.samples import DataError, Sample
from thyroid_keras.data.tn3k import read_tn3k
from thyroid_keras.explanation import _whole, explain
from thyroid_keras.runs import Run, read_csv, write_json

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (3, 24, 32), np.uint8)
COLOUR = RNG.integers(0, 256, (24, 32, 3), np.uint8)
SMOOTH = np.array(Image.fromarray(RNG.integers(0, 256, (3, 4, 3), np.uint8)).resize((32, 24)))
PLANTED = "ZWIEBELFISCH"  # of patients who are looked for
SHORT = ["segmentation_epochs=1", "epochs=1"]
NATIVE = ExplicitVRLittleEndian
REGION = {"RegionSpatialFormat": 1, "RegionDataType": 1, "RegionFlags": 0}


def region(left, top, right, bottom, **tags):
    item, edges = Dataset(), ("MinX0", "MinY0", "MaxX1", "MaxY1")
    for edge, value in zip(edges, (left, top, right, bottom), strict=True):
        setattr(item, f"RegionLocation{edge}", value)
    for tag, value in (REGION | tags).items():
        setattr(item, tag, value)
    return item


def dicom(
    pixels, kind="MONOCHROME2", *, syntax=ExplicitVRLittleEndian, frames=1, regions=(), **tags
):
    """A file as bytes; `pixels`: an array as it is to be stored, or encoded frames."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = UltrasoundMultiFrameImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    data = Dataset()
    data.file_meta = meta
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, generate_uid()
    data.PatientName, data.PatientID = f"{PLANTED}^ANNA", f"{PLANTED}-1"
    data.InstitutionName = data.OtherPatientNames = data.StudyDescription = PLANTED
    data.Rows, data.Columns, data.SamplesPerPixel = 24, 32, 1 if kind[0] in "MP" else 3
    data.PhotometricInterpretation = kind
    data.BitsAllocated = data.BitsStored = 8
    data.PixelRepresentation = data.PlanarConfiguration = 0
    if frames > 1:
        data.NumberOfFrames = frames
    if regions:
        data.SequenceOfUltrasoundRegions = list(regions)
    for tag, value in tags.items():
        setattr(data, tag, value)
    data.HighBit = data.BitsStored - 1
    data.PixelData = encapsulate(pixels) if isinstance(pixels, list) else pixels.tobytes()
    stream = io.BytesIO()
    data.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def subsampled(image):
    """YBR_FULL_422 as it is stored: every two pixels share their colours."""
    ybr = convert_color_space(image, "RGB", "YBR_FULL")
    pairs = [ybr[:, ::2, 0], ybr[:, 1::2, 0], ybr[:, ::2, 1], ybr[:, ::2, 2]]
    return np.stack(pairs, axis=-1)


def palette(depth):
    """A table of colours of so many bits."""
    ramp = np.arange(256) << (depth - 8)
    entries = {"Red": ramp, "Green": ramp[::-1], "Blue": ramp // 2}
    tags = {}
    for colour, values in entries.items():
        tags[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, depth]
        tags[f"{colour}PaletteColorLookupTableData"] = values.astype(f"<u{depth // 8}").tobytes()
    return tags


DEEP = RNG.integers(0, 4096, (24, 32)).astype("<u2")
TWICE = np.repeat(SMOOTH[:, ::2], 2, axis=1)
JPEG = encode(SMOOTH, format="JPEG", quality=95)
KINDS = {
    "grey": (dicom(GREY[0]), GREY[0]),
    "inverted": (dicom(GREY[0], "MONOCHROME1"), 255 - GREY[0]),
    "implicit": (dicom(GREY[0], syntax=ImplicitVRLittleEndian), GREY[0]),
    "12 bits": (
        dicom(DEEP, BitsAllocated=16, BitsStored=12),
        np.rint(DEEP / 4095 * 255).astype(np.uint8),
    ),
    "rgb": (dicom(COLOUR, "RGB"), COLOUR),
    "planes": (dicom(COLOUR.transpose(2, 0, 1), "RGB", PlanarConfiguration=1), COLOUR),
    "ybr": (dicom(convert_color_space(SMOOTH, "RGB", "YBR_FULL"), "YBR_FULL"), SMOOTH),
    "ybr 422": (dicom(subsampled(TWICE), "YBR_FULL_422"), TWICE),
    "palette": (
        dicom(GREY[0], "PALETTE COLOR", **palette(16)),
        np.stack([GREY[0], 255 - GREY[0], GREY[0] // 2], axis=-1),
    ),
    "palette of 8 bits": (
        dicom(GREY[0], "PALETTE COLOR", **palette(8)),
        np.stack([GREY[0], 255 - GREY[0], GREY[0] // 2], axis=-1),
    ),
    "jpeg": (
        dicom([encode(SMOOTH, format="JPEG", quality=95)], "YBR_FULL_422", syntax=JPEGBaseline8Bit),
        SMOOTH,
    ),
    "jpeg that is called rgb and is not": (
        dicom([JPEG], "RGB", syntax=JPEGBaseline8Bit),
        SMOOTH,
    ),
    "jpeg without a marker that is called rgb": (
        dicom([JPEG[:2] + JPEG[20:]], "RGB", syntax=JPEGBaseline8Bit),
        SMOOTH,
    ),
    "jpeg that is rgb": (
        dicom(
            [encode(SMOOTH, format="JPEG", quality=95, keep_rgb=True)],
            "RGB",
            syntax=JPEGBaseline8Bit,
        ),
        SMOOTH,
    ),
    "jpeg 2000": (
        dicom([encode(GREY[0], format="JPEG2000", no_jp2=True)], syntax=JPEG2000Lossless),
        GREY[0],
    ),
}
LOSSY = {"ybr": 2, "ybr 422": 2, "palette": 1, "jpeg": 20}  # the most that is lost


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_its_pixels(kind):
    data, expected = KINDS[kind]
    found = decode(data, channels=None)
    assert found.dtype == np.uint8 and found.shape == expected.shape
    name = "jpeg" if kind.startswith("jpeg ") and kind != "jpeg 2000" else kind
    assert np.abs(found.astype(int) - expected).max() <= LOSSY.get(name, 0)


def test_run_lengths_are_read():
    made = pydicom.dcmread(io.BytesIO(dicom(GREY, frames=3)))
    made.compress(RLELossless)
    stream = io.BytesIO()
    made.save_as(stream)
    np.testing.assert_array_equal(decode(stream.getvalue()), GREY[0])


def test_frames_are_those_that_are_named(tmp_path):
    path = tmp_path / "clip.dcm"
    path.write_bytes(dicom(GREY, frames=3))
    np.testing.assert_array_equal(decode(path), GREY[0])
    for k in (1, 2, 3):
        np.testing.assert_array_equal(decode(f"{path}#{k}"), GREY[k - 1])
    with pytest.raises(ImageError, match=r"clip.dcm#4: has 3 frames.*Received: frame=4"):
        decode(f"{path}#4")


JPEG_LS = dicom([b"\xff\xd8\xff\xf7"], syntax=JPEGLSLossless)
REFUSED = {
    "signed": (dicom(GREY[0], PixelRepresentation=1), "signed"),
    "jpeg-ls": (
        dicom([b"\xff\xd8\xff\xf7"], syntax=JPEGLSLossless),
        "JPEG-LS.*pip install.*dcmdjpeg",
    ),
    "deflated": (dicom(GREY[0], syntax=DeflatedExplicitVRLittleEndian), "deflated"),
    "unknown": (JPEG_LS.replace(b"1.2.4.80", b"1.2.4.89"), "not decoded here"),
    "huge": (dicom(GREY[0], Rows=60000, Columns=60000), "60000x60000 pixels"),
    "endless": (dicom(GREY[0], NumberOfFrames=10**9), "1000000000 frames"),
    "no frames": (dicom(GREY[0], NumberOfFrames=-1), "-1 frames"),
    "too short": (dicom(GREY[0][:20]), "cut off or damaged"),
    "no pixels": (dicom(GREY[0])[:-800], "cut off or damaged|without a picture"),
    "lab": (dicom(COLOUR[..., :2], "YBR_PARTIAL_420", SamplesPerPixel=2), "damaged|not read"),
    "empty": (bytes(128) + b"DICM" + bytes(20), "without a picture, or damaged"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_cannot_be_read_is_named(fault, tmp_path):
    data, said = REFUSED[fault]
    path = tmp_path / "bad.dcm"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=rf"bad\.dcm: .*({said})") as caught:
        decode(path)
    assert PLANTED not in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_cuts_and_changed_bytes_raise_nothing_else():
    for kind in ("grey", "jpeg", "palette"):
        whole = KINDS[kind][0]
        damaged = [whole[:end] for end in range(100, len(whole), len(whole) // 12)]
        for place in range(140, len(whole), len(whole) // 25):
            damaged.append(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        for data in damaged:
            try:
                assert decode(data).dtype == np.uint8
            except ImageError as error:
                assert PLANTED not in str(error)


def test_without_pydicom_the_way_out_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydicom.filereader", None)
    with pytest.raises(ImageError, match=r"pip install thyroid_keras\[dicom\]"):
        decode(KINDS["grey"][0])


@pytest.mark.parametrize(
    ("regions", "roi"),
    [
        ((), None),
        ([region(4, 2, 19, 20)], (4, 2, 16, 19)),
        ([region(4, 2, 9, 12), region(12, 3, 19, 20)], (4, 2, 16, 19)),
        ([region(4, 2, 19, 20), region(0, 0, 31, 23, RegionSpatialFormat=2)], (4, 2, 16, 19)),
        ([region(5, 2, 90, 90)], (5, 2, 27, 22)),
        ([region(40, 2, 50, 20)], None),
        ([region(0, 0, 31, 23, RegionSpatialFormat=3)], None),
    ],
)
def test_samples_are_cut_to_their_regions(regions, roi, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.dcm").write_bytes(dicom(GREY[0], regions=regions))
    table = read_folder(tmp_path)
    assert [s.roi for s in table.samples] == [roi, roi]
    assert any("no region of ultrasound" in note for note in table.notes) == (roi is None)


def test_boxes_and_masks_of_explain_are_of_the_whole_frame(tmp_path):
    """As a manifest's are: a run answers the region, which lies somewhere in the frame."""
    (tmp_path / "x.dcm").write_bytes(dicom(GREY[0], regions=[region(4, 2, 19, 20)]))
    (tmp_path / "crop.png").write_bytes(encode(GREY[0, 2:21, 4:20]))
    keras.utils.set_random_seed(0)
    model = tk.build("cs_agnet", image_shape=(32, 32, 1), stage_filters=(2, 3, 4, 5, 6))
    run = Run(tmp_path / "run")
    run.folder.mkdir()
    model.save(run.model)
    facts = {"name": "x", "class_names": ["a", "b"], "notes": [], "group_unit": "image"}
    write_json(run.config, {"arch": "cs_agnet", "data": facts, "finished": True})
    images = [tmp_path / "x.dcm", tmp_path / "crop.png"]
    frame, crop = explain(run.folder, images, out=tmp_path / "out").values()
    assert frame and frame.keys() == crop.keys()
    for name, (left, top, *size) in crop.items():
        assert frame[name] == [left + 4, top + 2, *size]
    (sample,) = open_paths([str(tmp_path / "x.dcm")])[0]
    whole = _whole(np.full((19, 16), 255, np.uint8), sample)
    assert whole.shape == (24, 32) and whole[2:21, 4:20].min() == 255 and whole.sum() == 255 * 304


def test_folders_hold_a_sample_per_frame_and_frames_stay_together(tmp_path):
    for label in ("benign", "malignant"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "clip.dcm").write_bytes(
            dicom(GREY, frames=3, regions=[region(1, 2, 8, 9)])
        )
        (tmp_path / label / "still.dcm").write_bytes(dicom(GREY[0]))
    (tmp_path / "benign" / "plain.dcm").write_bytes(encode(GREY[0], format="PNG"))
    table = read_folder(tmp_path)
    names = [f"benign/clip.dcm#{k}" for k in (1, 2, 3)]
    assert [s.name for s in table.samples][:5] == [*names, "benign/plain.dcm", "benign/still.dcm"]
    assert {s.group for s in table.samples if s.name in names} == {"benign/clip.dcm"}
    assert {s.roi for s in table.samples if s.name in names} == {(1, 2, 8, 8)}
    assert any("DICOM files: 4." in note for note in table.notes)
    Image.fromarray(GREY[0]).save(tmp_path / "benign" / "clip_mask.png")
    (tmp_path / "malignant" / "still.dcm").write_bytes(REFUSED["jpeg-ls"][0])
    with pytest.raises(DataError) as caught:
        read_folder(tmp_path)
    first, second = caught.value.problems
    assert "clip.dcm: has 3 frames and one mask; name the frame" in first
    assert "still.dcm: is a DICOM file compressed as JPEG-LS" in second


def test_manifests_name_files_or_frames(tmp_path):
    (tmp_path / "clip.dcm").write_bytes(dicom(GREY, frames=3))
    (tmp_path / "still.dcm").write_bytes(dicom(GREY[0]))
    Image.fromarray(GREY[0]).save(tmp_path / "mask.png")
    rows = "image,label,mask,group\nclip.dcm#2,x,mask.png,p\nstill.dcm,y,,q\n"
    (tmp_path / "manifest.csv").write_text(rows)
    table = read_manifest(tmp_path)
    assert [s.name for s in table.samples] == ["clip.dcm#2", "still.dcm"]
    np.testing.assert_array_equal(decode(table.samples[0].image), GREY[1])
    (tmp_path / "manifest.csv").write_text("image,label\nclip.dcm,x\nstill.dcm,y\nno.dcm#2,y\n")
    with pytest.raises(DataError, match="row 4: no.dcm#2: no such file"):
        read_manifest(tmp_path)
    assert len(read_manifest(tmp_path, on_bad="skip").samples) == 4


def test_frames_named_one_by_one_are_of_their_files_patient(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.dcm").write_bytes(dicom(GREY, frames=3))
    frames = [f"{name}.dcm#{k}" for name in ("a", "b") for k in (1, 2, 3)]
    rows = [f"{frame},{frame[0]}" for frame in frames]
    (tmp_path / "manifest.csv").write_text("\n".join(["image,label", *rows]))
    table = read_manifest(tmp_path)
    assert [s.group for s in table.samples] == ["a.dcm"] * 3 + ["b.dcm"] * 3
    groups = ["p", "p", "q", "r", "r", "r"]
    rows = [f"{frame},{frame[0]},{group}" for frame, group in zip(frames, groups, strict=True)]
    (tmp_path / "manifest.csv").write_text("\n".join(["image,label,group", *rows]))
    with pytest.raises(DataError, match="a.dcm: its frames are in 2 groups, 'p', 'q'") as caught:
        read_manifest(tmp_path)
    assert len(caught.value.problems) == 1
    assert {s.group for s in read_manifest(tmp_path, on_bad="collect").samples} == {"r"}


def test_a_dicom_file_of_another_name_is_not_read_as_its_first_frame(tmp_path):
    for name in ("IM0", "x.png"):
        (tmp_path / name).write_bytes(dicom(GREY, frames=3, regions=[region(4, 2, 19, 20)]))
        with pytest.raises(ImageError, match=f"{name}: is a DICOM file; let its name end in .dcm"):
            decode(tmp_path / name)


def test_fetal_planes_and_tn3k_hold_no_first_frames_alone(tmp_path):
    clip, still = dicom(GREY, frames=3), dicom(GREY[0], regions=[region(1, 2, 8, 9)])
    (tmp_path / "planes" / "images").mkdir(parents=True)
    for name, data in (("clip", clip), ("still", still)):
        (tmp_path / "planes" / "images" / f"{name}.dcm").write_bytes(data)
    rows = "image,patient,plane_class\nclip.dcm,1,Other\nstill.dcm,2,Fetal brain\n"
    (tmp_path / "planes" / "labels.csv").write_text(rows)
    table = read_fetal_planes(tmp_path / "planes")
    assert [s.name for s in table.samples] == [
        *(f"images/clip.dcm#{k}" for k in (1, 2, 3)), "images/still.dcm",
    ]  # fmt: skip
    assert [s.group for s in table.samples] == ["1", "1", "1", "2"]
    assert table.samples[3].roi == (1, 2, 8, 8)
    for part in ("trainval", "test"):
        for kind in ("image", "mask"):
            folder = tmp_path / "tn3k" / f"{part}-{kind}"
            folder.mkdir(parents=True)
            (folder / "a.dcm").write_bytes(clip)
        (tmp_path / "tn3k" / f"label4{part}.csv").write_text("a.dcm,0\n")
    with pytest.raises(DataError, match="trainval-image/a.dcm: has 3 frames and one mask"):
        read_tn3k(tmp_path / "tn3k")


def test_frames_may_be_asked_for_one_by_one(tmp_path):
    (tmp_path / "a.dcm").write_bytes(dicom(GREY, frames=3))
    named = [f"{tmp_path / 'a.dcm'}#{k}" for k in (1, 3)]
    samples, problems = open_paths(named)
    assert [s.name for s in samples] == named and not problems


def test_borders_are_removed_from_every_frame(tmp_path):
    for name, pixels in (("a", GREY), ("b", GREY[:1])):
        (tmp_path / f"{name}.dcm").write_bytes(dicom(pixels, frames=len(pixels)))
    named = [str(tmp_path / name) for name in ("a.dcm#2", "a.dcm", "b.dcm")]
    written = remove_borders(named, out=tmp_path / "out", say=lambda line: None)
    assert [Path(path).stem for path in written] == [
        "0001_a_frame2", "0002_a_frame1", "0003_a_frame2", "0004_a_frame3", "0005_b",
    ]  # fmt: skip


def test_pipes_are_refused_and_not_waited_for(tmp_path):
    pipe = str(tmp_path / "x.dcm")
    os.mkfifo(pipe)
    with pytest.raises(DataError, match="x.dcm: is no plain file"):
        find_pictures([pipe])
    samples, _, problems = open_frames(
        [Sample(name="x", image=path, label=0, group="x") for path in find_pictures([tmp_path])]
    )
    assert not problems
    with pytest.raises(ImageError, match="x.dcm: cannot be opened .no plain file"):
        decode(samples[0].image)


@pytest.mark.slow
def test_no_name_of_a_patient_is_in_any_artefact(tmp_path):
    table, root = blobs(32), tmp_path / "data"
    for i, sample in enumerate(table.samples):
        folder = root / table.class_names[sample.label]
        folder.mkdir(parents=True, exist_ok=True)
        height, width = sample.image.shape[:2]
        data = dicom(sample.image, Rows=height, Columns=width, regions=[region(0, 0, 30, 30)])
        (folder / f"{i:02d}.dcm").write_bytes(data)
        Image.fromarray(sample.mask).save(folder / f"{i:02d}_mask.png")
    run, found = tmp_path / "run", tmp_path / "out.csv"
    train.main(["--arch", "cs_agnet", "--data", str(root), "--out", str(run), *SMALL, *SHORT])
    predict.main([str(run), *map(str, root.rglob("*.dcm")), "--out", str(found)])
    export.main([str(run), "--to", str(tmp_path / "served")])
    assert len(read_csv(found)) == 32
    assert any(
        "DICOM files: 32" in n
        for n in json.loads((run / "config.json").read_text())["data"]["notes"]
    )
    written = [p for p in (run, tmp_path / "served") for p in p.rglob("*") if p.is_file()]
    for path in [*written, found]:
        assert PLANTED.encode() not in path.read_bytes(), path
        assert PLANTED not in str(path)
    assert PLANTED.encode() in next(root.rglob("*.dcm")).read_bytes()
