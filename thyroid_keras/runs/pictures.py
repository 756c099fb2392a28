"""Pictures as PNG files."""

import cv2

from thyroid_keras.runs.files import RunError, write_bytes


def write_png(path, image):
    """Writes a uint8 `(H, W)` or RGB `(H, W, 3)` picture, atomically and without tags.

    Raises:
        RunError: if it cannot be encoded or written.
    """
    ordered = image if image.ndim == 2 else image[..., ::-1]
    done, data = cv2.imencode(".png", ordered)
    if not done:
        raise RunError(f"{path}: cannot be encoded as PNG. Received: shape={image.shape}")
    write_bytes(path, data.tobytes())
