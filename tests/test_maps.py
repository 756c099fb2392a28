"""Class maps of FAN, Grad-CAM, and how maps are judged: against identities and NumPy."""

import functools
import json

import cv2
import keras
import numpy as np
import pytest
from check import ramp, run_python
from keras import layers

import thyroid_keras as tk
from thyroid_keras import explain, metrics
from thyroid_keras.ensemble import ensemble
from thyroid_keras.explain.faithfulness import blur_sigma
from thyroid_keras.layers import LAPClassifier
from thyroid_keras.layers.lap import cells

IMAGES = ramp(3, 32, 32, 1)


@functools.cache
def fan(eta=8, bias=(0.3, -0.2), **arguments):
    """A small FAN whose every weight says something."""
    model = tk.build("fan", image_shape=(32, 32, 1), eta=eta, **arguments)
    model.get_layer("classifier").bias.assign(bias)
    return model


def lap(kappa=2, num_classes=2):
    """A smaller one, of one convolution to 8x8 and one pass."""
    image = keras.Input((32, 32, 1))
    x = layers.Conv2D(4, 3, strides=4, padding="same", activation="relu", name="features")(image)
    return keras.Model(image, LAPClassifier(num_classes, kappa)(x)[0], name="lap")


def smooth(activation=None):
    """A network without a class map, whose every derivative is smooth."""
    image = keras.Input((16, 16, 1))
    x = layers.Conv2D(4, 3, padding="same", activation="tanh", name="features")(image)
    x = layers.Flatten()(layers.MaxPooling2D(4)(layers.Conv2D(3, 3, name="last")(x)))
    x = layers.Dense(3, activation=activation)(layers.Dense(5, activation="tanh")(x))
    return keras.Model(image, x if activation is None else {"label": x})


# ------------------------------------------------------------------ class maps


@pytest.mark.parametrize(
    ("eta", "kappa", "feedback"),
    [(1, 1, "none"), (8, 3, "recurrent"), (16, 8, "recurrent")],
)
def test_fans_class_map_and_bias_make_the_logit(eta, kappa, feedback):
    model = fan(eta, kappa=kappa, feedback=feedback)
    logits = keras.ops.convert_to_numpy(model.predict_on_batch(IMAGES))
    found = explain.class_activation_map(model, IMAGES, [0, 1, 0])
    assert found.shape == (3, eta, eta)
    expected = logits[[0, 1, 2], [0, 1, 0]] - [0.3, -0.2, 0.3]
    np.testing.assert_allclose(found.mean((1, 2)), expected, atol=1e-4)


def test_where_cells_are_even_the_map_scaled_as_in_the_paper_adds_up():
    model = fan(kappa=4)
    features = keras.Model(model.input, model.get_layer("gate").output).predict_on_batch(IMAGES)
    assert keras.ops.shape(features) == (3, 8, 8, 1)
    kernel = keras.ops.convert_to_numpy(model.get_layer("classifier").kernel)
    last = model.get_layer("stage6_conv1_relu")._inbound_nodes[-1].output_tensors[0]
    lfm = keras.ops.convert_to_numpy(keras.Model(model.input, last).predict_on_batch(IMAGES))
    at = cells(8, 4)
    literal = np.einsum("bijc,ijck->bijk", lfm, kernel[np.ix_(at, at)])  # without a factor
    found = explain.class_activation_map(model, IMAGES, 1)
    np.testing.assert_allclose(found, 4**2 * literal[..., 1], rtol=1e-3, atol=1e-5)
    logits = keras.ops.convert_to_numpy(model.predict_on_batch(IMAGES))
    scaled = 4**2 / 8**2 * literal.sum((1, 2))
    np.testing.assert_allclose(scaled + [0.3, -0.2], logits, atol=1e-4)


def test_of_two_classes_one_map_is_the_others_negative_and_of_three_each_has_its_own():
    model = lap()
    each = [explain.evidence_map(model, IMAGES, k) for k in (0, 1)]
    np.testing.assert_allclose(each[0], -each[1], atol=1e-6)
    assert each[0].min() < 0 < each[0].max()
    own = [explain.class_activation_map(model, IMAGES, k) for k in (0, 1)]
    np.testing.assert_allclose(each[1], own[1] - own[0], atol=1e-6)
    chosen = keras.ops.convert_to_numpy(model.predict_on_batch(IMAGES)).argmax(1)
    np.testing.assert_array_equal(
        explain.evidence_map(model, IMAGES, chosen), explain.evidence_map(model, IMAGES)
    )
    three = lap(num_classes=3)
    np.testing.assert_array_equal(
        explain.evidence_map(three, IMAGES, 2), explain.class_activation_map(three, IMAGES, 2)
    )


