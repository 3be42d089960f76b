"""Reads a page as strictly as a person who checks it would: balanced, every id once, nothing from outside."""

from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br", "!doctype"}


class Page(HTMLParser):
    """The elements of a page, with what is wrong in it."""

    def __init__(self, text):
        super().__init__()
        self.open, self.faults, self.elements, self.text = [], [], [], []
        self.feed(text)
        self.close()
        self.faults += [f"<{name}> is never closed" for name in self.open]
        self.ids = [attributes["id"] for _, attributes in self.elements if "id" in attributes]
        self.faults += [f"id {name} is not unique" for name in {x for x in self.ids if self.ids.count(x) > 1}]

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> closes nothing")

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag, **wanted):
        """The attributes of the elements of this name that have these attributes."""
        return [have for name, have in self.elements if name == tag and wanted.items() <= have.items()]

    @property
    def targets(self):
        """Everything that an element points to."""
        names = ("href", "src", "xlink:href", "srcset", "action", "data")
        return [value for _, have in self.elements for name, value in have.items() if name in names]
