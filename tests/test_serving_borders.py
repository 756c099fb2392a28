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
from thyroid_keras.data.borders.removal import MOST_LAYERS, fill
from thyroid_keras.data.borders.screens import compose
from thyroid_keras.data.decode import load_sample
from thyroid_keras.data.phantom import phantom
from thyroid_keras.data.pictures import ImageError
from thyroid_keras.data.samples import Sample
from thyroid_keras.folding import fold_batch_norm
from thyroid_keras.runs import Run, RunError
from thyroid_keras.serving.borders import _fill, remove_borders
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


@pytest.mark.parametrize(
    "network", [finding, blind, lambda: guessing(2), lambda: guessing(6, channels=3)]
)
def test_the_graph_removes_what_the_remover_removes(network):
    remover = BorderRemover(network())
    removes = tf.function(
        lambda image: remove_borders(image, remover.model),
        input_signature=[tf.TensorSpec((None, None, 3), tf.uint8)],
    )
    changed = filled = 0
    for picture in pictures():
        expected = remover(picture)
        sector, text = remover.find(picture)
        changed += not np.array_equal(expected, picture)
        filled += (sector & text).any()
        if picture.ndim == 2:
            expected, picture = (np.repeat(x[..., None], 3, axis=2) for x in (expected, picture))
        np.testing.assert_array_equal(removes(picture).numpy(), expected)
    assert changed >= 8 and filled >= 4


def test_what_no_stroke_leaves_is_filled_with_the_mean():
    image = np.random.default_rng(0).integers(0, 256, (150, 110, 3), np.uint8)
    known, hole = np.zeros((2, *image.shape[:2]), bool)
    known[:20], hole[20:120], hole[130:, :50] = True, True, True
    expected = fill(image, known, hole)
    mean = np.floor(image[:20].mean((0, 1)) + 0.5)
    assert (expected[20 + MOST_LAYERS : 120] == mean).all() and (expected[130:, :50] == mean).all()
    assert (expected[20 : 20 + MOST_LAYERS] != mean).any() and not expected[120:130].any()
    np.testing.assert_array_equal(_fill(image, known, hole), expected)
    nothing = np.zeros_like(known)
    for found in (fill(image, nothing, hole), _fill(image, nothing, hole)):
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
    write_signatures(tmp_path / "1", fold_batch_norm(model), ("a", "b"), 0.5, borders=finding())
    answer(tmp_path / "1", [encode(fits)])
    with pytest.raises(tf.errors.InvalidArgumentError, match="1.: is above 16 megapixels"):
        answer(tmp_path / "1", [encode(fits), encode(wide)])


def test_what_is_served_has_no_borders(tmp_path):
    """Grey and colour, encoded, by every signature that reads pictures."""
    keras.utils.set_random_seed(1)
    model = tk.build("sononet", image_shape=(32, 32, 1), filters=2, num_classes=2)
    remover = BorderRemover(finding())
    encoded = [encode(picture) for picture in pictures() if min(picture.shape[:2]) > 1]
    samples = [Sample(name=str(i), image=e, label=0, group="") for i, e in enumerate(encoded)]

    def asked(clean):
        images = [load_sample(sample, (32, 32), clean=clean)[0] for sample in samples]
        return class_probabilities(model(np.stack(images)[..., None] * GREY_LEVEL))

    write_signatures(tmp_path, fold_batch_norm(model), ("a", "b"), 0.5, borders=remover.model)
    expected = asked(remover)
    assert np.abs(expected - asked(None)).max() > 1e-3
    for signature in ("serving_default", "explain"):
        found = answer(tmp_path, encoded, signature)["probabilities"]
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("setting", "removes_borders", "refused"),
    [
        ({"borders": "run"}, True, False),
        ({"borders": "run"}, False, True),
        ({"borders": "classical"}, True, True),
        ({"views": "split"}, True, True),
        ({"borders": "none", "views": "keep"}, False, False),
    ],
)
def test_what_no_graph_can_do_is_refused(setting, removes_borders, refused):
    config = {"arch": "fan", "data": {}, "recipe": setting}
    said = " ".join("=".join(one) for one in setting.items())
    with pytest.raises(RunError, match=f"Received: {said}") if refused else nullcontext():
        check_exportable(Run("run"), config, removes_borders=removes_borders)
