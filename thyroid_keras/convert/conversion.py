"""From a checkpoint file to a `.keras` file; what `convert` does."""

import pathlib

import numpy as np

from thyroid_keras.archs import build, torchvision
from thyroid_keras.archs.imagenet import IMAGE_SHAPE
from thyroid_keras.convert.checks import require_held, require_numbers, require_room
from thyroid_keras.convert.sononet import (
    LASAGNE_SHAPE,
    sononet_from_lasagne,
    sononet_from_torch,
    torch_names,
)
from thyroid_keras.runs import atomic, require_writable
from thyroid_keras.weight_files.checkpoint import read_checkpoint
from thyroid_keras.weight_files.errors import ConvertError

NARROWEST = 512  # features that a classifier of torchvision's has, at the least
CONVERTIBLE = ("ag_sononet", "sononet", *torchvision.MODULES)


def convert(
    checkpoint, *, arch, out, image_size=None, aggregation=None, normalization=None, say=print
):
    """Writes somebody else's weights as a model of ours.

    Filters, classes, channels, layer counts and, where the shapes tell, the aggregation
    are read off the checkpoint.

    Args:
        checkpoint: path of PyTorch's `.pth`, or an `.npz` of arrays under PyTorch's names
            or in Lasagne's order. Nothing in it is executed.
        arch: `"sononet"`, `"ag_sononet"`, or a network of torchvision's, see
            `archs.torchvision.MODULES`.
        out: `.keras` file to write.
        image_size: `(H, W)` of the images in pixels; default 208, 272; 224, 288 for
            Lasagne's, 224, 224 for torchvision's.
        aggregation: of `ag_sononet`; default: as the shapes tell.
        normalization: of the gates of `ag_sononet`, which no checkpoint tells; default
            `"mean_flow"`.
        say: function of one line of text.

    Returns:
        `keras.Model`; one of torchvision's takes images in [0, 1], which it normalises, and
        gives logits.

    Raises:
        ConvertError: with everything that keeps the checkpoint from being that network.
        RunError: if `out` cannot be written.
    """
    problems = []
    if pathlib.Path(out).suffix != ".keras":
        problems.append(f"{out}: --out must end in .keras. Received: out={str(out)!r}")
    if arch not in CONVERTIBLE:
        problems.append(f"--arch must be one of {CONVERTIBLE}. Received: arch={arch!r}")
    chosen = {"aggregation": aggregation, "normalization": normalization}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    if chosen and arch != "ag_sononet":
        problems.append(f"{' and '.join(chosen)}: only of --arch ag_sononet. Received: {chosen}")
    try:
        arrays = read_checkpoint(checkpoint)
    except ConvertError as error:
        raise ConvertError([*problems, *error.problems]) from error
    if problems:
        raise ConvertError(problems)
    require_writable(out)
    try:
        model = _model(arch, arrays, image_size, chosen)
    except ValueError as error:
        problems = getattr(error, "problems", [str(error)])
        raise ConvertError([f"{checkpoint}: {problems[0]}", *problems[1:]]) from error
    with atomic(out) as temporary:
        model.save(temporary)
    say(f"{model.name}, {model.count_params():,} parameters: {out}")
    say(f"It takes {_images(arch, arrays)} of {model.input_shape[1:]} and gives logits.")
    if arch == "ag_sononet" and normalization is None:
        say("Its gates are taken to be mean_flow; --normalization says otherwise.")
    return model


def _images(arch, arrays):
    if arch in torchvision.MODULES:
        return "images in [0, 1], which it normalises itself,"
    times = ", times 255 (convert.sononet_input)," if "arr_0" in arrays else ""
    return f"whitened images{times}"


def _model(arch, arrays, image_size, chosen):
    if arch in torchvision.MODULES:
        return _of_torchvision(arch, torchvision.plain_names(arrays), image_size)
    if "arr_0" in arrays:
        if arch != "sononet" or image_size and tuple(image_size) != LASAGNE_SHAPE:
            raise ConvertError(
                [
                    f"Lasagne's weights are those of --arch sononet for images of {LASAGNE_SHAPE}. "
                    f"Received: arch={arch!r}, image_size={image_size}"
                ]
            )
        return sononet_from_lasagne(arrays)
    arguments = sononet_arguments(arch, arrays, **chosen)
    if image_size is not None:
        arguments["image_shape"] = (*image_size, arguments["image_shape"][-1])
    return sononet_from_torch(build(arch, **arguments), arrays)


def _of_torchvision(arch, arrays, image_size):
    own = {"googlenet": {"transform_input": True}}.get(arch, {})
    own = {"shortcut": "standard"} if arch.startswith("resnet") else own
    num_classes = torchvision.num_classes(arch, arrays)
    require_numbers(arrays)
    require_held(arrays, NARROWEST * num_classes)
    model = build(
        arch,
        image_shape=(*(image_size or IMAGE_SHAPE[:2]), 3),
        num_classes=num_classes,
        normalization=torchvision.NORMALIZATION,
        **own,
    )
    with np.errstate(over="ignore"):  # what overflows is refused as not finite
        return torchvision.set_weights(model, arrays)


def sononet_arguments(arch, arrays, **chosen):
    """Reads the arguments of a builder off the shapes of PyTorch's arrays.

    Args:
        arch: `"sononet"` or `"ag_sononet"`.
        arrays: mapping from PyTorch's name to array.
        **chosen: arguments of the builder that are known otherwise.

    Returns:
        dict of arguments of `build(arch, ...)`.

    Raises:
        ConvertError: if the arrays are those of another network, or too few for the one
            that their shapes tell of, or the shapes fit two aggregations.
    """
    shapes = {name: np.shape(array) for name, array in torch_names(arrays).items()}
    first = shapes.get("conv1.conv1.0.weight", ())
    if len(first) != 4:
        shown = ", ".join(list(shapes)[:4])
        raise ConvertError([f"no SonoNet, conv1.conv1.0.weight is missing. Received: {shown}, ..."])
    found = "ag_sononet" if any(n.startswith("compatibility") for n in shapes) else "sononet"
    if found != arch:
        raise ConvertError([f"holds the weights of {found}. Received: arch={arch!r}"])
    counts = [sum(f"conv{s}.conv{c}.0.weight" in shapes for c in range(1, 10)) for s in range(1, 6)]
    ends = ("conv6_p.cb_unit.1.bias", "classifier.bias", "classifier1.bias")
    classes = next((shapes[name][0] for name in ends if len(shapes.get(name, ())) == 1), 1)
    arguments = {
        "image_shape": (208, 272, first[1]),
        "num_classes": classes,
        "filters": first[0],
        "stage_convs": tuple(max(1, count) for count in counts),
    }
    if arch == "sononet":
        arguments |= {"use_bias": "conv1.conv1.0.bias" in shapes} | chosen
    else:
        if "aggregation" not in chosen:
            chosen["aggregation"] = _aggregation(shapes, first[0], classes)
        arguments |= {"gate_bias": "compatibility_score1.phi.bias" in shapes} | chosen
    require_room(arrays, **arguments)
    return arguments


def _aggregation(shapes, filters, classes):
    if "classifier1.weight" not in shapes:
        return "concat"
    if "classifier.weight" not in shapes:
        return "mean"
    widths = {"ft": 3 * classes, "deep_sup": 20 * filters}
    joined = shapes["classifier.weight"][1:]
    fitting = [name for name, width in widths.items() if joined == (width,)]
    if len(fitting) > 1:
        raise ConvertError(
            [f"the shapes fit several aggregations; choose --aggregation. Received: {fitting}"]
        )
    return fitting[0] if fitting else "ft"
