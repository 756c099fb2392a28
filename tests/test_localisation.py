"""Class maps, boxes from maps, and how they are judged: against NumPy and by hand."""

import json

import keras
import numpy as np
import pytest
from check import leaves, ramp, run_python
from keras import layers, ops

import thyroid_keras as tk
from thyroid_keras import explain, metrics
from thyroid_keras.answers import class_probabilities
from thyroid_keras.data.boxes import move_box, true_boxes
from thyroid_keras.data.decode import load_sample
from thyroid_keras.data.samples import Sample, SampleTable
from thyroid_keras.data.store import PixelStore
from thyroid_keras.ensemble import ensemble
from thyroid_keras.explain.localisation import default_sigma, unit_maps
from thyroid_keras.layers import GridAttention
from thyroid_keras.prediction import judge, locate

TINY = {"image_shape": (32, 48, 1), "num_classes": 3, "filters": 2, "stage_convs": (1, 1, 1, 1, 1)}


def network(arch="ag_sononet", **arguments):
    """A small network whose every weight says something."""
    model = tk.build(arch, **TINY | arguments)
    for i, variable in enumerate(model.weights):
        if "gamma" not in variable.path and "variance" not in variable.path:
            variable.assign(variable + 0.3 * (ramp(*variable.shape) - 0.5) * (i % 3))
    return model


# ------------------------------------------------------------------ class maps


def without_scale_5(model, images, joint):
    """The logits, and what they are without the global average of stage 5."""
    if joint:
        names = ["attended3", "attended4", "gap5"]
        tail = keras.Model([model.get_layer(n).output for n in names], model.output)
    else:
        names = ["gap5"]
        tail = keras.Model(model.get_layer("gap5").output, model.get_layer("logits_scale5").output)
    head = keras.Model(model.input, [model.get_layer(n).output for n in names])
    values = [ops.convert_to_numpy(v) for v in keras.tree.flatten(head.predict_on_batch(images))]
    rest = [*values[:-1], np.zeros_like(values[-1])]
    pick = leaves if joint else lambda x: {"output": ops.convert_to_numpy(x)}
    both = [pick(tail.predict_on_batch(v if joint else v[0])) for v in (values, rest)]
    return [one.get("output", one.get("logits")) for one in both]


@pytest.mark.parametrize(
    ("aggregation", "joint"),
    [("ft", True), ("concat", True), ("mean", False), ("deep_sup", False)],
)
def test_the_class_map_is_what_the_coarsest_scale_adds_to_the_logit(aggregation, joint):
    model, images = network(aggregation=aggregation), ramp(2, 32, 48, 1)
    whole, rest = without_scale_5(model, images, joint)
    assert np.abs(whole - rest).max() > 1e-3
    for k in range(3):
        found = explain.class_activation_map(model, images, k)
        assert found.shape == (2, 2, 3) and found.dtype == np.float32
        np.testing.assert_allclose(found.mean((1, 2)), (whole - rest)[:, k], atol=1e-5)


def test_the_softmax_of_votes_ends_the_linear_way():
    images, votes = ramp(2, 32, 48, 1), network(ft_input="softmax")
    vote = keras.Model(votes.input, votes.get_layer("logits_scale5").output)
    bias = ops.convert_to_numpy(votes.get_layer("logits_scale5").bias)
    found = explain.class_activation_map(votes, images, 2).mean((1, 2))
    expected = ops.convert_to_numpy(vote.predict_on_batch(images)) - bias
    np.testing.assert_allclose(found, expected[:, 2], atol=1e-5)


def test_sononets_class_map_is_its_own_layer_and_of_the_predicted_class():
    model, images = network("sononet"), ramp(4, 32, 48, 1)
    logits = ops.convert_to_numpy(model.predict_on_batch(images))
    chosen = logits.argmax(axis=1)
    found = explain.class_activation_map(model, images)
    np.testing.assert_allclose(found.mean((1, 2)), logits.max(axis=1), atol=1e-5)
    np.testing.assert_array_equal(found, explain.class_activation_map(model, images, chosen))
    other = explain.class_activation_map(model, images, (chosen + 1) % 3, batch_size=3)
    assert np.abs(other - found).max() > 1e-3


