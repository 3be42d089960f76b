"""Files of every kind that people have, judged by their bytes, against Pillow, OpenCV and NumPy."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from cnnjax.config import Data
from cnnjax.data.decode import BadPictureError, decode, fit, load, picture_files, resample

CONFIG = Data()
SAMPLE = Path(__file__).parents[2].parent / "shared" / "data" / "imagenet_sample"


def smooth(height=48, width=64, channels=3):
    """A picture without hard edges, so that decoders and resizers agree."""
    rows, columns = np.mgrid[0:height, 0:width]
    bands = [np.sin(rows / (7 + band)) * np.cos(columns / (9 + band)) * 110 + 128 for band in range(channels)]
    return np.stack(bands, axis=2).astype(np.uint8)


def encoded(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def read(content, channels=None, config=CONFIG):
    return decode(content, config, "picture", channels)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP", "GIF", "PPM"])
def test_lossless_grey(form):
    grey = smooth(channels=1)[..., 0]
    content = encoded(Image.fromarray(grey), form)
    assert read(content).shape[2] in (1, 3)
    np.testing.assert_array_equal(read(content, 1)[..., 0], grey)
    np.testing.assert_array_equal(read(content, 3), np.repeat(grey[..., None], 3, 2))


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP", "WEBP"])
def test_lossless_colour(form):
    image = smooth()
    content = encoded(Image.fromarray(image), form, **({"lossless": True} if form == "WEBP" else {}))
    np.testing.assert_array_equal(read(content), image)
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    assert abs(read(content, 1)[..., 0].astype(int) - luma).max() <= 1


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 60}])
def test_jpeg_equals_pillow(options):
    content = encoded(Image.fromarray(smooth()), "JPEG", **options)
    with Image.open(io.BytesIO(content)) as picture:
        assert abs(read(content).astype(int) - np.asarray(picture)).max() <= 2


def test_grey_jpeg():
    content = encoded(Image.fromarray(smooth(channels=1)[..., 0]), "JPEG")
    assert read(content).shape == (48, 64, 1)
    assert read(content, 3).shape == (48, 64, 3)


def test_cmyk_jpeg():
    """Pillow writes Adobe's inverted form; the colours come back."""
    image = smooth()
    content = encoded(Image.fromarray(image).convert("CMYK"), "JPEG", quality=95)
    assert abs(read(content).astype(int) - image).mean() < 3


def test_alpha_is_laid_over_white():
    image = np.zeros((4, 4, 4), np.uint8)
    image[..., 0], image[:2, :, 3], image[2, :, 3] = 200, 255, 51
    for content in (
        encoded(Image.fromarray(image), "PNG"),
        encoded(Image.fromarray(image), "WEBP", lossless=True, exact=True),
    ):
        picture = read(content)
        np.testing.assert_array_equal(picture[0, 0], [200, 0, 0])
        np.testing.assert_allclose(picture[2, 0], [244, 204, 204], atol=1)
        np.testing.assert_array_equal(picture[3, 0], [255, 255, 255])


def test_palettes():
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([0, 1, 2])
    np.testing.assert_array_equal(read(encoded(image, "PNG"))[0], np.diag([255, 255, 255]))
    see_through = encoded(image, "PNG", transparency=1)
    np.testing.assert_array_equal(read(see_through)[0], [[255, 0, 0], [255, 255, 255], [0, 0, 255]])


def test_sixteen_bits_are_scaled_not_clipped():
    values = np.array([[0, 257, 32896, 65535]], np.uint16)
    file = io.BytesIO()
    tifffile.imwrite(file, values)
    for content in (encoded(Image.fromarray(values), "PNG"), file.getvalue(), values):
        np.testing.assert_array_equal(read(content)[0, :, 0], [0, 1, 128, 255])
    np.testing.assert_array_equal(read(values, config=Data(max_value=257))[0, :, 0], [0, 255, 255, 255])


@pytest.mark.parametrize("orientation", range(10))
def test_exif_orientation(orientation):
    image = smooth()
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(Image.fromarray(image), "JPEG", exif=exif, quality=95, subsampling=0)
    from PIL import ImageOps

    with Image.open(io.BytesIO(content)) as picture:
        upright = np.asarray(ImageOps.exif_transpose(picture))
    assert abs(read(content).astype(int) - upright).max() <= 2
    reduced, _ = load(content, Data(resize="squash", size=(12, 10)), "picture", None)
    assert abs(reduced.astype(int) - resample(upright, (12, 10))).mean() < 3


def test_animations_give_their_first_frame():
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "blue")]
    for form, options in (("GIF", {}), ("WEBP", {"lossless": True})):
        content = encoded(frames[0], form, save_all=True, append_images=frames[1:], **options)
        np.testing.assert_array_equal(read(content, 3)[0, 0], [255, 0, 0])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("planar", [False, True])
