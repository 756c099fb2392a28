"""Which devices learn together, as `--distribute` names them."""

import contextlib
import socket
import time

import keras

from thyroid_keras.training.distribution import Distribution
from thyroid_keras.training.settings import SettingError, refuse

USAGE = "--distribute takes nothing, or hosts=HOST:PORT,HOST:PORT,... and process=I"
PARTS = ("hosts", "process")
PATIENCE_S = 300
LONGEST_S = 5  # of a word between processes that have met


def find_devices(words, seed):
    """Finds the devices that `--distribute` asks for; with `hosts=` waits for the other processes.

    Must come before anything that asks JAX for its devices.

    Args:
        words: sequence of str, what follows `--distribute`; `None`: nothing is distributed.
        seed: int, of Keras's random generators, the same in all processes.

    Returns:
        `Distribution`.

    Raises:
        SettingError: with everything that is wrong with the words, the backend or the devices.
    """
    if words is None:
        return Distribution()
    hosts, process = parse(words)
    if (backend := keras.backend.backend()) != "jax":
        raise SettingError(
            "--distribute needs Keras on JAX: on TensorFlow each device would normalise by its own "
            "share of a batch, and several hosts cannot fit at all. Set KERAS_BACKEND=jax in the "
            f"environment. Received: backend={backend!r}"
        )
    if hosts:
        try:
            meet(hosts, process)  # JAX aborts its process where another does not come
        except OSError as error:
            raise SettingError(
                f"--distribute: the processes do not find each other, {error}. Begin one on each "
                f"host, within {PATIENCE_S // 60} minutes; {hosts[0]} must be free there, and "
                "reachable from the others. "
                f"Received: hosts={','.join(hosts)}, process={process}"
            ) from error
        keras.utils.set_random_seed(seed)  # or Keras draws one
        keras.distribution.initialize(",".join(hosts), len(hosts), process)
    devices = keras.distribution.list_devices()
    if len(devices) == 1:
        raise SettingError(
            "--distribute: this host has one device, and no other host is named; leave it out, or "
            f"name hosts. Received: devices={devices}"
        )
    return Distribution(devices)


def parse(words):
    """Reads what follows `--distribute`.

    Args:
        words: sequence of str, `"hosts=..."` and `"process=..."`, or none.

    Returns:
        `(hosts, process)`: list of `"host:port"`, empty for this host alone, and int, which of
        them this is.

    Raises:
        SettingError: with everything that is wrong.
    """
    given = dict(word.partition("=")[::2] for word in words)
    unknown = [word for word in words if word.partition("=")[0] not in PARTS]
    problems = [f"{USAGE}. Received: {word!r}" for word in unknown]
    hosts = [host.strip() for host in given.get("hosts", "").split(",") if host.strip()]
    process = given.get("process", "")
    if words and not unknown:
        if len(hosts) < 2 or len(set(hosts)) < len(hosts):
            problems.append(
                "--distribute hosts: must be two or more, each HOST:PORT of its own. "
                f"Received: hosts={given.get('hosts')}"
            )
        bad = [host for host in hosts if not _has_port(host)]
        if bad:
            problems.append(f"--distribute hosts: each is HOST:PORT. Received: {', '.join(bad)}")
        if not process.isdecimal() or int(process) >= max(len(hosts), 1):
            problems.append(
                "--distribute process: says which of the hosts this is, from 0. "
                f"Received: process={given.get('process')}"
            )
    refuse(problems)
    return hosts, int(process or 0)


def _has_port(host):
    name, _, port = host.rpartition(":")
    return bool(name) and port.isdecimal() and 0 < int(port) < 2**16


def meet(hosts, process, patience_s=PATIENCE_S):
    """Waits until all processes have come to the first one's address.

    Args:
        hosts: list of `"host:port"`.
        process: int, which of them this is.
        patience_s: float, how long, seconds.

    Raises:
        OSError: if the address cannot be had or reached, or a process does not come in time.
    """
    host, _, port = hosts[0].rpartition(":")
    deadline = time.monotonic() + patience_s
    if process == 0:
        with contextlib.ExitStack() as stack:
            _welcome(stack, int(port), len(hosts), deadline)
        return
    while True:
        try:
            with socket.create_connection((host, int(port)), LONGEST_S) as connection:
                connection.sendall(f"{process}\n".encode())
                connection.settimeout(max(deadline - time.monotonic(), 0.1))
                if connection.recv(2) == b"go":
                    return
                raise OSError("another program answers there, or a process of the same number")
        except OSError as error:
            if time.monotonic() > deadline:
                raise OSError(f"process 0 is not to be reached at {hosts[0]} ({error})") from error
        time.sleep(0.1)


def _welcome(stack, port, count, deadline):
    """Lets all others go once the last has come, and leaves the port free."""
    server = stack.enter_context(socket.create_server(("", port)))
    come = {}
    while missing := sorted(set(range(1, count)) - set(come)):
        server.settimeout(max(deadline - time.monotonic(), 0.1))
        try:
            connection = stack.enter_context(server.accept()[0])
        except TimeoutError:
            names = ", ".join(map(str, missing))
            raise OSError(f"process {names} did not come in time") from None
        connection.settimeout(LONGEST_S)
        with contextlib.suppress(OSError, ValueError):  # a passer-by
            come[int(connection.recv(16))] = connection
    for process in range(1, count):
        come[process].sendall(b"go")
        come[process].recv(1)  # it closes first: the port is not to linger here
