"""PDF -> documents: words with boxes, reading order, headings, tables, formulas, identity, hidden text; begin with reader.py."""
