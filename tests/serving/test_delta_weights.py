"""FastChat's delta weights with the transformers of today: base + delta = target, by the command line that the README gives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import tiny_models


def fastchat(tool: str, **paths: Path) -> None:
    arguments = [word for name, path in paths.items() for word in (f"--{name}-path", str(path))]
    done = subprocess.run([sys.executable, "-m", f"fastchat.model.{tool}", *arguments], capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr.decode()[-2000:]


@pytest.mark.stack
def test_base_and_delta_make_the_target(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    base, target, delta, made = (tmp_path / name for name in ("base", "target", "delta", "made"))
    tiny_models.write(base, dtype="float16")
    tiny_models.tokenizer(target)
    model = AutoModelForCausalLM.from_pretrained(base)
    torch.manual_seed(2)
    for weight in model.parameters():
        weight.data += torch.randn_like(weight) * 0.1
    model.save_pretrained(target)
    fastchat("make_delta", **{"base-model": base, "target-model": target, "delta": delta})
    fastchat("apply_delta", **{"base-model": base, "target-model": made, "delta": delta})
    held = {folder: load_file(folder / "model.safetensors") for folder in (base, target, delta, made)}
    assert held[made].keys() == held[target].keys()
    for name, wanted in held[target].items():
        assert held[made][name].dtype == torch.float16
        torch.testing.assert_close(held[made][name], wanted, rtol=2e-3, atol=1e-3)
        assert float((held[base][name] - wanted).abs().max()) > 0.05  # the delta was needed
