"""Files of PyTorch as training scripts leave them: names behind a prefix, checkpoints that hold more than weights."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from cnnjax.weights import files

STATE = {"conv1.weight": np.ones((2, 3, 1, 1), np.float32), "fc.bias": np.zeros(2, np.float32)}


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "model._orig_mod.module."])
def test_what_holds_the_net_is_no_part_of_the_names(prefix, tmp_path):
    save_file({prefix + key: value for key, value in STATE.items()}, tmp_path / "net.safetensors")
    assert files.read(tmp_path / "net.safetensors").keys() == STATE.keys()


@pytest.mark.parametrize(
    ("wrapper", "averaged"), [("state_dict", "state_dict_ema"), ("model", "model_ema"), ("state_dict", None)]
)
def test_of_a_checkpoint_the_weights_are_read_and_not_their_averages(wrapper, averaged, tmp_path, capsys):
    torch = pytest.importorskip("torch")
    state = {key: torch.from_numpy(value) for key, value in STATE.items()}
    others = {averaged: {key: value + 1 for key, value in state.items()}} if averaged else {}
    torch.save({wrapper: state, "epoch": 3, **others}, tmp_path / "last.pth")
    found = files.read(tmp_path / "last.pth", allow_pickle=True)
    assert found.keys() == STATE.keys()
    for key, value in STATE.items():
        np.testing.assert_array_equal(found[key], value)
    said = f"its {wrapper} is read; save {averaged} alone for the averaged weights"
    assert (said in capsys.readouterr().err) == bool(averaged)
