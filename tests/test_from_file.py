"""A network that comes from a file, as in a new process: explained as the one that was saved.

Keras counts the names that it gives to operations from 0 in each process, and a file's network
holds the first of them.
"""

import keras
import numpy as np
import pytest
from check import ramp

import thyroid_keras as tk
from thyroid_keras import explain
from thyroid_keras.litert.network import device_network

FAN = {"image_shape": (32, 32, 1), "eta": 8}
UNET = {"image_shape": (32, 32, 1), "stage_filters": (2, 3, 4, 5, 6)}
SONONET = {"image_shape": (32, 48, 1), "filters": 2}
COLOUR = {"image_shape": (64, 64, 3)}
QUICK = [
    ("fan", FAN),
    ("fan", FAN | {"gate_at": "lfm", "form": "sigmoid", "passes": 3}),
    ("fan", FAN | {"feedback": "none"}),
    ("cs_agnet", UNET),
    ("ag_sononet", SONONET | {"aggregation": "deep_sup"}),
    ("global_attention", {"image_shape": (32, 32, 3), "backbone": "sononet", "filters": 2}),
]
SLOW = [
    *((arch, UNET) for arch in ("ds_agnet", "vgg_unet", "vgg_unet_seg")),
    *(("ag_sononet", SONONET | {"aggregation": kind}) for kind in ("mean", "ft", "concat")),
    ("sononet", SONONET),
    ("resnet18", COLOUR | {"shortcut": "A", "normalization": "caffe"}),
    ("inception_v3", {"image_shape": (160, 160, 3)}),
    *(
        (arch, COLOUR)
        for arch in ("alexnet_seg", "densenet40", "densenet161", "googlenet", "mobilenet",
                     "resattnet92", "small_cnn", "vgg16", "vgg_att3")
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("arch", "arguments"), [*QUICK, *(pytest.param(*one, marks=pytest.mark.slow) for one in SLOW)]
)
def test_it_is_explained(arch, arguments, tmp_path):
    model, images = tk.build(arch, num_classes=2, **arguments), ramp(2, *arguments["image_shape"])
    model.save(tmp_path / "model.keras")
    said = explain.with_explanation(model).predict_on_batch(images)
    weighed = explain.grad_cam(model, images, 1)
    network = tk.load(tmp_path / "model.keras")
    keras.backend.clear_session()
    found = explain.with_explanation(network).predict_on_batch(images)
    assert found.keys() == said.keys()
    for name, values in said.items():
        np.testing.assert_allclose(found[name], values, atol=1e-5, err_msg=name)
    keras.backend.clear_session()
    assert explain.with_maps(network).output.keys() <= said.keys()
    keras.backend.clear_session()
    assert explain.with_attention(network).output.keys() <= said.keys()
    keras.backend.clear_session()
    assert {"probabilities"} | said.keys() - {"label"} == device_network(network).output.keys()
    keras.backend.clear_session()
    np.testing.assert_allclose(explain.grad_cam(network, images, 1), weighed, atol=1e-5)
