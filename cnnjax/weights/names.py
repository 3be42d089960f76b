"""What the layers of each family are called in other libraries' files, one table a family and source.

A leaf's name here, params/layer1_0/conv1/kernel, is first written in the source's own grammar (layer1_0.conv1.weight in
PyTorch's, layer1_0/conv1/kernel in Keras'); then the table's rules, (pattern, replacement), are applied in order. A
family whose modules are named as the source names them needs no more than INDEX, or nothing.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from string import ascii_lowercase
from typing import Literal, TypeAlias

Source = Literal["torchvision", "timm", "cadene", "keras"]
"""Whose files are known."""

Rule: TypeAlias = tuple[str, str | Callable[[re.Match[str]], str]]
"""A regular expression and what takes its place, as in re.sub."""


def numbers(form: str, *steps: int) -> Callable[[re.Match[str]], str]:
    """Makes the right side of a rule that counts from another number: "conv{}_block{}_", 1, 1 adds 1 to both."""
    return lambda found: form.format(*(int(number) + step for number, step in zip(found.groups(), steps, strict=True)))


INDEX: Rule = (r"_(\d+)(?=\.)", r".\1")
"""layer1_0.conv1 -> layer1.0.conv1: the members of a list."""

TORCHVISION_STAGES: tuple[Rule, ...] = (
    (r"\.conv_pw\.", ".0.0."), (r"\.bn1\.", ".0.1."), (r"\.conv_dw\.", ".1.0."), (r"\.bn2\.", ".1.1."),
    (r"\.se\.", ".2."), (r"\.conv_pwl\.", ".3.0."), (r"\.bn3\.", ".3.1."), (r"\.conv\.", ".0."), (r"\.bn\.", ".1."),
    (r"^stage(\d)_(\d+)\.", r"features.\1.\2.block."), (r"^stage(\d)\.", r"features.\1."),
    (r"^classifier\.", "classifier.1."),
)  # fmt: skip
TIMM_STAGES: tuple[Rule, ...] = (
    (r"^stage0\.conv\.", "conv_stem."), (r"^stage0\.bn\.", "bn1."),
    *((rf"^stage{number}_(\d+)\.", rf"blocks.{number - 1}.\1.") for number in range(1, 8)),
    (r"^stage\d\.conv\.", "conv_head."), (r"^stage\d\.bn\.", "bn2."),
    (r"\.fc1\.", ".conv_reduce."), (r"\.fc2\.", ".conv_expand."),
)  # fmt: skip
"""The stages of models/inverted_residual.py: 0 is the stem, the last the convolution behind the blocks."""


DENSENET: tuple[Rule, ...] = (
    (r"^norm\.", "norm5."), (r"_denselayer", ".denselayer"), (r"^(?!classifier)", "features."),
)  # fmt: skip
TIMM_CELLS: tuple[Rule, ...] = (
    (r"\.(depthwise|pointwise)_(\d)\.", r".separable_\2.\1_conv2d."), (r"\.bn_(\d)\.", r".bn_sep_\1."),
    (r"\.path_(\d)\.", r".path_\1.conv."),
)  # fmt: skip
KERAS_CELLS: tuple[Rule, ...] = (
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


def rows(*depths: int) -> list[tuple[int, int, int]]:
    """(number in the net from 1, stage from 1, number in the stage from 0) of each block, by the stages' depths."""
    blocks = [(stage, number) for stage, depth in enumerate(depths, 1) for number in range(depth)]
    return [(row, stage, number) for row, (stage, number) in enumerate(blocks, 1)]


@dataclass(frozen=True)
class Names:
    """How one family's leaves are found in one source's files.

    Attributes:
      rules: applied in order to the whole name.
      flattened: by module path here, the (height, width) of the map that was flattened before a dense layer: PyTorch's
        rows run over channels first, ours last.
      convolved: by module path here, the (height, width) of a dense layer's map that the source does not flatten, but
        convolves with kernels of that size.
      bgr: module path of the first convolution where the source's pictures are blue, green, red.
      trailing: by pattern of a name in the file, how many axes of length one it has there behind those of the leaf
        here: {"layer_scale$": 2}.
      former: rules for the names in the file, from what earlier versions of the source called them.
    """

    rules: tuple[Rule, ...] = ()
    flattened: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    convolved: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    bgr: str = ""
    trailing: Mapping[str, int] = field(default_factory=dict)
    former: tuple[Rule, ...] = ()


