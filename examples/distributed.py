"""Train a VAE on several processes, each of which could be a machine: `python examples/distributed.py`.

Without `TF_CONFIG` this starts two workers on this machine, gives each its `TF_CONFIG`, and waits for them.  On several
machines, start the same program on each with a `TF_CONFIG` that lists all of them:

    TF_CONFIG='{"cluster": {"worker": ["first:2222", "second:2222"]}, "task": {"type": "worker", "index": 0}}' \
        python examples/distributed.py --folder /shared/run

The first worker has index 0, writes the backups and prints.  If a worker dies, the others stop; start all of them again
with the same folder, and they go on from the last finished epoch.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    """Train as a worker, or start workers that do."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2, help="how many to start where there is no TF_CONFIG")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=128, help="of all workers together")
    parser.add_argument("--data", default="digits", help="a data set of vaecourse.data.load")
    parser.add_argument("--images", type=int, help="how many of its training images; all by default")
    parser.add_argument("--network", choices=("convolutional", "mlp"), default="convolutional")
    parser.add_argument("--folder", default="distributed-run", help="for backups; one that all workers share")
    options = parser.parse_args()
    if "TF_CONFIG" in os.environ:
        work(options)
    else:
        sys.exit(start(options.workers))


def start(count: int) -> int:
    """Start workers on this machine with the arguments of this program; return 0 if all end well."""
    hosts = [f"127.0.0.1:{port}" for port in free_ports(count)]
    workers = []
    for index in range(count):
        config = {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "TF_CONFIG": json.dumps(config)}
        workers.append(subprocess.Popen([sys.executable, __file__, *sys.argv[1:]], env=environment))
    return max(worker.wait() for worker in workers)


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens to at the moment."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def work(options: argparse.Namespace) -> None:
    """Train as one of the workers that TF_CONFIG lists."""
    sys.path.insert(0, str(Path(__file__).parents[1]))  # for who has the repository, and has not installed it

    # isort: split
    import keras
    import tensorflow as tf

    from vaecourse import VAE, data, networks, training

    strategy = tf.distribute.MultiWorkerMirroredStrategy()  # first of all: it needs a TensorFlow that has done nothing
    chief = training.is_chief(strategy)
    images = data.load(options.data)
    train, test = (data.binarize(data.scale(x)) for x in (images.train_images, images.test_images))
    with strategy.scope():  # all weights must be created here
        vae = VAE(*getattr(networks, options.network)(latent_dim=2, seed=0), seed=0)
        vae.compile("adam")
    train = train[: options.images]
    ends: list[float] = []
    clock = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: ends.append(time.perf_counter()))
    history = vae.fit(
        train,
        batch_size=options.batch,
        epochs=options.epochs,
        validation_data=test,
        callbacks=[training.resume_from(options.folder), clock],
        verbose=2 if chief else 0,
    )
    if chief and ends:  # the weights are the same on all workers
        print(f"last validation: {history.history['val_elbo'][-1]:.2f} nats")
        if len(ends) > 1:  # the first epoch compiles
            seconds = (ends[-1] - ends[0]) / (len(ends) - 1)
            print(f"{len(train) / seconds:.0f} images per second, validation included, after the first epoch")


if __name__ == "__main__":
    main()
