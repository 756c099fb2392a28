"""The page of a network, in a real browser that no network reaches."""

import json

import numpy as np
import pytest
from browser import CHROMIUM, open_page
from litert_runs import write_run
from PIL import Image

import thyroid_keras as tk
from thyroid_keras import export
from thyroid_keras.data.decode import decode
from thyroid_keras.data.resize import resize
from thyroid_keras.explain import constant_maps
from thyroid_keras.inspection import predict

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
TOLERANCE = 1e-3
ANSWERED = "/answered in/.test(document.querySelector('#status').textContent)"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A run of a colour network, and the page of its export."""
    run = write_run(tmp_path_factory.mktemp("page"), channels=3)
    said = []
    version = export.export(run, to=run.parent / "model", format="litert", say=said.append)
    return run, version / "page.html"


@pytest.fixture(scope="module")
def page(exported):
    """That page, open, after it was seen to be ready."""
    with open_page(exported[1].as_uri()) as page:
        page.wait_for("document.querySelector('#status').textContent === 'Ready.'")
        yield page


def pictures(folder):
    """Files of every kind and shape that a browser is likely to be given."""
    rng = np.random.default_rng(0)
    for height, width in ((32, 32), (31, 40), (200, 97), (7, 5), (1, 300)):
        color = rng.integers(0, 256, (height, width, 3), np.uint8)
        color[: height // 2] //= 3
        stem = folder / f"{height}x{width}"
        Image.fromarray(color).save(f"{stem}.png")
        Image.fromarray(color[..., 0]).save(f"{stem}_grey.png")
        Image.fromarray(color).quantize(9).save(f"{stem}_palette.png")
        Image.fromarray(color).save(f"{stem}.bmp")
        Image.fromarray(color).save(f"{stem}.jpg", quality=90)
        Image.fromarray(color[..., 0]).save(f"{stem}_grey.jpg", quality=60)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(color).resize((60, 40)).save(folder / "turned.jpg", exif=turned)
    alpha = np.dstack([color, rng.integers(0, 256, color.shape[:2], np.uint8)])
    Image.fromarray(alpha).save(folder / "alpha.png")
    return sorted(folder.iterdir())


def answer(page, path):
    """Drops a picture and returns the probabilities that the page shows."""
    page.drop("#drop", path)
    page.wait_for(f"{ANSWERED} && document.querySelector('#status').textContent"
                  f".startsWith({json.dumps(path.name)})")  # fmt: skip
    return page.evaluate(
        "[...document.querySelectorAll('#classes tr')].map(row => +row.dataset.probability)"
    )


def test_a_dropped_picture_is_answered_as_predict_answers_it(exported, page, tmp_path):
    paths = pictures(tmp_path)
    rows = predict(exported[0], paths, out=tmp_path / "p.csv", say=lambda _: None)
    names = [name for name in rows[0] if name.startswith("p_")]
    seen = set()
    for path, row in zip(paths, rows, strict=True):
        expected = [row[name] for name in names]
        found = answer(page, path)
        assert np.abs(np.subtract(found, expected)).max() <= TOLERANCE, path.name
        named = page.evaluate("document.querySelector('#named').textContent")
        assert named == row["predicted"], path.name
        seen.add(round(expected[0], 2))
    assert len(seen) > 5, "pictures that all look alike"


def test_pixels_are_those_of_the_decoder(page, tmp_path):
    for path in pictures(tmp_path):
        if path.suffix == ".jpg" or path.stem == "alpha":
            continue  # decoders of JPEG and blenders may differ by a level
        data = json.dumps(list(path.read_bytes()))
        found = page.evaluate(
            f"pixelsOf(new File([new Uint8Array({data})], 'x'), [19, 33, 3])"
            ".then(({pixels}) => [...pixels].map(v => Math.round(v * 255)))"
        )
        expected = resize(decode(str(path), channels=3), (19, 33))
        np.testing.assert_array_equal(np.reshape(found, (19, 33, 3)), expected, path.name)


def test_maps_can_be_chosen_and_are_drawn(page, tmp_path):
    picture = pictures(tmp_path)[0]
    answer(page, picture)
    maps = page.evaluate("[...document.querySelector('#map').options].map(o => o.text)")
    assert len(maps) == 2 and maps[0].startswith("class map: ") and maps[1] == "nothing"
    pixels = "document.querySelector('#view').toDataURL()"
    shown = page.evaluate(pixels)
    page.evaluate(
        "document.querySelector('#map').value = 'nothing';"
        "document.querySelector('#map').dispatchEvent(new Event('change'))"
    )
    assert page.evaluate(pixels) != shown


def test_a_map_for_all_pictures_is_one_of_them(page, tmp_path):
    model = tk.build("global_attention", backbone="small_cnn", image_shape=(32, 32, 1))
    (layer,) = [layer for layer in model.layers if hasattr(layer, "map")]
    values = np.linspace(0, 1, 32 * 32, dtype=np.float32).reshape(32, 32)
    layer.map.assign(values[None, ..., None])
    (found,) = constant_maps(model).values()
    np.testing.assert_array_equal(found, values)
    answer(page, pictures(tmp_path)[0])
    page.evaluate("card.maps = {all: {shape: [1, 2], data: [0, 1]}}; listMaps()")
    maps = page.evaluate("[...document.querySelector('#map').options].map(o => o.text)")
    assert maps[0] == "attention: all" and len(maps) == 3
    corner = (
        "document.querySelector('#map').selectedIndex = 0; draw();"
        "[...document.querySelector('#view').getContext('2d').getImageData(W, 0, 1, 1).data]"
    )
    page.evaluate("document.querySelector('#strength').value = 1")
    right = "document.querySelector('#view').width - 1"
    assert page.evaluate(corner.replace("W", right)) == [255, 110, 0, 255]
    page.evaluate("card.maps = {}; listMaps()")


def test_what_is_no_picture_is_said(page, tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    page.drop("#drop", tmp_path / "notes.txt")
    page.wait_for("document.querySelector('#status').className === 'wrong'")
    said = page.evaluate("document.querySelector('#status').textContent")
    assert said.startswith("notes.txt: no picture that this browser can read")


def test_nothing_is_asked_of_any_network(exported, page):
    asked = [e["params"]["request"]["url"] for e in page.events
             if e.get("method") == "Network.requestWillBeSent"]  # fmt: skip
    assert {url.split(":")[0] for url in asked} <= {"file", "blob", "data"}
    assert [url for url in asked if url.startswith("file")] == [exported[1].as_uri()]
    reached = page.evaluate("fetch('https://example.org').then(() => true, () => false)")
    assert reached is False
    refusals = [e for e in page.events if "Content Security Policy" in json.dumps(e)]
    assert refusals, "not forbidden, only not reached"


def test_no_text_of_a_run_becomes_part_of_the_page(exported):
    from thyroid_keras.litert.page import write_page

    evil = "</script><script>alert(1)</script>{{weights}}"
    card = {"title": evil, "class_names": [evil, "b"], "facts": {}, "limits": [evil]}
    content = (exported[1].with_name("model_float32.tflite")).read_bytes()
    text = write_page(card, content)
    assert "<script>alert" not in text and text.count("</script>") == 5
