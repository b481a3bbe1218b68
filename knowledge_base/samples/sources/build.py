"""Typesets every paper of this folder into ../content, byte for byte the same on each run with the same fonts.

Run:  pip install typst==0.15.0 && python build.py     (Chinese needs the Debian package fonts-noto-cjk)
"""

import datetime
from pathlib import Path

import typst

HERE = Path(__file__).resolve().parent
DATE = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)

if __name__ == "__main__":
    for source in sorted(HERE.glob("*.typ")):
        if source.name != "template.typ":
            pdf = typst.compile(str(source), root=str(HERE), timestamp=DATE)
            target = HERE.parent / "content" / f"{source.stem}.pdf"
            target.write_bytes(pdf)
            print(f"{target.name}  {len(pdf) // 1024} KB")
