"""Reading and decoding, against what a user would pick instead: python benchmarks/input.py [--images DIR].

All cases take turns in one run. Without --images the JPEG files are made: noise with the spectrum of photographs,
512 x 512, quality 90. What is measured:

  batches   256 x 256 x 3 images to a device array: cnnjax streamed, prepared as pixels and as JPEG records, against a
            bare np.take into one buffer, torch's DataLoader and grain (both with Pillow's random resized crop of the
            JPEG files), and tf.data where tensorflow can be imported
  decoding  JPEG files on one core: the library's path against simplejpeg alone, by processor time
  prepare   from JPEG files to prepared records, against decoder and resizer alone in as many threads
  training  a tiny model on the streamed records: the share of the time in which it waits
"""

import argparse
import io
import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from ab import interleave, machine, table, write

SIDE, STORED, QUALITY = 256, 512, 90
CORES = os.cpu_count() or 1


def photographs(count: int) -> list[bytes]:
    """JPEG files of noise over eight octaves, whose power falls as that of photographs, mirrored and shifted copies."""
    from PIL import Image

    rng = np.random.default_rng(0)
    side = STORED + 64
    scenes = []
    for _ in range(8):
        scene = np.zeros((side, side, 3), np.float32)
        for octave in range(1, 9):
            grid = rng.standard_normal((2**octave + 1, 2**octave + 1, 3)).astype(np.float32) * 2.0 ** (-0.7 * octave)
            bands = [
                Image.fromarray(grid[:, :, band]).resize((side, side), Image.Resampling.BICUBIC) for band in range(3)
            ]
            scene += np.stack([np.asarray(band) for band in bands], axis=2)
        low, high = scene.min(), scene.max()
        scenes.append(((scene - low) * (255 / (high - low))).astype(np.uint8))
    files = []
    for number in range(count):
        top, left = rng.integers(0, 64, 2)
        image = scenes[number % 8][top : top + STORED, left : left + STORED][:, :: rng.choice([1, -1])]
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=QUALITY)
        files.append(file.getvalue())
    return files


def lay_out(folder: Path, count: int, images: str | None) -> list[str]:
    """Writes `count` files into two class folders, those of --images over and over if there are fewer."""
    if images:
        found = sorted(path for path in Path(images).rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
        contents = itertools.islice(itertools.cycle([path.read_bytes() for path in found]), count)
    else:
        contents = iter(photographs(count))
    paths = []
    for number, content in enumerate(contents):
        path = folder / f"class{number % 2}" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        paths.append(str(path))
    return paths


def crop(path: str, rng: np.random.Generator) -> np.ndarray:
    """Pillow's random resized crop (area 8-100 %, aspect 3/4-4/3), uint8 [SIDE, SIDE, 3]."""
    from PIL import Image

    image = Image.open(path).convert("RGB")
    width, height = image.size
    for _ in range(10):
        area = width * height * rng.uniform(0.08, 1.0)
        aspect = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
        w, h = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
        if w <= width and h <= height:
            left, top = rng.integers(0, width - w + 1), rng.integers(0, height - h + 1)
            box = (left, top, left + w, top + h)
            return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box))
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


class Files:
    """The torch data set: reads, crops, returns a tensor."""

    def __init__(self, paths: list[str]):
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int):
        import torch

        return torch.from_numpy(crop(self.paths[index], np.random.default_rng()).copy())


def torch_batches(paths: list[str], batch: int) -> Iterator[int]:
    from torch.utils.data import DataLoader

    loader = DataLoader(
        Files(paths * 1000), batch, shuffle=True, num_workers=CORES, multiprocessing_context="spawn", drop_last=True
    )
    for images in loader:
        yield len(images)


def grain_batches(paths: list[str], batch: int) -> Iterator[int]:
    import grain

    files = grain.MapDataset.source(paths).shuffle(seed=0).repeat()
    images = files.map(lambda path: crop(path, np.random.default_rng()))
    options = grain.ReadOptions(num_threads=CORES, prefetch_buffer_size=4)  # batches
    for arrays in images.batch(batch).to_iter_dataset(options):
        yield len(arrays)


