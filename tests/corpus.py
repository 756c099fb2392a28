"""Bad inputs of every kind, written anew: each a data set with one thing wrong with it."""

import dataclasses
import hashlib
import io
import json
import os
import pickle
import zipfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image
from tables import blobs, encode

from thyroid_keras.data.pack import write_pack

SIDE = 24
GOOD = 4  # pictures of each class
RNG_SEED = 7


@dataclasses.dataclass(frozen=True)
class Case:
    """A data set to be refused.

    Args:
        name: of the case.
        path: what is given to the command.
        culprit: what the message must name.
        skippable: whether all but the culprit can be used.
    """

    name: str
    path: Path
    culprit: str
    skippable: bool = True


class Payload:
    """Would leave a file behind if anything unpickled it."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def pixels(seed, side=SIDE, channels=None):
    shape = (side, side) if channels is None else (side, side, channels)
    return np.random.default_rng([RNG_SEED, seed]).integers(0, 256, shape, np.uint8)


FORMATS = {
    "png": encode(pixels(1, channels=3)),
    "png16": encode(pixels(2).astype(np.uint16) * 257),
    "jpg": encode(pixels(3), "JPEG"),
    "bmp": encode(pixels(4), "BMP"),
    "gif": encode(pixels(5), "GIF"),
    "tif": encode(pixels(6), "TIFF"),
    "lzw": encode(pixels(7), "TIFF", compression="tiff_lzw"),
    "webp": encode(pixels(8), "WEBP"),
    "ppm": encode(pixels(9), "PPM"),
}
SUFFIX = {"png16": "png", "lzw": "tif"}


def flip(data, offset):
    return data[:offset] + bytes([data[offset] ^ 255]) + data[offset + 1 :]


def bomb(side):
    """A PNG file of a few bytes that claims `side` x `side` pixels."""
    data = bytearray(encode(np.zeros((1, 1), np.uint8)))
    data[16:24] = side.to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


def contents():
    """Yields `(name, suffix, bytes)` of files that are no sound pictures."""
    for name, data in FORMATS.items():
        for tenth in range(10):
            yield f"{name}_cut_to_{tenth}0", SUFFIX.get(name, name), data[: len(data) * tenth // 10]
    for offset in range(40, len(FORMATS["png"]) - 12, len(FORMATS["png"]) // 10):
        yield f"png_flipped_at_{offset}", "png", flip(FORMATS["png"], offset)
    for side in (8001, 20_000, 60_000):
        yield f"bomb_{side}", "png", bomb(side)
    for name, data in {
        "html": b"<!DOCTYPE html><html><body>404 not found",
        "text": b"Dear diary,\nno picture today.",
        "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        "zip": b"PK\x03\x04" + bytes(60),
        "gzip": b"\x1f\x8b\x08" + bytes(60),
        "pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
        "dicom": bytes(128) + b"DICM" + bytes(20),
        "json": b'{"image": []}',
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        "pickle": pickle.dumps({"image": 1}),
        "nothing_but_nul": bytes(500),
        "random": pixels(10).tobytes(),
    }.items():
        yield name, "png", data
        yield f"{name}_as_jpg", "jpg", data


def good_folder(root):
    """Writes a class-per-folder set of which nothing is wrong."""
    for number in range(2 * GOOD):
        folder = root / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"good{number}.png").write_bytes(_GOOD[number])
    return root


_GOOD = [encode(pixels(100 + number)) for number in range(2 * GOOD)]


def bad_files(root):
    for name, suffix, data in contents():
        folder = good_folder(root / name)
        (folder / "a" / f"bad.{suffix}").write_bytes(data)
        yield Case(name, folder, f"bad.{suffix}")


def bad_nodes(root, outside):
    """Yields data sets in which a file's place holds something else, or leads elsewhere."""
    secret = outside / "secret.png"

    def case(name, make, culprit="bad.png"):
        folder = good_folder(root / name)
        make(folder / "a" / "bad.png")
        return Case(name, folder, culprit)

    yield case("fifo", os.mkfifo)
    yield case("folder", Path.mkdir)
    yield case("broken_link", lambda path: path.symlink_to("nowhere.png"))
    yield case("link_to_itself", lambda path: path.symlink_to("bad.png"))
    yield case("link_out", lambda path: path.symlink_to(secret))
    yield case("relative_link_out", lambda path: path.symlink_to(os.path.relpath(secret, path)))
    yield case("link_to_device", lambda path: path.symlink_to("/dev/zero"))
    yield case(
        "newline", lambda path: (path.parent / "bad\n.png").write_bytes(_GOOD[0]), "bad\\n.p"
    )
    yield case("escape", lambda path: (path.parent / "bad\x1b[2J.png").write_bytes(_GOOD[0]), "bad")
    latin = os.fsdecode(b"b\xe4d.png")
    yield case("not_utf8", lambda path: (path.parent / latin).write_bytes(_GOOD[0]), "b\\udce4d")
    folder = good_folder(root / "linked_class")
    (folder / "c").symlink_to(outside)
    yield Case("linked_class", folder, "linked_class/c: is a link out", skippable=False)
    folder = good_folder(root / "empty_class")
    (folder / "c").mkdir()
    yield Case("empty_class", folder, "empty_class/c", skippable=False)


