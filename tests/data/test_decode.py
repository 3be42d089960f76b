"""Files of every kind that people have, judged by their bytes, against Pillow, OpenCV and NumPy."""

import io
import struct
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageFile, ImageOps

from cnnjax.config import DataConfig
from cnnjax.core.errors import UserError
from cnnjax.data import resize
from cnnjax.data.decode import BadImageError, decode, load
from cnnjax.data.listing import files_below, image_files, read_file
from cnnjax.data.resize import fit, resample
from cnnjax.evaluation.views import VIEWS

CONFIG = DataConfig()
SAMPLE = Path(__file__).parents[2].parent / "shared" / "data" / "imagenet_sample"


def smooth(height=48, width=64, channels=3):
    """An image without hard edges, so that decoders and resizers agree."""
    rows, columns = np.mgrid[0:height, 0:width]
    bands = [np.sin(rows / (7 + band)) * np.cos(columns / (9 + band)) * 110 + 128 for band in range(channels)]
    return np.stack(bands, axis=2).astype(np.uint8)


def encoded(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def read(content, channels=None, config=CONFIG):
    return decode(content, config, "image", channels)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP", "GIF", "PPM"])
def test_lossless_gray(form):
    gray = smooth(channels=1)[..., 0]
    content = encoded(Image.fromarray(gray), form)
    assert read(content).shape[2] in (1, 3)
    np.testing.assert_array_equal(read(content, 1)[..., 0], gray)
    np.testing.assert_array_equal(read(content, 3), np.repeat(gray[..., None], 3, 2))


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP", "WEBP"])
def test_lossless_color(form):
    image = smooth()
    content = encoded(Image.fromarray(image), form, **({"lossless": True} if form == "WEBP" else {}))
    np.testing.assert_array_equal(read(content), image)
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    assert abs(read(content, 1)[..., 0].astype(int) - luma).max() <= 1


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 60}])
def test_jpeg_equals_pillow(options):
    content = encoded(Image.fromarray(smooth()), "JPEG", **options)
    with Image.open(io.BytesIO(content)) as image:
        assert abs(read(content).astype(int) - np.asarray(image)).max() <= 2


def test_pillow_decodes_jpeg_where_simplejpeg_is_not_installed(monkeypatch):
    content = encoded(Image.fromarray(smooth()), "JPEG")
    quick = read(content)
    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    np.testing.assert_array_equal(read(content), quick)


def test_gray_jpeg():
    content = encoded(Image.fromarray(smooth(channels=1)[..., 0]), "JPEG")
    assert read(content).shape == (48, 64, 1)
    assert read(content, 3).shape == (48, 64, 3)


def test_cmyk():
    """Pillow writes Adobe's inverted JPEG; without Adobe's mark it is read alike, as browsers and ImageMagick do."""
    image = smooth()
    content = encoded(Image.fromarray(image).convert("CMYK"), "JPEG", quality=95)
    assert abs(read(content).astype(int) - image).mean() < 3
    mark = content.index(b"\xff\xee")
    (length,) = struct.unpack_from(">H", content, mark + 2)
    np.testing.assert_array_equal(read(content[:mark] + content[mark + 2 + length :]), read(content))
    np.testing.assert_array_equal(read(encoded(Image.fromarray(image).convert("CMYK"), "TIFF")), image)


def test_alpha_is_laid_over_white():
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[..., 0], pixels[:2, :, 3], pixels[2, :, 3] = 200, 255, 51
    for content in (
        encoded(Image.fromarray(pixels), "PNG"),
        encoded(Image.fromarray(pixels), "WEBP", lossless=True, exact=True),
    ):
        image = read(content)
        np.testing.assert_array_equal(image[0, 0], [200, 0, 0])
        np.testing.assert_allclose(image[2, 0], [244, 204, 204], atol=1)
        np.testing.assert_array_equal(image[3, 0], [255, 255, 255])


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_gray_with_alpha(form):
    gray, alpha = smooth(channels=2)[..., 0].astype(float), smooth(channels=2)[..., 1].astype(float)
    content = encoded(
        Image.merge("LA", [Image.fromarray(band) for band in np.moveaxis(smooth(channels=2), 2, 0)]), form
    )
    expected = gray * alpha / 255 + 255 - alpha
    assert read(content).shape == (48, 64, 1)
    for channels in (None, 1, 3):
        np.testing.assert_allclose(read(content, channels)[..., 0], expected, atol=1)


