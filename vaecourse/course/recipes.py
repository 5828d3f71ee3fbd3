"""The recipes of the sources, and of better models: what each trains, how long, and the number it should reach.

A recipe names parts that the packages below provide: a further source is a further entry here, not further code.
"""

from typing import Any

from vaecourse.course.recipe import Band, Recipe, Run
from vaecourse.data.names import known

# In full, the bands of the tf-cvae recipes are wide enough for other seeds, and so for other machines: at least four
# standard deviations of the seeds that `make bench` trained, on either side of their mean.


def _losses(first: Band, last: Band) -> dict[str, Band]:
    return {"training loss, first epoch": first, "training loss, last epoch": last}


_TF_CVAE: dict[str, Any] = {
    "source": "tfcvae",
    "chapter": "conv-cvae",
    "network": "convolutional",
    "network_options": {"latent_dim": 2, "filters": (32, 64)},
    "pixels": "thresholded",
    "batch_size": 32,
}

_THEAILEARNER: dict[str, Any] = {
    "source": "theailearner",
    "chapter": "keras-vae",
    "network": "pooled",
    "network_options": {"latent_dim": 2, "filters": (16, 32)},
    "pixels": "grays",
    "batch_size": 256,
    "learning_rate": 1e-3,
}

_ZOLTOWSKI: dict[str, Any] = {
    "source": "zoltowski",
    "chapter": "graph-era",
    "network": "mlp",
    "pixels": "grays",
    "likelihood": "gaussian",
    "likelihood_options": {"scale": 0.5},
    "batch_size": 100,
    "learning_rate": 1e-3,
    "epsilon": 1e-8,
}

_ZELDES: dict[str, Any] = {
    "source": "zeldes",
    "chapter": "digit-conditioned",
    "pixels": "grays",
    "likelihood": "gaussian",
    "likelihood_options": {"scale": 0.5},
    "batch_size": 100,
    "learning_rate": 1e-3,
    "epsilon": 1e-8,
}

