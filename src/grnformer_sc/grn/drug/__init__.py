"""Drug response of cell lines: folds, factors, kernels of lines and drugs, and the model that joins them. Arrays only."""
