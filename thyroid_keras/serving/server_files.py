"""What a server may be given beside the graph: requests to warm up with, example settings."""

import io
import json

import numpy as np
import tensorflow as tf
from PIL import Image

from thyroid_keras.client import messages, predict_request

# where the format keeps files that the graph does not read
EXTRAS = "assets.extra"
# the server plays the requests in this file before it answers anybody
WARM_UP = "tf_serving_warmup_requests"
MODELS = """\
# tensorflow_model_server --model_config_file=…: what is served, and where its versions lie
model_config_list {{
  config {{
    name: {name}
    base_path: {folder}
    model_platform: "tensorflow"
  }}
}}
"""
BATCHING = """\
# tensorflow_model_server --enable_batching --batching_parameters_file=…: an example for two
# cores. Joined requests fail together: one picture that cannot be read fails those of others
# in its batch. Keep the default, no batching, where senders are strangers.
max_batch_size { value: 32 }
batch_timeout_micros { value: 5000 }
num_batch_threads { value: 2 }
max_enqueued_batches { value: 64 }
allowed_batch_sizes: 1
allowed_batch_sizes: 8
allowed_batch_sizes: 32
"""


def write_server_files(path, name, signatures, size):
    """Writes warm-up requests, `models.config` and `batching.config` into a version.

    The picture of the warm-up is a made-up ramp of grey: nobody's.

    Args:
        path: of the version's folder.
        name: of the model on the server.
        signatures: names of those that take `image_bytes`.
        size: `(H, W)` of the picture.
    """
    folder = path / EXTRAS
    folder.mkdir(exist_ok=True)
    picture = _ramp(size)
    with tf.io.TFRecordWriter(str(folder / WARM_UP)) as writer:
        for signature in signatures:
            log = messages()["PredictionLog"]()
            log.predict_log.request.CopyFrom(predict_request(name, signature, [picture]))
            writer.write(log.SerializeToString())
    quoted = {"name": name, "folder": f"/models/{name}"}
    quoted = {key: json.dumps(text, ensure_ascii=False) for key, text in quoted.items()}
    (folder / "models.config").write_text(MODELS.format(**quoted), encoding="utf-8")
    (folder / "batching.config").write_text(BATCHING, encoding="utf-8")


def _ramp(size):
    height, width = size
    grey = np.linspace(0, 255, width)[None] * np.linspace(0, 1, height)[:, None]
    stream = io.BytesIO()
    Image.fromarray(grey.astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()
