"""Sphinx extension of this book: what search engines and previews of links read, once the book has an address.

Every page has a description.  Where the repository has an address of which the published one follows, pages also have
cards, a canonical address and a place in the sitemap, and a page for addresses that do not exist leads back.
"""

import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[2]))  # Sphinx runs from anywhere

from tools import address

AFTER_OPENGRAPH = 900
BEFORE_ALL = 10
OF_AN_ADDRESS = re.compile(r'<meta (?:property="og:|name="twitter:)[^>]*>\n')
GLUED = re.compile(r"(?<=[a-z])\((?=[A-Z])")  # what was emphasized, and the abbreviation after it
DESCRIPTION = (
    "A course on variational autoencoders, from the first picture to published log-likelihoods, and its module."
)
UNLISTED = ["search.html", "genindex.html", "py-modindex.html", "404.html", "_modules/*"]  # in the sitemap
IMAGE = "book/_static/covers/conv-cvae.png"


def set_address(app, config):
    """Tell the extensions the address at which the book is published."""
    site = address.published(address.current(Path(app.srcdir)))
    config.ogp_site_url = site
    config.ogp_site_name = config.project = config.html_title
    config.ogp_social_cards = {
        "enable": bool(site),
        "image": IMAGE,
        "image_mini": IMAGE,
        "line_color": "#3061a3",
    }
    if site:
        config.html_baseurl = site
        config.notfound_urls_prefix = urlsplit(site).path
        config.sitemap_url_scheme = "{link}"
        config.sitemap_excludes = UNLISTED


def describe(app, pagename, templatename, context, doctree):
    """Give a description to pages that have no text of their own; without an address leave out what needs one."""
    tags = context.get("metatags", "")
    if not app.config.ogp_site_url:
        tags = OF_AN_ADDRESS.sub("", tags)
    if '<meta name="description"' not in tags:
        words = re.sub("<[^>]*>", "", context.get("title") or "").strip()
        tags += f'<meta name="description" content="{words + ". " if words else ""}{DESCRIPTION}" />\n'
    tags = GLUED.sub(" (", tags)
    context["metatags"] = tags


def setup(app):
    """Register with Sphinx."""
    app.setup_extension("sphinxext.opengraph")
    if address.published(address.current(Path(app.srcdir))):
        app.setup_extension("sphinx_sitemap")
        app.setup_extension("notfound.extension")
    app.connect("config-inited", set_address, priority=BEFORE_ALL)
    app.connect("html-page-context", describe, priority=AFTER_OPENGRAPH)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