def tensorflow_batches(paths: list[str], batch: int) -> Iterator[int]:
    import tensorflow as tf

    def read(path):
        content = tf.io.read_file(path)
        shape = tf.image.extract_jpeg_shape(content)
        begin, size, _ = tf.image.sample_distorted_bounding_box(
            shape, tf.zeros((1, 0, 4)), area_range=(0.08, 1.0), use_image_if_no_bounding_boxes=True
        )
        window = tf.concat([begin[:2], size[:2]], 0)
        image = tf.image.decode_and_crop_jpeg(content, window, channels=3)
        return tf.cast(tf.image.resize(image, (SIDE, SIDE)), tf.uint8)

    files = tf.data.Dataset.from_tensor_slices(paths).shuffle(len(paths)).repeat()
    images = files.map(read, num_parallel_calls=tf.data.AUTOTUNE).batch(batch).prefetch(tf.data.AUTOTUNE)
    for arrays in images.as_numpy_iterator():
        yield len(arrays)


def streamed_batches(dataset, batch: int) -> Iterator[int]:
    import jax

    from cnnjax.core.mesh import make_mesh
    from cnnjax.data import Streamed, TrainingRows

    split = dataset.split("train")
    rows = TrainingRows(0, len(split), batch, start=0, stop=1 << 31)
    for arrays in Streamed(split, make_mesh(), threads=CORES).batches(rows):
        yield len(jax.block_until_ready(arrays["images"]))


def take_batches(dataset, batch: int) -> Iterator[int]:
    split = dataset.split("train")
    pixels = np.concatenate([np.asarray(shard) for shard in split._pixels])
    buffer, rng = np.empty((batch, *pixels.shape[1:]), np.uint8), np.random.default_rng(0)
    while True:
        np.take(pixels, rng.integers(0, len(pixels), batch), axis=0, out=buffer, mode="clip")
        yield batch


def rate_of(batches: Iterator[int], seconds: float, ready: int) -> Callable[[], float]:
    """A case: images a second over so many seconds, once the `ready` batches read since its last turn are used up."""

    def measure() -> float:
        for _ in range(ready):
            next(batches)
        began, count = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            count += next(batches)
        return count / (time.perf_counter() - began)

    return measure


def batches(paths: list[str], pixels, encoded, seconds: float, rounds: int) -> list[str]:
    cases = {
        "np.take into one buffer": rate_of(take_batches(pixels, 256), seconds, 1),
        "cnnjax, prepared pixels": rate_of(streamed_batches(pixels, 256), seconds, 8),
        "cnnjax, JPEG records": rate_of(streamed_batches(encoded, 64), seconds, 8),
        "torch DataLoader + Pillow": rate_of(torch_batches(paths, 64), seconds, 2 * CORES),
        "grain + Pillow": rate_of(grain_batches(paths, 64), seconds, 5),
    }
    try:
        import tensorflow  # noqa: F401

        cases["tf.data"] = rate_of(tensorflow_batches(paths, 64), seconds, 3)
        notes = []
    except ImportError:
        notes = ["tf.data was left out: tensorflow is not installed."]
    rates = interleave(cases, rounds)
    columns = {"of np.take": "np.take into one buffer", "of torch": "torch DataLoader + Pillow"}
    return [
        f"Batches of {SIDE} x {SIDE} x 3 to a device array, {CORES} threads or workers",
        *table(rates, "images/s", columns),
        *notes,
    ]


