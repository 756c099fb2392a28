"""The client against a server that speaks TensorFlow Serving's protocols, and curl's examples."""

import base64
import functools
import json
import re
import shutil
import struct
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import keras
import numpy as np
import pytest
from looking import images_of, looking, pixels_of
from PIL import Image
from tables import encode

import thyroid_keras as tk
from thyroid_keras import client as module
from thyroid_keras.answers import class_probabilities
from thyroid_keras.client import Client, ServerError
from thyroid_keras.explain import attention_maps, unit_maps
from thyroid_keras.folding import fold_batch_norm
from thyroid_keras.serving.server_files import write_server_files
from thyroid_keras.serving.signatures import write_signatures

HERE = Path(__file__).parent
RNG = np.random.default_rng(0)
TOLERANCE = 1e-5
CLASSES = ["benign", "malignant"]


class Server:
    """A conformance server over a folder of models, until `close`."""

    def __init__(self, folder):
        command = [sys.executable, "-I", str(HERE / "conformance_server.py"), str(folder)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @functools.cached_property
    def addresses(self):
        """Of REST and of gRPC; waits for the server to be there."""
        rest, grpc = self.process.stdout.readline().split() or pytest.fail(
            self.process.stderr.read()
        )
        return f"http://127.0.0.1:{rest}", f"grpc://127.0.0.1:{grpc}"

    def close(self):
        self.process.communicate()


@pytest.fixture(scope="module")
def model():
    return looking()


@pytest.fixture(scope="module")
def server(model, tmp_path_factory):
    """Serves the network as `nodules`, in two versions."""
    root = tmp_path_factory.mktemp("served")
    version = root / "nodules" / "1"
    signatures = write_signatures(version, model, CLASSES, 0.5)
    write_server_files(version, "nodules", [s for s in signatures if s != "serve_tensor"], (24, 32))
    shutil.copytree(version, root / "nodules" / "2")
    found = Server(root)
    found.folder = root
    yield found
    found.close()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Paths of pictures of every kind and size, and what is in them."""
    folder = tmp_path_factory.mktemp("pictures")
    for height, width in ((1, 1), (61, 7), (24, 32), (40, 53)):
        color = RNG.integers(0, 256, (height, width, 3), np.uint8)
        deep = RNG.integers(0, 65536, (height, width), np.uint16)
        for name, pixels in (("color", color), ("grey", color[..., 0]), ("deep", deep)):
            for suffix in ("png",) if name == "deep" else ("png", "jpg", "bmp"):
                Image.fromarray(pixels).save(folder / f"{name}_{height}x{width}.{suffix}")
    return sorted(folder.iterdir())


def expected_of(model, paths):
    images = images_of(model, [path.read_bytes() for path in paths])
    return images, class_probabilities(model.predict_on_batch(images))


def test_client_answers_as_keras_by_rest_and_grpc(server, model, pictures):
    images, expected = expected_of(model, pictures)
    maps = 255 * unit_maps(attention_maps(model, images)["gate1"], (24, 32))
    for address in server.addresses:
        client = Client("nodules", address)
        answers = client.predict(pictures, batch_size=7)
        assert [a.name for a in answers] == [str(path) for path in pictures]
        assert [a.error for a in answers] == [None] * len(pictures)
        found = np.array([a.probabilities for a in answers])
        assert np.abs(found - expected).max() <= TOLERANCE
        assert [a.label_name for a in answers] == [CLASSES[int(p[1] >= 0.5)] for p in expected]
        shown = client.explain(path.read_bytes() for path in pictures)
        assert {name for a in shown for name in a.images} == {"gate1", "class_map", "mask"}
        drawn = np.stack([pixels_of(a.images["gate1"]) for a in shown])
        assert np.abs(drawn - maps).max() <= 1
        assert shown[2].name == "picture 3" and shown[2].probabilities == answers[2].probabilities


def bad_pictures(folder):
    """Bytes and paths that are no picture, and what is said of each."""
    good = encode(RNG.integers(0, 256, (20, 30), np.uint8))
    (folder / "diary.png").write_bytes(b"Dear diary")
    return {
        b"": "no PNG, JPEG or BMP",
        b"GIF89a" + bytes(60): "no PNG, JPEG or BMP",
        good[: len(good) // 2]: "",
        RNG.bytes(500): "no PNG, JPEG or BMP",
        encode(np.zeros((4, 4), np.uint8))[:16] + struct.pack(">II", 9000, 9000): "64 megapixels",
        folder / "diary.png": "no PNG, JPEG or BMP",
        folder / "missing.png": "cannot be read, No such file",
        folder: "cannot be read",
    }


def test_a_bad_picture_is_an_error_of_its_own_and_the_server_lives(
    server, model, pictures, tmp_path
):
    bad = bad_pictures(tmp_path)
    _, expected = expected_of(model, pictures[:2])
    for address in server.addresses:
        asked = [pictures[0], *bad, pictures[1]]
        answers = Client("nodules", address).predict(asked, batch_size=4)
        found = np.array([answers[0].probabilities, answers[-1].probabilities])
        assert np.abs(found - expected).max() <= TOLERANCE
        for one, (picture, fault) in zip(answers[1:-1], bad.items(), strict=True):
            assert one.probabilities is None and fault in one.error, picture
            assert one.error and "\n" not in one.error and "{{node" not in one.error
            assert one.name == str(picture) or one.name.startswith("picture ")
        assert len(Client("nodules", address).predict(pictures[:1])) == 1


def test_pictures_that_exif_wants_turned_are_turned_first(server, model):
    pixels = RNG.integers(0, 256, (40, 30), np.uint8)
    exif = Image.Exif()
    data = []
    for orientation in range(1, 9):
        exif[0x0112] = orientation
        data.append(encode(pixels, "JPEG" if orientation == 6 else "PNG", exif=exif))
    data.append(encode(pixels, exif=exif, transparency=int(pixels[3, 3])))
    expected = class_probabilities(model.predict_on_batch(images_of(model, data)))
    assert np.ptp(expected[:8], axis=0).min() > 10 * TOLERANCE
    for address in server.addresses:
        found = [answer.probabilities for answer in Client("nodules", address).predict(data)]
        np.testing.assert_allclose(found, expected, atol=TOLERANCE)


def test_versions_and_faults_of_the_server(server, pictures):
    for address in server.addresses:
        one = Client("nodules", address, version=2).predict(pictures[:1])
        assert one == Client("nodules", address).predict(pictures[:1])
        for options in ({"version": 3}, {"model": "nobody"}):
            with pytest.raises(ServerError, match="Servable not found"):
                Client(**{"model": "nodules", "server": address} | options).predict(pictures[:1])
        (refused,) = Client("nodules", address).predict(pictures[:1], signature="nothing")
        assert "nothing" in refused.error
    for address in ("http://127.0.0.1:9", "grpc://127.0.0.1:9"):
        with pytest.raises(ServerError, match="127.0.0.1:9"):
            Client("nodules", address, timeout_s=2).predict(pictures[:1])
    with pytest.raises(ValueError, match="Received: server='nodules:8500'"):
        Client("nodules", "nodules:8500")
    for wrong in ({"pictures": pictures, "batch_size": 0}, {"pictures": "a.png"}):
        with pytest.raises(ValueError, match="must be a sequence, .* Received: pictures="):
            Client("nodules").predict(**wrong)


STRANGE = {
    "label a number": {"label_name": 3},
    "label a dict": {"label_name": {}},
    "no row": [],
    "bytes that are no text": {"label_name": b"\xff"},
}


@pytest.mark.parametrize("row", STRANGE.values(), ids=STRANGE)
def test_an_answer_of_no_model_of_ours_is_a_server_error(row, monkeypatch):
    client = Client("nodules")
    found = {"probabilities": [0.5, 0.5]} | row if isinstance(row, dict) else row
    monkeypatch.setattr(client, "_ask", lambda *_: [found])
    with pytest.raises(ServerError, match="answers as no model of ours does"):
        client.predict([b""])


def test_a_path_that_there_cannot_be_is_an_error_of_its_own(tmp_path):
    for path, said in (("a\0b", "null"), (tmp_path / "absent", "No such file")):
        (found,) = Client("nodules").predict([path])
        assert said in found.error and found.name == str(path)


ALONE = """
import importlib.util, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("keras", "tensorflow", "thyroid_keras", "numpy"):
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
path, *addresses, picture = sys.argv[1:]
spec = importlib.util.spec_from_file_location("client", path)
client = sys.modules["client"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(client)
for address in addresses:
    (answer,) = client.Client("nodules", address).explain([picture])
    print(*answer.probabilities, sorted(answer.images))
"""


def test_the_client_needs_neither_keras_nor_tensorflow(server, pictures):
    (answer,) = Client("nodules", server.addresses[0]).predict(pictures[:1])
    command = [sys.executable, "-I", "-c", ALONE, module.__file__, *server.addresses, pictures[0]]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0] == lines[1] and lines[0].startswith(str(answer.probabilities[0]))


def ask(url, body=None):
    """The code and the JSON of an answer."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data)) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_rows_columns_and_tensors_say_the_same(server, model, pictures):
    images, expected = expected_of(model, pictures[:2])
    url = f"{server.addresses[0]}/v1/models/nodules"
    coded = [{"b64": base64.b64encode(p.read_bytes()).decode()} for p in pictures[:2]]
    rows = [
        {"instances": [{"image_bytes": c} for c in coded]},
        {"instances": coded},
        {"instances": images.tolist(), "signature_name": "serve_tensor"},
    ]
    for body in rows:
        code, found = ask(f"{url}:predict", body)
        assert code == 200 and list(found) == ["predictions"]
        found = [row["probabilities"] for row in found["predictions"]]
        np.testing.assert_allclose(found, expected, atol=TOLERANCE)
    code, found = ask(f"{url}/versions/2:predict", {"inputs": {"image_bytes": coded}})
    np.testing.assert_allclose(found["outputs"]["probabilities"], expected, atol=TOLERANCE)
    assert set(found["outputs"]["label_name"]) <= set(CLASSES)
    code, found = ask(f"{url}/metadata")
    signatures = found["metadata"]["signature_def"]["signature_def"]
    assert set(signatures) == {"serving_default", "serve_tensor", "explain"}
    assert set(signatures["explain"]["inputs"]) == {"image_bytes"}
    code, found = ask(url)
    assert [v["version"] for v in found["model_version_status"]] == ["2", "1"]


def test_garbage_in_a_request_is_an_error_of_that_request(server):
    url = f"{server.addresses[0]}/v1/models/nodules:predict"
    for body in (
        b"",
        b"\xff\xfe",
        b"[1, 2",
        [1],
        {},
        {"instances": []},
        {"instances": [{"image": 1}]},
        {"instances": [{"image_bytes": {"b64": "!"}}]},
        {"instances": [{"image_bytes": 5}]},
        {"instances": [[0.0, 1.0]], "signature_name": "serve_tensor"},
        {"instances": [{"image_bytes": {"b64": ""}}], "inputs": {}},
    ):
        code, found = ask(url, body)
        assert code == 400 and found["error"], body
    assert ask(url.replace("nodules", "nobody"), {})[0] == 404
    assert server.process.poll() is None


def test_warm_up_requests_are_what_the_server_plays(server):
    """By TensorFlow Serving's own messages and its own stub."""
    import grpc
    import tensorflow as tf
    from google.protobuf import text_format
    from tensorflow_serving.apis import prediction_log_pb2, prediction_service_pb2_grpc
    from tensorflow_serving.config import model_server_config_pb2

    extra = server.folder / "nodules" / "2" / "assets.extra"
    records = tf.data.TFRecordDataset(str(extra / "tf_serving_warmup_requests"))
    logs = [prediction_log_pb2.PredictionLog.FromString(r.numpy()) for r in records]
    requests = [log.predict_log.request for log in logs]
    assert [r.model_spec.signature_name for r in requests] == ["serving_default", "explain"]
    with grpc.insecure_channel(server.addresses[1].removeprefix("grpc://")) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        for request in requests:
            found = tf.make_ndarray(stub.Predict(request, timeout=60).outputs["probabilities"])
            assert found.shape == (1, 2) and np.isfinite(found).all()
    config = model_server_config_pb2.ModelServerConfig()
    text_format.Parse((extra / "models.config").read_text(), config)
    (entry,) = config.model_config_list.config
    assert (entry.name, entry.base_path) == ("nodules", "/models/nodules")


EXAMPLE = HERE.parent / "saved_models" / "calcification"


def test_curl_asks_the_example_as_the_page_says(server):
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    (server.folder / "calcification").symlink_to(EXAMPLE)
    page = (EXAMPLE.parent / "README.rst").read_text()
    commands = re.findall(r"(?m)^    echo .*\n(?:     .*\n)+", page)
    assert len(commands) == 2
    for command in commands:
        command = command.replace("http://localhost:8501", server.addresses[0])
        done = subprocess.run(
            ["bash", "-c", command], cwd=EXAMPLE, capture_output=True, text=True, check=True
        )
        (row,) = json.loads(done.stdout)["predictions"]
        client = Client("calcification", server.addresses[0])
        (answer,) = client.predict([EXAMPLE / "picture.png"])
        np.testing.assert_allclose(row["probabilities"], answer.probabilities, atol=1e-7)
        assert row["label_name"] == answer.label_name == "calcification"
    assert pixels_of(base64.b64decode(row["mask_bytes"]["b64"])).max() == 255


def test_the_example_is_small_and_says_what_it_is():
    files = [path for path in EXAMPLE.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 1_500_000
    card = json.loads((EXAMPLE / "1" / "assets.extra" / "model_card.json").read_text())
    assert card["trained_on"]["name"] == "phantom"
    assert any("Simulated" in limit for limit in card["limits"])
    page = (EXAMPLE.parent / "README.rst").read_text()
    for name in ("image_size", "segmentation_epochs", "epochs"):
        assert f"{name}={card['recipe'][name]}" in page
    assert f"stage_filters={','.join(map(str, card['recipe']['stage_filters']))}" in page


SEGMENTING = {"image_shape": (32, 32, 1), "num_classes": 2, "stage_filters": (4, 6, 8, 10, 12)}
SONONETS = {"image_shape": (40, 56, 1), "filters": 2, "whiten": True}
ARCHS = {
    **dict.fromkeys(("cs_agnet", "ds_agnet", "vgg_unet", "vgg_unet_seg"), SEGMENTING),
    **dict.fromkeys(("ag_sononet", "sononet"), SONONETS),
    **dict.fromkeys(("vgg16", "vgg19"), {"head": "cam"}),
    "alexnet_seg": SEGMENTING | {"units": 8},
    "classical": {"image_shape": (32, 32, 1), "num_classes": 2},
    "fan": {"image_shape": (32, 32, 1), "eta": 8},
    "global_attention": {"backbone": "small_cnn", "num_images": 9, "channels": 2},
    "inception_v3": {"image_shape": (80, 80, 3)},
}


@pytest.mark.slow
@pytest.mark.parametrize("arch", [a for a in tk.list_archs() if a != "border_unet"])
def test_every_network_answers_alike_from_keras_to_the_client(arch, server, pictures):
    """By either of TensorFlow's loaders; but for the one that names no class."""
    keras.utils.set_random_seed(0)
    model = tk.build(arch, **{"image_shape": (64, 64, 3), "num_classes": 3} | ARCHS.get(arch, {}))
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    for norm in norms:  # by random weights alone, deep networks answer the same to everything
        norm.momentum = 0.0
    if norms:
        model(images_of(model, [path.read_bytes() for path in pictures]), training=True)
    model = fold_batch_norm(model)  # as `predict` does
    _, expected = expected_of(model, pictures)
    classes = [f"class {k}" for k in range(expected.shape[1])]
    version = server.folder / arch / "1"
    write_signatures(version, model, classes, 0.5)
    for address in server.addresses:
        found = Client(arch, address, timeout_s=600).predict(pictures)
        found = np.array([one.probabilities for one in found])
        assert np.abs(found - expected).max() <= TOLERANCE
    assert np.ptp(expected, axis=0).max() > 100 * TOLERANCE, "pictures that all look alike"
    shutil.rmtree(version)
