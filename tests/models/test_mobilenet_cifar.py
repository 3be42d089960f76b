"""MobileNetV2 for 32 x 32 images, counted by hand from table 2 of the paper (Sandler et al. 2018, 1801.04381)."""

from cnnjax.core import trees
from cnnjax.models import create_model, summarize

# Expansion, channels, repeats, side of the map that leaves the first block: with the strides of the stem and of the
# second stage left out, 32 32 32 16 8 8 4 4.
TABLE = [(1, 16, 1, 32), (6, 24, 2, 32), (6, 32, 3, 16), (6, 64, 4, 8), (6, 96, 3, 8), (6, 160, 3, 4), (6, 320, 1, 4)]


def counted():
    """(parameters, MACs)"""
    inputs, before = 32, 32
    params, macs = 3 * 9 * 32 + 2 * 32, 3 * 9 * 32 * 32**2
    for expansion, channels, repeats, side in TABLE:
        for _ in range(repeats):
            inner = inputs * expansion
            if expansion > 1:
                params += inputs * inner + 2 * inner
                macs += inputs * inner * before**2
            params += 9 * inner + 2 * inner + inner * channels + 2 * channels
            macs += (9 * inner + inner * channels) * side**2
            inputs, before = channels, side
    params += 320 * 1280 + 2 * 1280 + 1280 * 10 + 10
    return params, macs + 320 * 1280 * 4**2 + 1280 * 10


def test_counts_are_the_papers_table():
    model = create_model("mobilenet_v2_cifar")
    params, macs = counted()
    assert params == 2_236_682  # mobilenet_v2's 3,504,872 less 990 classes of 1281 parameters
    assert trees.size(model.shapes()["params"]) == params
    table = summarize(model)
    assert (table.params, table.macs) == (params, macs)
    assert (model.input_size, model.num_classes) == ((32, 32, 3), 10)
