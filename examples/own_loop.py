"""A training loop of one's own in twenty lines, from the library's pieces: python examples/own_loop.py [SOURCE]."""

# %% data, model, augmentation, optimizer
import sys

import jax
import optax

import cnnjax

source = sys.argv[1] if len(sys.argv) > 1 else "fashion_mnist"
data = cnnjax.prepare(cnnjax.DataConfig(source=source, resize="squash", size=(28, 28)))
model = cnnjax.create_model("lenet5", num_classes=len(data.class_names), input_size=data.shape)
augment = cnnjax.augmentation(cnnjax.AugmentConfig(shift=(0.05, 0.05)), data, model)
rule = optax.adamw(1e-3)


# %% one step
@jax.jit
def step(params, opt_state, batch):
    images, targets = augment(batch)

    def loss(params):
        logits = model.apply({"params": params, "batch_stats": {}}, images)
        return optax.softmax_cross_entropy(logits, targets).mean()

    value, grads = jax.value_and_grad(loss)(params)
    updates, opt_state = rule.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), opt_state, value


# %% the loop
params = model.init(jax.random.key(0))["params"]
opt_state = rule.init(params)
for number, batch in enumerate(cnnjax.loader(data.split("train"), batch_size=128, epochs=3), 1):
    params, opt_state, value = step(params, opt_state, batch)
    if number % 100 == 0:
        print(f"step {number}: loss {value:.3f}")

# %% every test image once
print(cnnjax.evaluate_variables(model, {"params": params, "batch_stats": {}}, data))
