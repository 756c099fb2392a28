"""Asks a TensorFlow Serving server what an exported model says of pictures.

    for answer in Client("nodules", "http://localhost:8501").predict(paths):
        print(answer.name, answer.error or answer.label_name, answer.probabilities)

This file needs nothing of ours, no Keras and no TensorFlow, and may be copied to where it is
wanted. REST takes the standard library, gRPC `grpcio` and `protobuf`; with Pillow, pictures
that EXIF wants turned are turned before they are sent.
"""

import base64
import contextlib
import dataclasses
import functools
import http.client
import io
import json
import math
import re
import struct
import urllib.error
import urllib.request
from pathlib import Path

REFUSED = re.compile(r"image_bytes\[\d+\]: ([^\n\]]*)")
TURNED = (b"Exif\0\0", b"eXIf", b"tiff:Orientation", b"Raw profile type exif")  # perhaps
FAULTS = (AttributeError, LookupError, RecursionError, TypeError, ValueError, struct.error)
STRING = 7  # among TensorFlow's data types
# what is used of TensorFlow Serving's protocol: number, name, type; * where it is repeated
MESSAGES = {
    "Dim": "1 size int64",
    "Shape": "2 dim *Dim",
    "Tensor": "1 dtype int32, 2 tensor_shape Shape, 4 tensor_content bytes, 5 float_val *float, "
    "8 string_val *bytes",
    "NamedTensor": "1 key string, 2 value Tensor",
    "Version": "1 value int64",
    "ModelSpec": "1 name string, 2 version Version, 3 signature_name string",
    "PredictRequest": "1 model_spec ModelSpec, 2 inputs *NamedTensor",
    "PredictResponse": "1 outputs *NamedTensor",
    "PredictLog": "1 request PredictRequest",
    "PredictionLog": "6 predict_log PredictLog",
}


class ServerError(RuntimeError):
    """The server cannot be reached, has no such model, or answers as no model of ours does."""


class _Refusal(Exception):
    """The server understood the request and cannot answer it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
    """What a model says of one picture.

    Args:
        name: the path as str; of bytes `picture <number>`, counted from 1.
        probabilities: K floats in [0, 1], one per class; `None` where there is an error.
        label_name: the class that is named, by the model's own threshold.
        images: dict from name to a PNG, bytes: maps and mask, of `explain` alone.
        error: why there is no answer; `None` where there is one.
    """

    name: str
    probabilities: tuple[float, ...] | None = None
    label_name: str | None = None
    images: dict = dataclasses.field(default_factory=dict)
    error: str | None = None


class Client:
    """Asks one model of a server.

    Args:
        model: its name on the server.
        server: `"http://host:port"` for REST, `"grpc://host:port"` for gRPC.
        version: int; `None`: the latest.
        timeout_s: seconds that the server may take for a batch.
    """

    def __init__(self, model, server="http://localhost:8501", *, version=None, timeout_s=60):
        if not server.startswith(("http://", "https://", "grpc://")):
            schemes = "http://, https:// or grpc://"
            raise ValueError(f"`server` must begin with {schemes}. Received: server={server!r}")
        self.model, self.server, self.version = model, server.rstrip("/"), version
        self.timeout_s = timeout_s
        self._ask = self._by_grpc if server.startswith("grpc://") else self._by_rest

    def predict(self, pictures, *, batch_size=16, signature="serving_default"):
        """Asks what pictures show.

        Args:
            pictures: paths, or bytes of encoded pictures (PNG, JPEG, BMP).
            batch_size: int >= 1, pictures per request. Where the server refuses one of
                them, those of its request are asked once more, one by one.
            signature: of the exported model.

        Returns:
            List of `Answer`, one per picture. One that cannot be read or that the server
            refuses has an `error`; the others are answered.

        Raises:
            ServerError: if the server itself is at fault.
        """
        if batch_size < 1 or isinstance(pictures, (str, bytes)):
            wanted = "`pictures` must be a sequence, `batch_size` at least 1"
            raise ValueError(f"{wanted}. Received: {pictures=!r:.40}, {batch_size=}")
        answers, readable = {}, []
        for i, picture in enumerate(pictures):
            name = f"picture {i + 1}" if isinstance(picture, bytes) else str(picture)
            try:
                data = picture if isinstance(picture, bytes) else Path(picture).read_bytes()
                readable.append((i, name, upright(data)))
            except (OSError, ValueError) as error:  # the latter of a NUL in the path
                answers[i] = Answer(name=name, error=f"cannot be read, {error.args[-1]}")
        for start in range(0, len(readable), batch_size):
            numbers, *named = zip(*readable[start : start + batch_size], strict=True)
            answers |= zip(numbers, self._answers(*named, signature), strict=True)
        return [answers[i] for i in sorted(answers)]

    def explain(self, pictures, **options):
        """As `predict`, with the model's maps and its mask in `Answer.images`."""
        return self.predict(pictures, signature="explain", **options)

    def _answers(self, names, pictures, signature):
        try:
            return [_answer(*r) for r in zip(names, self._ask(pictures, signature), strict=True)]
        except _Refusal as refusal:
            if len(names) == 1:
                said = REFUSED.search(str(refusal)) or re.match("(.*)", str(refusal))
                return [Answer(name=names[0], error=said[1].strip() or "refused")]
            each = zip(names, pictures, strict=True)
            return [self._answers([n], [data], signature)[0] for n, data in each]
        except (OSError, http.client.HTTPException) as error:
            raise ServerError(f"{self.server}: cannot be asked, {error}") from error
        except FAULTS as error:
            said = f"{self.server}: {self.model} answers as no model of ours does, {error!r}"
            raise ServerError(said) from error

    def _by_rest(self, pictures, signature):
        """A dict from name to value for each picture."""
        rows = [{"image_bytes": {"b64": base64.b64encode(data).decode()}} for data in pictures]
        body = json.dumps({"signature_name": signature, "instances": rows}).encode()
        version = "" if self.version is None else f"/versions/{self.version}"
        url = f"{self.server}/v1/models/{self.model}{version}:predict"
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_s) as response:
                return json.load(response, object_hook=_binary)["predictions"]
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")
            with contextlib.suppress(ValueError, LookupError, TypeError):
                said = json.loads(said)["error"]
            if error.code == 400:
                raise _Refusal(said) from error
            raise ServerError(f"{url}: {error.code}, {said}") from error

    def _by_grpc(self, pictures, signature):
        """The same."""
        import grpc

        request = predict_request(self.model, signature, pictures, version=self.version)
        unlimited = [(f"grpc.max_{way}_message_length", -1) for way in ("send", "receive")]
        try:
            with grpc.insecure_channel(self.server.removeprefix("grpc://"), unlimited) as channel:
                predict = channel.unary_unary(
                    "/tensorflow.serving.PredictionService/Predict",
                    lambda message: message.SerializeToString(),
                    messages()["PredictResponse"].FromString,
                )
                found = predict(request, timeout=self.timeout_s).outputs
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.INVALID_ARGUMENT:
                raise _Refusal(error.details()) from error
            raise ServerError(f"{self.server}: {error.code().name}, {error.details()}") from error
        columns = [[(output.key, value) for value in _values(output.value)] for output in found]
        return [dict(row) for row in zip(*columns, strict=True)]