def test_thirteen_bands(dtype, planar):
    bands = smooth(16, 20, 13).astype(dtype) * (257 if dtype == np.uint16 else 1)
    file = io.BytesIO()
    layout = np.moveaxis(bands, 2, 0) if planar else bands
    tifffile.imwrite(file, layout, photometric="minisblack", planarconfig="separate" if planar else "contig")
    np.testing.assert_array_equal(read(file.getvalue()), smooth(16, 20, 13))
    numpy_file = io.BytesIO()
    np.save(numpy_file, bands)
    np.testing.assert_array_equal(read(numpy_file.getvalue(), 13), smooth(16, 20, 13))
    with pytest.raises(BadPictureError, match="it has 13 channels, not 3"):
        read(numpy_file.getvalue(), 3)


def test_fractions_and_odd_arrays():
    np.testing.assert_array_equal(read(np.array([[0.0, 0.5, 1.0]]))[0, :, 0], [0, 128, 255])
    for bad in (np.array([[0.0, 2.0]]), np.array([[-1]]), np.array([[70000]]), np.zeros(3, np.uint8)):
        with pytest.raises(BadPictureError):
            read(bad)


def pickled():
    file = io.BytesIO()
    np.save(file, np.array([{"run": "me"}], dtype=object), allow_pickle=True)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0",
        b"II*\0\x08",
        b"GIF89a",
        b"RIFF\x10\0\0\0WEBP",
        pickled(),
        encoded(Image.fromarray(smooth()), "JPEG")[:900],
        encoded(Image.fromarray(smooth()), "PNG")[:-900],
        encoded(Image.fromarray(smooth()), "WEBP")[:100],
        encoded(Image.fromarray(smooth()), "TIFF")[:3000],
    ],
    ids=[
        "empty",
        "text",
        "png",
        "jpeg",
        "tiff",
        "gif",
        "webp",
        "pickle",
        "half jpeg",
        "half png",
        "half webp",
        "half tiff",
    ],
)
def test_what_is_no_whole_picture_is_refused_by_name(content):
    with pytest.raises(BadPictureError, match=r"^some/file is no whole picture \(.*bad_pictures=skip$"):
        decode(content, CONFIG, "some/file", None)


def test_a_foreign_file_is_called_that():
    with pytest.raises(BadPictureError, match=r"picture is no whole picture \(of no known picture format\)"):
        read(b"just some text")


def test_limits_hold_before_decoding():
    bomb = encoded(Image.new("1", (20000, 20000)), "PNG")
    with pytest.raises(BadPictureError, match=r"20000 x 20000 is more than|decompression bomb"):
        read(bomb)
    for form in ("JPEG", "TIFF", "GIF"):
        with pytest.raises(BadPictureError, match=r"64 x 48 is more than config.data.max_pixels=3000"):
            read(encoded(Image.fromarray(smooth()), form), config=Data(max_pixels=3000))
    with pytest.raises(BadPictureError, match=r"more than config.data.max_bytes=100 bytes"):
        read(encoded(Image.fromarray(smooth()), "PNG"), config=Data(max_bytes=100))


# ---------------------------------------------------------------- the resize rule


@pytest.mark.parametrize("channels", [1, 3, 13])
def test_squash_and_center(channels):
    image = smooth(60, 90, channels)
    squashed, true = fit(image, Data(resize="squash", size=(30, 30)))
    assert true == (30, 30)
    reference = cv2.resize(image, (30, 30), interpolation=cv2.INTER_AREA).reshape(30, 30, channels)
    assert abs(squashed.astype(int) - reference).mean() < 2
    centred, _ = fit(image, Data(resize="center", size=(30, 30)))
    reference = cv2.resize(image[:, 15:75], (30, 30), interpolation=cv2.INTER_AREA).reshape(30, 30, channels)
    assert abs(centred.astype(int) - reference).mean() < 2
    larger, _ = fit(image, Data(resize="center", size=(120, 120)))
    assert larger.shape == (120, 120, channels)


def test_pad_shrinks_only_what_is_too_large():
    canvas, true = fit(smooth(60, 90), Data(resize="pad", size=(100, 100)))
    assert true == (60, 90)
    np.testing.assert_array_equal(canvas[:60, :90], smooth(60, 90))
    assert not canvas[60:].any()
    assert not canvas[:, 90:].any()
    canvas, true = fit(smooth(60, 90), Data(resize="pad", size=(30, 30)))
    assert true == (20, 30)
    assert canvas.shape == (30, 30, 3)


def test_none_leaves_it():
    assert fit(smooth(), CONFIG)[0] is not None
    np.testing.assert_array_equal(fit(smooth(), CONFIG)[0], smooth())


def test_reduced_decoding_stays_close():
    content = encoded(Image.fromarray(smooth(480, 640)), "JPEG", quality=95)
    rule = Data(resize="center", size=(64, 64))
    quick, _ = load(content, rule, "picture", None)
    slow, _ = fit(read(content), rule)
    assert abs(quick.astype(int) - slow).mean() < 2


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="the ImageNet sample is not beside the checkout")
def test_real_photographs_equal_pillow():
    from PIL import ImageOps

    for path in sorted(SAMPLE.glob("*/*"))[::4]:
        with Image.open(path) as picture:
            truth = np.asarray(ImageOps.exif_transpose(picture).convert("RGB")).astype(int)
        assert abs(decode(path.read_bytes(), CONFIG, path.name, 3) - truth).mean() < 0.5


