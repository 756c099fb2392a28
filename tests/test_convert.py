"""Checkpoints of others: read without running anything, converted, or refused with every reason."""

import io
import pickle
import struct
import subprocess
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import parity
import pytest
from check import fails, leaves, ramp

import thyroid_keras as tk
from thyroid_keras import convert
from thyroid_keras.archs import torchvision
from thyroid_keras.convert import conversion, sononet
from thyroid_keras.convert.__main__ import main

PTH = parity.GOLDEN / "ag_sononet.pth"  # both made by PyTorch 2.13 of the arrays of `settled`
OLD_PTH = parity.GOLDEN / "ag_sononet_2018.pth"  # in the format before 1.6, inside a training's
SHAPE = (32, 48, 1)
SONONET = Path(__file__).parents[2] / "shared" / "data" / "sononet"


@pytest.fixture(scope="module")
def model():
    """The network that the checkpoints are of."""
    arguments = {"filters": 1, "num_classes": 3, "stage_convs": (1, 1, 1, 1, 1)}
    return tk.build("ag_sononet", image_shape=SHAPE, **arguments)


@pytest.fixture
def arrays(model):
    return parity.settled_arrays(model)


@pytest.mark.parametrize("path", [PTH, OLD_PTH])
def test_files_of_pytorch_hold_what_pytorch_wrote(path, arrays):
    found = convert.read_checkpoint(path)
    found = {k.removeprefix("module."): v for k, v in found.items()}
    assert {k for k in found if not k.endswith("num_batches_tracked")} == set(arrays)
    assert found["conv1.conv1.1.num_batches_tracked"] == 7
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("source", ["new", "old", "npz"])
def test_command_writes_a_model_that_loads(source, arrays, model, tmp_path, capsys):
    np.savez(tmp_path / "weights.npz", **arrays)
    path = {"new": PTH, "old": OLD_PTH, "npz": tmp_path / "weights.npz"}[source]
    out = tmp_path / "made" / "model.keras"
    main([str(path), "--arch", "ag_sononet", "--out", str(out), "--image-size", "32", "48"])
    assert "ag_sononet, " in capsys.readouterr().out
    convert.sononet_from_torch(model, arrays)
    images = ramp(2, *SHAPE)
    loaded = leaves(tk.load(out).predict_on_batch(images))["output"]
    np.testing.assert_allclose(loaded, leaves(model.predict_on_batch(images))["output"], atol=1e-6)


@pytest.mark.parametrize("normalization", [None, "sigmoid", "softmax"])
def test_the_normalization_of_the_gates_is_the_one_asked_for(normalization, tmp_path):
    out = tmp_path / "model.keras"
    asked = ["--normalization", normalization] if normalization else []
    main([str(PTH), "--arch", "ag_sononet", "--out", str(out), "--image-size", "32", "48", *asked])
    gates = [tk.load(out).get_layer(name) for name in ("gate3", "gate4")]
    assert {gate.normalization for gate in gates} == {normalization or "mean_flow"}


@pytest.mark.parametrize("aggregation", ["ft", "deep_sup"])
def test_the_aggregation_is_the_one_asked_for_where_the_shapes_fit_two(aggregation, tmp_path):
    small = {"image_shape": SHAPE, "filters": 3, "num_classes": 20, "stage_convs": (1,) * 5}
    built = tk.build("ag_sononet", aggregation=aggregation, **small)
    np.savez(tmp_path / "weights.npz", **parity.settled_arrays(built))
    chosen = {"arch": "ag_sononet", "image_size": SHAPE[:2], "aggregation": aggregation}
    made = convert.convert(tmp_path / "weights.npz", out=tmp_path / "model.keras", **chosen)
    images = ramp(2, *SHAPE)
    expected, found = (leaves(m.predict_on_batch(images)) for m in (built, made))
    assert list(found) == list(expected)


@pytest.mark.parametrize("name", parity.CASES)
def test_arguments_are_read_off_the_shapes(name):
    case = dict(parity.CASES[name])
    built = tk.build(case.pop("arch"), **case)
    found = convert.sononet_arguments(built.name, parity.settled_arrays(built))
    for argument in set(found) & set(case) - {"image_shape"}:
        value = case[argument]
        assert found[argument] == (tuple(value) if isinstance(value, list) else value), argument
    assert {"num_classes", "filters", "stage_convs"} <= set(found)


