"""The throughputs as a figure."""

from pathlib import Path

import matplotlib.pyplot as plt

from benchmarks import report


def draw(results: dict, path: Path) -> None:
    """Draw the throughputs of all contenders, with their ranges."""
    measured = report.throughputs(results)
    heights = [len(of["contenders"]) for of in measured.values()]
    plt.style.use("vaecourse.house")
    figure, axes = plt.subplots(
        len(measured), 1, figsize=(7.2, 0.28 * sum(heights) + 2.2), height_ratios=heights, layout="constrained"
    )
    for axis, (job, of) in zip(axes, measured.items(), strict=True):
        order = sorted(of["contenders"].items(), key=lambda item: item[1]["images per second"]["median"])
        medians = [contender["images per second"]["median"] for _, contender in order]
        ranges = [contender["images per second"]["range"] for _, contender in order]
        errors = [[m - low for m, (low, _) in zip(medians, ranges, strict=True)],
                  [high - m for m, (_, high) in zip(medians, ranges, strict=True)]]  # fmt: skip
        colors = ["C0" if name.startswith("VAE.fit") else "0.7" for name, _ in order]
        axis.barh([name for name, _ in order], medians, xerr=errors, color=colors, error_kw={"elinewidth": 1})
        axis.set_title(report.title(job))
        axis.grid(visible=False, axis="y")
    axes[-1].set_xlabel("images per second")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)
