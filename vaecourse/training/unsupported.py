"""What several replicas of a model refuse: whatever would not end like the training of one process."""

import keras
import tensorflow as tf

from vaecourse.training import replicas

_SUPPORTED = (tf.distribute.MirroredStrategy, tf.distribute.MultiWorkerMirroredStrategy)


def refuse(model: keras.Model, training: bool = True) -> None:
    """Raise `ValueError` if several replicas of a model would not train, or be evaluated, as one."""
    strategy = model.distribute_strategy
    if not replicas.several(strategy):
        return
    if not isinstance(strategy, _SUPPORTED):
        raise ValueError(
            f"expected tf.distribute.MirroredStrategy or MultiWorkerMirroredStrategy, got {type(strategy).__name__}"
        )
    if replicas.several_workers(strategy) and len(strategy.extended.worker_devices) > 1:
        raise ValueError(
            f"every worker of a MultiWorkerMirroredStrategy must have one device, this one has "
            f"{len(strategy.extended.worker_devices)}: start a worker for each (CUDA_VISIBLE_DEVICES chooses)"
        )
    variables = [*model.variables, *model.optimizer.variables]
    if not all(strategy.extended.variable_created_in_scope(getattr(v, "value", v)) for v in variables):
        raise ValueError(
            "networks, model and optimizer must all be created inside of strategy.scope(), so that every replica has "
            "the same weights"
        )
    if training:
        _refuse_training(model)


def _refuse_training(model: keras.Model) -> None:
    for layer in _layers(model):
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable:
            raise ValueError(
                f"batch normalization ({layer.name}) would see a part of each batch on each replica: train on one "
                "device, or use keras.layers.LayerNormalization"
            )
    if any("seed_generator" in variable.path for variable in model.variables):
        raise ValueError(
            "a network with layers that draw at random (dropout, noise, augmentation) would draw the same on all "
            "replicas: train on one device, or leave them out"
        )
    optimizer = model.optimizer
    unsupported = [option for option in ("gradient_accumulation_steps", "use_ema") if getattr(optimizer, option, None)]
    if hasattr(optimizer, "inner_optimizer"):
        unsupported.append(type(optimizer).__name__)
    if unsupported:
        raise ValueError(
            f"{unsupported[0]} is not supported on several replicas, since Keras updates its state on each replica by "
            "itself: train on one device, or choose an optimizer without it"
        )
    if any(weight.constraint is not None for weight in model.trainable_weights):
        raise ValueError("constraints on weights are not supported on several replicas: train on one device")


def refuse_penalties(model: keras.Model) -> None:
    """Raise `ValueError` if a loss has penalties on more than weights: those see a part of the batch each."""
    of_weights = sum(weight.regularizer is not None for weight in model.trainable_weights)
    if replicas.several(tf.distribute.get_strategy()) and len(list(model.losses)) > of_weights:
        raise ValueError(
            "penalties on activations would see a part of each batch on each replica: train on one device, or "
            "penalize weights alone"
        )


def _layers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Return a layer and all that a model among them contains."""
    inner = [found for part in getattr(layer, "layers", []) for found in _layers(part)]
    return [layer, *inner]