def test_every_mismatch_is_listed_at_once(model, arrays):
    before = model.get_weights()
    del arrays["classifier2.bias"]
    arrays["W.0.weight"] = np.zeros(3)
    arrays["conv2.conv1.0.weight"] = np.zeros((2, 1, 5, 5))
    arrays["conv3.conv1.1.running_var"] = np.full(4, np.nan)
    with pytest.raises(convert.ConvertError) as caught:
        convert.sononet_from_torch(model, arrays)
    said = str(caught.value)
    assert "classifier2.bias: missing, (3,) expected" in said
    assert "W.0.weight: unexpected, of shape (3,)" in said
    assert "conv2.conv1.0.weight: of shape (2, 1, 5, 5), (2, 1, 3, 3) expected" in said
    assert "conv3.conv1.1.running_var: holds values that are not finite" in said
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_only_sononets_take_these_weights(arrays):
    with pytest.raises(convert.ConvertError, match="neither"):
        small = {"image_shape": (16, 16, 1), "stage_filters": (2, 3, 4, 5, 6)}
        convert.sononet_from_torch(tk.build("vgg_unet", **small), arrays)


def test_wrong_user_input_is_listed_and_ends_with_2(arrays, tmp_path, capsys):
    out = ["--out", tmp_path / "x.keras"]
    said = fails(main, [tmp_path / "none.pth", "--arch", "sononet", "--out", "x.h5"], capsys)
    assert "none.pth" in said and "must end in .keras" in said
    assert "weights of ag_sononet" in fails(main, [PTH, "--arch", "sononet", *out], capsys)
    said = fails(main, [PTH, "--arch", "sononet", *out, "--normalization", "softmax"], capsys)
    assert "only of --arch ag_sononet" in said
    said = fails(main, [PTH, "--arch", "ag_sononet", *out, "--aggregation", "deep_sup"], capsys)
    assert "classifier.weight: of shape (3, 9), (3, 20) expected" in said
    assert "at least 16" in fails(
        main, [PTH, "--arch", "ag_sononet", *out, "--image-size", 8, 8], capsys
    )
    np.savez(tmp_path / "other.npz", a=np.zeros(2))
    assert "no SonoNet" in fails(main, [tmp_path / "other.npz", "--arch", "sononet", *out], capsys)
    np.savez(tmp_path / "few.npz", np.zeros(2))
    assert "75 arrays" in fails(main, [tmp_path / "few.npz", "--arch", "sononet", *out], capsys)
    assert not (tmp_path / "x.keras").exists()


def test_shapes_that_fit_two_aggregations_are_asked_about():
    built = tk.build("ag_sononet", image_shape=SHAPE, filters=3, num_classes=20)
    arrays = parity.settled_arrays(built)
    with pytest.raises(convert.ConvertError, match="--aggregation"):
        convert.sononet_arguments("ag_sononet", arrays)
    found = convert.sononet_arguments("ag_sononet", arrays, aggregation="ft")
    assert found["aggregation"] == "ft"


class Payload:
    """Runs a command where it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (subprocess.call, (["touch", str(self.marker)],))


def zipped(pickled, **files):
    """A file as `torch.save` lays it out."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/byteorder", "little")
        for name, data in files.items():
            archive.writestr(f"archive/data/{name}", data)
    return content.getvalue()


def legacy(pickled):
    """A file as `torch.save` laid it out before version 1.6."""
    head = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    return b"".join(pickle.dumps(part, 2) for part in head) + pickled + pickle.dumps([], 2)


def npz_of_objects(marker):
    content = io.BytesIO()
    np.savez(content, weight=np.array([Payload(marker)], dtype=object))
    return content.getvalue()


def attacks(marker):
    """Files that run a command in a reader that unpickles them."""
    state = OrderedDict(weight=Payload(marker))
    text = str(marker).encode()
    eval_ = b"cbuiltins\neval\n(V__import__('os').mknod('" + text + b"')\ntR."
    made = {
        "bare": pickle.dumps(state, 2),
        "npz": npz_of_objects(marker),
        "obj": zipped(b"(csubprocess\ncall\n(lVtouch\naV" + text + b"\natR."),
        "inst": zipped(b"(lVtouch\naV" + text + b"\na0(Vtouch " + text + b"\nios\nsystem\n."),
        "eval": zipped(eval_),
        "eval_old": legacy(eval_),
        "old": legacy(pickle.dumps(state, 2)),
        "persistent": zipped(b"\x80\x02" + eval_[:-1] + b"Q."),
    }
    return made | {f"zip{n}": zipped(pickle.dumps(state, n)) for n in (0, 2, 4, 5)}


