"""What a result was computed with: versions, hardware, state of the code."""

import os
import pathlib
import platform
import shlex
import subprocess
import sys
from importlib import metadata

from thyroid_keras._version import __version__

# the first name that is installed stands for the key
DISTRIBUTIONS = {
    "keras": ("keras", "keras-nightly"),
    "tensorflow": ("tensorflow", "tensorflow-cpu", "tensorflow-macos", "tf-nightly"),
    "jax": ("jax",),
    "numpy": ("numpy",),
    "scikit-learn": ("scikit-learn",),
    "skops": ("skops",),
    "opencv": ("opencv-python-headless", "opencv-python"),
    "pillow": ("pillow",),
}


def environment(version=None):
    """What it takes to explain a result later; imports nothing and never fails.

    Args:
        version: str, of this package; `None`: the one that runs.

    Returns:
        Dict of `"versions"` (name -> str), `"platform"`, `"cpu"`, `"cores"` (usable by this
        process), `"gpus"` (list of str), `"git"` (`{"commit", "dirty"}` of the current
        directory, or `None`; `dirty` is `None` where it cannot be asked safely) and
        `"command"`.
    """
    versions = {
        "thyroid-keras": version or __version__,
        "python": platform.python_version(),
    }
    versions |= {name: _version(names) for name, names in DISTRIBUTIONS.items()}
    return {
        "versions": {name: v for name, v in versions.items() if v},
        "platform": platform.platform(),
        "cpu": next(_values("model name", "cpuinfo"), platform.processor() or platform.machine()),
        "cores": usable_cores(),
        "gpus": list(_values("Model", "driver/nvidia/gpus/*/information")),
        "git": _git_state(),
        "command": command_line(),
    }


def usable_cores():
    """Returns how many cores this process may use."""
    usable = getattr(os, "sched_getaffinity", None)  # of Linux alone
    return len(usable(0)) if usable else os.cpu_count() or 1


def command_line():
    """Returns the command that started this process, fit to be pasted into a shell."""
    return shlex.join(["python", *sys.orig_argv[1:]])


def way_on(command, folder):
    """Says in a sentence how a stopped run goes on.

    Args:
        command: name of the command that writes in the folder, e.g. `"train"`.
        folder: of the run.

    Returns:
        The command to be pasted, where this process is that command; else what to add
        to whatever was called.
    """
    words = sys.orig_argv[1:]
    if words[:2] != ["-m", f"thyroid_keras.{command}"]:
        return f"Go on with {folder} by the same call with --resume (resume=True)."
    if not any(word == "--out" or word.startswith("--out=") for word in words):
        words += ["--out", str(folder)]
    if "--resume" not in words:
        words.append("--resume")
    return f"Go on with\n  {shlex.join(['python', *words])}"


def _values(key, pattern):
    """What follows `key:` in those of the kernel's files that exist."""
    for path in sorted(pathlib.Path("/proc").glob(pattern)):
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, value = line.partition(":")
            if name.strip() == key:
                yield value.strip()


def _version(names):
    for name in names:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            pass
    return None


def _git_state():
    commit = _git("rev-parse", "HEAD")
    if not commit:
        return None
    # changes in a submodule are asked of a git of its own, which runs the filters of its own
    status = _git("status", "--porcelain", "--ignore-submodules=dirty") if _is_harmless() else None
    return {"commit": commit, "dirty": None if status is None else bool(status)}


def _is_harmless():
    """Whether the repository brings no filters, which are programs that `status` would run."""
    entries = _git("config", "--list", "--name-only", "--show-scope")
    if not entries:
        return False
    own = ("local\tfilter.", "worktree\tfilter.")
    return not any(entry.startswith(own) for entry in entries.splitlines())


def _git(*arguments):
    """What git says; `None` where it fails. It runs no program that a repository names."""
    try:
        done = subprocess.run(
            # without the lock no index is written, after which a hook would run
            ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", *arguments],
            env=os.environ | {"GIT_ALLOW_PROTOCOL": ""},  # nor are missing objects fetched
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
