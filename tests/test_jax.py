"""The road past one machine: the whole training on JAX, from a pack, without TensorFlow."""

import json

import pytest
from check import run_python
from tables import blobs

from thyroid_keras.data.pack import write_pack

UNET = ["stage_filters=2,3,4,5,6", "segmentation_epochs=1"]
SMALL = {
    "small_cnn": ["channels=1"],
    "fan": ["eta=8", "feedback=none"],
    "ds_agnet": UNET,
    "cs_agnet": UNET,
}
CODE = """
import sys
sys.modules["tensorflow"] = None  # as where it is not installed
import keras
from thyroid_keras import train
train.main([
    "--arch", {arch!r}, "--data", {data!r}, "--out", {out!r}, "--set", "image_size=32",
    "batch_size=8", "epochs=1", *{small},
])
print("backend", keras.backend.backend())
"""


@pytest.mark.parametrize(
    "arch",
    ["small_cnn", *(pytest.param(a, marks=pytest.mark.slow) for a in SMALL if a != "small_cnn")],
)
def test_training_runs_on_jax_without_tensorflow(arch, tmp_path):
    write_pack(tmp_path / "blobs.npz", blobs(32), (32, 32))
    data, out = str(tmp_path / "blobs.npz"), str(tmp_path / "run")
    code = CODE.format(arch=arch, data=data, out=out, small=SMALL[arch])
    assert "backend jax" in run_python(code, KERAS_BACKEND="jax")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert 0 <= metrics["roc_auc"]["value"] <= 1
    assert ("dice" in metrics) == (arch in ("ds_agnet", "cs_agnet"))
    assert (tmp_path / "run" / "report.html").exists()
