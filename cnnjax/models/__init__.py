"""Stage 3, models: normalized images -> logits; before it: augment, after it: the losses of optim.

model (what the rest of the library sees: create_model and Model), base (models and their registry), blocks and norm
(the layers), initializers, cards, plain (models written in one line), one file per family, summary (the table of
layers). The only importer of flax. Importing this package fills the registry.
"""

from cnnjax.models import airbench as airbench
from cnnjax.models import alexnet as alexnet
from cnnjax.models import amoebanet as amoebanet
from cnnjax.models import bit as bit
from cnnjax.models import capsnet as capsnet
from cnnjax.models import convnext as convnext
from cnnjax.models import densenet as densenet
from cnnjax.models import efficientnet as efficientnet
from cnnjax.models import euronet as euronet
from cnnjax.models import googlenet as googlenet
from cnnjax.models import inception_resnet_v2 as inception_resnet_v2
from cnnjax.models import inception_v3 as inception_v3
from cnnjax.models import inception_v4 as inception_v4
from cnnjax.models import lenet as lenet
from cnnjax.models import mnasnet as mnasnet
from cnnjax.models import mobilenet as mobilenet
from cnnjax.models import nasnet as nasnet
from cnnjax.models import nin as nin
from cnnjax.models import plain as plain
from cnnjax.models import pnasnet as pnasnet
from cnnjax.models import polynet as polynet
from cnnjax.models import regnet as regnet
from cnnjax.models import resnet as resnet
from cnnjax.models import resnet_cifar as resnet_cifar
from cnnjax.models import resnet_v2 as resnet_v2
from cnnjax.models import senet as senet
from cnnjax.models import shufflenet as shufflenet
from cnnjax.models import small as small
from cnnjax.models import small_cnn as small_cnn
from cnnjax.models import squeezenet as squeezenet
from cnnjax.models import vgg as vgg
from cnnjax.models import vit as vit
from cnnjax.models import wide_resnet as wide_resnet
from cnnjax.models import xception as xception
from cnnjax.models.base import Classifier as Classifier
from cnnjax.models.base import list_models as list_models
from cnnjax.models.base import register_model as register_model
from cnnjax.models.cards import Card as Card
from cnnjax.models.cards import Paper as Paper
from cnnjax.models.model import Model as Model
from cnnjax.models.model import create_model as create_model
from cnnjax.models.summary import Summary as Summary
from cnnjax.models.summary import summarize as summarize
