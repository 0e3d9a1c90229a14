"""Runs a model as often as each line of the input says, and answers with the processor time in milliseconds."""

import resource
import sys
import time

import numpy
import onnxruntime

path, rows, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = threads
# Threads that wait for work otherwise burn the processor that the other side needs.
options.add_session_config_entry("session.intra_op.allow_spinning", "0")
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
inputs = {}
for it in session.get_inputs():
    shape = [rows] + [int(dim) for dim in it.shape[1:]]
    values = numpy.modf(numpy.arange(numpy.prod(shape)) * 0.618033988749895)[0]
    inputs[it.name] = values.astype(numpy.float32).reshape(shape)
session.run(None, inputs)
start = time.perf_counter()
session.run(None, inputs)
print("ready", time.perf_counter() - start, flush=True)
for line in sys.stdin:
    runs = int(line)
    before = time.process_time()
    for _ in range(runs):
        session.run(None, inputs)
    print((time.process_time() - before) * 1000, flush=True)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, flush=True)
