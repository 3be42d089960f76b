from cnnjax.augment.policy import resolve
from cnnjax.config import AugmentConfig


def test_presets_are_the_two_settings_from_practice():
    gentle, strong = resolve(AugmentConfig(preset="gentle")), resolve(AugmentConfig(preset="strong"))
    assert (gentle.rotation, gentle.shift, gentle.shear, gentle.zoom) == (8, (0.08, 0.08), 0.3, 0.08)
    assert (gentle.flip, gentle.channel_shift) == (False, 0)
    assert (strong.rotation, strong.shift, strong.shear, strong.zoom) == (40, (0.2, 0.2), 0.2, 0.2)
    assert (strong.flip, strong.channel_shift, strong.fill) == (True, 9, "nearest")


def test_explicit_values_win_over_the_preset():
    config = resolve(AugmentConfig(preset="strong", rotation=5, fill="reflect", noise=2))
    assert (config.rotation, config.fill, config.noise, config.zoom) == (5, "reflect", 2, 0.2)


def test_without_a_preset_nothing_changes():
    config = AugmentConfig(rotation=5, pad=4)
    assert resolve(config) == config
