"""Measures how often six ways of matching accept a true quote and refuse an altered one.

Sentences are taken from the text layer of real papers (English and Chinese). Each is written down as a language model would
write it (true forms), and altered in ways that change its meaning (false forms). A matcher sees the quote and the page the
quote claims to stand on, and says yes or no. For accepted quotes of the strict matcher, the boxes of the matched characters
are read again from the page.

Run:  python quote_matching.py PAPERS [sentences] [seed]     (a folder of PDFs; needs numpy and pymupdf; about two minutes)
"""

import json
import random
import re
import sys
import time
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pymupdf

CJK = "\u3400-\u9fff"
DASH = "\u2010\u2011\u2012\u2013\u2014\u2212"
QUOTES = str.maketrans("“”„‟‘’‚‛`´「」『』。、" + DASH, '""""\'\'\'\'\'\'"""".,' + "-" * len(DASH))


# --- normal forms: a string and, for each of its characters, the offset it came from -------------------------------------


def folded(text: str) -> tuple[str, list[int]]:
    """NFKC (ligatures, full-width forms), one kind of quote and dash, no soft hyphens, lower case."""
    out, at = [], []
    for i, c in enumerate(text):
        if c == "\xad":
            continue
        for d in unicodedata.normalize("NFKC", c).translate(QUOTES).lower():
            out.append(d)
            at.append(i)
    return "".join(out), at


def strict(text: str) -> tuple[str, list[int]]:
    """folded, with spaces and letter-hyphen-letter removed, but a space kept between two digits."""
    s, at = folded(text)
    keep = []
    for m in re.finditer(r"\S", s):
        i = m.start()
        if s[i] == "-":
            before, after = s[:i].rstrip()[-1:], s[i + 1 : i + 40].lstrip()[:1]
            if before.isalpha() and after.isalpha():
                continue
        if keep and s[i].isdigit() and s[keep[-1]].isdigit() and i - keep[-1] > 1:
            keep.append(keep[-1] + 1)  # the space
        keep.append(i)
    return "".join(" " if s[i].isspace() else s[i] for i in keep), [at[i] for i in keep]


def loose(text: str) -> str:
    """folded, with every space and every hyphen removed."""
    return re.sub(r"[\s-]", "", folded(text)[0])


# --- matchers: (quote, page text) -> yes or no ---------------------------------------------------------------------------


CACHE: dict = {}


def form(kind, page: str) -> str:
    if (kind, page) not in CACHE:
        CACHE[kind, page] = kind(page)
    return CACHE[kind, page]


def spaces(text: str) -> str:
    return " ".join(text.split())


def substring_distance(quote: str, page: str) -> int:
    """Fewest edits that turn `quote` into some substring of `page` (Sellers)."""
    text = np.frombuffer(page.encode("utf-32-le", "surrogatepass"), np.uint32)
    row, steps = np.zeros(len(text) + 1, np.int32), np.arange(len(text) + 1, dtype=np.int32)
    for i, c in enumerate(np.frombuffer(quote.encode("utf-32-le", "surrogatepass"), np.uint32), 1):
        best = np.minimum(row[1:] + 1, row[:-1] + (text != c))
        row = np.concatenate(([np.int32(i)], best))
        row = np.minimum.accumulate(row - steps) + steps
    return int(row.min())


def in_strict(quote: str, page: str) -> tuple[int, int] | None:
    """Offsets in `page` of the strict match that begins and ends at a word or number boundary."""
    (q, _), (p, at) = strict(quote), form(strict, page)
    start = p.find(q)
    while q and start >= 0:
        first, last = at[start], at[start + len(q) - 1]
        if whole(page, first, last):
            return first, last
        start = p.find(q, start + 1)
    return None


