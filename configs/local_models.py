"""Settings of one model on this machine; in: a block under llm.local; out: a `LocalModel`, checked, its engine chosen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

GGUF = ".gguf"
GGUF_NAMES = ("smollm2-135m-instruct",)  # rows of server/weights.py that are such files

_NOTHING_FOR = {  # engine -> settings that do nothing there, with the reason
    "llama_cpp": {
        "bits": "a GGUF file brings its own bits",
        "gpus": "name the GPUs in CUDA_VISIBLE_DEVICES",
        "gpu_memory_gib": "llama.cpp divides the layers by itself",
        "trust_remote_code": "a GGUF file brings no code",
    },
    "transformers": {"threads": "name them in OMP_NUM_THREADS"},
    "vllm": {
        "bits": "vLLM takes a model as its folder is quantised",
        "gpu_memory_gib": "vLLM takes nine tenths of each GPU",
        "threads": "vLLM computes on GPUs",
    },
}


class LocalModel(BaseModel):
    """A model that a worker on this machine serves behind the FastChat controller."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    source: str = Field(
        description="A name of the weights table (server/weights.py), `hf:owner/name`, `hf:owner/name/file.gguf`, the same with "
        "`modelscope:`, or a path."
    )
    engine: Literal["auto", "llama_cpp", "transformers", "vllm"] = Field(
        "auto",
        description="auto: llama_cpp for a .gguf file, else transformers, FastChat's own worker; vllm is FastChat's worker for that.",
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="auto takes a GPU when torch or llama.cpp sees one.")
    context_tokens: int = Field(8192, ge=512, description="Context of one request, prompt and answer together.")
    slots: int = Field(4, ge=1, le=64, description="Requests that the model answers at once.")
    threads: int = Field(1, ge=1, le=256, description="CPU threads for generation (llama_cpp); more than free cores is slower by far.")
    parameters_m: float | None = Field(None, gt=0, description="Millions of parameters; below 1000 the default depth is `quotes`.")
    bits: Literal[16, 8, 4] = Field(
        16,
        description="Of each weight (transformers): 8 is FastChat's compression (its load_8bit), 4 bitsandbytes' NF4 (load_4bit).",
    )
    gpus: tuple[int, ...] = Field((), description="Numbers of the GPUs to use (transformers, vllm); none named: one.")
    gpu_memory_gib: float | None = Field(
        None, gt=0, description="Of each of several GPUs, for the weights (transformers; FastChat: max_gpu_memory)."
    )
    trust_remote_code: bool = Field(False, description="Run the Python code inside the model folder; only for models you trust.")
    python: Path | None = Field(
        None, description="Interpreter of another environment for this worker (chatglm2-6b needs transformers < 4.45; vllm its own)."
    )

    @model_validator(mode="before")
    @classmethod
    def _choose_engine(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or values.get("engine", "auto") != "auto":
            return values
        source = str(values.get("source", ""))
        return {**values, "engine": "llama_cpp" if source.lower().endswith(GGUF) or source in GGUF_NAMES else "transformers"}

    @model_validator(mode="after")
    def _nothing_in_vain(self) -> LocalModel:
        fields = type(self).model_fields
        for name, reason in _NOTHING_FOR.get(self.engine, {}).items():
            if getattr(self, name) != fields[name].default:
                raise ValueError(f"{name} does nothing for engine {self.engine} ({reason}); leave it out")
        if self.engine == "transformers" and self.source.lower().endswith(GGUF):
            raise ValueError("a .gguf file needs engine llama_cpp, or none named")
        if self.engine == "llama_cpp" and self.source.startswith(("hf:", "modelscope:")) and not self.source.lower().endswith(GGUF):
            raise ValueError(f"engine llama_cpp needs a file: {self.source}/….gguf")
        if self.engine == "vllm" and self.device not in ("auto", "cuda"):
            raise ValueError(f"engine vllm computes on GPUs, not on device {self.device}; leave device out")
        if self.gpus and self.device in ("cpu", "mps"):
            raise ValueError(f"gpus does nothing for device {self.device}; leave one of them out")
        if len(set(self.gpus)) < len(self.gpus) or any(number < 0 for number in self.gpus):
            raise ValueError("gpus must be different numbers from 0 on, such as [0, 1]")
        if len(self.gpus) > 1 and self.bits == 8:
            raise ValueError("FastChat's 8 bits work on one GPU only; take bits: 4, or one of gpus")
        if self.gpu_memory_gib is not None and len(self.gpus) < 2:
            raise ValueError("gpu_memory_gib divides a model among several GPUs: name them in gpus, or leave it out")
        return self
