"""Several devices, and several processes, learn what one device learns alone."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from tables import blobs

from thyroid_keras import train
from thyroid_keras.data.pack import write_pack
from thyroid_keras.preparation import check_devices
from thyroid_keras.recipes import RECIPES
from thyroid_keras.runs import read_csv, read_json
from thyroid_keras.training import Distribution, SettingError
from thyroid_keras.training.checkpoints import Checkpoints, Record
from thyroid_keras.training.distribution import SharedCheckpoints
from thyroid_keras.training.hosts import meet, parse

WITHIN = 1e-5
IMAGES = 34  # 18 to learn from, in batches of 7, 7 and 4: two devices' shares are unequal
SONONET = ["filters=2", "stage_convs=1,1,1,1,1", "epochs=2"]
UNET = ["stage_filters=2,3,4,5,6", "epochs=1", "segmentation_epochs=1"]
SETS = {
    "sononet": ["image_size=32,32", *SONONET],
    "cs_agnet": ["image_size=32", *UNET],
    "fan": ["image_size=32", "eta=8", "feedback=epoch", "epochs=2"],
    "global_attention": [
        "image_size=32", "epochs=2", "cutoff_epochs=1", "pixel_channels=4",
        "backbone_arguments=filters=2",
    ],
}  # fmt: skip


def test_hosts_and_process_are_read():
    assert parse([]) == ([], 0)
    assert parse(["hosts=a:12345,b:1", "process=1"]) == (["a:12345", "b:1"], 1)
    assert parse(["process=0", "hosts=10.0.0.1:80,10.0.0.2:80,c.d:80"])[1] == 0


@pytest.mark.parametrize(
    "words, said",
    [
        (["host=a:1"], "takes nothing, or hosts="),
        (["hosts=a:1,b:1"], "process: says which"),
        (["hosts=a:1,b:1", "process=2"], "Received: process=2"),
        (["hosts=a:1,b:1", "process=-1"], "Received: process=-1"),
        (["hosts=a:1", "process=0"], "two or more"),
        (["hosts=a:1,a:1", "process=0"], "each HOST:PORT of its own"),
        (["hosts=a,b:99999", "process=0"], "each is HOST:PORT. Received: a, b:99999"),
        (["process=0"], "two or more"),
    ],
)
def test_hosts_that_cannot_be_are_refused(words, said):
    with pytest.raises(SettingError, match=said):
        parse(words)


def test_every_problem_is_told_at_once():
    with pytest.raises(SettingError) as caught:
        parse(["hosts=a", "process=7"])
    assert len(str(caught.value).splitlines()) == 3


def test_tensorflow_is_refused_with_the_reason(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        train.main(["--arch", "sononet", "--out", str(tmp_path / "run"), "--distribute"])
    said = capsys.readouterr().err
    assert caught.value.code == 2 and "Traceback" not in said
    assert "KERAS_BACKEND=jax" in said and "normalise by its own share" in said
    assert not (tmp_path / "run").exists()


def test_processes_meet_whoever_comes_first():
    hosts = [f"localhost:{port}" for port in free_ports(3)]
    met = []
    others = [
        threading.Thread(target=lambda i=i: met.append(meet(hosts, i, 30)), daemon=True)
        for i in (1, 2)
    ]
    others[0].start()
    time.sleep(0.2)
    assert not met, "nobody is there yet"
    others[1].start()
    with socket.create_server(("", int(hosts[0].split(":")[1]))):  # somebody else's, for a while
        time.sleep(0.1)
    meet(hosts, 0, 30)
    for other in others:
        other.join(10)
    assert len(met) == 2
    with socket.create_server(("", int(hosts[0].split(":")[1]))):
        pass  # free for JAX


def test_a_process_that_does_not_come_is_named():
    hosts = [f"localhost:{port}" for port in free_ports(3)]
    with pytest.raises(OSError, match="process 1, 2 did not come"):
        meet(hosts, 0, 0.1)
    with pytest.raises(OSError, match=f"not to be reached at {hosts[0]}"):
        meet(hosts, 1, 0.1)
    with (
        socket.create_server(("", int(hosts[0].split(":")[1]))),
        pytest.raises(OSError, match="in use"),
    ):
        meet(hosts, 0, 0.1)


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-x"])
def test_another_program_at_the_address_is_not_asked_for_ever(answer):
    (port,) = free_ports(1)
    with socket.create_server(("", port)) as server:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    with server.accept()[0] as connection:
                        connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        with pytest.raises(OSError, match="not to be reached.*(another program|reset|closed)"):
            meet([f"localhost:{port}"], 1, 0.5)


@pytest.mark.parametrize(
    "arch, num_devices, said", [("fan", 17, "batch_size"), ("pixel_classifier", 2, "scikit-learn")]
)
def test_what_cannot_be_shared_is_refused(arch, num_devices, said):
    devices = Distribution()
    check_devices(RECIPES[arch]["quick"], devices)
    devices.num_devices = num_devices
    with pytest.raises(SettingError, match=said):
        check_devices(RECIPES[arch]["quick"], devices)


def test_checkpoints_come_to_other_processes_as_they_were_written(tmp_path):
    shared = SharedCheckpoints(Checkpoints(tmp_path), Distribution())
    assert shared.latest() is None
    arrays = {"weights/0": np.float32([1 / 3, np.pi]), "weights/1": np.uint32([2**32 - 1])}
    record = Record(epoch=1, best_epoch=1, best=0.1, history=({"epoch": 1, "loss": 0.1},))
    shared.save(record, arrays)
    for found, state in (shared.latest(), shared.load(1)):
        assert found == record and list(state) == list(arrays)
        for name, array in arrays.items():
            assert state[name].dtype == array.dtype
            np.testing.assert_array_equal(state[name], array)


@pytest.fixture(scope="module")
def learn(tmp_path_factory):
    """A function that begins a training on JAX in a process of its own."""
    root = tmp_path_factory.mktemp("distribution")
    write_pack(root / "blobs.npz", blobs(IMAGES), (32, 32))

    def start(arch, out, *more, devices=1):
        command = [sys.executable, "-m", "thyroid_keras.train", "--arch", arch, *more]
        command += ["--data", str(root / "blobs.npz"), "--out", str(root / out)]
        flags = f"--xla_force_host_platform_device_count={devices}"
        own = {"KERAS_BACKEND": "jax", "TMPDIR": str(root / f"{out}-tmp")}
        own["XLA_FLAGS"] = f"{flags} --xla_backend_optimization_level=0"
        (root / f"{out}-tmp").mkdir(exist_ok=True)
        process = subprocess.Popen(
            [*command, "--set", "batch_size=7", *SETS[arch]],
            env=os.environ | own,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return process, root / out

    return start


@pytest.fixture(scope="module")
def alone(learn):
    """A function that returns the folder of an architecture's training on one device."""
    done = {}

    def folder(arch):
        if arch not in done:
            process, done[arch] = learn(arch, f"{arch}-alone")
            finished(process)
        return done[arch]

    return folder


