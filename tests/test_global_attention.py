"""Global attention before a classifier: network, recipe, and what a run keeps of patients."""

import base64
import dataclasses
import io
import itertools
import json
import re
import zipfile

import keras
import numpy as np
import pytest
from check import check_arch, ramp, run_python
from PIL import Image
from tables import blobs

import thyroid_keras as tk
from thyroid_keras import export, train
from thyroid_keras.archs.global_attention import OTHERS, backbones
from thyroid_keras.archs.imagenet import MEAN, SD
from thyroid_keras.data.augment import GREY_LEVEL
from thyroid_keras.data.fundus import MACULA
from thyroid_keras.data.pack import write_pack
from thyroid_keras.data.samples import Sample
from thyroid_keras.data.splits import make_splits
from thyroid_keras.data.store import PixelStore
from thyroid_keras.explain import attention_maps, has_attention
from thyroid_keras.global_map import judge_global_map
from thyroid_keras.recipes import RECIPES
from thyroid_keras.recipes.cut_off import read_stack
from thyroid_keras.recipes.feeding import feed
from thyroid_keras.runs import Run, write_json
from thyroid_keras.training import Phase, SettingError, Training, fit_phase, override
from thyroid_keras.training.adam import Adam
from thyroid_keras.training.backend import set_precision

NAME = "global_attention"
SMALL = {"filters": 2, "stage_convs": (1, 1, 1, 1, 1)}
LARGE = {"densenet161", "resnet152", "vgg19"}  # like their smaller kin, but slow
SHAPE = {"image_shape": (32, 37, 3), "num_classes": 3}
TINY = ["image_size=32", "batch_size=8", "epochs=3", "cutoff_epochs=2", "pixel_channels=4",
        "backbone_arguments=filters=2"]  # fmt: skip


def build(**arguments):
    return tk.build(NAME, **SHAPE, backbone="sononet", **SMALL, **arguments)


def trainable(model):
    return sum(int(np.prod(w.shape)) for w in model.trainable_weights)


def attend(model):
    """Gives the attention layer a map that is not constant."""
    layer = model.get_layer(NAME)
    layer.map.assign(ramp(*layer.map.shape))
    return layer


# network


def test_parameters_are_those_of_the_backbone_and_the_papers():
    plain = trainable(tk.build("sononet", **SHAPE, **SMALL))
    assert trainable(build()) == plain
    k, n, c = 5, 7, 3
    assert trainable(build(num_images=n, channels=k)) - plain == k * (9 * n * c + 1) + (k + 1)
    assert trainable(build(num_images=n, mode="l1")) - plain == 32 * 37


def test_a_grey_image_is_stacked_as_the_network_takes_it():
    grey = SHAPE | {"image_shape": (32, 37, 1)}
    for normalization, c in ((None, 1), ("torch", 3)):
        model = tk.build(NAME, **grey, backbone="sononet", normalization=normalization, **SMALL,
                         num_images=4, channels=2)  # fmt: skip
        assert model.get_layer(NAME).pixel_cnn.convs[0].kernel.shape == (3, 3, 4 * c, 2)


@pytest.mark.parametrize("mode", ["pixel_cnn", pytest.param("l1", marks=pytest.mark.slow)])
def test_contract(mode, tmp_path):
    check_arch(lambda: build(mode=mode, num_images=5, channels=4), tmp_path, logits=True)


def test_images_are_multiplied_after_their_normalisation():
    model = build(normalization="torch")
    attention = attend(model).map.numpy()
    plain = tk.build("sononet", **SHAPE, **SMALL)
    plain.set_weights([w for w in model.get_weights() if w.shape != attention.shape])
    images = ramp(2, 32, 37, 3)
    normalised = (images - np.float32(MEAN)) / np.float32(SD)
    np.testing.assert_allclose(model(images), plain(normalised * attention), atol=1e-4)


def test_every_layer_has_one_place():
    layers = build().layers
    assert [layer.name for layer in layers][:3] == ["image", NAME, "stage1_conv1"]
    assert all(len(layer._inbound_nodes) == 1 for layer in layers)


