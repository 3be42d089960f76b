"""Training speed of ImageNet models against PyTorch's best form: python benchmarks/gpu.py [--nets a,b] [--minutes M].

cnnjax takes its own train step on a prepared random batch (`bench --synthetic`: bfloat16, float32 parameters); PyTorch
takes channels_last, bfloat16 autocast, torch.compile and a fused SGD on one as well. Each begins with a large batch and
halves it until it fits. The two take turns, each in a process of its own that has the GPU to itself. Utilization counts
three forward passes of two operations a MAC against the device's peak, the same for both.

Runs on machines with jax, flax, optax, orbax, chex, absl, rich and PyTorch alone. --smoke tries it all, torch.compile
apart, with small images on whatever device there is. --canaries only checks, in a minute and without PyTorch, whether
the device computes the right numbers.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ab import machine, write

NETS = {
    "alexnet": 4096,
    "vgg16": 1024,
    "resnet50": 1024,
    "inception_v3": 1024,
    "densenet121": 512,
    "efficientnet_b0": 1024,
}
"""Batch sizes to begin with."""
SMOKE = {"alexnet": 64, "vgg16": 32, "resnet50": 32, "inception_v3": 75, "densenet121": 32, "efficientnet_b0": 32}
"""Sides of the images in a try-out."""
FULL = ("out of memory", "resource_exhausted", "failed to allocate", "out_of_memory")


def cnnjax_speed(net: str, batch: int, steps: int | None, smoke: bool) -> dict:
    from cnnjax.bench.measure import bench
    from cnnjax.bench.peaks import peak
    from cnnjax.config import DataConfig, Experiment, ModelConfig, OptimizerConfig
    from cnnjax.models import create_model, summary

    size = (SMOKE[net],) * 2 + (3,) if smoke else create_model(net).input_size
    config = Experiment(
        data=DataConfig(source="fake:imagenet", batch_size=batch),
        model=ModelConfig(name=net, num_classes=1000, input_size=size),
        optimizer=OptimizerConfig(name="sgd", lr=0.01, momentum=0.9, weight_decay=1e-4),
    )
    report = bench(config, synthetic=True, steps=steps)
    report["macs"] = summary.summarize(create_model(net, 1000, input_size=size)).macs
    report["peak"] = peak(report["device"], report["dtype"])
    return report


def torch_speed(net: str, batch: int, steps: int | None, smoke: bool) -> dict:
    import torch
    import torch_nets

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    model, library = torch_nets.build(net)
    model = model.to(device, memory_format=torch.channels_last).train()
    side = SMOKE[net] if smoke else 299 if net == "inception_v3" else 224
    images = torch.randn(batch, 3, side, side, device=device).to(memory_format=torch.channels_last)
    labels = torch.randint(0, 1000, (batch,), device=device)
    sgd = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4, fused=device == "cuda")
    forward, form = torch.compile(model), "eager" if "TORCH_COMPILE_DISABLE" in os.environ else "compiled"

    def step() -> None:
        with torch.autocast(device, torch.bfloat16):
            outputs = forward(images)
            heads = outputs if isinstance(outputs, tuple) else (outputs,)
            losses = [torch.nn.functional.cross_entropy(head, labels) for head in heads]
        (losses[0] + 0.4 * sum(losses[1:])).backward()
        sgd.step()
        sgd.zero_grad(set_to_none=True)

    def ready() -> float:
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    try:
        step()
    except Exception as error:  # torch.compile needs a compiler of its own, which a machine may lack
        if is_full(error):
            raise
        forward, form = model, "eager"
    for _ in range(3):
        step()
    began, count = ready(), 0
    while count < (steps or 10) or (steps is None and ready() - began < 10):
        for _ in range(min(steps or 10, 10)):
            step()
        count += min(steps or 10, 10)
    memory = torch.cuda.max_memory_allocated() if device == "cuda" else None
    seconds = (ready() - began) / count
    return {"images_per_s": batch / seconds, "peak_memory_bytes": memory, "form": f"{form}, {library}"}


def is_full(error: Exception) -> bool:
    """Whether the device has no room for so large a batch."""
    return any(word in f"{type(error).__name__} {error}".lower() for word in FULL)


SPEEDS = {"cnnjax": cnnjax_speed, "torch": torch_speed}


def alone(options: argparse.Namespace) -> None:
    """What a child process does: measures one library, and prints one JSON document last."""
    try:
        found = SPEEDS[options.one](options.nets, options.batch, options.steps, options.smoke)
    except LookupError as error:
        found = {"skipped": str(error)}
    except Exception as error:
        if not is_full(error):
            raise
        found = {"full": True}
    print(json.dumps(found))


def measured(library: str, net: str, batch: int, options: argparse.Namespace, cache: str) -> dict:
    """Runs a child, with half the batch as long as the device is too small for it."""
    here = Path(__file__)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(here.parents[1]), os.environ.get("PYTHONPATH", "")]),
        "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.94",
        # Of several GPUs cnnjax would share the batch among all, PyTorch takes one.
        "CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0],
        "JAX_COMPILATION_CACHE_DIR": f"{cache}/jax",
        "TORCHINDUCTOR_CACHE_DIR": f"{cache}/torch",
        "PYTORCH_ALLOC_CONF": "expandable_segments:True",
    }
    while batch:
        words = [sys.executable, str(here), "--one", library, "--nets", net, "--batch", str(batch)]
        words += ["--smoke"] if options.smoke else []
        words += ["--steps", str(options.steps)] if options.steps else []
        done = subprocess.run(words, env=environment, capture_output=True, text=True)
        lines = done.stdout.strip().splitlines()
        found = json.loads(lines[-1]) if done.returncode == 0 and lines else {}
        crashed = done.returncode and any(word in done.stderr.lower() for word in FULL)
        if not found and not crashed:
            told = done.stderr.strip().splitlines() or ["it ended without a word"]
            reason = next((line for line in reversed(told) if "Error" in line), told[-1])
            return {"skipped": f"{library} failed on {net} with {batch} images: {reason}"}
        if not (found.get("full") or crashed):
            return found | {"batch": batch}
        batch //= 2
    return {"skipped": f"{library} found no room for a single image of {net}"}


def race(net: str, options: argparse.Namespace, cache: str) -> list[str]:
    """Lines of one model: both libraries in turn, `rounds` times."""
    batches = dict.fromkeys(SPEEDS, options.batch or NETS[net])
    runs: dict[str, list[dict]] = {library: [] for library in SPEEDS}
    lines = []
    for _ in range(options.rounds):
        for library in SPEEDS:
            found = measured(library, net, batches[library], options, cache)
            if "skipped" in found:
                if found["skipped"] not in lines:
                    lines.append(found["skipped"])
                continue
            batches[library] = found["batch"]
            runs[library].append(found)
    ours = runs["cnnjax"]
    flops, best = (6 * ours[0]["macs"], ours[0]["peak"]) if ours else (0, None)
    medians = {name: statistics.median(run["images_per_s"] for run in found) for name, found in runs.items() if found}
    for library, median in medians.items():
        share = f"{median * flops / best:6.1%}" if best else "     -"
        ratio = f"{median / medians['torch']:6.2f}" if "torch" in medians else "     -"
        memory = runs[library][0]["peak_memory_bytes"]
        memory = f"{memory / 2**30:5.1f} GiB" if memory else ""
        whose = f"PyTorch ({runs[library][0]['form']})" if library == "torch" else library
        lines.append(f"{net:16}  {whose:30}  {batches[library]:5}  {median:10,.0f}  {share}  {ratio}  {memory}")
    return lines


def canaries() -> int:
    """Holds what is compiled for the device against float64 NumPy; returns how many canaries failed."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from cnnjax.bench import canaries as checks
    from cnnjax.core.mesh import make_mesh

    make_mesh()  # sets memory and flags as training does
    rows = checks.run()
    failed = sum(not row["ok"] for row in rows)
    lines = [
        f"{'ok' if row['ok'] else 'FAILED':6}  {row['backend']:4}  {row['name']:70}  {checks.outcome(row)}"
        for row in rows
    ]
    device = device_name()
    head = [*machine("jax", "jaxlib", "flax"), f"device    {device}", f"failed    {failed} of {len(rows)}", ""]
    write(re.sub(r"\W+", "-", f"canaries-{device}".lower()).strip("-"), [*head, *lines])
    return failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", default=",".join(NETS), help="names, separated by commas")
    parser.add_argument("--minutes", type=float, default=60.0, help="no model is begun later than this")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--batch", type=int, help="to begin with, for all models")
    parser.add_argument("--steps", type=int, help="to measure; default: about ten seconds")
    parser.add_argument("--smoke", action="store_true", help="small images, one round of two steps")
    parser.add_argument("--canaries", action="store_true", help="check numbers, race nothing")
    parser.add_argument("--one", choices=SPEEDS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        return alone(options)
    if options.canaries:
        sys.exit(canaries() > 0)
    if options.smoke:  # compiling for a CPU takes minutes and shows nothing about a GPU
        os.environ["TORCH_COMPILE_DISABLE"] = "1"
        options.rounds, options.steps, options.batch = 1, 2, options.batch or 4
    names = options.nets.split(",")
    if unknown := set(names) - set(NETS):
        parser.error(f"--nets: {', '.join(sorted(unknown))} is none of {', '.join(NETS)}")
    began = time.monotonic()
    rows = [f"{'net':16}  {'library':30}  batch    images/s  of peak  ratio  memory"]
    with tempfile.TemporaryDirectory() as cache:
        for name in names:
            if time.monotonic() - began > 60 * options.minutes:
                rows.append(f"{name} was not raced: {options.minutes:g} minutes are over")
                continue
            lines = race(name, options, cache)
            print("\n".join(lines), file=sys.stderr, flush=True)
            rows += lines
    device = device_name()
    head = [*machine("jax", "jaxlib", "flax", "torch", "torchvision", "timm"), f"device    {device}"]
    head.append(f"rounds    {options.rounds}, medians; ratio to PyTorch")
    name = re.sub(r"\W+", "-", f"gpu-{device}".lower()).strip("-")
    write("smoke-" + name if options.smoke else name, [*head, "", *rows])


def device_name() -> str:
    """Asked of the driver, so that this process never touches the GPU."""
    try:
        words = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "no GPU"


if __name__ == "__main__":
    main()