def finished(process, status=0):
    out, err = process.communicate(timeout=900)
    assert process.returncode == status, err
    return out, err


def states(folder):
    """Weights and optimizer after each phase's first epoch."""
    files = sorted(folder.glob("checkpoints/*/epoch_0001/state.npz"))
    assert files
    return {f"{f.parts[-3]}/{k}": v for f in files for k, v in np.load(f).items()}


def assert_same_learned(folder, reference):
    there, here = states(folder), states(reference)
    assert list(there) == list(here)
    for name, array in here.items():
        np.testing.assert_allclose(there[name], array, rtol=WITHIN, atol=WITHIN, err_msg=name)


def assert_same_but_for_idle_biases(folder, reference):
    """Of Adam, for which the rounding of a gradient that is zero in truth is a step like any.

    A bias before a batch normalisation has such a gradient, and no part in what comes out.
    """
    there, here = states(folder), states(reference)
    assert list(there) == list(here)
    for name, array in here.items():
        if array.ndim > 1:
            np.testing.assert_allclose(there[name], array, rtol=0, atol=3 * WITHIN, err_msg=name)
    there, here = read_csv(folder / "history.csv"), read_csv(reference / "history.csv")
    assert len(there) == len(here) >= 1
    for one, other in zip(there, here, strict=True):
        for name in ("loss", "val_loss"):
            assert float(one[name]) == pytest.approx(float(other[name]), rel=WITHIN), (name, other)


@pytest.mark.slow
@pytest.mark.parametrize("arch", SETS)
def test_two_devices_learn_what_one_learns(arch, learn, alone):
    process, folder = learn(arch, f"{arch}-devices", "--distribute", devices=2)
    assert "shared by 2 devices\n" in finished(process)[0]
    by_adam = arch in ("cs_agnet", "global_attention")
    same = assert_same_but_for_idle_biases if by_adam else assert_same_learned
    same(folder, alone(arch))
    assert read_json(folder / "config.json")["environment"]["devices"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("interrupted", [False, True])
def test_two_processes_learn_what_one_learns(interrupted, learn, alone):
    out = f"processes-{interrupted}"

    def start(*more):
        hosts = ",".join(f"localhost:{port}" for port in free_ports(2))
        words = ["--distribute", f"hosts={hosts}"]
        first, folder = learn("sononet", out, *more, *words, "process=0")
        other, unused = learn("sononet", f"{out}-other", *more, *words, "process=1")
        return first, other, folder, unused

    first, other, folder, unused = start()
    if interrupted:
        wait_for(folder / "checkpoints" / "sononet" / "epoch_0001", first)
        other.send_signal(signal.SIGTERM)
        assert "--resume" in finished(first, 143)[1]
        finished(other, 143)
        assert not (folder / "model.keras").exists()
        first, other, folder, unused = start("--resume")
    said, _ = finished(first)
    assert "shared by 2 devices, of 2 processes" in said and "Report:" in said
    spoken = [line for line in finished(other)[0].splitlines() if not line.startswith("[Gloo]")]
    assert not spoken, "only the first process speaks"
    assert_same_learned(folder, alone("sononet"))
    assert (folder / "report.html").exists() and (folder / "model.keras").exists()
    assert not unused.exists(), "only the first process keeps a folder"
    assert not list(unused.with_name(f"{unused.name}-tmp").glob("thyroid_keras_*"))


def free_ports(count):
    """Returns ports that nobody listens to."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("localhost", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_for(path, process):
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