def _answer(name, row):
    probabilities, label = tuple(map(float, row["probabilities"])), row["label_name"]
    if not all(map(math.isfinite, probabilities)):
        return Answer(name=name, error="the model has no finite answer to it")
    return Answer(
        name=name,
        probabilities=probabilities,
        label_name=label if isinstance(label, str) else label.decode(),
        images={n.removesuffix("_bytes"): v for n, v in row.items() if n.endswith("_bytes")},
    )


def _binary(entry):
    return base64.b64decode(entry["b64"]) if entry.keys() == {"b64"} else entry


def _values(tensor):
    """The values of a tensor along its first axis."""
    count, *rest = (dim.size for dim in tensor.tensor_shape.dim)
    width, packed = math.prod(rest), tensor.tensor_content
    values = [*tensor.string_val, *tensor.float_val]
    values += struct.unpack(f"<{len(packed) // 4}f", packed)
    values += values[-1:] * (count * width - len(values))  # the protocol may leave out repeats
    return [values[i * width : (i + 1) * width] if rest else values[i] for i in range(count)]


def upright(data):
    """Returns a picture, bytes, turned as EXIF wants it; one that cannot be read as it is."""
    if any(mark in data for mark in TURNED):
        with contextlib.suppress(Exception):  # Pillow raises anything on damaged bytes
            from PIL import Image, ImageOps

            with Image.open(io.BytesIO(data)) as image:
                if image.getexif().get(0x0112) in range(2, 9):
                    turned, png = ImageOps.exif_transpose(image), io.BytesIO()
                    turned.save(png, "PNG")
                    return png.getvalue()
    return data


def predict_request(model, signature, pictures, *, version=None):
    """Returns a `PredictRequest` for encoded pictures, a sequence of bytes."""
    request = messages()["PredictRequest"]()
    request.model_spec.name, request.model_spec.signature_name = model, signature
    if version is not None:
        request.model_spec.version.value = version
    tensor = request.inputs.add(key="image_bytes").value
    tensor.dtype = STRING
    tensor.tensor_shape.dim.add(size=len(pictures))
    tensor.string_val.extend(pictures)
    return request


@functools.cache
def messages():
    """Returns the classes of `MESSAGES` by name, which `protobuf` makes of them."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    form = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="client.proto", syntax="proto3")
    for message, fields in MESSAGES.items():
        described = file.message_type.add(name=message)
        for number, name, kind in map(str.split, fields.split(", ")):
            repeated, kind = kind.startswith("*"), kind.lstrip("*")
            label = form.LABEL_REPEATED if repeated else form.LABEL_OPTIONAL
            of = {"type": f"TYPE_{kind.upper()}"} if kind not in MESSAGES else {"type_name": kind}
            described.field.add(name=name, number=int(number), label=label, **of)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {n: message_factory.GetMessageClass(pool.FindMessageTypeByName(n)) for n in MESSAGES}
