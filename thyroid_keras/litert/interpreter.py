"""Running LiteRT files that are known to be ours."""

import statistics
import time
import warnings

import numpy as np

try:  # the runtime alone, which TensorFlow's is to give way to
    from ai_edge_litert.interpreter import Interpreter
except ImportError:
    from tensorflow.lite.python.interpreter import Interpreter


class LiteRT:
    """A LiteRT file in memory, ready to answer images.

    Nothing is checked: a hostile file may end the process. Files of others are for
    `litert.load`.

    Args:
        content: bytes of the file.
        num_threads: int >= 1; `None`: as the runtime likes.
    """

    def __init__(self, content, num_threads=None):
        with warnings.catch_warnings():
            # TensorFlow's announces its end, and names the package that is preferred above
            warnings.simplefilter("ignore", UserWarning)
            self._interpreter = Interpreter(model_content=content, num_threads=num_threads)
        (name,) = self._interpreter.get_signature_list()
        self._run = self._interpreter.get_signature_runner(name)
        ((self._input, details),) = self._run.get_input_details().items()
        self.image_shape = tuple(int(side) for side in details["shape"][1:])

    def predict(self, images):
        """Answers images.

        Args:
            images: `(N, H, W, C)` in [0, 1], N >= 1.

        Returns:
            dict from the name of each output to its float32 `(N, ...)`.
        """
        images = np.asarray(images, np.float32)
        answers = [self._run(**{self._input: image[None]}) for image in images]
        return {name: np.concatenate([a[name] for a in answers]) for name in answers[0]}

    def latency_ms(self, repeats=10):
        """Median time of one image, of `repeats` after one to warm up."""
        image = np.zeros((1, *self.image_shape), np.float32)
        self._run(**{self._input: image})
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            self._run(**{self._input: image})
            seconds.append(time.perf_counter() - start)
        return 1000 * statistics.median(seconds)
