"""Fine-tuning and training from scratch: what learns, and what stays as it is."""

import socket
import time

import keras
import numpy as np
import pytest
from check import fails
from tables import blobs
from test_baselines import symbolic
from test_bottleneck import write_arrays

import thyroid_keras as tk
from thyroid_keras import train
from thyroid_keras.archs import pretrained
from thyroid_keras.archs.mobilenet import width_of
from thyroid_keras.data.splits import make_splits
from thyroid_keras.preparation import recipe_of
from thyroid_keras.recipes import RECIPES
from thyroid_keras.recipes.feeding import augmentation_of, feed
from thyroid_keras.recipes.transfer import AUGMENTED
from thyroid_keras.training import Phase, SettingError, Training, fit_phase, override

TINY = ["image_size=32", "epochs=1", "batch_size=16"]


@pytest.fixture(scope="module")
def splits():
    return make_splits(blobs(32), progress=False)


def fit(recipe, splits, folder):
    return recipe.procedure(recipe, splits, Training(checkpoints=folder, feed=feed))


class Pairs(keras.utils.PyDataset):
    """Two batches of noise."""

    def __len__(self):
        return 2

    def __getitem__(self, step):
        rng = np.random.default_rng(step)
        return rng.random((8, 4, 4, 1), np.float32), np.eye(2, dtype=np.float32)[np.arange(8) % 2]