def decoding(paths: list[str], seconds: float, rounds: int) -> list[str]:
    import simplejpeg

    from cnnjax.config import DataConfig
    from cnnjax.data.decode import load
    from cnnjax.data.resize import fit

    contents = [Path(path).read_bytes() for path in paths[:64]]
    mean = sum(map(len, contents)) / len(contents)
    fitted = DataConfig(resize="center", size=(SIDE, SIDE))
    small, kept = (DataConfig(resize="center", size=(side, side)) for side in (SIDE // 2, STORED))

    def per_core(work: Callable[[bytes], object]) -> Callable[[], float]:
        def measure() -> float:
            began, count = time.process_time(), 0
            while time.process_time() - began < seconds / 4:
                for content in contents:
                    work(content)
                count += len(contents)
            return count / (time.process_time() - began)

        return measure

    def decoder(content: bytes) -> np.ndarray:
        return simplejpeg.decode_jpeg(content, "RGB")

    both = f"simplejpeg + Pillow to {SIDE}"
    works = {
        "simplejpeg alone": decoder,
        f"cnnjax, kept at {STORED}": lambda content: load(content, kept, "", 3),
        both: lambda content: fit(decoder(content), fitted),
        f"cnnjax to {SIDE}": lambda content: load(content, fitted, "", 3),
        f"cnnjax to {SIDE // 2}": lambda content: load(content, small, "", 3),
    }
    rates = interleave({name: per_core(work) for name, work in works.items()}, rounds)
    head = f"JPEG files ({mean / 1024:.0f} KiB) on one core, by processor time"
    return [head, *table(rates, "images/s", {"of decoder": "simplejpeg alone", "of both": both})]


def preparing(folder: Path, paths: list[str], rounds: int) -> list[str]:
    import simplejpeg

    from cnnjax.config import DataConfig
    from cnnjax.data import prepare
    from cnnjax.data.resize import fit

    config = DataConfig(
        source=f"folder:{folder}", resize="center", size=(SIDE, SIDE), val_fraction=0.0, test_fraction=0.0
    )

    def one(path: str) -> None:
        fit(simplejpeg.decode_jpeg(Path(path).read_bytes(), "RGB"), config)

    def alone() -> float:
        began = time.perf_counter()
        with ThreadPoolExecutor(CORES) as pool:
            list(pool.map(one, paths, chunksize=32))
        return len(paths) / (time.perf_counter() - began)

    def whole() -> float:
        with tempfile.TemporaryDirectory() as place:
            began = time.perf_counter()
            prepare(config, place)
            return len(paths) / (time.perf_counter() - began)

    rates = interleave({"decoder and resizer alone": alone, "cnnjax prepare": whole}, rounds)
    head = f"From JPEG files to prepared records of {SIDE} x {SIDE} x 3, {CORES} threads"
    return [head, *table(rates, "images/s", {"of alone": "decoder and resizer alone"})]


def training(folder: Path, place: Path) -> list[str]:
    from cnnjax.bench import measure
    from cnnjax.config import AugmentConfig, DataConfig, Experiment, ModelConfig

    config = Experiment(
        data=DataConfig(
            source=f"folder:{folder}",
            resize="center",
            size=(SIDE, SIDE),
            val_fraction=0.0,
            test_fraction=0.0,
            batch_size=64,
            loader="streamed",
        ),
        augment=AugmentConfig(flip=True),
        model=ModelConfig(name="plain:pool >> pool >> pool >> conv8 >> relu >> pool >> fc16"),
    )
    return [
        "A tiny model trained on the streamed records: cnnjax bench",
        measure.text(measure.bench(config, data_dir=place)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", help="a folder of JPEG files, instead of those that are made")
    parser.add_argument("--count", type=int, default=1024, help="how many images")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    options = parser.parse_args()
    from cnnjax.config import DataConfig
    from cnnjax.data import prepare

    with tempfile.TemporaryDirectory() as scratch:
        files, place = Path(scratch) / "files", Path(scratch) / "data"
        paths = lay_out(files, options.count, options.images)
        config = {"source": f"folder:{files}", "val_fraction": 0.0, "test_fraction": 0.0, "size": (SIDE, SIDE)}
        pixels = prepare(DataConfig(**config, resize="center", store="pixels"), place)
        encoded = prepare(DataConfig(**config, resize="center", store="encoded"), place)
        sections = [
            batches(paths, pixels, encoded, options.seconds, options.rounds),
            decoding(paths, options.seconds, options.rounds),
            preparing(files, paths, options.rounds),
            training(files, place),
        ]
    packages = ("jax", "numpy", "grain", "torch", "pillow", "simplejpeg", "tensorflow")
    origin = options.images or f"made, {STORED} x {STORED}, quality {QUALITY}"
    lines = [*machine(*packages), f"images  {options.count:,}, {origin}", f"rounds    {options.rounds}, medians"]
    for section in sections:
        lines += ["", *section]
    write("input", lines)


if __name__ == "__main__":
    main()
