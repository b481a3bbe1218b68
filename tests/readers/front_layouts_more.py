"""More first pages: publishers, conferences, a note, slides; pages without an abstract and with two."""

from __future__ import annotations

from pathlib import Path

from tests.readers.front_layouts import ABSTRACT, WIDE_ABSTRACT
from tests.readers.front_pages import WIDTH, Text, below, centred, one_column, paragraph, prose, two_columns, typeset

GERMAN_ABSTRACT = (
    "Flüsse tragen viel Holz ins Meer, und was dort mit ihm geschieht, ist kaum bekannt. Wir haben vierhundert Stämme "
    "über drei Jahre verfolgt "
    "und zeigen, dass die meisten nach zehn Wochen sinken. Die Tiefe, in der sie liegen bleiben, wird von der Rinde bestimmt."
)
GERMAN = (
    "Die Proben wurden vor jedem der Versuche getrocknet und gewogen. Wir vergleichen das Modell mit dem älteren und finden, "
    "dass es weniger "
    "Zeit für das gleiche Ergebnis braucht. Das ist eine kleine Wirkung, die auch von anderen gesehen wurde und mit der Tiefe wächst. "
)


def frontiers(path: Path) -> Path:
    side = [
        "Edited by:",
        "Ana García,",
        "Instituto del Mar, Spain",
        "Reviewed by:",
        "Kari Nieminen,",
        "University of the South, Finland",
        "*Correspondence:",
        "Jane A. Smith",
        "jane@example.org",
        "Received: 05 June 2019",
        "Accepted: 18 February 2020",
        "Published: 12 March 2020",
        "Citation:",
        "Smith JA, Zhang W and Hansen OB (2020)",
        "Bark and the Fate of Driftwood.",
        "Front. Riv. Sci. 7:123.",
        "doi: 10.3389/friv.2020.00123",
    ]
    texts = [
        Text("ORIGINAL RESEARCH", 450, 40, 8, "helv"),
        Text("published: 12 March 2020", 450, 50, 8, "helv"),
        Text("doi: 10.3389/friv.2020.00123", 450, 60, 8, "helv"),
        Text("Bark and the Fate of Driftwood in", 50, 130, 20, "hebo"),
        Text("Cold Coastal Seas", 50, 154, 20, "hebo"),
        Text("Jane A. Smith ^1^*, Wei Zhang ^2^ and Ole B. Hansen ^1,3^", 50, 180, 11, "heit"),
        *paragraph("^1^ Department of Hydrology, University of the North, Oulu, Finland, ^2^ River College, New York, NY, United States, "
                   "^3^ Drift Research, Bergen, Norway", 50, 200, 545, size=8, font="heit"),
        *(Text(line, 50, 260 + 11 * at, 7, "helv") for at, line in enumerate(side)),
        *paragraph(ABSTRACT, 210, 250, 545, size=10, font="tiro"),
        Text("Keywords: driftwood, bark, settling, coast", 210, 340, 9, "hebo"),
        Text("INTRODUCTION", 210, 370, 11, "hebo"),
        *[text for text in paragraph("The logs were dried and weighed before each run, and it grows. " * 50, 210, 388, 545)
          if text.y < 775],
        Text("Frontiers in River Science | www.example.org   1   March 2020 | Volume 7 | Article 123", 50, 815, 7, "helv"),
        *two_columns(70, page=1),
    ]  # fmt: skip
    return typeset(path, texts)


def biorxiv(path: Path) -> Path:
    texts = [
        *paragraph("bioRxiv preprint doi: https://doi.org/10.1101/2020.03.04.123456; this version posted March 5, 2020. "
            "The copyright holder for this "
                   "preprint (which was not certified by peer review) is the author/funder.", 40, 18, 560, size=6, font="helv"),
        Text("Bark-dependent settling of wood in fjords", 72, 100, 14, "tibo"),
        Text("Jane A. Smith^1,*^, Wei Zhang^2^, Ole B. Hansen^1^", 72, 130, 12),
        Text("^1^Department of Hydrology, University of the North, Oulu, Finland", 72, 150, 12),
        Text("^2^River College, New York, USA", 72, 165, 12),
        Text("*Corresponding author: jane@example.org", 72, 180, 12),
        Text("Abstract", 72, 215, 12, "tibo"),
        *paragraph(ABSTRACT, 72, 235, 523, size=12),
        Text("Introduction", 72, 330, 12, "tibo"),
        *one_column(350, size=12),
        *one_column(70, page=1, size=12),
    ]  # fmt: skip
    return typeset(path, texts)