def bad_masks(root):
    box = np.zeros((SIDE, SIDE), np.uint8)
    box[4:20, 4:20] = 255
    levels = box.copy()
    levels[4:12, 4:20] = 128
    masks = {
        "smaller": encode(box[:12, :12]),
        "larger": encode(np.pad(box, 5)),
        "turned": encode(box[:, :12]),
        "dim": encode(box // 255),
        "three_levels": encode(levels),
        "four_levels": encode(np.repeat(np.uint8([0, 85, 170, 255]), 6) * np.ones((24, 1), "u1")),
        "heat_map": encode(np.linspace(0, 255, SIDE).astype("u1") * np.ones((SIDE, 1), np.uint8)),
        "picture": encode(pixels(11)),
        "cut": encode(box)[:60],
        "web_page": b"<html>404",
        "empty_file": b"",
    }
    for name, data in masks.items():
        folder = good_folder(root / f"mask_{name}")
        (folder / "a" / "bad.png").write_bytes(encode(pixels(12)))
        (folder / "a" / "bad_mask.png").write_bytes(data)
        yield Case(f"mask_{name}", folder, "bad_mask.png")
    folder = good_folder(root / "mask_alone")
    (folder / "a" / "lost_mask.png").write_bytes(encode(box))
    yield Case("mask_alone", folder, "lost_mask.png")
    folder = good_folder(root / "two_masks")
    (folder / "masks" / "a").mkdir(parents=True)
    for path in ("a/bad.png", "a/bad_mask.png", "masks/a/bad.png"):
        (folder / path).write_bytes(encode(box))
    yield Case("two_masks", folder, "a second mask")


ROWS = "".join(f"{'ab'[i % 2]}/good{i}.png,{'ab'[i % 2]},,g{i},\n" for i in range(2 * GOOD))
HEADER = "image,label,mask,group,split\n"


def bad_manifests(root, outside, executed):
    """Yields manifests with one bad row, and some that are bad as a whole."""
    rows = {
        "above": "../../outside/secret.png,a,,g,",
        "around": "a/../../../outside/secret.png,a,,g,",
        "absolute": f"{outside}/secret.png,a,,g,",
        "system": "/etc/hostname,a,,g,",
        "link": "link.png,a,,g,",
        "over_linked_folder": "linked/secret.png,a,,g,",
        "mask_above": "a/new.png,a,../../outside/secret.png,g,",
        "windows": "a\\new.png,a,,g,",
        "nul": "a/new\0.png,a,,g,",
        "line_break": '"a/new\n.png",a,,g,',
        "missing": "a/none.png,a,,g,",
        "folder": "a,a,,g,",
        "long_name": f"a/{'x' * 5000}.png,a,,g,",
        "no_image": ",a,,g,",
        "no_label": "a/new.png,,,g,",
        "no_group": "a/new.png,a,,,",
        "short": "a/new.png,a",
        "repeated": "a/good0.png,a,,g0,",
        "respelt": "./b/../a/good0.png,a,,g0,",
        "relinked": "same.png,a,,g0,",
        "two_labels": "copy.png,b,,g0,",
        "label_with_escape": "a/new.png,a\x1b[2J,,g,",
        "label_of_digits": f"a/new.png,{'1' * 5000},,g,",
    }
    for name, row in rows.items():
        folder = good_folder(root / f"row_{name}")
        (folder / "a" / "new.png").write_bytes(encode(pixels(13)))
        (folder / "link.png").symlink_to(outside / "secret.png")
        (folder / "linked").symlink_to(outside)
        (folder / "same.png").symlink_to("a/good0.png")
        (folder / "copy.png").write_bytes(_GOOD[0])
        (folder / "manifest.csv").write_text(f"{HEADER}{ROWS}{row}\n", newline="")
        culprit = "copy.png" if name == "two_labels" else "row 1"
        yield Case(f"row_{name}", folder / "manifest.csv", culprit)
    for offset in (300, 350, 400):
        yield _checksum(root / f"checksum_{offset}", flip(FORMATS["jpg"], offset))
    whole = {
        "latin1": (HEADER + ROWS.replace(",a,", ",ä,")).encode("latin-1"),
        "utf16": (HEADER + ROWS).encode("utf-16"),
        "utf16_unmarked": (HEADER + ROWS).encode("utf-16-le"),
        "excel": b"PK\x03\x04" + bytes(99),
        "empty": b"",
        "header_only": HEADER.encode(),
        "no_label": ("file,class\n" + ROWS).encode(),
        "semicolons": (HEADER + ROWS).replace(",", ";").encode(),
        "column_twice": b"image,label,label\n",
        "quotation": (HEADER + ROWS + '"a/good0.png,a').encode(),
        "huge_cell": f"{HEADER}{ROWS}{'x' * 200_000},a,,g,\n".encode(),
        "one_class": (HEADER + ROWS.replace(",b,", ",a,")).encode(),
        "two_cases": (HEADER + ROWS.replace("good0.png,a", "good0.png,A")).encode(),
        "some_splits": (HEADER + ROWS.replace("g0,", "g0,train")).encode(),
        "unknown_splits": (HEADER + ROWS.replace(",\n", ",holdout\n")).encode(),
        "few_groups": (HEADER + ROWS.replace("g2", "g0").replace("g4", "g0")).encode(),
        "pickle_0": pickle.dumps(Payload(executed), protocol=0),
        "pickle_2": pickle.dumps(Payload(executed), protocol=2),
        "pickle_5": pickle.dumps(Payload(executed), protocol=5),
        "web_page": b"<!DOCTYPE html><html>sign in</html>",
    }
    for name, data in whole.items():
        folder = good_folder(root / f"manifest_{name}")
        (folder / "manifest.csv").write_bytes(data)
        culprit = "class 'a'" if name == "few_groups" else "manifest.csv"
        yield Case(f"manifest_{name}", folder / "manifest.csv", culprit, skippable=False)


def _checksum(folder, data):
    """A JPEG that still decodes, but is not the file that the manifest names."""
    good_folder(folder)
    (folder / "a" / "bad.jpg").write_bytes(data)
    told = hashlib.sha256(FORMATS["jpg"]).hexdigest()
    rows = "".join(f"{row},\n" for row in ROWS.splitlines())
    text = f"image,label,mask,group,split,sha256\n{rows}a/bad.jpg,a,,g,,{told}\n"
    (folder / "manifest.csv").write_text(text)
    return Case(folder.name, folder / "manifest.csv", "bad.jpg")


def leaks(root):
    """Yields given splits that share a patient or a picture, stored as it was or again."""
    image = np.kron(pixels(14, 8), np.ones((8, 8), np.uint8))
    again = {
        "exact": encode(image, "BMP"),
        **{f"jpeg_{q}": encode(image, "JPEG", quality=q) for q in (10, 30, 50, 70, 90)},
        "half": encode(Image.fromarray(image).resize((32, 32), Image.Resampling.BOX)),
        "larger": encode(Image.fromarray(image).resize((96, 96))),
        "brighter": encode((image * 0.8 + 40).astype(np.uint8)),
    }
    for name, data in {**again, "patient": encode(pixels(15))}.items():
        folder = good_folder(root / f"leak_{name}")
        (folder / "one.png").write_bytes(encode(image))
        (folder / "other.png").write_bytes(data)
        group = "g_one" if name == "patient" else "g_other"
        splits = ("train", "train", "test", "test", "val", "val", "train", "train")
        rows = "".join(
            f"{row}{split}\n" for row, split in zip(ROWS.splitlines(), splits, strict=True)
        )
        rows += f"one.png,a,,g_one,train\nother.png,a,,{group},test\n"
        (folder / "manifest.csv").write_text(HEADER + rows)
        yield Case(f"leak_{name}", folder / "manifest.csv", "other.png", skippable=False)


def region(*points):
    return {"points": [{"x": x, "y": y} for x, y in points]}


def case_xml(number, tirads):
    svg = json.dumps([region((4, 4), (20, 4), (20, 20), (4, 20))])
    return (
        f"<case><number>{number}</number><tirads>{tirads}</tirads>"
        f"<mark><image>1</image><svg>{svg}</svg></mark></case>"
    ).encode()


def bad_ddti(root, outside):
    entities = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 10))
    case_files = {
        "doctype": f'<!DOCTYPE c SYSTEM "file://{outside}/secret.png"><case/>'.encode(),
        "entity": f'<!DOCTYPE c [<!ENTITY x SYSTEM "{outside}/secret.png">]><c>&x;</c>'.encode(),
        "parameter": f'<!DOCTYPE c [<!ENTITY % x SYSTEM "{outside}/x">%x;]><c/>'.encode(),
        "bomb": f'<!DOCTYPE c [<!ENTITY e0 "x">{entities}]><case>&e9;</case>'.encode(),
        "quadratic": f'<!DOCTYPE c [<!ENTITY e "{"x" * 9999}">]><c>{"&e;" * 9999}</c>'.encode(),
        "utf16": '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE c []><c/>'.encode("utf-16"),
        "deep": b"<a>" * 50 + b"</a>" * 50,
        "latin1": b"<case><number>995</number>\xe9</case>",
        "encoding": b'<?xml version="1.0" encoding="koi9"?><case/>',
        "binary": bytes(range(256)),
        "other_number": case_xml(994, 2),
        "traversal": case_xml(995, 2).replace(b"<image>1", b"<image>../1"),
        "web_page": b"<!DOCTYPE html><html>404</html>",
    }
    case_files |= {
        f"cut_to_{tenth}0": case_xml(995, 2)[: len(case_xml(995, 2)) * tenth // 10]
        for tenth in range(10)
    }

    def case(name, make, culprit):
        folder = root / f"ddti_{name}"
        folder.mkdir(parents=True)
        for number in range(1, 101, 10):
            (folder / f"{number}.xml").write_bytes(case_xml(number, 2 + 3 * (number % 20 == 1)))
            image = pixels(number, channels=3)
            (folder / f"{number}_1.jpg").write_bytes(encode(image, "JPEG", quality=95))
        make(folder)
        return Case(f"ddti_{name}", folder, culprit)

    def with_picture(write):
        def make(folder):
            (folder / "995.xml").write_bytes(case_xml(995, 2))
            write(folder / "995_1.jpg")

        return make

    for name, data in case_files.items():
        yield case(name, lambda folder, d=data: (folder / "995.xml").write_bytes(d), "995.xml")
    yield case("fifo", lambda folder: os.mkfifo(folder / "995.xml"), "995.xml")
    yield case("link", lambda folder: (folder / "995.xml").symlink_to(outside / "s.xml"), "995.xml")
    pictures = {
        "picture_cut": lambda path: path.write_bytes(FORMATS["jpg"][:200]),
        "picture_html": lambda path: path.write_bytes(b"<html>404"),
        "picture_fifo": os.mkfifo,
        "picture_link": lambda path: path.symlink_to(outside / "secret.png"),
    }
    for name, write in pictures.items():
        yield case(name, with_picture(write), "995_1.jpg")


def bad_packs(root, executed):
    root.mkdir(parents=True, exist_ok=True)
    good = root / "good.npz"
    write_pack(good, blobs(16, 16), (16, 16))
    data = good.read_bytes()
    with np.load(good) as file:
        arrays = dict(file)

    def save(name, **changes):
        stream = io.BytesIO()
        np.savez(stream, **{k: v for k, v in (arrays | changes).items() if v is not None})
        files[name] = stream.getvalue()

    files = {f"cut_to_{tenth}0": data[: len(data) * tenth // 10] for tenth in range(10)}
    files |= {"pickle": pickle.dumps(Payload(executed)), "random": pixels(16).tobytes()}
    files |= {f"flipped_at_{o}": flip(data, o) for o in (200, 900, 1700)}
    stream = io.BytesIO()
    np.save(stream, np.zeros((3, 4, 4), np.uint8))
    files["bare_array"] = stream.getvalue()
    save("objects", sample=np.array([Payload(executed)] * 16, dtype=object))
    save("no_labels", label=None)
    save("float_labels", label=np.full(16, np.nan))
    save("unknown_label", label=np.full(16, 9))
    save("float_images", image=np.zeros((16, 16, 16, 1), np.float32))
    save("flat_images", image=np.zeros((16, 256), np.uint8))
    save("by_column", image=np.asfortranarray(arrays["image"]))
    save("fewer_groups", group=arrays["group"][:3])
    save("names_twice", sample=np.array(["same"] * 16))
    save("other_version", version=99)
    save("scalar_classes", class_names=np.array("ab"))
    files["petabytes"] = _lying_pack(arrays, (10**5, 10**5, 10**5))
    files["negative"] = _lying_pack(arrays, (-1, 16, 16))
    for name, content in files.items():
        path = root / f"{name}.npz"
        path.write_bytes(content)
        yield Case(f"pack_{name}", path, name if name != "names_twice" else "same", False)


def _lying_pack(arrays, shape):
    """A pack whose images' header promises more than follows."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.save(member, array)
            data = member.getvalue()
            if name == "image":
                data = data.replace(f"{array.shape}".encode(), f"{shape}".encode())
            file.writestr(f"{name}.npy", data)
    return stream.getvalue()


def bad_places(root):
    root.mkdir(parents=True, exist_ok=True)
    yield Case("absent", root / "absent", "absent", False)
    (root / "notes.txt").write_text("x")
    yield Case("text_file", root / "notes.txt", "notes.txt", False)
    (root / "empty").mkdir()
    yield Case("empty_folder", root / "empty", "empty", False)
    (root / "holiday").mkdir()
    (root / "holiday" / "beach.jpg").write_bytes(FORMATS["jpg"])
    yield Case("holiday", root / "holiday", "beach.jpg", False)
    os.mkfifo(root / "manifest.csv")
    yield Case("fifo_manifest", root / "manifest.csv", "manifest.csv", False)


def write_corpus(root):
    """Writes every bad data set below `root`.

    Returns:
        `(cases, outside, executed)`: list of `Case`, the folder that none may read, and the
        file that exists once a pickle was opened.
    """
    outside, executed = root / "outside", root / "executed"
    outside.mkdir()
    (outside / "secret.png").write_bytes(encode(pixels(99)))
    cases = [
        *bad_files(root / "files"),
        *bad_nodes(root / "nodes", outside),
        *bad_masks(root / "masks"),
        *bad_manifests(root / "manifests", outside, executed),
        *leaks(root / "leaks"),
        *bad_ddti(root / "ddti", outside),
        *bad_packs(root / "packs", executed),
        *bad_places(root / "places"),
    ]
    return cases, outside, executed
