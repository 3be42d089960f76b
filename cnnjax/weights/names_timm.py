"""What the layers of each family are called in timm's state dicts, PolyNet's in those of Cadene's collection."""

from cnnjax.weights.rules import DENSENET, INDEX, Names, Rule, numbers, rows

STAGES: tuple[Rule, ...] = (
    (r"^stage0\.conv\.", "conv_stem."), (r"^stage0\.bn\.", "bn1."),
    *((rf"^stage{number}_(\d+)\.", rf"blocks.{number - 1}.\1.") for number in range(1, 8)),
    (r"^stage\d\.conv\.", "conv_head."), (r"^stage\d\.bn\.", "bn2."),
    (r"\.fc1\.", ".conv_reduce."), (r"\.fc2\.", ".conv_expand."),
)  # fmt: skip
"""The stages of models/inverted_residual.py: 0 is the stem, the last the convolution behind the blocks."""

CELLS: tuple[Rule, ...] = (
    (r"\.(depthwise|pointwise)_(\d)\.", r".separable_\2.\1_conv2d."), (r"\.bn_(\d)\.", r".bn_sep_\1."),
    (r"\.path_(\d)\.", r".path_\1.conv."),
)  # fmt: skip


# fmt: off
TIMM: dict[str, Names] = {
    "mobilenet": Names(
        rules=(
            (r"^conv1\.conv\.", "conv_stem."), (r"^conv1\.bn\.", "bn1."), (r"^conv_preds\.", "classifier."),
            *((rf"^conv_(dw|pw)_{row}\.", rf"blocks.{stage - 1}.{number}.\1.")
              for row, stage, number in rows(1, 2, 2, 6, 2)),
            (r"\.(dw|pw)\.conv\.", r".conv_\1."), (r"\.dw\.bn\.", ".bn1."), (r"\.pw\.bn\.", ".bn2."),
            (r"^stage6\.conv\.", "blocks.5.0.conv."), (r"^stage6\.bn\.", "blocks.5.0.bn1."),
            (r"^stage7\.conv\.", "blocks.6.0.conv."), (r"^stage7\.bn\.", "blocks.6.0.bn1."), *STAGES,
        ),
        convolved={"conv_head": (1, 1)},
    ),
    "bit": Names(
        rules=(
            (r"^stem\.", "stem.conv."), (r"^stage(\d)_(\d+)\.", numbers("stages.{}.blocks.{}.", -1, 0)),
            (r"\.downsample\.", ".downsample.conv."), (r"^fc\.", "head.fc."),
        ),
        trailing={r"^head\.fc\.weight$": 2},
    ),
    "vit": Names((
        (r"^tokens\.class_token", "cls_token"), (r"^tokens\.pos_embedding", "pos_embed"),
        (r"^conv_proj\.", "patch_embed.proj."), (r"^encoder_layer_(\d+)\.", r"blocks.\1."),
        (r"\.self_attention\.in_proj\.", ".attn.qkv."), (r"\.self_attention\.out_proj\.", ".attn.proj."),
        (r"\.ln_(\d)\.", r".norm\1."), (r"\.(fc\d)\.", r".mlp.\1."), (r"^ln\.", "norm."), (r"^fc\.", "head."),
    )),
    "efficientnet": Names(STAGES),
    "efficientnet_v2": Names(STAGES),
    "mnasnet": Names(STAGES),
    "convnext": Names((
        (r"^stem\.", "stem.0."), (r"^stem_norm\.", "stem.1."),
        (r"^stage1_(\d+)\.", r"stages.0.blocks.\1."), (r"^stage2_(\d+)\.", r"stages.1.blocks.\1."),
        (r"^stage3_(\d+)\.", r"stages.2.blocks.\1."), (r"^stage4_(\d+)\.", r"stages.3.blocks.\1."),
        (r"^downsample2_norm\.", "stages.1.downsample.0."), (r"^downsample2\.", "stages.1.downsample.1."),
        (r"^downsample3_norm\.", "stages.2.downsample.0."), (r"^downsample3\.", "stages.2.downsample.1."),
        (r"^downsample4_norm\.", "stages.3.downsample.0."), (r"^downsample4\.", "stages.3.downsample.1."),
        (r"\.(fc\d)\.", r".mlp.\1."), (r"^(norm|fc)\.", r"head.\1."),
    )),
    "regnet": Names((
        *((rf"^block(\d)_{number}\.", rf"s\1.b{number + 1}.") for number in range(17)),
        (r"\.a\.", ".conv1."), (r"\.b\.", ".conv2."), (r"\.c\.", ".conv3."), (r"\.proj\.", ".downsample."),
        (r"^fc\.", "head.fc."),
    )),
    "nasnet": Names((*CELLS, (r"\.conv_prev_1x1\.(path|final)_", r".\1_"))),
    "pnasnet": Names((*CELLS, (r"^conv0\.", "conv_0."))),
    "vgg": Names(
        rules=(
            (r"^classifier_0\.", "pre_logits.fc1."), (r"^classifier_3\.", "pre_logits.fc2."),
            (r"^classifier_6\.", "head.fc."), INDEX,
        ),
        convolved={"classifier_0": (7, 7), "classifier_3": (1, 1)},
    ),
    "resnet": Names((INDEX,)),
    "resnext": Names((INDEX,)),
    "wide_resnet": Names((INDEX,)),
    "senet": Names(((r"^layer0_", "layer0."), INDEX)),
    "densenet": DENSENET,
    "inception_v3": Names(),
    "inception_v4": Names((
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
    "inception_resnet_v2": Names((
        (r"^Mixed", "mixed"), (r"^Conv2d_(\d[ab])_\dx\d\.", r"conv2d_\1."),
        (r"^(mixed_5b\.branch3)\.", r"\1.1."), (r"\.branch(\d)_(\d)\.", numbers(".branch{}.{}.", 0, -1)),
        (r"^block35_", "repeat."), (r"^block17_", "repeat_1."), (r"^block8_", "repeat_2."), (r"^fc\.", "classif."),
    )),
    "xception": Names((
        *((rf"^block1\.{layer}{number}\.", f"block1.rep.{3 * number - 3 + row}.")
          for number in (1, 2) for row, layer in enumerate(("sep", "bn"))),
        *((rf"\.{layer}{number}\.", f".rep.{3 * number - 2 + row}.")
          for number in (1, 2, 3) for row, layer in enumerate(("sep", "bn"))),
    )),
}
# fmt: on
"""By family, or by variant, which goes first."""

# fmt: off
CADENE: dict[str, Names] = {
    "polynet": Names((
        (r"^stem\d\.", "stem."), (r"(?<!blocks)_(\d)(?=\.(?:conv|bn)\.)", numbers(".{}", -1)), INDEX,
    )),
}
# fmt: on
