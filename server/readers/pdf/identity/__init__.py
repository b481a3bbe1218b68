"""Which paper a PDF is: title, authors, abstract, year, identifiers; begin with paper.py."""