def whole(page: str, first: int, last: int) -> bool:
    """No word or number is cut at either end; a sign or a decimal point belongs to its number."""
    before, after = page[:first][-2:], page[last + 1 :][:2]
    if page[first].isdigit() and re.search(rf"\d$|\d[.,]$|[-{DASH}]$", before):
        return False
    if page[last].isdigit() and re.match(r"\d|[.,]\d", after):
        return False
    latin = re.compile(r"[A-Za-z]")
    return not ((latin.match(page[first]) and latin.match(before[-1:])) or (latin.match(page[last]) and latin.match(after[:1])))


def even(text: str) -> str:
    return spaces(folded(text)[0])


def fuzzy(quote: str, page: str) -> bool:
    q = even(quote)
    return substring_distance(q, form(even, page)) <= 0.1 * len(q)


MATCHERS = {
    "exact": lambda q, p: q in p,
    "spaces": lambda q, p: spaces(q) in form(spaces, p),
    "folded": lambda q, p: even(q) in form(even, p),
    "loose": lambda q, p: loose(q) in form(loose, p),
    "strict": lambda q, p: in_strict(q, p) is not None,
    "fuzzy 10%": fuzzy,
}


# --- the sentences and their forms ---------------------------------------------------------------------------------------


def sentences(page: str) -> list[str]:
    """Raw spans of prose, 40-300 characters (Chinese 20-150), with their line breaks."""
    spans = re.findall(
        r"(?<=[.。！？]\s)[^.。！？]{10,}?(?:[.](?=\d)[^.。！？]*?)*[.。！？](?=\s|$)|[^。！？\n][^。！？]{18,150}。", page
    )
    good = []
    for s in map(str.strip, spans):
        chinese = len(re.findall(rf"[{CJK}]", s)) / max(1, len(s)) > 0.4
        letters = len(re.findall(rf"[A-Za-z{CJK}]", s)) / max(1, len(s))
        size_ok = 20 <= len(s) <= 150 if chinese else 40 <= len(s) <= 300 and len(s.split()) > 6
        if size_ok and letters > 0.65 and "\ufffd" not in s and max(map(len, s.split("\n"))) > 15:
            good.append(s)
    return good


def as_written(raw: str, words: set[str]) -> str:
    """The sentence as a careful reader would write it: lines joined, hyphens joined where the word is known without."""

    def join(m):
        a, b = m.group(1), m.group(2)
        return a + b if (a + b).lower() in words or f"{a}-{b}".lower() not in words else f"{a}-{b}"

    s = re.sub(r"([A-Za-z]+)[-\u2010\xad]\n([a-z]+)", join, raw)
    s = re.sub(rf"(?<=[{CJK}，。、；：])\s*\n\s*|\s*\n\s*(?=[{CJK}，。、；：])", "", s)
    s = spaces(s)
    for a in "\ufb00\ufb01\ufb02\ufb03\ufb04":
        s = s.replace(a, unicodedata.normalize("NFKC", a))
    return s


def true_forms(raw: str, words: set[str], rng) -> dict[str, str]:
    s = as_written(raw, words)
    out = {"copied with its line breaks": raw, "lines joined": s}
    if (t := s.translate(QUOTES)) != s and not re.search(rf"[{CJK}]", s):
        out["plain quotes and dashes"] = t
    if re.search(rf"[{CJK}]", s):
        t = re.sub(rf"([{CJK}])([A-Za-z0-9])", r"\1 \2", s)
        t = re.sub(rf"([A-Za-z0-9])([{CJK}])", r"\1 \2", t)
        out["Chinese: other spacing, half-width"] = unicodedata.normalize("NFKC", t)
    else:
        out["first letter's case changed"] = s[0].swapcase() + s[1:]
    return out


