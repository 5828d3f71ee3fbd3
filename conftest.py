"""Settings for every way to call pytest here, also a bare `pytest --nbval book/` from another folder."""

import os
from pathlib import Path

# Chapters run by pytest are quick unless the environment says otherwise; the kernels inherit these variables.
os.environ.setdefault("VAECOURSE_BUDGET", "quick")
os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")  # TF32 would move the fourth decimal on GPUs


def pytest_configure(config):
    if hasattr(config.option, "nbval_current_env"):
        config.option.nbval_current_env = True  # the running Python, whatever kernel a chapter names
        config.option.nbval_sanitize_with = config.option.nbval_sanitize_with or str(
            Path(__file__).parent / "tests" / "nbval_sanitize.cfg"
        )


def pytest_collection_modifyitems(items):
    """Put long files first: where they run side by side, the last ones then end together."""
    items.sort(key=lambda item: -_expected_length(item))


def _expected_length(item):
    if item.path.name == "test_book.py":  # builds the book
        return float("inf")
    chapter = getattr(item.parent, "nb", None)
    return chapter.metadata.get("vaecourse", {}).get("seconds", 0) if chapter else 0
