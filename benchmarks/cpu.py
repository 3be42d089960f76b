"""Training on a CPU against PyTorch and Keras: python benchmarks/cpu.py [--nets ...] [--rounds N] [--cores N] [--keras]

Whole training steps (forward, backward, SGD with momentum; float32) on random images: cnnjax's own step against
PyTorch eager with contiguous and with channels_last memory. With --keras whole epochs of Fashion-MNIST (60,000
images, batches of 128, Adam, shuffling): cnnjax.train against Keras on JAX and on PyTorch.

Each side is a process of its own that sleeps while another works; they take turns round by round, and what counts is
the median of the rounds' ratios. On a busy machine --cores 1 --clock cpu compares processor time, which others leave
nearly as it is. Results go to benchmarks/results/.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from ab import RESULTS, machine, table, write

SIDES = Path(__file__).with_name("cpu_sides.py")
MALLOC = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
    "MALLOC_TOP_PAD_": str(64 << 20),
    "MALLOC_ARENA_MAX": "1",
}
"""glibc keeps freed memory (see cnnjax's own setting of it)."""
YNN = "--xla_cpu_experimental_ynn_fusion_type"
"""XLA's flag that says which operations of a CPU go to YNNPACK."""
NETS = ("lenet5", "vgg_small", "alexnet", "resnet18", "mobilenet_v2", "efficientnet_b0")
EPOCH_NETS = ("cnn1", "cnn3", "six_conv")


class Side:
    """A process that trains when it is told to."""

    def __init__(self, side: str, net: str, options: argparse.Namespace):
        root = str(SIDES.parents[1])
        environment = {**os.environ, "PYTHONPATH": root, "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "2"}
        side, _, ynn = side.partition(" ynn=")
        if ynn:
            environment["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {YNN}={ynn}".strip()
        arguments = [side, net]
        if side.startswith("cnnjax") and (devices := 1 if side == "cnnjax_one_device" else options.devices):
            environment["JAX_NUM_CPU_DEVICES"] = str(devices)
        if side.endswith("_malloc"):
            environment |= MALLOC
        arguments += ["--plain"] if side == "cnnjax_plain" else []
        if options.keras:
            environment |= {"KERAS_BACKEND": side.removeprefix("keras_")}
            arguments += ["--epochs", str(options.rounds + 1), "--source", options.source]
            arguments += ["--data_dir", options.data_dir] if options.data_dir else []
        cores = sorted(os.sched_getaffinity(0))[-options.cores :]
        self.process = subprocess.Popen(
            [sys.executable, str(SIDES), *arguments],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        self.clock = options.clock

    def train(self, seconds: float) -> float:
        """Returns images a second of one turn."""
        assert self.process.stdin
        assert self.process.stdout
        try:
            self.process.stdin.write(f"{seconds}\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise SystemExit("a side ended; its message is above")
        done = json.loads(answer)
        return float(done["images"] / done[self.clock])

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def race(net: str, names: list[str], options: argparse.Namespace) -> dict[str, list[float]]:
    """Images a second of each side in each round; the first turn of each, which compiles, does not count."""
    sides = {name: Side(name, net, options) for name in names}
    rates: dict[str, list[float]] = {name: [] for name in names}
    try:
        for side in sides.values():
            side.train(options.seconds if options.keras else 0.1)
        for _ in range(options.rounds):
            for name, side in sides.items():
                rates[name].append(side.train(options.seconds))
    finally:
        for side in sides.values():
            side.end()
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", help=f"of {', '.join(NETS)}; with --keras of {', '.join(EPOCH_NETS)}")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each turn, at least a step")
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--devices", type=int, help="devices that cnnjax's cores are; default: as it decides")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--torch_malloc", action="store_true", help="PyTorch under cnnjax's setting of malloc as well")
    parser.add_argument("--plain", action="store_true", help="cnnjax with XLA's own convolutions as well")
    parser.add_argument("--one_device", action="store_true", help="cnnjax with all cores as one device as well")
    parser.add_argument("--ynn", action="append", default=[], help=f"cnnjax with {YNN} too: --ynn=-reduce")
    parser.add_argument("--keras", action="store_true", help="epochs of Fashion-MNIST against Keras")
    parser.add_argument("--source", default="fashion_mnist", help="of the epochs' images")
    parser.add_argument("--data_dir", help="where cnnjax keeps prepared data")
    options = parser.parse_args()

    if options.keras:
        names, nets = ["cnnjax", "keras_jax", "keras_torch"], EPOCH_NETS
    else:
        names, nets = ["cnnjax", "torch", "torch_channels_last"], NETS
        names += ["torch_malloc"] if options.torch_malloc else []
        names += ["cnnjax_plain"] if options.plain else []
        names += ["cnnjax_one_device"] if options.one_device else []
        names += [f"cnnjax ynn={entries}" for entries in options.ynn]
    heading = "epochs of Fashion-MNIST" if options.keras else "training steps"
    lines = [f"{heading}, {options.cores} cores, {options.rounds} rounds, {options.clock} time"]
    results = {}
    for net in options.nets or nets:
        results[net] = race(net, names, options)
        others = {name: name for name in names if not name.startswith("cnnjax")}
        columns = {f"/ {name}"[:20]: name for name in others}
        lines += ["", net, *table(results[net], "images/s", columns)]
        print("\n".join(lines[-len(names) - 2 :]), flush=True)
    about = machine("jax", "jaxlib", "torch", "keras", "flax", "numpy")
    name = "cpu-keras" if options.keras else "cpu"
    write(name, [*about, "", *lines])
    with (RESULTS / f"{name}.jsonl").open("a") as file:
        asked = {name: value for name, value in vars(options).items() if name != "data_dir"}
        file.write(json.dumps({"about": about, "options": asked, "images_per_s": results}) + "\n")


if __name__ == "__main__":
    main()
