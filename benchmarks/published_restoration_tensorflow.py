"""The published networks in TensorFlow, for published_restoration.py, which starts this script.

Runs with the Python of an environment that has TensorFlow and nothing of ours. It loads one
SavedModel, and for each line "INPUT OUTPUT" (.npy files of images, standardised) on stdin writes
the restored images and prints the CPU-seconds that they took.
"""

import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)


def main() -> None:
    model = tf.saved_model.load(sys.argv[1])
    signature = model.signatures["serving_default"]
    (argument,) = signature.structured_input_signature[1]
    (answer,) = signature.structured_outputs
    print("ready", tf.__version__, flush=True)
    for line in sys.stdin:
        source, target = line.split()
        images = tf.constant(np.load(source)[..., None])
        begin = time.process_time()
        restored = signature(**{argument: images})[answer].numpy()
        seconds = time.process_time() - begin
        np.save(target, restored[..., 0])
        print(seconds, flush=True)


if __name__ == "__main__":
    main()
