"""Reads a page's HTML with the standard library, as WebShop reads it with BeautifulSoup."""

from html.parser import HTMLParser

_HIDDEN = {"style", "script", "head", "title", "meta"}
_ALONE = {"br", "img", "input"}


class Reader(HTMLParser):
    """What a page holds.

    Attributes:
        texts: Its visible texts, stripped; those between tags of nothing but a line break are left out.
        clickables: The texts of buttons, then of links to products, then the values of options, each once.
    """

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.texts = []
        self._open = []
        self._identifiers = set()
        self._buttons, self._links, self._values = [], [], []
        self.feed(html)
        self.close()

    @property
    def clickables(self):
        return list(dict.fromkeys([*self._buttons, *self._links, *self._values]))

    def has(self, identifier):
        return identifier in self._identifiers

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self._identifiers.add(found.get("id"))
        if tag == "input" and found.get("type") == "radio":
            self._values.append(found["value"])
        if tag not in _ALONE:
            self._open.append((tag, found.get("class", "").split()))

    def handle_endtag(self, tag):
        assert self._open.pop()[0] == tag

    def handle_data(self, data):
        if data.strip(" \n\t") == "" and "\n" in data:
            return
        if {tag for tag, _ in self._open} & _HIDDEN:
            return
        self.texts.append(data.strip())
        if "btn" in self._open[-1][1]:
            self._buttons.append(data.lower())
        if "product-link" in self._open[-1][1]:
            self._links.append(data.lower())
