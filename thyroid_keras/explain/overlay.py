"""A map drawn over its image."""

import cv2
import numpy as np

BLEND = 0.65  # of the colours where the map is highest
WARM, COLD = (255, 110, 0), (0, 130, 255)  # RGB; told apart by colour-blind readers
FONT = {"fontFace": cv2.FONT_HERSHEY_SIMPLEX, "fontScale": 0.5}
BOX_COLOUR = (240, 20, 47)  # RGB, red


def overlay(image, attention, *, signed=False):
    """Colours the places where a map is high and leaves the others as they are.

    Args:
        image: uint8 `(H, W)` or `(H, W, 3)`.
        attention: float `(h, w)`, any scale; resized bilinearly to H, W.
        signed: bool, whether the map has a meaning on either side of 0: what is above it
            gets warm tones, what is below cold ones, by one scale, and 0 none.

    Returns:
        uint8 `(H, W, 3)`; the grey image where the map is the same everywhere.
    """
    height, width = image.shape[:2]
    base = np.repeat(image[..., None], 3, axis=-1) if image.ndim == 2 else image
    if not np.ptp(attention) > 0:
        return base.astype(np.uint8)
    lowest = 0.0 if signed else attention.min()
    share = (attention - lowest) / np.abs(attention - lowest).max()
    share = cv2.resize(share.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    if signed:
        colours = np.where(share[..., None] > 0, np.float32(WARM), np.float32(COLD))
    else:
        import matplotlib  # here, since it takes a while and few commands draw

        colours = matplotlib.colormaps["inferno"](share)[..., :3] * 255
    weight = BLEND * np.abs(share)[..., None]
    return np.rint(base * (1 - weight) + colours * weight).astype(np.uint8)


def compare_maps(image, maps, *, boxes=None, signed=False, columns=None, panel_px=320):
    """Draws an image and beside it one overlay per map, each under its name.

    Args:
        image: uint8 `(H, W)` or `(H, W, 3)`.
        maps: dict from name to float `(h, w)`.
        signed: bool, of all maps, see `overlay`.
        boxes: dict from name of a map to the box `[left, top, width, height]`, in pixels
            of the image, that is drawn over it.
        columns: panels per row; `None`: all in one, or four where they are more than five.
        panel_px: the longer side of a panel.

    Returns:
        uint8 `(H', W', 3)`; panels are as wide as the longest name needs.
    """
    scale = panel_px / max(image.shape[:2])
    size = tuple(max(1, round(side * scale)) for side in image.shape[1::-1])
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    width = max(size[0], *(_width_of(name) for name in ("image", *maps)))
    panels = [_captioned(overlay(image, np.zeros((1, 1))), "image", width)]
    for name, values in maps.items():
        drawn = overlay(image, values, signed=signed)
        if (boxes or {}).get(name):
            _draw_box(drawn, np.multiply(boxes[name], scale))
        panels.append(_captioned(drawn, name, width))
    if columns is None:
        columns = len(panels) if len(panels) <= 5 else 4
    blank = np.full_like(panels[0], 255)
    panels += [blank] * (-len(panels) % columns)
    rows = [np.hstack(panels[i : i + columns]) for i in range(0, len(panels), columns)]
    return np.vstack(rows)


def _draw_box(panel, box, *, width_px=2):
    left, top, width, height = (round(side) for side in box)
    corners = (left, top), (left + width - 1, top + height - 1)
    cv2.rectangle(panel, *corners, color=BOX_COLOUR, thickness=width_px)


def _width_of(caption):
    (width, _), _ = cv2.getTextSize(caption, thickness=1, **FONT)
    return 2 + width


def _captioned(panel, caption, width, *, gap_px=4, caption_px=22):
    height = panel.shape[0]
    sheet = np.full((height + caption_px + gap_px, width + gap_px, 3), 255, np.uint8)
    sheet[caption_px : caption_px + height, : panel.shape[1]] = panel
    style = {"color": (0, 0, 0), "thickness": 1, "lineType": cv2.LINE_AA} | FONT
    cv2.putText(sheet, caption, org=(2, caption_px - 7), **style)
    return sheet
