"""From the bytes of an image file to uint8 [H, W, C].

Files are judged by their bytes, never by their names. Alpha is laid over white, an animation gives its first frame,
EXIF orientation is applied, 16 bits are scaled and not clipped. Nothing is decoded before its header was held against
the limits, and no pickle is ever loaded.
"""

import io
import logging
import math
import warnings
from typing import Any

import numpy as np

from cnnjax.config import DataConfig
from cnnjax.core.arrays import HostArray
from cnnjax.core.errors import UserError
from cnnjax.data.resize import Size, fit

# tifffile logs what it thinks of a file, at times of a good one, and without a handler Python prints that on stderr.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF", "ICO", "TGA")
"""What Pillow may open a file as, whatever its name: left to itself it would run Ghostscript on an EPS file."""


class BadImageError(UserError):
    """A file that is no whole image, or one over the limits."""

    def __init__(self, name: str, reason: str, remedy: str = ""):
        self.reason = reason
        super().__init__(
            f"{name} is no whole image ({reason}); {remedy}mend or delete it, or set config.data.bad_images=skip"
        )


def load(content: bytes | HostArray, config: DataConfig, name: str, channels: int | None) -> tuple[HostArray, Size]:
    """Decodes and fits one image.

    A JPEG at least four times as large as needed is decoded at a fraction of its size, which costs a fraction of the
    time; it is never smaller than twice the target, so that the resampling behind it still averages.

    Args:
      content: an encoded file, or an array [H, W] or [H, W, C] of uint8 or uint16.
      name: of the image, for the error.
      channels: 1, 3 or the number of bands; None: as the image has.

    Returns:
      uint8 [h, w, C], and the true (height, width) on it (smaller than the array on a canvas).

    Raises:
      BadPictureError: the content is no whole image, over the limits, or has other channels.
    """
    image, size = _read(content, config, name, channels, _needed(config))
    return fit(image, config, size=size)


def decode(
    content: bytes | HostArray, config: DataConfig, name: str, channels: int | None, *, at_least: Size | None = None
) -> HostArray:
    """Decodes one image to uint8 [H, W, C]; see `load`, of which this is the first half.

    Args:
      at_least: a JPEG may come out smaller than it is, but not than this (height, width); None: full size.
    """
    return _read(content, config, name, channels, at_least)[0]


def _read(
    content: bytes | HostArray, config: DataConfig, name: str, channels: int | None, at_least: Size | None
) -> tuple[HostArray, Size]:
    """What `decode` returns, and the (height, width) at full size."""
    if not isinstance(content, bytes):
        image = _of_array(np.asarray(content), config, name)
        return _whole(_with_channels(image, channels, name))
    if len(content) > config.max_bytes:
        raise BadImageError(name, f"more than config.data.max_bytes={config.max_bytes} bytes")
    if not content:
        raise BadImageError(name, "the file is empty")
    try:
        image, size = _decode(content, config, name, channels, at_least)
    except (UserError, MemoryError, ModuleNotFoundError):  # a decoder that is not installed is no fault of the file
        raise
    except Exception as error:  # decoders raise whatever they like on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        if type(error).__name__ == "UnidentifiedImageError":  # its own text ends in a memory address
            reason = "of no known image format"
        raise BadImageError(name, reason) from error
    return _with_channels(image, channels, name), size


def _whole(image: HostArray) -> tuple[HostArray, Size]:
    """An image that was decoded at its full size."""
    return image, (image.shape[0], image.shape[1])


def _decode(
    content: bytes, config: DataConfig, name: str, channels: int | None, at_least: Size | None
) -> tuple[HostArray, Size]:
    if content[:6] == b"\x93NUMPY":
        return _whole(_npy(content, config, name))
    if content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        bands = _tiff_bands(content, config, name, channels)
        if bands is not None:
            return _whole(_scale(bands, config, name))
    if content[:3] == b"\xff\xd8\xff":
        found = _jpeg(content, config, name, channels, at_least)
        if found is not None:
            return found
    return _whole(_pillow(content, config, name, channels))


