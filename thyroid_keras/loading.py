"""Reading a trained model back."""

import json
import stat
import zipfile
from pathlib import Path

import keras

MEMBERS = {"metadata.json", "config.json", "model.weights.h5"}
MAX_EXPANSION = 50  # times the size on disk; Keras does not even compress
# Keras's safe mode is hardening, not a sandbox: only what networks of ours are made of ...
MODULES = (
    "keras.initializers.",
    "keras.layers.",
    "keras.losses.",
    "keras.metrics.",
    "keras.optimizers.",
    "keras.regularizers.",
    "keras.src.models.",
    "keras.src.ops.",
    "thyroid_keras.layers.",
    "thyroid_keras.losses.",
    "thyroid_keras.training.adam.",
    "thyroid_keras.training.sgd.",
)
CLASSES = {"keras.DTypePolicy", "keras.Functional", "keras.Model", "keras.Sequential"}
# ... but for these, which run code or read files
REFUSED = {
    "__lambda__",
    "__typespec__",
    "FlaxLayer",
    "Hashing",
    "IntegerLookup",
    "JaxLayer",
    "Lambda",
    "StringLookup",
    "TFSMLayer",
    "TextVectorization",
    "TorchModuleWrapper",
}


class ModelError(ValueError):
    """There is no intact model where one was asked for."""


def load(path):
    """Loads a trained model.

    Args:
        path: a run folder, or a `.keras` file.

    Returns:
        `keras.Model`, not compiled.

    Raises:
        ModelError: if there is no model at the path, or it is damaged, or could do more
            than compute.
    """
    path = Path(path)
    file = path / "model.keras" if path.is_dir() else path
    if not file.is_file():
        raise ModelError(
            f"{path}: no model there. A run folder holds model.keras once its training is done; "
            f"to go on with one that is not, train with --resume. Received: path={str(path)!r}"
        )
    if file.suffix != ".keras":
        raise ModelError(f"{file}: not a .keras file. Received: path={str(path)!r}")
    try:
        _inspect(file)
        return keras.saving.load_model(file, compile=False, safe_mode=True)
    except Exception as error:  # a file made with intent may fail in any way
        reason = str(error).strip() or type(error).__name__
        raise ModelError(
            f"{file}: not a model that can be loaded, {reason:.300}. Take one that `train` or "
            f"`convert` wrote. Received: path={str(path)!r}"
        ) from error


def _inspect(file):
    """Raises ValueError for an archive that holds more than a network of known layers."""
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        names = [member.filename for member in members]
        if set(names) - MEMBERS or len(names) > len(set(names)):
            raise ValueError(f"it holds other files: {sorted(names)[:5]}")
        if any(stat.S_ISLNK(member.external_attr >> 16) for member in members):
            raise ValueError("it holds a link")
        size = sum(member.file_size for member in members)
        if size > MAX_EXPANSION * file.stat().st_size:
            raise ValueError(f"it would unpack to {size / 1e6:,.0f} MB")
        config = json.loads(archive.read("config.json"))
    if isinstance(config, dict):
        config.pop("compile_config", None)  # how it was trained, which is not read
    pending = [config]
    while pending:  # no recursion: the nesting is the file's
        entry = pending.pop()
        if isinstance(entry, dict) and "class_name" in entry:
            module, name = entry.get("module"), entry["class_name"]
            path = f"{module}.{name}"
            known = module is None or path.startswith(MODULES) or path in CLASSES
            if not known or name in REFUSED:
                raise ValueError(f"a part of it is {path}")
        if isinstance(entry, (dict, list)):
            pending += entry.values() if isinstance(entry, dict) else entry


def float32_twin(model):
    """Returns the same network with the same weights, computing in float32.

    A model trained in mixed precision carries that policy with it, which other machines
    and converters do not want.

    Args:
        model: functional `keras.Model`.

    Returns:
        `keras.Model` with weights of its own.
    """

    def rebuild(layer):
        config = layer.get_config()
        if "dtype" in config:
            config["dtype"] = "float32"
        return layer.__class__.from_config(config)

    twin = keras.models.clone_model(model, clone_function=rebuild)
    twin.set_weights(model.get_weights())
    return twin
