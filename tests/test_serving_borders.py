"""Borders removed inside the graph: the same pixels as outside of it."""

from contextlib import nullcontext

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from check import fails
from looking import finding
from tables import encode

import thyroid_keras as tk
from thyroid_keras.answers import class_probabilities
from thyroid_keras.borders import BorderRemover
from thyroid_keras.borders import __main__ as borders_command
from thyroid_keras.data.augment import GREY_LEVEL
from thyroid_keras.data.borders import find_classical, find_sector, remove_classical
from thyroid_keras.data.borders.removal import MOST_LAYERS, fill
from thyroid_keras.data.borders.screens import compose
from thyroid_keras.data.decode import load_sample
from thyroid_keras.data.phantom import phantom
from thyroid_keras.data.pictures import ImageError
from thyroid_keras.data.samples import Sample
from thyroid_keras.folding import fold_batch_norm
from thyroid_keras.runs import Run, RunError
from thyroid_keras.serving.borders import filling, in_graph
from thyroid_keras.serving.borders.parts import find_parts
from thyroid_keras.serving.exportable import check_exportable
from thyroid_keras.serving.signatures import answer, write_signatures

SHARP = 100  # what logits are multiplied by, lest a random network be undecided everywhere


def guessing(seed=0, channels=1):
    """A border network of random weights, whose sector and text have holes and ragged edges."""
    keras.utils.set_random_seed(seed)
    shape = (32, 48, channels)
    model = tk.build("border_unet", image_shape=shape, stage_filters=(4, 5, 6))
    noise = np.random.default_rng(seed).random((1, *shape), np.float32)
    for name, found in model(noise).items():
        head = model.get_layer(name)
        kernel, bias = head.get_weights()
        usual = np.log(np.mean(found / (1 - found))) - bias
        head.set_weights([SHARP * kernel, -SHARP * usual])
    return model


def blind():
    """One that sees no ultrasound anywhere, and text."""
    model = guessing(2)
    head = model.get_layer("sector")
    kernel, bias = head.get_weights()
    head.set_weights([0 * kernel, bias - 100])
    return model


def pictures():
    """What scanners show, and what nobody would."""
    rng = np.random.default_rng(0)
    views = [s.image for s in phantom(4, views=1, target="malignancy", progress=False).samples]
    screens = [compose(views, np.random.default_rng([3, i])).image for i in range(6)]
    coloured = np.repeat(views[0][..., None], 3, axis=2)
    coloured[60:71, 90], coloured[65, 85:96] = (0, 200, 220), (0, 200, 220)
    doppler = coloured.copy()
    doppler[40:120, 40:120, 0] = 255
    written = coloured.copy()
    cv2.putText(written, "DIST 4B", (60, 120), cv2.FONT_HERSHEY_SIMPLEX, 1, (255, 255, 255), 3)
    smooth = np.repeat(views[1][..., None], 3, axis=2)
    cv2.putText(smooth, "+1", (70, 90), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (0, 220, 90), 1, cv2.LINE_AA)
    noise = [rng.integers(0, 256, shape, np.uint8) for shape in ((20, 30), (1, 1, 3), (70, 33, 3))]
    flat = [np.full((90, 70), level, np.uint8) for level in (0, 255)]
    return [*screens, coloured, doppler, written, smooth, *noise, *flat]