def test_boxes_and_ensembles_take_fans_maps():
    model = lap()
    found = explain.localise(model, IMAGES, 1)
    np.testing.assert_array_equal(found.evidence, explain.evidence_map(model, IMAGES, 1))
    np.testing.assert_array_equal(
        found.maps["AG3"], explain.unit_maps(np.maximum(found.evidence, 0), (32, 32))
    )
    joined = ensemble([lap(1), lap(4)])
    each = [
        explain.evidence_map(keras.Model(m.input, m.output), IMAGES, 0)
        for m in joined.layers
        if isinstance(m, keras.Model)
    ]
    np.testing.assert_allclose(
        explain.evidence_map(joined, IMAGES, 0), np.mean(each, axis=0), atol=1e-5
    )


@pytest.mark.parametrize("aggregation", ["mean", "deep_sup", "ft", "concat"])
def test_ag_sononets_class_map_is_of_one_scale_in_the_joint_logit_or_in_its_vote(aggregation):
    small = {"filters": 2, "stage_convs": (1,) * 5, "num_classes": 3, "aggregation": aggregation}
    model, images = tk.build("ag_sononet", image_shape=(32, 48, 1), **small), ramp(2, 32, 48, 1)
    pooled = keras.Model(model.input, model.get_layer("gap5").output).predict_on_batch(images)
    pooled = keras.ops.convert_to_numpy(pooled)
    kernels = {
        layer.name: keras.ops.convert_to_numpy(layer.kernel)
        for layer in model.layers
        if isinstance(layer, layers.Dense)
    }
    vote, joint = (kernels.get(name) for name in ("logits_scale5", "logits"))
    if aggregation in ("deep_sup", "concat"):
        joint = joint[-pooled.shape[1] :]  # of what stages 3 and 4, joined before it, leave
    elif aggregation == "ft":
        joint = vote @ joint[-3:]
    found = [explain.class_activation_map(model, images, k).mean((1, 2)) for k in range(3)]
    expected = pooled @ (vote if aggregation in ("mean", "deep_sup") else joint)
    np.testing.assert_allclose(np.transpose(found), expected, atol=1e-5)
    if aggregation == "deep_sup":
        assert np.abs(pooled @ joint - expected).max() > 0.01, "not of the answer"


def test_the_map_fed_back_is_an_attention_map():
    model = fan(passes=3)
    (gate,) = explain.attention_maps(model, IMAGES).values()
    assert gate.shape == (3, 8, 8) and gate.min() > 0 and gate.max() < 2
    earlier = tk.build("fan", image_shape=(32, 32, 1), eta=8, passes=2)
    earlier.set_weights(model.get_weights())
    margin = explain.evidence_map(earlier, IMAGES) / 2**2  # kappa^2: the gate has no factor
    np.testing.assert_allclose(gate, 2 / (1 + np.exp(-margin)), atol=1e-4)
    assert explain.attention_maps(fan(feedback="none"), IMAGES) == {}


# ------------------------------------------------------------------ Grad-CAM


def test_grad_cam_of_one_global_average_is_the_class_map_without_what_is_below_0():
    model = lap(1)
    cam = explain.class_activation_map(model, IMAGES, 1) / 8**2
    assert cam.min() < 0
    np.testing.assert_allclose(explain.grad_cam(model, IMAGES, 1), np.maximum(cam, 0), atol=1e-6)
    found = explain.grad_cam(model, IMAGES, 1, signed=True, batch_size=2)
    np.testing.assert_allclose(found, cam, atol=1e-6)


def test_grad_cam_takes_the_features_of_the_last_pass():
    model = fan(kappa=2)
    last = model.get_layer("stage6_conv1_relu")._inbound_nodes[-1].output_tensors[0]
    lfm = keras.ops.convert_to_numpy(keras.Model(model.input, last).predict_on_batch(IMAGES))
    kernel = keras.ops.convert_to_numpy(model.get_layer("classifier").kernel)[..., 1]
    weights = kernel.mean((0, 1)) * 2**2 / 8**2
    found = explain.grad_cam(model, IMAGES, 1, signed=True)
    np.testing.assert_allclose(found, lfm @ weights, atol=1e-6)


