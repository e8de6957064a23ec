"""Foundation models that are read, not trained: cells as sequences of tokens, layer by layer."""