def test_color_modes_stay_color_whatever_they_show():
    """The first image settles the channels of a set, and may happen to be gray."""
    for mode in ("RGB", "RGBA", "P"):
        assert read(encoded(Image.new("L", (4, 4), 99).convert(mode), "PNG")).shape == (4, 4, 3)


def test_palettes():
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([0, 1, 2])
    np.testing.assert_array_equal(read(encoded(image, "PNG"))[0], np.diag([255, 255, 255]))
    see_through = encoded(image, "PNG", transparency=1)
    np.testing.assert_array_equal(read(see_through)[0], [[255, 0, 0], [255, 255, 255], [0, 0, 255]])
    half = encoded(image, "PNG", transparency=bytes([255, 0, 51]))
    np.testing.assert_array_equal(read(half)[0], [[255, 0, 0], [255, 255, 255], [204, 204, 255]])


def test_sixteen_bits_are_scaled_not_clipped():
    values = np.array([[0, 257, 32896, 65535]], np.uint16)
    file = io.BytesIO()
    tifffile.imwrite(file, values)
    for content in (encoded(Image.fromarray(values), "PNG"), file.getvalue(), values, values.astype(">u2")):
        np.testing.assert_array_equal(read(content)[0, :, 0], [0, 1, 128, 255])
    np.testing.assert_array_equal(read(values, config=DataConfig(max_value=257))[0, :, 0], [0, 255, 255, 255])


@pytest.mark.parametrize("orientation", range(10))
def test_exif_orientation(orientation):
    pixels = smooth()
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(Image.fromarray(pixels), "JPEG", exif=exif, quality=95, subsampling=0)
    with Image.open(io.BytesIO(content)) as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    assert abs(read(content).astype(int) - upright).max() <= 2
    reduced, _ = load(content, DataConfig(resize="squash", size=(12, 10)), "image", None)
    assert abs(reduced.astype(int) - resample(upright, (12, 10))).mean() < 3


