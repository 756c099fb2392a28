"""Which devices learn together, as `--distribute` names them."""

import keras

from thyroid_keras.training.distribution import Distribution
from thyroid_keras.training.settings import SettingError

USAGE = "--distribute takes nothing, or hosts=HOST:PORT,HOST:PORT,... and process=I"
PARTS = ("hosts", "process")


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
        keras.utils.set_random_seed(seed)  # or Keras draws one
        try:
            keras.distribution.initialize(",".join(hosts), len(hosts), process)
        except RuntimeError as error:
            raise SettingError(
                f"--distribute: the processes do not find each other, {error}. Begin one on each "
                f"host, within minutes; {hosts[0]} must be free and reachable from all. "
                f"Received: hosts={','.join(hosts)}, process={process}"
            ) from error
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
    if problems:
        raise SettingError("\n".join(problems))
    return hosts, int(process or 0)


def _has_port(host):
    name, _, port = host.rpartition(":")
    return bool(name) and port.isdecimal() and 0 < int(port) < 2**16
