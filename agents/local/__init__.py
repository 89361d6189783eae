"""Agents on a language model in this process: model, KV cache, scheduler, sampling, constrained decoding."""
