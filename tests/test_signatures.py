"""What an exported model shows, and what it leaves behind."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from looking import images_of, looking, pixels_of
from tables import encode

import thyroid_keras as tk
from thyroid_keras.answers import class_probabilities, mask_of
from thyroid_keras.ensemble import ensemble
from thyroid_keras.explain import attention_maps, evidence_map, has_class_map, unit_maps
from thyroid_keras.folding import fold_batch_norm
from thyroid_keras.layers import GlobalAttention
from thyroid_keras.metrics import decide
from thyroid_keras.serving.signatures import answer, write_signatures

RNG = np.random.default_rng(0)
PICTURES = [
    encode(RNG.integers(0, 256, shape, np.uint8)) for shape in ((40, 50), (24, 32), (9, 90))
]
SMALL = {"image_shape": (32, 48, 1), "num_classes": 2}


def check_explanation(model, path, threshold=0.5):
    """Holds what `explain` answers against the package's own maps; returns what it shows."""
    images, size = images_of(model, PICTURES), model.input_shape[1:3]
    predicted = model.predict_on_batch(images)
    probabilities, masks = class_probabilities(predicted), mask_of(predicted)
    inside_at = 0.5 if masks is None else float(np.median(masks))
    names = [f"class {k}" for k in range(probabilities.shape[1])]
    outputs = write_signatures(path, fold_batch_norm(model), names, threshold, inside_at)
    found = answer(path, PICTURES, "explain")
    assert sorted(found) == outputs["explain"]
    chosen = decide(probabilities, threshold)
    np.testing.assert_allclose(found["probabilities"], probabilities, atol=1e-5)
    assert [n.decode() for n in found["label_name"]] == [names[k] for k in chosen]
    expected = attention_maps(model, images)
    if has_class_map(model):
        expected["class_map"] = evidence_map(model, images, chosen)
    expected = {name: 255 * unit_maps(maps, size) for name, maps in expected.items()}
    if masks is not None:
        expected["mask"] = 255 * (masks >= inside_at)
        masks = np.abs(masks - inside_at) > 1e-5  # rounding decides the others
        assert masks.mean() > 0.9
    shown = {name.removesuffix("_bytes"): values for name, values in found.items() if "_b" in name}
    for name, maps in expected.items():
        drawn = np.stack([pixels_of(png) for png in shown[name]])
        sure = masks if name == "mask" else ...
        assert np.abs(drawn - maps)[sure].max() <= 1, name
        assert np.ptp(drawn) > 0, f"{name} shows nothing"
    return {name: shown[name] for name in shown if name not in expected}, set(expected)


def test_maps_and_masks_are_those_of_explain_and_predict(tmp_path):
    rest, shown = check_explanation(looking(), tmp_path)
    assert not rest and shown == {"gate1", "class_map", "mask"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "shows"),
    [
        (lambda: looking(3), {"gate1", "class_map", "mask"}),
        (lambda: ensemble([looking(seed=s) for s in range(2)]), {"gate1", "class_map", "mask"}),
        (lambda: tk.build("fan", image_shape=(32, 32, 1), eta=8), {"gate", "class_map"}),
        (lambda: tk.build("ag_sononet", filters=2, **SMALL), {"gate3", "gate4", "class_map"}),
        (lambda: tk.build("sononet", filters=2, **SMALL), {"class_map"}),
        (
            lambda: tk.build("cs_agnet", stage_filters=(2, 3, 4, 5, 6), **SMALL),
            {f"{half}_gate{i}" for half in ("mask", "label") for i in (1, 2, 3)} | {"mask"},
        ),
    ],
    ids=["three classes", "ensemble", "fan", "ag_sononet", "sononet", "cs_agnet"],
)
def test_every_kind_of_map_is_shown(model, shows, tmp_path):
    rest, shown = check_explanation(model(), tmp_path)
    assert not rest and shown == shows


def plain():
    image = keras.Input((16, 16, 1), name="image")
    x = keras.layers.Flatten()(keras.layers.AveragePooling2D(8)(image))
    return keras.Model(image, keras.layers.Dense(3)(x))


@pytest.mark.slow
def test_a_network_that_looks_nowhere_has_no_such_signature(tmp_path):
    outputs = write_signatures(tmp_path, plain(), list("abc"), None)
    assert set(outputs) == {"serving_default", "serve_tensor"}
    assert "explain" not in tf.saved_model.load(str(tmp_path)).signatures


@pytest.mark.slow
def test_of_a_global_map_nothing_else_is_exported(tmp_path):
    """Neither the stack of the training images nor the pixel CNN that looked at it."""
    arguments = {"backbone": "small_cnn", "num_images": 40, "channels": 8}
    model = tk.build("global_attention", image_shape=(32, 48, 1), num_classes=2, **arguments)
    layer = next(x for x in model.layers if isinstance(x, GlobalAttention))
    stack = RNG.random((1, 32, 48, 40), np.float32)
    layer.attach(stack)
    attention = RNG.random((1, 32, 48, 1), np.float32)
    layer.map.assign(attention)
    rest, shown = check_explanation(model, tmp_path)
    assert not rest and shown == {"global_attention"}
    content = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert attention[0, 5, :, 0].tobytes() in content, "the map itself, or nothing would be found"
    kernel = layer.pixel_cnn.get_weights()[0]
    for hidden in (stack[0, 5], stack[..., 3], kernel[0, 0]):
        assert np.ascontiguousarray(hidden).tobytes()[:64] not in content
    held = tf.train.list_variables(str(tmp_path / "variables" / "variables"))
    held = sum(int(np.prod(shape)) for name, shape in held if not name.startswith("_"))
    assert held == model.count_params() - layer.pixel_cnn.count_params()
