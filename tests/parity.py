"""Our SonoNets against the authors' PyTorch networks, on whatever backend Keras runs."""

import json
from pathlib import Path

import keras
import numpy as np
from check import ramp

import thyroid_keras as tk
from thyroid_keras.convert.sononet import _variables

GOLDEN = Path(__file__).parent / "golden"
ORACLES = Path(__file__).parents[2] / "shared" / "oracles"
CASES = json.loads((GOLDEN / "sononet_cases.json").read_text())
STEP = 1e4  # a step so large that the old weights do not round the gradient away
VOTE_WEIGHT = 0.1  # of each scale in the loss of deep supervision, beside the joint one


def settled(shape):
    """Weights in PyTorch's layout that keep the activations' size from layer to layer."""
    if len(shape) < 2:
        return 0.5 + ramp(*shape)
    return ((ramp(*shape) - 0.5) * 3 / np.sqrt(np.prod(shape[1:]))).astype("float32")


def torch_layout(value):
    return value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T


def settled_arrays(model):
    """Arrays under PyTorch's names that `settled` fills."""
    shapes = {name: torch_layout(v.numpy()).shape for name, v in _variables(model)}
    return {name: settled(shape) for name, shape in shapes.items()}


def golden_case(name):
    """A small network of `sononet_cases.json`, its images, classes and what PyTorch says."""
    case = dict(CASES[name])
    model = tk.build(case.pop("arch"), **case)
    tk.convert.sononet_from_torch(model, settled_arrays(model))
    with np.load(GOLDEN / "sononet_torch.npz") as archive:
        said = {k.removeprefix(f"{name}/"): archive[k] for k in archive.files if f"{name}/" in k}
    return model, ramp(3, *case["image_shape"]), np.arange(3) % case["num_classes"], said


def oracle_case(path):
    """The same of a file of the authors' network."""
    with np.load(path) as archive:
        oracle = {name: archive[name] for name in archive.files}
    config = json.loads(str(oracle["cfg"]))
    arch = "sononet" if config["model"] == "sononet2" else "ag_sononet"
    arguments = tk.convert.sononet_arguments(arch, oracle)
    arguments["image_shape"] = (*config["size"], config["channels"])
    if arch == "ag_sononet":
        arguments["normalization"] = config["norm"].removeprefix("concatenation_")
    model = tk.convert.sononet_from_torch(tk.build(arch, **arguments), oracle)
    said = {k.removeprefix("train/"): v for k, v in oracle.items() if k.startswith("train/")}
    logits = [oracle[name] for name in sorted(oracle) if name.startswith("out/logits")]
    said |= {"logits": np.stack(logits)}
    said |= {f"gate{i + 2}": oracle[f"f/att{i}"][:, 0] for i in (1, 2) if f"f/att{i}" in oracle}
    return model, oracle["input_nhwc"], oracle["target"], said


def errors(model, images, classes, said):
    """Largest differences between the model and what the reference said.

    Returns:
        dict: `logits` relative to the largest beyond 1, `maps`, `loss`, `statistics`
        relative to the largest, and `gradient` relative in the norm, of each array and,
        `whole`, of all.
    """
    found = model.predict_on_batch(images)
    logits = list(found.values()) if isinstance(found, dict) else [found]
    scale = max(1.0, np.abs(said["logits"]).max())
    result = {"logits": np.abs(np.stack(logits) - said["logits"]).max() / scale}
    maps = tk.explain.attention_maps(model, images)
    result["maps"] = max((np.abs(maps[g] - said[g]).max() for g in maps), default=0.0)

    before = [v.numpy().copy() for v in model.weights]
    loss = _train_once(model, images, classes, list(found) if isinstance(found, dict) else None)
    result["loss"] = abs(loss - said["loss"])
    gradients, statistics = {}, {}
    names = {variable.path: name for name, variable in _variables(model)}
    for variable, old in zip(model.weights, before, strict=True):
        name, new = names[variable.path], variable.numpy()
        if variable.trainable:
            gradients[name] = torch_layout((old - new) / STEP)
        else:
            statistics[name] = new
    compared = {k.removeprefix("grad/"): v for k, v in said.items() if k.startswith("grad/")}
    # what normalisation cancels has the gradient 0, and noise in its place
    compared = {k: v for k, v in compared.items() if np.abs(v).max() > 1e-6 and not _cancels(k)}
    result["gradient"] = max(_relative(gradients[k], v) for k, v in compared.items())
    result["whole"] = _relative(
        *(np.concatenate([d[k].ravel() for k in compared]) for d in (gradients, compared))
    )
    seen = {k.removeprefix("bn/"): v for k, v in said.items() if k.startswith("bn/")}
    result["statistics"] = max(
        np.abs(statistics[k] - v).max() / np.abs(v).max() for k, v in seen.items()
    )
    return {name: float(value) for name, value in result.items()}


def map_errors_in_float64(path):
    """Largest difference of the maps of an oracle from those of our network in float64."""
    keras.config.set_dtype_policy("float64")
    model, images, _, said = oracle_case(path)
    keras.config.set_dtype_policy("float32")
    maps = tk.explain.attention_maps(model, images)
    return float(max(np.abs(maps[g] - said[g]).max() for g in maps))


def _train_once(model, images, classes, outputs):
    loss, weights = keras.losses.SparseCategoricalCrossentropy(from_logits=True), None
    if outputs:
        weights = dict.fromkeys(outputs, VOTE_WEIGHT if "logits" in outputs else 1.0)
        weights |= {"logits": 1.0} if "logits" in outputs else {}
        loss, classes = dict.fromkeys(outputs, loss), dict.fromkeys(outputs, classes)
    eager = keras.backend.backend() == "tensorflow"  # quicker than tracing for one step
    model.compile(
        keras.optimizers.SGD(STEP), loss, loss_weights=weights, run_eagerly=eager, jit_compile=False
    )
    return float(model.train_on_batch(images, classes, return_dict=True)["loss"])


def _cancels(name):
    """Whether an array is the bias of a convolution before a normalisation."""
    return name.endswith("0.bias")


def _relative(ours, theirs):
    return np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)
