"""A tree of HTML elements -> a Flow of headings and blocks, and the texts on the page that nobody sees.

The tree is walked, never recursed into, so that depth costs nothing; every element is visited once, cells and headings twice.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from server.readers.web.flow import Flow, Mark, collapsed, power, texts
from server.readers.web.formulas import formula_text
from server.readers.web.html_controls import is_control, is_uncopied
from server.readers.web.html_hidden import Colour, Styles, background_of, hidden_reason, is_transparent, rules_of, style_of
from server.readers.web.html_tables import table_lines
from server.types import BlockKind, Box, Hidden, HiddenReason

_PAGE = Box(1, 0, 0, 0, 0)  # a page without places
_LEVELS = {f"h{level}": level for level in range(1, 7)}
_DROPPED_NAMES = (
    "head title script style template noscript nav svg canvas video audio iframe object embed map select textarea input dialog "
    "datalist progress meter frameset annotation annotation-xml rp"
)
_DROPPED = frozenset(_DROPPED_NAMES.split())
_BLOCKS_NAMES = (
    "address article aside blockquote body center dd details dir div dl dt fieldset figure footer form header hgroup hr html legend li "
    "main menu ol p search section summary table tbody td tfoot th thead tr ul caption figcaption"
)
_BLOCKS = frozenset(_BLOCKS_NAMES.split())
_MENUS = frozenset(("aside", "footer", "header", "menu"))
_MENU_ROLES = frozenset(("complementary", "contentinfo", "banner", "menu", "menubar", "toolbar", "tablist", "directory"))
_MENU_WORDS = "menu navbar navigation nav sidebar breadcrumb breadcrumbs toc pagination pager footer share social related cookie cookies"
_MENU_NAMES = frozenset(_MENU_WORDS.split())
_NO_MENU = re.compile(r"related[-_\s]?works?\b", re.IGNORECASE)  # a section of a paper
_NOTE_TYPES = frozenset(("footnote", "endnote", "rearnote", "doc-footnote", "doc-endnote"))  # of EPUB and of ARIA
_SPACED = frozenset(("ltx_tag", "ltx_bibblock"))  # LaTeXML sets a number and the parts of a reference apart by style alone
_RENDERED_MATH = frozenset(("katex-html", "MathJax", "MathJax_Display", "MathJax_Preview", "MathJax_SVG", "MathJax_CHTML"))  # shown twice
_MENU_SHARE = 0.6  # of the characters are links: a menu, not text
_EQUATION_NUMBER = re.compile(r"[\s().,;:\d\w]{0,12}")
_MAX_HIDDEN_TEXT = 2000  # characters


class _Open(NamedTuple):
    """What must be undone where an open element ends."""

    block: bool = False
    spaced: bool = False
    link: bool = False
    paints: bool = False
    menu: Mark | None = None


class Walk:
    """One pass over a page; `flow` holds what is seen and `hidden` what is not, `transparent` counts the characters of it whose only
    fault is that they are transparent. `through`: transparent text is read, as on pages that a script lets appear."""

    def __init__(self, root: Any, through: bool = False) -> None:
        self.flow = Flow()
        self.hidden: list[Hidden] = []
        self.transparent = 0
        self._through = through
        self._in_heading = self._in_note = False
        self._rules = rules_of(root)
        self._layout = _layout_tables(root)
        self._background: list[Colour | None] = [None if _paints_elsewhere(root) else (255, 255, 255)]
        self._run(root, self.flow)

    def _run(self, root: Any, flow: Flow, flat: bool = False) -> None:
        """Walk below `root`; `flat` for a cell or heading, where headings and tables are just text."""
        from lxml import etree

        walk = etree.iterwalk(root, events=("start", "end"))
        opened: list[_Open] = []
        for event, element in walk:
            if event == "start":
                style = style_of(element, self._rules)
                if element is not root and self._whole(element, style, flow, flat):
                    walk.skip_subtree()
                    opened.append(_Open())
                    continue
                opened.append(self._enter(element, style, flow, flat))
                flow.text("\n" if element.tag == "br" else element.text or "")
            else:
                self._leave(opened.pop(), flow)
                if element is not root:
                    flow.text(element.tail or "")

    def _enter(self, element: Any, style: Styles, flow: Flow, flat: bool) -> _Open:
        painted = background_of(element, style)
        paints = painted is not None or "background" in style or "background-image" in style
        if paints:
            self._background.append(painted)
        link = element.tag == "a" and element.get("href") is not None
        flow.links += link
        block = element.tag in _BLOCKS
        if block and flat:
            flow.text(" ")
        elif block:
            flow.flush()
        menu = flow.mark() if block and not flat and _may_be_menu(element) else None
        spaced = not _SPACED.isdisjoint((element.get("class") or "").split())
        return _Open(block and not flat, spaced, link, paints, menu)

    def _leave(self, place: _Open, flow: Flow) -> None:
        flow.links -= place.link
        if place.spaced:
            flow.text(" ")
        if place.block:
            flow.flush()
        if place.menu is not None:
            flow.drop_links_since(place.menu, _MENU_SHARE)
        if place.paints:
            self._background.pop()

    def _whole(self, element: Any, style: Styles, flow: Flow, flat: bool) -> bool:
        """Whether `element` was dealt with as a whole: dropped, hidden, or put into `flow`."""
        tag = element.tag
        names = set((element.get("class") or "").split()) if element.get("class") else set()
        if tag == "script" and (element.get("type") or "").startswith("math/tex"):
            self._formula(collapsed(element.text or ""), "display" in element.get("type"), flow, flat)
            return True
        if tag in _DROPPED or names & _RENDERED_MATH or element.get("role") == "navigation":
            if tag in _BLOCKS or tag in ("nav", "svg"):
                flow.text(" ") if flat else flow.flush()
            return True
        if is_control(element, names, self._in_heading):
            return True
        if reason := self._hidden_reason(element, style):
            self._hide(element, reason)
            return True
        if tag == "sup" and (appended := power(element, flow.before())):
            flow.text(appended)
            return True
        if "ltx_note" in names and not self._in_note:
            flow.note(self._note(element))
            return True
        if tag == "math":
            self._formula(formula_text(element), element.get("display") == "block", flow, flat)
            return True
        return not flat and self._block(element, tag, names, flow)

    def _block(self, element: Any, tag: str, names: set[str], flow: Flow) -> bool:
        role = element.get("role") or element.get("epub:type") or ""
        if tag in _LEVELS:
            flow.flush()
            self._in_heading = True
            flow.heading(_LEVELS[tag], self._inside(element))
            self._in_heading = False
        elif tag in ("pre", "listing", "xmp"):
            flow.block("code", self._code(element))
        elif tag in ("figcaption", "caption"):
            self._whole_block("caption", element, flow)
        elif tag == "table" and element not in self._layout:
            self._table(element, flow)
        elif "ltx_bibitem" in names or role == "doc-biblioentry":
            self._whole_block("reference", element, flow)
        elif not _NOTE_TYPES.isdisjoint(role.split()):
            self._whole_block("footnote", element, flow)
        else:
            return False
        return True

    def _whole_block(self, kind: BlockKind, element: Any, flow: Flow) -> None:
        flow.flush()
        flow.block(kind, self._inside(element))

    def _table(self, table: Any, flow: Flow) -> None:
        for caption in table.iterchildren("caption"):
            self._whole_block("caption", caption, flow)
        if (equation := _equation(table)) is not None:
            flow.block("formula", equation)
        else:
            flow.flush()
            flow.block("table", *table_lines(table, self._inside))

    def _inside(self, element: Any) -> str:
        """The visible text of a cell, heading or caption, as one line; its notes follow the block that it goes into."""
        flow = Flow(self.flow.notes)
        self._run(element, flow, flat=True)
        return flow.whole()

    def _note(self, element: Any) -> str:
        """ "1 Text" of a note of LaTeXML, which stands in the sentence with its mark twice or three times."""
        content = next((inner for inner in element.iter("span") if "ltx_note_content" in (inner.get("class") or "")), element)
        mark = next((collapsed("".join(inner.itertext())) for inner in element.iter("sup")), "")
        again = next(content.iter("sup"), None)
        self._in_note = True
        text = self._inside(content)
        self._in_note = False
        if again is not None and "ltx_note_mark" not in (again.get("class") or ""):
            text = text.removeprefix(mark)
        return text if text.startswith(f"{mark} ") else f"{mark} {text}".strip()

    def _code(self, element: Any) -> str:
        """The lines of code as they stand, without buttons, gutters and what nobody sees."""
        from lxml import etree

        pieces: list[str] = []
        walk = etree.iterwalk(element, events=("start", "end"))
        for event, inner in walk:
            if event == "end":
                pieces.append("" if inner is element else inner.tail or "")
                continue
            style = style_of(inner, self._rules)
            if inner is not element and is_uncopied(inner, set((inner.get("class") or "").split()), style):
                walk.skip_subtree()
            elif inner is not element and (reason := self._hidden_reason(inner, style)):
                self._hide(inner, reason)
                walk.skip_subtree()
            else:
                pieces.append("\n" if inner.tag == "br" else inner.text or "")
        return "".join(pieces).strip("\n")

    def _formula(self, text: str, display: bool, flow: Flow, flat: bool) -> None:
        if display and not flat:
            flow.block("formula", text)
        else:
            flow.text(text)

    def _hidden_reason(self, element: Any, style: Styles) -> HiddenReason | None:
        reason = hidden_reason(element, style, self._background[-1])
        if reason is None and is_transparent(style) and not self._through:
            self.transparent += len("".join("".join(texts(element, ("script", "style"))).split()))
            return "invisible"
        return reason

    def _hide(self, element: Any, reason: HiddenReason) -> None:
        if text := collapsed("".join(texts(element, ("script", "style"))))[:_MAX_HIDDEN_TEXT]:
            self.hidden.append(Hidden(text, reason, _PAGE))


def _paints_elsewhere(root: Any) -> bool:
    """Whether a style sheet may paint the page, so that white text need not be invisible."""
    linked = any("stylesheet" in (link.get("rel") or "").lower() for link in root.iter("link"))
    return linked or any("background" in (sheet.text or "").lower() for sheet in root.iter("style"))


def _may_be_menu(element: Any) -> bool:
    if element.tag in _MENUS or element.get("role") in _MENU_ROLES or element.get("epub:type") in ("toc", "landmarks", "page-list"):
        return True
    named = f"{element.get('class') or ''} {element.get('id') or ''}"[:500].lower()
    return any(name in _MENU_NAMES for name in re.split(r"[\s_]+", _NO_MENU.sub("", named)))


def _layout_tables(root: Any) -> set[Any]:
    """Tables that arrange a page: those that hold a table, a heading or code. Their cells are read as running text."""
    found = set()
    for element in root.iter("table", "pre", *_LEVELS):
        outer = next(element.iterancestors("table"), None)
        if outer is not None:
            found.add(outer)
    found |= {table for table in root.iter("table") if table.get("role") in ("presentation", "none")}
    return found


def _equation(table: Any) -> str | None:
    """The formula in a table that only sets one apart from its number, None when it holds more than that."""
    formulas = list(table.iter("math"))
    if not formulas:
        return None
    rest = "".join(texts(table, ("math",)))
    if len(rest.split()) > 3 or not _EQUATION_NUMBER.fullmatch(rest.strip()):
        return None
    return " ".join(filter(None, [*(formula_text(formula) for formula in formulas), collapsed(rest)]))
