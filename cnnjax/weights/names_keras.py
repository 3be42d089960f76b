"""What the layers of each family are called in the files of Keras' applications."""

import re
from string import ascii_lowercase

from cnnjax.weights.rules import Names, Rule, numbers, rows

CELLS: tuple[Rule, ...] = (
    (r"^conv0/(conv|bn)/", r"stem_\g<1>1/"), (r"^last_linear/", "predictions/"),
    (r"^cell_stem_(\d)/", numbers("reduction/stem_{}/", 1)),
    (r"^(\w+)/(\w+)/conv_1x1/(conv|bn)/", r"\1_\3_1_\2/"),
    (r"^\w+/(\w+)/conv_prev_1x1/conv/", r"adjust_conv_projection_\1/"),
    (r"^\w+/(\w+)/conv_prev_1x1/path_(\d)/", r"adjust_conv_\2_\1/"),
    (r"^\w+/(\w+)/conv_prev_1x1/(final_path_)?bn/", r"adjust_bn_\1/"),
    (r"/comb_iter_(\d)_left/", numbers("/left{}/", 1)), (r"/comb_iter_(\d)_right/", numbers("/right{}/", 1)),
    (r"^(reduction/\w+/left)5/", r"\g<1>4/"),
    (r"^(\w+)/(\w+)/(\w+)/bn_(\d)/", r"separable_conv_\4_bn_\1_\3_\2/"),
    (r"^(\w+)/(\w+)/(\w+)/(depthwise|pointwise)_(\d)/", r"separable_conv_\5_\1_\3_\2/\4_"),
)  # fmt: skip
"""The cells of models/cells.py: cell_0/comb_iter_0_left/bn_1/ is separable_conv_1_bn_normal_left1_0/ in Keras."""

STAGES: tuple[Rule, ...] = (
    *((rf"^stage(\d)_{number}/", rf"block\1{letter}_") for number, letter in enumerate(ascii_lowercase)),
    (r"_conv_pw/", "_expand_conv/"), (r"_bn1/", "_expand_bn/"), (r"_conv_dw/", "_dwconv/"), (r"_bn2/", "_bn/"),
    (r"_conv_pwl/", "_project_conv/"), (r"_bn3/", "_project_bn/"),
    (r"_se/fc1/", "_se_reduce/"), (r"_se/fc2/", "_se_expand/"),
    (r"^stage0/", "stem_"), (r"^stage\d/", "top_"), (r"^classifier/", "predictions/"),
)  # fmt: skip
"""The stages of models/inverted_residual.py: 0 is the stem, the last the convolution behind the blocks."""

MOBILENET_V2 = Names((
    (r"^stage0/conv/", "Conv1/"), (r"^stage0/bn/", "bn_Conv1/"),
    (r"^stage8/conv/", "Conv_1/"), (r"^stage8/bn/", "Conv_1_bn/"),
    (r"^stage1_0/conv_dw/", "expanded_conv_depthwise/"), (r"^stage1_0/bn1/", "expanded_conv_depthwise_BN/"),
    (r"^stage1_0/conv_pw/", "expanded_conv_project/"), (r"^stage1_0/bn2/", "expanded_conv_project_BN/"),
    *((rf"^stage{stage}_{number}/", f"block_{row - 1}_") for row, stage, number in rows(1, 2, 3, 4, 3, 3, 1)),
    (r"_conv_pw/", "_expand/"), (r"_bn1/", "_expand_BN/"), (r"_conv_dw/", "_depthwise/"),
    (r"_bn2/", "_depthwise_BN/"), (r"_conv_pwl/", "_project/"), (r"_bn3/", "_project_BN/"),
    (r"^classifier/", "predictions/"),
))  # fmt: skip


def mobilenet_v3(*depths: int) -> Names:
    """Keras counts the blocks through all stages, and the first has no number."""
    last = len(depths) + 1
    return Names((
        (r"^stage0/conv/", "conv/"), (r"^stage0/bn/", "conv_bn/"), (r"^conv_head/", "conv_2/"),
        (rf"^stage{last}/conv/", "conv_1/"), (rf"^stage{last}/bn/", "conv_1_bn/"), (r"^classifier/", "logits/"),
        (r"^stage1_0/bn1/", "expanded_conv_depthwise_bn/"), (r"^stage1_0/conv_pw/", "expanded_conv_project/"),
        (r"^stage1_0/bn2/", "expanded_conv_project_bn/"), (r"^stage1_0/", "expanded_conv_"),
        *((rf"^stage{stage}_{number}/", f"expanded_conv_{row - 1}_") for row, stage, number in rows(*depths)),
        (r"_conv_pw/", "_expand/"), (r"_bn1/", "_expand_bn/"), (r"_conv_dw/", "_depthwise/"),
        (r"_bn2/", "_depthwise_bn/"), (r"_conv_pwl/", "_project/"), (r"_bn3/", "_project_bn/"),
        (r"_se/fc1/", "_squeeze_excite_conv/"), (r"_se/fc2/", "_squeeze_excite_conv_1/"),
    ))  # fmt: skip