def test_any_network_of_one_global_average_and_a_dense_layer_has_a_class_map():
    image = keras.Input((16, 16, 1))
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(image)
    x = layers.GlobalAveragePooling2D()(x)
    plain = keras.Model(image, layers.Dense(2, name="logits")(x))
    assert explain.class_activation_map(plain, ramp(1, 16, 16, 1), 1).shape == (1, 16, 16)
    assert list(explain.localise(plain, ramp(1, 16, 16, 1)).maps) == ["AG3", "AG-all"]
    hidden = layers.Dense(4, activation="relu")(x)
    deep = keras.Model(image, layers.Dense(2)(hidden), name="deep")
    assert not explain.has_class_map(deep), "a hidden layer is no linear way to the classes"


@pytest.mark.parametrize("arch", ["cs_agnet", "vgg_unet", "ds_agnet"])
def test_networks_without_a_class_map_say_so(arch):
    small = {"image_shape": (32, 32, 1), "stage_filters": (2, 3, 4, 5, 6)}
    model = tk.build(arch, **small)
    assert not explain.can_localise(model)
    for function in (explain.class_activation_map, explain.localise):
        with pytest.raises(ValueError, match=f"no class map.*Received: model='{model.name}'"):
            function(model, ramp(1, 32, 32, 1), 0)


@pytest.mark.parametrize("wrong", [3, -1, [0, 1, 2], 0.5])
def test_classes_that_are_none_are_refused(wrong):
    with pytest.raises(ValueError, match="from 0 to 2"):
        explain.localise(network(), ramp(2, 32, 48, 1), wrong)


# ------------------------------------------------------------------ boxes


def resized(grid, size):
    """Bilinear, half-pixel centres, the border repeated."""
    for axis in (0, 1):
        length, count = size[axis], grid.shape[axis]
        at = (np.arange(length) + 0.5) * count / length - 0.5
        low = np.floor(at).astype(int)
        share = (at - low).reshape((-1, 1) if axis == 0 else (1, -1))
        take = [np.take(grid, np.clip(low + i, 0, count - 1), axis) for i in (0, 1)]
        grid = take[0] * (1 - share) + take[1] * share
    return grid


def blurred(values, sigma):
    radius = int(np.ceil(3 * sigma))
    kernel = np.exp(-((np.arange(-radius, radius + 1) / sigma) ** 2) / 2)
    kernel /= kernel.sum()
    for axis in (0, 1):
        pad = [(radius, radius) if a == axis else (0, 0) for a in (0, 1)]
        wide = np.pad(values, pad, mode="edge")
        values = np.apply_along_axis(lambda line: np.convolve(line, kernel, "valid"), axis, wide)
    return values


def components(mask, connectivity=8):
    """Lists of the pixels of each component, in reading order of their first."""
    left, found = {tuple(p) for p in np.argwhere(mask)}, []
    steps = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if connectivity == 8 or not y * x]
    for first in sorted(left):
        if first not in left:
            continue
        left.discard(first)
        part, todo = [first], [first]
        while todo:
            y, x = todo.pop()
            near = {(y + dy, x + dx) for dy, dx in steps} & left
            left -= near
            part += near
            todo += near
        found.append(part)
    return found


def reference(grids, size, sigma, threshold=0.5):
    """The paper's steps with what SPEC decides, pixel by pixel."""
    units = [resized(np.maximum(g, 0), size) for g in grids]
    units = [u / u.max() for u in units]
    soft = [blurred(u, sigma) for u in units]
    joint = sum(soft) / len(soft)
    masks = [s >= threshold * s.max() for s in soft]
    parts = components(joint >= threshold * joint.max())
    shared = [min(sum(m[p] for p in part) for m in masks) for part in parts]
    chosen = shared if max(shared) > 0 else [len(part) for part in parts]
    y, x = np.array(parts[int(np.argmax(chosen))]).T
    return units, [x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1]


@pytest.mark.parametrize("seed", range(12))
def test_boxes_are_those_of_the_steps_done_by_hand(seed):
    rng = np.random.default_rng(seed)
    size = (52, 68)
    grids = [rng.random(shape) ** 4 for shape in ((13, 17), (6, 8), (3, 4))]
    grids[2] -= 0.2  # a class map has both signs
    sigma = 5 * (52 * 68 / (208 * 272)) ** 0.5
    assert default_sigma(size) == pytest.approx(sigma) and default_sigma((208, 272)) == 5
    units, expected = reference(grids, size, sigma)
    found = [unit_maps(g[None].astype(np.float32), size)[0] for g in grids]
    np.testing.assert_allclose(found, units, atol=1e-6)
    assert list(explain.find_box(found)) == expected
    narrow = explain.find_box(found, sigma_px=1.0, threshold=0.7)
    assert list(narrow) == reference(grids, size, 1.0, 0.7)[1] != expected


