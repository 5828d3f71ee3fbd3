"""The longer trainings of the chapter on tighter bounds: what `python -m benchmarks.long_training` has measured."""

import json
from pathlib import Path
from typing import Any


def long_runs() -> dict[str, Any]:
    """Return what was measured in trainings that are too long for a chapter, and how.

    Three objectives were trained on the same network and the same batches of dynamically binarized MNIST: the
    importance-weighted bound of one sample and of five :cite:p:`burda2016`, and the ELBO with five samples.

    Returns
    -------
    dict
        `settings`; `runs`, a list with the `name` of each objective, `seconds of training` on one thread, `curve` (from
        the epoch to a bound of fifty samples on a fifth of the test images), `ELBO`, `log p(x)`, the number of `active
        latents` and the `provenance`: commit, date, command, device and versions; and `differences of log p(x)`, image
        by image.  A number is a list of the value and its standard error over images, in nats.
    """
    return json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
