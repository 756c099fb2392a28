"""The audit: every bad input refused by name or left out, every odd but good one accepted."""

import csv
import dataclasses
import json
import re
import subprocess
import sys

import corpus
import cv2
import numpy as np
import pytest
from PIL import Image
from tables import blobs, write_folder

from thyroid_keras import check_data, evaluate, train
from thyroid_keras.data import pack
from thyroid_keras.data.audit import audit
from thyroid_keras.data.audit.burned_in import find_text, margin_share
from thyroid_keras.data.audit.similar import find_similar, thumbnail
from thyroid_keras.data.phantom import PHANTOMS, phantom
from thyroid_keras.data.samples import DataError, Sample, SampleTable
from thyroid_keras.data.splits import make_splits


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    return corpus.write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def opened():
    """Every path that this process opens, in order."""
    paths = []
    sys.addaudithook(lambda event, a: paths.append(str(a[0])) if event == "open" else None)
    return paths


def refusal(capsys, *arguments):
    """What a command that must be refused says."""
    with pytest.raises(SystemExit) as caught:
        check_data.main([str(a) for a in arguments])
    said = capsys.readouterr().err
    assert caught.value.code == 2 and said.startswith("error: ") and "Traceback" not in said
    return said


def test_every_bad_input_is_refused_by_name_and_nothing_outside_is_read(bad, opened, capsys):
    cases, outside, executed = bad
    assert len(cases) >= 200 and len({case.name for case in cases}) == len(cases)
    start, unnamed = len(opened), []
    for case in cases:
        said = refusal(capsys, case.path)
        if case.culprit not in said:
            unnamed.append((case.name, said))
    assert not unnamed
    assert len(opened) > start
    assert not [path for path in opened[start:] if path.startswith(str(outside))]
    assert not executed.exists()


def test_the_rest_is_used_where_bad_inputs_are_skipped(bad):
    for case in bad[0]:
        if case.skippable:
            found = audit(case.path, progress=False)
            table = found.accept("skip")
            # all of DDTI's ten, but neither of two pictures that contradict each other
            good = 10 if case.name.startswith("ddti") else 7 if "two_labels" in case.name else 8
            assert len(table) == good, case.name
            assert len(table.excluded) == (2 if "two_labels" in case.name else 1), case.name
            assert case.culprit in table.excluded[0]
            assert make_splits(table, hashes=found.hashes, copies=found.copies)
        else:
            with pytest.raises(DataError):
                audit(case.path, progress=False).accept("skip")