ATTACKS = sorted(attacks("x"))


@pytest.mark.parametrize("name", ATTACKS)
def test_a_malicious_file_does_not_run(name, tmp_path, capsys):
    marker = tmp_path / "ran"
    path = tmp_path / "evil.pth"
    path.write_bytes(attacks(marker)[name])
    said = fails(main, [path, "--arch", "sononet", "--out", tmp_path / "x.keras"], capsys)
    assert "evil.pth" in said
    assert not marker.exists()


def test_the_attacks_would_run_where_pickles_are_loaded(tmp_path):
    for name in ("zip2", "zip4", "eval"):
        marker = tmp_path / name
        with zipfile.ZipFile(io.BytesIO(attacks(marker)[name])) as archive:
            pickle.loads(archive.read("archive/data.pkl"))
        assert marker.exists()


def test_what_is_refused_is_named(tmp_path):
    path = tmp_path / "module.pth"
    path.write_bytes(zipped(b"\x80\x02ctorch.nn.modules.conv\nConv2d\n."))
    with pytest.raises(convert.ConvertError, match=r"torch\.nn\.modules\.conv\.Conv2d.*state_dict"):
        convert.read_checkpoint(path)


def tensor_pickle(offset=0, size=(2,), stride=(1,), count=4, type_="FloatStorage"):
    """A dictionary of one tensor over a storage of `count` elements, as PyTorch pickles it."""

    def ints(values):
        return b"(" + b"".join(b"J" + struct.pack("<i", v) for v in values) + b"t"

    storage = b"(X\7\0\0\0storagectorch\n" + type_.encode() + b"\nX\1\0\0\0000X\3\0\0\0cpu"
    storage += b"J" + struct.pack("<i", count) + b"tQ"
    body = b"(" + storage + b"J" + struct.pack("<i", offset) + ints(size) + ints(stride) + b"\x89Nt"
    return b"\x80\x02}X\1\0\0\0actorch._utils\n_rebuild_tensor_v2\n" + body + b"Rs."


def test_strides_offsets_and_half_precision_are_read(tmp_path):
    path = tmp_path / "x.pth"
    path.write_bytes(zipped(tensor_pickle(1, (2, 2), (1, 1)), **{"0": ramp(4).tobytes()}))
    np.testing.assert_array_equal(convert.read_checkpoint(path)["a"], [ramp(4)[1:3], ramp(4)[2:4]])
    bits = (np.array([1.5, -2.0], "<f4").view("<u4") >> 16).astype("<u2")
    pickled = tensor_pickle(count=2, type_="BFloat16Storage")
    path.write_bytes(zipped(pickled, **{"0": bits.tobytes()}))
    np.testing.assert_array_equal(convert.read_checkpoint(path)["a"], [1.5, -2.0])


@pytest.mark.parametrize(
    "wrong",
    [{"offset": 3}, {"offset": -1}, {"size": (5,)}, {"stride": (4,)}, {"stride": (-1,)},
     {"size": (1000,), "stride": (0,)}, {"size": (2, 2)}, {"count": 5}, {"count": -4},
     {"type_": "UntypedStorage"}],
    ids=str,
)  # fmt: skip
def test_tensors_outside_their_storage_are_refused(wrong, tmp_path):
    path = tmp_path / "x.pth"
    path.write_bytes(zipped(tensor_pickle(**wrong), **{"0": ramp(4).tobytes()}))
    with pytest.raises(convert.ConvertError, match="x.pth"):
        convert.read_checkpoint(path)


@pytest.mark.parametrize("original", [PTH, OLD_PTH], ids=["zip", "legacy"])
def test_damaged_files_are_refused(original, tmp_path):
    content = original.read_bytes()
    path = tmp_path / "x.pth"
    cuts = [content[: int(len(content) * share)] for share in np.arange(0, 1, 0.05)]
    for damaged in [*cuts, b"<html>", ramp(500).tobytes()]:
        path.write_bytes(damaged)
        with pytest.raises(convert.ConvertError, match="x.pth"):
            convert.read_checkpoint(path)


@pytest.mark.parametrize("kind", ["zip", "legacy", "npz"])
def test_flipped_bytes_never_escape_as_another_error(kind, arrays, tmp_path):
    np.savez_compressed(tmp_path / "x.npz", **arrays)
    original = {"zip": PTH, "legacy": OLD_PTH, "npz": tmp_path / "x.npz"}[kind]
    content = bytearray(original.read_bytes())
    path = tmp_path / "x.pth"
    for place in range(0, len(content), 97):
        flipped = content.copy()
        flipped[place] ^= 0xFF
        path.write_bytes(flipped)
        try:
            convert.read_checkpoint(path)
        except convert.ConvertError as error:
            assert "x.pth" in str(error)