def _npy(content: bytes, config: DataConfig, name: str) -> HostArray:
    """One NumPy array; its header is held against the size of the file, since NumPy makes room for whatever it says."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(file)
    if not dtype.hasobject and math.prod(shape) * dtype.itemsize > len(content):
        raise BadImageError(name, f"the file is cut off: its header says {list(shape)} of {dtype}")
    return _of_array(np.load(io.BytesIO(content), allow_pickle=False), config, name)


def _check_pixels(height: int, width: int, config: DataConfig, name: str) -> None:
    if height * width > config.max_pixels:
        raise BadImageError(name, f"{width} x {height} is more than config.data.max_pixels={config.max_pixels}")


def _jpeg(
    content: bytes, config: DataConfig, name: str, channels: int | None, at_least: Size | None
) -> tuple[HostArray, Size] | None:
    """libjpeg-turbo without Pillow around it; None for what Pillow shall do (CMYK, stray bytes)."""
    try:
        import simplejpeg
    except ModuleNotFoundError:  # Pillow is slower, and gives whole images alike
        return None
    height, width, colors, _ = simplejpeg.decode_jpeg_header(content)
    _check_pixels(height, width, config, name)
    if colors.upper() in ("CMYK", "YCCK"):
        return None
    gray = channels == 1 or (channels is None and colors.upper() == "GRAY")
    turn = _orientation(content, config, name)
    needed = at_least if at_least is None or turn < 5 else at_least[::-1]
    least = (0, 0) if needed is None else _reduced((height, width), needed)
    try:
        image = simplejpeg.decode_jpeg(
            content, "GRAY" if gray else "RGB", fastdct=False, min_height=least[0], min_width=least[1]
        )
    except ValueError as error:
        if "premature end" in str(error).lower():  # pixels are missing, though Pillow would pass some such files
            raise
        return None  # stray bytes between segments, met in old photographs, lose no pixel: Pillow passes over them
    return np.ascontiguousarray(TURNS[turn](image)), (height, width) if turn < 5 else (width, height)


def _reduced(size: Size, needed: Size) -> Size:
    """The size at 1/8, 1/4 or 1/2 that is at least twice as large as needed.

    Libjpeg offers other eighths, but has no fast path for them, and 7/8 shows the edges of the blocks.
    """
    for factor in (8, 4, 2):
        small = (-(-size[0] // factor), -(-size[1] // factor))
        if small[0] >= 2 * needed[0] and small[1] >= 2 * needed[1]:
            return small
    return size


TURNS: dict[int, Any] = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: image.swapaxes(0, 1)[:, ::-1],
    7: lambda image: image.swapaxes(0, 1)[::-1, ::-1],
    8: lambda image: image.swapaxes(0, 1)[::-1],
}
"""What undoes each EXIF orientation."""


def _orientation(content: bytes, config: DataConfig, name: str) -> int:
    if b"Exif\0\0" not in content[: 1 << 16]:  # most files have none, and Pillow would take longer than the decoding
        return 1
    return _turn(_open(content, config, name))


def _turn(image: Any) -> int:
    """The EXIF orientation of an image; damaged EXIF loses no pixel, so such an image stays as it is."""
    try:
        turn = image.getexif().get(0x0112, 1)
    except Exception:
        return 1
    return turn if turn in TURNS else 1  # 0 and other invalid values are met in the wild


def _open(content: bytes, config: DataConfig, name: str) -> Any:
    """Pillow's view of a file within the limits, nothing decoded yet."""
    from PIL import Image

    warnings.filterwarnings("ignore", module=r"PIL\.")  # of odd metadata; the pixels are judged here
    if Image.MAX_IMAGE_PIXELS is not None:  # Pillow's own limit must not be below ours, which can be set
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, config.max_pixels)
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.DecompressionBombError:
        raise BadImageError(name, f"more pixels than config.data.max_pixels={config.max_pixels}") from None
    _check_pixels(image.height, image.width, config, name)
    return image


def _pillow(content: bytes, config: DataConfig, name: str, channels: int | None) -> HostArray:
    from PIL import Image

    if content[:8] == b"\x89PNG\r\n\x1a\n" and content[24:25] == b"\x10" and content[25:26] != b"\0":
        _check_high_bytes(config, name)
    image = _open(content, config, name)
    image.load()
    turn, gray = _turn(image), image.mode in ("1", "L", "LA")
    if image.mode.startswith("I") or image.mode == "F":
        return TURNS[turn](_scale(np.asarray(image), config, name))
    if "A" in image.mode or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("L" if channels == 1 or (channels is None and gray) else "RGB")
    return np.ascontiguousarray(TURNS[turn](np.asarray(image)))


