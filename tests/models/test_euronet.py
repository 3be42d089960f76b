"""EuroNet layer by layer; what is expected is the table of its lecture slide, whose 113,080 is a slip for 113,008."""

from cnnjax.models import create_model, summarize


def test_counts_by_layer():
    table = summarize(create_model("euronet"))
    rows = [(row.output_shape, row.params) for row in table.rows if row.params]
    assert rows == [
        ((64, 64, 28), 3_304),
        ((64, 64, 28), 7_084),
        ((32, 32, 56), 14_168),
        ((32, 32, 56), 28_280),
        ((16, 16, 112), 56_560),
        ((16, 16, 112), 113_008),
        ((784,), 5_620_496),
        ((10,), 7_850),
    ]
    assert (table.input_size, table.params, table.params_total) == ((64, 64, 13), 5_850_750, 5_850_750)
    assert table.macs == 134_651_552
    assert [row.output_shape for row in table.rows if row.kind == "MaxPool"] == [
        (32, 32, 28),
        (16, 16, 56),
        (8, 8, 112),
    ]
