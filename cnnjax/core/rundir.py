"""The paths of a run folder: the only thing by which stages talk to each other after training.

config.json environment.json metrics.jsonl events.* checkpoints/ eval/<split>.json predictions/<split>.csv figures/
calibration.json report.html
"""

from dataclasses import dataclass
from pathlib import Path

from cnnjax.core import files
from cnnjax.core.errors import UserError


@dataclass(frozen=True)
class RunDir:
    """Names every file of one run; makes nothing."""

    root: Path

    def __init__(self, root: str | Path):
        object.__setattr__(self, "root", Path(root))

    @classmethod
    def existing(cls, root: str | Path) -> "RunDir":
        """The same for a folder that must hold a run; raises UserError otherwise."""
        run = cls(root)
        if run.root.is_file():
            raise UserError(
                f"{root} is a file and no run folder; name the --workdir of a run, or make one of weights with "
                "cnnjax convert"
            )
        if not run.config.is_file():
            reason = "has no config.json" if run.root.is_dir() else "does not exist"
            raise UserError(f"{root} is no run folder: it {reason}; name the --workdir of a training run")
        return run

    @classmethod
    def new(cls, root: str | Path, *, flag: str = "--workdir") -> "RunDir":
        """The same for a folder that must be new or empty; raises UserError otherwise, which offers the flag."""
        run = cls(root)
        if run.root.exists() and (not run.root.is_dir() or any(run.root.iterdir())):
            raise UserError(f"{root} exists and is not empty; name a new folder with {flag}")
        files.require_folder(run.root, flag)
        return run

    @property
    def config(self) -> Path:
        return self.root / "config.json"

    @property
    def dataset(self) -> Path:
        """The description of the prepared data that the run trained on: class names, mean, eigenvectors."""
        return self.root / "dataset.json"

    @property
    def environment(self) -> Path:
        return self.root / "environment.json"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def figures(self) -> Path:
        return self.root / "figures"

    @property
    def profile(self) -> Path:
        """Traces of the steps of `train.profile`."""
        return self.root / "profile"

    @property
    def calibration(self) -> Path:
        """The temperature that `evaluate --calibrate` fitted, and the checkpoint that it belongs to."""
        return self.root / "calibration.json"

    @property
    def failure(self) -> Path:
        """The traceback of the last unexpected failure."""
        return self.root / "failure.log"

    def evaluation(self, split: str) -> Path:
        return self.root / "eval" / f"{split}.json"

    def predictions(self, split: str) -> Path:
        return self.root / "predictions" / f"{split}.csv"

    def errors(self, split: str) -> Path:
        """The lists of `evaluation.errors`: what is worth looking at in the predictions."""
        return self.root / "predictions" / f"{split}_errors.json"

    def images(self, split: str) -> Path:
        """Thumbnails of the images that these lists name."""
        return self.root / "predictions" / f"{split}_images.npz"

    @property
    def report(self) -> Path:
        return self.root / "report.html"
