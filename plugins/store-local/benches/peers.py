"""Saves and loads float32 arrays by the libraries that trainings use; `cargo xtask bench store` runs it.

peers.py FOLDER MIB: one line for each library, or that it is skipped. A save ends when the library says that it has.
"""

import os
import shutil
import sys
import time

N_ARRAYS = 64


def safetensors(folder, arrays):
    from safetensors.numpy import load_file, save_file

    path = os.path.join(folder, "weights.safetensors")
    return lambda: save_file(arrays, path), lambda: load_file(path)


def tensorflow(folder, arrays):
    import tensorflow as tf

    tracked = {name: tf.Variable(it) for name, it in arrays.items()}
    manager = tf.train.CheckpointManager(tf.train.Checkpoint(**tracked), folder, max_to_keep=1)
    return manager.save, manager.restore_or_initialize


def orbax(folder, arrays):
    import orbax.checkpoint as ocp

    checkpointer, path = ocp.StandardCheckpointer(), os.path.abspath(os.path.join(folder, "checkpoint"))

    def save():
        checkpointer.save(path, arrays)
        checkpointer.wait_until_finished()

    return save, lambda: checkpointer.restore(path)


def seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main():
    place, mib = sys.argv[1], int(sys.argv[2])
    try:
        import numpy
    except ImportError as error:
        print(f"SKIPPED the peers (safetensors, TensorFlow, Orbax): {error}")
        return
    generator = numpy.random.default_rng(0)
    n = mib * 2**20 // 4 // N_ARRAYS
    arrays = {f"layer_{it}": generator.standard_normal(n, dtype="float32") for it in range(N_ARRAYS)}
    for peer in (safetensors, tensorflow, orbax):
        shutil.rmtree(place, ignore_errors=True)
        os.makedirs(place)
        try:
            save, load = peer(place, arrays)
        except ImportError as error:
            print(f"SKIPPED {peer.__name__} in Python: {error}")
            continue
        saved, loaded = seconds(save), seconds(load)
        print(f"{peer.__name__ + ' in Python':<30} {saved:8.2f} s to save, not synced; {loaded:8.2f} s to load, not verified")
    shutil.rmtree(place, ignore_errors=True)


main()
