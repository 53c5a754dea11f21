"""Engines for t2d: what computes a model under mixtures of singular-value experts, behind the protocol of t2-engine(7).

`layout`, `svf`, `checkpoint`, `wire` and `server` are shared by the engines; `torch_engine` is the one of PyTorch.
"""

from t2_engines.version import VERSION as __version__

__all__ = ["__version__"]
