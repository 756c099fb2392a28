"""DICOM: frames, colours, and the region of a frame that is ultrasound.

Of a file's tags only those are taken that say how its pixels are stored; none that names or
describes a patient is kept, and so none is in what is written.
"""

import io
import re

import numpy as np
from PIL import Image

from thyroid_keras.data.pictures import MAX_PIXELS, ImageError, quiet

SUFFIX = ".dcm"
MAX_FRAMES = 10_000
DEFLATED = "1.2.840.10008.1.2.1.99"
JPEG_LOSSY = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")
TWO_DIMENSIONAL = 1  # among RegionSpatialFormat: neither M-mode nor spectra nor graphics
EDGES = ("MinX0", "MinY0", "MaxX1", "MaxY1")
HEADER = ["NumberOfFrames", "Rows", "Columns", "SequenceOfUltrasoundRegions"]
_ADDRESS = re.compile(rf"(.+{re.escape(SUFFIX)})#([1-9][0-9]{{0,4}})", re.IGNORECASE | re.DOTALL)
_INSTALL = "is a DICOM file; to read it, pip install thyroid_keras[dicom]"


def split_frame(path):
    """Returns `(file, frame)` of `file.dcm#frame`, from 1; of any other path `(path, None)`."""
    match = _ADDRESS.fullmatch(path)
    return (match[1], int(match[2])) if match else (path, None)


def is_dicom(stream):
    """Whether a seekable binary stream begins as DICOM files do."""
    head = stream.read(132)
    stream.seek(0)
    return head[128:] == b"DICM"


def read_header(stream, name):
    """Reads how many frames a file has, and where they are ultrasound.

    Args:
        stream: seekable binary stream.
        name: what errors call the file.

    Returns:
        `(num_frames, roi)`: int, and `(left, top, width, height)`, around all regions of
        two-dimensional ultrasound; `None` where the file names none.

    Raises:
        ImageError: if the file is damaged or pydicom is not installed.
    """
    header = _header(stream, name)
    return header["num_frames"], header["roi"]


def read_dicom(stream, name, frame=None):
    """Decodes a frame of a seekable binary stream.

    Greys of any depth count as full range; MONOCHROME1 is inverted; palettes and YBR become
    RGB, also where a JPEG is labelled RGB and is not. No window is applied.

    Args:
        stream: seekable binary stream.
        name: what errors call the file.
        frame: int, from 1; `None`: the first.

    Returns:
        uint8 array `(H, W)` or `(H, W, 3)`.

    Raises:
        ImageError: with `name`, the fault and the way out.
    """
    header, frame = _header(stream, name), frame or 1
    if frame > header["num_frames"]:
        raise ImageError(
            f"{name}: has {header['num_frames']} frames; name one of them. Received: frame={frame}"
        )
    try:
        with quiet():
            values, tags = _pixels(stream, header["syntax"], frame, header["num_frames"])
            return _to_uint8(values, tags, name)
    except ImageError:
        raise
    except Exception as error:  # a file made with intent may fail in any way
        raise ImageError(
            f"{name}: is a DICOM file that is cut off or damaged ({_first_line(error)}); copy it "
            "again from its source"
        ) from error


def _header(stream, name):
    try:
        from pydicom.filereader import dcmread, read_dataset
    except ImportError as error:
        raise ImageError(f"{name}: {_INSTALL}") from error
    try:
        with quiet():
            stream.seek(132)
            meta = read_dataset(stream, False, True, stop_when=lambda tag, *_: tag >> 16 != 2)
            syntax = str(meta.TransferSyntaxUID)
            stream.seek(0)
            if syntax == DEFLATED:  # which pydicom would inflate, however large
                raise ImageError(f"{name}: is deflated as a whole; save it uncompressed")
            tags = dcmread(stream, stop_before_pixels=True, specific_tags=HEADER)
            stream.seek(0)
            num_frames = int(tags.get("NumberOfFrames") or 1)
            height, width = int(tags.Rows), int(tags.Columns)
            regions = [_region(item) for item in tags.get("SequenceOfUltrasoundRegions", ())]
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(
            f"{name}: is a DICOM file without a picture, or damaged ({_first_line(error)}); copy "
            "it again from its source"
        ) from error
    if height * width > MAX_PIXELS or not 1 <= num_frames <= MAX_FRAMES or not height * width:
        raise ImageError(
            f"{name}: is a DICOM file of {num_frames} frames of {width}x{height} pixels; at most "
            f"{MAX_FRAMES} frames of {MAX_PIXELS // 10**6} megapixels are read. Split or crop it"
        )
    _require_decoder(syntax, name)
    roi = _around([region for region in regions if region], width, height)
    return {"num_frames": num_frames, "syntax": syntax, "roi": roi}


