"""A character of the fonts Symbol and Wingdings, which office programs store by its place in the font -> the character that it shows."""

from __future__ import annotations

import re

LOST = "\ufffd"
_PRIVATE = re.compile("[\ue000-\uf8ff]")
_SAME = "!#%&()+,./0123456789:;<=>?[]_{|} "  # where Symbol shows what ASCII does
_SYMBOL = {
    **{ord(each): each for each in _SAME},
    **dict(zip(b'"$\x27*-@\\^~', "∀∃∋∗−≅∴⊥∼", strict=True)),
    **dict(zip(range(0x41, 0x5B), "ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ", strict=True)),
    **dict(zip(range(0x61, 0x7B), "αβχδεφγηιϕκλμνοπθρστυϖωξψζ", strict=True)),
    **dict(zip(range(0xA1, 0xC0), "ϒ′≤⁄∞ƒ♣♦♥♠↔←↑→↓°±″≥×∝∂•÷≠≡≈…⏐⎯↵", strict=True)),
    **dict(zip(range(0xC0, 0xE0), "ℵℑℜ℘⊗⊕∅∩∪⊃⊇⊄⊂⊆∈∉∠∇®©™∏√·¬∧∨⇔⇐⇑⇒⇓", strict=True)),
    **dict(zip(b"\xe0\xe1\xe5\xf1\xf2", "◊⟨∑⟩∫", strict=True)),
}
_WINGDINGS = {
    **dict(zip(b"\x28\x2a\x46\x4a\x4c\xab", "☎✉☞☺☹★", strict=True)),
    **dict(zip(range(0x6C, 0x78), "●❍■□◻❑❒⬧⧫◆❖⬥", strict=True)),
    **dict(zip(range(0x80, 0x96), "⓪①②③④⑤⑥⑦⑧⑨⑩⓿❶❷❸❹❺❻❼❽❾❿", strict=True)),
    **dict(zip(b"\x9f\xa1\xa7\xa8\xd8", "•○▪◻➢", strict=True)),
    **dict(zip(range(0xDF, 0xE7), "←→↑↓↖↗↙↘", strict=True)),
    **dict(zip(b"\xe8\xef\xf0\xf1\xf2\xf3\xfb\xfc\xfd\xfe", "➔⇦⇨⇧⇩⇔✗✓☒☑", strict=True)),
}
_FONTS = {"symbol": _SYMBOL, "wingdings": _WINGDINGS}


def symbol_text(code: int, font: str) -> str:
    """The character at `code` (its low byte is the place in the font); U+FFFD where the font or the place is unknown."""
    table = _FONTS.get(font.strip().lower())
    if table is not None and (code < 0x100 or 0xF000 <= code <= 0xF0FF):
        return table.get(code & 0xFF, LOST)
    return LOST if not 0 < code <= 0x10FFFF or 0xD800 <= code <= 0xDFFF or _PRIVATE.match(chr(code)) else chr(code)


def shown_text(text: str, font: str) -> str:
    """`text` with the private characters of such a font replaced; in other fonts they stay as they are."""
    return _PRIVATE.sub(lambda match: symbol_text(ord(match[0]), font), text) if font.strip().lower() in _FONTS else text