@pytest.mark.slow
def test_one_step_moves_every_weight():
    model = build(num_images=4, channels=3)
    model.get_layer(NAME).attach(4 * ramp(1, 32, 37, 12) - 2)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(1.0), loss)
    before = model.get_weights()
    model.train_on_batch(ramp(4, 32, 37, 3), np.array([0, 1, 2, 1]))
    for variable, old in zip(model.weights, before, strict=True):
        # a bias before a normalisation cancels
        if variable.name != "bias" or NAME in variable.path:
            assert not np.array_equal(variable.numpy(), old), variable.path


def test_every_arch_is_a_backbone_or_known_to_be_none():
    assert set(backbones()) | OTHERS == set(tk.list_archs())


@pytest.mark.slow
@pytest.mark.parametrize("backbone", [b for b in backbones() if b not in LARGE])
def test_every_classifier_can_be_the_backbone(backbone):
    shape = {"image_shape": (96, 96, 3), "num_classes": 2}
    more = {"fan": {"eta": 24}}.get(backbone, {})
    plain = trainable(tk.build(backbone, **shape, **more))
    learner = tk.build(NAME, **shape, backbone=backbone, num_images=2, channels=3, **more)
    assert trainable(learner) - plain == 3 * (9 * 6 + 1) + 4
    attend(learner)
    x = ramp(2, 96, 96, 3)
    logits = learner.predict_on_batch(x)
    assert logits.shape == (2, 2) and logits.dtype == np.float32
    twin = tk.build(backbone, **shape, **more)
    own = {id(weight) for weight in learner.get_layer(NAME).weights}
    twin.set_weights([weight.numpy() for weight in learner.weights if id(weight) not in own])
    np.testing.assert_allclose(twin.predict_on_batch(x * attend(learner).map), logits, rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"backbone": "cs_agnet"}, "`backbone` must be one of.*sononet"),
        ({"backbone": NAME}, "`backbone` must be one of"),
        ({"backbone": "ag_sononet", "filters": 2, "aggregation": "mean"}, "logits of one"),
        ({"backbone": "sononet", "filters": 2, "mode": "l2"}, "`mode` must be one of"),
        ({"backbone": "sononet", "filters": 2, "reduction": "max"}, "`reduction`"),
    ],
)
def test_wrong_arguments_are_named(arguments, said):
    with pytest.raises(ValueError, match=f"{said}.*Received: "):
        tk.build(NAME, **SHAPE, **arguments)


def test_its_map_is_shown_once_for_each_image():
    model = build()
    expected = attend(model).map.numpy()[..., 0]
    assert has_attention(model)
    (found,) = attention_maps(model, ramp(20, 32, 37, 3)).items()
    assert found[0] == NAME
    np.testing.assert_array_equal(found[1], expected.repeat(20, axis=0))


# recipe


def numpy_adam(w, gradients, *, l2, rate=0.1, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    m = v = np.zeros_like(w)
    for t, gradient in enumerate(gradients, 1):
        g = gradient + l2 * w
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        step = rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
        w = w - step * m / (np.sqrt(v) + epsilon)
    return w


def check_coupled_l2():
    weight, optimizer = keras.Variable(ramp(3, 4) - 0.5), Adam(0.1, l2=0.3)
    steps = [(ramp(3, 4) - 0.3) * (i + 1) for i in range(4)]
    for step in steps:
        optimizer.apply([keras.ops.convert_to_tensor(step)], [weight])
    expected = numpy_adam(ramp(3, 4).astype(float) - 0.5, steps, l2=0.3)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(weight), expected, atol=1e-5)


def test_adam_with_coupled_l2_is_its_equation():
    check_coupled_l2()
    assert Adam.from_config(Adam(0.1, l2=0.3).get_config()).l2 == 0.3
    with pytest.raises(ValueError, match="Received: l2=-1"):
        Adam(0.1, l2=-1)