def test_scaled_images_and_maps_are_no_features():
    model = tk.build("global_attention", image_shape=(32, 32, 3), num_classes=2, mode="l1",
                     backbone="small_cnn", normalization="torch")  # fmt: skip
    names = explain.feature_layers(model)
    assert names and not {"torch", "global_attention"} & set(names)


@pytest.mark.parametrize("layer", ["features", "last"])
def test_grad_cam_weighs_channels_by_the_slope_of_the_score(layer):
    model, images = smooth(), ramp(2, 16, 16, 1)
    assert explain.feature_layers(model) == ["features", "last"]
    features = model.get_layer(layer).output
    head, tail = keras.Model(model.input, features), keras.Model(features, model.output)
    x = keras.ops.convert_to_numpy(head.predict_on_batch(images))
    expected = np.zeros(x.shape[:3])
    for c in range(x.shape[-1]):
        step = 0.01 * (np.arange(x.shape[-1]) == c)
        rise = [keras.ops.convert_to_numpy(tail.predict_on_batch(x + s)) for s in (step, -step)]
        slope = (rise[0] - rise[1])[:, 2] / 0.02 / np.prod(x.shape[1:3])
        expected += slope[:, None, None] * x[..., c]
    found = explain.grad_cam(model, images, 2, layer, signed=True)
    np.testing.assert_allclose(found, expected, atol=0.01 * np.abs(expected).max())


def test_grad_cam_of_probabilities_is_that_of_logits_less_their_mean():
    softmax, images = smooth("softmax"), ramp(2, 16, 16, 1)
    linear = smooth()
    linear.set_weights(softmax.get_weights())
    each = [explain.grad_cam(linear, images, k, signed=True) for k in range(3)]
    found = explain.grad_cam(softmax, images, 1, signed=True)
    np.testing.assert_allclose(found, each[1] - np.mean(each, axis=0), atol=1e-6)
    named = np.argmax(keras.ops.convert_to_numpy(linear.predict_on_batch(images)), axis=1)
    expected = [np.maximum(each[k][i], 0) for i, k in enumerate(named)]
    np.testing.assert_allclose(explain.grad_cam(linear, images), expected, atol=1e-6)


def test_grad_cam_leaves_a_gated_network_as_it_was():
    small = {"num_classes": 2, "filters": 2, "stage_convs": (1, 1, 1, 1, 1)}
    model = tk.build("ag_sononet", image_shape=(32, 32, 1), **small)
    before = explain.attention_maps(model, IMAGES)
    found = explain.grad_cam(model, IMAGES, 1)
    assert found.shape == (3, 2, 2) and np.isfinite(found).all()
    for name, maps in explain.attention_maps(model, IMAGES).items():
        np.testing.assert_array_equal(maps, before[name])


def test_what_grad_cam_cannot_take_is_refused():
    for wrong in ({"layer": "answer"}, {"class_index": 3}, {"class_index": [0, 0, -1]}):
        with pytest.raises(ValueError, match=f"`{next(iter(wrong))}`.*Received"):
            explain.grad_cam(smooth(), ramp(3, 16, 16, 1), **wrong)


ON_JAX = """
import json, sys; sys.path.insert(0, "tests")
import keras, thyroid_keras as tk
from check import ramp
model, x = tk.load({path!r}), ramp(3, 32, 32, 1)
maps = [tk.explain.evidence_map(model, x, 1), tk.explain.grad_cam(model, x, 1, signed=True)]
print(json.dumps([keras.backend.backend(), *(m.tolist() for m in maps)]))
"""


@pytest.mark.slow
def test_maps_are_the_same_on_jax(tmp_path):
    model = lap(3)
    model.save(tmp_path / "model.keras")
    said = run_python(ON_JAX.format(path=str(tmp_path / "model.keras")), KERAS_BACKEND="jax")
    backend, evidence, grad_cam = json.loads(said)
    assert backend == "jax"
    np.testing.assert_allclose(evidence, explain.evidence_map(model, IMAGES, 1), atol=1e-5)
    found = explain.grad_cam(model, IMAGES, 1, signed=True)
    np.testing.assert_allclose(grad_cam, found, atol=1e-6)


# ------------------------------------------------------------------ figures


def disc(size, row, column, radius):
    y, x = np.mgrid[: size[0], : size[1]]
    return np.hypot(y - row, x - column) <= radius