def field(*spots, size=(40, 60)):
    """A map of squares: (top, left, side) each."""
    values = np.zeros(size, np.float32)
    for top, left, side in spots:
        values[top : top + side, left : left + side] = 1
    return values


def test_the_component_is_taken_that_every_scale_sees():
    small, large = (5, 5, 6), (20, 30, 14)
    both, one = field(small, large), field(small)
    near = {"sigma_px": 0.5}
    assert explain.find_box([both], **near) == (30, 20, 14, 14), "one scale: the largest"
    assert explain.find_box([both, both, one], **near) == (5, 5, 6, 6), "which all scales see"
    apart = [field(large), field(small), np.zeros((40, 60), np.float32)]
    assert explain.find_box(apart, **near) == (30, 20, 14, 14), "none seen by all: the largest"


def test_neighbours_by_a_corner_are_one_component():
    steps = field((5, 5, 4), (9, 9, 4), (30, 30, 5))
    near = {"sigma_px": 0.1}
    assert explain.find_box([steps], **near) == (5, 5, 8, 8)
    assert explain.find_box([steps], connectivity=4, **near) == (30, 30, 5, 5)


def test_a_map_that_is_the_same_everywhere_points_nowhere():
    flat = unit_maps(np.full((1, 4, 5), 0.3, np.float32), (40, 60))[0]
    against = unit_maps(-ramp(1, 4, 5) - 1, (40, 60))[0]
    assert not flat.any() and not against.any()
    spot = field((5, 5, 6))
    assert explain.find_box([flat, spot, against]) == explain.find_box([spot])
    assert explain.find_box([flat, against]) is None


@pytest.mark.parametrize(
    "wrong",
    [{"sigma_px": 0}, {"sigma_px": -1}, {"sigma_px": np.inf}, {"sigma_px": np.nan},
     {"threshold": 0}, {"threshold": 2}, {"threshold": np.nan},
     {"connectivity": 5}, {"connectivity": 0}],
    ids=str,
)  # fmt: skip
def test_a_rule_out_of_range_is_refused(wrong):
    ((name, value),) = wrong.items()
    for scales in ([field((5, 5, 6))], [field()]):
        with pytest.raises(ValueError, match=f"`{name}` must be .*Received: {name}={value}"):
            explain.find_box(scales, **wrong)
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        explain.localise(network(), ramp(1, 32, 48, 1), **wrong)


def test_the_ends_of_the_rules_ranges_are_taken():
    spot = np.zeros((40, 60), np.float32)
    spot[20, 30] = 1
    assert explain.find_box([spot], threshold=1) == (30, 20, 1, 1)


def test_localise_gives_the_papers_maps_and_the_answer():
    model, images = network(), ramp(5, 32, 48, 1)
    found = explain.localise(model, images, batch_size=2)
    assert list(found.maps) == ["AG1", "AG2", "AG3", "AG-all"]
    gates = explain.attention_maps(model, images)
    cam = np.maximum(explain.class_activation_map(model, images), 0)
    for name, grid in (("AG1", gates["gate3"]), ("AG2", gates["gate4"]), ("AG3", cam)):
        values = np.stack([resized(g, (32, 48)) for g in grid])
        expected = values / np.maximum(values.max((1, 2), keepdims=True), 1e-12)
        np.testing.assert_allclose(found.maps[name], expected, atol=1e-5)
    mean = sum(found.maps[name] for name in ("AG1", "AG2", "AG3")) / 3
    np.testing.assert_allclose(found.maps["AG-all"], mean, atol=1e-6)
    probabilities = class_probabilities(model.predict_on_batch(images))
    np.testing.assert_allclose(found.probabilities, probabilities, atol=1e-6)
    np.testing.assert_array_equal(found.class_indices, probabilities.argmax(axis=1))
    assert found.boxes.shape == (5, 4) and (found.boxes[:, 2:] > 0).all()
    whole = explain.localise(model, images, 1, threshold=1e-6)
    assert set(whole.class_indices) == {1} and (whole.boxes == [0, 0, 48, 32]).all()


