"""Greenlane beside nginx and vllm-router: CPU, latency and memory, measured in one run on one core. `make bench`."""
