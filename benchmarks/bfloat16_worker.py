"""FastChat's worker, mended by server/serving/transformers_worker.py, in bfloat16; in: its arguments; out: the same process."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from server.serving.transformers_worker import main


def _in_bfloat16() -> None:
    module: Any = importlib.import_module("fastchat.serve.model_worker")
    create = module.create_model_worker

    def with_dtype() -> Any:
        sys.argv += ["--dtype", "bfloat16"]
        return create()

    module.create_model_worker = with_dtype


if __name__ == "__main__":
    _in_bfloat16()
    main()