def drawings():
    """Fans, boxes and writing of every kind that the classical method tells apart."""
    rng = np.random.default_rng(1)
    for turn in range(24):
        size = rng.integers(30, 260, 2)
        speckle = cv2.GaussianBlur(rng.integers(0, 256, size, np.uint8), (0, 0), 1 + turn % 3)
        shown = np.zeros(size, np.uint8)
        for _ in range(rng.integers(1, 4)):
            corners = rng.integers(0, size[::-1], (rng.integers(3, 6), 2)).astype(np.int32)
            cv2.fillConvexPoly(shown, cv2.convexHull(corners), 1)
        picture = speckle * shown + np.uint8(rng.choice([0, 0, 30])) * (1 - shown)
        if turn % 2:
            at = (int(size[1] * rng.uniform(0, 0.5)), int(size[0] * rng.uniform(0.3, 0.9)))
            cv2.putText(picture, "TI 4B", at, cv2.FONT_HERSHEY_PLAIN, 1, 255, 1)
        yield picture
    for _ in range(8):  # faint, and small enough for its edges to matter
        yield rng.integers(0, 6, rng.integers(32, 48, 2), np.uint8)
    inset = np.zeros((200, 300), np.uint8)  # too small beside the view to be one
    inset[20:170, 20:170] = rng.integers(0, 256, (150, 150))
    inset[60:120, 210:270] = rng.integers(0, 256, (60, 60))
    yield inset
    for gap in (20, 40):  # more columns apart than there are views, and as many
        comb = np.repeat(rng.integers(0, 200, (40, 300)), 4, axis=0).astype(np.uint8)
        comb[:, np.arange(300) % gap < 2] = 2
        yield comb
    pair = np.full((120, 260), 3, np.uint8)
    pair[10:100, 10:120] = pair[20:110, 130:250] = 60
    pair[10:110, 10:250:2] += np.uint8(30)
    yield pair
    ticks = np.full((220, 340), 40, np.uint8)  # more than a thousand letters, each beside others
    ticks[2:212].reshape(21, 10, 340)[:, :5, ::6] = 255
    yield ticks
    yield np.where(np.arange(340) < 200, ticks, np.uint8(40))  # and fewer
    tall = np.full((320, 120), 40, np.uint8)
    tall[40:58, 20:100:12] = 255
    yield tall
    dense = np.full((60, 198), 40, np.uint8)  # too bright for writing
    dense.reshape(10, 6, 33, 6)[:, :5, :, :2] = 255
    yield dense


def in_colour(picture):
    return picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)


def graph(function):
    spec = tf.TensorSpec((None, None, 3), tf.uint8)
    return tf.function(function, input_signature=[spec], autograph=False)


@pytest.mark.parametrize(
    "network", [finding, blind, lambda: guessing(2), lambda: guessing(6, channels=3)]
)
def test_the_graph_removes_what_the_network_finds(network):
    remover = BorderRemover(network())
    removes = graph(in_graph(remover))
    changed = filled = 0
    for picture in pictures():
        expected = remover(picture)
        sector, text = remover.find(picture)
        changed += not np.array_equal(expected, picture)
        filled += (sector & text).any()
        np.testing.assert_array_equal(removes(in_colour(picture)), in_colour(expected))
    assert changed >= 8 and filled >= 4


def test_the_graph_removes_what_the_classical_method_finds():
    removes = graph(in_graph(remove_classical))
    whole = fans = boxes = written = 0
    for picture in [*pictures(), *drawings()]:
        sector, text = find_classical(picture)
        whole += sector.all()
        corners = cv2.findContours(np.uint8(sector), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)[0]
        fans += len(corners[0]) > 8
        boxes += len(corners[0]) == 4 and not sector.all()
        written += text.any()
        expected = in_colour(remove_classical(picture))
        np.testing.assert_array_equal(removes(in_colour(picture)), expected)
    assert min(whole, fans, boxes, written) >= 4


def test_writing_is_bounded():
    *_, many, few, tall, bright = drawings()
    assert not find_classical(many)[1].any() and not find_classical(bright)[1].any()
    assert find_classical(few)[1].any() and find_classical(tall)[1].any()


def test_a_fan_is_its_convex_hull():
    rng = np.random.default_rng(0)
    speckle = rng.integers(0, 256, (300, 400), np.uint8)
    fan = np.array(
        [(180, 10), (220, 10), (390, 200), (300, 280), (200, 295), (100, 280), (10, 200)]
    )
    hull = cv2.fillConvexPoly(np.zeros_like(speckle), fan, 1)
    notch = cv2.fillConvexPoly(hull.copy(), np.array([(200, 180), (170, 300), (230, 300)]), 0)
    found = np.uint8(find_sector(speckle * notch))
    assert not (found & ~cv2.dilate(hull, np.ones((15, 15)))).any()
    assert not (cv2.erode(hull, np.ones((15, 15))) & ~found).any()


