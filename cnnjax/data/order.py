"""The order of the samples, as a pure function of one integer.

A training run reads one endless stream of samples. Index words, used in this room throughout:

  position   index in the stream, from 0; never reset at the end of an epoch
  epoch      position // n, for a split of n images
  index      of an image within its split: permutation(seed, epoch)[position % n]
  step       one batch: positions step * B ... step * B + B - 1

Batches cross the ends of epochs, none is dropped or padded, and n < B works. Nothing has to be saved to go on at any
step, and nothing depends on threads, hosts or devices.
"""

import functools
from collections.abc import Sequence

import numpy as np

from cnnjax.core import keys


@functools.lru_cache(maxsize=4)  # two epochs at once where a batch crosses their border, twice that for a second split
def permutation(seed: int, epoch: int, n: int) -> np.ndarray:
    """Returns the order of the n images in one epoch, int64 [n]."""
    return keys.generator(seed, "order", epoch).permutation(n)


def samples(seed: int, n: int, positions: np.ndarray) -> np.ndarray:
    """Returns the indices of the images at `positions` of the stream, int64 [B]."""
    epochs, offsets = positions // n, positions % n
    indices = np.empty(len(positions), np.int64)
    for epoch in np.unique(epochs):
        here = epochs == epoch
        indices[here] = permutation(seed, int(epoch), n)[offsets[here]]
    return indices


class TrainingRows(Sequence[dict[str, np.ndarray]]):
    """The rows of steps `start` ... `stop` - 1, each {"index": int64 [B], "position": uint32 [B]}, computed when read.

    With `alternate` also {"turned": uint8 [B]}: which images stand mirrored, a half drawn from the seed in even
    epochs and the other half in odd ones (Jordan 2024, arXiv 2404.00498, section 3.6): each is seen from both sides
    in any two epochs.

    The positions are what the augmentation keys are made of; uint32 holds 3,352 epochs of ImageNet before it wraps.
    """

    def __init__(self, seed: int, n: int, batch_size: int, *, start: int, stop: int, alternate: bool = False):
        self._half = keys.generator(seed, "alternate").integers(0, 2, n, np.uint8) if alternate else None
        self._seed, self._n, self._batch_size, self._start, self._stop = seed, n, batch_size, start, stop

    def __len__(self) -> int:
        return max(self._stop - self._start, 0)

    def __getitem__(self, number: int) -> dict[str, np.ndarray]:  # type: ignore[override]
        if not 0 <= number < len(self):
            raise IndexError(number)
        step = self._start + number
        positions = np.arange(step * self._batch_size, (step + 1) * self._batch_size, dtype=np.int64)
        index = samples(self._seed, self._n, positions)
        row = {"index": index, "position": positions.astype(np.uint32)}
        if self._half is not None:
            row["turned"] = self._half[index] ^ (positions // self._n % 2).astype(np.uint8)
        return row
