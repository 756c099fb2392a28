"""The benchmark: its figures, its count of operations, its profile, its refusals."""

import contextlib
import io
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from check import ramp, run_python
from keras import layers
from tensorflow.python.framework.ops import get_stats_for_node_def

import thyroid_keras as tk
from thyroid_keras import bench
from thyroid_keras.benchmarking.bench import MEANINGS
from thyroid_keras.benchmarking.ceiling import make_probes
from thyroid_keras.benchmarking.flops import count_flops
from thyroid_keras.benchmarking.measure import time_in_turns
from thyroid_keras.benchmarking.profile import IDLE, REST, attribute, innermost
from thyroid_keras.layers import BatchNorm
from thyroid_keras.runs import read_csv

SMALL = ["--set", "image_size=32", "stage_filters=2,3,4,5,6", "batch_size=8"]
RUN = ["--arch", "ds_agnet", "--precision", "float32", "--steps", "3", "--json", *SMALL]
COUNTED = ("Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter", "MatMul", "BatchMatMulV2")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What a small run says as JSON, and the CSV of its profile."""
    file = tmp_path_factory.mktemp("bench") / "profile.csv"
    with contextlib.redirect_stdout(io.StringIO()) as said:
        bench.main([*RUN, "--profile", str(file)])
    (line,) = said.getvalue().splitlines()
    return json.loads(line) | {"csv": read_csv(file)}


def test_figures_agree_with_each_other(found):
    assert set(MEANINGS) < set(found) and found["turns"] == 3
    assert min(found[name] for name in MEANINGS) > 0
    assert found["train_images_per_s"] <= found["train_images_per_s_best"]
    assert found["train_images_per_s"] < found["predict_images_per_s"]
    step_ms = 1e3 * found["batch_size"] / found["train_images_per_s"]
    assert found["forward_ms"] + found["backward_ms"] == pytest.approx(step_ms)
    assert found["ceiling_gflops"] == max(
        found["convolution_gflops"], found["matrix_product_gflops"]
    )
    assert 0 < found["ceiling_share"] < 1.2
    assert found["ceiling_share"] == pytest.approx(found["train_gflops"] / found["ceiling_gflops"])
    share = found["train_gflops"] / found["convolution_gflops"]
    assert found["convolution_share"] == pytest.approx(share)
    rate = found["train_images_per_s_best"] / found["batch_size"]
    assert found["train_gflops"] == pytest.approx(found["train_gflop"] * rate)
    assert 200 < found["peak_memory_mb"] < 16_000
    assert (found["phase"], found["batch_size"], found["image_size"]) == ("segmentation", 8, 32)


def test_the_profile_adds_up_to_the_step(found):
    rows = found["profile"]
    assert sum(row["share"] for row in rows) == pytest.approx(1, abs=1e-6)
    assert [row["operation"] for row in rows[-2:]] == [IDLE, REST]
    steps = {row["operation"]: row for row in rows}
    network = tk.build("ds_agnet", image_shape=(32, 32, 1), stage_filters=(2, 3, 4, 5, 6))
    norms = sum(isinstance(layer, BatchNorm) for layer in network.layers)
    assert steps["FusedBatchNormGradV3"]["calls"] == norms == 26
    assert steps["Conv2DBackpropFilter"]["ms"] > 0
    step_ms = {row["ms"] / row["share"] for row in rows if row["share"] > 1e-6}
    assert max(step_ms) == pytest.approx(min(step_ms))
    assert [row["operation"] for row in found["csv"]] == [row["operation"] for row in rows]


def test_moments_are_divided_among_what_runs():
    outer = list(innermost([(0, 10, "Call"), (2, 6, "Conv2D")]))
    assert outer == [(0, 2, "Call", False), (2, 6, "Conv2D", True), (6, 10, "Call", True)]
    seconds, calls = attribute([*outer, (4, 8, "Relu", True)])
    picoseconds = {name: 1e12 * value for name, value in seconds.items()}
    assert picoseconds == pytest.approx({"Call": 2 + 1 + 2, "Conv2D": 2 + 1, "Relu": 1 + 1})
    assert calls == {"Call": 1, "Conv2D": 1, "Relu": 1}


def tensorflow_flops(function):
    """TensorFlow's own count of the products and convolutions of a graph."""
    graph = function.get_concrete_function().graph
    return sum(
        get_stats_for_node_def(graph, node, "flops").value or 0
        for node in graph.as_graph_def().node
        if node.op in COUNTED
    )


