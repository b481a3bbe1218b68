"""Tables of a PDF page: where they are, their columns, their heads and rows."""