def test_paper_recipe_is_the_papers():
    paper = RECIPES[NAME]["paper"]
    assert (paper.size, paper.channels, paper.batch_size) == ((224, 224), 3, 32)
    assert (paper.epochs, paper.cutoff_epochs, paper.learning_rate) == (250, 60, 1e-4)
    assert paper.arguments()["normalization"] == "torch" and paper.flip_horizontal == 0
    assert override(paper, ["weights=none"]).arguments()["mode"] == "pixel_cnn"


@pytest.mark.parametrize(
    ("backbone", "weights", "expected"),
    [
        ("resnet50", "imagenet", "caffe"),
        ("mobilenet", "imagenet", "tf"),
        ("inception_v3", "imagenet", "tf"),
        ("mobilenet", None, "torch"),
    ],
)
def test_images_are_normalised_as_the_weights_ask(backbone, weights, expected):
    recipe = dataclasses.replace(RECIPES[NAME]["paper"], backbone=backbone, weights=weights)
    assert recipe.arguments()["normalization"] == expected


@pytest.mark.parametrize("normalization", [None, "tf"])
def test_images_are_normalised_as_the_network_of_a_file_does_it(normalization, tmp_path):
    shape = {"image_shape": (32, 32, 3), "num_classes": 2}
    file = tmp_path / "own.keras"
    tk.build("resnet18", **shape, normalization=normalization).save(file)
    recipe = dataclasses.replace(RECIPES[NAME]["paper"], backbone="resnet18", weights=str(file))
    assert recipe.arguments()["normalization"] == normalization


def test_settings_out_of_range_are_named_all_at_once():
    bad = ["image_size=31", "pixel_channels=0", "kernel_size=4", "hidden_layers=5", "epochs=4",
           "last_kernel_size=2", "penalty=-1", "cutoff_epochs=5", "learning_rate=0", "l2=-1",
           "patience=0", "weights=here.txt", "backbone_arguments=width=8"]  # fmt: skip
    with pytest.raises(SettingError) as caught:
        override(RECIPES[NAME]["quick"], bad)
    lines = str(caught.value).splitlines()
    named = {f"--set {b.partition('=')[0]}" for b in bad if b != "epochs=4"}
    assert {line.split(":")[0] for line in lines} == named
    assert all("Received" in line for line in lines)
    with pytest.raises(SettingError, match="backbone: must be one of.*'cs_agnet'"):
        override(RECIPES[NAME]["paper"], ["backbone=cs_agnet"])
    recipe = override(RECIPES[NAME]["quick"], ["backbone_arguments=filters=2,stage_convs=x"])
    assert recipe.arguments()["filters"] == 2 and recipe.arguments()["stage_convs"] == "x"


def test_a_backbone_that_refuses_its_arguments_is_a_wrong_setting(tmp_path):
    splits = make_splits(blobs(16), progress=False)
    recipe = override(
        RECIPES[NAME]["quick"], ["backbone=resnet18", "backbone_arguments=shortcut=Z"]
    )
    with pytest.raises(SettingError, match="--set backbone.*shortcut='Z'"):
        recipe.procedure(recipe, splits, Training(checkpoints=tmp_path, feed=feed))


