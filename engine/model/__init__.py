"""The generative model: causal Wan2.1 DiT with its VACE branch, TAE codec, schedule and weights.

Knows nothing of threads, cameras, Qt or the parameter table; it imports only torch and engine.core.
"""