@pytest.mark.parametrize("diagonals", [False, True])
def test_parts_hang_together_as_opencv_says(diagonals):
    rng = np.random.default_rng(0)
    finds = tf.function(lambda mask: find_parts(mask, diagonals=diagonals)[0])
    for share in (0, 0.1, 0.4, 0.5, 0.6, 0.9, 1):
        mask = rng.random((60, 70)) < share
        found = finds(mask).numpy()
        _, expected = cv2.connectedComponents(np.uint8(mask), connectivity=8 if diagonals else 4)
        _, around = cv2.connectedComponents(np.uint8(~mask), connectivity=4)
        # one number for each part, and one part for each number
        pairs = set(zip(found.flat, (expected - around).flat, strict=True))
        assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def test_what_no_stroke_leaves_is_filled_with_the_mean():
    image = np.random.default_rng(0).integers(0, 256, (150, 110, 3), np.uint8)
    known, hole = np.zeros((2, *image.shape[:2]), bool)
    known[:20], hole[20:120], hole[130:, :50] = True, True, True
    expected = fill(image, known, hole)
    mean = np.floor(image[:20].mean((0, 1)) + 0.5)
    assert (expected[20 + MOST_LAYERS : 120] == mean).all() and (expected[130:, :50] == mean).all()
    assert (expected[20 : 20 + MOST_LAYERS] != mean).any() and not expected[120:130].any()
    np.testing.assert_array_equal(filling.fill(image, known, hole), expected)
    nothing = np.zeros_like(known)
    for found in (fill(image, nothing, hole), filling.fill(image, nothing, hole)):
        assert not np.any(found)


def test_a_few_pixels_are_no_sector():
    remover = BorderRemover(finding())
    picture = np.zeros((64, 80), np.uint8)
    picture[20:30, 20:40] = 120  # a twentieth of it is 256 pixels
    assert remover.find(picture)[0].all()
    picture[20:33, 20:40] = 120
    assert remover.find(picture)[0].sum() == 13 * 20


def test_too_large_a_screen_is_refused_everywhere(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("thyroid_keras.data.pictures.MAX_SCREEN_PIXELS", 30_000)
    monkeypatch.setattr("thyroid_keras.serving.signatures.MAX_SCREEN_PIXELS", 30_000)
    fits, wide = (np.zeros((150, width), np.uint8) for width in (200, 201))
    (tmp_path / "wide.png").write_bytes(encode(wide))
    said = fails(borders_command.main, [tmp_path / "wide.png", "--out", tmp_path / "out"], capsys)
    assert "wide.png: has 201x150 pixels, and borders are removed from at most" in said
    with pytest.raises(ImageError, match="a: has 201x150"):
        load_sample(Sample(name="a", image=wide, label=0, group=""), clean=BorderRemover(finding()))
    model = tk.build("sononet", image_shape=(32, 32, 1), filters=2, num_classes=2)
    write_signatures(
        tmp_path / "1", fold_batch_norm(model), ("a", "b"), 0.5, clean=remove_classical
    )
    answer(tmp_path / "1", [encode(fits)])
    with pytest.raises(tf.errors.InvalidArgumentError, match="1.: is above 16 megapixels"):
        answer(tmp_path / "1", [encode(fits), encode(wide)])


@pytest.mark.parametrize("clean", [lambda: BorderRemover(finding()), lambda: remove_classical])
def test_what_is_served_has_no_borders(clean, tmp_path):
    """Grey and colour, encoded, by every signature that reads pictures."""
    keras.utils.set_random_seed(1)
    model = tk.build("sononet", image_shape=(32, 32, 1), filters=2, num_classes=2)
    clean = clean()
    encoded = [encode(picture) for picture in pictures() if min(picture.shape[:2]) > 1]
    samples = [Sample(name=str(i), image=e, label=0, group="") for i, e in enumerate(encoded)]

    def asked(clean):
        images = [load_sample(sample, (32, 32), clean=clean)[0] for sample in samples]
        return class_probabilities(model(np.stack(images)[..., None] * GREY_LEVEL))

    write_signatures(tmp_path, fold_batch_norm(model), ("a", "b"), 0.5, clean=clean)
    expected = asked(clean)
    assert np.abs(expected - asked(None)).max() > 2e-4
    for signature in ("serving_default", "explain"):
        found = answer(tmp_path, encoded, signature)["probabilities"]
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("setting", "can_remove_borders", "refused"),
    [
        ({"borders": "run"}, True, False),
        ({"borders": "run"}, False, True),
        ({"borders": "classical"}, True, False),
        ({"borders": "classical"}, False, True),
        ({"views": "split"}, True, True),
        ({"borders": "none", "views": "keep"}, False, False),
    ],
)
def test_what_no_graph_can_do_is_refused(setting, can_remove_borders, refused):
    config = {"arch": "fan", "data": {}, "recipe": setting}
    said = " ".join("=".join(one) for one in setting.items())
    with pytest.raises(RunError, match=f"Received: {said}") if refused else nullcontext():
        check_exportable(Run("run"), config, can_remove_borders=can_remove_borders)
