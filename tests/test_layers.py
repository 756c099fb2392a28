"""Custom layers: the contract, NumPy references of the equations, properties."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from check import check_layer, ramp, run_python
from keras import ops
from scipy import ndimage

from thyroid_keras.layers import AttentionPool, BatchNorm, GridAttention, JoinedConv2D
from thyroid_keras.layers.grid_attention import _resize

NORMALIZATIONS = ("mean_flow", "softmax", "sigmoid", "range")


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_grid_attention_contract(normalization):
    moving = {"sigmoid": True}.get(normalization, ("kernel",))  # the others cancel psi's bias
    check_layer(
        lambda **kwargs: GridAttention(4, normalization, gate_bias=True, **kwargs),
        (13, 10, 5),
        (4, 3, 6),
        weights_that_move=moving,
    )


def test_grid_attention_contract_with_one_gating_vector():
    check_layer(
        lambda **kwargs: GridAttention(
            4,
            gating="global",
            kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_in"),
            psi_bias_initializer=keras.initializers.Constant(3.0),
            **kwargs,
        ),
        (13, 10, 5),
        (4, 3, 6),
        weights_that_move=("kernel",),
    )


def test_batch_norm_contract():
    check_layer(lambda **kwargs: BatchNorm(**kwargs), (7, 5, 3))


def test_attention_pool_contract():
    for pool in ("sum", "mean"):
        check_layer(lambda pool=pool, **kwargs: AttentionPool(pool, **kwargs), (7, 5, 3), (7, 5, 1))


def grid_attention_numpy(x, g, weights, normalization):
    theta, phi, phi_bias, psi, psi_bias = weights
    g = g @ phi[0, 0] + phi_bias
    # half-pixel bilinear resizing: output pixel i lies at (i + 0.5) * scale - 0.5
    rows = (np.arange(x.shape[1]) + 0.5) * g.shape[1] / x.shape[1] - 0.5
    columns = (np.arange(x.shape[2]) + 0.5) * g.shape[2] / x.shape[2] - 0.5
    grid = np.stack(np.meshgrid(rows, columns, indexing="ij"))
    up = np.zeros((*x.shape[:3], g.shape[3]))
    for b, d in np.ndindex(len(g), g.shape[3]):
        up[b, :, :, d] = ndimage.map_coordinates(g[b, :, :, d], grid, order=1, mode="nearest")
    q = np.maximum(x @ theta[0, 0] + up, 0) @ psi[0, 0] + psi_bias
    q = q[..., 0].reshape(len(q), -1)
    if normalization == "mean_flow":
        alpha = (q - q.min(1, keepdims=True)) / (q - q.min(1, keepdims=True)).sum(1, keepdims=True)
    elif normalization == "range":
        alpha = (q - q.min(1, keepdims=True)) / np.ptp(q, axis=1, keepdims=True)
    elif normalization == "softmax":
        alpha = np.exp(q) / np.exp(q).sum(1, keepdims=True)
    else:
        alpha = 1 / (1 + np.exp(-q))
    return alpha.reshape(*x.shape[:3], 1)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_grid_attention_is_the_equation(normalization):
    x, g = ramp(2, 13, 10, 5), ramp(2, 4, 3, 6)
    layer = GridAttention(4, normalization, gate_bias=True)
    alpha = ops.convert_to_numpy(layer(x, g))
    weights = [w + 0.1 * ramp(*w.shape) for w in layer.get_weights()]
    layer.set_weights(weights)
    alpha = ops.convert_to_numpy(layer(x, g))
    expected = grid_attention_numpy(x.astype(float), g, weights, normalization)
    np.testing.assert_allclose(alpha, expected, atol=1e-6)
    if normalization in ("mean_flow", "softmax"):
        np.testing.assert_allclose(alpha.sum((1, 2, 3)), 1, rtol=1e-5)
    if normalization in ("mean_flow", "range"):
        assert (alpha.min((1, 2, 3)) == 0).all()


def test_one_gating_vector_is_the_mean_of_the_grid():
    x, g = ramp(2, 13, 10, 5), ramp(2, 4, 3, 6)
    layer = GridAttention(4, "sigmoid", gate_bias=True, gating="global")
    layer(x, g)
    weights = [w + 0.1 * ramp(*w.shape) for w in layer.get_weights()]
    layer.set_weights(weights)
    mean = np.broadcast_to(g.mean((1, 2), keepdims=True), g.shape)
    expected = grid_attention_numpy(x.astype(float), mean, weights, "sigmoid")
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x, g)), expected, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_resized_as_float32_is(dtype):
    g = ramp(2, 4, 3, 6)
    for size in ((13, 10), (4, 3), (5, 9)):
        expected = ops.image.resize(g, size)
        found = _resize(ops.cast(g, dtype), size)
        assert found.dtype == dtype and found.shape == (2, *size, 6)
        np.testing.assert_allclose(ops.cast(found, "float32"), expected, atol=1.2e-2)


def test_kernels_of_equal_shape_start_apart():
    layer = GridAttention(4, kernel_initializer=keras.initializers.HeNormal())
    layer(ramp(2, 4, 4, 5), ramp(2, 2, 2, 5))
    assert not np.array_equal(layer.theta.kernel.numpy(), layer.phi.kernel.numpy())


def test_grid_attention_ignores_scale_and_bias_of_psi():
    x, g = ramp(2, 8, 8, 5), ramp(2, 4, 4, 6)
    layer = GridAttention(4)
    alpha = ops.convert_to_numpy(layer(x, g))
    layer.psi.set_weights([3.0 * layer.psi.kernel, layer.psi.bias + 7.0])
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x, g)), alpha, atol=1e-6)


@pytest.mark.parametrize(("normalization", "value"), [("mean_flow", 1 / 64), ("range", 1.0)])
def test_grid_attention_is_uniform_where_scores_are_constant(normalization, value):
    layer = GridAttention(4, normalization)
    alpha = ops.convert_to_numpy(layer(np.zeros((2, 8, 8, 3), "f"), np.zeros((2, 4, 4, 3), "f")))
    np.testing.assert_allclose(alpha, value)


@pytest.mark.parametrize(
    "arguments",
    [
        {"inter_channels": 0},
        {"inter_channels": 2, "normalization": "sum"},
        {"inter_channels": 2, "gating": "vector"},
    ],
)
def test_grid_attention_names_the_wrong_argument(arguments):
    with pytest.raises(ValueError, match="Received: "):
        GridAttention(**arguments)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("shape", [(6, 9, 7, 3), (1, 1, 1, 3), (1, 4, 4, 3)])
def test_batch_norm_trains_as_keras_does(policy, shape):
    x = 3 * ramp(*shape) - 1
    results = []
    for make in (BatchNorm, keras.layers.BatchNormalization):
        layer = make(epsilon=1e-5, momentum=0.9, dtype=policy)
        layer.build(shape)
        layer.set_weights([w + 0.3 * ramp(*w.shape) for w in layer.get_weights()])
        outputs = [ops.convert_to_numpy(ops.cast(layer(x, training=t), "float32")) for t in (1, 0)]
        results.append([*outputs, *layer.get_weights()])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=3e-5 if policy == "float32" else 3e-2)


def test_batch_norm_gradients_are_those_of_keras():
    x, y = 3 * ramp(4, 6, 5, 3), ramp(4, 6, 5, 3)
    weights = []
    for make in (BatchNorm, keras.layers.BatchNormalization):
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((6, 5, 3)), keras.layers.Conv2D(3, 1), make()])
        model.compile(keras.optimizers.SGD(0.5), "mse")
        model.train_on_batch(x, y)
        weights.append(model.get_weights())
    for ours, theirs in zip(*weights, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_batch_norm_of_many_positions_is_exact():
    """One float32 sum of all squares is off by 1e-5 here."""
    x = 4 * ramp(8, 128, 160, 3) + [0, 1, 20]
    layer = BatchNorm(epsilon=1e-5, momentum=0.0)
    y = ops.convert_to_numpy(layer(x, training=True))
    x = x.astype("float32").astype(float)
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    np.testing.assert_allclose(layer.moving_mean.numpy(), mean, rtol=1e-6)
    np.testing.assert_allclose(layer.moving_variance.numpy(), variance, rtol=2e-6)
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(variance + 1e-5), atol=5e-6)


def test_frozen_batch_norm_keeps_its_statistics():
    layer = BatchNorm()
    layer.build((2, 4, 4, 3))
    layer.trainable = False
    layer(ramp(2, 4, 4, 3), training=True)
    np.testing.assert_array_equal(layer.moving_mean, 0)


def test_attention_pool_is_the_weighted_sum():
    x, alpha = ramp(2, 5, 4, 3), ramp(2, 5, 4, 1)
    pooled = ops.convert_to_numpy(AttentionPool()(x, alpha))
    np.testing.assert_allclose(pooled, (x * alpha).sum((1, 2)), rtol=1e-5)
    pooled = ops.convert_to_numpy(AttentionPool("mean")(x, alpha))
    np.testing.assert_allclose(pooled, (x * alpha).mean((1, 2)), rtol=1e-5)
    rng = np.random.default_rng(0)
    x, alpha = (rng.random((8, 26, 34, c), "f") for c in (64, 1))
    expected = (x.astype(float) * alpha).sum((1, 2))
    error = ops.convert_to_numpy(AttentionPool()(x, alpha)) / expected - 1
    assert np.sqrt(np.mean(error**2)) < 1e-7  # one product per image: 1.7e-7
    with pytest.raises(ValueError, match="Received: pool="):
        AttentionPool("max")


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize(
    "arguments", [{}, {"strides": 2, "use_bias": False, "activation": "relu"}, {"dilation_rate": 2}]
)
def test_joined_convolution_is_that_of_the_concatenation(arguments, policy):
    parts = [ramp(2, 13, 10, 5), 1 - ramp(2, 13, 10, 3)]
    inputs = [keras.Input(x.shape[1:]) for x in parts]
    settings = {"padding": "same", "dtype": policy} | arguments
    joined = JoinedConv2D(4, 3, **settings)
    conv = keras.layers.Conv2D(4, 3, **settings)
    models = [
        keras.Model(inputs, joined(inputs)),
        keras.Model(inputs, conv(keras.layers.Concatenate()(inputs))),
    ]
    models[1].set_weights(models[0].get_weights())
    found = [gradients_of(model, parts) for model in models]
    scale = 3e-2 if policy == "mixed_bfloat16" else 2e-6
    for ours, theirs in zip(*found, strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=scale * np.abs(theirs).max())
    twin = JoinedConv2D.from_config(joined.get_config())
    twin(parts)
    twin.set_weights(joined.get_weights())
    np.testing.assert_array_equal(twin(parts), joined(parts))


def gradients_of(model, parts):
    """What a model puts out, and the gradients of its inputs and weights, as float32."""
    parts = [tf.constant(x) for x in parts]
    with tf.GradientTape() as tape:
        tape.watch(parts)
        y = tf.cast(model(parts), "float32")
        loss = tf.reduce_mean(y * ramp(*y.shape))
    found = tape.gradient(loss, [*parts, *(v.value for v in model.trainable_variables)])
    return [np.asarray(tf.cast(x, "float32")) for x in (y, *found)]


def test_joined_convolution_wants_a_list():
    with pytest.raises(ValueError, match="takes a list of feature maps. Received: input_shape"):
        JoinedConv2D(4, 3)(ramp(2, 13, 10, 5))


@pytest.mark.slow
def test_layers_agree_on_jax():
    code = """
import sys; sys.path.insert(0, "tests")
import numpy as np
from check import ramp
import keras
from thyroid_keras.layers import BatchNorm, GridAttention, JoinedConv2D
keras.utils.set_random_seed(3)
gate = GridAttention(4, gate_bias=True)
x, g = ramp(2, 13, 10, 5), ramp(2, 4, 3, 6)
gate(x, g)
gate.set_weights([ramp(*w.shape) - 0.4 for w in gate.get_weights()])
norm = BatchNorm()
y = norm(x, training=True)
conv = JoinedConv2D(4, 3)
conv([x, 1 - x])
conv.set_weights([ramp(*w.shape) - 0.4 for w in conv.get_weights()])
out = [gate(x, g), y, norm.moving_variance]
out.append(conv([x, 1 - x]))
print(keras.backend.backend(), *[float(keras.ops.sum(o * ramp(*o.shape))) for o in out])
"""
    here = run_python(code).split()
    there = run_python(code, KERAS_BACKEND="jax").split()
    assert (here[0], there[0]) == ("tensorflow", "jax")
    np.testing.assert_allclose([float(v) for v in here[1:]], [float(v) for v in there[1:]], 1e-5)
