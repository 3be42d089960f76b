"""Beside the pipeline, explain: which parts of images a model uses; takes a run folder and writes into its figures.

    from cnnjax import explain

    run = cnnjax.open_run("runs/own_images")
    found = explain.grad_cam(run, ["holiday.jpg"])    # found.overlays()[0] is uint8 [H, W, 3]

pixels, cams               attributions: pure f(model, variables, images, targets) -> maps
layers                     kernels of the first layer, maps of any        receptive, spans   fields of all layers
ascent                     images that units answer to most             fixed       kernels that nobody learned
images, drawing          in and out at an image's own size             methods     all of them for an opened run
study                      the verb
"""

from functools import partial

from cnnjax.explain.fixed import draw_filters as draw_filters
from cnnjax.explain.methods import METHODS as METHODS
from cnnjax.explain.methods import Explainer as Explainer
from cnnjax.explain.methods import Explanation as Explanation
from cnnjax.explain.methods import attribute as attribute
from cnnjax.explain.methods import feature_maps as feature_maps
from cnnjax.explain.methods import first_filters as first_filters
from cnnjax.explain.receptive import receptive_fields as receptive_fields
from cnnjax.explain.study import study as study

cam = partial(attribute, method="cam")
grad_cam = partial(attribute, method="grad_cam")
grad_cam_plus_plus = partial(attribute, method="grad_cam_plus_plus")
saliency = partial(attribute, method="saliency")
guided_backprop = partial(attribute, method="guided_backprop")
integrated_gradients = partial(attribute, method="integrated_gradients")
smoothgrad = partial(attribute, method="smoothgrad")
occlusion = partial(attribute, method="occlusion")