def test_frozen_layers_stay_to_the_byte_and_their_statistics_too():
    x = image = keras.Input((4, 4, 1))
    for name in ("conv1", "conv10"):
        x = keras.layers.Conv2D(2, 2, use_bias=False, name=name)(x)
        x = keras.layers.BatchNormalization(momentum=0.5, name=f"{name}_bn")(x)
    x = keras.layers.Dense(2, name="logits")(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(image, x)
    before = {layer.name: [w.numpy().tobytes() for w in layer.weights] for layer in model.layers}
    phase = Phase(
        name="x",
        title="x",
        epochs=1,
        optimizer=lambda steps: keras.optimizers.SGD(0.1),
        losses=keras.losses.CategoricalCrossentropy(from_logits=True),
        frozen=("conv1/", "conv1_bn/"),
        leaves="last",
    )
    training = Training(checkpoints=None, feed=lambda batches, *_: (batches, None))
    fit_phase(model, phase, Pairs(), Pairs(), training)
    for layer in model.layers:
        after = [w.numpy().tobytes() for w in layer.weights]
        moved = [a != b for a, b in zip(after, before[layer.name], strict=True)]
        assert moved == [layer.name in ("conv10", "conv10_bn", "logits")] * len(moved), layer.name


def names(arch, recipe, **arguments):
    """The layers with weights that learn, and those that do not, by the recipe."""
    with symbolic(arch, **arguments) as model:
        frozen = recipe.frozen(model)
        layers = [layer.name for layer in model.layers if layer.weights]
    stay = [name for name in layers if f"{name}/".startswith(frozen or ("?",))]
    return [name for name in layers if name not in stay], stay


def test_vgg16_learns_from_block5_conv2_on(tmp_path):
    weights = tmp_path / "x.keras"
    weights.touch()
    settings = [f"weights={weights}", "fine_tune=block5_conv2", "head=new_fc"]
    recipe = override(RECIPES["vgg16"]["paper"], settings)
    learn, stay = names("vgg16", recipe, head="new_fc")
    assert learn == ["block5_conv2", "block5_conv3", "fc", "logits"]
    assert len(stay) == 11 and stay[-1] == "block5_conv1"
    with pytest.raises(SettingError, match=r"no such layer(.|\n)*block5_conv3(.|\n)*'block6'"):
        names("vgg16", override(recipe, ["fine_tune=block6"]))
    with pytest.raises(SettingError, match="--set fine_tune: out of range"):
        override(RECIPES["vgg16"]["paper"], ["fine_tune=block5_conv2"])


@pytest.mark.slow
def test_inception_learns_but_for_its_normalisations(tmp_path):
    weights = tmp_path / "x.keras"
    weights.touch()
    recipe = override(RECIPES["inception_v3"]["paper"], [f"weights={weights}"])
    learn, stay = names("inception_v3", recipe, image_shape=(96, 96, 3))
    assert len(stay) == 94 and all(name.endswith("_bn") for name in stay)
    assert len(learn) == 95 and learn[-1] == "logits"
    learn, stay = names(
        "inception_v3", override(recipe, ["fine_tune=mixed9"]), image_shape=(96, 96, 3)
    )
    assert set(learn) == {*(f"conv{n}" for n in range(86, 95)), "logits"}
    scratch = override(RECIPES["inception_v3"]["quick"], [])
    assert scratch.keep_norms and not names("inception_v3", scratch, image_shape=(96, 96, 3))[1]


def test_the_small_network_tells_two_classes_by_one_sigmoid(splits, tmp_path):
    model = fit(override(RECIPES["small_cnn"]["quick"], TINY), splits, tmp_path)
    assert model.get_layer("logits").units == 1
    model.save(tmp_path / "model.keras")
    images = np.stack([s.image for s in splits.test.samples])[..., None].repeat(3, -1) / 255
    logits = tk.load(tmp_path / "model.keras").predict_on_batch(np.float32(images))["logits"]
    assert logits.shape == (len(images), 2) and not logits[:, 0].any() and logits[:, 1].all()


def test_recipes_are_the_papers():
    assert set(AUGMENTED) == {"flip_horizontal", "rotation_deg", "noise"}
    assert all(AUGMENTED.values())
    for arch in ("small_cnn", "inception_v3", "mobilenet"):
        paper, quick = RECIPES[arch]["paper"], RECIPES[arch]["quick"]
        for field, value in AUGMENTED.items():
            assert getattr(augmentation_of(paper), field) == value
            assert getattr(augmentation_of(quick), field) == value
        assert (paper.epochs, paper.patience) == (50, 10) and not quick.reported(quick)
    for arch, size in (("inception_v3", 299), ("mobilenet", 224)):
        paper = RECIPES[arch]["paper"]
        assert (paper.weights, paper.image_size, paper.normalization) == ("imagenet", size, "tf")
        assert (paper.optimizer, paper.learning_rate, paper.momentum) == ("sgd", 1e-4, 0.9)
    small = RECIPES["small_cnn"]["paper"]
    assert small.optimizer == "rmsprop" and small.sigmoid
    assert small.reported(small) == {"accuracy": 0.82, "sensitivity": 0.89, "specificity": 0.82}


def test_weights_that_cannot_be_had_are_said_within_seconds(capsys, tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:  # takes connections, says nothing
        monkeypatch.setattr(pretrained, "URL", f"http://127.0.0.1:{server.getsockname()[1]}/x.h5")
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        monkeypatch.setattr(pretrained, "PATIENCE_S", 0.2)
        words = ["--arch", "mobilenet", "--recipe", "paper", "--out", tmp_path / "run"]
        start = time.monotonic()
        said = fails(train.main, words, capsys)
        assert time.monotonic() - start < 5
        assert "--set weights: The ImageNet weights of mobilenet cannot be downloaded" in said
        assert not (tmp_path / "run").exists()
        # a run that once had them is read without them
        config = {"arch": "mobilenet", "scale": "paper", "recipe": {}, "image_shape": [160, 160, 3]}
        config["data"] = {"source": {"format": None}}
        assert recipe_of(config).size == (160, 160)


@pytest.mark.parametrize(
    ("kept", "arch", "there"),
    [
        ("resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5", "resnet50", False),
        ("resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5", "resnet50", True),
        ("mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5", "mobilenet", True),
        ("inception_v3_weights_tf_dim_ordering_tf_kernels.h5", "inception_v3", True),
    ],
)
def test_kept_weights_are_known_by_their_file(kept, arch, there, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(pretrained, "_answers", lambda: False)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / kept).touch()
    assert (pretrained.unavailable(arch, "imagenet") is None) == there


@pytest.mark.slow
def test_a_known_network_is_fine_tuned_from_its_weights(splits, tmp_path):
    arguments = {"image_shape": (32, 32, 3), "normalization": "tf", "alpha": 0.25}
    source = tk.build("mobilenet", **arguments)
    source.set_weights([w + 0.01 * np.arange(w.size).reshape(w.shape) / w.size
                        for w in source.get_weights()])  # fmt: skip
    path = tmp_path / "weights.npz"
    write_arrays(path, source)
    assert width_of(path) == 0.25 and width_of("imagenet") == width_of(None) == 1
    settings = [*TINY, f"weights={path}", "fine_tune=conv_dw_13"]
    learned = {}
    for keep in ("true", "false"):
        recipe = override(RECIPES["mobilenet"]["quick"], [*settings, f"keep_norms={keep}"])
        model = fit(recipe, splits, tmp_path / keep)
        learned[keep] = {
            layer.name
            for layer in model.layers
            for ours, theirs in zip(
                layer.get_weights(), source.get_layer(layer.name).get_weights(), strict=True
            )
            if ours.tobytes() != theirs.tobytes()
        }
    assert learned["true"] == {"conv_dw_13", "conv_pw_13", "logits"}
    assert learned["false"] == learned["true"] | {"conv_dw_13_bn", "conv_pw_13_bn"}


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["inception_v3", "mobilenet"])
def test_every_network_trains_from_scratch(arch, splits, tmp_path):
    tiny = [*TINY, "image_size=96"]
    model = fit(override(RECIPES[arch]["quick"], tiny), splits, tmp_path)
    assert np.isfinite(model.predict_on_batch(np.zeros((1, 96, 96, 3)))["logits"]).all()
