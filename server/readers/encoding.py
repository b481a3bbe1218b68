"""Bytes -> text and the name of their encoding: mark, declaration, UTF-8, UTF-16 without a mark, else the likeliest of thirteen.

charset-normalizer was measured and not taken: of eight-character Chinese strings in GB 18030 it named 30 of 60 right (here all), and it
takes French for Windows-1250 at any length. Here every candidate's text is scored by how common its characters are in the language
that the encoding was made for.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from server.errors import Unreadable
from server.language import CJK

SAMPLE_BYTES = 65_536  # so much is looked at to choose among candidates
_GB_BONUS, _GB_SHORT = 0.15, 0.8  # Chinese is what this program is for: a string too short to tell is GB 18030
_WESTERN_BONUS = 0.02  # a tie among the Latin ones is Windows-1252
_LEAST_SCORE = 0.3  # below it nothing fits, and Windows-1252 at least keeps every ASCII letter
_DAMAGE = 20  # valid characters for each broken one, so that a damaged UTF-8 file is not taken for another encoding
_DAMAGE_GUESSED = 500  # the same for the encodings that are guessed, where fewer byte pairs are wrong by chance

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Labels that pages write, and what browsers take them for (https://encoding.spec.whatwg.org/#names-and-labels).
_MEANT = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "x-gbk": "gb18030",
    "gb_2312-80": "gb18030",
    "big5": "big5hkscs",
    "big5-hkscs": "big5hkscs",
    "x-x-big5": "big5hkscs",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "sjis": "cp932",
    "x-sjis": "cp932",
    "windows-31j": "cp932",
    "euc-kr": "cp949",
    "ks_c_5601-1987": "cp949",
    "iso-8859-1": "cp1252",
    "latin1": "cp1252",
    "iso-8859-9": "cp1254",
    "utf8": "utf-8",
    "unicode-1-1-utf-8": "utf-8",
}
_TEXT_CODECS = re.compile(r"utf|gb|big5|cp|windows|iso|euc|koi8|shift|mac|latin|johab|hz|tis|ascii|hp-roman|ptcp|kz|cp\d+", re.IGNORECASE)

# The 300 commonest characters of modern Chinese, simplified and traditional, and what is common in Japanese and Korean print.
_HANS = frozenset(
    "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方后多定行学法所民得经十三之进"
    "着等部度家电力里如水化高自二理起小物现实加量都两体制机当使点从业本去把性好应开它合还因由其些然前外天政四日那社义事平形相全表间样与关各"
    "重新线内数正心反你明看原又么利比或但质气第向道命此变条只没结解问意建月公无系军很情者最立代想已通并提直题党程展五果料象员革位入常文总次品"
    "式活设及管特件长求老头基资边流路级少图山统接知较将组见计别她手角期根论运农指几九区强放决西被干做必战先回则任取据处队南给色光门即保治北造"
    "百规热领七海口东导器压志世金增争济阶油思术极交受联什认六共权收证改清己美再采转更单风切打白教速花带安场身车例真务具万每目至达走积示议声报"
    "类完名确才科信格话究研文算法模型题验训练测试样本准率参据集编码识别网络语言值名称甲乙丙丁省市县号姓价额类型"
)
_HANT = frozenset(
    "的一是在不了有和人這中大為上個國我以要他時來用們生到作地於出就分對成會可主發年動同工也能下過子說產種面而方後多定行學法所民得經十三之進"
    "著等部度家電力裡如水化高自二理起小物現實加量都兩體制機當使點從業本去把性好應開它合還因由其些然前外天政四日那社義事平形相全表間樣與關各"
    "重新線內數正心反你明看原又麼利比或但質氣第向道命此變條只沒結解問意建月公無系軍很情者最立代想已通並提直題黨程展五果料象員革位入常文總次品"
    "式活設及管特件長求老頭基資邊流路級少圖山統接知較將組見計別她手角期根論運農指幾九區強放決西被做必戰先回則任取據處隊南給色光門即保治北造"
    "百規熱領七海口東導器壓志世金增爭濟階油思術極交受聯什認六共權收證改清己美再採轉更單風切打白教速花帶安場身車例真務具萬每目至達走積示議聲報"
    "類完名確才科信格話究研算模型驗訓練測試樣準率參集編碼識網絡語言值稱甲乙丙丁省市縣號姓價額辨"
)
_KANJI = frozenset(
    "日一国人年大十二本中長出三時行見月分後前生間上東今金入学高子外下来気小山話書先名水電語文手法結果提案評価実験問題用方的性化研究論者数対"
    "同自動会社業事場合理由目定可能情報使処理解析機械習精度向上比較示次第章図表式値"
)
_HANGUL = frozenset(
    "이다는에을의가를은고하지로한사서기대리인도시정부제어나자수해전보있그스장상아라선원조일구신여과주면지만관성경방공비개유동안들체문용분우세연결"
    "위차교소계발무소실모거중국미학산적생했된되것오으로요논집데터평법"
)
_RUSSIAN = frozenset("оеаинтсрвлкмдпуяыьгзбчй")
_GREEK = frozenset("αοιετσνηυρπκμλςάέήίόύώ")
_HEBREW = frozenset("אבגדהוזחטיכלמנסעפצקרשתםןףץך")
_ARABIC = frozenset("ابتدرسعفقكلمنهويةأىإ")
_MARKS = frozenset("‘’“”„«»–—…•·°§€£©®±×²³µ½¿¡ªº")
_WIDE_MARKS = frozenset("，。、；：？！“”‘’（）《》「」『』【】〈〉…—·～％－＋／　０１２３４５６７８９")

_NUL = re.compile(rb"\x00")
_UTF16_TEXT = re.compile(
    f"[\\t\\n\\r\\x20-\\x7e\\xa0-\\u052f\\u2010-\\u2026\\u3000-\\u303f\\u3040-\\u30ff\\uac00-\\ud7af\\uff00-\\uffef{CJK}]"
)


_Weigh = Callable[[str, int], float]  # (text, place) -> what the character there speaks for this encoding, -1 to 1


class Decoded(NamedTuple):
    """The text, its encoding ("utf-8", "gb18030", "windows-1252" …) and what had to be guessed or was lost, in sentences."""

    text: str
    encoding: str
    warnings: tuple[str, ...]


def decode(data: bytes, declared: str = "") -> Decoded:
    """`data` as text. `declared` is the label that the file or its envelope gives; a byte order mark beats it, and it is not believed
    when the bytes are not valid in it.

    Raises Unreadable when a byte order mark lies.
    """
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            try:
                return Decoded(data.decode(encoding), encoding.removesuffix("-sig"), ())
            except UnicodeDecodeError as exc:
                raise Unreadable(f"the file says it is {encoding} and is not: it is damaged at byte {exc.start}") from exc
    if text := _as_declared(data, declared):
        return Decoded(text, declared.strip().lower(), ())
    if encoding := _utf16(data):
        return Decoded(data.decode(encoding, errors="replace"), encoding, (f"encoding guessed as {encoding}",))
    if b"\x1b$" in data[:SAMPLE_BYTES] and data.isascii():
        return Decoded(data.decode("iso2022_jp", errors="replace"), "iso-2022-jp", ("encoding guessed as iso-2022-jp",))
    try:
        return Decoded(data.decode("utf-8"), "utf-8", ())
    except UnicodeDecodeError as exc:
        if text := _damaged_utf8(data):
            return Decoded(text, "utf-8", (f"the text is damaged from byte {exc.start} on; broken characters are shown as \ufffd",))
    return _guessed(data)


def _as_declared(data: bytes, declared: str) -> str:
    label = declared.strip().lower()
    if label not in _MEANT and not _TEXT_CODECS.match(label):  # Python knows codecs that are no encodings of text: zip, rot13, punycode
        return ""
    try:
        return data.decode(_MEANT.get(label, label))
    except (LookupError, ValueError):  # unknown, or not valid in it
        return ""


def _utf16(data: bytes) -> str:
    """utf-16-le or -be when the bytes are that, though no mark says so."""
    head = data[: SAMPLE_BYTES // 2 * 2]
    if len(data) % 2 or len(data) < 4:
        return ""
    even, odd = (len(_NUL.findall(head[start::2])) for start in (0, 1))
    if (even > 0) == (odd > 0) and (even or head.isascii() or _is_utf8(head)):
        return ""
    for encoding, zeros in (("utf-16-le", odd), ("utf-16-be", even)):
        text = _sample(head, encoding)
        if text is None or len(_UTF16_TEXT.findall(text)) < 0.98 * len(text):
            continue
        strange = [char for char in text if ord(char) >= 0x2E80]
        common = sum(char in _HANS or char in _HANT or char in _WIDE_MARKS for char in strange)
        if zeros >= 0.25 * len(text) or (len(text) >= 4 and strange and common >= 0.5 * len(strange)):
            return encoding
    return ""


def _is_utf8(head: bytes) -> bool:
    return _sample(head, "utf-8") is not None


def _damaged_utf8(data: bytes) -> str:
    text = data.decode("utf-8", errors="replace")
    broken = text.count("\ufffd")
    good = sum(not char.isascii() for char in text[: SAMPLE_BYTES * 16]) - broken
    return text if good >= _DAMAGE * broken or (broken == 1 and good > 0 and text.endswith("\ufffd")) else ""


def _guessed(data: bytes) -> Decoded:
    for score, codec, name in sorted(_scores(data[:SAMPLE_BYTES]), key=lambda row: -row[0]):
        text = data.decode(codec, errors="replace")
        broken = text.count("\ufffd")
        if score >= _LEAST_SCORE and broken * _DAMAGE_GUESSED <= len(text):
            lost = (f"{broken} characters of the text are damaged and shown as \ufffd",) if broken else ()
            return Decoded(text, name, (f"encoding guessed as {name}", *lost))
    return Decoded(data.decode("cp1252", errors="replace"), "windows-1252", ("encoding guessed as windows-1252",))


def _scores(head: bytes) -> Iterator[tuple[float, str, str]]:
    for codec, name, weigh, bonus in _CANDIDATES:
        text = _sample(head, codec)
        if text is not None:
            strange = [at for at, char in enumerate(text) if char > "\x7f"][:3000]
            score = sum(weigh(text, at) for at in strange) / max(1, len(strange)) + bonus
            yield score + (_GB_SHORT / max(1, len(strange)) if name == "gb18030" else 0.0), codec, name


def _sample(head: bytes, codec: str) -> str | None:
    """The text of the first bytes, which may end inside a character; None when more than a few are not valid."""
    text = codecs.getincrementaldecoder(codec)("replace").decode(head, final=len(head) < SAMPLE_BYTES)
    return text if text.count("\ufffd") * _DAMAGE_GUESSED <= len(text) else None


def _wide(common: frozenset[str], codec: str, first: int, last: int, everyday: float = 0.4, rare: float = -0.6) -> _Weigh:
    """Weights for two-byte encodings: 1 for common characters, `everyday` for those with a lead byte from `first` to `last` (the
    encoding's first level), 0 for its second level, `rare` for extensions, which no ordinary text is made of."""
    low_trails = codec in ("big5hkscs", "cp932")  # elsewhere a trail byte below A1 marks an extension

    def weigh(text: str, at: int) -> float:
        char = text[at]
        if char in common or char in _WIDE_MARKS:
            return 1.0 if char in common else 0.8
        code = char.encode(codec, errors="ignore")
        if len(code) != 2 or not (low_trails or (code[0] >= 0xA1 and code[1] >= 0xA1)):
            return rare
        amid_letters = any(near.isascii() and near.islower() for near in (text[at - 1 : at], text[at + 1 : at + 2]))
        return (everyday if first <= code[0] <= last else 0.0 if code[0] > last else rare) - 0.5 * amid_letters

    return weigh


def _kana(codec: str, first: int, last: int) -> _Weigh:
    other = _wide(_KANJI, codec, first, last, 0.2)
    return lambda text, at: 1.0 if "\u3041" <= text[at] <= "\u30fe" else other(text, at)


def _alphabet(letters: str) -> _Weigh:
    """Weights for alphabets of their own: words are made of their common letters alone, and capitals stand at the beginning."""
    common = frozenset(letters)

    def weigh(text: str, at: int) -> float:
        char = text[at]
        if char.isalpha() and any(near.isascii() and near.isalpha() for near in (text[at - 1 : at], text[at + 1 : at + 2])):
            return -0.5
        if char in common:
            return 1.0
        if not char.isalpha():
            return 0.5 if char in _MARKS else -1.0
        if char.isupper() and text[at - 1 : at].islower():
            return -1.0
        return 0.6 if char.isupper() else 0.3

    return weigh


def _accents(letters: str) -> _Weigh:
    """Weights for a language in Latin script: its accented letters stand among plain ones, signs between words."""
    common = frozenset(letters + letters.upper())

    def weigh(text: str, at: int) -> float:
        char, before, after = text[at], text[at - 1 : at], text[at + 1 : at + 2]
        if char.isalpha():
            crowd = sum(near > "\x7f" and near.isalpha() for near in (before, after))
            if crowd == 2 or (before.islower() and char.isupper() and char.isalpha() and char.lower() != char):
                return -0.5
            return (1.0 if char in common else 0.0) * (0.6 if crowd else 1.0)
        if char in _MARKS:
            return -0.5 if before.isalpha() and after.isalpha() and char not in "’·" else 1.0
        return -0.5

    return weigh


_CANDIDATES: tuple[tuple[str, str, _Weigh, float], ...] = (
    ("gb18030", "gb18030", _wide(_HANS, "gb18030", 0xB0, 0xD7), _GB_BONUS),
    ("big5hkscs", "big5", _wide(_HANT, "big5hkscs", 0xA4, 0xC6), 0.0),
    ("cp932", "shift_jis", _kana("cp932", 0x88, 0x97), 0.0),
    ("euc_jp", "euc_jp", _kana("euc_jp", 0xB0, 0xCF), 0.0),
    ("cp949", "euc_kr", _wide(_HANGUL, "cp949", 0xB0, 0xC8, 0.55), 0.0),
    ("cp1252", "windows-1252", _accents("äöüßé"), _WESTERN_BONUS),  # German
    ("cp1252", "windows-1252", _accents("éèêëàâçîïôùûœ"), _WESTERN_BONUS),  # French
    ("cp1252", "windows-1252", _accents("áéíóúñüãõçâêôàª"), _WESTERN_BONUS),  # Spanish, Portuguese
    ("cp1252", "windows-1252", _accents("àèéìòù"), _WESTERN_BONUS),  # Italian
    ("cp1252", "windows-1252", _accents("åäöøæé"), _WESTERN_BONUS),  # Nordic
    ("cp1252", "windows-1252", _accents("áéíóúýðþæö"), -0.05),  # Icelandic: a tie is Turkish
    ("cp1250", "windows-1250", _accents("ąćęłńóśźż"), 0.0),  # Polish
    ("cp1250", "windows-1250", _accents("áčďéěíňóřšťúůýžľôä"), 0.0),  # Czech, Slovak
    ("cp1250", "windows-1250", _accents("áéíóöőúüű"), 0.0),  # Hungarian
    ("cp1250", "windows-1250", _accents("čćđšž"), 0.0),  # Croatian
    ("cp1250", "windows-1250", _accents("ăâîşţ"), 0.0),  # Romanian
    ("cp1254", "windows-1254", _accents("ğışçöüİâîû"), 0.0),  # Turkish
    ("cp1251", "windows-1251", _alphabet("оеаинтсрвлкмдпуяыьгзбчй"), 0.0),
    ("koi8-r", "koi8-r", _alphabet("оеаинтсрвлкмдпуяыьгзбчй"), 0.0),
    ("cp1253", "windows-1253", _alphabet("αοιετσνηυρπκμλςάέήίόύώ"), 0.0),
    ("cp1255", "windows-1255", _alphabet("אבגדהוזחטיכלמנסעפצקרשתםןףץך"), 0.0),
    ("cp1256", "windows-1256", _alphabet("ابتدرسعفقكلمنهويةأىإ"), 0.0),
)
