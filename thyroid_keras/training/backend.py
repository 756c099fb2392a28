"""What the machine and the backend decide: precision, determinism, the session, gradients."""

import contextlib
import sys

import keras

PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")


@contextlib.contextmanager
def own_session():
    """Within the block Keras is as in a new process; the precision policy comes back after."""
    policy = keras.config.dtype_policy()
    keras.backend.clear_session()
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)


def make_deterministic(seed, *, jit_compile=False):
    """Seeds every random generator; on TensorFlow also fixes the order of sums.

    Args:
        seed: int >= 0.
        jit_compile: whether XLA shall compile the steps, which Keras refuses where
            TensorFlow's order is fixed; it is then left to XLA.
    """
    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":
        from tensorflow.python.framework import config  # only there it can be switched off

        if jit_compile:
            config.disable_op_determinism()
        else:
            config.enable_op_determinism()


def set_precision(precision):
    """Sets the precision policy of all layers built from now on.

    Args:
        precision: `"float32"`, `"mixed_bfloat16"`, `"mixed_float16"` or `"auto"`:
            float16 on a GPU with tensor cores, bfloat16 on a CPU that computes in it
            (AVX512-BF16, on TensorFlow), else float32.

    Returns:
        The policy's name.

    Raises:
        ValueError: if the name is unknown.
    """
    if precision not in PRECISIONS:
        raise ValueError(
            f"`precision` must be one of {PRECISIONS}. Received: precision={precision!r}"
        )
    if precision == "auto":
        precision = _fastest_precision()
    keras.config.set_dtype_policy(precision)
    return precision


def gradient(function, point):
    """Returns the derivative of a scalar function of one tensor, in the shape of that tensor."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(point)
            value = function(point)
        return tape.gradient(value, point)
    import jax

    return jax.grad(function)(point)


def gpu_capability():
    """Returns the compute capability of the first GPU, as a float; 0.0 without one."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        for device in tf.config.list_physical_devices("GPU"):
            major, minor = tf.config.experimental.get_device_details(device).get(
                "compute_capability", (0, 0)
            )
            return float(f"{major}.{minor}")
        return 0.0
    import jax

    gpus = [d for d in jax.devices() if d.platform == "gpu"]
    return float(getattr(gpus[0], "compute_capability", 0.0)) if gpus else 0.0


def _fastest_precision():
    capability = gpu_capability()
    if capability:
        return "mixed_float16" if capability >= 7.0 else "float32"
    if keras.backend.backend() == "tensorflow" and "avx512_bf16" in _cpu_flags():
        return "mixed_bfloat16"
    return "float32"


def _cpu_flags():
    if not sys.platform.startswith("linux"):
        return ()
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as lines:
            return next((line.split() for line in lines if line.startswith("flags")), ())
    except OSError:
        return ()
