"""Speaks TensorFlow Serving's public REST and gRPC protocols, for tests alone.

    python -I conformance_server.py FOLDER

FOLDER holds `<model>/<version>/`. A version is loaded when it is first asked for, with TensorFlow
alone, for none of our packages can be imported: by the session loader for REST, which is the real
server's way, and by tf.saved_model.load for gRPC. It prints the two ports, REST and gRPC, in one
line, and serves until its standard input is closed. It is written by the published documents,
api_rest.md and the .proto files; it is not the real server.
"""

import base64
import concurrent.futures
import functools
import json
import os
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

for refused in ("keras", "thyroid_keras", "cv2", "PIL"):
    sys.modules[refused] = None  # cannot be imported

import grpc  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from google.protobuf.json_format import MessageToDict  # noqa: E402
from tensorflow_serving.apis import (  # noqa: E402
    predict_pb2,
    prediction_service_pb2_grpc,
)

PATH = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+))?(/metadata|:predict)?")
DEFAULT = "serving_default"
STATUS = {
    tf.errors.InvalidArgumentError: (400, "INVALID_ARGUMENT"),
    LookupError: (404, "NOT_FOUND"),
}


class Model:
    """One version of a model, loaded in the two ways that TensorFlow has."""

    def __init__(self, folder):
        self.folder, self.version = str(folder), int(folder.name)
        self.session = tf.compat.v1.Session(graph=tf.Graph())
        with self.session.graph.as_default():
            loaded = tf.compat.v1.saved_model.loader.load(self.session, ["serve"], self.folder)
        signatures = loaded.signature_def.items()
        self.signatures = {n: s for n, s in signatures if not n.startswith("__")}

    @functools.cached_property
    def functions(self):
        return tf.saved_model.load(self.folder).signatures

    def run(self, name, inputs, *, by_session):
        """Returns the outputs, dict of arrays, for a dict of arrays."""
        signature = self.signature(name)
        if set(inputs) != set(signature.inputs):
            raise refusal(f"input keys must be {sorted(signature.inputs)}, got {sorted(inputs)}")
        try:
            if by_session:
                feed = {signature.inputs[n].name: values for n, values in inputs.items()}
                fetch = {n: info.name for n, info in signature.outputs.items()}
                return self.session.run(fetch, feed)
            tensors = {n: tf.constant(values) for n, values in inputs.items()}
            found = self.functions[name or DEFAULT](**tensors)
            return {n: value.numpy() for n, value in found.items()}
        except (TypeError, ValueError) as error:  # TensorFlow's word for another shape
            raise refusal(str(error)) from error

    def signature(self, name):
        """Returns a signature; the default one has two names."""
        if (name or DEFAULT) not in self.signatures:
            raise refusal(f'Serving signature name: "{name}" not found in signature def')
        return self.signatures[name or DEFAULT]


def refusal(message):
    return tf.errors.InvalidArgumentError(None, None, message)


class Models:
    """The versions below `<root>/<model>/`, each held from when it is first asked for until its
    folder is gone."""

    def __init__(self, root):
        self.root, self.loaded, self.lock = Path(root), {}, threading.Lock()

    def versions(self, name):
        """Returns the numbers of a model's versions, sorted."""
        names = (f.name for f in (self.root / name).glob("*"))
        return sorted(int(n) for n in names if n.isascii() and n.isdecimal())

    def find(self, name, version):
        """Returns the `Model` of a version, or the latest."""
        found = self.versions(name)
        if not found or (version and int(version) not in found):
            wanted = f"Specific({name}, {version})" if version else f"Latest({name})"
            raise LookupError(f"Servable not found for request: {wanted}")
        key = (name, int(version or found[-1]))
        with self.lock:
            for gone in [k for k, model in self.loaded.items() if not Path(model.folder).exists()]:
                self.loaded.pop(gone).session.close()
            if key not in self.loaded:
                self.loaded[key] = Model(self.root / name / str(key[1]))
            return self.loaded[key]


def unpack(entry, dtype):
    """JSON as an array of a signature's input."""

    def plain(value):
        if isinstance(value, list):
            return [plain(v) for v in value]
        if isinstance(value, dict):
            if set(value) != {"b64"}:
                raise refusal(f"JSON object: {json.dumps(value)[:80]} is no base64 object")
            return base64.b64decode(value["b64"], validate=True)
        return value

    try:
        values = plain(entry)
        if dtype == tf.string:
            array = np.array(values, dtype=object)
            if not all(isinstance(v, (bytes, str)) for v in array.flat):
                raise refusal("JSON Value: expecting a string")
            return array
        return np.array(values, dtype.as_numpy_dtype)
    except (ValueError, TypeError) as error:
        raise refusal(f"JSON Value: {str(error)[:80]} Type: cannot be converted") from error


