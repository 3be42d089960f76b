"""Files of weights as flat {name: array}: safetensors, PyTorch's pickles behind a flag, Keras' HDF5."""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path

from cnnjax.core import files, logs
from cnnjax.core.arrays import HostArray
from cnnjax.core.errors import UserError
from cnnjax.weights.hdf5 import read_keras

WRAPPED = re.compile(r"^(module\.|_orig_mod\.|model\.)+")
"""What PyTorch's DataParallel and compile put before every name, and a training module that holds the model."""

PICKLES = (".pth", ".pt", ".bin")


def read(path: str | Path, *, allow_pickle: bool = False) -> dict[str, HostArray]:
    """Reads a file of weights by its ending.

    Args:
      path: .safetensors, .h5 (Keras), or .pth, .pt or .bin (PyTorch).
      allow_pickle: let PyTorch unpickle, with weights_only=True, which builds tensors and nothing else.

    Raises:
      UserError: no such file, an unknown or forbidden kind, or a damaged one.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no file of weights {path}")
    if path.suffix in PICKLES and not allow_pickle:
        raise UserError(
            f"{path} is a pickle, which can run code; save it as .safetensors, or trust it with --allow_pickle"
        )
    readers = {".safetensors": _read_safetensors, ".h5": read_keras} | dict.fromkeys(PICKLES, _read_torch)
    if path.suffix not in readers:
        raise UserError(f"{path} is no file of weights by its name; it must end in {', '.join(readers)}")
    try:
        state = readers[path.suffix](path)
    except UserError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or "it ends too early"  # EOFError says nothing
        raise UserError(f"{path} cannot be read as {path.suffix}: {reason}") from error
    if not state:
        raise UserError(f"{path} holds no weights")
    return {WRAPPED.sub("", key): value for key, value in state.items()}


def write(path: str | Path, state: Mapping[str, HostArray]) -> None:
    """Writes .safetensors, atomically."""
    from safetensors.numpy import save

    path = Path(path)
    if path.suffix != ".safetensors":
        raise UserError(f"{path} must end in .safetensors, the one kind that is written")
    if not path.parent.is_dir():
        raise UserError(f"there is no folder {path.parent} to write {path.name} into")
    if path.is_dir():
        raise UserError(f"{path} is a folder; name a file to write")
    with files.atomic(path) as partial:
        partial.write(save(dict(state), metadata={"format": "pt"}))


def _read_safetensors(path: Path) -> dict[str, HostArray]:
    from safetensors.numpy import load_file

    return dict(load_file(path))


def _read_torch(path: Path) -> dict[str, HostArray]:
    try:
        import torch
    except ModuleNotFoundError:
        raise UserError(f"reading {path} needs PyTorch; install cnnjax[parity], or save it as .safetensors") from None
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} is no file of PyTorch's, or holds more than weights, so it is not read; save its state_dict alone"
        ) from error
    for wrapper in ("state_dict", "model_state_dict", "model"):  # of training scripts' checkpoints
        if isinstance(found, dict) and isinstance(found.get(wrapper), dict):
            if averaged := ", ".join(key for key in found if "ema" in str(key)):
                logs.say(f"{path}: its {wrapper} is read; save {averaged} alone for the averaged weights")
            found = found[wrapper]
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise UserError(f"{path} is no state_dict; save model.state_dict()")
    # NumPy has no bfloat16; whole numbers stay what they are, for the bridge to tell.
    values = {key: value.float() if value.is_floating_point() else value for key, value in found.items()}
    return {key: value.detach().numpy() for key, value in values.items()}  # a parameter asks for a gradient
