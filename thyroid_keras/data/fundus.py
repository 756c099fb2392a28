"""Photographs of the back of the eye, as Xu et al. lay them one over the other."""

import cv2
import numpy as np

MACULA = (0.57, 0.53, 0.3, 0.36)  # one disc diameter about the fovea, see `SampleTable.region`
# Columns of IDRiD's 4288 that hold the eye, and the right eyes among its training and its
# test images, counted from 0 (Xu et al., supplement, Sec. 1.1).
WIDTH, FIRST, LAST = 4288, 260, 3685
RIGHT_EYES = {
    "train": """0 6 8 9 12 13 16 17 19 21 22 24 26 28 30 32 34 36 38 40 45 46 48 51 54 56 58 60 61
        63 64 65 66 68 70 73 75 77 79 81 84 86 89 90 93 94 98 99 100 101 102 104 106 109 111 115
        117 118 119 123 124 127 128 131 134 135 137 139 141 144 145 147 149 151 152 156 157 158
        159 160 163 166 168 170 171 172 174 176 177 181 183 184 186 187 188 190 192 193 194 195
        197 200 201 202 204 206 209 211 212 214 216 217 220 222 226 230 234 235 238 241 244 246
        248 251 252 253 256 258 259 261 264 268 270 272 273 274 275 276 279 282 284 286 288 289
        291 292 299 300 302 304 305 306 307 309 312 314 315 318 320 321 322 325 329 331 333 334
        337 340 341 343 345 349 351 356 357 359 361 362 367 369 370 372 373 375 377 378 381 383
        384 387 389 392 394 396 398 402 403 405 406 407 408 409 411 412""",
    "test": """1 3 4 5 8 9 14 15 16 19 21 24 26 27 31 34 35 36 38 39 41 42 45 48 50 53 55 57 60
        62 63 64 66 67 69 71 76 81 82 84 86 87 90 94 96 100 102""",
}
RIGHT_EYES = {part: frozenset(map(int, text.split())) for part, text in RIGHT_EYES.items()}
COUNTS = {"train": 413, "test": 103}
# how the optic disc is found, in pixels of a picture of SIDE x SIDE
SIDE, DISC_SIGMA, AROUND_SIGMA = 128, 5, 12


def crop_of(width, height):
    """Returns the region `(left, top, width, height)` that holds the eye, of any scale."""
    left, right = (round(column * width / WIDTH) for column in (FIRST, LAST + 1))
    return left, 0, right - left, height


def listed_side(part, number):
    """Whether an image of IDRiD is of a right eye, by the lists of the supplement.

    Args:
        part: `"train"` or `"test"`.
        number: int, that in the image's name, from 1.

    Returns:
        bool; `None` where the lists do not reach.
    """
    return number - 1 in RIGHT_EYES[part] if 1 <= number <= COUNTS[part] else None


def shows_right_eye(image):
    """Whether the optic disc lies to the right, as in right eyes.

    The disc is where the picture is brightest against what surrounds it, in either outer
    third of its middle rows.

    Args:
        image: uint8 `(H, W, 3)`, the eye alone, the macula near the centre.
    """
    small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    bright = small.astype(np.float32).mean(axis=-1)
    blurred = (cv2.GaussianBlur(bright, (0, 0), sigma) for sigma in (DISC_SIGMA, AROUND_SIGMA))
    middle = np.subtract(*blurred)[3 * SIDE // 10 : 7 * SIDE // 10]
    return bool(middle[:, -SIDE // 3 :].max() > middle[:, : SIDE // 3].max())