STEM = ("", "Conv2d_1a_3x3, Conv2d_2a_3x3, Conv2d_2b_3x3, Conv2d_3b_1x1, Conv2d_4a_3x3")
"""Of the models of models/inception.py."""


def counted(*blocks: tuple[str, str]) -> Rule:
    """The rule for pairs of convolution and norm to which Keras gives no names but numbers, in this order.

    Args:
      *blocks: (modules, the pairs in each), "Mixed_5[bcd]" standing for three.
    """
    order = [
        f"{block}/{pair}".removeprefix("/") for name, pairs in blocks for block in each(name) for pair in each(pairs)
    ]
    place = {module: number for number, module in enumerate(order)}
    kinds = {"conv": "conv2d", "bn": "batch_normalization"}

    def rename(found: re.Match[str]) -> str:
        return f"{kinds[found[2]]}_{place[found[1]]}/" if found[1] in place else found[0]

    return r"^(.+)/(conv|bn)/", rename


def each(names: str) -> list[str]:
    """Spells a list out: of "a, b_[12]" makes a, b_1, b_2."""
    found = []
    for name in names.split(", "):
        before, _, letters = name.rstrip("]").partition("[")
        found += [before + letter for letter in letters] or [before]
    return found


def vgg(*depths: int) -> Names:
    """Keras counts VGG's convolutions stage by stage, torchvision and we all layers in a row."""
    convolutions = (
        (rf"^features_{2 * row + stage - 3}/", f"block{stage}_conv{number + 1}/")
        for row, stage, number in rows(*depths)
    )
    dense = ((r"^classifier_0/", "fc1/"), (r"^classifier_3/", "fc2/"), (r"^classifier_6/", "predictions/"))
    return Names((*convolutions, *dense), bgr="features_0")


