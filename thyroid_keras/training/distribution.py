"""Past one device: the same training on all devices of one host or of several."""

import contextlib
import hashlib
import io
import json
import tempfile
from pathlib import Path

import keras
import numpy as np

from thyroid_keras.runs import RunError
from thyroid_keras.training.checkpoints import Record


class Distribution:
    """The devices that learn together what one would learn alone; without arguments that one.

    Every process makes the same whole batches, and each of its devices computes its share of
    them, the last one's too: no batch need divide. What is summed over a batch (the loss, its
    gradient, the statistics of a batch normalisation) is summed over all shares. Weights are
    the same everywhere. The first process alone keeps files.

    Args:
        devices: names of all devices, as `keras.distribution.list_devices` has them; `None`:
            nothing is distributed.
    """

    def __init__(self, devices=None):
        self.parallel = None
        self.num_devices = self.num_processes = 1
        self.first = True
        if devices is not None:
            import jax

            self.parallel = _WholeBatches(devices=devices, auto_shard_dataset=False)
            self.num_devices, self.num_processes = len(devices), jax.process_count()
            self.first = jax.process_index() == 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.leave()

    def leave(self):
        """Waits for the other processes to come here; from now on each computes alone."""
        if self.num_processes > 1:
            import jax

            jax.distributed.shutdown()

    def introduction(self):
        """Returns lines that say who learns together; none of one device alone."""
        if self.parallel is None:
            return []
        several = f", of {self.num_processes} processes" if self.num_processes > 1 else ""
        return [f"Each batch is shared by {self.num_devices} devices{several}"]

    @contextlib.contextmanager
    def scope(self):
        """Networks that are built within the block have their weights on all devices."""
        with self.parallel.scope() if self.parallel else contextlib.nullcontext():
            yield

    @contextlib.contextmanager
    def sharing(self, model):
        """Within the block each device computes its share of what `model` is fitted to."""
        if self.parallel is None:
            yield
            return
        model.train_step, model.test_step = map(self._shared, (model.train_step, model.test_step))
        try:
            yield
        finally:
            del model.train_step, model.test_step

    def _shared(self, step):
        def shared_step(state, batch):
            return step(state, keras.tree.map_structure(self.parallel.share, batch))

        return shared_step

    @contextlib.contextmanager
    def agreeing(self):
        """Within the block either all processes fail, or none, and all find the same.

        Yields:
            dict, to be filled with what must be equal in all processes, as JSON can hold it.

        Raises:
            RunError: if another process failed, or found something else.
        """
        facts = {}
        try:
            yield facts
        except Exception:
            self._gather(np.zeros(8, np.uint32))
            raise
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).digest()
        found = self._gather(np.frombuffer(digest, np.uint32))
        if not found.any(axis=1).all():
            raise RunError("--distribute: another process gave up, and says why.")
        if (found != found[0]).any():
            raise RunError(
                "--distribute: the processes disagree; begin all with the same command (but for "
                f"process=I), code and images. They must agree on: {', '.join(facts)}."
            )

    def told(self, content):
        """Returns the `bytes` that the first process gives, in all of them."""
        if self.num_processes == 1:
            return content
        from jax.experimental import multihost_utils

        size = int(multihost_utils.broadcast_one_to_all(np.uint32(len(content))))
        data = np.zeros(size, np.uint8)
        if self.first:
            data[:] = np.frombuffer(content, np.uint8)
        return np.asarray(multihost_utils.broadcast_one_to_all(data)).tobytes()

    def greatest(self, number):
        """Returns the greatest of the int >= 0 that the processes give."""
        return int(self._gather(np.uint32(number)).max())

    def _gather(self, array):
        if self.num_processes == 1:
            return array[None]
        from jax.experimental import multihost_utils

        return np.asarray(multihost_utils.process_allgather(array))

    @contextlib.contextmanager
    def own(self, folder):
        """Gives the first process `folder`, and the others one that goes with the block."""
        if self.first:
            yield folder
            return
        with tempfile.TemporaryDirectory(prefix="thyroid_keras_") as scratch:
            yield Path(scratch) / "run"


class _WholeBatches(keras.distribution.DataParallel):
    """Data parallelism to which every process brings the whole batch."""

    def get_data_layout(self, data_shape):
        return keras.distribution.TensorLayout([None] * len(data_shape), self.device_mesh)

    def share(self, array):
        """Deals the rows of an array to the devices, within a compiled step."""
        layout = super().get_data_layout(array.shape)
        return keras.distribution.distribute_tensor(array, layout)


class SharedCheckpoints:
    """Checkpoints that the first process writes and reads, and whose content it tells the others.

    Args:
        checkpoints: `Checkpoints` or `Remembered`.
        distribution: `Distribution`.
    """

    def __init__(self, checkpoints, distribution):
        self.checkpoints = checkpoints
        self.distribution = distribution

    def require_room(self, num_bytes):
        """See `Checkpoints`."""
        self._first("require_room", num_bytes)

    def save(self, record, arrays):
        """See `Checkpoints`."""
        self._first("save", record, arrays)

    def latest(self):
        """See `Checkpoints`."""
        return self._read("latest")

    def load(self, epoch):
        """See `Checkpoints`."""
        return self._read("load", epoch)

    def _first(self, method, *arguments):
        with self.distribution.agreeing():
            if self.distribution.first:
                return getattr(self.checkpoints, method)(*arguments)

    def _read(self, method, *arguments):
        found = self._first(method, *arguments)
        return _unpack(self.distribution.told(b"" if found is None else _pack(*found)))


def _pack(record, arrays):
    content = io.BytesIO()
    np.savez(content, record=json.dumps(vars(record)), **arrays)
    return content.getvalue()


def _unpack(content):
    if not content:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = dict(file)
    return Record(**json.loads(str(arrays.pop("record")))), arrays