def test_an_ensemble_has_the_mean_of_its_members_maps():
    members, images = (
        [network(), network(num_classes=3, normalization="softmax")],
        ramp(2, 32, 48, 1),
    )
    expected = [explain.with_maps(member).predict_on_batch(images) for member in members]
    joined = ensemble(members)
    found = explain.with_maps(joined).predict_on_batch(images)
    for name, values in found.items():
        mean = np.mean([ops.convert_to_numpy(one[name]) for one in expected], axis=0)
        np.testing.assert_allclose(ops.convert_to_numpy(values), mean, atol=1e-6)
    assert explain.can_localise(joined) and explain.localise(joined, images).boxes.shape == (2, 4)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_constant_images_stay_finite(value):
    found = explain.localise(network(), np.full((1, 32, 48, 1), value, np.float32))
    assert all(np.isfinite(maps).all() for maps in found.maps.values())


ON_JAX = """
import json, sys; sys.path.insert(0, "tests")
import keras, thyroid_keras as tk
from check import ramp
found = tk.explain.localise(tk.load({path!r}), ramp(3, 32, 48, 1))
print(json.dumps([keras.backend.backend(), found.boxes.tolist(), found.probabilities.tolist()]))
"""


def test_boxes_are_the_same_on_jax(tmp_path):
    model = network()
    model.save(tmp_path / "model.keras")
    here = explain.localise(model, ramp(3, 32, 48, 1))
    said = run_python(ON_JAX.format(path=str(tmp_path / "model.keras")), KERAS_BACKEND="jax")
    backend, boxes, probabilities = json.loads(said)
    assert backend == "jax" and boxes == here.boxes.tolist()
    np.testing.assert_allclose(probabilities, here.probabilities, atol=1e-5)


# ------------------------------------------------------------------ one pass


@keras.saving.register_keras_serializable(package="tests")
class Counted(layers.Layer):
    """Counts the images that pass through it."""

    def build(self, shape):
        self.seen = self.add_weight(shape=(), initializer="zeros", trainable=False, name="seen")

    def call(self, x):
        self.seen.assign_add(ops.cast(ops.shape(x)[0], self.seen.dtype))
        return x


def counted_network():
    image = keras.Input((32, 32, 1), name="image")
    counter = Counted()
    x = layers.Conv2D(3, 3, padding="same", activation="relu")(counter(image))
    g = layers.Conv2D(3, 3, strides=4, activation="relu")(x)
    alpha = GridAttention(2, name="gate1")(x, g)
    seen = layers.Flatten()(layers.Multiply()([x, alpha]))
    votes = [layers.Dense(2)(seen), layers.Dense(2)(layers.GlobalAveragePooling2D()(g))]
    model = keras.Model(image, {"logits": layers.Dense(2)(layers.Concatenate()(votes))})
    return model, counter


def squares(count=10, **fields):
    """Images with a bright square, and its mask."""
    samples = []
    for i in range(count):
        mask = np.zeros((32, 32), np.uint8)
        mask[i : i + 8, 4 : 4 + 8 + i] = 255
        image = np.where(mask, 200, 20 + i).astype(np.uint8)
        known = mask if i % 2 else None
        samples.append(
            Sample(name=str(i), image=image, mask=known, label=i % 2, group=f"p{i // 2}", **fields)
        )
    names = ("no", "yes")
    return SampleTable(
        name="squares", samples=tuple(samples), class_names=names, mask_source="simulated truth"
    )


def test_answers_and_places_come_from_one_pass():
    model, counter = counted_network()
    store = PixelStore(squares(), (32, 32))
    probabilities, boxes, _ = locate(model, store, 0.5, batch_size=4)
    assert int(counter.seen.numpy()) == 10, "each image once"
    np.testing.assert_allclose(judge(model, store, [0.5])[0], probabilities, atol=1e-6)
    pixels = store.read(np.arange(10))[0] / np.float32(255)
    np.testing.assert_array_equal(explain.localise(model, pixels).boxes, boxes)


def test_the_place_is_that_of_the_class_that_the_threshold_names():
    model, _ = counted_network()
    store = PixelStore(squares(), (32, 32))
    pixels = store.read(np.arange(10))[0] / np.float32(255)
    for threshold, named in ((0.0, 1), (1.1, 0)):
        boxes = locate(model, store, threshold)[1]
        np.testing.assert_array_equal(boxes, explain.localise(model, pixels, named).boxes)


# ------------------------------------------------------------------ truth


def test_true_boxes_are_around_masks_or_as_given():
    found = true_boxes(PixelStore(squares(6), (32, 32)))
    assert np.isnan(found[::2]).all(), "no mask"
    np.testing.assert_array_equal(found[1::2], [[4, i, 8 + i, 8] for i in (1, 3, 5)])
    store = PixelStore(squares(6, box=(8, 4, 16, 24)), (16, 64))
    np.testing.assert_allclose(true_boxes(store, [1, 2]), [[16, 2, 32, 12]] * 2)


