"""Sphinx extension of this book: the reference shows the parameters that a class takes.

Keras builds objects by a `__new__` that takes anything, and that is what autodoc would show.
"""

import inspect
import re
from enum import Enum

from sphinx.util.inspect import signature, stringify_signature

ALIAS = re.compile(r"Alias for field number \d+")


def show_parameters(app, what, name, value, options, shown, returned):
    """Give a class the signature of its `__init__`, with all defaults."""
    if what != "class" or isinstance(value, type(Enum)) or shown is None or "*args" not in shown:
        return None
    initializer = inspect.unwrap(value.__init__)
    if initializer is object.__init__:
        return "()", returned
    real = stringify_signature(signature(initializer, bound_method=True), show_annotation=False)
    return ("", returned) if real == shown else (real, returned)  # a base without parameters of its own


def leave_out_what_says_nothing(app, what, name, value, skip, options):
    """Leave out the fields of a named tuple, which the description of the class explains."""
    return True if ALIAS.fullmatch(inspect.getdoc(value) or "") else None


def setup(app):
    """Register with Sphinx."""
    app.connect("autodoc-process-signature", show_parameters)
    app.connect("autodoc-skip-member", leave_out_what_says_nothing)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
