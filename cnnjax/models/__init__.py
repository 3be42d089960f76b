"""Stage 3, models: normalised images -> logits; before it: augment, after it: the losses of optim.

model (what the rest of the library sees: create_model and Model), base (nets and their registry), blocks and norm (the
layers), initialisers, cards, plain (nets written in one line), one file per family, summary (the table of layers). The
only importer of flax. Importing this package fills the registry.
"""

from cnnjax.models import alexnet as alexnet
from cnnjax.models import lenet as lenet
from cnnjax.models import picture_net as picture_net
from cnnjax.models import plain as plain
from cnnjax.models import resnet as resnet
from cnnjax.models import small as small
from cnnjax.models.base import Classifier as Classifier
from cnnjax.models.base import list_models as list_models
from cnnjax.models.base import register_model as register_model
from cnnjax.models.cards import Card as Card
from cnnjax.models.cards import Paper as Paper
from cnnjax.models.model import Model as Model
from cnnjax.models.model import create_model as create_model
from cnnjax.models.summary import Summary as Summary
from cnnjax.models.summary import summarise as summarise
