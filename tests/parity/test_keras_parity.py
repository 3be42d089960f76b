"""Logits of the models here against those of Keras' applications, whose random weights come through a saved file."""

import re
from functools import partial

import jax
import numpy as np
import pytest

from cnnjax.core.errors import UserError
from cnnjax.core.statistics import IMAGENET_MEAN, IMAGENET_STD
from cnnjax.models import create_model
from cnnjax.weights import bridge, files

slow = pytest.mark.slow
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of Keras' variables


@pytest.fixture(scope="module")
def keras():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_BACKEND", "jax")
        yield pytest.importorskip("keras")


# Nets that normalize their images themselves: (name, mean, standard deviation)
INSIDE = [
    ("efficientnetb", 0, 255),  # whose other norm draws its figures as all norms do
    ("efficientnetv2-b", IMAGENET_MEAN, IMAGENET_STD),
    ("efficientnetv2-[sml]", 128, 128),
    ("MobileNetV3", 127.5, 127.5),
    ("convnext", IMAGENET_MEAN, IMAGENET_STD),
]


def build(keras, name, side):
    """A model whose norms' statistics come from a forward pass, and of which no layer is idle."""
    # Drawn anew each time, now and then it would be a deep model in which rounding grows past the bound.
    keras.utils.set_random_seed(1)
    net = getattr(keras.applications, name)(input_shape=(side, side, 3), weights=None, classifier_activation=None)
    rng = np.random.default_rng(0)
    for layer in net.layers:
        for variable in layer.trainable_variables:
            if variable.name == "kernel":  # Glorot's shrink what passes through many layers without norms, He's do not
                variable.assign(variable.value * (1 + variable.shape[-1] / variable.shape[-2]) ** 0.5)
            elif variable.name == "gamma":
                variable.assign(rng.uniform(0.5, 1.5, variable.shape))
            elif variable.name in ("beta", "bias"):
                variable.assign(0.3 * rng.standard_normal(variable.shape))
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    if any(isinstance(layer, keras.layers.BatchNormalization) for layer in net.layers):
        _, state = run(net, rng.standard_normal((4, side, side, 3), np.float32), training=True)
        for variable, value in zip(net.non_trainable_variables, state, strict=True):
            variable.assign(value)
    return net


def run(net, images, *, training):
    """(logits, new values of what is not trained), in one compiled call: layer by layer each would be compiled."""
    if re.fullmatch(r"vgg\d+|resnet\d+", net.name):
        images = images[..., ::-1]  # Keras' sees blue first, ours red first
    for form, mean, std in INSIDE:
        if re.match(form, net.name):
            images = images * np.float32(std) + np.float32(mean)
    forward = jax.jit(partial(net.stateless_call, training=training))
    trained, others = (
        [variable.value for variable in each] for each in (net.trainable_variables, net.non_trainable_variables)
    )
    return forward(trained, others, images)


def save_as_keras_2(net, path):
    """What keras-applications' files look like, written by what is left in Keras 3 for reading them."""
    h5py = pytest.importorskip("h5py")
    from keras.src.legacy.saving import legacy_h5_format

    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, net)


def check(net, name, path, side):
    images = np.random.default_rng(1).standard_normal((2, side, side, 3), np.float32)
    theirs = np.asarray(run(net, images, training=False)[0])
    spread = theirs.max() - theirs.min()
    assert np.abs(theirs[0] - theirs[1]).max() > 0.02 * spread, "the reference hardly looks at the images"
    model = create_model(name, theirs.shape[1], input_size=(side, side, 3))
    variables = bridge.read_variables(model, files.read(path), "keras")
    ours = np.asarray(jax.jit(model.apply)(variables, images))
    assert np.abs(ours - theirs).max() <= 1e-4 * spread
    return model, variables


CASES = [
    pytest.param("resnet50_v2", "ResNet50V2", 64, marks=slow),
    pytest.param("resnet50_v2", "ResNet50V2", 75, marks=slow),
    pytest.param("vgg16", "VGG16", 224, marks=slow),  # its family is held against torchvision's
    pytest.param("vgg19", "VGG19", 224, marks=slow),
    pytest.param("densenet121", "DenseNet121", 64, marks=slow),
    pytest.param("keras/xception", "Xception", 96, marks=slow),
    pytest.param("efficientnet_b0", "EfficientNetB0", 128, marks=slow),
    pytest.param("efficientnet_b1", "EfficientNetB1", 75, marks=slow),
    pytest.param("keras/resnet50", "ResNet50", 64, marks=slow),
    pytest.param("keras/resnet50", "ResNet50", 75, marks=slow),
    pytest.param("keras/mobilenet_v2", "MobileNetV2", 96, marks=slow),
    pytest.param("keras/mobilenet_v2", "MobileNetV2", 75, marks=slow),
    pytest.param("keras/inception_v3", "InceptionV3", 139, marks=slow),
    pytest.param("efficientnet_v2_b0", "EfficientNetV2B0", 96, marks=slow),
    pytest.param("keras/efficientnet_v2_s", "EfficientNetV2S", 160, marks=slow),
    pytest.param("keras/mobilenet_v3_small", "MobileNetV3Small", 96, marks=slow),
    pytest.param("keras/mobilenet_v3_large", "MobileNetV3Large", 75, marks=slow),
    pytest.param("convnext_tiny", "ConvNeXtTiny", 64, marks=slow),
    pytest.param("inception_resnet_v2", "InceptionResNetV2", 107, marks=slow),
]


