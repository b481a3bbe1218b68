"""Which encoding bytes are in: a table of languages, short strings, marks, declarations and damage."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from server.errors import Unreadable
from server.readers import read
from server.readers.encoding import decode

SAMPLES = {
    "gb18030": "本文研究中文文本的编码识别问题，并给出实验结果。我们在三个数据集上比较了五种方法，结果表明模型在准确率上优于基线。",
    "big5": "本文研究中文文本的編碼辨識問題，並給出實驗結果。我們在三個資料集上比較了五種方法，結果表明模型在準確率上優於基線。",
    "shift_jis": "本研究では、日本語の文字コードを自動的に判別する手法を提案する。三つのデータセットで評価した結果、精度が向上した。",
    "euc_jp": "本研究では、日本語の文字コードを自動的に判別する手法を提案する。三つのデータセットで評価した結果、精度が向上した。",
    "euc_kr": "이 논문에서는 한국어 문서의 문자 인코딩을 자동으로 판별하는 방법을 제안한다. 데이터에서 평가한 결과 정확도가 높아졌다.",
    "koi8-r": "В этой работе мы изучаем задачу определения кодировки текста и приводим результаты экспериментов на трёх наборах данных.",
    "windows-1251": "В этой работе мы изучаем задачу определения кодировки текста и приводим результаты экспериментов на трёх наборах.",
    "windows-1252": "Für die Prüfung größerer Datensätze zählen wir die Häufigkeit der Wörter; das Ergebnis heißt Maß der Übereinstimmung.",
    "windows-1250": "W niniejszej pracy badamy zagadnienie rozpoznawania kodowania tekstów i przedstawiamy wyniki doświadczeń.",
    "windows-1253": "Σε αυτή την εργασία μελετάμε το πρόβλημα της αναγνώρισης της κωδικοποίησης των κειμένων και δίνουμε αποτελέσματα.",
    "windows-1254": "Bu çalışmada metinlerin kodlamasını tanıma sorununu inceliyor ve üç veri kümesinde elde edilen sonuçları sunuyoruz.",
    "windows-1255": "במאמר זה אנו חוקרים את בעיית זיהוי קידוד הטקסט ומציגים תוצאות של ניסויים בשלושה מאגרי נתונים.",
    "windows-1256": "في هذه الورقة ندرس مشكلة التعرف على ترميز النصوص ونقدم نتائج التجارب على ثلاث مجموعات من البيانات.",
}
EAST_ASIAN = ("gb18030", "big5", "shift_jis", "euc_kr")


@pytest.mark.parametrize("encoding", SAMPLES)
def test_a_sentence_is_read_in_its_encoding(encoding: str) -> None:
    text, found, warnings = decode(SAMPLES[encoding].encode(encoding))
    assert (text, found, warnings) == (SAMPLES[encoding], encoding, (f"encoding guessed as {encoding}",))


@pytest.mark.parametrize("encoding", EAST_ASIAN)
def test_stretches_of_sixteen_characters_are_read_right(encoding: str) -> None:
    sample = SAMPLES[encoding]
    stretches = [sample[at : at + 16] for at in range(0, len(sample) - 16, 3)]
    assert [text for text in stretches if decode(text.encode(encoding)).text != text] == []


ROWS = ("张三,李四", "编号,12\n", "1,北京,3.5\n", "名称\n", "层,3.5\n", "掩", "id,name\n1,张\n", "鑫淼,0.5", "表1 结果\n", "“是”,1")


@pytest.mark.parametrize("row", ROWS)
def test_short_rows_in_gb18030_stay_chinese(row: str) -> None:
    assert decode(row.encode("gb18030")).text == row


def test_short_csv_in_gb18030(tmp_path: Path) -> None:
    path = tmp_path / "kurz.csv"
    path.write_bytes("名称,数值\n甲,1\n".encode("gb18030"))
    assert [block.text for block in read(path).sections[0].blocks] == ["名称: 甲 | 数值: 1"]


@pytest.mark.parametrize(
    "text", ["Größe", "café", "Le café est déjà prêt.", "¿Por qué?", "naïve œuvre – “quoted”", "GRÖSSE: 5 µm", "Ångström 3 °C"]
)
def test_short_western_text_is_windows_1252(text: str) -> None:
    assert decode(text.encode("cp1252")).text == text


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", ["The plain text, without a mark.\nMore.", "本文研究编码。\n第二行。", "中文文本的编码识别问题"])
def test_utf16_needs_no_mark(encoding: str, text: str) -> None:
    assert decode(text.encode(encoding)) == (text, encoding, (f"encoding guessed as {encoding}",))


def test_a_mark_decides_and_a_lying_one_is_refused() -> None:
    assert decode(codecs.BOM_UTF8 + "中文".encode(), "gbk") == ("中文", "utf-8", ())
    with pytest.raises(Unreadable, match="says it is utf-16 and is not"):
        decode(codecs.BOM_UTF16_LE + b"\x00\xd8\x41")


@pytest.mark.parametrize(
    ("label", "encoding"),
    [("gb2312", "gb18030"), ("BIG5", "big5"), ("x-sjis", "shift_jis"), ("iso-8859-1", "cp1252"), ("ks_c_5601-1987", "cp949")],
)
def test_labels_mean_what_browsers_take_them_for(label: str, encoding: str) -> None:
    text = {"cp1252": "“é”", "cp949": "논문", "shift_jis": "論文①"}.get(encoding, "論文")
    assert decode(text.encode("cp932" if encoding == "shift_jis" else encoding), label) == (text, label.lower(), ())


@pytest.mark.parametrize("label", ["utf-8", "zip", "rot13", "nonsense", "idna", "base64"])
def test_a_wrong_label_is_not_believed(label: str) -> None:
    assert decode(SAMPLES["gb18030"].encode("gb18030"), label).text == SAMPLES["gb18030"]


def test_damaged_utf8_stays_utf8_and_says_so() -> None:
    data = bytearray(SAMPLES["gb18030"].encode() * 5)
    data[30] = 0xFF
    text, encoding, warnings = decode(bytes(data))
    assert (encoding, text.count("\ufffd"), len(warnings)) == ("utf-8", 3, 1)  # the byte and the two that it leaves alone
    assert "damaged from byte 30 on" in warnings[0]
    assert decode("结果。".encode()[:-1]).text == "结果\ufffd"  # cut off inside a character


def test_damaged_gb18030_stays_chinese() -> None:
    data = (SAMPLES["gb18030"] * 100).encode("gb18030") + b"\xff\xff"
    text, encoding, warnings = decode(data + b"\n" * 70_000)
    assert (encoding, text[:8], len(warnings)) == ("gb18030", "本文研究中文文本", 2)


def test_iso_2022_jp() -> None:
    assert decode("日本語のテキスト".encode("iso2022_jp")).text == "日本語のテキスト"
