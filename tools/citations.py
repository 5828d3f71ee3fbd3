"""Citations as text, and the list of what has been cited, from `references.bib`."""

from functools import cache
from pathlib import Path

import mdformat
from pybtex.backends.markdown import Backend
from pybtex.database import BibliographyData, Entry, parse_file
from pybtex.richtext import Text
from pybtex.style.formatting.plain import Style


class Citations:
    """What a chapter cites.

    Parameters
    ----------
    root : Path
        Folder of the project.
    """

    def __init__(self, root: Path) -> None:
        self._entries = _read(root / "book" / "references.bib").entries
        self.cited: set[str] = set()

    def parenthetical(self, keys: str) -> str:
        """Return such as (Kingma and Welling, 2014; Rezende et al., 2014)."""
        said = [", ".join(filter(None, (_names(entry), entry.fields.get("year")))) for entry in self._cite(keys)]
        return f"({'; '.join(said)})"

    def textual(self, keys: str) -> str:
        """Return such as Kingma and Welling (2014)."""
        said = [(_names(entry), entry.fields.get("year")) for entry in self._cite(keys)]
        return ", ".join(f"{names} ({year})" if year else names for names, year in said)

    def references(self) -> str:
        """Return the list of what has been cited, with links, in the order of the authors; or nothing."""
        if not self.cited:
            return ""
        chosen = BibliographyData({key: self._entries[key] for key in sorted(self.cited)})
        formatted = sorted(Style().format_bibliography(chosen), key=lambda entry: str(entry.text).lower())
        lines = (f"- {entry.text.render(Backend('utf-8'))}".replace("\n", " ") for entry in formatted)
        return mdformat.text("\n".join(["## References", "", *lines])).strip()

    def _cite(self, keys: str) -> list[Entry]:
        names = [key.strip() for key in keys.split(",")]
        if unknown := [name for name in names if name not in self._entries]:
            raise ValueError(f"references.bib has no {', '.join(unknown)}")
        self.cited |= set(names)
        return [self._entries[name] for name in names]


@cache
def _read(path: Path) -> BibliographyData:
    return parse_file(str(path), "bibtex")


def _names(entry: Entry) -> str:
    last = [" ".join((*person.prelast_names, *person.last_names)) for person in entry.persons["author"]]
    names = [str(Text.from_latex(name)) for name in last]
    return " and ".join(names) if len(names) < 3 else f"{names[0]} et al."