@pytest.mark.parametrize(("name", "reference", "side"), CASES)
def test_logits(keras, tmp_path, name, reference, side):
    net = build(keras, reference, side)
    net.save_weights(tmp_path / "net.weights.h5")
    check(net, name, tmp_path / "net.weights.h5", side)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "reference", "side"), [("resnet50_v2", "ResNet50V2", 64), ("keras/xception", "Xception", 96)]
)
def test_logits_through_a_file_of_keras_2(keras, tmp_path, name, reference, side):
    net = build(keras, reference, side)
    save_as_keras_2(net, tmp_path / "net.h5")
    check(net, name, tmp_path / "net.h5", side)


@pytest.fixture
def small(keras):
    """Every form of layer that files hold, half of them without a name of their own, in a model within a model."""
    keras.layers.Conv2D(1, 1)  # the session has counted one before
    layers = keras.layers
    inner = keras.Sequential([layers.Conv2D(4, 1, name="inner_conv"), layers.LayerNormalization(name="inner_norm")])
    net = keras.Sequential(
        [
            layers.Input((8, 8, 3)),
            layers.Normalization(),
            layers.Conv2D(4, 3),
            layers.BatchNormalization(scale=False, name="bn"),
            inner,
            layers.DepthwiseConv2D(3, name="depthwise"),
            layers.SeparableConv2D(5, 3, name="separable"),
            layers.Conv2D(6, 1, use_bias=False),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.5),
            layers.Dense(2, name="head"),
        ]
    )
    rng = np.random.default_rng(0)
    for variable in net.trainable_variables:
        variable.assign(rng.standard_normal(variable.shape))
    return net


@pytest.mark.parametrize("keras_2", [False, True])
def test_every_form_of_layer(small, tmp_path, keras_2):
    path = tmp_path / ("net.h5" if keras_2 else "net.weights.h5")
    if keras_2:
        save_as_keras_2(small, path)
    else:
        small.save_weights(path)
    state = {key: value for key, value in files.read(path).items() if not bridge.IGNORED.search(key)}
    _, first, bn, inner, depthwise, separable, second, _, _, head = small.layers
    expected = {
        "conv2d_0/kernel": first.kernel,
        "conv2d_0/bias": first.bias,
        "bn/beta": bn.beta,
        "bn/moving_mean": bn.moving_mean,
        "bn/moving_variance": bn.moving_variance,
        "inner_conv/kernel": inner.layers[0].kernel,
        "inner_conv/bias": inner.layers[0].bias,
        "inner_norm/gamma": inner.layers[1].gamma,
        "inner_norm/beta": inner.layers[1].beta,
        "depthwise/kernel": depthwise.kernel,
        "depthwise/bias": depthwise.bias,
        "separable/depthwise_kernel": separable.depthwise_kernel,
        "separable/pointwise_kernel": separable.pointwise_kernel,
        "separable/bias": separable.bias,
        "conv2d_1/kernel": second.kernel,
        "head/kernel": head.kernel,
        "head/bias": head.bias,
    }
    assert state.keys() == expected.keys()
    for key, variable in expected.items():
        np.testing.assert_array_equal(state[key], np.asarray(variable), err_msg=key)


def test_a_file_without_names_of_layers(small, tmp_path):
    h5py = pytest.importorskip("h5py")
    small.save_weights(tmp_path / "net.weights.h5")
    with h5py.File(tmp_path / "net.weights.h5", "a") as file:
        file.visititems(lambda place, group: group.attrs.pop("name", None) and None)
    with pytest.raises(UserError, match="names of its layers"):
        files.read(tmp_path / "net.weights.h5")


def test_files_of_keras_are_not_written():
    model = create_model("resnet50_v2")
    with pytest.raises(UserError, match="not written"):
        bridge.write_state(model, {}, "keras")
