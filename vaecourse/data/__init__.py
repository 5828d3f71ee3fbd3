"""What goes into a model: data sets, their pixels, and the batches of an epoch."""

from vaecourse.data.datasets import DATASETS, IMAGE_SHAPE, Images, array_digest, load
from vaecourse.data.epochs import batches, binarized_batches, epoch_order
from vaecourse.data.pixels import binarize, binarize_stochastically, check_grays, scale
from vaecourse.data.sprites import FACTORS, SHAPES, Shapes, shapes
from vaecourse.data.streams import stream, write_shards

__all__ = [
    "DATASETS",
    "FACTORS",
    "IMAGE_SHAPE",
    "SHAPES",
    "Images",
    "Shapes",
    "array_digest",
    "batches",
    "binarize",
    "binarize_stochastically",
    "binarized_batches",
    "check_grays",
    "epoch_order",
    "load",
    "scale",
    "shapes",
    "stream",
    "write_shards",
]
