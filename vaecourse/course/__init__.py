"""What only the course needs: budgets, recipes of the sources, broken models, programs of TensorFlow 1, plots.

`plotting`, `latent_plots` and `ruler` are imported by whoever draws: they alone need matplotlib and imageio.
"""

from vaecourse.course import digit_graph, graph_era, recipes, specimens
from vaecourse.course.budget import LENGTHS, MODES, Budget, chapter_budget
from vaecourse.course.long_training import long_runs

__all__ = [
    "LENGTHS",
    "MODES",
    "Budget",
    "chapter_budget",
    "digit_graph",
    "graph_era",
    "long_runs",
    "recipes",
    "specimens",
]