def test_picture_files(tmp_path):
    (tmp_path / "a" / ".hidden").mkdir(parents=True)
    for name in ("a/2.jpg", "a/1.jpg", "a/Thumbs.db", "a/.hidden/3.jpg", "single.png"):
        (tmp_path / name).touch()
    found = picture_files([tmp_path / "single.png", tmp_path / "a"])
    assert [path.name for path in found] == ["single.png", "1.jpg", "2.jpg"]


# ---------------------------------------------------------------- what people's own files are like


def test_stray_bytes_lose_no_pixel_but_a_premature_end_does():
    content = encoded(Image.fromarray(smooth()), "JPEG", quality=95)
    np.testing.assert_array_equal(read(content[:-2] + b"\0" * 5 + content[-2:]), read(content))
    np.testing.assert_array_equal(read(content + b"more"), read(content))
    with pytest.raises(BadPictureError, match="premature end"):
        read(content[:1500] + b"\xff\xd9" + content[1500:])


def written_by_opencv(ending, array):
    """Its TIFF is LZW-compressed, which tifffile cannot read by itself."""
    return cv2.imencode(ending, array[..., ::-1] if array.ndim == 3 else array)[1].tobytes()


@pytest.mark.parametrize("ending", [".png", ".tiff"])
def test_sixteen_bits_of_any_file(ending):
    image = smooth()
    wide = image.astype(np.uint16) * 257
    np.testing.assert_array_equal(read(written_by_opencv(ending, wide[..., 0]))[..., 0], image[..., 0])
    np.testing.assert_array_equal(read(written_by_opencv(ending, wide)), image)
    twelve, rule = smooth().astype(np.uint16) * 16, Data(max_value=4080)
    np.testing.assert_array_equal(read(written_by_opencv(ending, twelve[..., 0]), config=rule)[..., 0], image[..., 0])
    with pytest.raises(BadPictureError, match=r"needs config.data.max_value=65535; save it as plain TIFF"):
        read(written_by_opencv(ending, twelve), config=rule)
    file = io.BytesIO()
    tifffile.imwrite(file, twelve, photometric="rgb")
    np.testing.assert_array_equal(read(file.getvalue(), config=rule), image)


@pytest.mark.parametrize("options", [{}, {"compression": "group4"}])
def test_two_level_tiff(options):
    marks = smooth(channels=1)[..., 0] > 128
    np.testing.assert_array_equal(read(encoded(Image.fromarray(marks), "TIFF", **options))[..., 0], marks * 255)


@pytest.mark.parametrize("bands", [2, 4, 13])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("layout", ["contig", "separate", "pages"])
def test_as_many_bands_as_are_asked_for(bands, dtype, layout):
    image = smooth(16, 20, bands)
    wide = image.astype(dtype) * (257 if dtype == np.uint16 else 1)
    file = io.BytesIO()
    array = wide if layout == "contig" else np.moveaxis(wide, 2, 0)
    tifffile.imwrite(
        file, array, photometric="minisblack", planarconfig=None if layout == "pages" else layout, metadata=None
    )
    np.testing.assert_array_equal(read(file.getvalue(), bands), image)


def test_a_fourth_band_beside_rgb():
    image = smooth(channels=4)
    file = io.BytesIO()
    tifffile.imwrite(file, image, photometric="rgb", extrasamples=["unspecified"])
    np.testing.assert_array_equal(read(file.getvalue(), 4), image)
    np.testing.assert_array_equal(read(file.getvalue(), 3), image[..., :3])


def test_pages_are_an_animation_unless_bands_are_asked_for():
    pages = np.moveaxis(smooth(16, 20, 5), 2, 0)
    file = io.BytesIO()
    tifffile.imwrite(file, pages, photometric="minisblack")
    np.testing.assert_array_equal(read(file.getvalue())[..., 0], pages[0])


def test_many_bands_count_as_many_pictures():
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((40, 50, 120), np.uint8), photometric="minisblack", planarconfig="contig")
    assert read(file.getvalue(), 120, Data(max_pixels=40 * 50 * 30)).shape == (40, 50, 120)
    with pytest.raises(BadPictureError, match=r"is more than config.data.max_pixels"):
        read(file.getvalue(), 120, Data(max_pixels=40 * 50 * 30 - 1))


@pytest.mark.parametrize("form", ["TIFF", "PNG", "WEBP"])
def test_orientation_of_other_files(form):
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(Image.fromarray(smooth()), form, exif=exif, **({"lossless": True} if form == "WEBP" else {}))
    np.testing.assert_array_equal(read(content, 3), np.rot90(smooth(), -1))
