"""The engine of PyTorch: every causal language model of transformers, with gradients by autograd."""