def test_the_command_line_says_so_too(bad):
    chosen = [c for c in bad[0] if c.name in ("fifo", "manifest_pickle_5")]
    for case in chosen:
        command = [sys.executable, "-m", "thyroid_keras.check_data", str(case.path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 2 and case.culprit in done.stderr, done.stderr
        assert "Traceback" not in done.stderr


def test_everything_wrong_comes_in_one_list(tmp_path, capsys):
    folder = corpus.good_folder(tmp_path / "set")
    (folder / "a" / "cut.png").write_bytes(corpus.FORMATS["png"][:300])
    (folder / "a" / "new.png").write_bytes(corpus.encode(corpus.pixels(1)))
    (folder / "a" / "new_mask.png").write_bytes(corpus.encode(np.zeros((3, 3), np.uint8)))
    (folder / "b" / "lost_mask.png").write_bytes(corpus.encode(np.zeros((3, 3), np.uint8)))
    (folder / "b" / "again.png").write_bytes((folder / "a" / "good0.png").read_bytes())
    (folder / "b" / "gone.png").symlink_to("nowhere")
    (folder / "c").mkdir()
    (folder / "d").mkdir()
    (folder / "d" / "alone.png").write_bytes(corpus.encode(corpus.pixels(2)))
    (folder / "notes.txt").write_text("x")
    said = refusal(capsys, folder, "--json", tmp_path / "found.json")
    for fault in (
        "cut.png: is cut off",
        "new_mask.png: the mask has 3x3 pixels",
        "lost_mask.png: a mask without its image",
        "a/good0.png is 'a', b/again.png is 'b': the same picture",
        "b/again.png is 'b', a/good0.png is 'a': the same picture",
        "gone.png: no such file",
        "/c: holds no pictures",
        "class 'd' has samples in 1 group (image) and cannot be in all of 3 parts",
    ):
        assert fault in said
    found = json.loads((tmp_path / "found.json").read_text())
    assert len(found["excluded"]) == 6 and found["samples"] == 8
    assert any("'notes.txt'" in note for note in found["notes"])
    assert sum(line.strip() != "" for line in said.splitlines()) == 6 + len(found["faults"])


def odd_pictures():
    """Yields `(file name, bytes)` of what is unusual but sound."""
    color, deep = corpus.pixels(20, channels=3), corpus.pixels(21).astype(np.uint16) * 257
    rotated = Image.Exif()
    rotated[0x0112] = 6
    yield "gray16.png", corpus.encode(deep)
    yield "gray16.tiff", corpus.encode(deep.T // 2, "TIFF")
    yield "palette.png", corpus.encode(Image.fromarray(color).quantize(16))
    yield "alpha.png", corpus.encode(np.dstack([color[::-1], corpus.pixels(22)]))
    yield "bits.png", corpus.encode(corpus.pixels(23) > 127)
    yield "cmyk.jpg", corpus.encode(Image.fromarray(color.swapaxes(0, 1)).convert("CMYK"), "JPEG")
    yield "turned.jpeg", corpus.encode(corpus.pixels(24, channels=3), "JPEG", exif=rotated)
    yield "progressive.JPG", corpus.encode(corpus.pixels(25), "JPEG", progressive=True)
    film = Image.fromarray(corpus.pixels(26))
    yield "film.gif", corpus.encode(film, "GIF", save_all=True, append_images=[film.rotate(90)])
    yield "map.bmp", corpus.encode(corpus.pixels(27), "BMP")
    yield "web.webp", corpus.encode(corpus.pixels(28), "WEBP")
    yield "plain.pgm", corpus.encode(corpus.pixels(29), "PPM")
    yield "name with blanks, ümläute and 例.png", corpus.encode(corpus.pixels(30))
    yield "dot.png", corpus.encode(corpus.pixels(31)[:1, :1])


def test_twelve_bits_in_sixteen_are_told(tmp_path):
    for label in "ab":
        for i in range(4):
            levels = corpus.pixels(ord(label) + i).astype(np.uint16)
            for name, scale in (("whole", 257), ("twelve", 16)):
                (tmp_path / name / label).mkdir(parents=True, exist_ok=True)
                data = corpus.encode(levels * scale)
                (tmp_path / name / label / f"{i}.png").write_bytes(data)
    told = {
        name: str(audit(tmp_path / name, progress=False).warnings) for name in ("whole", "twelve")
    }
    assert "nearly black" in told["twelve"] and "nearly black" not in told["whole"]


@pytest.mark.parametrize("offset", [5, 10**6])
def test_what_follows_the_only_page_may_be_no_picture(offset, tmp_path):
    folder = corpus.good_folder(tmp_path / "set")
    data = bytearray(corpus.encode(corpus.pixels(31), "TIFF"))
    first = int.from_bytes(data[4:8], "little")
    end = first + 2 + 12 * int.from_bytes(data[first : first + 2], "little")
    assert data[end : end + 4] == bytes(4)  # no other page
    data[end : end + 4] = offset.to_bytes(4, "little")
    (folder / "a" / "page.tiff").write_bytes(data)
    found = audit(folder, progress=False)
    assert "a/page.tiff" in {s.name for s in found.table.samples} and not found.problems


def test_odd_but_good_pictures_are_accepted(tmp_path, capsys):
    folder = corpus.good_folder(tmp_path / "odd")
    names = []
    for name, data in odd_pictures():
        (folder / "a" / name).write_bytes(data)
        names.append(f"a/{name}")
    check_data.main([str(folder)])
    assert "No faults." in capsys.readouterr().out
    found = audit(folder, progress=False)
    assert set(names) < {s.name for s in found.table.samples} and not found.problems
    one_pixel, film = found.warnings.items()
    assert one_pixel[0] == "Pictures of one grey level"
    assert film[0].startswith("Files of several pictures") and film[1] == ["a/film.gif"]


def test_another_format_than_the_name_says_is_a_warning(tmp_path):
    folder = corpus.good_folder(tmp_path)
    (folder / "a" / "scan.jpg").write_bytes(corpus.encode(corpus.pixels(1)))
    found = audit(folder, progress=False)
    assert found.accept() and found.warnings == {
        "Pictures of another format than their names say": ["a/scan.jpg is PNG"]
    }


def test_a_manifest_with_checksums_that_agree_is_accepted(tmp_path):
    case = corpus._checksum(tmp_path / "set", corpus.FORMATS["jpg"])
    assert not audit(case.path, progress=False).problems


def test_a_pack_larger_than_memory_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    pack.write_pack(tmp_path / "set.npz", blobs(16), (16, 16))
    assert not audit(tmp_path / "set.npz", progress=False).problems
    monkeypatch.setattr(pack, "free_memory", lambda: 1000)
    with pytest.raises(DataError, match="more than the memory that is free"):
        audit(tmp_path / "set.npz", progress=False)


def test_names_in_a_pack_are_not_believed(tmp_path):
    path = tmp_path / "set.npz"
    pack.write_pack(path, blobs(16), (16, 16))
    with np.load(path) as arrays:
        arrays = dict(arrays)
    odd = {
        "sample": np.array(["\r\n\x1b[31m", *arrays["sample"][1:]]),
        "class_names": np.array(["b", "a\n"]),
    }
    for name, value in odd.items():
        np.savez(path, **arrays | {name: value})
        with pytest.raises(DataError, match=f"`{name}` .*control characters") as caught:
            pack.read_pack(path)
        assert str(caught.value).isprintable()
    for names in (["a", "a"], ["a", "A"], ["a"]):
        np.savez(path, **arrays | {"class_names": names, "label": np.zeros(16, int)})
        with pytest.raises(DataError, match="two different classes|nothing but case") as caught:
            pack.read_pack(path)
        assert "write_pack" not in str(caught.value)  # which would write the same
    np.savez(path, **arrays | {"table_target": "\x9b2J", "notes": ["one\ntwo"]})
    found = pack.read_pack(path)  # of what is only printed
    assert found.target.isprintable() and found.notes[0].isprintable()


def test_a_name_is_printed_as_it_is(tmp_path, capsys):
    table = dataclasses.replace(blobs(16), name="x[/red]", class_names=("[/a]", "[b]"))
    pack.write_pack(tmp_path / "set.npz", table, (16, 16))
    check_data.main([str(tmp_path / "set.npz")])
    said = capsys.readouterr().out
    assert "x[/red]: calcification" in said and "Class '[/a]'" in said and "Class '[b]'" in said
    assert re.findall(r"Class '(.*)'.*, the positive class", said) == ["[b]"]


def test_where_the_only_mask_is_faulty_there_is_no_reference_standard(tmp_path):
    folder = corpus.good_folder(tmp_path / "set")
    for mask in folder.rglob("*_mask*"):
        mask.unlink()
    (folder / "a" / "x.png").write_bytes(corpus.encode(corpus.pixels(1, 96)))
    (folder / "a" / "x_mask.png").write_bytes(corpus.encode(np.zeros((9, 9), np.uint8)))
    found = audit(folder, progress=False)
    assert len(found.table.excluded) == 1 and found.table.mask_source is None


def test_masks_with_soft_edges_or_traces_of_jpeg_are_accepted(tmp_path):
    mask = np.zeros((96, 96), np.uint8)
    cv2.circle(mask, (48, 48), 20, 255, -1)
    soft = cv2.GaussianBlur(mask, (3, 3), 0)
    for name, data in {
        "jpg": corpus.encode(mask, "JPEG", quality=40),
        "png": corpus.encode(soft),
        "bmp": corpus.encode(mask // 2 + mask // 4, "BMP"),  # 0 and 190
    }.items():
        folder = corpus.good_folder(tmp_path / name)
        (folder / "a" / "x.png").write_bytes(corpus.encode(corpus.pixels(1, 96)))
        (folder / "a" / f"x_mask.{name}").write_bytes(data)
        found = audit(folder, progress=False)
        assert not found.problems and found.summary["masks"]["count"] == 1
        assert found.summary["masks"]["median_share"] == pytest.approx((mask > 0).mean(), rel=0.05)


def leaked(images, kind):
    """A table of pictures, each of its own group, and each again, as `kind` makes it."""
    samples = [
        Sample(name=f"{i}{mark}", image=make(image), label=i % 2, group=f"{i}{mark}")
        for i, image in enumerate(images)
        for mark, make in (("", lambda x: x), ("'", kind))
    ]
    return SampleTable(name="leaked", samples=tuple(samples), class_names=("a", "b"))


def jpeg(quality):
    return lambda image: cv2.imdecode(cv2.imencode(".jpg", image, [1, quality])[1], 0)


def scaled(factor):
    return lambda image: cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def cropped(share):
    def crop(image):
        cut = int(share * len(image))
        return image[cut:, : -cut or None]

    return crop


@pytest.fixture(scope="module")
def images():
    return [s.image for s in phantom(30, views=1, progress=False).samples]


@pytest.mark.parametrize(
    "kind",
    [jpeg(10), jpeg(50), jpeg(90), scaled(0.5), scaled(1.5), lambda i: (i * 0.7 + 9).astype("u1")],
    ids=["jpeg10", "jpeg50", "jpeg90", "half", "larger", "darker"],
)
def test_every_picture_stored_again_is_found_and_kept_together(images, kind):
    table = leaked(images, kind)
    found = audit(table, progress=False)
    assert {frozenset(pair) for pair in found.copies} == {
        frozenset((f"{i}", f"{i}'")) for i in range(len(images))
    }
    for seed in range(3):
        splits = make_splits(found.table, seed=seed, hashes=found.hashes, copies=found.copies)
        sides = [{s.name.strip("'") for s in part.samples} for part in splits.parts.values()]
        assert sum(map(len, sides)) == len(images)
    assert any("Groups that share a picture" in note for note in splits.test.notes)


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1])
def test_cropped_pictures_are_listed_and_distinct_ones_are_not(images, share):
    found = audit(leaked(images, cropped(share)), progress=False)
    pairs = {frozenset(pair[:2]) for pair in (*found.copies, *found.near_duplicates)}
    truth = {frozenset((f"{i}", f"{i}'")) for i in range(len(images))}
    assert pairs <= truth and len(pairs) >= 0.85 * len(truth)
    assert found.warnings and not found.problems


def test_many_copies_of_one_picture_are_all_joined(images):
    table = leaked([images[0]] * 12, lambda image: image)
    samples = [
        Sample(name=str(q), image=jpeg(q)(images[0]), label=0, group=str(q)) for q in range(20, 90)
    ]
    samples += [Sample(name=f"o{i}", image=x, label=1, group=f"o{i}") for i, x in enumerate(images)]
    table = SampleTable(name="many", samples=tuple(samples), class_names=("a", "b"))
    found = audit(table, progress=False)
    assert "class 'a' has samples in 1 group" in found.problems[0]


def test_copies_are_found_though_each_patient_has_many_of_its_own(images):
    rng = np.random.default_rng(0)
    (sample,) = PHANTOMS["malignancy"](1, views=1, seed=3, progress=False).samples
    still = [np.clip(sample.image + rng.normal(0, 1, sample.image.shape), 0, 255) for _ in range(4)]
    still = [frame.astype(np.uint8) for frame in still]  # a frozen image, frame by frame
    brighter = [jpeg(85)(cv2.convertScaleAbs(frame, None, 1.2)) for frame in still]
    samples = [
        Sample(name=f"{who}{i}", image=frame, label=0, group=who)
        for who, frames in (("p", still), ("q", brighter))
        for i, frame in enumerate(frames)
    ]
    samples += [Sample(name=f"o{i}", image=x, label=1, group=f"o{i}") for i, x in enumerate(images)]
    table = SampleTable(name="many", samples=tuple(samples), class_names=("a", "b"))
    found = audit(table, progress=False)
    assert any({a[0], b[0]} == {"p", "q"} for a, b in found.copies)
    assert "class 'a' has samples in 1 group" in found.problems[0]


def test_constant_and_few_pictures_are_similar_to_none():
    flat = np.stack([np.full((64, 64), value, np.uint8) for value in (0, 7, 255)])
    assert find_similar(flat, progress=False) == []
    assert find_similar(flat[:1], progress=False) == []
    assert thumbnail(np.zeros((3, 500), np.uint8)).shape == (64, 64)


def test_text_is_counted_by_line_and_not_seen_in_tissue(images):
    page = np.zeros((360, 560), np.uint8)
    page[40:300, 100:460] = cv2.resize(images[0], (360, 260))
    assert find_text(page) == (0, 0)
    cv2.putText(page, "T I R A D S 4 C", (100, 335), cv2.FONT_HERSHEY_PLAIN, 1, 210, 1)
    cv2.putText(page, "I Z", (10, 100), cv2.FONT_HERSHEY_PLAIN, 1, 210, 1)
    characters, longest = find_text(page)
    assert characters == 10 and longest == 8
    assert find_text(np.zeros((1, 1), np.uint8)) == (0, 0)


def test_margins_are_measured_by_area():
    image = np.zeros((100, 200), np.uint8)
    assert margin_share(image) == 1
    image[20:, :100] = corpus.pixels(1, 100)[:80]
    assert margin_share(image) == pytest.approx(1 - 0.8 * 0.5)


def test_shares_of_long_lines_are_given_by_class():
    def page(text, seed):
        image = np.zeros((120, 240), np.uint8)
        image[10:80, 20:200] = corpus.pixels(seed, 180)[:70] // 2
        cv2.putText(image, text, (10, 110), cv2.FONT_HERSHEY_PLAIN, 1, 220, 1)
        return image

    samples = [
        Sample(
            name=str(i),
            image=page("" if i % 2 else "B E N I G N N", i),
            label=i % 2,
            group=str(i),
        )
        for i in range(8)
    ]
    table = SampleTable(name="pages", samples=tuple(samples), class_names=("benign", "other"))
    found = audit(table, progress=False)
    assert found.summary["burned_in"]["long_lines"] == 4
    assert "100% of 'benign', 0% of 'other'" in found.warnings["Burned-in text"][1]


def test_a_summary_says_what_there_is(tmp_path, capsys):
    write_folder(blobs(16), tmp_path / "blobs")
    found = audit(tmp_path / "blobs", progress=False)
    summary = found.summary
    assert summary["classes"]["calcification"] == {"samples": 8, "groups": 8}
    assert summary["sizes"] == {"32x32": 16} and summary["channels"] == {"grey": 16}
    assert summary["masks"]["empty"] == 8
    assert summary["masks"]["median_share"] == pytest.approx(64 / 1024)
    images = np.stack([s.image for s in blobs(16).samples])
    assert summary["grey_levels"]["mean"] == pytest.approx(images.mean())
    assert summary["grey_levels"]["black_share"] == pytest.approx((images == 0).mean())
    check_data.main([str(tmp_path / "blobs"), "--folds", "4"])
    said = capsys.readouterr().out
    assert re.search(r"Class 'calcification' +8 \(50%\) in 8 groups", said) and "No faults" in said
    assert "9 parts" in refusal(capsys, tmp_path / "blobs", "--folds", "9")
    assert "--folds must be at least 2" in refusal(capsys, tmp_path / "blobs", "--folds", "1")


def test_a_file_is_decoded_once(tmp_path, opened):
    folder = write_folder(blobs(8), tmp_path / "set")
    start = len(opened)
    audit(folder, progress=False)
    pictures = [path for path in opened[start:] if path.endswith(".png")]
    assert len(pictures) == 24  # once to decode, image and mask, and once more for its first bytes
    assert len({path for path in pictures if "_mask" in path}) == 8


@pytest.mark.slow
def test_a_run_leaves_bad_files_out_counts_them_and_can_be_judged_again(tmp_path, capsys):
    data = write_folder(blobs(32), tmp_path / "blobs")
    bad = sorted((data / "calcification").glob("*.png"))[:2]  # an image and its mask
    bad[0].write_bytes(bad[0].read_bytes()[:100])
    small = ["--set", "image_size=32", "stage_filters=2,3,4,5,6", "segmentation_epochs=1"]
    command = ["--arch", "ds_agnet", "--data", str(data), "--out", str(tmp_path / "run"), *small]
    with pytest.raises(SystemExit) as caught:
        train.main(command)
    assert caught.value.code == 2 and bad[0].name in capsys.readouterr().err
    train.main([*command, "--on-bad", "skip"])
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert metrics["excluded"] == {"count": 1}
    assert len(config["data"]["excluded"]) == 1 and bad[0].name in config["data"]["excluded"][0]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Left out for faults" in page and str(tmp_path) not in page
    with open(tmp_path / "run" / "split.csv", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 31
    evaluate.main([str(tmp_path / "run")])
    assert json.loads((tmp_path / "run" / "metrics.json").read_text()) == metrics
