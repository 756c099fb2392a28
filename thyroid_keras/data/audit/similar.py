"""Finds pictures that were stored again: recompressed, rescaled, cropped, shifted, brightened.

Shape key: N pictures, K windows of each, D values of a descriptor.
"""

import cv2
import numpy as np

from thyroid_keras.data.progress import map_threads, track

COPY = 0.9
NEAR = 0.8
SIDE = 64  # of thumbnails, in pixels
_GRID = 16
_WINDOW_PX = 58
_NEIGHBOURS = 3
_WORTH_A_LOOK = 0.5
_BLOCK = 128
_BLUR_PX = 6
# the middle of a thumbnail at these sides is sought in another; first in halves, coarsely
_SIDES_PX = (48, 47, 46, 45, 44, 42, 40)
_COARSE_SIDES_PX = (23, 21)
_WORTH_ALIGNING = 0.55
_FAINT = 0.01  # where the details of a whole have length 1


def thumbnail(image):
    """Reduces a uint8 picture `(H, W)` to `(SIDE, SIDE)`, stretched where it is not square."""
    return cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def find_similar(thumbnails, *, groups=None, progress=True):
    """Finds pairs of pictures of which one seems to be made from the other.

    First the three pictures nearest to each picture, or to one of nine windows of nine
    tenths of it, by the correlation of 16x16 grey levels, and the nearest three of other
    groups, however many of its own are nearer. Then, for these pairs, the
    correlation of the details (grey levels less their blurred selves): of the whole,
    which tells a copy, and of the middle of one anywhere in the other at seven scales,
    which tells a near-duplicate.

    Of 227 DDTI and 800 simulated pictures, all distinct, stored again as JPEG of quality
    10 to 90, at half to one and a half times the size, or 0.7 to 1.2 times as bright, every
    one is found as a copy; RESULTS.rst and `tests/benchmark.py near` give the rates of crops
    and shifts, and of false alarms. A mirrored or rotated picture is not found.

    Args:
        thumbnails: uint8 array `(N, SIDE, SIDE)` of different pictures.
        groups: `(N,)`, the patient of each picture; `None`: each has its own.
        progress: whether to show progress bars.

    Returns:
        List of `(i, j, similarity, is_copy)`, i < j, the most similar first.
    """
    if len(thumbnails) < 2:
        return []
    wholes, windows = _describe(thumbnails)
    pairs = sorted(_candidates(wholes, windows, groups, progress))
    details = [_detail(thumbnail) for thumbnail in thumbnails]
    coarse = [cv2.resize(d, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for d in details]

    def compare(pair):
        i, j = pair
        whole = float(np.vdot(details[i], details[j]))
        if whole >= COPY:
            return i, j, whole, True
        similarity = _align(coarse[i], coarse[j], _COARSE_SIDES_PX)
        if similarity >= _WORTH_ALIGNING:
            similarity = _align(details[i], details[j], _SIDES_PX)
        return i, j, similarity, False

    compared = map_threads(compare, pairs, "Comparing similar pictures", progress)
    return sorted((found for found in compared if found[2] >= NEAR), key=lambda f: (-f[2], f))


def _describe(thumbnails):
    """Unit vectors `(N, D)` of the wholes and `(N, K, D)` of the windows, the whole first."""
    end = SIDE - _WINDOW_PX
    starts = (0, end // 2, end)
    windows = np.empty((len(thumbnails), 1 + len(starts) ** 2, _GRID, _GRID), np.float32)
    for thumbnail, row in zip(thumbnails, windows, strict=True):
        cuts = [
            thumbnail[top : top + _WINDOW_PX, left : left + _WINDOW_PX]
            for top in starts
            for left in starts
        ]
        for k, cut in enumerate((thumbnail, *cuts)):
            row[k] = cv2.resize(cut, (_GRID, _GRID), interpolation=cv2.INTER_AREA)
    windows = _unit(windows.reshape(*windows.shape[:2], -1))
    return windows[:, 0], windows


def _unit(values):
    """Scales the last axis to mean 0 and length 1, so that products are correlations."""
    values = values - values.mean(-1, keepdims=True)
    return values / np.maximum(np.linalg.norm(values, axis=-1, keepdims=True), 1e-6)


class _Nearest:
    """The windows nearest to each whole, of all that it is shown."""

    def __init__(self, count):
        self.values = np.full((count, _NEIGHBOURS), -1, np.float32)
        self.of = np.zeros((count, _NEIGHBOURS), int)

    def show(self, similarity, own):
        """Compares with pictures `own` `(B,)`, whose similarities are `(B, N)`."""
        order, values = _largest(np.concatenate([self.values, similarity.T], axis=1))
        known = np.broadcast_to(own, (len(self.of), len(own)))
        known = np.concatenate([self.of, known], axis=1)
        self.values, self.of = values, np.take_along_axis(known, order, axis=1)


def _candidates(wholes, windows, groups, progress):
    """Pairs of neighbours, as a set of `(i, j)` with i < j."""
    count = len(wholes)
    groups = None if groups is None else np.unique(groups, return_inverse=True)[1]
    nearest_of = [_Nearest(count) for _ in range(1 if groups is None else 2)]
    pairs = set()

    def add(rows, columns, similarities):
        keep = similarities >= _WORTH_A_LOOK
        for i, j in zip(rows[keep].tolist(), columns[keep].tolist(), strict=True):
            pairs.add((min(i, j), max(i, j)))

    blocks = range(0, count, _BLOCK)
    for start in track(blocks, "Searching for similar pictures", total=len(blocks), show=progress):
        block = windows[start : start + _BLOCK]
        own = np.arange(start, start + len(block))
        similarity = (block.reshape(-1, block.shape[-1]) @ wholes.T).reshape(*block.shape[:2], -1)
        similarity = similarity.max(1)
        similarity[np.arange(len(block)), own] = -1
        seen = [similarity]
        if groups is not None:
            seen.append(np.where(groups[own, None] == groups, -1, similarity))
        for found, shown in zip(nearest_of, seen, strict=True):
            nearest, values = _largest(shown)
            add(np.repeat(own, nearest.shape[1]), nearest.ravel(), values.ravel())
            found.show(shown, own)
    for found in nearest_of:
        add(np.repeat(np.arange(count), _NEIGHBOURS), found.of.ravel(), found.values.ravel())
    return pairs


def _largest(values):
    """Indices and values of the largest few of each row."""
    few = min(_NEIGHBOURS, values.shape[1])
    index = np.argpartition(-values, few - 1, axis=1)[:, :few]
    return index, np.take_along_axis(values, index, axis=1)


def _detail(thumbnail):
    grey = thumbnail.astype(np.float32)
    detail = grey - cv2.GaussianBlur(grey, (0, 0), _BLUR_PX)
    return _unit(detail.ravel()).reshape(detail.shape)


def _align(a, b, sides):
    """Correlation of the middle of either with what it meets in the other, at its best."""
    margin = len(a) // 8
    middle = np.s_[margin:-margin, margin:-margin]
    return max(
        _best_match(cv2.resize(part[middle], (side, side), interpolation=cv2.INTER_AREA), whole)
        for part, whole in ((a, b), (b, a))
        for side in sides
    )


def _best_match(part, whole):
    if min(cv2.norm(part), cv2.norm(whole)) < _FAINT:
        return 0.0  # the correlation of what is all but constant is noise
    return float(cv2.matchTemplate(whole, part, cv2.TM_CCOEFF_NORMED).max())
