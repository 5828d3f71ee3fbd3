"""Reads exported models in a process without `vaecourse`: `python exported.py FOLDER` answers into `answers.npz`.

The folder has `inputs.npz` and exported models, named by what they are.  Keras' own files cannot be read here; what it
says then is among the answers.
"""

import sys
from pathlib import Path

import numpy as np


def of_saved_model(path: Path, inputs: list[np.ndarray]) -> np.ndarray:
    import tensorflow as tf

    tensors = [tf.constant(array) for array in inputs]
    loaded = tf.saved_model.load(path)
    return loaded.serve(tensors[0] if len(tensors) == 1 else tuple(tensors)).numpy()


def of_onnx(path: Path, inputs: list[np.ndarray]) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    return session.run(None, dict(zip((i.name for i in session.get_inputs()), inputs, strict=True)))[0]


def of_litert(path: Path, inputs: list[np.ndarray]) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    details = sorted(interpreter.get_input_details(), key=lambda detail: detail["name"])
    for detail, array in zip(details, inputs, strict=True):
        interpreter.resize_tensor_input(detail["index"], array.shape)
    interpreter.allocate_tensors()
    for detail, array in zip(details, inputs, strict=True):
        interpreter.set_tensor(detail["index"], array)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


READERS = {".saved": of_saved_model, ".onnx": of_onnx, ".tflite": of_litert}

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    asked = np.load(folder / "inputs.npz")
    answers = {}
    for path in sorted(folder.iterdir()):
        if path.suffix in READERS:
            arrays = [asked[name] for name in sorted(asked.files) if name.startswith(f"{path.stem}/")]
            answers[path.name] = READERS[path.suffix](path, arrays)
    import keras

    try:
        keras.models.load_model(folder / "whole.keras")
    except TypeError as error:
        answers["said"] = np.array(str(error))
    assert not any(name.split(".")[0] == "vaecourse" for name in sys.modules)
    np.savez(folder / "answers.npz", **answers)