def false_forms(raw: str, words: list[str], s: str, other: str, rng) -> dict[str, str]:
    out, chinese = {}, bool(re.search(rf"[{CJK}]", s))
    digits = [m.start() for m in re.finditer(r"\d", s)]
    if digits:
        i = rng.choice(digits)
        out["one digit changed"] = s[:i] + rng.choice([d for d in "0123456789" if d != s[i]]) + s[i + 1 :]
    if m := re.search(r"\d\.\d", s):
        out["decimal point dropped"] = s[: m.start() + 1] + s[m.end() - 1 :]
    if m := re.search(r"(?<=[\s(=])[-\u2212\u2013](?=\d)", s):
        out["minus sign dropped"] = s[: m.start()] + s[m.end() :]
    if m := re.search(r"\d+[-\u2013]\d+", s):
        out["range joined into a number"] = s[: m.start()] + re.sub(r"[-\u2013]", "", m.group()) + s[m.end() :]
    if (m := re.search(r"\d\d|\d\.\d", s)) and len(s) - m.start() > (15 if chinese else 30):
        out["quote begins inside a number"] = re.sub(r"^\.", "", s[m.start() + 1 :])
    if chinese:
        if m := re.search(r"是|有|能|为", s):
            out["negation added"] = s[: m.start()] + "不" + s[m.start() :]
        runs = [m.start() for m in re.finditer(rf"[{CJK}]{{4}}", s)]
        if runs:
            i = rng.choice(runs)
            out["two neighbours swapped"] = s[:i] + s[i + 2 : i + 4] + s[i : i + 2] + s[i + 4 :]
            out["one word replaced"] = s[:i] + rng.choice(words) + s[i + 2 :]
    else:
        if m := re.search(r"\b(is|are|was|were|can|has|have|does)\b ", s):
            out["negation added"] = s[: m.end()] + "not " + s[m.end() :]
        parts = s.split(" ")
        i = rng.randrange(1, len(parts) - 2)
        if parts[i].lower() != parts[i + 1].lower():
            out["two neighbours swapped"] = " ".join(parts[:i] + [parts[i + 1], parts[i]] + parts[i + 2 :])
        plain = [i for i, w in enumerate(parts) if w.isalpha() and len(w) > 3]
        if plain:
            i = rng.choice(plain)
            out["one word replaced"] = " ".join(parts[:i] + [rng.choice(words)] + parts[i + 1 :])
    half = len(s) // 2
    out["halves of two sentences"] = s[: s.find(" ", half) if " " in s[half:] else half] + " " + other[len(other) // 2 :]
    return {k: v for k, v in out.items() if v != s}


# --- pages ---------------------------------------------------------------------------------------------------------------


def page_text(page) -> tuple[str, list]:
    """The page's characters in reading order and, for each, its line's number and its box."""
    text, boxes = [], []
    for block in page.get_text("rawdict", flags=pymupdf.TEXTFLAGS_TEXT | pymupdf.TEXT_PRESERVE_LIGATURES)["blocks"]:
        for line in block.get("lines", ()):
            chars = [c for span in line["spans"] for c in span["chars"]]
            text += [c["c"] for c in chars] + ["\n"]
            boxes += [c["bbox"] for c in chars] + [None]
    return "".join(text), boxes


def boxes_read_back(page, raw: str, boxes: list, first: int, last: int) -> bool:
    """Whether the characters whose centre lies in the line boxes of the match are the match itself."""
    marked, rect = [], None
    for box in boxes[first : last + 1]:
        if box is None:
            marked, rect = marked + ([rect] if rect else []), None
        else:
            rect = (rect or pymupdf.Rect(box)) | pymupdf.Rect(box)
    marked += [rect] if rect else []
    inside = "".join(
        c if b is None or any(r.contains(pymupdf.Point((b[0] + b[2]) / 2, (b[1] + b[3]) / 2)) for r in marked) else ""
        for c, b in zip(raw, boxes, strict=True)
    )
    return strict(inside)[0] == strict(raw[first : last + 1])[0]


if __name__ == "__main__":
    wanted, rng = int(sys.argv[2]) if len(sys.argv) > 2 else 700, random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 7)
    found, pages, vocabulary = [], {}, Counter()
    for path in sorted(Path(sys.argv[1]).glob("*.pdf")):
        try:
            doc = pymupdf.open(path)
            texts = [page_text(page) for page in doc]
        except Exception as error:
            print(f"left out {path.name}: {type(error).__name__}", file=sys.stderr)
            continue
        for n, (text, boxes) in enumerate(texts):
            pages[path.name, n] = doc[n], text, boxes
            vocabulary.update(re.findall(r"[a-z]+(?:-[a-z]+)*", text.lower()))
            if not path.name.startswith("de_"):  # English and Chinese only
                found += [(path.name, n, s) for s in sentences(text)]
    by_language = defaultdict(list)
    for item in found:
        by_language["zh" if re.search(rf"[{CJK}]", item[2]) else "en"].append(item)
    sample = [
        x for v in by_language.values() for x in rng.sample(v, min(len(v), wanted * (3 if v is by_language["en"] else 1) // 4))
    ]
    words = {w for w in vocabulary}
    english = [w for w, n in vocabulary.items() if n > 5 and len(w) > 3 and "-" not in w]
    chinese = ["降低", "提高", "患者", "温度", "显著", "企业", "模型", "增加"]
    print(
        json.dumps(
            {
                "documents": len({f for f, _, _ in found}),
                "pages": len({(f, n) for f, n, _ in found}),
                "candidates": {k: len(v) for k, v in by_language.items()},
                "sample": Counter("zh" if re.search(rf"[{CJK}]", s) else "en" for _, _, s in sample),
            }
        )
    )
    print(
        json.dumps(
            {
                "of the sample": {
                    "line break": sum("\n" in s for *_, s in sample),
                    "hyphen at line end": sum(bool(re.search(r"[-\u2010\xad]\n", s)) for *_, s in sample),
                    "ligature": sum(bool(re.search("[\ufb00-\ufb04]", s)) for *_, s in sample),
                }
            }
        )
    )
    yes, asked, clock, example = Counter(), Counter(), Counter(), {}
    boxed = Counter()
    for f, n, raw in sample:
        page, text, boxes = pages[f, n]
        s = as_written(raw, words)
        same = [t for g, m, t in sample if (g == f) and t != raw] or [raw[::-1]]
        pool = chinese if re.search(rf"[{CJK}]", s) else english
        forms = [("true", k, v) for k, v in true_forms(raw, words, rng).items()]
        forms += [("false", k, v) for k, v in false_forms(raw, pool, s, as_written(rng.choice(same), words), rng).items()]
        g, m, t = rng.choice([x for x in sample if x[0] != f])
        forms.append(("false", "true sentence, wrong document", as_written(t, words)))
        for kind, name, quote in forms:
            asked[kind, name] += 1
            for matcher, accepts in MATCHERS.items():
                started = time.process_time()
                ok = accepts(quote, text)
                clock[matcher] += time.process_time() - started
                yes[kind, name, matcher] += ok
                if matcher == "strict" and ok != (kind == "true") and len(example.setdefault(name, [])) < 3:
                    example[name].append((f, n + 1, quote))
        if (span := in_strict(s, text)) is not None:
            boxed["found"] += 1
            boxed["read back"] += boxes_read_back(page, text, boxes, *span)
    for kind in ("true", "false"):
        total = Counter()
        for (k, name), count in asked.items():
            if k == kind:
                row = {m: yes[kind, name, m] for m in MATCHERS}
                total.update(row | {"asked": count})
                print(json.dumps({"kind": kind, "form": name, "asked": count, "accepted": row}, ensure_ascii=False))
        print(
            json.dumps(
                {
                    "kind": kind,
                    "form": "ALL",
                    "asked": total["asked"],
                    "percent": {m: round(100 * total[m] / total["asked"], 2) for m in MATCHERS},
                }
            )
        )
    print(json.dumps({"ms a quote": {m: round(1000 * t / sum(asked.values()), 3) for m, t in clock.items()}, "boxes": boxed}))
    if "-v" in sys.argv:
        print(json.dumps(example, indent=1))
