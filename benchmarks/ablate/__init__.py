"""One factor at a time around the default GRNFormer: what each part of it is worth. `nox -s ablate` runs it."""
