"""Scripts and languages: text -> "zh", "en" or "other"; how wide text is printed; which characters are Chinese.

Below readers and splitting, which may not import each other and both need it.
"""

from __future__ import annotations

import re
import unicodedata

from server.types import Language

CJK = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # ideographs, for use inside a character class
CJK_MARKS = "\u3000-\u303f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\u2014\u2018\u2019\u201c\u201d\u2026"
KANA = "\u3040-\u30ff"
WIDE = f"{CJK}{KANA}\u3000-\u303f\uff01-\uff60\uffe0-\uffe6"  # printed two columns wide, written without spaces; Hangul has spaces

_IDEOGRAPH = re.compile(f"[{CJK}]")
_KANA = re.compile(f"[{KANA}]")
_WIDE = re.compile(f"[{WIDE}]")
_LATIN_WORD = re.compile(r"[A-Za-zÀ-ÖØ-öø-ɏ]+")
_SAMPLE = 40_000  # characters; more does not change the answer

_ENGLISH_WORDS = "the of and to in is that for with as are by this we be on from which an it at can or has not"
_FOREIGN_WORDS = (
    "der die das und ist nicht ein eine von zu den mit sich auf für im dem als auch werden wird sei "  # German
    "le la les des et est une dans que pour qui par sur du au avec sont nous cette "  # French
    "el los las que por con una del para como se más son "  # Spanish
    "il lo gli che di una per con sono della nel è delle "  # Italian
    "o os um uma que não com dos das em ao são "  # Portuguese
    "de het een van en dat niet zijn op met voor wordt "  # Dutch
    "och att det som en på är av för med den till ett"  # Swedish
)
_ENGLISH = frozenset(_ENGLISH_WORDS.split())
_FOREIGN = frozenset(_FOREIGN_WORDS.split()) - _ENGLISH


def is_wide(char: str) -> bool:
    """Whether this character belongs to a script written without spaces (Chinese, kana, their punctuation)."""
    return _WIDE.match(char) is not None


def display_width(text: str) -> int:
    """Columns that `text` takes in a fixed-pitch font: two for a wide character, none for a combining one."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" or is_wide(char) else 1 for char in text
    )


def chinese_share(text: str) -> float:
    """The share of what `text` says that stands in ideographs, 0..1; one weighs as 2.5 letters, since it says about as much."""
    ideographs = 2.5 * len(_IDEOGRAPH.findall(text))
    return ideographs / ((ideographs + sum(map(len, _LATIN_WORD.findall(text)))) or 1)


def language_of(text: str) -> Language:
    """The language of `text`: "zh" when ideographs dominate, "en" for Latin script unless its stop words are another language's.

    One ideograph weighs as 2.5 letters, since it says about as much. Short Latin text without stop words counts as English.
    """
    sample = text[:_SAMPLE]
    ideographs = len(_IDEOGRAPH.findall(sample))
    words = [word.lower() for word in _LATIN_WORD.findall(sample)]
    latin = sum(map(len, words))
    letters = sum(map(str.isalpha, sample))
    if ideographs and ideographs * 2.5 >= latin:
        return "other" if len(_KANA.findall(sample)) > ideographs * 0.2 else "zh"
    if letters > 2 * (latin + ideographs):
        return "other"  # Greek, Cyrillic, Arabic, Hangul …
    english = sum(word in _ENGLISH for word in words)
    foreign = sum(word in _FOREIGN for word in words)
    return "other" if foreign > max(2, english) else "en"