def test_forward_count_is_that_of_tensorflow():
    model = tk.build("cs_agnet", image_shape=(32, 48, 1), stage_filters=(4, 6, 8, 10, 12))
    x = tf.constant(ramp(1, 32, 48, 1))
    theirs = tensorflow_flops(tf.function(lambda: model(x, training=True)))
    # theirs holds the attention pooling too, a product without a kernel
    assert count_flops(model)["forward"] == pytest.approx(theirs, rel=0.01)


def test_training_count_is_that_of_tensorflow():
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3, padding="same", name="reads_the_image")(layers.Rescaling(2.0)(image))
    shared = layers.Conv2D(4, 3, padding="same")
    x = shared(shared(x))
    x = layers.Conv2DTranspose(5, 2, strides=2)(x)
    x = layers.Conv2D(6, 3, strides=2, padding="same")(x)
    model = keras.Model(image, layers.Dense(7)(layers.GlobalAveragePooling2D()(x)))
    data = tf.constant(ramp(1, 16, 16, 3))

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = keras.ops.sum(model(data, training=True))
        return tape.gradient(loss, model.trainable_variables)

    # TensorFlow removes the gradient of the image only when it runs the graph
    image_gradient = 2 * 9 * 3 * 4 * 16 * 16
    ours = count_flops(model)["training"]
    assert ours == pytest.approx(tensorflow_flops(step) - image_gradient, rel=0.01)


def test_what_is_done_to_the_image_takes_no_gradient():
    image = keras.Input((8, 8, 3))
    turned = keras.ops.flip(layers.Rescaling(2.0)(image), axis=-1)  # no layer, an operation
    model = keras.Model(image, layers.Conv2D(2, 1)(turned))
    one = 2 * 6 * 64
    assert count_flops(model) == {"forward": one, "training": 2 * one}


def test_frozen_layers_take_no_gradient():
    image = keras.Input((8, 8, 2))
    first, second, third = (layers.Conv2D(2, 1, name=name) for name in "abc")
    model = keras.Model(image, third(second(first(image))))
    one = 2 * 4 * 64
    assert count_flops(model) == {"forward": 3 * one, "training": (2 + 3 + 3) * one}
    first.trainable = second.trainable = False
    assert count_flops(model)["training"] == (1 + 1 + 2) * one


def test_turns_are_as_many_as_asked():
    ran = []
    tasks = {name: lambda name=name: ran.append(name) for name in "ab"}
    assert {k: len(v) for k, v in time_in_turns(tasks, 1e-9, 5).items()} == {"a": 5, "b": 5}
    assert ran == ["a", "b"] * 6  # the first turn is not counted
    assert len(time_in_turns(tasks, 1e-9)["a"]) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--arch", "resnet1"], "Did you mean resnet18?"),
        (["--arch", "ds_agnet", "--set", "batch=1", "epoch=2"], "batch"),
        (["--arch", "ds_agnet", "--seconds", "0", "--steps", "0"], "seconds=0.0"),
        (["--arch", "ds_agnet", "--seconds", "nan"], "seconds=nan"),
        (["--arch", "ds_agnet", "--profile", f"{__file__}/profile.csv"], "cannot be written"),
        (["--arch", "ds_agnet", "--profile", "."], ".: cannot be written, Is a directory"),
    ],
)
def test_wrong_input_ends_with_2(arguments, said, capsys):
    with pytest.raises(SystemExit) as caught:
        bench.main(arguments)
    error = capsys.readouterr().err
    assert caught.value.code == 2 and said in error and "Traceback" not in error
    if "--steps" in arguments:
        assert "steps=0" in error  # every problem at once


def test_probes_run_in_half_precision():
    for probe in make_probes("bfloat16").values():
        probe.run()


def test_jax_has_no_profile():
    code = f"""
from thyroid_keras import bench
try:
    bench.main({[*RUN, "--profile"]})
except SystemExit as ended:
    print("status", ended.code)
"""
    assert run_python(code, KERAS_BACKEND="jax").split() == ["status", "2"]


@pytest.mark.slow
def test_jax_measures_too():
    code = f"from thyroid_keras import bench; bench.main({RUN})"
    found = json.loads(run_python(code, KERAS_BACKEND="jax"))
    assert found["backend"] == "jax" and 0 < found["ceiling_share"] < 1.2
    assert found["backward_ms"] > 0 and np.isfinite(found["train_images_per_s"])
