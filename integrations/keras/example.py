"""Trains a small network on the digits and poisons its weights after epoch 2: `example.py DATA.npz DROP [COMMAND …]`."""
import sys
import numpy as np, keras
from modelwatch_handoff import Handoff


class Poison(keras.callbacks.Callback):
    """What a diverged step leaves behind: one weight that is not a number."""

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 2:
            layer = self.model.layers[0]
            kernel, bias = layer.get_weights()
            kernel[3, 5] = np.nan
            layer.set_weights([kernel, bias])


keras.utils.set_random_seed(7)
data = np.load(sys.argv[1])
x, y = data["x"].reshape(len(data["x"]), -1), data["y"]
model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(10)])
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
model.fit(x, y, epochs=4, verbose=0, callbacks=[Poison(), Handoff(sys.argv[2], sys.argv[3:] or None)])
print("finite at the end:", all(np.isfinite(it).all() for it in model.get_weights()))
