"""The map of a whole data set: the equation, what learns it, what is kept of it."""

import zipfile

import keras
import numpy as np
import pytest
from check import check_layer, ramp, run_python
from keras import ops
from scipy import ndimage, special

import thyroid_keras as tk
from thyroid_keras.layers import GlobalAttention, PixelCNN

IMAGES, STACK = (8, 7, 2), (1, 8, 7, 6)  # N = 3, C = 2
OPTIONS = [
    {},
    {"kernel_size": 5, "hidden_layers": 3, "last_kernel_size": 3},
    {"kernel_size": 7, "hidden_layers": 2, "dense": True},
]


def trainable(layer):
    return sum(int(np.prod(w.shape)) for w in layer.trainable_weights)


@pytest.mark.parametrize(
    "options", [OPTIONS[2], *(pytest.param(o, marks=pytest.mark.slow) for o in OPTIONS[:2])]
)
def test_pixel_cnn_contract(options):
    check_layer(lambda **kwargs: PixelCNN(4, **options, **kwargs), (9, 6, 5))


@pytest.mark.parametrize(("k", "n", "c"), [(1, 1, 1), (32, 413, 3), (62, 170, 1), (128, 5, 3)])
def test_parameters_are_the_papers(k, n, c):
    layer = PixelCNN(k)
    layer.build((1, 8, 8, n * c))
    assert layer.count_params() == trainable(layer) == k * (9 * n * c + 1) + (k + 1)


def pixel_cnn_numpy(stack, convs, dense):
    def conv(x, kernel, bias):
        planes = [
            sum(ndimage.correlate(x[..., i], kernel[..., i, o], mode="constant")
                for i in range(x.shape[-1]))
            for o in range(kernel.shape[-1])
        ]  # fmt: skip
        return np.stack(planes, -1) + bias

    *hidden, last = convs
    x = np.maximum(conv(stack, *hidden[0]), 0)
    for weights in hidden[1:]:
        y = np.maximum(conv(x, *weights), 0)
        x = np.concatenate([x, y], -1) if dense else y
    return special.expit(conv(x, *last))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_map_is_the_equation(options):
    stack = 4 * ramp(1, 9, 6, 5) - 2
    layer = PixelCNN(4, **options)
    found = ops.convert_to_numpy(layer(stack))
    convs = [conv.get_weights() for conv in layer.convs]
    expected = pixel_cnn_numpy(stack[0].astype(float), convs, options.get("dense"))
    np.testing.assert_allclose(found[0], expected, atol=1e-6)
    assert 0 < found.min() < found.max() < 1


def test_initial_weights_are_pytorchs():
    layer = PixelCNN(64)
    layer.build((1, 8, 8, 30))
    for conv, fan in zip(layer.convs, (9 * 30, 64), strict=True):
        kernel = conv.kernel.numpy()
        assert np.abs(kernel).max() <= fan**-0.5
        assert kernel.std() == pytest.approx((3 * fan) ** -0.5, rel=0.15)
        assert 0 < np.abs(conv.bias.numpy()).max() <= fan**-0.5


def learner(penalty=0.0, reduction="mean", dtype=None, **options):
    layer = GlobalAttention(
        PixelCNN(4, dtype=dtype, **options), 3, penalty=penalty, reduction=reduction, dtype=dtype
    )
    layer.build((None, *IMAGES))
    layer.attach(4 * ramp(*STACK) - 2)
    return layer


@pytest.mark.parametrize("mode", ["l1", "pixel_cnn"])
def test_global_attention_contract(mode):
    def make(**kwargs):
        if mode == "pixel_cnn":
            return learner(penalty=0.1, **kwargs)
        return GlobalAttention(learn_map=True, penalty=0.1, **kwargs)

    check_layer(make, IMAGES)


def classifier(layer):
    image = keras.Input(IMAGES)
    x = keras.layers.Flatten()(layer(image))
    model = keras.Model(image, keras.layers.Dense(2, kernel_initializer="he_normal")(x))
    # twins, which start from other draws but for this
    model.layers[-1].set_weights([ramp(*w.shape) - 0.5 for w in model.layers[-1].weights])
    return model