def acl(path: Path) -> Path:
    texts = [
        centred("Do Logs Speak? Reading Bark With", 80, 14.3, "tibo"),
        centred("Language Models", 97, 14.3, "tibo"),
        centred("Jane A. Smith^1^   Wei Zhang^2^   Ole B. Hansen^1,3^", 125, 12, "tibo"),
        centred("^1^University of the North   ^2^River College   ^3^Drift Research", 141, 12),
        centred("{jane,ole}@example.org   wei@example.com", 157, 11, "cour"),
        centred("Abstract", 200, 12, "tibo", middle=170),
        *paragraph(ABSTRACT, 65, 218, 275),
    ]
    y = below(texts, 2.5)
    texts += [
        Text("1   Introduction", 50, y, 12, "tibo"),
        *[text for text in two_columns(200) if text.x > 200 or text.y > y + 10],
        centred("123", 790, 10),
        centred("Proceedings of the 58th Meeting on Rivers and Language, pages 123-135", 805, 9, "tiit"),
        centred("July 5 - 10, 2020. ©2020 Association for River Linguistics", 816, 9),
        *two_columns(70, page=1),
    ]
    return typeset(path, texts)


def cvpr(path: Path) -> Path:
    texts = [
        centred("Seeing Bark: Single-Image Depth for Sinking Logs", 90, 14.3, "tibo"),
        Text("Jane A. Smith", 120, 125, 12),
        Text("Wei Zhang", 270, 125, 12),
        Text("Ole B. Hansen", 400, 125, 12),
        Text("University of the North", 150, 140, 12),
        Text("River College", 350, 140, 12),
        centred("{jane,wei,ole}@example.org", 155, 10, "cour"),
        centred("Abstract", 190, 12, "tibo", middle=170),
        *paragraph(ABSTRACT, 50, 208, 290, font="tiit"),
    ]
    y = below(texts, 2.5)
    texts += [
        Text("1. Introduction", 50, y, 12, "tibo"),
        *[text for text in two_columns(190) if text.x > 200 or text.y > y + 10],
        *two_columns(70, page=1),
    ]
    return typeset(path, texts, info={"title": "", "author": "", "creationDate": "D:20200301120000Z"})


def astronomy(path: Path) -> Path:
    texts = [
        Text("MNRAR 000, 1-10 (2020)", 50, 35, 8),
        Text("Preprint 5 March 2020", 250, 35, 8),
        Text("Compiled using MNRAR LATEX style file v3.0", 400, 35, 8),
        Text("Driftwood on icy moons: the role of bark", 50, 90, 17, "tibo"),
        Text("Jane A. Smith,^1*^ Wei Zhang^2^ and Ole B. Hansen^1,2^", 50, 120, 12),
        Text("^1^Department of Hydrology, University of the North, Oulu, Finland", 50, 138, 8, "tiit"),
        Text("^2^River College, New York, USA", 50, 148, 8, "tiit"),
        Text("Accepted 2020 March 3. Received 2020 February 2; in original form 2019 July 1", 50, 175, 8),
        Text("ABSTRACT", 50, 205, 9, "tibo"),
        *paragraph(ABSTRACT, 50, 218, 545, size=9),
    ]
    y = below(texts, 1.3)
    texts += [
        Text("Key words: bark - moons: icy - rivers", 50, y + 4, 9),
        Text("1  INTRODUCTION", 50, y + 40, 9, "tibo"),
        *two_columns(y + 55, size=9),
        *two_columns(70, page=1, size=9),
    ]
    return typeset(path, texts)