@pytest.mark.parametrize(
    "damaged",
    [
        b"garbage" * 9,
        b"II*\0\xff\xff\0\0",
        b"MM\0*\0\0\0\x08\0\x05\x01\x12",
        b"MM\0*\0\0\0\x08\0\1\x01\x12\0\2\0\0\0\4abc\0",
    ],
)
def test_damaged_exif_loses_no_pixel(damaged):
    plain = encoded(Image.fromarray(smooth()), "JPEG")
    segment = b"\xff\xe1" + struct.pack(">H", len(damaged) + 8) + b"Exif\0\0" + damaged
    np.testing.assert_array_equal(read(plain[:2] + segment + plain[2:]), read(plain))
    plain = encoded(Image.fromarray(smooth()), "PNG")
    chunk = b"eXIf" + damaged
    chunk = struct.pack(">I", len(damaged)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    np.testing.assert_array_equal(read(plain[:33] + chunk + plain[33:]), smooth())


def test_odd_metadata_is_passed_over():
    """Pillow warns of it, which the tests make an error."""
    content = encoded(Image.fromarray(smooth()), "TIFF", tiffinfo={282: 1.0})
    entry = content.index(struct.pack("<HHI", 282, 5, 1))
    content = content[: entry + 4] + struct.pack("<I", 2) + content[entry + 8 :]
    np.testing.assert_array_equal(read(content), smooth())


def test_animations_give_their_first_frame():
    frames = [Image.new("RGB", (8, 6), color) for color in ("red", "blue")]
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
    with pytest.raises(BadImageError, match=r"13 channels, not 3\); if all .* config.data.channels=13; else mend"):
        read(numpy_file.getvalue(), 3)


def test_fractions_and_odd_arrays():
    np.testing.assert_array_equal(read(np.array([[0.0, 0.5, 1.0]]))[0, :, 0], [0, 128, 255])
    for bad in (np.array([[0.0, 2.0]]), np.array([[-1]]), np.array([[70000]]), np.zeros(3, np.uint8)):
        with pytest.raises(BadImageError):
            read(bad)


@pytest.mark.parametrize("dtype", [np.int64, np.int16, np.uint32, bool])
def test_an_array_says_by_its_type_what_its_values_mean(dtype):
    array = np.array([[0, 1], [1, 0]], dtype)
    file = io.BytesIO()
    np.save(file, array)
    for content in (array, file.getvalue()):
        with pytest.raises(BadImageError, match=f"values of type {array.dtype}; save them as uint8 or uint16"):
            read(content)


@pytest.mark.parametrize(("shape", "kind"), [((10**7, 10**7), "|u1"), ((10**4, 10**4, 100), "<f8"), ((48, 64), "|u1")])
def test_no_room_is_made_for_what_an_array_header_promises(shape, kind):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": kind, "fortran_order": False, "shape": shape})
    with pytest.raises(BadImageError, match="the file is cut off: its header says"):
        read(file.getvalue() + b"0" * 1000)


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
def test_what_is_no_whole_image_is_refused_by_name(content):
    with pytest.raises(BadImageError, match=r"^some/file is no whole image \(.*bad_images=skip$"):
        decode(content, CONFIG, "some/file", None)


def test_a_foreign_file_is_called_that():
    with pytest.raises(BadImageError, match=r"image is no whole image \(of no known image format\)"):
        read(b"just some text")


def test_no_program_is_run_on_a_image(tmp_path, monkeypatch):
    """Pillow would hand an EPS file to Ghostscript, whatever the file is called."""
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(BadImageError, match="of no known image format"):
        read(encoded(Image.fromarray(smooth()), "EPS"))
    assert not (tmp_path / "ran").exists()


def black_png(side):
    """Two colors, all pixels 0: 50 MB of them in 50 kB for a side of 20,000."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))]
    chunks += [(b"IDAT", zlib.compress(bytes(side * (1 + -(-side // 8))))), (b"IEND", b"")]
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize(
    ("side", "sentence"),
    [
        (20000, r"more pixels than config.data.max_pixels=178956970"),
        (14000, r"14000 x 14000 is more than config.data.max_pixels=178956970"),
    ],
)
def test_a_bomb_is_refused_by_its_header(side, sentence, monkeypatch):
    """Pillow warns from its limit on and refuses from twice that; the file is not inflated in either case."""
    bomb, inflated = black_png(side), []
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: inflated.append(self.size))
    with pytest.raises(BadImageError, match=sentence):
        read(bomb)
    assert not inflated


def test_a_raised_limit_lets_large_images_through():
    assert read(black_png(14000), config=DataConfig(max_pixels=14000**2)).shape == (14000, 14000, 1)


def test_limits_hold_before_decoding():
    for form in ("JPEG", "TIFF", "GIF"):
        with pytest.raises(BadImageError, match=r"64 x 48 is more than config.data.max_pixels=3000"):
            read(encoded(Image.fromarray(smooth()), form), config=DataConfig(max_pixels=3000))
    with pytest.raises(BadImageError, match=r"more than config.data.max_bytes=100 bytes"):
        read(encoded(Image.fromarray(smooth()), "PNG"), config=DataConfig(max_bytes=100))


# ---------------------------------------------------------------- the resize rule


@pytest.mark.parametrize("channels", [1, 3, 13])
@pytest.mark.parametrize("size", [(20, 45), (30, 30), (150, 110)])
def test_every_rule_against_opencv(channels, size):
    image = smooth(60, 90, channels)

    def reference(image, size):
        how = cv2.INTER_AREA if size[0] < image.shape[0] else cv2.INTER_LINEAR
        return cv2.resize(image, size[::-1], interpolation=how).reshape(*size, channels)

    def difference(rule, expected):
        fitted, true = fit(image, DataConfig(resize=rule, size=size))
        assert fitted.shape == (*size, channels)
        assert true == expected.shape[:2]
        assert not fitted[true[0] :].any()
        assert not fitted[:, true[1] :].any()
        return abs(fitted[: true[0], : true[1]].astype(int) - expected).mean()

    assert difference("squash", reference(image, size)) < 2
    scale = max(size[0] / 60, size[1] / 90)
    high, wide = round(size[0] / scale), round(size[1] / scale)
    # Whole pixels of the result.
    top, left = (round(round((a * scale - b) / 2) / scale) for a, b in zip((60, 90), size, strict=True))
    assert difference("center", reference(image[top : top + high, left : left + wide], size)) < 2.5
    scale = min(size[0] / 60, size[1] / 90, 1)
    assert difference("pad", reference(image, (round(60 * scale), round(90 * scale)))) < 2


@pytest.mark.parametrize("how", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("height", "width"), [(375, 500), (500, 333), (31, 47), (64, 64), (61, 60)])
def test_the_center_is_cut_in_whole_pixels(height, width, how):
    """As torchvision.transforms does it with Pillow: Resize(58), then CenterCrop(58)."""
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    size = (58, int(58 * height / width)) if width <= height else (int(58 * width / height), 58)
    resized = Image.fromarray(image).resize(size, Image.Resampling[how.upper()])
    left, top = (round((side - 58) / 2) for side in size)
    expected = np.asarray(resized.crop((left, top, left + 58, top + 58)))
    fitted, _ = fit(image, DataConfig(resize="center", size=(58, 58), interpolation=how))
    np.testing.assert_array_equal(fitted, expected)


@pytest.mark.parametrize("crop", [48, 49, 50, 51, 52, 53])
@pytest.mark.parametrize("width", range(80, 92))
def test_a_crop_of_what_is_prepared_is_that_of_the_whole_image(width, crop):
    """As torchvision's CenterCrop takes it, though half a margin is rounded twice."""
    image = np.random.default_rng(0).integers(0, 256, (58, width, 3), np.uint8)
    top, left = round((58 - crop) / 2), round((width - crop) / 2)
    fitted, _ = fit(image, DataConfig(resize="center", size=(58, 58), center_crop=(crop, crop)))
    seen = VIEWS["single"](fitted[None], (crop, crop))[0, 0]
    np.testing.assert_array_equal(seen, image[top : top + crop, left : left + crop])


@pytest.mark.parametrize("shape", [(1, 60000, 3), (50000, 2, 1)])
@pytest.mark.parametrize("size", [(64, 64), (4, 640)])
def test_a_strip_does_not_become_huge(shape, size, monkeypatch):
    sizes = []
    monkeypatch.setattr(resize, "resample", lambda image, size, how: sizes.append(size) or resample(image, size, how))
    assert fit(np.zeros(shape, np.uint8), DataConfig(resize="center", size=size))[0].shape == (*size, shape[2])
    assert np.prod(sizes[0]) <= 17 * max(size) ** 2


def test_pad_shrinks_only_what_is_too_large():
    canvas, true = fit(smooth(60, 90), DataConfig(resize="pad", size=(100, 100)))
    assert true == (60, 90)
    np.testing.assert_array_equal(canvas[:60, :90], smooth(60, 90))
    assert not canvas[60:].any()
    assert not canvas[:, 90:].any()
    canvas, true = fit(smooth(60, 90), DataConfig(resize="pad", size=(30, 30)))
    assert true == (20, 30)
    assert canvas.shape == (30, 30, 3)


def test_none_leaves_it():
    image, true = fit(smooth(), CONFIG)
    np.testing.assert_array_equal(image, smooth())
    assert true == (48, 64)


def test_reduced_decoding_stays_close():
    content = encoded(Image.fromarray(smooth(480, 640)), "JPEG", quality=95)
    rule = DataConfig(resize="center", size=(64, 64))
    reduced = decode(content, CONFIG, "image", None, at_least=(64, 64))
    assert 128 <= reduced.shape[0] < 480, "smaller, but at least twice the size"
    quick, _ = load(content, rule, "image", None)
    slow, _ = fit(read(content), rule)
    assert abs(quick.astype(int) - slow).mean() < 2


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="the ImageNet sample is not beside the checkout")
def test_real_photographs_equal_pillow():
    for path in sorted(SAMPLE.glob("*/*"))[::4]:
        with Image.open(path) as image:
            truth = np.asarray(ImageOps.exif_transpose(image).convert("RGB")).astype(int)
        content, rule = path.read_bytes(), DataConfig(resize="center", size=(64, 64))
        pixels = decode(content, CONFIG, path.name, 3)
        assert abs(pixels - truth).max() <= 2
        assert abs(load(content, rule, path.name, 3)[0].astype(int) - fit(pixels, rule)[0]).mean() < 4


