"""FAN: the pooling's and the map's identities, and the feedback."""

import keras
import numpy as np
import pytest
from check import check_layer

import thyroid_keras as tk
from thyroid_keras.layers import LAP, BatchNorm, FeedbackGate, LAPClassifier
from thyroid_keras.layers.lap import cells, class_map


def ramp(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def tiny(**arguments):
    return tk.build("fan", image_shape=(32, 32, 1), eta=8, **arguments)


def reference(x, kappa):
    """The mean of each cell, one position after the other."""
    total, count = np.zeros((len(x), kappa, kappa, x.shape[-1])), np.zeros((kappa, kappa))
    height, width = x.shape[1:3]
    for i in range(height):
        for j in range(width):
            u, v = i * kappa // height, j * kappa // width
            total[:, u, v] += x[:, i, j]
            count[u, v] += 1
    return total / count[..., None]


@pytest.mark.parametrize(("size", "kappa"), [((8, 8), 1), ((8, 8), 4), ((7, 10), 3), ((5, 5), 5)])
def test_cells_are_averaged(size, kappa):
    x = ramp(2, *size, 3)
    np.testing.assert_allclose(LAP(kappa)(x), reference(x, kappa), atol=1e-5)


def test_pooling_keeps_the_contract_of_layers():
    check_layer(lambda **options: LAP(3, **options), (7, 9, 2))


def test_cells_do_not_overlap_and_differ_by_one_at_most():
    for side in range(1, 30):
        for kappa in range(1, side + 1):
            counts = np.bincount(cells(side, kappa), minlength=kappa)
            assert counts.sum() == side and np.ptp(counts) <= 1 and counts.min() >= 1


@pytest.mark.parametrize(("size", "kappa"), [((8, 8), 1), ((8, 8), 2), ((8, 8), 8), ((7, 9), 4)])
def test_the_class_map_adds_up_to_the_logit(size, kappa):
    layer = LAPClassifier(3, kappa)
    x = ramp(2, *size, 5)
    layer.build(x.shape)
    layer.bias.assign(ramp(3))
    logits, evidence = layer(x)
    share = class_map(keras.ops.convert_to_numpy(evidence), kappa)
    np.testing.assert_allclose(share.sum((1, 2)) + ramp(3), logits, atol=1e-4)
    if 8 % kappa == 0 and size == (8, 8):  # the paper's factor, of kappa^2 / eta^2
        np.testing.assert_allclose(share, evidence * (kappa / 8) ** 2, rtol=1e-6)
    # and it is the dense layer on the flattened cells
    dense = np.asarray(layer.pool(x)).reshape(2, -1) @ np.asarray(layer.kernel).reshape(-1, 3)
    np.testing.assert_allclose(logits, dense + ramp(3), atol=1e-5)


def test_one_cell_is_global_average_pooling():
    model = tiny(kappa=1, feedback="none")
    kernel, bias = model.get_layer("classifier").get_weights()
    x = keras.layers.GlobalAveragePooling2D()(model.get_layer("stage6_conv1_relu").output)
    dense = keras.layers.Dense(2)
    gap = keras.Model(model.input, dense(x))
    dense.set_weights([kernel.reshape(-1, 2), bias])
    images = ramp(2, 32, 32, 1)
    np.testing.assert_allclose(
        model.predict_on_batch(images), gap.predict_on_batch(images), atol=1e-5
    )


@pytest.mark.parametrize("gate_at", ["stage", "lfm"])
def test_one_pass_and_a_neutral_gate_change_nothing(gate_at):
    plain, images = tiny(feedback="none"), ramp(2, 32, 32, 1)
    expected = plain.predict_on_batch(images)
    once, twice = (tiny(passes=passes, gate_at=gate_at) for passes in (1, 2))
    for model in (once, twice):
        model.set_weights(plain.get_weights())
    np.testing.assert_array_equal(once.predict_on_batch(images), expected)
    assert np.abs(twice.predict_on_batch(images) - expected).max() > 1e-5
    # no class has more evidence than another: E = 0, gate = 1
    kernel, bias = twice.get_layer("classifier").get_weights()
    for model in (plain, twice):
        model.get_layer("classifier").set_weights([kernel[..., :1].repeat(2, -1), bias + [0, 1]])
    np.testing.assert_allclose(
        twice.predict_on_batch(images), plain.predict_on_batch(images), atol=1e-6
    )


@pytest.mark.parametrize("gate_at", ["stage", "lfm"])
def test_the_first_pass_is_gated_by_the_neutral_value(gate_at):
    # the literal scale leaves the gate where it is without a map
    options = {"form": "sigmoid", "scale": "literal", "all_passes": True, "gate_at": gate_at}
    model = tiny(**options)
    found = model.predict_on_batch(ramp(2, 32, 32, 1))
    np.testing.assert_allclose(found["logits_pass1"], found["logits"], rtol=0.02)
    whole = tiny(all_passes=True, gate_at=gate_at)
    whole.set_weights(model.get_weights())
    unhalved = whole.predict_on_batch(ramp(2, 32, 32, 1))["logits_pass1"]
    np.testing.assert_allclose(unhalved, 2 * found["logits_pass1"], rtol=1e-4)


@pytest.mark.parametrize("eta", [7, 14, 28, 56, 112])
def test_parameters(eta):
    for kappa, extra in {1: 0, 2: 384, 4: 1920, 7: 6144, 8: 8064}.items():
        for channels in (1, 3) if kappa <= eta else ():
            model = tk.build("fan", image_shape=(224, 224, channels), eta=eta, kappa=kappa)
            count = sum(np.prod(w.shape) for w in model.trainable_weights)
            assert count == 765_530 + extra + (432 if channels == 3 else 0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_gates_by_their_options():
    logits, evidence = np.float32([[0, 2, 1], [3, 0, 1]]), ramp(2, 4, 4, 3)
    best = np.stack([evidence[0, ..., 1], evidence[1, ..., 0]])[..., None]
    rest = (evidence.sum(-1, keepdims=True) - best) / 2
    margin = best - rest
    last = evidence[..., 2:] - evidence[..., :2].mean(-1, keepdims=True)
    centred = margin - margin.mean((1, 2), keepdims=True)
    expected = {
        (): 2 * sigmoid(margin),
        ("form", "sigmoid"): sigmoid(margin),
        ("evidence", "class"): 2 * sigmoid(best),
        ("scale", "literal"): 2 * sigmoid(margin / 16),
        ("scale", "standardise"): 2 * sigmoid(centred / centred.std((1, 2), keepdims=True)),
        ("target", "last"): 2 * sigmoid(last),
    }
    for option, wanted in expected.items():
        gate = FeedbackGate(**dict([option] if option else []))
        np.testing.assert_allclose(gate(logits, evidence), wanted, atol=1e-4, err_msg=str(option))
        again = FeedbackGate.from_config(gate.get_config())
        np.testing.assert_array_equal(again(logits, evidence), gate(logits, evidence))


def test_the_map_fed_back_takes_no_gradient():
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("asks TensorFlow's tape")
    evidence = tf.Variable(ramp(1, 4, 4, 2))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(FeedbackGate()(np.float32([[0, 1]]), evidence) ** 2)
    assert tape.gradient(loss, evidence) is None


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [({"eta": 9}, "`eta`"), ({"kappa": 9}, "`kappa`"), ({"kappa": 0}, "`kappa`"),
     ({"passes": 0}, "`passes`"), ({"feedback": "back"}, "`feedback`"),
     ({"passes": 1, "feedback": "epoch"}, "`passes`"), ({"num_images": 3}, "`num_images`"),
     ({"num_images": 0, "feedback": "epoch"}, "`num_images`"),
     ({"gate_at": "input"}, "`gate_at`"), ({"form": "tanh"}, "`form`"),
     ({"image_shape": (32, 48, 1)}, "`image_shape`")],
)  # fmt: skip
def test_arguments_out_of_range_are_refused(arguments, fault):
    with pytest.raises(ValueError, match=f"{fault}.*Received"):
        tk.build("fan", **{"image_shape": (32, 32, 1), "eta": 8} | arguments)


@pytest.mark.parametrize("axis", [-1, 1], ids=["fused", "composed"])
def test_the_last_pass_alone_adds_to_the_statistics(axis):
    norm = BatchNorm(axis=axis, momentum=0.5)
    x = ramp(3, 4, 4, 2) + 5
    expected = norm(x, training=True)
    after = norm.get_weights()
    found = norm(x, training=True, update=False)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    for weight, other in zip(norm.get_weights(), after, strict=True):
        np.testing.assert_array_equal(weight, other)


@pytest.mark.parametrize(
    "arguments", [{}, {"passes": 3}, {"gate_at": "lfm"}, {"passes": 1}], ids=str
)
def test_the_statistics_of_the_last_stage_take_one_step_per_batch(arguments):
    model, images, found = tiny(**arguments), ramp(2, 32, 32, 1), []
    norm = model.get_layer("stage6_conv1_bn")
    for start in (0, 1):
        norm.moving_mean.assign(np.full(norm.moving_mean.shape, start))
        model(images, training=True)
        found.append(norm.moving_mean.numpy())
    # two steps would keep the square of that
    np.testing.assert_allclose(found[1] - found[0], norm.momentum, atol=1e-5)


def test_a_step_of_training_moves_every_weight_and_saves(tmp_path):
    model = tiny(all_passes=True)
    assert list(model.output) == ["logits_pass1", "logits"]
    losses = {name: keras.losses.CategoricalCrossentropy(from_logits=True) for name in model.output}
    model.compile(keras.optimizers.SGD(0.1), losses)
    before, images = model.get_weights(), ramp(4, 32, 32, 1)
    model.fit(images, dict.fromkeys(losses, np.eye(2)[[0, 1, 1, 0]]), verbose=0)
    for weight, old, variable in zip(model.get_weights(), before, model.weights, strict=True):
        assert np.abs(weight - old).max() > 0, variable.path
    model.save(tmp_path / "model.keras")
    one, other = (m.predict_on_batch(images) for m in (model, tk.load(tmp_path / "model.keras")))
    for name in one:
        np.testing.assert_allclose(one[name], other[name], atol=1e-6)
