"""The tables at the beginning of Rich Text -> the encoding of each font, colours, and what a paragraph of each style is."""

from __future__ import annotations

import codecs

from server.readers.office.rtf_story import Kind
from server.readers.office.symbols import symbol_text
from server.readers.office.word_styles import is_contents, role_of

_CHARSETS = {  # \fcharset of a font -> its encoding; 0 and 1 stand for that of the file
    77: "mac_roman",
    128: "cp932",
    129: "cp949",
    130: "johab",
    134: "gb18030",
    136: "cp950",
    161: "cp1253",
    162: "cp1254",
    163: "cp1258",
    177: "cp1255",
    178: "cp1256",
    186: "cp1257",
    204: "cp1251",
    222: "cp874",
    238: "cp1250",
    255: "cp437",
}
_SYMBOLS = 2  # \fcharset of fonts that show signs


_SYMBOLS = 2  # \fcharset of fonts that show signs
_LONGEST_NAME = 1000  # characters
_BODY = 9  # the outline level of body text


class Definitions:
    """Filled while the tables are read; then asked. Text of a table may come in pieces, each entry ends with a semicolon."""

    def __init__(self) -> None:
        self.encoding = "cp1252"  # of the file
        self.default_font = 0
        self.charsets: dict[int, int] = {}  # by the number of the font
        self.red_green_blue: dict[str, int] = {}  # of the colour that is being defined
        self._fonts: dict[int, str] = {}
        self._colours: list[str] = []
        self._styles: dict[int, Kind] = {}
        self._name = ""  # of the font or style that is being defined

    def define_font(self, text: str, number: int) -> None:
        """More of the names of fonts."""
        for name in self._complete(text):
            self._fonts[number] = name

    def define_style(self, text: str, number: int, outline: int | None) -> None:
        """More of the names of styles; `outline` is the level of a heading from 0, 9 for body text."""
        for name in self._complete(text):
            role, level = role_of([name])
            if role == "body" and outline is not None and outline < _BODY:
                role, level = "heading", outline + 1
            self._styles[number] = Kind(role, level, is_contents(name))

    def define_colours(self, text: str) -> None:
        """The semicolons after colours; one without parts is the automatic colour."""
        for _ in range(text.count(";")):
            parts = [self.red_green_blue.get(each, 0) for each in ("red", "green", "blue")]
            self._colours.append("".join(f"{part:02X}" for part in parts) if self.red_green_blue else "")
            self.red_green_blue = {}

    def colour(self, number: int) -> str:
        """Six hexadecimal digits, "" for the automatic colour."""
        return self._colours[number] if 0 <= number < len(self._colours) else ""

    def kind(self, style: int, outline: int | None) -> Kind:
        """What a paragraph of this style is, which may have an outline level of its own."""
        kind = self._styles.get(style, Kind())
        if outline is None or kind.contents:
            return kind
        return Kind("heading", outline + 1) if outline < _BODY else Kind("body" if kind.role == "heading" else kind.role)

    def decoded(self, data: bytes, font: int | None, is_name: bool) -> str:
        """Bytes in the encoding of their font (None: the default one); names of fonts are not written with the signs that they show."""
        font = self.default_font if font is None else font
        charset = self.charsets.get(font, 0)
        if charset == _SYMBOLS and not is_name:
            return "".join(symbol_text(byte, self._fonts.get(font, "")) for byte in data)
        return data.decode(_CHARSETS.get(charset, self.encoding), "replace")

    def character(self, code: int, font: int | None) -> str:
        """One given by its number; private ones by the sign that their font shows."""
        if not 0xF000 <= code <= 0xF0FF:
            return chr(code)
        return symbol_text(code, self._fonts.get(self.default_font if font is None else font, ""))

    def _complete(self, text: str) -> list[str]:
        *names, rest = (self._name + text).split(";")
        self._name = rest[:_LONGEST_NAME]
        return [name.strip() for name in names]


def encoding_of(code_page: int) -> str:
    """The name of a code page of Windows, that of Western Europe where it is unknown."""
    name = {936: "gb18030", 65001: "utf-8", 10000: "mac_roman"}.get(code_page, f"cp{code_page}")
    try:
        return codecs.lookup(name).name
    except LookupError:
        return "cp1252"