def test_image_files(tmp_path):
    (tmp_path / "a" / ".hidden").mkdir(parents=True)
    for name in ("a/2.jpg", "a/1.jpg", "a/Thumbs.db", "a/.hidden/3.jpg", "single.png"):
        (tmp_path / name).touch()
    found = image_files([tmp_path / "single.png", tmp_path / "a"])
    assert [path.name for path in found] == ["single.png", "1.jpg", "2.jpg"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=rf"there is no file in {tmp_path / 'empty'}$"):
        image_files(str(tmp_path / "empty"))
    with pytest.raises(UserError, match=r"there is no file or folder .*none"):
        image_files(tmp_path / "none")


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match=r"there is no file .*none$"):
        read_file(tmp_path / "none", 10)
    with pytest.raises(UserError, match=r"cannot be read \(Is a directory\); make it readable"):
        read_file(tmp_path, 10)


def test_order_of_files_is_that_of_their_paths(tmp_path):
    (tmp_path / "a").mkdir()
    for name in ("a/x", "a.b", "a-b", "B", "c"):
        (tmp_path / name).touch()
    (tmp_path / "lost").symlink_to(tmp_path / "nowhere")
    (tmp_path / "around").symlink_to(tmp_path)
    assert files_below(tmp_path) == sorted(path for path in tmp_path.rglob("*") if path.name not in ("a", "around"))