def marked(colour, seed=0, size=32):
    """Blocks of one colour and of black, which no other image and no plot has."""
    blocks = np.random.default_rng(seed).integers(0, 2, (size // 8, size // 8, 1), dtype=np.uint8)
    image = np.kron(blocks, np.ones((8, 8, 1), np.uint8)) * np.array(colour, np.uint8)
    return image + np.random.default_rng(seed).integers(0, 9, image.shape, dtype=np.uint8) % 7


TRAINED, TESTED = (240, 0, 240), (120, 0, 240)


def table_with_marks(split=("train", "val", "test")):
    """Blobs dealt to fixed splits, and a marked image in the first and in the last."""
    table = blobs(30, masks=False)
    dealt = itertools.cycle((split[0],) * 6 + (split[1],) * 2 + (split[2],) * 2)
    samples = [
        Sample(name=s.name, image=s.image, label=s.label, group=s.group, split=where)
        for s, where in zip(table.samples, dealt, strict=False)
    ]
    for name, colour, where in (("a", TRAINED, split[0]), ("b", TESTED, split[2])):
        samples.insert(
            3,
            Sample(name=name, image=marked(colour, len(samples)), label=1, group=name, split=where),
        )
    return samples, table


def write_folders(root):
    samples, table = table_with_marks()
    for sample in samples:
        folder = root / sample.split / table.class_names[sample.label].replace(" ", "_")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(sample.image).save(folder / f"{sample.name}.png")
    return root


def files(folder):
    """All that a folder's files hold, archives and pictures unpacked, by name."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        yield path.name, path.read_bytes()
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                yield from ((name, archive.read(name)) for name in archive.namelist())


def pictures(folder):
    for name, data in files(folder):
        found = [data] if data.startswith(b"\x89PNG") else []
        if name.endswith(".html"):
            found = [base64.b64decode(b) for b in re.findall(rb"base64,([\w+/=]+)", data)]
        for picture in found:
            yield name, np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)


def shown(folder, colour):
    """Names of the files with a picture that shows a colour."""
    near = ((name, np.abs(p - colour).max(-1) < 40) for name, p in pictures(folder))
    return sorted({name for name, pixels in near if pixels.sum() > 20})


def needles(image, stack):
    """Runs of a marked image's pixels, as any of the ways would write them."""
    normalised = (image * GREY_LEVEL - np.float32(MEAN)) / np.float32(SD)
    for row in (5, 20):
        for pixels in (image, image * GREY_LEVEL, normalised):
            for run in (pixels[row, 4:12], pixels[row, 4:12, 0], pixels[row : row + 8, 4, 2]):
                yield from (run.astype(t).tobytes() for t in ("uint8", "f2", "f4", "f8", "bfloat16")
                            if t != "uint8" or pixels is image)  # fmt: skip
        for column in (4, 21):
            own = stack[0, row, column].astype("f4")
            yield from (own[:24].astype(t).tobytes() for t in ("f2", "f4", "bfloat16"))
            yield own[9:12].tobytes()


def hits(folder, image, stack):
    wanted = list(needles(image, stack))
    return sorted({name for name, data in files(folder) if any(w in data for w in wanted)})


class Trained:
    """The procedure on a table with a marked training image, in a folder of its own."""

    def __init__(self, folder, *settings, precision="float32"):
        set_precision(precision)
        samples, table = table_with_marks()
        table = dataclasses.replace(table, samples=tuple(samples))
        self.splits = make_splits(table, progress=False)
        self.recipe = override(RECIPES[NAME]["quick"], [*TINY, *settings])
        self.folder = folder
        self.training = Training(checkpoints=folder / "checkpoints", feed=feed)
        self.model = self.recipe.procedure(self.recipe, self.splits, self.training)
        self.model.save(folder / "model.keras")

    def state(self, phase, epoch):
        path = self.folder / f"checkpoints/{phase}/epoch_{epoch:04d}/state.npz"
        with np.load(path, allow_pickle=False) as file:
            return [file[f"weights/{i}"] for i in range(sum("weights" in n for n in file.files))]


def stack_of(table):
    """The stack of a table as a float32 network of the recipe reads it, and its store."""
    network = tk.build(NAME, **SHAPE | {"image_shape": (32, 32, 3)}, backbone="sononet", **SMALL,
                       normalization="torch", num_images=len(table))  # fmt: skip
    store = PixelStore(table, (32, 32), 3)
    return read_stack(network, store), store


def test_of_many_images_so_many_are_drawn_for_the_stack():
    table = blobs(9)
    whole, _ = stack_of(table)
    images = np.split(whole, len(table), axis=-1)
    network = tk.build(NAME, **SHAPE | {"image_shape": (32, 32, 3)}, backbone="sononet", **SMALL,
                       normalization="torch", num_images=4)  # fmt: skip
    store = PixelStore(table, (32, 32), 3)
    stack = read_stack(network, store)
    np.testing.assert_array_equal(read_stack(network, store), stack)
    drawn = [
        [np.array_equal(part, image) for image in images].index(True)
        for part in np.split(stack, 4, axis=-1)
    ]
    assert drawn == sorted(set(drawn)) != [0, 1, 2, 3]


def test_what_the_data_say_is_the_region_unless_another_is_given(tmp_path):
    table = dataclasses.replace(
        blobs(24), region=MACULA,
        samples=tuple(dataclasses.replace(s, mask=None) for s in blobs(24).samples),
    )  # fmt: skip
    splits = make_splits(table, progress=False)
    model = tk.build(NAME, **SHAPE | {"image_shape": (64, 64, 3)}, backbone="sononet", **SMALL)
    values = np.full((64, 64), 0.5, np.float32)
    values[22:46, 27:46] = 0.9  # about the fovea, .57 and .53
    model.get_layer(NAME).map.assign(values[None, ..., None])
    for region, expected in ((None, (1.7, 1.8)), ("0.1,0.1,0.1,0.1", (0.9, 1))):
        with Run.create(tmp_path / str(region)) as run:
            write_json(run.config, {"recipe": {"region": region}})
            found = judge_global_map(run, model, splits)["global_map"]
            assert expected[0] < found["after"]["ratio"] < expected[1], found


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    keras.utils.set_random_seed(0)
    return Trained(tmp_path_factory.mktemp("run"))


def test_the_stack_is_all_training_images_normalised(run):
    stack, store = stack_of(run.splits.train)
    assert stack.dtype == np.float32 and stack.shape == (1, 32, 32, 3 * len(store.table))
    for n in (0, 7):
        image = store.read([n])[0][0] * GREY_LEVEL
        normalised = (image - np.float32(MEAN)) / np.float32(SD)
        np.testing.assert_allclose(stack[0, :, :, 3 * n : 3 * n + 3], normalised, atol=1e-5)


def test_after_the_cut_off_the_last_map_stands(run):
    """That of the joint phase's last epoch, computed from the images, to the end."""
    history = run.training.history
    assert [len(history[phase]) for phase in ("joint", "frozen")] == [2, 1]
    joint, frozen = run.state("joint", 2), run.state("frozen", 1)
    same = [np.array_equal(a, b) for a, b in zip(joint, frozen, strict=True)]
    attention = frozen[0]  # map, kernel, bias, kernel, bias; then the backbone
    assert attention.shape == (1, 32, 32, 1) and same[1:5] == [True] * 4 and not same[0]
    assert not all(same[5:])
    learner = tk.build(NAME, **SHAPE | {"image_shape": (32, 32, 3)}, backbone="sononet", **SMALL,
                       num_images=len(run.splits.train), channels=4)  # fmt: skip
    pixel_cnn = learner.get_layer(NAME).pixel_cnn
    pixel_cnn.set_weights(joint[1:5])
    told = keras.ops.convert_to_numpy(pixel_cnn(stack_of(run.splits.train)[0]))
    np.testing.assert_allclose(attention, told, atol=1e-5)
    np.testing.assert_array_equal(run.model.get_layer(NAME).map.numpy(), attention)
    assert run.model.get_layer(NAME).pixel_cnn is None and np.ptp(attention) > 0


class Ones(keras.utils.PyDataset):
    """One batch: to each 1 belongs `answer`."""

    def __init__(self, answer):
        super().__init__()
        self.pair = np.ones((2, 1), "f"), np.full((2, 1), answer, "f")

    def __len__(self):
        return 1

    def __getitem__(self, step):
        return self.pair


def test_a_phase_may_leave_its_last_epoch_instead_of_its_best(tmp_path):
    """Validation wants the opposite of training, so that the first epoch is the best."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.set_weights([np.zeros((1, 1), "f")])
    phase = Phase(
        name="phase",
        title="phase",
        epochs=3,
        optimizer=lambda steps: keras.optimizers.SGD(0.1),
        losses="mse",
        leaves="last",
    )
    training = Training(checkpoints=tmp_path, feed=lambda batches, *_: (batches, None))
    fit_phase(model, phase, Ones(1), Ones(-1), training)
    assert [row["val_loss"] for row in training.history["phase"]] == pytest.approx(
        [1.44, 1.8496, 2.214144]
    )
    assert model.get_weights()[0].item() == pytest.approx(0.488)


def test_a_training_image_leaves_no_pixel(run):
    stack, store = stack_of(run.splits.train)
    image = store.read([[s.name for s in store.table.samples].index("a")])[0][0]
    assert hits(run.folder, image, stack) == []
    assert (run.folder / "model.keras").stat().st_size < 10 * stack.nbytes
    control = run.folder.parent / "control"
    control.mkdir(exist_ok=True)
    for name, array in (("f4", stack), ("f2", stack.astype("f2")), ("raw", image)):
        np.savez(control / name, array)
    assert {"f4.npz", "f2.npz", "raw.npz"} <= set(hits(control, image, stack))


OPTIONS = [
    ["mode=l1", "penalty=100"],
    ["cutoff_epochs=3", "patience=1", "channels=1", "normalization=none"],
    ["kernel_size=5", "hidden_layers=2", "last_kernel_size=3", "dense=true", "reduction=sum"],
    ["backbone=fan", "backbone_arguments=eta=8", "jit_compile=true", "normalization=caffe"],
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "precision"),
    [
        *((options, "float32") for options in OPTIONS),
        (OPTIONS[0], "mixed_bfloat16"),
        (OPTIONS[0], "mixed_float16"),
    ],
    ids=str,
)
def test_every_option_trains(options, precision, tmp_path):
    run = Trained(tmp_path, *options, precision=precision)
    rows = [row for rows in run.training.history.values() for row in rows]
    assert np.isfinite([v for row in rows for v in row.values()]).all()
    attention = run.model.get_layer(NAME).map.numpy()
    assert np.ptp(attention) > 0 and {w.dtype for w in run.model.get_weights()} == {np.dtype("f4")}
    loaded = tk.load(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.get_layer(NAME).map.numpy(), attention)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_no_artefact_of_a_run_shows_a_training_image(precision, tmp_path):
    data, out = write_folders(tmp_path / "data"), tmp_path / "run"
    for seed, path in enumerate(sorted((data / "test").rglob("*.png"))):  # whichever is shown
        Image.fromarray(marked(TESTED, 100 + seed)).save(path)
    train.main(["--arch", NAME, "--data", str(data), "--out", str(out), "--precision", precision,
                "--set", *TINY])  # fmt: skip
    export.main([str(out), "--to", str(out / "exported")])
    samples, table = table_with_marks()
    learned = [sample for sample in samples if sample.split == "train"]
    stack, store = stack_of(dataclasses.replace(table, samples=tuple(learned)))
    image = store.read([[s.name for s in learned].index("a")])[0][0]
    assert hits(out, image, stack) == []
    assert shown(out, TRAINED) == []
    assert "gallery.png" in shown(out, TESTED) and "report.html" in shown(out, TESTED)
    phases = (out / "history.csv").read_text()
    assert phases.count("joint") == 2 and phases.count("frozen") == 1


@pytest.mark.slow
def test_training_runs_on_jax_without_tensorflow(tmp_path):
    write_pack(tmp_path / "blobs.npz", blobs(32), (32, 32))
    code = f"""
import sys
sys.path.insert(0, "tests")

class Blocked:  # as where it is not installed; Keras looks for it in `sys.modules`
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "tensorflow":
            raise ImportError(name)

sys.meta_path.insert(0, Blocked())
import keras
from thyroid_keras import train
train.main(["--arch", {NAME!r}, "--data", {str(tmp_path / "blobs.npz")!r},
            "--out", {str(tmp_path / "run")!r}, "--set", *{TINY!r}])
print("backend", keras.backend.backend())
"""
    assert "backend jax" in run_python(code, KERAS_BACKEND="jax")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert 0 <= metrics["roc_auc"]["value"] <= 1
    loaded = keras.saving.load_model(tmp_path / "run" / "model.keras")
    assert np.ptp(loaded.get_layer(NAME).map.numpy()) > 0