def test_an_array_that_promises_more_than_there_is_is_not_made_room_for(tmp_path, capsys):
    header = io.BytesIO()
    facts = {"descr": "<f4", "fortran_order": False, "shape": (10**14,)}
    np.lib.format.write_array_header_1_0(header, facts)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("arr_0.npy", header.getvalue())
    said = fails(main, [tmp_path / "x.npz", "--arch", "sononet", "--out", tmp_path / "k"], capsys)
    assert "x.npz, arr_0.npy" in said and "cut off" in said


def lasagne(filters=2, classes=4):
    """Weights as Baumgartner et al. published theirs, of a narrower network."""
    widths = [1, *(filters * w for w in (1, 1, 2, 2, 4, 4, 4, 8, 8, 8, 8, 8, 8, 4)), classes]
    arrays = []
    for i, (before, after) in enumerate(zip(widths[:-1], widths[1:], strict=True)):
        kernel = parity.settled((after, before, *((3, 3) if i < 13 else (1, 1))))
        arrays += [kernel, *(0.5 + ramp(after) for _ in range(4))]
    return {f"arr_{i}": array for i, array in enumerate(arrays)}


def test_lasagnes_order_is_kernel_beta_gamma_mean_inverse_deviation():
    arrays = lasagne()
    model = convert.sononet_from_lasagne(arrays)
    assert model.input_shape == (None, 224, 288, 1) and model.output_shape == (None, 4)
    conv, norm = model.get_layer("stage1_conv2"), model.get_layer("stage1_conv2_bn")
    kernel, beta, gamma, mean, inverse = (arrays[f"arr_{i}"] for i in range(5, 10))
    np.testing.assert_array_equal(conv.kernel.numpy()[0, 2, 1, 0], kernel[0, 1, 0, 2])  # unflipped
    images = ramp(1, 6, 6, 2)
    expected = (images - mean) * inverse * gamma + beta
    np.testing.assert_allclose(norm(images).numpy(), expected, rtol=1e-4)
    assert conv.bias is None and norm.epsilon == 1e-4


def test_lasagnes_faults_are_listed(tmp_path):
    arrays = lasagne()
    arrays["arr_9"] = np.zeros(2)
    arrays["arr_10"] = np.zeros((4, 2, 5, 5))
    with pytest.raises(convert.ConvertError) as caught:
        convert.sononet_from_lasagne(arrays)
    assert "running_var: holds values that are not finite" in str(caught.value)
    assert "conv2.conv1.0.weight: of shape (4, 2, 5, 5)" in str(caught.value)


FIRST = "conv1.conv1.0.weight"


@pytest.mark.parametrize(
    ("arch", "wrong", "said"),
    [
        ("sononet", {FIRST: (4000, 1, 3, 3)}, "36,000 numbers for at least"),
        ("sononet", {FIRST: (1, 1, 3, 3), "conv6_p.cb_unit.1.bias": (10**7,)}, "far larger"),
        ("sononet", {"arr_0": (4000, 1, 3, 3), "arr_74": (4,)}, "far larger"),
        ("sononet", {"arr_0": (2, 1, 3, 3), "arr_74": (10**7,)}, "far larger"),
        ("ag_sononet", {FIRST: (4000, 1, 3, 3), "compatibility": ()}, "far larger"),
        ("ag_sononet", {FIRST: (1, 1, 3, 3), "compatibility": (), "classifier.bias": (20_000,),
                        "classifier.weight": (1, 1), "classifier1.weight": (1, 1)}, "far larger"),
        ("resnet18", {"fc.bias": (10**6,)}, "far larger"),
        ("sononet", {FIRST: (4, 0, 3, 3)}, "filters=4, channels=0, num_classes=1"),
        ("sononet", {FIRST: (0, 1, 3, 3)}, "filters=0"),
        ("sononet", {FIRST: (4, 1, 3, 3), "conv6_p.cb_unit.1.bias": (0,)}, "num_classes=0"),
        ("sononet", {"arr_0": (4, 0, 3, 3), "arr_74": (4,)}, "channels=0"),
    ],
    ids=str,
)  # fmt: skip
def test_shapes_that_promise_another_network_are_refused_before_it_is_built(
    arch, wrong, said, tmp_path, monkeypatch, capsys
):
    for module in (conversion, sononet):
        monkeypatch.setattr(module, "build", lambda *a, **k: pytest.fail("memory is taken"))
    arrays = {name: np.zeros(shape, np.float32) for name, shape in wrong.items()}
    if "arr_0" in wrong:
        arrays = {f"arr_{i}": np.ones(1, np.float32) for i in range(75)} | arrays
    np.savez_compressed(tmp_path / "x.npz", **arrays)
    out = tmp_path / "x.keras"
    assert said in fails(main, [tmp_path / "x.npz", "--arch", arch, "--out", out], capsys)
    assert not out.exists()