def medical_chinese(path: Path) -> Path:
    texts = [
        Text("中华河流杂志 2021 年 5 月第 41 卷第 5 期", 50, 40, 9),
        Text("·论著·", 280, 70, 10),
        centred("漂木树皮厚度与沉降深度的关系分析", 100, 16),
        centred("王小红  李建国  欧阳静  赵 伟", 128, 12),
        Text("作者单位：北方大学水利学院，北京 100871", 72, 150, 8),
        Text("通信作者：李建国，Email: li@example.org", 72, 162, 8),
        *paragraph(f"【摘要】目的：{WIDE_ABSTRACT}", 72, 185, 523, size=9),
        Text("【关键词】漂木；树皮；沉降", 72, 215, 9),
        Text("DOI：10.3760/cma.j.cn112137-20200930-02750", 72, 230, 9),
        Text("一、资料与方法", 50, 270, 11),
        *two_columns(290, wide=True),
        *two_columns(70, page=1, wide=True),
    ]
    return typeset(path, texts)


def german(path: Path) -> Path:
    texts = [
        centred("Wohin das Holz sinkt: Rinde und Tiefe", 90, 16, "tibo"),
        centred("Jana Müller und Ole B. Hansen", 115, 11),
        centred("Universität des Nordens, Oulu", 130, 9),
        Text("Abstract", 72, 160, 11, "tibo"),
        *paragraph(ABSTRACT, 72, 176, 523),
        Text("Zusammenfassung", 72, 236, 11, "tibo"),
        *paragraph(GERMAN_ABSTRACT, 72, 252, 523),
        Text("1 Einleitung", 72, 320, 12, "tibo"),
        *[text for text in paragraph(GERMAN * 20, 72, 340, 523) if text.y < 775],
        Text("Eingereicht am 3. Mai 2019, angenommen am 4. Juni 2019", 72, 800, 8),
    ]
    return typeset(path, texts)


def word_document(path: Path) -> Path:
    texts = [
        centred("Where the logs go: a look at bark, depth and time", 90, 12, "tibo"),
        centred("Jane A. Smith, PhD, Wei Zhang, MD, and Ole B. Hansen, MSc", 120, 12),
        centred("Department of Hydrology, University of the North", 135, 12),
        centred("April 2019", 150, 12),
        *paragraph(f"Abstract: {ABSTRACT}", 72, 190, 523, size=12),
        Text("Introduction", 72, 290, 12, "tibo"),
        *one_column(310, size=12),
        *one_column(70, page=1, size=12),
    ]
    return typeset(path, texts)


def slides(path: Path) -> Path:
    texts = [
        centred("Lecture 3: Rivers and wood", 250, 32, "hebo"),
        centred("Jane A. Smith", 300, 18, "helv"),
        centred("University of the North, 4 May 2019", 330, 14, "helv"),
        Text("What we will see today", 60, 80, 24, "hebo", 1),
        *(Text(f"\u2022 Point number {at} about the wood in the water", 60, 130 + 30 * at, 16, "helv", 1) for at in range(6)),
    ]
    return typeset(path, texts)


def names_side_by_side_with_marks(path: Path) -> Path:
    texts = [
        centred("Is Bark All You Need?\u2217", 90, 17, "tibo"),
        centred("Jane A. Smith^*^   Wei Zhang^§^", 120, 12),
        centred("March 3, 2018", 140, 12),
        centred("Abstract", 180, 10, "tibo"),
        *paragraph(ABSTRACT, 110, 195, WIDTH - 110, size=9),
        Text("JEL codes: Q22, Q25", 110, 255, 9),
        Text("1 Introduction", 72, 300, 14, "tibo"),
        *one_column(320),
        Text("\u2217We thank the crew. Data: https://doi.org/10.7910/DVN/ABCDEF.", 80, 790, 8),
        *one_column(70, page=1),
    ]
    return typeset(path, texts)


def short_note(path: Path) -> Path:
    texts = [
        Text("A note on logs that do not sink", 72, 100, 16, "hebo"),
        Text("Jane A. Smith", 72, 125, 11),
        Text("12 May 2018", 72, 142, 10),
        Text("1  Logs", 72, 180, 12, "hebo"),
        *paragraph(prose(900), 72, 200, 523),
        Text("2  Depth", 72, 360, 12, "hebo"),
        *paragraph(prose(900) + " The data are at doi:10.5281/zenodo.1234567.", 72, 380, 523),
        Text("References", 72, 560, 12, "hebo"),
        *paragraph("[1] W. Zhang. Wood and water. Rivers 12 (2011) 1-9. doi:10.1000/rivers.2011.1", 72, 580, 523, size=9),
    ]
    return typeset(path, texts)