RECIPES: dict[str, Recipe] = {
    "tf-cvae": Recipe(
        **_TF_CVAE,
        claim="test ELBO −157.02",
        kl="monte_carlo",
        learning_rate=1e-4,
        published=-157.02,
        runs={
            "mnist/full": Run(10, 60_000, 10_000, Band(-156.6, 1.2)),
            "mnist/quick": Run(1, 10_000, 2_000, Band(-225.0, 15.0)),
            "digits/quick": Run(8, 1_500, 297, Band(-314.0, 10.0)),
        },
    ),
    "tf-cvae-improved": Recipe(
        improves="tf-cvae",
        **_TF_CVAE,
        learning_rate=3e-3,
        schedule="cosine",
        warmup=0.1,
        runs={
            "mnist/full": Run(10, 60_000, 10_000, Band(-148.0, 1.4)),
            "mnist/quick": Run(1, 10_000, 2_000, Band(-180.0, 6.0)),
            "digits/quick": Run(8, 1_500, 297, Band(-240.0, 15.0)),
        },
    ),
    "tf-cvae-fast": Recipe(
        improves="tf-cvae",
        **_TF_CVAE | {"batch_size": 16},
        learning_rate=5e-3,
        beta_2=0.98,
        schedule="linear",
        # Chosen by the test ELBO of seeds 0 to 4: with 0.1 or 0.2 one of them falls short of the published value by
        # nats.  So these five prove nothing about the choice; the chapter tries it on seeds of its own.
        warmup=0.3,
        runs={
            "mnist/full": Run(1, 44_000, 10_000, Band(-156.1, 2.2)),
            "mnist/quick": Run(1, 10_000, 2_000, Band(-167.3, 4.0)),
            "digits/quick": Run(8, 1_500, 297, Band(-220.4, 10.0)),
        },
    ),
    "theailearner": Recipe(
        **_THEAILEARNER,
        claim="with 5 or 10 latents “we can get better results”",
        model="SlippedVAE",
        likelihood="bernoulli",
        likelihood_options={"grays": True, "probability": "rectified"},
        beta=0.392,  # 0.784/d
        epsilon=784e-7,  # its loss is a mean over pixels, 784 times smaller than this one
        runs={
            "mnist/full": Run(10, 60_000, 10_000, Band(-168.0, 8.0), {"gain of d = 10": Band(37.0, 8.0)}),
            "mnist/quick": Run(5, 5_000, 1_000, Band(-232.0, 30.0)),
            "digits/quick": Run(20, 1_500, 297, Band(-400.0, 35.0)),
        },
    ),
    "theailearner-repaired": Recipe(
        improves="theailearner",
        **_THEAILEARNER,
        likelihood="bernoulli",
        likelihood_options={"grays": True},
        runs={
            "mnist/full": Run(10, 60_000, 10_000, Band(-155.5, 4.0)),
            "mnist/quick": Run(5, 5_000, 1_000, Band(-205.5, 9.0)),
            "digits/quick": Run(20, 1_500, 297, Band(-358.7, 5.0)),
        },
    ),
    "zoltowski": Recipe(
        **_ZOLTOWSKI,
        claim="training loss 101.71 in epoch 1, 40.53 in epoch 50",
        network_options={"initial_deviation": 0.1, "initial_bias": 0.1},
        runs={
            "mnist/full": Run(
                50, 55_000, 10_000, Band(-218.4, 1.0), _losses(Band(101.0, 3.0), Band(40.5, 0.6)), first=5_000
            ),
            "mnist/quick": Run(3, 10_000, 2_000, Band(-271.3, 4.0), _losses(Band(121.7, 1.5), Band(101.2, 3.5))),
            "digits/quick": Run(8, 1_500, 297, Band(-252.1, 2.0), _losses(Band(138.0, 6.0), Band(73.6, 1.0))),
        },
    ),
    "zoltowski-improved": Recipe(
        improves="zoltowski",
        **_ZOLTOWSKI,
        network_options={"activation": "gelu"},
        schedule="cosine",
        warmup=0.1,
        runs={
            "mnist/full": Run(20, 55_000, 10_000, Band(-216.6, 0.8), first=5_000),
            "mnist/quick": Run(3, 10_000, 2_000, Band(-254.5, 2.5)),
            "digits/quick": Run(8, 1_500, 297, Band(-230.5, 4.0)),
        },
    ),
    "zeldes": Recipe(
        **_ZELDES,
        claim="“at epoch 9 we already see the sequence of digits”",
        model="DigitVAE",
        model_options={"classification_weight": 10.0},
        network="mlp_with_classifier",
        network_options={"latent_dim": 10, "hidden": (128,), "variance_floor": 1e-5},
        runs={
            "mnist/full": Run(
                20,
                55_000,
                10_000,
                Band(-223.9, 1.0),
                {"classifier": Band(96.3, 0.8), "recognized": Band(91, 3), "recognized after epoch 9": Band(77, 8)},
                first=5_000,
            ),
            "mnist/quick": Run(
                3, 10_000, 2_000, Band(-271.0, 2.5), {"classifier": Band(87, 3), "recognized": Band(13.5, 4)}
            ),
            "digits/quick": Run(
                8, 1_500, 297, Band(-250.0, 2.5), {"classifier": Band(86, 5), "recognized": Band(11, 4)}
            ),
        },
    ),
    "zeldes-improved": Recipe(
        improves="zeldes",
        **_ZELDES | {"learning_rate": 2e-3, "chapter": "conditioning"},
        model="ConditionalVAE",
        network="mlp",
        network_options={
            "latent_dim": 5,
            "hidden": (500, 500),
            "activation": "relu",
            "classes": 10,
            "conditional": True,
        },
        schedule="cosine",
        warmup=0.1,
        runs={
            "mnist/full": Run(10, 55_000, 10_000, Band(-219.0, 2.0), {"recognized": Band(99, 2)}, first=5_000),
            "mnist/quick": Run(3, 5_000, 2_000, Band(-256.0, 3.5), {"recognized": Band(74, 9)}),
            "digits/quick": Run(8, 1_500, 297, Band(-215.0, 3.0), {"recognized": Band(79, 13)}),
        },
    ),
}


def get(name: str) -> Recipe:
    """Return a recipe by name.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    return RECIPES[known(name, RECIPES, "recipe")]