@pytest.mark.parametrize("dtype", ["U8", "S8", "complex64", "datetime64[s]"])
@pytest.mark.parametrize("name", ["conv2.conv1.0.weight", "classifier2.bias"])
def test_what_are_no_real_numbers_is_refused(name, dtype, model, arrays):
    arrays[name] = np.zeros(arrays[name].shape, "int64").astype(dtype)
    with pytest.raises(convert.ConvertError, match=f"{name}: holds .*, real numbers expected"):
        convert.sononet_from_torch(model, arrays)
    published = lasagne() | {"arr_9": np.full(2, "0.5")}
    with pytest.raises(convert.ConvertError, match="arr_9: holds <U3, real numbers expected"):
        convert.sononet_from_lasagne(published)


@pytest.mark.parametrize(
    ("array", "said"),
    [(np.full(3, "0.5"), "fc.bias: holds <U3"), (np.full(3, 1e300), "fc.bias: holds values")],
    ids=["text", "overflow"],
)
def test_torchvisions_arrays_are_checked_alike(array, said, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torchvision, "SHOWN", 1000)
    np.savez(tmp_path / "x.npz", **{"fc.bias": array})
    words = [tmp_path / "x.npz", "--arch", "resnet18", "--out", tmp_path / "x.keras"]
    assert said in fails(main, [*words, "--image-size", 32, 32], capsys)


@pytest.mark.parametrize("dtype", ["float16", "float64", "int32", "uint8", "bool"])
def test_numbers_of_every_kind_are_converted(dtype, model, arrays):
    arrays["classifier2.bias"] = np.array([0, 1, 1], dtype)
    convert.sononet_from_torch(model, arrays)
    np.testing.assert_array_equal(model.get_layer("logits_scale4").bias, [0, 1, 1])


def test_numbers_beyond_float32_are_refused_without_a_warning(model, arrays):
    arrays["classifier2.bias"] = np.full(3, 1e300)
    with pytest.raises(convert.ConvertError, match="classifier2.bias: holds values .* not finite"):
        convert.sononet_from_torch(model, arrays)
    made = convert.sononet_from_lasagne(lasagne() | {"arr_9": np.full(2, 1e200)})
    np.testing.assert_array_equal(made.get_layer("stage1_conv2_bn").moving_variance, 0)


def test_frames_are_cropped_whitened_and_scaled():
    frame = np.zeros((735, 975, 3), np.uint8)
    frame[115:734, 81:874] = (255 * ramp(619, 793, 3)).astype(np.uint8)
    frame[:115], frame[734:] = 255, 255
    x = convert.sononet_input(frame)
    assert x.shape == (224, 288, 1) and x.dtype == np.float32
    np.testing.assert_allclose([x.mean(), x.std()], [0, 255], atol=1e-2)
    assert np.isfinite(convert.sononet_input(np.zeros((735, 975), np.uint8))).all()
    with pytest.raises(ValueError, match="Received: shape="):
        convert.sononet_input(frame[:700])


@pytest.mark.skipif(not SONONET.is_dir(), reason="the published weights are not here")
def test_published_weights_name_every_example_frame():
    from PIL import Image

    model = convert.sononet_from_lasagne(SONONET / "SonoNet16.npz")
    paths = sorted((SONONET / "examples").glob("*.png"))
    frames = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    logits = model.predict_on_batch(np.stack([convert.sononet_input(f) for f in frames]))
    named = [convert.STANDARD_PLANES[i] for i in np.argmax(logits, axis=1)]
    spine = {"SPINE-CORONAL": "Spine-cor", "SPINE-SAGITTAL": "Spine-sag"}
    expected = [spine.get(p.stem, p.stem) for p in paths]
    assert len(named) == 13
    assert [n.lower() for n in named] == [n.lower() for n in expected]