# fmt: off
KERAS: dict[str, Names] = {
    "vgg16": vgg(2, 2, 3, 3, 3),
    "vgg19": vgg(2, 2, 4, 4, 4),
    "resnet": Names(
        rules=(
            (r"^layer(\d)_(\d+)/", numbers("conv{}_block{}_", 1, 1)), (r"_(conv|bn)(\d)/", r"_\2_\1/"),
            (r"_downsample_0/", "_0_conv/"), (r"_downsample_1/", "_0_bn/"), (r"^(conv|bn)1/", r"conv1_\1/"),
            (r"^fc/", "predictions/"),
        ),
        bgr="conv1",
    ),
    "resnet_v2": Names((
        (r"^stage(\d)_(\d+)/", numbers("conv{}_block{}_", 1, 1)), (r"_conv(\d)/", r"_\1_conv/"),
        (r"_norm1/", "_preact_bn/"), (r"_norm2/", "_1_bn/"), (r"_norm3/", "_2_bn/"), (r"_downsample/", "_0_conv/"),
        (r"^stem/", "conv1_conv/"), (r"^norm/", "post_bn/"), (r"^fc/", "predictions/"),
    )),
    "densenet": Names((
        (r"^denseblock(\d)_denselayer(\d+)/", numbers("conv{}_block{}_", 1, 0)), (r"_conv(\d)/", r"_\1_conv/"),
        (r"_norm(\d)/", numbers("_{}_bn/", -1)), (r"^transition(\d)/conv/", numbers("pool{}_conv/", 1)),
        (r"^transition(\d)/norm/", numbers("pool{}_bn/", 1)), (r"^conv0/", "conv1_conv/"), (r"^norm0/", "conv1_bn/"),
        (r"^norm/", "bn/"), (r"^classifier/", "predictions/"),
    )),
    "xception": Names((
        (r"^block([123])/skip/", numbers("conv2d_{}/", -1)), (r"^block12/skip/", "conv2d_3/"),
        (r"^block([123])/skipbn/", numbers("batch_normalization_{}/", -1)),
        (r"^block12/skipbn/", "batch_normalization_3/"), (r"^block(\d+)/", numbers("block{}_", 1)),
        (r"^conv([12])/kernel", r"block1_conv\1/kernel"), (r"^bn([12])/", r"block1_conv\1_bn/"),
        (r"^conv([34])/", numbers("block14_sepconv{}/", -2)), (r"^bn([34])/", numbers("block14_sepconv{}_bn/", -2)),
        (r"_sep(\d)/", r"_sepconv\1/"), (r"_bn(\d)/", r"_sepconv\1_bn/"), (r"/conv1/kernel$", "/depthwise_kernel"),
        (r"/pointwise/kernel$", "/pointwise_kernel"), (r"^fc/", "predictions/"),
    )),
    "efficientnet": Names((
        (r"^(stage1_\d+)/bn1/", r"\1/bn/"), (r"^(stage1_\d+)/conv_pw/", r"\1/project_conv/"),
        (r"^(stage1_\d+)/bn2/", r"\1/project_bn/"), *STAGES,
    )),
    "efficientnet_v2": Names((
        (r"^(stage1_\d+)/conv/", r"\1/project_conv/"), (r"^(stage1_\d+)/bn1/", r"\1/project_bn/"),
        (r"^(stage[23]_\d+)/conv_exp/", r"\1/expand_conv/"), (r"^(stage[23]_\d+)/bn2/", r"\1/project_bn/"),
        (r"/conv_dw/", "/dwconv2/"), *STAGES,
    )),
    "mobilenet_v2": MOBILENET_V2,
    "mobilenet_v2_140": MOBILENET_V2,
    "mobilenet_v3_small": mobilenet_v3(1, 2, 3, 2, 3),
    "mobilenet_v3_large": mobilenet_v3(1, 2, 3, 4, 2, 3),
    "convnext": Names(
        rules=(
            (r"^stem/", "stem_conv/"), (r"^stem_norm/", "stem_layernorm/"),
            (r"^downsample(\d)_norm/", numbers("downsampling_layernorm_{}/", -2)),
            (r"^downsample(\d)/", numbers("downsampling_conv_{}/", -2)),
            (r"^stage(\d)_(\d+)/", numbers("stage_{}_block_{}_", -1, 0)),
            (r"_conv_dw/", "_depthwise_conv/"), (r"_norm/", "_layernorm/"), (r"_fc(\d)/", r"_pointwise_conv_\1/"),
            (r"_gamma$", "_layer_scale/gamma"), (r"^norm/", "head_layernorm/"), (r"^fc/", "head_dense/"),
        ),
        former=((r"^convnext_[a-z]+_(?=stem|stage|downsampling|head|prestem)", ""),),
    ),
    "inception_v3": Names(
        rules=(
            counted(
                STEM,
                ("Mixed_5[bcd]", "branch1x1, branch5x5_[12], branch3x3dbl_[123], branch_pool"),
                ("Mixed_6a", "branch3x3, branch3x3dbl_[123]"),
                ("Mixed_6[bcde]", "branch1x1, branch7x7_[123], branch7x7dbl_[12345], branch_pool"),
                ("Mixed_7a", "branch3x3_[12], branch7x7x3_[1234]"),
                ("Mixed_7[bc]", "branch1x1, branch3x3_1, branch3x3_2[ab], branch3x3dbl_[12], branch3x3dbl_3[ab], "
                                "branch_pool"),
            ),
            (r"^fc/", "predictions/"),
        ),
        unscaled=True,
    ),
    "inception_resnet_v2": Names(
        rules=(
            (r"^block8/conv2d/", "block8_10_conv/"), (r"^block(\d+)_(\d+)/conv2d/", numbers("block{}_{}_conv/", 0, 1)),
            (r"^Conv2d_7b_1x1/conv/", "conv_7b/"), (r"^Conv2d_7b_1x1/bn/", "conv_7b_bn/"),
            counted(
                STEM,
                ("Mixed_5b", "branch0, branch1_[12], branch2_[123], branch3"),
                ("block35_[0123456789]", "branch0, branch1_[12], branch2_[123]"),
                ("Mixed_6a", "branch0, branch1_[123]"),
                ("block17_[0123456789]", "branch0, branch1_[123]"),
                ("block17_1[0123456789]", "branch0, branch1_[123]"),
                ("Mixed_7a", "branch0_[12], branch1_[12], branch2_[123]"),
                ("block8_[012345678]", "branch0, branch1_[123]"),
                ("block8", "branch0, branch1_[123]"),
            ),
            (r"^fc/", "predictions/"),
        ),
        unscaled=True,
    ),
    "mobilenet": Names(((r"/conv/", "/"), (r"/bn/", "_bn/"))),
    "nasnet_a_mobile": Names((
        (r"^reduction_cell_0/", "reduction/reduce_4/"), (r"^reduction_cell_1/", "reduction/reduce_8/"),
        (r"^cell_([0-3])/", r"normal/\1/"), (r"^cell_(\d+)/", numbers("normal/{}/", 1)), *CELLS,
    )),
    "nasnet_a_large": Names((
        (r"^reduction_cell_0/", "reduction/reduce_6/"), (r"^reduction_cell_1/", "reduction/reduce_12/"),
        (r"^cell_([0-5])/", r"normal/\1/"), (r"^cell_(\d+)/", numbers("normal/{}/", 1)), *CELLS,
    )),
}
# fmt: on
"""By family, or by variant, which goes first."""
