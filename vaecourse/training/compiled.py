"""Compiling a model, and how many of its steps run between two looks at the callbacks."""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from vaecourse.training import errors, inputs, optimizers, replicas, resume
from vaecourse.training.steps import Steps

STEPS_PER_EXECUTION = 20


class Compiled(Steps):
    """A model whose steps Keras compiles."""

    directions: Mapping[str, str] = {"loss": "min"}
    """Metrics that say how good a model is, and whether the best is the ``"min"`` or the ``"max"``."""

    steps_per_execution: int  # Keras', said to the type checker
    _steps_per_execution_asked: int | None = None

    def compile(
        self,
        optimizer: str | keras.optimizers.Optimizer = "adam",
        loss: None = None,
        loss_weights: None = None,
        metrics: None = None,
        weighted_metrics: None = None,
        run_eagerly: bool = False,
        steps_per_execution: int | None = None,
        jit_compile: bool | str = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Compile with an optimizer; the objective and the metrics are the model's own.

        Parameters
        ----------
        optimizer : str or keras.optimizers.Optimizer
            The name ``"adam"`` stands for :class:`vaecourse.training.Adam`.
        loss, loss_weights, metrics, weighted_metrics : None
        steps_per_execution : int, optional
            How many steps run between two looks at the callbacks.  Without it, :meth:`fit` runs 20 steps, or single
            ones where a callback listens to batches, the training has fewer than 200 steps, it runs eagerly or on
            several replicas, or its data are neither arrays nor a `tf.data.Dataset` and come with a number of steps.
        run_eagerly, jit_compile, auto_scale_loss
            As Keras' own.

        Raises
        ------
        ValueError
            If a loss, weights of losses, or metrics are given; if several steps are to run at once on several
            replicas.
        """
        if loss is not None or loss_weights:
            raise ValueError("a VAE has its objective built in; choose a likelihood, kl and beta instead of a loss")
        if metrics or weighted_metrics:
            raise ValueError(
                f"a {type(self).__name__} has its metrics built in ({', '.join(self.measured)}): metrics and "
                "weighted_metrics must be None. Compute others in a callback, from encode, decode or reconstruct"
            )
        if steps_per_execution not in (None, 1) and replicas.several(self.distribute_strategy):
            raise ValueError(
                f"several steps at once do not run on several replicas: steps_per_execution must be None or 1, got "
                f"{steps_per_execution}"
            )
        with self.distribute_strategy.scope():
            super().compile(
                optimizer=optimizers.Adam() if optimizer == "adam" else optimizer,
                run_eagerly=run_eagerly,
                steps_per_execution=steps_per_execution or 1,
                jit_compile=jit_compile,
                auto_scale_loss=auto_scale_loss,
            )
            self._steps_per_execution_asked = steps_per_execution
            self._compiled_for = {}
            self.optimizer.build(self.trainable_variables)  # or a first `fit` that fails would leave it unbuildable

    def get_compile_config(self) -> dict[str, Any] | None:
        config = super().get_compile_config()
        return config | {"steps_per_execution": self._steps_per_execution_asked} if config else config

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**keras.saving.deserialize_keras_object(config))

    def train_on_batch(
        self, x: Any, y: Any = None, sample_weight: None = None, class_weight: None = None, return_dict: bool = False
    ) -> Any:
        """Train on one batch of images, as Keras' method of this name does; for errors see :meth:`fit`."""
        inputs.refuse_weights(sample_weight, class_weight)
        self._checked_examples(x, y)
        with errors.in_words():
            return super().train_on_batch(x, y, return_dict=return_dict)

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: None = None, return_dict: bool = False) -> Any:
        """Return the metrics on one batch of images, as Keras' method of this name does."""
        inputs.refuse_weights(sample_weight)
        self._checked_examples(x, y)
        with errors.in_words():
            return super().test_on_batch(x, y, return_dict=return_dict)

    def predict_on_batch(self, x: Any) -> Any:
        """Return what calling the model on one batch returns, as Keras' method of this name does."""
        with errors.in_words():
            return super().predict_on_batch(x)

    # --- inside ----------------------------------------------------------------------------------------------------

    def _checked_examples(self, x: Any, y: Any = None) -> Any:
        """Return images, or images and labels, after refusing what cannot be trained on."""
        x, y = self.checked(x), self.checked_labels(y)
        return x if y is None else (x, y)

    def _directed(self, callbacks: Any) -> list[keras.callbacks.Callback]:
        """Return callbacks as a list; those that watch a metric of the model know in which direction it gets better."""
        listeners = callbacks.callbacks if isinstance(callbacks, keras.callbacks.CallbackList) else callbacks
        listeners = [] if listeners is None else keras.tree.flatten(listeners)
        for callback in listeners:
            if getattr(callback, "mode", None) == "auto":
                metric = str(getattr(callback, "monitor", "")).removeprefix("val_")
                callback.mode = self.directions.get(metric, "auto")
                if callback.mode == "max" and getattr(callback, "monitor_op", None) is np.less:  # Keras before 3.10
                    callback.monitor_op = np.greater
                    callback.best = -np.inf if callback.best == np.inf else callback.best
        return listeners

    def _steps_at_once(self, callbacks: Sequence, steps: int, *parts: int | None) -> int:
        """Return how many steps of a training of `steps`, negative if not known, run between two looks at callbacks.

        An execution does not stop at the end of an epoch, or of a validation, of so many steps, of which therefore it
        must be a part.  And TensorFlow warns where a function is compiled for a few calls only, as in a short training.
        """
        chosen = self._steps_per_execution_asked
        if replicas.several(self.distribute_strategy):
            return 1
        if chosen is None:
            short = 0 <= steps < 10 * STEPS_PER_EXECUTION
            single = self.run_eagerly or short or any(parts) or any(map(resume.listens_to_batches, callbacks))
            chosen = 1 if single else STEPS_PER_EXECUTION
        return math.gcd(chosen, *(part or 0 for part in parts))

    def _steps_at_once_after(self, callbacks: Any, steps: int | None, function: str) -> int:
        """Return for how many steps at once a function is compiled already, if that will do, or a part of `steps`."""
        asked = self._steps_per_execution_asked or 1
        chosen = asked if callbacks else self._compiled_for.get(function, asked)
        return math.gcd(chosen, steps or 0)

    @contextlib.contextmanager
    def _running(self, at_once: int, *functions: str) -> Iterator[None]:
        """Run so many steps at once: functions that were compiled for another number are compiled again."""
        before = self.steps_per_execution
        for function in functions:
            if self._compiled_for.get(function) != at_once:
                setattr(self, function, None)
                self._compiled_for[function] = at_once
        self.steps_per_execution = at_once
        try:
            with errors.in_words():
                yield
        finally:
            self.steps_per_execution = before
