"""Whether a run folder may be taken for a training, and what is written into it before the first step."""

import platform
from contextlib import AbstractContextManager
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from cnnjax.config import Experiment, differences, to_json
from cnnjax.core import files, logs, startup
from cnnjax.core.errors import UserError
from cnnjax.core.rundir import RunDir
from cnnjax.data import Dataset
from cnnjax.optim import schedules
from cnnjax.runs.run import saved_config, saved_dataset
from cnnjax.training.build import is_resident


def lock(run: RunDir) -> AbstractContextManager[None]:
    """Holds the run folder: two trainings in one would destroy each other's checkpoints."""
    files.require_folder(run.root, "--workdir")

    def refuse() -> None:
        raise UserError(
            f"another training is at work in {run.root}; wait until it ends, or name another folder with --workdir"
        )

    return files.alone(run.root, busy=refuse)


def check_workdir(run: RunDir, config: Experiment) -> None:
    """Raises UserError where the folder is no run's, or plainly another config's; needs no data."""
    if run.config.is_file():
        _check_differences(run, saved_config(run), config, resolved=False)
    elif run.root.exists() and (not run.root.is_dir() or any(not _is_ours(path) for path in run.root.iterdir())):
        raise UserError(f"{run.root} exists and is no run folder; name an empty or new one with --workdir")


def _is_ours(path: Path) -> bool:
    """Whether a start that broke off before config.json was there may have left a file."""
    return path.name.startswith(".") or path.name == "failure.log"


def _check_differences(run: RunDir, saved: Experiment, config: Experiment, *, resolved: bool) -> None:
    """Raises UserError where a run folder belongs to another config; a longer run may go on if its rates allow it.

    Args:
      resolved: whether `config` has what the data decide; if not, what it leaves open is not compared.
    """
    differ = differences(saved, config)
    if not resolved:
        differ = {key: pair for key, pair in differ.items() if pair[1] not in (None, "auto")}
    longer = config.train.epochs >= saved.train.epochs and set(differ) <= {"train.epochs"}
    if differ and not (longer and schedules.extends(config.optimizer)):
        listed = ", ".join(f"config.{key} was {old}, now {new}" for key, (old, new) in differ.items())
        raise UserError(f"{run.root} is the run folder of another config ({listed}); name another with --workdir")


def check_same_run(run: RunDir, config: Experiment, dataset: Dataset, most: int) -> None:
    """Holds a run folder that is there against the config and the data; tells of another environment."""
    if run.config.is_file():
        _check_differences(run, saved_config(run), config, resolved=True)
    if run.dataset.is_file() and saved_dataset(run).digest != dataset.digest:
        raise UserError(
            f"{run.root} was trained on other images than {config.data.source} has now; name another --workdir"
        )
    here = environment(config, dataset, most)
    before = files.read_json(run.environment) if run.environment.is_file() else {}
    if before:
        before.setdefault("xla_flags", [])  # of runs that began when the library set none
    differ = [key for key in here if before.get(key, here[key]) != here[key]]
    if differ and differ != ["loader"]:  # which alone changes no bit
        changed = ", ".join(f"{key} was {before[key]}" for key in differ)
        logs.say(f"the environment has changed ({changed}): the run goes on, but not to the bit as it would have")


def describe_run(run: RunDir, config: Experiment, dataset: Dataset, most: int = 1) -> None:
    """Writes what the folder is; config.json first, since it makes the folder a run."""
    files.write_json(run.config, to_json(config))
    files.write_json(run.dataset, dataset.to_json())
    if not run.environment.is_file():  # of the start, which made the first bits
        files.write_json(run.environment, environment(config, dataset, most))


def environment(config: Experiment, dataset: Dataset, most: int) -> dict[str, Any]:
    """What bits depend on beside the config: versions, devices, cores, flags, how many steps a dispatch has."""
    packages = ("cnnjax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    found = {name: metadata.version(name) for name in packages if _installed(name)}
    device = jax.devices()[0]
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": found,
        "backend": jax.default_backend(),
        "device": device.device_kind,
        "devices": jax.device_count(),
        "processes": jax.process_count(),
        "cores": startup.cores(),
        "loader": "resident" if is_resident(config, dataset) else "streamed",
        "steps_per_dispatch": most,
        "xla_flags": startup.flags_for_bits(jax.default_backend()),
    }


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