def compiled(model, **options):
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.5), loss, **{"run_eagerly": not options} | options)
    return model


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_a_prior_is_added_in_float32_whatever_the_policy(policy):
    prior = np.full((1, 7, 9, 1), 1 / 3, "f")
    layer = PixelCNN(2, dtype=policy)
    stack = ramp(1, 7, 9, 4)
    plain = np.asarray(layer(stack))
    logits = np.log(plain / (1 - plain)) + prior
    np.testing.assert_allclose(layer(stack, prior), 1 / (1 + np.exp(-logits)), atol=1e-6)
    assert layer.compute_output_shape(stack.shape) == (1, 7, 9, 1)


def check_joint_step(reduction, jit):
    """One step is that of Eq. 1, written as a network that takes the stack for an input."""
    layer = learner(penalty=0.3, reduction=reduction)
    pixel_cnn = PixelCNN(4)
    images, stack = keras.Input(batch_shape=(5, *IMAGES)), keras.Input(batch_shape=STACK)
    attention = pixel_cnn(stack)
    x = keras.layers.Flatten()(images * attention)
    plain = keras.Model([images, stack], [keras.layers.Dense(2)(x), attention])
    model = classifier(layer)
    pixel_cnn.set_weights(layer.pixel_cnn.get_weights())
    plain.layers[-1].set_weights(model.layers[-1].get_weights())
    labels = np.eye(2, dtype="f")[[0, 1, 1, 0, 1]]

    def loss_of(variables):
        losses, _ = plain.stateless_call(
            variables, [v.value for v in plain.non_trainable_variables],
            [ops.convert_to_tensor(ramp(5, *IMAGES)), ops.convert_to_tensor(4 * ramp(*STACK) - 2)],
        )  # fmt: skip
        logits, attention = losses
        entropy = ops.mean(ops.categorical_crossentropy(labels, logits, from_logits=True))
        reduce = ops.mean if reduction == "mean" else ops.sum
        return entropy + 0.3 * reduce(ops.abs(attention)), attention

    before = [v.value for v in plain.trainable_variables]
    if keras.backend.backend() == "jax":
        import jax

        (loss, attention), gradients = jax.value_and_grad(loss_of, has_aux=True)(before)
    else:
        import tensorflow as tf

        before = [tf.convert_to_tensor(v) for v in before]
        with tf.GradientTape() as tape:
            tape.watch(before)
            loss, attention = loss_of(before)
        gradients = tape.gradient(loss, before)
    found = compiled(model, jit_compile=jit).train_on_batch(ramp(5, *IMAGES), labels)
    assert found == pytest.approx(float(loss), rel=1e-5)
    np.testing.assert_allclose(layer.map.numpy(), ops.convert_to_numpy(attention), atol=1e-6)
    moved = layer.pixel_cnn.trainable_variables + model.layers[-1].trainable_variables
    for variable, old, gradient in zip(moved, before, gradients, strict=True):
        expected = ops.convert_to_numpy(old) - 0.5 * ops.convert_to_numpy(gradient)
        np.testing.assert_allclose(variable.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("reduction", "jit"), [("mean", False), pytest.param("sum", True, marks=pytest.mark.slow)]
)
def test_a_joint_step_is_equation_1(reduction, jit):
    check_joint_step(reduction, jit)


@pytest.mark.slow
def test_a_joint_step_is_equation_1_on_jax():
    code = """
import sys; sys.path.insert(0, "tests")
import keras, test_pixel_cnn
test_pixel_cnn.check_joint_step("mean", True)
test_pixel_cnn.check_frozen()
print(keras.backend.backend())
"""
    assert run_python(code, KERAS_BACKEND="jax").split() == ["jax"]


