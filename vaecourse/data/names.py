"""What is chosen by its name: a data set, a likelihood, a recipe."""

from collections.abc import Collection


def known(name: str, names: Collection[str], kind: str) -> str:
    """Return a name if it is among those that there are, so that ``table[known(name, table, kind)]`` looks it up.

    Parameters
    ----------
    name : str
    names : collection of str
        The names that there are: a tuple, or a table whose keys they are.
    kind : str
        What has these names, for the message: ``"recipe"``.

    Raises
    ------
    ValueError
        If there is none of that name; the message lists those that there are.
    """
    if not (isinstance(name, str) and name in names):
        raise ValueError(f"unknown {kind} {name!r}; there are {', '.join(names)}")
    return name
