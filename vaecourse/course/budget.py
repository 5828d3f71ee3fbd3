"""How long a chapter may train, and on which data."""

import os
from dataclasses import dataclass
from typing import TypeVar

from vaecourse import data

_Choice = TypeVar("_Choice")

LENGTHS = ("full", "quick")

MODES = ("mnist/full", "mnist/quick", "digits/quick")


@dataclass(frozen=True)
class Budget:
    """What a chapter may spend: the data at hand, and the length of its runs.

    Attributes
    ----------
    images : vaecourse.data.Images
    length : {"full", "quick"}
    """

    images: data.Images
    length: str

    @property
    def mode(self) -> str:
        """``"mnist/full"``, ``"mnist/quick"`` or ``"digits/quick"``."""
        return f"{self.images.name}/{self.length}"

    def choose(self, full: _Choice, quick: _Choice) -> _Choice:
        """Return the first value in the full budget, the second in the quick one."""
        return full if self.length == "full" else quick

    def __str__(self) -> str:
        train, test = len(self.images.train_images), len(self.images.test_images)
        return f"{self.mode}: {train:,} training and {test:,} test images of 28×28 pixels"


def chapter_budget() -> Budget:
    """Return the budget of a chapter, from the environment and the data at hand.

    ``VAECOURSE_BUDGET`` says ``full`` or ``quick``; without it a chapter is run in full.  Where MNIST is not at hand
    and cannot be downloaded, scikit-learn's digits take its place, in the quick budget, and a line says so; but not
    where ``VAECOURSE_BUDGET`` asks for the full budget, or ``VAECOURSE_DATA`` names a folder.

    Raises
    ------
    ValueError
        If ``VAECOURSE_BUDGET`` has another value.
    ConnectionError
        If the full budget is asked for and MNIST cannot be downloaded.
    FileNotFoundError, PermissionError
        If there is no MNIST in the folder that ``VAECOURSE_DATA`` names, or no cache that can be used.
    """
    asked = os.environ.get("VAECOURSE_BUDGET")
    if asked and asked not in LENGTHS:
        raise ValueError(f"VAECOURSE_BUDGET is {asked!r}; expected 'full' or 'quick'")
    try:
        return Budget(data.load("mnist"), asked or "full")
    except ConnectionError as error:
        if asked == "full":
            raise
        print(f"MNIST cannot be downloaded here; going on with scikit-learn's 8×8 digits. ({type(error).__name__})")
        return Budget(data.load("digits"), "quick")
