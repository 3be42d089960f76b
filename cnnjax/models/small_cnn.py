"""A model for anybody's images: how often it pools follows their size, so one recipe serves icons and photographs."""

from cnnjax.core.arrays import Array
from cnnjax.models.base import Classifier, register_model
from cnnjax.models.blocks import Conv, Dense, Dropout, ReLU
from cnnjax.models.norm import BatchNorm
from cnnjax.models.pooling import GlobalAvgPool, MaxPool

WIDTHS = (32, 64, 128, 256)
LARGE = 64  # images from this side on are pooled once more, right after the first convolution
SMALLEST = 4  # maps are pooled while they stay at least this large


@register_model("small_cnn", input_size=(96, 96, 3), family="small")
class SmallCNN(Classifier):
    """Four stages of two conv-BN-ReLU and a max-pool, then global average pooling, dropout and one dense layer.

    VGG's stages under the head of NiN (Lin, Chen and Yan 2013, 1312.4400): 1.2 million parameters at any size, where
    VGG's own head has 103 million at 224 x 224.
    """

    def setup(self) -> None:
        for stage, width in enumerate(WIDTHS, 1):
            for number in (1, 2):
                setattr(self, f"conv{stage}_{number}", Conv(width, 3, padding=1, use_bias=False))
                setattr(self, f"bn{stage}_{number}", BatchNorm())
        self.pool0, self.pool1, self.pool2, self.pool3 = (MaxPool(2) for _ in range(4))
        self.relu, self.gap, self.drop, self.fc = ReLU(), GlobalAvgPool(), Dropout(0.3), Dense(self.num_classes)

    def features(self, images: Array, train: bool = False) -> Array:
        """[N, H, W, C] -> [N, h, w, 256]."""
        maps = self._layer("1_1", images, train)
        if min(images.shape[1:3]) >= LARGE:
            maps = self.pool0(maps)
        maps = self._layer("1_2", maps, train)
        for stage in (2, 3, 4):
            if min(maps.shape[1:3]) >= 2 * SMALLEST:
                maps = getattr(self, f"pool{stage - 1}")(maps)
            maps = self._layer(f"{stage}_2", self._layer(f"{stage}_1", maps, train), train)
        return maps

    def head(self, features: Array, train: bool = False) -> Array:
        """[N, h, w, 256] -> [N, num_classes]."""
        return self.fc(self.drop(self.gap(features), train))

    def _layer(self, name: str, maps: Array, train: bool) -> Array:
        return self.chain([f"conv{name}", f"bn{name}", "relu"], maps, train)