def read_request(body, model):
    """Signature's name, inputs and whether they come by rows, from the body of a request."""
    try:
        found = json.loads(body)
    except ValueError as error:
        raise refusal(f"JSON Parse error: {error}") from error
    if not isinstance(found, dict):
        raise refusal("JSON Value: Is not object")
    name = found.get("signature_name")
    signature = model.signature(name)
    dtypes = {n: tf.as_dtype(info.dtype) for n, info in signature.inputs.items()}
    only = next(iter(dtypes)) if len(dtypes) == 1 else None
    if ("instances" in found) == ("inputs" in found):
        raise refusal("Missing 'inputs' or 'instances' key, or both are there")
    if "inputs" in found:
        columns = found["inputs"]
        if not isinstance(columns, dict) or set(columns) == {"b64"}:
            columns = {only: columns}
        return (
            name,
            {n: unpack(v, dtypes[n]) for n, v in columns.items() if n in dtypes},
            False,
        )
    rows = found["instances"]
    if not isinstance(rows, list) or not rows:
        raise refusal("Expecting 'instances' to be a list of at least one value")
    if not isinstance(rows[0], dict) or set(rows[0]) == {"b64"}:
        rows = [{only: row} for row in rows]
    for i, row in enumerate(rows):
        if not isinstance(row, dict) or set(row) != set(dtypes):
            raise refusal(
                f"Failed to process element: {i} of 'instances' list. "
                f"keys must be equal to: {','.join(sorted(dtypes))}"
            )
    columns = {n: unpack([row[n] for row in rows], dtype) for n, dtype in dtypes.items()}
    return name, columns, True


def to_json(name, values):
    """An output as JSON holds it: bytes in base64 where the name says that they are bytes."""
    if values.dtype != object:
        return values.tolist()
    if name.endswith("_bytes"):
        return [{"b64": base64.b64encode(v).decode()} for v in values]
    return [v.decode() for v in values]


def answer(body, model):
    """The answer to the body of a request, fit for JSON."""
    name, inputs, by_rows = read_request(body, model)
    found = model.run(name, inputs, by_session=True)
    columns = {n: to_json(n, values) for n, values in found.items()}
    if not by_rows:
        return {"outputs": columns if len(columns) > 1 else next(iter(columns.values()))}
    if len(columns) == 1:
        return {"predictions": next(iter(columns.values()))}
    rows = zip(*columns.values(), strict=True)
    return {"predictions": [dict(zip(columns, row, strict=True)) for row in rows]}


def metadata(name, model):
    signatures = {n: MessageToDict(s, True) for n, s in model.signatures.items()}
    kind = "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    return {
        "model_spec": {"name": name, "signature_name": "", "version": str(model.version)},
        "metadata": {"signature_def": {"@type": kind, "signature_def": signatures}},
    }


def status(versions):
    return {
        "model_version_status": [
            {
                "version": str(number),
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
            for number in sorted(versions, reverse=True)
        ]
    }


class Rest(BaseHTTPRequestHandler):
    """The REST interface to `models`."""

    models = None

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.reply(lambda: self.look_up(b""))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.reply(lambda: self.look_up(body))

    def look_up(self, body):
        found = PATH.fullmatch(self.path)
        what = found and found[3]
        if not found or (self.command == "POST") != (what == ":predict"):
            raise LookupError(f"Malformed request: {self.command} {self.path}")
        model = self.models.find(found[1], found[2])
        if what == ":predict":
            return answer(body, model)
        if what == "/metadata":
            return metadata(found[1], model)
        return status([model.version] if found[2] else self.models.versions(found[1]))

    def reply(self, make):
        try:
            code, found = 200, make()
        except tuple(STATUS) as error:
            code = next(code for kind, (code, _) in STATUS.items() if isinstance(error, kind))
            found = {"error": getattr(error, "message", None) or str(error.args[0])}
        except Exception as error:
            code, found = 500, {"error": f"{type(error).__name__}: {error}"}
        content = json.dumps(found, indent=1).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class Grpc(prediction_service_pb2_grpc.PredictionServiceServicer):
    """PredictionService/Predict, by the messages that TensorFlow Serving itself publishes."""

    def __init__(self, models):
        self.models = models

    def Predict(self, request, context):
        spec = request.model_spec
        try:
            model = self.models.find(spec.name, spec.version.value)
            inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
            outputs = model.run(spec.signature_name, inputs, by_session=False)
        except tuple(STATUS) as error:
            name = next(name for kind, (_, name) in STATUS.items() if isinstance(error, kind))
            message = getattr(error, "message", None) or str(error.args[0])
            context.abort(grpc.StatusCode[name], message)
        response = predict_pb2.PredictResponse()
        response.model_spec.name = spec.name
        response.model_spec.version.value = model.version
        response.model_spec.signature_name = spec.signature_name
        for name, values in outputs.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(values))
        return response


def main(root):
    """Serves all models below a folder."""
    Rest.models = models = Models(root)
    rest = ThreadingHTTPServer(("127.0.0.1", 0), Rest)
    unlimited = [("grpc.max_receive_message_length", -1)]
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(4), options=unlimited)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Grpc(models), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    threading.Thread(target=rest.serve_forever, daemon=True).start()
    print(rest.server_port, port, flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
