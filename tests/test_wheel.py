"""The wheel by itself: built, installed where nothing else of the project is, imported there, and trained with."""

import importlib.util
import json
from pathlib import Path

from environments import skip_without_package_index, without_vaecourse

ROOT = Path(__file__).parents[1]
USE = """if True:
    import json, keras, vaecourse
    from importlib.metadata import version
    from importlib.resources import files
    from pathlib import Path
    digits = vaecourse.data.load("digits")
    images = vaecourse.data.binarize(vaecourse.data.scale(digits.train_images))
    vae = vaecourse.VAE(*vaecourse.networks.mlp(latent_dim=2, hidden=(64,), seed=0), seed=0)
    vae.compile(keras.optimizers.Adam(1e-2))
    before = vae.evaluate(images, verbose=0, return_dict=True)["elbo"]
    vae.fit(images, epochs=1, verbose=0)
    after = vae.evaluate(images, verbose=0, return_dict=True)["elbo"]
    from vaecourse import plotting
    import matplotlib.pyplot as plt
    plt.style.use("vaecourse.house")
    figure = vaecourse.live.bound_by_hand().html()
    found = {
        "live": "vaecourseLive.figure" in figure and ".vl-stage" in figure,
        "file": vaecourse.__file__, "versions": [vaecourse.__version__, version("vaecourse")],
        "typed": files("vaecourse").joinpath("py.typed").is_file(), "elbos": [before, after],
        "spines": plt.rcParams["axes.spines.top"],
    }
    print(json.dumps(found))"""


def test_the_wheel_installed_alone_imports_and_trains(tmp_path, monkeypatch):
    elsewhere = without_vaecourse(tmp_path, monkeypatch)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    # The build back end is lent, if it is there; else pip fetches it.
    isolation = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else ["--retries=1", "--timeout=15"]
    built = elsewhere.run("-m", "pip", "wheel", *isolation, "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT))
    skip_without_package_index(built)
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("vaecourse-*-py3-none-any.whl")
    installed = elsewhere.run("-m", "pip", "install", "--no-deps", "--no-index", str(wheel))
    assert installed.returncode == 0, installed.stderr
    used = elsewhere.run("-c", USE)
    assert used.returncode == 0, used.stderr
    found = json.loads(used.stdout)
    assert Path(found["file"]).is_relative_to(elsewhere.prefix)
    assert found["versions"][0] == found["versions"][1]
    assert found["typed"]
    assert found["live"], "the scripts of the live figures are in the wheel"
    assert found["spines"] is False, "the look of the figures is that of house.mplstyle"
    before, after = found["elbos"]
    # An untrained model takes every pixel for a fair coin: 784 log 2 = 543 nats, and a few for the KL.  This epoch ends
    # at -293, the same every time but for rounding; a third less than at the start is far from both.
    assert before < -543
    assert after > 2 / 3 * before