def _check_high_bytes(config: DataConfig, name: str) -> None:
    """Pillow keeps the high byte of 16-bit color: right to one level at full range, dark and coarse below it."""
    if config.max_value != 65535:
        raise BadImageError(
            name, "16-bit color as PNG or compressed TIFF needs config.data.max_value=65535; save it as plain TIFF"
        )


def _tiff_bands(content: bytes, config: DataConfig, name: str, channels: int | None) -> HostArray | None:
    """The bands of a TIFF that Pillow would not give, [H, W] or [H, W, C]; None for an ordinary image.

    Gray pages are the bands of one image only where `channels` asks for just so many; else the first page counts.
    """
    import tifffile

    with tifffile.TiffFile(io.BytesIO(content)) as file:
        page = file.pages.first
        samples, as_bands = page.samplesperpixel, channels not in (None, 1, 3)
        turn = TURNS.get(page.tags.valueof("Orientation"), TURNS[1])
        pages = as_bands and samples == 1 and len(file.pages) == channels
        # Many bands are many images to memory; up to four, as RGBA has, count as one.
        _check_pixels(
            page.imagelength * max((len(file.pages) if pages else samples) // 4, 1), page.imagewidth, config, name
        )
        plain = samples == 1 or page.photometric != tifffile.PHOTOMETRIC.MINISBLACK or page.extrasamples in ((1,), (2,))
        small = page.bitspersample <= 8 and samples <= 4
        if not as_bands and plain and (small or (samples == 1 and page.dtype == np.uint16)):
            return None
        try:
            bands = file.series[0].asarray() if pages else page.asarray()
        except ValueError as error:
            if as_bands or samples != 3 or "imagecodecs" not in str(error):
                raise
            _check_high_bytes(config, name)
            return None
    planar = pages or (bands.ndim == 3 and page.planarconfig == tifffile.PLANARCONFIG.SEPARATE)
    return turn(np.moveaxis(bands, 0, -1) if planar else bands)


def has_range(dtype: Any) -> bool:
    """Whether an array's type says its values' range: NumPy's default int64 may hold 0..255 as well as 0..65535."""
    return dtype.kind == "f" or (dtype.kind == "u" and dtype.itemsize <= 2)


def _of_array(image: HostArray, config: DataConfig, name: str) -> HostArray:
    if not has_range(image.dtype):
        raise BadImageError(name, f"values of type {image.dtype}; save them as uint8 or uint16")
    return _scale(image, config, name)


def _scale(image: HostArray, config: DataConfig, name: str) -> HostArray:
    """Brings an array [H, W] or [H, W, C] to uint8 [H, W, C]; 16 bits by config.max_value, fractions from 0..1."""
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or 0 in image.shape:
        raise BadImageError(name, f"an array of shape {list(image.shape)}, not [H, W] or [H, W, C]")
    _check_pixels(image.shape[0], image.shape[1], config, name)
    if image.dtype == np.uint8:
        return image
    if image.dtype.kind == "f":
        if not (np.isfinite(image).all() and image.min() >= 0 and image.max() <= 1):
            raise BadImageError(name, "fractions must lie in 0..1")
        return np.rint(image * 255).astype(np.uint8)
    if image.dtype.kind not in "ui" or image.min() < 0 or image.max() > 65535:
        raise BadImageError(name, f"values of type {image.dtype} outside of 0..65535")
    scaled = image.astype(np.float32) * (255 / config.max_value)
    return np.rint(np.minimum(scaled, 255)).astype(np.uint8)


def _with_channels(image: HostArray, channels: int | None, name: str) -> HostArray:
    image = image[:, :, None] if image.ndim == 2 else image
    have = image.shape[2]
    if channels is None or have == channels:
        return image
    if have == 1 and channels == 3:
        return np.repeat(image, 3, axis=2)
    if have == 3 and channels == 1:
        # ITU-R 601 luma, as Pillow's convert("L") has it
        return np.rint(image @ np.array([0.299, 0.587, 0.114], np.float32)).astype(np.uint8)[:, :, None]
    remedy = f"if all have so many, set config.data.channels={have}; else "
    raise BadImageError(name, f"it has {have} channels, not {channels}", remedy)


def _needed(config: DataConfig) -> Size | None:
    """The size below which a reduced decoding must not fall; a canvas may hold the whole image, so it allows none."""
    return config.size if config.resize in ("center", "squash") else None