def _require_decoder(syntax, name):
    from pydicom.pixels import get_decoder
    from pydicom.uid import UID

    try:
        decoder = get_decoder(UID(syntax))
        if decoder.is_available:
            return
        way_out = f"pip install what it needs ({'; '.join(decoder.missing_dependencies)})"
    except NotImplementedError:
        way_out = "no package does"
    raise ImageError(
        f"{name}: is a DICOM file compressed as {UID(syntax).name}, which is not decoded here: "
        f"{way_out}, or save it uncompressed (dcmtk: dcmdjpeg; GDCM: gdcmconv --raw)"
    )


def _region(item):
    """Edges of a region of two-dimensional ultrasound; `None` of any other."""
    if item.get("RegionSpatialFormat") != TWO_DIMENSIONAL:
        return None
    return [int(item[f"RegionLocation{edge}"].value) for edge in EDGES]


def _around(regions, width, height):
    """The box around regions, within the picture; `None` for none."""
    if not regions:
        return None
    left, top, right, bottom = (np.array(regions).T).tolist()
    left, top = min(left), min(top)
    right, bottom = min(width - 1, max(right)), min(height - 1, max(bottom))
    if right < left or bottom < top:
        return None
    return left, top, right - left + 1, bottom - top + 1


def _pixels(stream, syntax, frame, num_frames):
    """The values of a frame, YBR as RGB; and the tags that explain them."""
    from pydicom.dataset import Dataset
    from pydicom.pixels import convert_color_space, pixel_array

    tags = Dataset()
    values = pixel_array(stream, index=frame - 1, ds_out=tags)
    if syntax in JPEG_LOSSY and tags.PhotometricInterpretation == "RGB":
        if _is_ybr(stream, frame, num_frames):
            values = convert_color_space(values, "YBR_FULL", "RGB")
    return values, tags


def _is_ybr(stream, frame, num_frames):
    """Whether a JPEG without a word on its colours stores some of them more coarsely.

    Nobody does so with red, green and blue. Where it has a word, pydicom heeds it.
    """
    from pydicom.encaps import get_frame
    from pydicom.filereader import dcmread

    stream.seek(0)
    data = dcmread(stream, specific_tags=["PixelData"]).PixelData
    with Image.open(io.BytesIO(get_frame(data, frame - 1, number_of_frames=num_frames))) as jpeg:
        silent = not {"adobe_transform", "jfif"} & set(jpeg.info)
        return silent and len({component[1:3] for component in jpeg.layer}) > 1


def _to_uint8(values, tags, name):
    """8-bit greys or colours of a frame."""
    from pydicom.pixels import apply_color_lut

    kind, full = tags.PhotometricInterpretation, 2**tags.BitsStored - 1
    if tags.get("PixelRepresentation"):
        raise ImageError(f"{name}: holds signed values, whose black is not known; save it unsigned")
    if kind == "PALETTE COLOR":
        values = apply_color_lut(values, tags)[..., :3]
        full = np.iinfo(values.dtype).max
    elif kind not in ("MONOCHROME1", "MONOCHROME2") and values.shape[2:] != (3,):
        raise ImageError(f"{name}: its colours are {kind}, which is not read; save it as RGB")
    grey = np.rint((values & full) * (255 / full)).astype(np.uint8)
    return 255 - grey if kind == "MONOCHROME1" else grey


def _first_line(error):
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