# ---------------------------------------------------------------- what people's own files are like


def test_stray_bytes_lose_no_pixel_but_a_premature_end_does():
    content = encoded(Image.fromarray(smooth()), "JPEG", quality=95)
    np.testing.assert_array_equal(read(content[:-2] + b"\0" * 5 + content[-2:]), read(content))
    np.testing.assert_array_equal(read(content + b"more"), read(content))
    with pytest.raises(BadImageError, match="premature end"):
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
    twelve, rule = smooth().astype(np.uint16) * 16, DataConfig(max_value=4080)
    np.testing.assert_array_equal(read(written_by_opencv(ending, twelve[..., 0]), config=rule)[..., 0], image[..., 0])
    with pytest.raises(BadImageError, match=r"needs config.data.max_value=65535; save it as plain TIFF"):
        read(written_by_opencv(ending, twelve), config=rule)
    file = io.BytesIO()
    tifffile.imwrite(file, twelve, photometric="rgb", extratags=[(274, "H", 1, 6, True)])
    np.testing.assert_array_equal(read(file.getvalue(), config=rule), np.rot90(image, -1))


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


def test_many_bands_count_as_many_images():
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((40, 50, 120), np.uint8), photometric="minisblack", planarconfig="contig")
    assert read(file.getvalue(), 120, DataConfig(max_pixels=40 * 50 * 30)).shape == (40, 50, 120)
    with pytest.raises(BadImageError, match=r"is more than config.data.max_pixels"):
        read(file.getvalue(), 120, DataConfig(max_pixels=40 * 50 * 30 - 1))


@pytest.mark.parametrize("form", ["TIFF", "PNG", "WEBP"])
def test_orientation_of_other_files(form):
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(Image.fromarray(smooth()), form, exif=exif, **({"lossless": True} if form == "WEBP" else {}))
    np.testing.assert_array_equal(read(content, 3), np.rot90(smooth(), -1))
