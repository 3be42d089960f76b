"""What the layers of each family are called in torchvision's state dicts."""

from cnnjax.weights.rules import DENSENET, INDEX, Names, Rule, rows

STAGES: tuple[Rule, ...] = (
    (r"\.conv_pw\.", ".0.0."), (r"\.bn1\.", ".0.1."), (r"\.conv_dw\.", ".1.0."), (r"\.bn2\.", ".1.1."),
    (r"\.se\.", ".2."), (r"\.conv_pwl\.", ".3.0."), (r"\.bn3\.", ".3.1."), (r"\.conv\.", ".0."), (r"\.bn\.", ".1."),
    (r"^stage(\d)_(\d+)\.", r"features.\1.\2.block."), (r"^stage(\d)\.", r"features.\1."),
    (r"^classifier\.", "classifier.1."),
)  # fmt: skip
"""The stages of models/inverted_residual.py: 0 is the stem, the last the convolution behind the blocks."""


# fmt: off
TORCHVISION: dict[str, Names] = {
    "alexnet": Names(
        rules=(
            (r"^conv1\.", "features.0."), (r"^conv2\.", "features.3."), (r"^conv3\.", "features.6."),
            (r"^conv4\.", "features.8."), (r"^conv5\.", "features.10."),
            (r"^fc6\.", "classifier.1."), (r"^fc7\.", "classifier.4."), (r"^fc8\.", "classifier.6."),
        ),
        flattened={"fc6": (6, 6)},
    ),
    "resnet": Names((INDEX,)),
    "resnext": Names((INDEX,)),
    "wide_resnet": Names((INDEX,)),
    "densenet": DENSENET,
    "convnext": Names(
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
    "regnet": Names((
        (r"\.conv\.", ".0."), (r"\.bn\.", ".1."), (r"\.(a|b|c|se)\.", r".f.\1."),
        (r"^block(\d)_(\d+)\.", r"trunk_output.block\1.block\1-\2."),
    )),
    "shufflenet": Names((
        (r"branch1_dw\.conv", "branch1.0"), (r"branch1_dw\.bn", "branch1.1"),
        (r"branch1_pw\.conv", "branch1.2"), (r"branch1_pw\.bn", "branch1.3"),
        (r"branch2_pw1\.conv", "branch2.0"), (r"branch2_pw1\.bn", "branch2.1"),
        (r"branch2_dw\.conv", "branch2.3"), (r"branch2_dw\.bn", "branch2.4"),
        (r"branch2_pw2\.conv", "branch2.5"), (r"branch2_pw2\.bn", "branch2.6"),
        (r"\.conv\.", ".0."), (r"\.bn\.", ".1."), INDEX,
    )),
    "efficientnet": Names((
        (r"^(stage1_\d+)\.conv_dw\.", r"\1.0.0."), (r"^(stage1_\d+)\.se\.", r"\1.1."),
        (r"^(stage1_\d+)\.conv_pw\.", r"\1.2.0."), (r"^(stage1_\d+)\.bn2\.", r"\1.2.1."),
        *STAGES,
    )),
    "efficientnet_v2": Names((
        (r"^(stage1_\d+)\.conv\.", r"\1.0.0."), (r"\.conv_exp\.", ".0.0."),
        (r"^(stage[23]_\d+)\.conv_pwl\.", r"\1.1.0."), *STAGES,
    )),
    "mnasnet": Names((
        (r"^stage0\.conv\.", "layers.0."), (r"^stage0\.bn\.", "layers.1."),
        (r"^stage1_0\.conv_dw\.", "layers.3."), (r"^stage1_0\.bn1\.", "layers.4."),
        (r"^stage1_0\.conv_pw\.", "layers.6."), (r"^stage1_0\.bn2\.", "layers.7."),
        *((rf"^stage{number}_(\d+)\.", rf"layers.{number + 6}.\1.layers.") for number in range(2, 8)),
        (r"\.conv_pw\.", ".0."), (r"\.bn1\.", ".1."), (r"\.conv_dw\.", ".3."), (r"\.bn2\.", ".4."),
        (r"\.conv_pwl\.", ".6."), (r"\.bn3\.", ".7."),
        (r"^stage8\.conv\.", "layers.14."), (r"^stage8\.bn\.", "layers.15."), (r"^classifier\.", "classifier.1."),
    )),
    "vit": Names(
        rules=(
            (r"^tokens\.class_token", "class_token"), (r"^tokens\.pos", "encoder.pos"),
            (r"^encoder_layer", "encoder.layers.encoder_layer"), (r"\.in_proj\.", ".in_proj_"),
            (r"\.fc1\.", ".mlp.0."), (r"\.fc2\.", ".mlp.3."), (r"^ln\.", "encoder.ln."), (r"^fc\.", "heads.head."),
        ),
        former=((r"\.mlp\.linear_1\.", ".mlp.0."), (r"\.mlp\.linear_2\.", ".mlp.3.")),
    ),
    "vgg": Names((INDEX,), flattened={"classifier_0": (7, 7)}),
    "squeezenet": Names((INDEX,)),
    "googlenet": Names((INDEX,), flattened={"aux1/fc1": (4, 4), "aux2/fc1": (4, 4)}),
    "mobilenet_v2": Names((
        (r"^stage0\.conv\.", "features.0.0."), (r"^stage0\.bn\.", "features.0.1."),
        (r"^stage1_0\.conv_dw\.", "features.1.conv.0.0."), (r"^stage1_0\.bn1\.", "features.1.conv.0.1."),
        (r"^stage1_0\.conv_pw\.", "features.1.conv.1."), (r"^stage1_0\.bn2\.", "features.1.conv.2."),
        (r"^stage8\.conv\.", "features.18.0."), (r"^stage8\.bn\.", "features.18.1."),
        *((rf"^stage{stage}_{number}\.", f"features.{row}.conv.") for row, stage, number in rows(1, 2, 3, 4, 3, 3, 1)),
        (r"\.conv_pw\.", ".0.0."), (r"\.bn1\.", ".0.1."), (r"\.conv_dw\.", ".1.0."), (r"\.bn2\.", ".1.1."),
        (r"\.conv_pwl\.", ".2."), (r"\.bn3\.", ".3."), (r"^classifier\.", "classifier.1."),
    )),
    "mobilenet_v3_small": Names((
        (r"^stage1_0\.conv_dw\.", "features.1.block.0.0."), (r"^stage1_0\.bn1\.", "features.1.block.0.1."),
        (r"^stage1_0\.se\.", "features.1.block.1."),
        (r"^stage1_0\.conv_pw\.", "features.1.block.2.0."), (r"^stage1_0\.bn2\.", "features.1.block.2.1."),
        (r"^(stage2_\d)\.conv_pwl\.", r"\1.2.0."), (r"^(stage2_\d)\.bn3\.", r"\1.2.1."),
        *((rf"^stage{stage}_{number}\.", f"features.{row}.block.") for row, stage, number in rows(1, 2, 3, 2, 3)),
        (r"^stage6\.", "features.12."), (r"^classifier\.", "classifier.3."), (r"^conv_head\.", "classifier.0."),
        *STAGES[:-1],
    )),
    "mobilenet_v3_large": Names((
        (r"^stage1_0\.conv_dw\.", "features.1.block.0.0."), (r"^stage1_0\.bn1\.", "features.1.block.0.1."),
        (r"^stage1_0\.conv_pw\.", "features.1.block.1.0."), (r"^stage1_0\.bn2\.", "features.1.block.1.1."),
        (r"^(stage[24]_\d)\.conv_pwl\.", r"\1.2.0."), (r"^(stage[24]_\d)\.bn3\.", r"\1.2.1."),
        *((rf"^stage{stage}_{number}\.", f"features.{row}.block.") for row, stage, number in rows(1, 2, 3, 4, 2, 3)),
        (r"^stage7\.", "features.16."), (r"^classifier\.", "classifier.3."), (r"^conv_head\.", "classifier.0."),
        *STAGES[:-1],
    )),
    "inception_v3": Names(),
}
# fmt: on
"""By family, or by variant, which goes first."""
