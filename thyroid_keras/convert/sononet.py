"""SonoNet's and AG-SonoNet's weights as their authors saved them, in our networks."""

import os
import re

import cv2
import numpy as np

from thyroid_keras.archs import build
from thyroid_keras.archs.torchvision import VARIABLES, torch_shape
from thyroid_keras.convert.checks import not_numbers, require_numbers, require_room
from thyroid_keras.layers import GridAttention
from thyroid_keras.weight_files.checkpoint import read_checkpoint
from thyroid_keras.weight_files.errors import ConvertError

# in the order of the published weights' outputs
STANDARD_PLANES = (
    "3VV", "4CH", "Abdominal", "Background", "Brain-Cb", "Brain-Tv", "Femur", "Kidneys", "Lips",
    "LVOT", "Profile", "RVOT", "Spine-cor", "Spine-sag",
)  # fmt: skip
LASAGNE_CONVS = (2, 2, 3, 3, 3)
LASAGNE_EPSILON = 1e-4
LASAGNE_SHAPE = (224, 288)
TORCH_LAYERS = (
    (r"stage(\d)_conv(\d+)", r"conv\1.conv\2.0"),
    (r"stage(\d)_conv(\d+)_bn", r"conv\1.conv\2.1"),
    (r"adapt_conv1", r"conv5_p.cbr_unit.0"),
    (r"adapt_conv1_bn", r"conv5_p.cbr_unit.1"),
    (r"adapt_conv2", r"conv6_p.cb_unit.0"),
    (r"class_maps", r"conv6_p.cb_unit.1"),
    (r"gate3", r"compatibility_score1"),
    (r"gate4", r"compatibility_score2"),
    (r"logits_scale3", r"classifier1"),
    (r"logits_scale4", r"classifier2"),
    (r"logits_scale5", r"classifier3"),
    (r"logits", r"classifier"),
)


def sononet_from_torch(model, arrays):
    """Gives a SonoNet or AG-SonoNet the weights of the authors' PyTorch network.

    Args:
        model: of `build("sononet", ...)` or `build("ag_sononet", ...)`; its weights are
            replaced.
        arrays: mapping from the names of PyTorch's state dictionary to arrays,
            convolutions `(out, in, h, w)`, fully connected layers `(out, in)`; a prefix
            `module.` (of data-parallel training) or `w/` is dropped.

    Returns:
        `model`.

    Raises:
        ConvertError: with every array that is missing, unexpected, of another shape or
            not of finite real numbers; the model is unchanged then.

    Reference: Attention-Gated-Networks at commit eee4881, `sononet2`,
        `sononet_grid_attention`.
    """
    arrays = torch_names(arrays)
    variables = dict(_variables(model))
    if len(variables) != len(model.weights):
        raise ConvertError([f"{model.name}: neither a SonoNet nor an AG-SonoNet"])
    problems = [f"{name}: missing, {torch_shape(v)} expected" for name, v in variables.items()
                if name not in arrays]  # fmt: skip
    problems += [f"{name}: unexpected, of shape {np.shape(array)}" for name, array in
                 arrays.items() if name not in variables]  # fmt: skip
    values = {}
    for name in variables.keys() & arrays.keys():
        expected, array = torch_shape(variables[name]), arrays[name]
        if np.shape(array) != expected:
            problems.append(f"{name}: of shape {np.shape(array)}, {expected} expected")
        elif wrong := not_numbers(array):
            problems.append(f"{name}: {wrong}")
        else:
            with np.errstate(over="ignore"):  # what overflows is refused as not finite
                values[name] = np.asarray(array, "float32")
            if not np.isfinite(values[name]).all():
                problems.append(f"{name}: holds values that are not finite")
    if problems:
        raise ConvertError([f"The arrays are not those of this {model.name}:", *sorted(problems)])
    for name, value in values.items():
        variables[name].assign(value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.T)
    return model


