"""BiT-M ResNet-50x1 fine-tuned on ImageNet by BiT's HyperRule (Kolesnikov et al. 2019, 1912.11370, section 3.3).

    cnnjax convert --arch resnetv2_50x1_bit --from FILE.safetensors --workdir runs/bit
    export IMAGENET_DIR=/data/imagenet
    python -m cnnjax.main --config configs/resnetv2_50x1_bit_imagenet.py --config.model.init=runs/bit
    python -m cnnjax.main --config configs/resnetv2_50x1_bit_imagenet.py:smoke           three steps anywhere

The rule for more than 500,000 images: 20,000 steps of 512, rate 0.003 after 500 steps of warm-up, a tenth at 30, 60
and 90 % of them, mixup 0.1, crops of 480 from 512, no weight decay. For fewer, --config.train.steps=10000 (20,000 to
500,000 images) or 500 (fewer still, without mixup), and the drops in proportion. FILE holds timm's weights.

Hardware: not measured here yet. Published: 80.68 % top-1 (authors' PyTorch run); timm's weights 80.39 / 95.69 %.
"""

from cnnjax.config import AugmentConfig, DataConfig, Experiment, ModelConfig, OptimizerConfig, TrainConfig, smoke

EPOCH = 1_281_167 / 512  # steps

config = Experiment(
    data=DataConfig(
        source="folder:$IMAGENET_DIR", batch_size=512, resize="squash", size=(512, 512), channels=3, test_fraction=0.0
    ),
    augment=AugmentConfig(crop="random", flip=True, mixup=0.1, normalize="fixed", mean=(127.5,) * 3, std=(127.5,) * 3),
    model=ModelConfig(name="resnetv2_50x1_bit", num_classes=1000, input_size=(480, 480, 3)),
    optimizer=OptimizerConfig(
        name="sgd",
        lr=0.003,
        momentum=0.9,
        schedule="step",
        warmup_epochs=500 / EPOCH,
        drop_epochs=(6_000 / EPOCH, 12_000 / EPOCH, 18_000 / EPOCH),
    ),
    train=TrainConfig(steps=20_000, log_every=100),
)

variants = {"smoke": smoke(64)}