def test_a_point_hits_within_the_tolerance():
    size, mask = (60, 80), disc((60, 80), 30, 40, 10)
    maps, expected = [], []
    for column, hit in ((40, 1), (50, 1), (54, 1), (55, 0), (79, 0)):
        grid = np.zeros(size)
        grid[30, column] = 1
        maps.append(grid)
        expected.append(hit)
    maps += [np.full(size, 0.5), np.eye(*size)]
    masks = np.stack([mask] * 5 + [disc(size, 0, 0, 9), np.zeros(size, bool)])
    found = metrics.pointing_hits(np.stack(maps), masks, 4)
    np.testing.assert_array_equal(found, [*expected, 0, np.nan])
    assert metrics.pointing_tolerance((224, 300)) == 15
    assert metrics.pointing_tolerance((112, 112)) == 7.5
    share = metrics.within(mask[None], 4)[0]
    np.testing.assert_array_equal(share, disc(size, 30, 40, 14) & share)
    assert not metrics.within(np.zeros((1, 5, 5), bool), 100).any()


def test_pixels_are_ranked_against_the_mask():
    from sklearn.metrics import average_precision_score

    rng = np.random.default_rng(0)
    masks = rng.random((4, 9, 7)) < 0.3
    masks[3] = False
    maps = masks + rng.normal(size=masks.shape)
    maps[2] = 0.0
    found = metrics.pixel_average_precision(maps, masks)
    for value, mask, grid in zip(found[:3], masks, maps, strict=False):
        assert value == pytest.approx(average_precision_score(mask.ravel(), grid.ravel()))
    assert found[2] == pytest.approx(masks[2].mean()) and np.isnan(found[3])


def bright_where(size=16, row=4, column=4):
    """Positive is what is bright in one square alone."""
    image = keras.Input((size, size, 1))
    weights = np.zeros((size, size, 1, 1), np.float32)
    weights[row : row + 4, column : column + 4] = 1
    score = layers.Conv2D(1, size, use_bias=False, name="square")
    z = layers.Flatten()(score(image))
    model = keras.Model(image, layers.Concatenate()([-z, z]))
    score.set_weights([weights])
    return model


def test_the_answer_falls_and_rises_with_what_it_rests_on():
    model, images = bright_where(), np.zeros((2, 16, 16, 1), np.float32)
    images[:, 4:8, 4:8] = 0.2
    right = np.zeros((2, 16, 16))
    right[:, 4:8, 4:8] = 1 + ramp(4, 4)
    deletion, insertion = explain.perturbation_curves(model, images, right, [1, 1], steps=16)
    wrong = explain.perturbation_curves(model, images, -right, [1, 1], steps=16)
    assert deletion.shape == insertion.shape == (2, 17)
    blurred = cv2.GaussianBlur(images[0], (0, 0), blur_sigma((16, 16))).reshape(1, 16, 16, 1)
    ends = [1 / (1 + np.exp(-2 * x[:, 4:8, 4:8].sum())) for x in (images[:1], blurred)]
    np.testing.assert_allclose(deletion[:, [0, -1]], [ends] * 2, atol=1e-5)
    np.testing.assert_allclose(insertion[:, [0, -1]], [ends[::-1]] * 2, atol=1e-5)
    # the 16 pixels of the square are the first sixteenth: all is said after one step
    np.testing.assert_allclose(deletion[:, 1], ends[1], atol=1e-5)
    np.testing.assert_allclose(insertion[:, 1], ends[0], atol=1e-5)
    areas = [metrics.curve_area(curve)[0] for curve in (deletion, wrong[0], insertion, wrong[1])]
    assert areas[0] < areas[1] and areas[2] > areas[3]
    assert areas[0] == pytest.approx(((ends[0] + ends[1]) / 2 + 15 * ends[1]) / 16)


def test_means_are_over_what_is_known_with_intervals_by_group():
    nan = np.nan
    columns = {"a": np.array([1, 0, 1, nan, 0, 0]), "b": np.full(6, nan)}
    found = metrics.mean_figures(columns, list("xxyyzz"))
    assert found["a"]["value"] == pytest.approx(0.4) and found["a"]["n"] == 5
    assert found["a"]["groups"] == 3 and found["a"]["ci95"] == [0.0, 1.0]
    assert found["b"]["value"] is None and found["b"]["reason"]
