"""A chart of Word or PowerPoint -> its title and the values that it shows, which the file keeps beside the drawing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from server.readers.rows import named, number_text, one_line
from server.types import Block


def chart_blocks(root: Any, page: int = 1) -> Iterator[Block]:
    """A caption where the chart has a title, and a table with a row for each category and a column for each series."""
    title = root.find("{*}chart/{*}title")
    if title is not None and (text := one_line("".join(run.text or "" for run in title.iter("{*}t")))):
        yield Block("caption", text, page)
    names, *rows = _chart_rows(root)
    if rows:
        yield Block("table", "\n".join(named(names, row) for row in rows), page)


def _chart_rows(root: Any) -> list[list[str]]:
    """What a chart shows as a table: the names of its series, then a row for each category."""
    series = list(root.iter("{*}ser"))
    names = ["", *(_first_value(one.find("{*}tx")) for one in series)]
    categories: dict[str, str] = {}
    values = [_points(one.find("{*}val"), one.find("{*}yVal")) for one in series]
    for one in series:
        categories |= _points(one.find("{*}cat"), one.find("{*}xVal"))
    places = list(dict.fromkeys(place for points in (categories, *values) for place in points))
    return [names, *([categories.get(place, ""), *(points.get(place, "") for points in values)] for place in places)]


def _points(*sources: Any) -> dict[str, str]:
    """The cached values of a chart's data by their place."""
    source = next((source for source in sources if source is not None), None)
    return {} if source is None else {point.get("idx", ""): _first_value(point) for point in source.iter("{*}pt")}


def _first_value(element: Any) -> str:
    value = None if element is None else next(element.iter("{*}v"), None)
    text = "" if value is None else one_line(value.text or "")
    try:
        return number_text(float(text))
    except ValueError:
        return text
