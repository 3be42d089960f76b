"""What every comparison here shares: turns taken in one run, medians of ratios, a result that says where it is from."""

import datetime
import os
import platform
import statistics
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def machine(*packages: str) -> list[str]:
    """The lines above every result: when, on what, with which versions."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    versions = []
    for package in packages:
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            versions.append(f"{package} not installed")
    return [
        f"date      {datetime.date.today().isoformat()}",
        f"machine   {model}, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} at the end",
        f"versions  Python {platform.python_version()}, " + ", ".join(versions),
    ]


def interleave(cases: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Measures every case once a round, so that what else the machine does meets all of them."""
    rates: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, measure in cases.items():
            rates[name].append(measure())
    return rates


def table(rates: Mapping[str, list[float]], unit: str, baselines: Mapping[str, str]) -> list[str]:
    """Lines of median, range and, for each baseline, the median of the rounds' ratios to it.

    Args:
      baselines: heading of the column to the name of the case in it.
    """
    width = max(map(len, rates))
    lines = [f"{'':{width}}  {unit:>12}  {'range':>19}" + "".join(f"  {heading:>12}" for heading in baselines)]
    for name, values in rates.items():
        line = f"{name:{width}}  {statistics.median(values):>12,.0f}  {min(values):>9,.0f}{max(values):>10,.0f}"
        for base in baselines.values():
            ratios = [value / other for value, other in zip(values, rates[base], strict=True)]
            line += f"  {statistics.median(ratios):>12.2f}"
        lines.append(line)
    return lines


def write(name: str, lines: list[str]) -> None:
    """Prints the result and keeps it in results/NAME.txt."""
    text = "\n".join(lines) + "\n"
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.txt").write_text(text)
    print(text)