def test_boxes_move_with_the_region_and_its_size():
    image = np.zeros((60, 80), np.uint8)
    box, roi = (30, 20, 20, 10), (20, 10, 40, 40)
    mask = image.copy()
    mask[20:30, 30:50] = 255
    sample = Sample(name="a", image=image, mask=mask, label=0, group="p", roi=roi)
    drawn = load_sample(sample, (80, 20))[1]
    rows, columns = np.nonzero(drawn)
    moved = move_box(box, roi, (80, 20))
    assert moved == [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
    assert moved == [5, 20, 10, 20]
    assert move_box((0, 0, 30, 80), roi, (40, 40)) == [0, 0, 10, 40], "cut at the region's edge"
    assert np.isnan(move_box((0, 0, 5, 5), roi, (40, 40))).all(), "outside of it"


def test_an_empty_mask_has_no_box():
    table = squares(2)
    empty = np.zeros((32, 32), np.uint8)
    samples = [
        Sample(name=s.name, image=s.image, mask=empty, label=0, group="p") for s in table.samples
    ]
    store = PixelStore(SampleTable(name="e", samples=tuple(samples), class_names=("a",)), (32, 32))
    assert np.isnan(true_boxes(store)).all()


# ------------------------------------------------------------------ figures


def test_iou_is_that_of_the_pixels():
    rng = np.random.default_rng(0)
    boxes = np.concatenate(
        [rng.integers(0, 12, (2, 40, 2)), rng.integers(1, 9, (2, 40, 2))], axis=2
    )
    rasters = np.zeros((2, 40, 22, 22), bool)
    for kind in range(2):
        for i, (left, top, width, height) in enumerate(boxes[kind]):
            rasters[kind, i, top : top + height, left : left + width] = True
    both, either = rasters.all(axis=0).sum((1, 2)), rasters.any(axis=0).sum((1, 2))
    np.testing.assert_allclose(metrics.box_iou(*boxes), both / either)
    odd = metrics.box_iou(
        [[0, 0, 4, 4], [np.nan] * 4, [0, 0, 4, 4]], [[-1] * 4, [1, 1, 2, 2], [4, 0, 4, 4]]
    )
    assert odd[0] == 0 and np.isnan(odd[1]) and odd[2] == 0


def test_correct_and_relatively_correct_are_shares_by_class():
    ious = np.array([0.9, 0.5, 0.44, 0.3, 0.14, 0.28, np.nan])
    labels = np.array([0, 0, 0, 1, 1, 1, 2])
    groups = np.array(list("aabbccd"))
    found = metrics.localisation_metrics(ious, labels, groups, ("x", "y", "none"))
    known = ious[:6]
    assert found["n"] == 6 and found["iou"]["value"] == pytest.approx(known.mean())
    assert found["iou"]["sd"] == pytest.approx(np.std(known, ddof=1))
    assert found["correct"]["value"] == pytest.approx(1 / 6), "0.5 itself is not above 0.5"
    assert found["relative"]["value"] == pytest.approx(4 / 6), "above 0.45 of x, 0.15 of y"
    x, y = found["per_class"]
    assert (x["class"], x["n"], y["class"], y["n"]) == ("x", 3, "y", 3)
    assert [c["relative"]["value"] for c in (x, y)] == pytest.approx([2 / 3, 2 / 3])
    assert [c["correct"]["value"] for c in (x, y)] == pytest.approx([1 / 3, 0])
    assert x["iou"]["groups"] == 2 and found["iou"]["groups"] == 3
    low, high = found["iou"]["ci95"]
    assert low < known.mean() < high and 0 <= low and high <= 0.9
    nothing = metrics.localisation_metrics(ious[6:], labels[6:], groups[6:], ("x", "y", "none"))
    assert nothing["n"] == 0 and nothing["iou"]["value"] is None and nothing["per_class"] == []


def test_each_draw_has_its_own_largest_iou():
    ious, labels = np.array([0.9, 0.4, 0.4, 0.4]), np.zeros(4, int)
    found = metrics.localisation_metrics(ious, labels, np.arange(4), ("x",), draws=400)
    assert found["relative"]["value"] == 0.25
    assert found["relative"]["ci95"][1] == 1.0, "draws without the first image have 0.4 as largest"
