"""What only the course needs: budgets, recipes of the sources, models broken on purpose, the program of 2017, plots.

`plotting` and `ruler` are imported by whoever draws: they alone need matplotlib and imageio.
"""

from vaecourse.course import graph_era, recipes, specimens
from vaecourse.course.budget import LENGTHS, MODES, Budget, chapter_budget

__all__ = ["LENGTHS", "MODES", "Budget", "chapter_budget", "graph_era", "recipes", "specimens"]
