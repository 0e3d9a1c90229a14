"""Hands the checkpoints of a Keras run to modelwatch and obeys its verdict. Needs Keras and nothing else.

    model.fit(x, y, callbacks=[Handoff("drop", ["modelwatch", "run", "gate.toml", "--set", "checkpoint.import={path}"])])

After every epoch the model is published as drop/step-N/ (step-N-TIME/ where there is one): written into a hidden
folder, synced, and renamed, so that nobody sees a part. The command judges it: exit code 0 keeps it, 1 goes back to the
last good epoch (or stops, on_fail="stop"), 4 is not due, anything else ends the run. Without one it only publishes."""
import hashlib, json, os, shutil, subprocess, time, keras

class Handoff(keras.callbacks.Callback):
    def __init__(self, root, command=None, on_fail="rollback"):
        super().__init__()
        self.root, self.command, self.on_fail, self.good = root, command, on_fail, None
    def on_epoch_end(self, epoch, logs=None):
        path = self.publish(epoch + 1, logs or {})
        code = 0 if self.command is None else subprocess.run([it.format(path=path) for it in self.command]).returncode
        if code == 0:
            self.good = path
        elif code == 1 and self.on_fail == "rollback" and self.good:
            self.model.load_weights(os.path.join(self.good, "model.keras"))  # the optimizer's state too
        elif code == 1:
            self.model.stop_training = True
        elif code != 4:
            raise RuntimeError(f"modelwatch could not judge {path}: exit code {code}")
    def publish(self, step, logs):
        staged, path = [os.path.join(self.root, it.format(step)) for it in (".step-{:08d}", "step-{:08d}")]
        shutil.rmtree(staged, ignore_errors=True); os.makedirs(staged)
        self.model.save(os.path.join(staged, "model.keras"))
        with open(os.path.join(staged, "model.keras"), "rb") as file:
            data = file.read(); os.fsync(file.fileno())
        files = [{"path": "model.keras", "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}]
        with open(os.path.join(staged, "checkpoint.json"), "w") as file:
            json.dump({"version": 1, "step": step, "time": time.time(), "framework": f"keras {keras.__version__}",
                       "metrics": {name: float(it) for name, it in logs.items()}, "files": files}, file, indent=1)
            file.flush(); os.fsync(file.fileno())
        path += f"-{time.time_ns()}" if os.path.exists(path) else ""
        os.rename(staged, path)
        for folder in (path, self.root):
            handle = os.open(folder, os.O_RDONLY); os.fsync(handle); os.close(handle)
        return path