def check_frozen():
    """After the cut-off the map is what the pixel CNN said last, and nothing moves it."""
    layer = learner(penalty=0.3)
    model = compiled(classifier(layer))
    data = ramp(4, *IMAGES), np.eye(2, dtype="f")[[0, 1, 1, 0]]
    model.train_on_batch(*data)
    layer.settle()
    told = ops.convert_to_numpy(layer.pixel_cnn(4 * ramp(*STACK) - 2))
    np.testing.assert_allclose(layer.map.numpy(), told, atol=1e-6)
    layer.trainable = False
    compiled(model)
    kept, head = layer.get_weights(), model.layers[-1].get_weights()
    loss = model.train_on_batch(*data)
    for old, new in zip(kept, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert not np.array_equal(head[0], model.layers[-1].get_weights()[0])
    model.layers[-1].set_weights(head)
    assert loss == pytest.approx(model.test_on_batch(*data), rel=1e-5), "a penalty of a constant"


def test_after_the_cut_off_the_map_is_a_constant():
    check_frozen()


def test_a_frozen_step_does_not_compute_the_pixel_cnn():
    import tensorflow as tf

    def convolutions(training):
        call = tf.function(lambda x: layer(x, training=training))
        graph = call.get_concrete_function(tf.TensorSpec((2, *IMAGES))).graph
        return [o.type for o in graph.get_operations()].count("Conv2D")

    layer = learner()
    assert (convolutions(True), convolutions(False)) == (2, 0)
    layer.settle()
    layer.trainable = False
    assert convolutions(True) == 0


def test_the_penalty_is_no_part_of_what_validation_sees():
    layer = learner(penalty=100.0)
    model = compiled(classifier(layer))
    labels = np.eye(2, dtype="f")[[0, 1, 1, 0]]
    trained = model.train_on_batch(ramp(4, *IMAGES), labels)
    asked = model.test_on_batch(ramp(4, *IMAGES), labels)
    assert trained > 100 * layer.map.numpy().min() > asked


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_the_stack_is_held_in_the_precision_of_the_policy(policy):
    layer = learner(dtype=policy)
    expected = policy.removeprefix("mixed_")
    assert keras.backend.standardize_dtype(layer._stack.dtype) == expected
    layer.settle()
    assert layer._stack is None and layer.map.dtype == "float32"


def test_a_saved_network_answers_with_its_map_and_holds_no_image(tmp_path):
    model = compiled(classifier(learner()))
    model.train_on_batch(ramp(4, *IMAGES), np.eye(2, dtype="f")[[0, 1, 1, 0]])
    model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        held = b"".join(archive.read(name) for name in archive.namelist())
    assert model.layers[-1].kernel.numpy()[:, 0].tobytes()[:4] in held, "the search sees weights"
    assert (4 * ramp(*STACK) - 2)[0, 4, 3].tobytes() not in held
    loaded = tk.load(tmp_path / "model.keras")
    x = ramp(4, *IMAGES)
    np.testing.assert_allclose(loaded(x), model(x, training=False), atol=1e-6)
    with pytest.raises(ValueError, match="no training images.*`trainable` to False"):
        compiled(loaded).train_on_batch(x, np.eye(2, dtype="f")[[0, 1, 1, 0]])


@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        (PixelCNN, {"channels": 0}),
        (PixelCNN, {"channels": 2, "kernel_size": 4}),
        (PixelCNN, {"channels": 2, "hidden_layers": 5}),
        (PixelCNN, {"channels": 2, "last_kernel_size": 2}),
        (GlobalAttention, {"num_images": 3}),
        (GlobalAttention, {"pixel_cnn": PixelCNN(2), "num_images": 0}),
        (GlobalAttention, {"pixel_cnn": PixelCNN(2), "num_images": 3, "learn_map": True}),
        (GlobalAttention, {"penalty": -1.0}),
        (GlobalAttention, {"reduction": "max"}),
    ],
)
def test_wrong_arguments_are_named(make, arguments):
    with pytest.raises(ValueError, match="Received: "):
        make(**arguments)


def test_a_stack_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"shape \(1, 8, 7, 6\).*Received: stack.shape=\(1, 8, 7"):
        learner().attach(ramp(1, 8, 7, 4))
    layer = GlobalAttention()
    layer.build((None, *IMAGES))
    with pytest.raises(ValueError, match="Received: stack.shape"):
        layer.attach(ramp(*STACK))