def keras_vgg(*depths: int) -> Names:
    """Keras counts VGG's convolutions stage by stage, torchvision and we all layers in a row."""
    convolutions = (
        (rf"^features_{2 * row + stage - 3}/", f"block{stage}_conv{number + 1}/")
        for row, stage, number in rows(*depths)
    )
    dense = ((r"^classifier_0/", "fc1/"), (r"^classifier_3/", "fc2/"), (r"^classifier_6/", "predictions/"))
    return Names((*convolutions, *dense), bgr="features_0")


# fmt: off
NAMES: dict[tuple[str, str], Names] = {
    # ---------------------------------------------------------------- torchvision
    ("alexnet", "torchvision"): Names(
        rules=(
            (r"^conv1\.", "features.0."), (r"^conv2\.", "features.3."), (r"^conv3\.", "features.6."),
            (r"^conv4\.", "features.8."), (r"^conv5\.", "features.10."),
            (r"^fc6\.", "classifier.1."), (r"^fc7\.", "classifier.4."), (r"^fc8\.", "classifier.6."),
        ),
        flattened={"fc6": (6, 6)},
    ),
    ("resnet", "torchvision"): Names((INDEX,)),
    ("resnext", "torchvision"): Names((INDEX,)),
    ("wide_resnet", "torchvision"): Names((INDEX,)),
    ("densenet", "torchvision"): Names(DENSENET),
    ("convnext", "torchvision"): Names(
        rules=(
            (r"^stem\.", "features.0.0."), (r"^stem_norm\.", "features.0.1."),
            (r"^stage1_", "features.1."), (r"^stage2_", "features.3."),
            (r"^stage3_", "features.5."), (r"^stage4_", "features.7."),
            (r"^downsample2_norm\.", "features.2.0."), (r"^downsample2\.", "features.2.1."),
            (r"^downsample3_norm\.", "features.4.0."), (r"^downsample3\.", "features.4.1."),
            (r"^downsample4_norm\.", "features.6.0."), (r"^downsample4\.", "features.6.1."),
            (r"\.conv_dw\.", ".block.0."), (r"\.norm\.", ".block.2."),
            (r"\.fc1\.", ".block.3."), (r"\.fc2\.", ".block.5."), (r"\.gamma$", ".layer_scale"),
            (r"^norm\.", "classifier.0."), (r"^fc\.", "classifier.2."),
        ),
        trailing={"layer_scale$": 2},
    ),
    ("regnet", "torchvision"): Names((
        (r"\.conv\.", ".0."), (r"\.bn\.", ".1."), (r"\.(a|b|c|se)\.", r".f.\1."),
        (r"^block(\d)_(\d+)\.", r"trunk_output.block\1.block\1-\2."),
    )),
    ("shufflenet", "torchvision"): Names((
        (r"branch1_dw\.conv", "branch1.0"), (r"branch1_dw\.bn", "branch1.1"),
        (r"branch1_pw\.conv", "branch1.2"), (r"branch1_pw\.bn", "branch1.3"),
        (r"branch2_pw1\.conv", "branch2.0"), (r"branch2_pw1\.bn", "branch2.1"),
        (r"branch2_dw\.conv", "branch2.3"), (r"branch2_dw\.bn", "branch2.4"),
        (r"branch2_pw2\.conv", "branch2.5"), (r"branch2_pw2\.bn", "branch2.6"),
        (r"\.conv\.", ".0."), (r"\.bn\.", ".1."), INDEX,
    )),
    ("efficientnet", "torchvision"): Names((
        (r"^(stage1_\d+)\.conv_dw\.", r"\1.0.0."), (r"^(stage1_\d+)\.se\.", r"\1.1."),
        (r"^(stage1_\d+)\.conv_pw\.", r"\1.2.0."), (r"^(stage1_\d+)\.bn2\.", r"\1.2.1."),
        *TORCHVISION_STAGES,
    )),
    ("efficientnet_v2", "torchvision"): Names((
        (r"^(stage1_\d+)\.conv\.", r"\1.0.0."), (r"\.conv_exp\.", ".0.0."),
        (r"^(stage[23]_\d+)\.conv_pwl\.", r"\1.1.0."), *TORCHVISION_STAGES,
    )),
    ("mnasnet", "torchvision"): Names((
        (r"^stage0\.conv\.", "layers.0."), (r"^stage0\.bn\.", "layers.1."),
        (r"^stage1_0\.conv_dw\.", "layers.3."), (r"^stage1_0\.bn1\.", "layers.4."),
        (r"^stage1_0\.conv_pw\.", "layers.6."), (r"^stage1_0\.bn2\.", "layers.7."),
        *((rf"^stage{number}_(\d+)\.", rf"layers.{number + 6}.\1.layers.") for number in range(2, 8)),
        (r"\.conv_pw\.", ".0."), (r"\.bn1\.", ".1."), (r"\.conv_dw\.", ".3."), (r"\.bn2\.", ".4."),
        (r"\.conv_pwl\.", ".6."), (r"\.bn3\.", ".7."),
        (r"^stage8\.conv\.", "layers.14."), (r"^stage8\.bn\.", "layers.15."), (r"^classifier\.", "classifier.1."),
    )),
    ("vit", "torchvision"): Names(
        rules=(
            (r"^tokens\.class_token", "class_token"), (r"^tokens\.pos", "encoder.pos"),
            (r"^encoder_layer", "encoder.layers.encoder_layer"), (r"\.in_proj\.", ".in_proj_"),
            (r"\.fc1\.", ".mlp.0."), (r"\.fc2\.", ".mlp.3."), (r"^ln\.", "encoder.ln."), (r"^fc\.", "heads.head."),
        ),
        former=((r"\.mlp\.linear_1\.", ".mlp.0."), (r"\.mlp\.linear_2\.", ".mlp.3.")),
    ),
    ("vgg", "torchvision"): Names((INDEX,), flattened={"classifier_0": (7, 7)}),
    ("squeezenet", "torchvision"): Names((INDEX,)),
    ("googlenet", "torchvision"): Names((INDEX,), flattened={"aux1/fc1": (4, 4), "aux2/fc1": (4, 4)}),
    ("mobilenet_v2", "torchvision"): Names((
        (r"^stage0\.conv\.", "features.0.0."), (r"^stage0\.bn\.", "features.0.1."),
        (r"^stage1_0\.conv_dw\.", "features.1.conv.0.0."), (r"^stage1_0\.bn1\.", "features.1.conv.0.1."),
        (r"^stage1_0\.conv_pw\.", "features.1.conv.1."), (r"^stage1_0\.bn2\.", "features.1.conv.2."),
        (r"^stage8\.conv\.", "features.18.0."), (r"^stage8\.bn\.", "features.18.1."),
        *((rf"^stage{stage}_{number}\.", f"features.{row}.conv.") for row, stage, number in rows(1, 2, 3, 4, 3, 3, 1)),
        (r"\.conv_pw\.", ".0.0."), (r"\.bn1\.", ".0.1."), (r"\.conv_dw\.", ".1.0."), (r"\.bn2\.", ".1.1."),
        (r"\.conv_pwl\.", ".2."), (r"\.bn3\.", ".3."), (r"^classifier\.", "classifier.1."),
    )),
    ("mobilenet_v3_small", "torchvision"): Names((
        (r"^stage1_0\.conv_dw\.", "features.1.block.0.0."), (r"^stage1_0\.bn1\.", "features.1.block.0.1."),
        (r"^stage1_0\.se\.", "features.1.block.1."),
        (r"^stage1_0\.conv_pw\.", "features.1.block.2.0."), (r"^stage1_0\.bn2\.", "features.1.block.2.1."),
        (r"^(stage2_\d)\.conv_pwl\.", r"\1.2.0."), (r"^(stage2_\d)\.bn3\.", r"\1.2.1."),
        *((rf"^stage{stage}_{number}\.", f"features.{row}.block.") for row, stage, number in rows(1, 2, 3, 2, 3)),
        (r"^stage6\.", "features.12."), (r"^classifier\.", "classifier.3."), (r"^conv_head\.", "classifier.0."),
        *TORCHVISION_STAGES[:-1],
    )),
    ("mobilenet_v3_large", "torchvision"): Names((
        (r"^stage1_0\.conv_dw\.", "features.1.block.0.0."), (r"^stage1_0\.bn1\.", "features.1.block.0.1."),
        (r"^stage1_0\.conv_pw\.", "features.1.block.1.0."), (r"^stage1_0\.bn2\.", "features.1.block.1.1."),
        (r"^(stage[24]_\d)\.conv_pwl\.", r"\1.2.0."), (r"^(stage[24]_\d)\.bn3\.", r"\1.2.1."),
        *((rf"^stage{stage}_{number}\.", f"features.{row}.block.") for row, stage, number in rows(1, 2, 3, 4, 2, 3)),
        (r"^stage7\.", "features.16."), (r"^classifier\.", "classifier.3."), (r"^conv_head\.", "classifier.0."),
        *TORCHVISION_STAGES[:-1],
    )),
    ("inception_v3", "torchvision"): Names(),
    # ---------------------------------------------------------------- timm
    ("mobilenet", "timm"): Names(
        rules=(
            (r"^conv1\.conv\.", "conv_stem."), (r"^conv1\.bn\.", "bn1."), (r"^conv_preds\.", "classifier."),
            *((rf"^conv_(dw|pw)_{row}\.", rf"blocks.{stage - 1}.{number}.\1.")
              for row, stage, number in rows(1, 2, 2, 6, 2)),
            (r"\.(dw|pw)\.conv\.", r".conv_\1."), (r"\.dw\.bn\.", ".bn1."), (r"\.pw\.bn\.", ".bn2."),
            (r"^stage6\.conv\.", "blocks.5.0.conv."), (r"^stage6\.bn\.", "blocks.5.0.bn1."),
            (r"^stage7\.conv\.", "blocks.6.0.conv."), (r"^stage7\.bn\.", "blocks.6.0.bn1."), *TIMM_STAGES,
        ),
        convolved={"conv_head": (1, 1)},
    ),
    ("bit", "timm"): Names(
        rules=(
            (r"^stem\.", "stem.conv."), (r"^stage(\d)_(\d+)\.", numbers("stages.{}.blocks.{}.", -1, 0)),
            (r"\.downsample\.", ".downsample.conv."), (r"^fc\.", "head.fc."),
        ),
        trailing={r"^head\.fc\.weight$": 2},
    ),
    ("vit", "timm"): Names((
        (r"^tokens\.class_token", "cls_token"), (r"^tokens\.pos_embedding", "pos_embed"),
        (r"^conv_proj\.", "patch_embed.proj."), (r"^encoder_layer_(\d+)\.", r"blocks.\1."),
        (r"\.self_attention\.in_proj\.", ".attn.qkv."), (r"\.self_attention\.out_proj\.", ".attn.proj."),
        (r"\.ln_(\d)\.", r".norm\1."), (r"\.(fc\d)\.", r".mlp.\1."), (r"^ln\.", "norm."), (r"^fc\.", "head."),
    )),
    ("efficientnet", "timm"): Names(TIMM_STAGES),
    ("efficientnet_v2", "timm"): Names(TIMM_STAGES),
    ("mnasnet", "timm"): Names(TIMM_STAGES),
    ("convnext", "timm"): Names((
        (r"^stem\.", "stem.0."), (r"^stem_norm\.", "stem.1."),
        (r"^stage1_(\d+)\.", r"stages.0.blocks.\1."), (r"^stage2_(\d+)\.", r"stages.1.blocks.\1."),
        (r"^stage3_(\d+)\.", r"stages.2.blocks.\1."), (r"^stage4_(\d+)\.", r"stages.3.blocks.\1."),
        (r"^downsample2_norm\.", "stages.1.downsample.0."), (r"^downsample2\.", "stages.1.downsample.1."),
        (r"^downsample3_norm\.", "stages.2.downsample.0."), (r"^downsample3\.", "stages.2.downsample.1."),
        (r"^downsample4_norm\.", "stages.3.downsample.0."), (r"^downsample4\.", "stages.3.downsample.1."),
        (r"\.(fc\d)\.", r".mlp.\1."), (r"^(norm|fc)\.", r"head.\1."),
    )),
    ("regnet", "timm"): Names((
        *((rf"^block(\d)_{number}\.", rf"s\1.b{number + 1}.") for number in range(17)),
        (r"\.a\.", ".conv1."), (r"\.b\.", ".conv2."), (r"\.c\.", ".conv3."), (r"\.proj\.", ".downsample."),
        (r"^fc\.", "head.fc."),
    )),
    ("nasnet", "timm"): Names((*TIMM_CELLS, (r"\.conv_prev_1x1\.(path|final)_", r".\1_"))),
    ("pnasnet", "timm"): Names((*TIMM_CELLS, (r"^conv0\.", "conv_0."))),
    ("vgg", "timm"): Names(
        rules=(
            (r"^classifier_0\.", "pre_logits.fc1."), (r"^classifier_3\.", "pre_logits.fc2."),
            (r"^classifier_6\.", "head.fc."), INDEX,
        ),
        convolved={"classifier_0": (7, 7), "classifier_3": (1, 1)},
    ),
    ("resnet", "timm"): Names((INDEX,)),
    ("resnext", "timm"): Names((INDEX,)),
    ("wide_resnet", "timm"): Names((INDEX,)),
    ("senet", "timm"): Names(((r"^layer0_", "layer0."), INDEX)),
    ("densenet", "timm"): Names(DENSENET),
    ("inception_v3", "timm"): Names(),
    ("timm/inception_v3", "timm"): Names(),
    ("inception_v4", "timm"): Names((
        (r"\.branch3\.", ".branch3.1."), (r"\.branch(\d)_(\d)\.", numbers(".branch{}.{}.", 0, -1)),
        (r"^(Mixed_7[bcd]\.branch[12])\.", r"\1_"), (r"(?<=branch\d_)(\d)(?=[ab]\.)", numbers("{}", -1)),
        (r"^Conv2d_1a_3x3\.", "features.0."), (r"^Conv2d_2a_3x3\.", "features.1."),
        (r"^Conv2d_2b_3x3\.", "features.2."),
        (r"^Mixed_3a\.", "features.3."), (r"^Mixed_4a\.", "features.4."),
        *((rf"^Mixed_5{letter}\.", f"features.{row}.") for row, letter in enumerate("abcde", 5)),
        *((rf"^Mixed_6{letter}\.", f"features.{row}.") for row, letter in enumerate("abcdefgh", 10)),
        *((rf"^Mixed_7{letter}\.", f"features.{row}.") for row, letter in enumerate("abcd", 18)),
        (r"^fc\.", "last_linear."),
    )),
    ("inception_resnet_v2", "timm"): Names((
        (r"^Mixed", "mixed"), (r"^Conv2d_(\d[ab])_\dx\d\.", r"conv2d_\1."),
        (r"^(mixed_5b\.branch3)\.", r"\1.1."), (r"\.branch(\d)_(\d)\.", numbers(".branch{}.{}.", 0, -1)),
        (r"^block35_", "repeat."), (r"^block17_", "repeat_1."), (r"^block8_", "repeat_2."), (r"^fc\.", "classif."),
    )),
    ("xception", "timm"): Names((
        *((rf"^block1\.{layer}{number}\.", f"block1.rep.{3 * number - 3 + row}.")
          for number in (1, 2) for row, layer in enumerate(("sep", "bn"))),
        *((rf"\.{layer}{number}\.", f".rep.{3 * number - 2 + row}.")
          for number in (1, 2, 3) for row, layer in enumerate(("sep", "bn"))),
    )),
    # ---------------------------------------------------------------- cadene
    ("polynet", "cadene"): Names((
        (r"^stem\d\.", "stem."), (r"(?<!blocks)_(\d)(?=\.(?:conv|bn)\.)", numbers(".{}", -1)), INDEX,
    )),
    # ---------------------------------------------------------------- keras
    ("vgg16", "keras"): keras_vgg(2, 2, 3, 3, 3),
    ("vgg19", "keras"): keras_vgg(2, 2, 4, 4, 4),
    ("resnet_v2", "keras"): Names((
        (r"^stage(\d)_(\d+)/", numbers("conv{}_block{}_", 1, 1)), (r"_conv(\d)/", r"_\1_conv/"),
        (r"_norm1/", "_preact_bn/"), (r"_norm2/", "_1_bn/"), (r"_norm3/", "_2_bn/"), (r"_downsample/", "_0_conv/"),
        (r"^stem/", "conv1_conv/"), (r"^norm/", "post_bn/"), (r"^fc/", "predictions/"),
    )),
    ("densenet", "keras"): Names((
        (r"^denseblock(\d)_denselayer(\d+)/", numbers("conv{}_block{}_", 1, 0)), (r"_conv(\d)/", r"_\1_conv/"),
        (r"_norm(\d)/", numbers("_{}_bn/", -1)), (r"^transition(\d)/conv/", numbers("pool{}_conv/", 1)),
        (r"^transition(\d)/norm/", numbers("pool{}_bn/", 1)), (r"^conv0/", "conv1_conv/"), (r"^norm0/", "conv1_bn/"),
        (r"^norm/", "bn/"), (r"^classifier/", "predictions/"),
    )),
    ("keras/xception", "keras"): Names((
        (r"^block([123])/skip/", numbers("conv2d_{}/", -1)), (r"^block12/skip/", "conv2d_3/"),
        (r"^block([123])/skipbn/", numbers("batch_normalization_{}/", -1)),
        (r"^block12/skipbn/", "batch_normalization_3/"), (r"^block(\d+)/", numbers("block{}_", 1)),
        (r"^conv([12])/kernel", r"block1_conv\1/kernel"), (r"^bn([12])/", r"block1_conv\1_bn/"),
        (r"^conv([34])/", numbers("block14_sepconv{}/", -2)), (r"^bn([34])/", numbers("block14_sepconv{}_bn/", -2)),
        (r"_sep(\d)/", r"_sepconv\1/"), (r"_bn(\d)/", r"_sepconv\1_bn/"), (r"/conv1/kernel$", "/depthwise_kernel"),
        (r"/pointwise/kernel$", "/pointwise_kernel"), (r"^fc/", "predictions/"),
    )),
    ("efficientnet", "keras"): Names((
        *((rf"^stage(\d)_{number}/", rf"block\1{letter}_") for number, letter in enumerate(ascii_lowercase)),
        (r"^(block1\w_)conv_dw/", r"\1dwconv/"), (r"^(block1\w_)bn1/", r"\1bn/"),
        (r"^(block1\w_)conv_pw/", r"\1project_conv/"), (r"^(block1\w_)bn2/", r"\1project_bn/"),
        (r"_conv_pw/", "_expand_conv/"), (r"_bn1/", "_expand_bn/"), (r"_conv_dw/", "_dwconv/"), (r"_bn2/", "_bn/"),
        (r"_conv_pwl/", "_project_conv/"), (r"_bn3/", "_project_bn/"),
        (r"_se/fc1/", "_se_reduce/"), (r"_se/fc2/", "_se_expand/"),
        (r"^stage0/", "stem_"), (r"^stage8/", "top_"), (r"^classifier/", "predictions/"),
    )),
    ("mobilenet", "keras"): Names(((r"/conv/", "/"), (r"/bn/", "_bn/"))),
    ("nasnet_a_mobile", "keras"): Names((
        (r"^reduction_cell_0/", "reduction/reduce_4/"), (r"^reduction_cell_1/", "reduction/reduce_8/"),
        (r"^cell_([0-3])/", r"normal/\1/"), (r"^cell_(\d+)/", numbers("normal/{}/", 1)), *KERAS_CELLS,
    )),
    ("keras/nasnet_a_large", "keras"): Names((
        (r"^reduction_cell_0/", "reduction/reduce_6/"), (r"^reduction_cell_1/", "reduction/reduce_12/"),
        (r"^cell_([0-5])/", r"normal/\1/"), (r"^cell_(\d+)/", numbers("normal/{}/", 1)), *KERAS_CELLS,
    )),
}
# fmt: on
"""By (family, source), or (variant, source), which goes first."""
