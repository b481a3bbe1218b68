.PHONY: check test slow bench samples

check:  ## format, lint, types, tests
	ruff format . && ruff check . && mypy && pytest

test:
	pytest

slow:  ## the long runs too
	pytest -m "slow or not slow"

bench:  ## measures what the tables in benchmarks/results say; needs a running stack for the HTTP part
	python -m benchmarks.citations
	python -m benchmarks.ingest_library

samples:  ## typeset the sample papers again (pip install typst==0.15.0, apt-get install fonts-noto-cjk)
	python knowledge_base/samples/sources/build.py
