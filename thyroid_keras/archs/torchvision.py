"""torchvision's weights in our networks, which are layer by layer its own."""

import re

import numpy as np

from thyroid_keras.weight_files.errors import ConvertError

SUFFIX = ".pth"
NORMALIZATION = "torch"  # of the images that all of its weights were learned from
VARIABLES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
VGG_CONVS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}  # of each block
HEAD = {"fc1", "fc2", "logits"}  # layers that may begin anew
THEIR_HEAD = re.compile(r"(classifier|fc)\.")
UNUSED = re.compile(r"aux[12]\..*|.*\.num_batches_tracked")
SHOWN = 20


def _vgg(arch):
    convs = VGG_CONVS[arch]

    def module(layer):
        if match := re.fullmatch(r"block(\d)_conv(\d)", layer):
            block, c = map(int, match.groups())
            before = sum(2 * count + 1 for count in convs[: block - 1])  # with ReLU; the pooling
            return f"features.{before + 2 * (c - 1)}"
        return {"fc1": "classifier.0", "fc2": "classifier.3", "logits": "classifier.6"}.get(layer)

    return module


def _resnet(layer):
    if match := re.fullmatch(r"stage(\d)_block(\d+)_(?:conv(\d)|shortcut)(_bn)?", layer):
        stage, block, c, norm = match.groups()
        part = f"{'bn' if norm else 'conv'}{c}" if c else f"downsample.{1 if norm else 0}"
        return f"layer{int(stage) - 1}.{int(block) - 1}.{part}"
    return {"conv1": "conv1", "conv1_bn": "bn1", "logits": "fc"}.get(layer)


def _by_pattern(*patterns):
    def module(layer):
        for ours, theirs in patterns:
            if match := re.fullmatch(ours, layer):
                return match.expand(theirs)
        return None

    return module


_DENSENET = _by_pattern(
    (r"conv1", r"features.conv0"),
    (r"conv1_bn", r"features.norm0"),
    (r"block(\d)_layer(\d+)_bn", r"features.denseblock\1.denselayer\2.norm1"),
    (r"block(\d)_layer(\d+)_narrow", r"features.denseblock\1.denselayer\2.conv1"),
    (r"block(\d)_layer(\d+)_narrow_bn", r"features.denseblock\1.denselayer\2.norm2"),
    (r"block(\d)_layer(\d+)", r"features.denseblock\1.denselayer\2.conv2"),
    (r"transition(\d)_bn", r"features.transition\1.norm"),
    (r"transition(\d)", r"features.transition\1.conv"),
    (r"last_bn", r"features.norm5"),
    (r"logits", r"classifier"),
)
_GOOGLENET = _by_pattern(
    (r"(conv\d)", r"\1.conv"),
    (r"(conv\d)_bn", r"\1.bn"),
    (r"(inception..)_branch1", r"\1.branch1.conv"),
    (r"(inception..)_branch1_bn", r"\1.branch1.bn"),
    (r"(inception..)_branch(\d)_conv1", r"\1.branch\2.0.conv"),
    (r"(inception..)_branch(\d)_conv1_bn", r"\1.branch\2.0.bn"),
    (r"(inception..)_branch(\d)_conv2", r"\1.branch\2.1.conv"),
    (r"(inception..)_branch(\d)_conv2_bn", r"\1.branch\2.1.bn"),
    (r"(inception..)_branch4", r"\1.branch4.1.conv"),
    (r"(inception..)_branch4_bn", r"\1.branch4.1.bn"),
    (r"logits", r"fc"),
)
# by architecture: the name of a layer of ours -> that of torchvision's module
MODULES = {
    "densenet161": _DENSENET,
    "googlenet": _GOOGLENET,
    **dict.fromkeys(("resnet18", "resnet34", "resnet50", "resnet152"), _resnet),
    **{arch: _vgg(arch) for arch in VGG_CONVS},
}


def is_torchvision(weights):
    """Whether `weights`, a builder's argument, is the path of a file of PyTorch's."""
    return str(weights).endswith(SUFFIX)


def torch_shape(variable):
    """The shape that PyTorch gives a variable of ours."""
    shape = tuple(variable.shape)
    return tuple(shape[i] for i in (3, 2, 0, 1)) if len(shape) == 4 else shape[::-1]


def torch_variables(model):
    """Returns a dict from torchvision's name to our variable, of all that it has, too."""
    named = ((layer, MODULES[model.name](layer.name)) for layer in model.layers)
    return {
        f"{module}.{VARIABLES[variable.name]}": variable
        for layer, module in named
        if module
        for variable in layer.weights
    }


def num_classes(arch, arrays):
    """Returns the width of the logits that the arrays of an architecture are of.

    Raises:
        ConvertError: if they have none.
    """
    name = f"{MODULES[arch]('logits')}.bias"
    if np.ndim(arrays.get(name)) != 1:
        shown = ", ".join(list(arrays)[:4])
        raise ConvertError([f"not torchvision's {arch}: {name} is missing. Received: {shown}, ..."])
    return len(arrays[name])


def plain_names(arrays):
    """The arrays under the names of today, without what a prediction does not need."""
    names = {
        name: re.sub(r"(denselayer\d+\.(?:norm|conv))\.(\d)", r"\1\2", name.removeprefix("module."))
        for name in arrays
    }
    return {names[name]: a for name, a in arrays.items() if not UNUSED.fullmatch(names[name])}


def set_weights(model, arrays, *, new_head=False):
    """Gives a network torchvision's weights.

    Args:
        model: `keras.Model` of an architecture of `MODULES`; its weights are replaced.
        arrays: mapping from the names of torchvision's state dictionary to arrays; the
            auxiliary classifiers are passed over.
        new_head: whether the classifier may be another, which stays as it is.

    Returns:
        The model.

    Raises:
        ConvertError: with every array that is missing, unexpected, of another shape or
            not finite; the model is unchanged then.
    """
    arrays, variables = plain_names(arrays), torch_variables(model)
    head = {id(v) for x in model.layers if x.name in HEAD for v in x.weights} if new_head else ()
    values, problems = {}, []
    for name, variable in variables.items():
        expected, found = torch_shape(variable), arrays.get(name)
        if found is not None and np.shape(found) == expected:
            values[name] = np.asarray(found, "float32")
            if not np.isfinite(values[name]).all():
                problems.append(f"{name}: holds values that are not finite")
        elif id(variable) not in head:
            how = "missing" if found is None else f"of shape {np.shape(found)}"
            problems.append(f"{name}: {how}, {expected} expected")
    problems += [
        f"{name}: unexpected, of shape {np.shape(array)}"
        for name, array in arrays.items()
        if name not in variables and not (new_head and THEIR_HEAD.match(name))
    ]
    if problems:
        more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        first = f"The arrays are not those of torchvision's {model.name}:"
        raise ConvertError([first, *problems[:SHOWN], *more])
    for name, value in values.items():
        variables[name].assign(_our_layout(value, model, name))
    return model


def _our_layout(value, model, name):
    if value.ndim == 4:
        return value.transpose(2, 3, 1, 0)
    if name == "classifier.0.weight":  # behind the flattened features, of which ours end in C
        height, width, channels = model.get_layer("flatten").input.shape[1:]
        return by_channel_last(value, height, width, channels)
    return value.T


def by_channel_last(weight, height, width, channels):
    """A dense layer's weight `(out, C H W)`, of PyTorch, as ours, `(H W C, out)`."""
    weight = weight.reshape(-1, channels, height, width)
    return weight.transpose(2, 3, 1, 0).reshape(height * width * channels, -1)