def sononet_from_lasagne(npz):
    """Builds Baumgartner et al.'s SonoNet with their published weights.

    Args:
        npz: path of the file, or a mapping from `arr_0`, `arr_1`, ... to its arrays.

    Returns:
        `keras.Model` from `sononet_input` of frames, `(B, 224, 288, 1)`, to logits of the
        `STANDARD_PLANES`.

    Raises:
        ConvertError: if the file cannot be read, or with every array that does not fit.

    Reference: Baumgartner et al. 2017, arXiv:1612.05601; baumgach/SonoNet-weights.
    """
    arrays = read_checkpoint(npz) if isinstance(npz, (str, os.PathLike)) else npz
    names = [f"conv{s}.conv{c + 1}" for s, n in enumerate(LASAGNE_CONVS, 1) for c in range(n)]
    names += ["conv5_p.cbr_unit", "conv6_p.cb_unit"]
    wanted = [f"arr_{i}" for i in range(5 * len(names))]
    if set(arrays) != set(wanted):
        raise ConvertError(
            [
                f"SonoNet's weights are the {len(wanted)} arrays {wanted[0]} to {wanted[-1]}, five "
                f"for each convolution. Received: {len(arrays)} arrays, {', '.join(arrays)}"
            ]
        )
    require_numbers(arrays)
    named = {}
    for i, name in enumerate(names):
        kernel, beta, gamma, mean, inverse_std = (arrays[key] for key in wanted[5 * i : 5 * i + 5])
        with np.errstate(divide="ignore", over="ignore"):
            variance = 1 / np.asarray(inverse_std, "float64") ** 2 - LASAGNE_EPSILON
        named[f"{name}.0.weight"] = kernel
        named[f"{name}.1.weight"], named[f"{name}.1.bias"] = gamma, beta
        named[f"{name}.1.running_mean"] = mean
        named[f"{name}.1.running_var"] = np.maximum(variance, 0)
    first, last = np.shape(arrays[wanted[0]]), np.shape(arrays[wanted[-1]])
    if len(first) != 4 or len(last) != 1:
        raise ConvertError(
            [f"arr_0 is the first convolution's kernel, {wanted[-1]} the last 1 / standard "
             f"deviation. Received: shapes {first} and {last}"]
        )  # fmt: skip
    arguments = {
        "image_shape": (*LASAGNE_SHAPE, first[1]),
        "num_classes": last[0],
        "filters": first[0],
        "stage_convs": LASAGNE_CONVS,
    }
    require_room(arrays, **arguments)
    model = build("sononet", **arguments, use_bias=False, epsilon=LASAGNE_EPSILON)
    return sononet_from_torch(model, named)


def sononet_input(frame):
    """Prepares a frame of the scanner as the published SonoNet weights need it.

    Args:
        frame: uint8 `(H, W, 3)` or `(H, W)`, at least 734 rows and 874 columns, since
            rows 115 to 733 and columns 81 to 873 are what the network sees.

    Returns:
        float32 `(224, 288, 1)`: grey, resized, of mean 0 and standard deviation 255.

    Raises:
        ValueError: if the frame is too small.

    Reference: Baumgartner et al. 2017, Sec. 2.1, and the example of SonoNet-weights.
    Deviation: the example resizes the colours, by a bilinear filter, before it averages them;
        here grey comes first and is averaged over areas. On the 13 example frames, all named
        right either way, the likeliest class's probability differs by at most 0.05.
    """
    rows, columns = slice(115, 734), slice(81, 874)
    if frame.shape[0] < rows.stop or frame.shape[1] < columns.stop:
        raise ValueError(
            f"`frame` must have at least {rows.stop} rows and {columns.stop} columns. "
            f"Received: shape={frame.shape}"
        )
    height, width = LASAGNE_SHAPE
    inside = frame[rows, columns].astype(np.float32)
    grey = inside.mean(axis=-1) if inside.ndim == 3 else inside
    grey = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
    return ((grey - grey.mean()) / max(grey.std(), 1e-6) * 255)[..., None]


def torch_names(arrays):
    """The arrays under PyTorch's plain names, without those that count batches."""
    arrays = {k.removeprefix("module."): v for k, v in arrays.items()}
    if any(name.startswith("w/") for name in arrays):
        arrays = {k[2:]: v for k, v in arrays.items() if k.startswith("w/")}
    return {k: v for k, v in arrays.items() if not k.endswith("num_batches_tracked")}


def _variables(model):
    """Pairs of PyTorch's name and our variable."""
    for layer in model.layers:
        for ours, theirs in TORCH_LAYERS:
            if match := re.fullmatch(ours, layer.name):
                name = match.expand(theirs)
                if isinstance(layer, GridAttention):
                    parts = {f"{name}.{p}": getattr(layer, p) for p in ("theta", "phi", "psi")}
                else:
                    parts = {name: layer}
                for prefix, part in parts.items():
                    for variable in part.weights:
                        yield f"{prefix}.{VARIABLES[variable.name]}", variable
