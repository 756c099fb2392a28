"""Reading a trained model back."""

import zipfile
from pathlib import Path

import keras


class ModelError(ValueError):
    """There is no intact model where one was asked for."""


def load(path):
    """Loads a trained model.

    Args:
        path: a run folder, or a `.keras` file.

    Returns:
        `keras.Model`, not compiled.

    Raises:
        ModelError: if there is no model at the path, or it is damaged.
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
        return keras.saving.load_model(file, compile=False, safe_mode=True)
    except (ValueError, TypeError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise ModelError(f"{file}: not a model that can be loaded ({error})") from error


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