def both_languages(path: Path) -> Path:
    texts = [
        centred("Effects of Bark on the Settling of Driftwood", 90, 16, "tibo"),
        centred("Wei Zhang^1^ and Xiaoming Li^2^", 115, 11),
        centred("^1^University of the North, ^2^River College", 130, 9),
        Text("摘要", 72, 160, 11),
        *paragraph(WIDE_ABSTRACT, 72, 176, 523, size=9),
        Text("Abstract", 72, 236, 11, "tibo"),
        *paragraph(ABSTRACT, 72, 252, 523),
        Text("1 Introduction", 72, 320, 12, "tibo"),
        *one_column(340),
        *one_column(70, page=1),
    ]
    return typeset(path, texts)


def structured_over_a_page_end(path: Path) -> Path:
    first = "Background: " + prose(300)
    texts = [
        centred("Logs in the surf of three cold coasts", 90, 16, "tibo"),
        centred("Jane A. Smith", 115, 11),
        Text("Abstract", 72, 560, 12, "tibo"),
        *paragraph(first, 72, 580, 523),
        *paragraph("Methods: " + prose(900), 72, 660, 523)[:8],
        centred("1", 810),
    ]
    rest = paragraph("Methods: " + prose(900), 72, 660, 523)[8:]
    texts += [text._replace(page=1, y=70 + 12 * at) for at, text in enumerate(rest)]
    y = 70 + 12 * len(rest)
    texts += paragraph("Results: " + prose(200), 72, y, 523, page=1)
    y = below(texts, 1.2)
    texts += paragraph("Conclusions: Bark matters most of all.", 72, y, 523, page=1)
    texts += [
        Text("Keywords: logs, bark", 72, y + 24, 10, page=1),
        Text("1 Introduction", 72, y + 50, 12, "tibo", 1),
        *one_column(y + 70, page=1),
        *one_column(70, page=2),
    ]
    return typeset(path, texts)


MORE_LAYOUTS = {
    short_note: ("A note on logs that do not sink", ("Jane A. Smith",), 2018, "", "", ""),
    both_languages: ("Effects of Bark on the Settling of Driftwood", ("Wei Zhang", "Xiaoming Li"), None, "", "", ABSTRACT),
    frontiers: (
        "Bark and the Fate of Driftwood in Cold Coastal Seas",
        ("Jane A. Smith", "Wei Zhang", "Ole B. Hansen"), 2020, "10.3389/friv.2020.00123", "", ABSTRACT,
    ),
    biorxiv: (
        "Bark-dependent settling of wood in fjords",
        ("Jane A. Smith", "Wei Zhang", "Ole B. Hansen"), 2020, "10.1101/2020.03.04.123456", "", ABSTRACT,
    ),
    acl: ("Do Logs Speak? Reading Bark With Language Models", ("Jane A. Smith", "Wei Zhang", "Ole B. Hansen"), 2020, "", "", ABSTRACT),
    cvpr: ("Seeing Bark: Single-Image Depth for Sinking Logs", ("Jane A. Smith", "Wei Zhang", "Ole B. Hansen"), 2020, "", "", ABSTRACT),
    astronomy: ("Driftwood on icy moons: the role of bark", ("Jane A. Smith", "Wei Zhang", "Ole B. Hansen"), 2020, "", "", ABSTRACT),
    medical_chinese: (
        "漂木树皮厚度与沉降深度的关系分析", ("王小红", "李建国", "欧阳静", "赵伟"), 2021, "10.3760/cma.j.cn112137-20200930-02750", "",
        "目的：" + WIDE_ABSTRACT,
    ),
    german: ("Wohin das Holz sinkt: Rinde und Tiefe", ("Jana Müller", "Ole B. Hansen"), 2019, "", "", GERMAN_ABSTRACT),
    word_document: (
        "Where the logs go: a look at bark, depth and time", ("Jane A. Smith", "Wei Zhang", "Ole B. Hansen"), 2019, "", "", ABSTRACT,
    ),
    slides: ("Lecture 3: Rivers and wood", ("Jane A. Smith",), 2019, "", "", ""),
    names_side_by_side_with_marks: ("Is Bark All You Need?", ("Jane A. Smith", "Wei Zhang"), 2018, "", "", ABSTRACT),
}  # fmt: skip
