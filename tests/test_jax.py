"""The road past one machine: the whole training on JAX, from a pack, without TensorFlow."""

import json

import pytest
from check import run_python
from tables import blobs

from thyroid_keras.data.pack import write_pack

CODE = """
import sys
sys.modules["tensorflow"] = None  # as where it is not installed
import keras
from thyroid_keras import train
train.main([
    "--arch", {arch!r}, "--data", {data!r}, "--out", {out!r}, "--set", "image_size=32",
    "stage_filters=2,3,4,5,6", "batch_size=8", "segmentation_epochs=1", "epochs=1",
])
print("backend", keras.backend.backend())
"""


@pytest.mark.parametrize("arch", ["ds_agnet", pytest.param("cs_agnet", marks=pytest.mark.slow)])
def test_training_runs_on_jax_without_tensorflow(arch, tmp_path):
    write_pack(tmp_path / "blobs.npz", blobs(32), (32, 32))
    code = CODE.format(arch=arch, data=str(tmp_path / "blobs.npz"), out=str(tmp_path / "run"))
    assert "backend jax" in run_python(code, KERAS_BACKEND="jax")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert 0 <= metrics["roc_auc"]["value"] <= 1 and "dice" in metrics
    assert (tmp_path / "run" / "report.html").exists()
